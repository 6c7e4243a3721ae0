//! A virtual YubiKey in a process: put into a reader, pulled out, touched, and asked what happened to it.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::card::{Card, Counts};
use crate::firmware::Firmware;
use crate::state::State;
use crate::touch::{Touch, TouchMode};
use crate::vpcd::{self, Plays};

/// How long a reader may take to be there, and to give its card power.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a reader that is not there yet is tried.
const LOOK: Duration = Duration::from_millis(5);

/// What a card is like. Serial and firmware are for a card without state; one that has some keeps its own.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Its serial number.
    pub serial: u32,
    /// Its firmware.
    pub firmware: Firmware,
    /// How much longer a signature takes than this machine needs for it.
    pub sign_delay: Duration,
    /// Who touches it.
    pub touch: TouchMode,
    /// How long it waits for that; a YubiKey waits 15 seconds.
    pub touch_patience: Duration,
    /// Whether it refuses new PINs and PUKs that are too simple, as cards of firmware 5.7 can be ordered to.
    pub pin_complexity: bool,
}

impl Settings {
    /// A card of firmware 5.7.1, which somebody touches at once.
    #[must_use]
    pub fn of(serial: u32) -> Self {
        Self {
            serial,
            firmware: Firmware::V5_7_1,
            sign_delay: Duration::ZERO,
            touch: TouchMode::AtOnce,
            touch_patience: Duration::from_secs(15),
            pin_complexity: false,
        }
    }
}

/// Where a card can be put: a port where vpcd listens.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(crate) port: u16,
    /// The file of the network namespace in which it listens, if it is another one.
    pub(crate) network: Option<PathBuf>,
    /// Its name, and the log of its pcscd, if that is known.
    pub(crate) log: Option<(String, PathBuf)>,
}

impl Reader {
    /// One that listens on loopback here.
    #[must_use]
    pub fn on_port(port: u16) -> Self {
        Self { port, network: None, log: None }
    }

    /// Waits until pcscd has seen that the last card is out: it looks every 400 ms, and would take the next one for the same.
    fn wait_until_empty(&self) -> io::Result<()> {
        let end = Instant::now() + PATIENCE;
        while self.holds_a_card()? {
            if Instant::now() >= end {
                return Err(io::Error::other("there is a card in the reader"));
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// What pcscd has seen last.
    fn holds_a_card(&self) -> io::Result<bool> {
        let Some((name, log)) = &self.log else { return Ok(false) };
        let said = std::fs::read_to_string(log)?;
        let (inserted, removed) = (format!("Card inserted into {name}"), format!("Card Removed From {name}"));
        let last = said.lines().rfind(|line| line.ends_with(&inserted) || line.ends_with(&removed));
        Ok(last.is_some_and(|line| line.ends_with(&inserted)))
    }

    /// Changes the network namespace of the calling thread, which must be one of its own.
    fn connect(&self) -> io::Result<TcpStream> {
        if let Some(network) = &self.network {
            move_into_link_name_space(File::open(network)?.as_fd(), Some(LinkNameSpaceType::Network))?;
        }
        let end = Instant::now() + PATIENCE;
        loop {
            match TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && Instant::now() < end => {
                    thread::sleep(LOOK);
                }
                other => return other,
            }
        }
    }
}

/// A card. Dropped, it is pulled out.
pub struct VirtualYubiKey {
    shared: Arc<Shared>,
    touch: Arc<Touch>,
    inserted: Option<Inserted>,
}

struct Inserted {
    stream: TcpStream,
    link: JoinHandle<()>,
}

struct Shared {
    card: Mutex<Card>,
    powered: Mutex<bool>,
    power: Condvar,
}

impl VirtualYubiKey {
    /// The card whose state is in this file; a new one as from the factory if there is none.
    ///
    /// # Errors
    /// If the state cannot be read or written.
    pub fn new(state: &Path, settings: Settings) -> io::Result<Self> {
        let kept = State::load(state)?;
        let made = || State::factory(settings.serial, settings.firmware);
        let memory =
            kept.or_else(made).ok_or_else(|| io::Error::other("no attestation key could be made"))?;
        memory.save(state)?;
        let touch = Arc::new(Touch::new(settings.touch, settings.touch_patience));
        let mut card = Card::new(memory, state.to_owned(), settings.sign_delay, touch.clone());
        card.pin_complexity = settings.pin_complexity;
        let shared = Shared { card: Mutex::new(card), powered: Mutex::new(false), power: Condvar::new() };
        Ok(Self { shared: Arc::new(shared), touch, inserted: None })
    }

    /// Puts it into a reader, and waits until pcscd has given it power.
    ///
    /// # Errors
    /// If nobody listens there, or no power comes.
    pub fn insert(&mut self, reader: &Reader) -> io::Result<()> {
        self.remove();
        reader.wait_until_empty()?;
        self.touch.set_gone(false);
        let (connected, connection) = channel();
        let (shared, reader) = (self.shared.clone(), reader.clone());
        let link = thread::spawn(move || run(&shared, &reader, &connected));
        let stream = connection.recv().map_err(io::Error::other)??;
        self.inserted = Some(Inserted { stream, link });
        self.shared.wait_for_power()
    }

    /// Pulls it out. pcscd notices within 400 ms. Nothing happens to one that is not in.
    pub fn remove(&mut self) {
        if let Some(Inserted { stream, link }) = self.inserted.take() {
            self.touch.set_gone(true);
            // A reader that is gone has closed the connection by itself.
            let _ = stream.shutdown(Shutdown::Both);
            let _ = link.join();
        }
    }

    /// Waits until the reader is gone.
    pub fn wait_for_removal(&mut self) {
        if let Some(Inserted { link, .. }) = self.inserted.take() {
            let _ = link.join();
        }
    }

    /// Forgets all that lasts until the power goes, without the reader's knowledge: a card that restarted by itself.
    pub fn reset(&self) {
        self.shared.card().reset();
    }

    /// From here on a wrong PIN is counted, and answered with what says nothing of it.
    pub fn hide_wrong_pins(&self) {
        self.shared.card().hides_wrong_pins = true;
    }

    /// Touches it.
    pub fn touch(&self) {
        self.touch.give();
    }

    /// Waits until a key waits to be touched; whether it came to that within `patience`.
    #[must_use]
    pub fn is_asked_for_touch(&self, patience: Duration) -> bool {
        self.touch.asked(patience)
    }

    /// How often things were asked of it.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.card().counts
    }

    /// How many tries the PIN and the PUK have left.
    #[must_use]
    pub fn tries_left(&self) -> (u8, u8) {
        let card = self.shared.card();
        (card.state.pin.left, card.state.puk.left)
    }

    /// The certificate, in PEM, that this card's attestations end at.
    #[must_use]
    pub fn attestation_root(&self) -> String {
        self.shared.card().state.attestation_root.clone()
    }
}

impl Drop for VirtualYubiKey {
    fn drop(&mut self) {
        self.remove();
    }
}

impl Shared {
    fn card(&self) -> MutexGuard<'_, Card> {
        self.card.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_powered(&self, on: bool) {
        *self.powered.lock().unwrap_or_else(PoisonError::into_inner) = on;
        self.power.notify_all();
    }

    fn wait_for_power(&self) -> io::Result<()> {
        let powered = self.powered.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.power.wait_timeout_while(powered, PATIENCE, |powered| !*powered);
        let (powered, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if *powered { Ok(()) } else { Err(io::Error::other("the reader gives the card no power")) }
    }
}

fn run(shared: &Shared, reader: &Reader, connected: &Sender<io::Result<TcpStream>>) {
    let stream = match reader.connect() {
        Ok(stream) => stream,
        Err(error) => {
            let _ = connected.send(Err(error));
            return;
        }
    };
    let _ = connected.send(stream.try_clone());
    // However the connection ends, the card is out.
    let _ = vpcd::play(&stream, &mut Played(shared));
    Played(shared).power(false);
}

struct Played<'a>(&'a Shared);

impl Plays for Played<'_> {
    fn power(&mut self, on: bool) {
        self.0.card().reset();
        self.0.set_powered(on);
    }

    fn transmit(&mut self, apdu: &[u8]) -> Vec<u8> {
        self.0.card().transmit(apdu)
    }
}
