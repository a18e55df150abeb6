//! Generates messages, clients and servers from `proto/`. `protox` reads the
//! files, so that nobody needs `protoc` installed.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

const FILES: [&str; 3] = [
    "webwallet/hashtable/v1/hashtable.proto",
    "webwallet/graphstore/v1/graphstore.proto",
    "webwallet/blockstack/v1/blockstack.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;

    // What reflection serves.
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;

    tonic_prost_build::configure()
        // IOUs and records are passed on, not changed: shared, not copied.
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
