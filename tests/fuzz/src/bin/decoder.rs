//! libFuzzer around [`hafleet_fuzz::decoder`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    hafleet_fuzz::decoder::run(bytes);
});
