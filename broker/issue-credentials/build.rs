//! Compiles the SPIFFE Workload API with protox: no `protoc` has to be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(["proto/workload.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .build_transport(false)
        .compile_well_known_types(true)
        // Shared bytes: a private key is handed to the encoder without a copy of its own.
        .bytes(".")
        // What carries a key or a token shows neither: see `workload/api.rs`.
        .skip_debug(["X509SVID", "JWTSVID", "ValidateJWTSVIDRequest"])
        .compile_fds(descriptors)?;
    Ok(())
}
