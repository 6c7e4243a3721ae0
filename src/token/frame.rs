//! What the daemon and a token process say to each other: a little-endian `u32` length, then postcard.
//!
//! On the control socket: the socket of the gate (`gate`) and one [`Setup`] down, one [`Report`] up, then the session sockets down. On each session socket:
//! [`Order`] down, [`Reply`] up, in order. Lengths are checked before anything is allocated. Neither a PIN nor a private
//! key has a place in any of these types. What goes up comes from a process with a vendor's module in it: its texts are cut and
//! escaped as they are decoded, before anybody can log them or pass them on.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::device::{Device, Slot};
use super::isolate::{Held, Limits};
use super::latch::PinMark;
use super::pin::InMemory;
use super::pin::source::PinFile;
use crate::key::Flaw;

/// The longest message that a token process takes: above what gRPC lets in.
pub(super) const MAX_INPUT: usize = 8 * 1024 * 1024;
/// The longest frame: an input with its key's number.
const MAX_FRAME: usize = MAX_INPUT + 64;
/// The most sessions of one token, and so the most sockets in one message (the kernel's limit is 253).
pub(super) const MAX_SESSIONS: usize = 64;
/// The longest text that a token process may say, in bytes before it is escaped; the rest of a longer one is cut off.
const MAX_TEXT: usize = 2048;
/// How many faults it may report; the rest is dropped.
const MAX_FAULTS: usize = 256;

/// Everything that a token process must know, but for the PIN, which it reads itself.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Setup {
    pub device: Device,
    pub pin_file: PinFile,
    pub sessions: usize,
    pub limits: Limits,
    pub keys: Vec<WantedKey>,
}

/// One key to find. Its place in [`Setup::keys`] is its number in every [`Ask`].
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct WantedKey {
    /// What the configuration calls it, for messages.
    pub name: String,
    pub label: String,
    pub id: Option<Vec<u8>>,
    /// Where it is on a YubiKey.
    pub slot: Option<Slot>,
    /// What may be wrong with it.
    pub accept: BTreeSet<Flaw>,
    /// [`crate::key::Scheme::name`].
    pub scheme: String,
}

/// How starting went.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Report {
    /// Logged in, every key found, sessions open.
    Started(Started),
    /// Not opened.
    Refused(Refusal),
}

/// Why a token was not opened.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Refusal {
    /// What is wrong; all of it.
    Faults(#[serde(deserialize_with = "faults")] Vec<StartFault>),
    /// The token was asked once and said no, or would have spent its last try.
    PinRefused(PinRefusal),
}

/// Why no PIN must be tried, and which.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct PinRefusal {
    #[serde(deserialize_with = "text")]
    pub message: String,
    /// Tells the refused PIN from others; none if none was tried, or it is noted already.
    pub mark: Option<PinMark>,
}

/// What was found.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Started {
    pub token: TokenDescription,
    /// How far the kernel holds the process to [`Setup::limits`].
    pub held: Held,
    /// Whether the PIN can reach the swap.
    pub pin: InMemory,
    /// How many sessions are open: the configured number, or fewer where the token allows no more.
    pub sessions: usize,
    /// The public keys in the order of [`Setup::keys`], as DER SubjectPublicKeyInfos.
    pub keys: Vec<Vec<u8>>,
}

/// What a token says of itself.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct TokenDescription {
    #[serde(deserialize_with = "text")]
    pub serial: String,
    #[serde(deserialize_with = "text")]
    pub model: String,
    #[serde(deserialize_with = "text")]
    pub firmware: String,
}

/// One thing that is wrong, and what to do.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct StartFault {
    pub at: At,
    #[serde(deserialize_with = "text")]
    pub message: String,
}

/// What a [`StartFault`] is about.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum At {
    /// The token itself.
    Token,
    /// Its PIN file.
    PinFile,
    /// A key, by its place in [`Setup::keys`].
    Key(usize),
}

/// What a session is to do.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Order<'a> {
    #[serde(borrow)]
    Sign(Ask<'a>),
    /// To look whether the token is there.
    Look,
}

/// One thing to sign.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Ask<'a> {
    pub key: u16,
    /// When nobody waits for it any more, or it was to be signed: from then on it does not reach the token.
    pub until: Option<Moment>,
    /// A digest, or the message for Ed25519 and ML-DSA.
    pub input: &'a [u8],
}

/// A moment of the clock that all processes of a machine share, `CLOCK_MONOTONIC`, in nanoseconds.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(super) struct Moment(u64);

impl Moment {
    pub(super) fn now() -> Self {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let boot = Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0));
        Self(0).after(boot)
    }

    pub(super) fn is_past(self) -> bool {
        self <= Self::now()
    }

    /// The moment so much later.
    pub(super) fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// What comes back for one [`Order`].
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Reply {
    /// A failure on the way that was healed.
    pub recovered: Option<Recovery>,
    /// How long the token took, in microseconds: what the daemon measures is also how long it did not look.
    pub took_us: u32,
    pub answer: Answer,
}

/// The answer to one [`Order`].
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Answer {
    Signature(Vec<u8>),
    /// The token is there.
    Present,
    /// Not signed; the next one may be.
    Failed(CallFailure),
    /// Not released, for another process of the token is in a login. Whether the token was given it before, and may have signed.
    Busy {
        given: bool,
    },
    /// Not released: it was too late. Whether the token was given it before, and may have signed.
    Expired {
        given: bool,
    },
    /// The process ends after this answer: only a fresh start helps.
    Broken(CallFailure),
    /// The same, and the PIN must not be tried again. Whether the token was given it before, and may have signed.
    PinRefused {
        refusal: PinRefusal,
        given: bool,
    },
}

/// A failure, and what healed it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Recovery {
    pub healing: Healing,
    pub failure: CallFailure,
}

/// What was done.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Healing {
    Refound,
    Reopened,
    LoggedIn,
    Reinitialized,
    CardFound,
}

impl Healing {
    /// As the log says it.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Refound => "found the keys again",
            Self::Reopened => "reopened the session",
            Self::LoggedIn => "logged in again",
            Self::Reinitialized => "initialised the module again",
            Self::CardFound => "found the card again",
        }
    }
}

/// Which call failed, and what it returned.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct CallFailure {
    #[serde(deserialize_with = "text")]
    pub call: String,
    #[serde(deserialize_with = "text")]
    pub code: String,
}

/// A text of a token process, harmless in a log and on a terminal, and no longer than anybody reads.
pub(super) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let said = <&str>::deserialize(from)?;
    let end = (0..=MAX_TEXT).rev().find(|end| said.is_char_boundary(*end));
    let short = end.and_then(|end| said.get(..end)).unwrap_or_default();
    let mut text = String::with_capacity(short.len());
    for letter in short.chars() {
        if matches!(letter, '"' | '\'' | '\\') {
            text.push(letter);
        } else {
            text.extend(letter.escape_debug());
        }
    }
    if short.len() < said.len() {
        text.push_str(" (cut)");
    }
    Ok(text)
}

/// The first [`MAX_FAULTS`].
fn faults<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<StartFault>, D::Error> {
    struct First;

    impl<'de> Visitor<'de> for First {
        type Value = Vec<StartFault>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("faults")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Self::Value, A::Error> {
            let mut first = Vec::new();
            while let Some(fault) = all.next_element()? {
                if first.len() < MAX_FAULTS {
                    first.push(fault);
                }
            }
            Ok(first)
        }
    }

    from.deserialize_seq(First)
}

/// Appends `value` to `out` as one frame.
///
/// # Errors
/// If the frame is above the limit.
pub(super) fn encode(value: &impl Serialize, out: &mut Vec<u8>) -> io::Result<()> {
    let body = postcard::to_stdvec(value).map_err(io::Error::other)?;
    let len = u32::try_from(body.len()).ok().filter(|_| body.len() <= MAX_FRAME).ok_or_else(too_long)?;
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&body);
    Ok(())
}

/// Decodes a frame's body, of which nothing may be left over.
///
/// # Errors
/// If it is no `T`.
pub(super) fn decode<'a, T: Deserialize<'a>>(body: &'a [u8]) -> io::Result<T> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "bytes after the frame's value")),
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}

/// Writes one frame.
///
/// # Errors
/// As [`encode`], and if the other side is gone.
pub(super) fn write(mut socket: impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut frame = Vec::new();
    encode(value, &mut frame)?;
    socket.write_all(&frame)
}

/// Reads one frame's body, or `None` at the end of the stream.
///
/// # Errors
/// If the frame is above the limit, or cut short.
pub(super) fn read(mut socket: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut len = [0; 4];
    match socket.read_exact(&mut len) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let mut body = vec![0; checked_len(len)?];
    socket.read_exact(&mut body)?;
    Ok(Some(body))
}

/// Reads one frame's body in the daemon.
///
/// # Errors
/// As [`read`]; the end of the stream is an error here.
pub(super) async fn read_async(mut socket: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let mut len = [0; 4];
    socket.read_exact(&mut len).await?;
    let mut body = vec![0; checked_len(len)?];
    socket.read_exact(&mut body).await?;
    Ok(body)
}

fn checked_len(len: [u8; 4]) -> io::Result<usize> {
    let len = usize::try_from(u32::from_le_bytes(len)).map_err(io::Error::other)?;
    if len <= MAX_FRAME { Ok(len) } else { Err(too_long()) }
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a frame above the limit")
}

/// Passes `sockets` over `control`, all in one message of one byte (unix(7), SCM_RIGHTS).
///
/// # Errors
/// If the other side is gone.
pub(super) fn send_sockets(control: impl AsFd, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SESSIONS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(sockets)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many sessions"));
    }
    rustix::net::sendmsg(control, &[io::IoSlice::new(&[0])], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Takes what [`send_sockets`] passed; none at the end of the stream.
///
/// # Errors
/// If the socket fails.
pub(super) fn receive_sockets(control: impl AsFd) -> io::Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SESSIONS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let iov = &mut [io::IoSliceMut::new(&mut byte)];
    rustix::net::recvmsg(control, iov, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut sockets = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            sockets.extend(rights);
        }
    }
    Ok(sockets)
}

#[cfg(test)]
mod tests;
