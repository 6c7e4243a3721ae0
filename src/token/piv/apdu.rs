//! Commands to the card and what it answers (ISO 7816-4): chained where they are long, and put together where answers are.
//!
//! In: a [`Command`]. Out: its [`Response`]. What a status word means is `classify`'s business. Commands may hold the PIN: they are
//! wiped when they are dropped, and never printed.

use zeroize::Zeroizing;

/// A command by name, for messages, and its bytes.
pub(super) struct Command {
    pub(super) name: &'static str,
    header: [u8; 3],
    data: Zeroizing<Vec<u8>>,
}

/// What came back, when all of it had.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) data: Vec<u8>,
    pub(super) status: u16,
}

/// Sends bytes to the card and gives what it sends back.
pub(super) trait Wire {
    /// What can go wrong on the way.
    type Error;

    /// # Errors
    /// If the card or the reader is not there any more.
    fn transmit(&mut self, apdu: &[u8]) -> Result<Vec<u8>, Self::Error>;
}

/// The longest data of one short command.
const LONGEST: usize = 255;
/// The bit of a command that another part of it follows.
const CHAINED: u8 = 0x10;
const GET_RESPONSE: [u8; 5] = [0, 0xC0, 0, 0, 0];
/// More than any answer of PIV: an answer that goes on is none.
const LONGEST_RESPONSE: usize = 16 * 1024;
pub(super) const OK: u16 = 0x9000;
/// What stands for an answer without a status word.
pub(super) const NO_STATUS: u16 = 0;

impl Command {
    pub(super) fn new(name: &'static str, ins: u8, p1: u8, p2: u8, data: Vec<u8>) -> Self {
        Self::secret(name, ins, p1, p2, Zeroizing::new(data))
    }

    /// One whose data was a secret before it was a command.
    pub(super) fn secret(name: &'static str, ins: u8, p1: u8, p2: u8, data: Zeroizing<Vec<u8>>) -> Self {
        Self { name, header: [ins, p1, p2], data }
    }

    /// Has it answered.
    ///
    /// # Errors
    /// The wire's.
    pub(super) fn send<W: Wire>(&self, wire: &mut W) -> Result<Response, W::Error> {
        let mut parts = self.data.chunks(LONGEST).peekable();
        loop {
            let part = parts.next().unwrap_or_default();
            let last = parts.peek().is_none();
            let response = split(wire.transmit(&self.part(part, last))?);
            if last {
                return whole(wire, response);
            }
            if response.status != OK {
                return Ok(response);
            }
        }
    }

    fn part(&self, data: &[u8], last: bool) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(5 + LONGEST));
        bytes.push(if last { 0 } else { CHAINED });
        bytes.extend_from_slice(&self.header);
        bytes.push(u8::try_from(data.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(data);
        bytes
    }
}

/// Asks for what is left of an answer until nothing is.
fn whole<W: Wire>(wire: &mut W, mut response: Response) -> Result<Response, W::Error> {
    while response.status >> 8 == 0x61 && response.data.len() < LONGEST_RESPONSE {
        let next = split(wire.transmit(&GET_RESPONSE)?);
        response.data.extend(next.data);
        response.status = next.status;
    }
    Ok(response)
}

fn split(mut bytes: Vec<u8>) -> Response {
    let status = bytes.last_chunk().map_or(NO_STATUS, |status| u16::from_be_bytes(*status));
    bytes.truncate(bytes.len().saturating_sub(2));
    Response { data: bytes, status }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]

    use std::convert::Infallible;

    use super::*;

    /// Notes what it is sent, and answers with the next of these.
    struct Script(Vec<Vec<u8>>, Vec<Vec<u8>>);

    impl Wire for Script {
        type Error = Infallible;

        fn transmit(&mut self, apdu: &[u8]) -> Result<Vec<u8>, Infallible> {
            self.0.push(apdu.to_vec());
            Ok(self.1.remove(0))
        }
    }

    fn send(len: usize, answers: &[&[u8]]) -> (Vec<Vec<u8>>, Response) {
        let mut script = Script(Vec::new(), answers.iter().map(|answer| answer.to_vec()).collect());
        let Ok(response) = Command::new("X", 0x87, 0x11, 0x9C, vec![7; len]).send(&mut script);
        (script.0, response)
    }

    #[test]
    fn a_command_without_data_says_so() {
        let (sent, response) = send(0, &[&[1, 0x90, 0]]);
        assert_eq!(sent, [[0, 0x87, 0x11, 0x9C, 0]]);
        assert_eq!((response.data, response.status), (vec![1], OK));
    }

    #[test]
    fn exactly_255_bytes_are_one_command_and_one_more_is_two() {
        let (sent, _) = send(255, &[&[0x90, 0]]);
        assert_eq!((sent.len(), sent[0][0], sent[0][4], sent[0].len()), (1, 0, 255, 260));
        let (sent, _) = send(256, &[&[0x90, 0], &[0x90, 0]]);
        assert_eq!((sent[0][0], sent[1][0], sent[1][4]), (CHAINED, 0, 1));
    }

    #[test]
    fn a_chain_that_is_refused_ends_there() {
        let (sent, response) = send(600, &[&[0x90, 0], &[0x69, 0x82]]);
        assert_eq!((sent.len(), response.status), (2, 0x6982));
    }

    #[test]
    fn an_answer_in_pieces_is_put_together() {
        let (sent, response) = send(1, &[&[1, 0x61, 1], &[2, 0x61, 1], &[3, 0x90, 0]]);
        assert_eq!((response.data, response.status), (vec![1, 2, 3], OK));
        assert_eq!(sent[1..], [GET_RESPONSE, GET_RESPONSE]);
    }

    #[test]
    fn an_answer_without_a_status_is_none() {
        assert_eq!(send(0, &[&[]]).1.status, NO_STATUS);
        assert_eq!(send(0, &[&[0x90]]).1.status, NO_STATUS);
    }
}
