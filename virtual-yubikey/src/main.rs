//! The virtual YubiKey as a program, for use by hand and from scripts.
//!
//! Lines on its standard input, which may end at once: `remove`, `insert`, `reset`, `touch`. It ends when its reader does, or
//! on a signal; each line that it followed it answers with `ok`.

use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use virtual_yubikey::{Firmware, Reader, Settings, TouchMode, VirtualYubiKey};

/// A virtual YubiKey in front of a pcscd that has vpcd. For tests: it protects no key.
#[derive(Parser)]
struct Arguments {
    /// Where vpcd listens on this machine
    #[arg(long, default_value_t = 35963)]
    port: u16,
    /// The file with what the card remembers; made if it is not there
    #[arg(long)]
    state: PathBuf,
    /// The firmware of a card that is made
    #[arg(long, default_value_t = Firmware::V5_7_1)]
    version: Firmware,
    /// Its serial number
    #[arg(long, default_value_t = 1)]
    serial: u32,
    /// How many milliseconds longer a signature takes
    #[arg(long, value_name = "MILLIS", default_value_t = 0)]
    sign_delay: u64,
    /// Who touches it: at-once (somebody always does), never, or asked (the line `touch`)
    #[arg(long, default_value = "at-once")]
    touch: TouchMode,
    /// How many milliseconds it waits to be touched
    #[arg(long, value_name = "MILLIS", default_value_t = 15_000)]
    touch_patience: u64,
    /// Refuse new PINs and PUKs that are too simple
    #[arg(long)]
    pin_complexity: bool,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let settings = Settings {
        serial: arguments.serial,
        firmware: arguments.version,
        sign_delay: Duration::from_millis(arguments.sign_delay),
        touch: arguments.touch,
        touch_patience: Duration::from_millis(arguments.touch_patience),
        pin_complexity: arguments.pin_complexity,
    };
    let reader = Reader::on_port(arguments.port);
    let mut card = VirtualYubiKey::new(&arguments.state, settings)?;
    card.insert(&reader)?;
    for line in io::stdin().lock().lines() {
        match line?.trim() {
            "remove" => card.remove(),
            "insert" => card.insert(&reader)?,
            "reset" => card.reset(),
            "touch" => card.touch(),
            other => {
                return Err(io::Error::other(format!("{other} is neither remove, insert, reset nor touch")));
            }
        }
        writeln!(io::stdout(), "ok")?;
    }
    card.wait_for_removal();
    Ok(())
}
