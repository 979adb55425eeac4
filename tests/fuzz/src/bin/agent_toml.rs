//! libFuzzer around [`hafleet_fuzz::agent_toml`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    hafleet_fuzz::agent_toml::run(bytes);
});
