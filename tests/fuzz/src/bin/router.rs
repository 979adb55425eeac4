//! libFuzzer around [`hafleet_fuzz::router`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    hafleet_fuzz::router::run(bytes);
});
