//! libFuzzer around [`hafleet_fuzz::fleet`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    hafleet_fuzz::fleet::run(bytes);
});
