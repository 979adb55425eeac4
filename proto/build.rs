//! Compiles the `.proto` files with protox, so that nobody needs `protoc`.

use std::{env, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "hafleet/v1/types.proto",
        "hafleet/v1/act.proto",
        "hafleet/v1/agent.proto",
        "hafleet/v1/config.proto",
        "hafleet/v1/operator.proto",
        "hafleet/v1/fence.proto",
    ];
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(files, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;
    // BTreeMap: the same message is always the same bytes.
    tonic_prost_build::configure().btree_map(".").compile_fds(descriptors)?;
    Ok(())
}
