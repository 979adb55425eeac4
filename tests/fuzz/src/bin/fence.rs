//! libFuzzer around [`hafleet_fuzz::fence`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    hafleet_fuzz::fence::run(bytes);
});
