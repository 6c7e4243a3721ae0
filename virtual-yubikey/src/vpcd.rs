//! The wire to the virtual reader (vsmartcard's vpcd, which pcscd loads as a driver).
//!
//! Each message is a big-endian `u16` length and as many bytes. One byte is the reader's own command; anything longer is an
//! APDU. pcscd asks for the ATR every 400 ms to see whether there is a card.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use rustix::net::sockopt::set_tcp_quickack;

/// The ATR of a YubiKey 5: T=1 only.
const ATR: [u8; 23] = [
    0x3B, 0xFD, 0x13, 0x00, 0x00, 0x81, 0x31, 0xFE, 0x15, 0x80, 0x73, 0xC0, 0x21, 0xC0, 0x57, 0x59, 0x75,
    0x62, 0x69, 0x4B, 0x65, 0x79, 0x40,
];

/// What the reader is told by whoever plays the card.
pub(crate) trait Plays {
    /// The power went, or came.
    fn power(&mut self, on: bool);
    /// An APDU came.
    fn transmit(&mut self, apdu: &[u8]) -> Vec<u8>;
}

/// Plays a card until the connection ends.
///
/// # Errors
/// If the connection breaks otherwise.
pub(crate) fn play(mut stream: &TcpStream, card: &mut impl Plays) -> io::Result<()> {
    while let Some(message) = receive(stream)? {
        match message.as_slice() {
            [1] => card.power(true),
            [0 | 2] => card.power(false),
            [4] => stream.write_all(&framed(&ATR)?)?,
            [] | [_] => {}
            apdu => stream.write_all(&framed(&card.transmit(apdu))?)?,
        }
    }
    Ok(())
}

fn receive(mut stream: &TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut len = [0; 2];
    // vpcd writes length and body one by one and leaves Nagle's algorithm on: an acknowledgement that waits costs 40 ms
    // for each APDU. The option does not last.
    set_tcp_quickack(stream, true)?;
    match stream.read_exact(&mut len) {
        Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
            return Ok(None);
        }
        other => other?,
    }
    let mut body = vec![0; u16::from_be_bytes(len).into()];
    set_tcp_quickack(stream, true)?;
    stream.read_exact(&mut body)?;
    Ok(Some(body))
}

/// In one write, for the same reason.
fn framed(body: &[u8]) -> io::Result<Vec<u8>> {
    let len = u16::try_from(body.len()).map_err(io::Error::other)?;
    Ok([&len.to_be_bytes(), body].concat())
}
