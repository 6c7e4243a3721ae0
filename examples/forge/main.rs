//! Writes the corpus of forged TBSs: `cargo run --example forge`, after a change to `corpus/`.
//!
//! In: nothing. Out: `tests/forged/FORMAT/` for ssh, x509, crl, ocsp and own, one file for each case; files without a case are
//! deleted. To add a case, add a row to the list of its field in `corpus/` (SSH) or `corpus/FORMAT/`, run this, and read the
//! file that it wrote.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's program: a panic is how it fails")]
#![allow(
    dead_code,
    unreachable_pub,
    reason = "these modules belong to the black-box tests, which use the rest"
)]

use std::path::Path;

mod corpus;
mod file;
#[path = "../../tests/black_box/forge.rs"]
mod forge;

fn main() -> std::io::Result<()> {
    for (format, cases) in corpus::directories() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/forged").join(format);
        if directory.exists() {
            std::fs::remove_dir_all(&directory)?;
        }
        std::fs::create_dir_all(&directory)?;
        for case in cases {
            std::fs::write(directory.join(case.file_name()), file::write(&case))?;
        }
    }
    Ok(())
}
