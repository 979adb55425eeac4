//! libFuzzer around [`hafleet_fuzz::keepalived_conf`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    hafleet_fuzz::keepalived_conf::run(bytes);
});
