//! Writes every target's seeds to `corpus/TARGET/`, where cargo-fuzz looks for them. Run it in `fuzz/`.

use std::io;

use countersign_fuzz::TARGETS;

fn main() -> io::Result<()> {
    for target in TARGETS {
        let directory = format!("corpus/{}", target.name);
        std::fs::create_dir_all(&directory)?;
        for (number, seed) in (target.seeds)().iter().enumerate() {
            std::fs::write(format!("{directory}/seed-{number}"), seed)?;
        }
    }
    Ok(())
}
