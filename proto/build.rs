//! Compiles `countersign/v1/*.proto` without `protoc`.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let descriptors =
        protox::compile(["countersign/v1/signer.proto", "countersign/v1/operator.proto"], ["."])?;
    println!("cargo:rerun-if-changed=countersign");
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
