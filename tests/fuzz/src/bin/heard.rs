//! libFuzzer around [`hafleet_fuzz::heard`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    hafleet_fuzz::heard::run(bytes);
});
