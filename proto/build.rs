//! Compiles `countersign/v1/*.proto` without `protoc`.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["signer", "operator", "ledger"].map(|name| format!("countersign/v1/{name}.proto"));
    let descriptors = protox::compile(files, ["."])?;
    println!("cargo:rerun-if-changed=countersign");
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
