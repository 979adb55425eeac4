//! hafleet's wire: the generated messages and services of package `hafleet.v1`, and the checked conversions
//! of what both ends parse.
//!
//! This crate knows neither core. What a message means is said in `hafleet/v1/*.proto`.

/// Package `hafleet.v1`.
#[allow(missing_docs, clippy::all, clippy::wildcard_enum_match_arm, unused_qualifications)]
pub mod v1 {
    tonic::include_proto!("hafleet.v1");

    /// The compiled `.proto` files, for gRPC reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
}
