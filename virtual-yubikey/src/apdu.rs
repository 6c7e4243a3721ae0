//! Commands and responses of ISO 7816-4, short and extended, with command chaining and GET RESPONSE.
//!
//! In: what the reader sent. Out: one whole [`Command`] once its last link came, and the response in the pieces that the
//! client's form of command allows. What a command means is not known here.

/// How a command went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Status(pub(crate) u16);

impl Status {
    pub(crate) const OK: Self = Self(0x9000);
    pub(crate) const WRONG_LENGTH: Self = Self(0x6700);
    pub(crate) const LAST_OF_CHAIN_EXPECTED: Self = Self(0x6883);
    pub(crate) const SECURITY: Self = Self(0x6982);
    pub(crate) const BLOCKED: Self = Self(0x6983);
    pub(crate) const CONDITIONS: Self = Self(0x6985);
    pub(crate) const WRONG_DATA: Self = Self(0x6A80);
    pub(crate) const NOT_FOUND: Self = Self(0x6A82);
    pub(crate) const NO_SPACE: Self = Self(0x6A84);
    pub(crate) const WRONG_P1_P2: Self = Self(0x6A86);
    pub(crate) const REFERENCE_NOT_FOUND: Self = Self(0x6A88);
    pub(crate) const NO_SUCH_INSTRUCTION: Self = Self(0x6D00);
    pub(crate) const INTERNAL: Self = Self(0x6F00);

    /// A secret was wrong, and this many tries are left.
    pub(crate) fn tries(left: u8) -> Self {
        Self(0x63C0 | u16::from(left.min(0xF)))
    }
}

/// What a command yields.
pub(crate) type Answer = Result<Vec<u8>, Status>;

/// One whole command.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Command {
    pub(crate) ins: u8,
    pub(crate) p1: u8,
    pub(crate) p2: u8,
    pub(crate) data: Vec<u8>,
}

/// One link of a chain: most chains have one.
struct Link {
    last: bool,
    extended: bool,
    command: Command,
}

impl Link {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let ([cla, ins, p1, p2], body) = bytes.split_first_chunk::<4>()?;
        let (data, extended) = match body {
            [] | [_] => (&[][..], false),
            [0, _, _] => (&[][..], true),
            [0, high, low, rest @ ..] => {
                (data(rest, usize::from(u16::from_be_bytes([*high, *low])), 2)?, true)
            }
            [len, rest @ ..] => (data(rest, usize::from(*len), 1)?, false),
        };
        let command = Command { ins: *ins, p1: *p1, p2: *p2, data: data.to_vec() };
        Some(Self { last: cla & 0x10 == 0, extended, command })
    }
}

/// The first `len` bytes, after which there may be an Le of this size.
fn data(bytes: &[u8], len: usize, le: usize) -> Option<&[u8]> {
    let (data, rest) = bytes.split_at_checked(len)?;
    (rest.is_empty() || rest.len() == le).then_some(data)
}

/// A conversation's unfinished chain and unread response.
#[derive(Debug, Default)]
pub(crate) struct Channel {
    chain: Option<Command>,
    unread: Vec<u8>,
}

const GET_RESPONSE: u8 = 0xC0;
/// What a short response holds.
const PIECE: usize = 256;
/// What a chain may hold: as much as a YubiKey's largest object, and its tags.
const LONGEST_CHAIN: usize = 4096;

impl Channel {
    /// Takes one command from the reader, and has whole ones answered by `execute`.
    pub(crate) fn take(&mut self, bytes: &[u8], execute: impl FnOnce(Command) -> Answer) -> Vec<u8> {
        let Some(link) = Link::parse(bytes) else {
            return response(&[], Status::WRONG_LENGTH);
        };
        if link.command.ins == GET_RESPONSE && self.chain.is_none() {
            return self.piece();
        }
        self.unread.clear();
        let (last, extended) = (link.last, link.extended);
        let command = match self.join(link.command) {
            Ok(command) => command,
            Err(status) => return response(&[], status),
        };
        if !last {
            self.chain = Some(command);
            return response(&[], Status::OK);
        }
        match execute(command) {
            Err(status) => response(&[], status),
            Ok(data) if extended => response(&data, Status::OK),
            Ok(data) => {
                self.unread = data;
                self.piece()
            }
        }
    }

    fn join(&mut self, link: Command) -> Result<Command, Status> {
        let Some(mut whole) = self.chain.take() else { return Ok(link) };
        if (whole.ins, whole.p1, whole.p2) != (link.ins, link.p1, link.p2) {
            return Err(Status::LAST_OF_CHAIN_EXPECTED);
        }
        whole.data.extend(link.data);
        if whole.data.len() > LONGEST_CHAIN { Err(Status::WRONG_LENGTH) } else { Ok(whole) }
    }

    fn piece(&mut self) -> Vec<u8> {
        let rest = self.unread.split_off(self.unread.len().min(PIECE));
        let piece = std::mem::replace(&mut self.unread, rest);
        let more = u8::try_from(self.unread.len()).unwrap_or(0);
        let status = if self.unread.is_empty() { Status::OK } else { Status(0x6100 | u16::from(more)) };
        response(&piece, status)
    }
}

fn response(data: &[u8], status: Status) -> Vec<u8> {
    [data, &status.0.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_a_chain() {
        let mut channel = Channel::default();
        let none = |_| -> Answer { panic!("the chain has not ended") };
        assert_eq!(channel.take(&[0x10, 0xDB, 0x3F, 0xFF, 2, 1, 2], none), [0x90, 0]);
        let mut whole = Vec::new();
        channel.take(&[0x00, 0xDB, 0x3F, 0xFF, 1, 3], |command| {
            whole = command.data;
            Ok(Vec::new())
        });
        assert_eq!(whole, [1, 2, 3]);
    }

    #[test]
    fn gives_a_long_response_in_pieces() {
        let mut channel = Channel::default();
        let long = vec![7; 600];
        let mut answer = channel.take(&[0, 0xCB, 0x3F, 0xFF], |_| Ok(long.clone()));
        assert!(answer.ends_with(&[0x61, 0]), "at least 256 bytes more");
        let mut all: Vec<u8> = Vec::new();
        while let Some((data, [0x61, _])) = answer.split_last_chunk::<2>() {
            all.extend(data);
            answer = channel.take(&[0, GET_RESPONSE, 0, 0, 0], |_| Err(Status::INTERNAL));
        }
        all.extend(answer.split_last_chunk::<2>().map_or(&[][..], |(data, _)| data));
        assert_eq!(all, long);
    }

    #[test]
    fn gives_a_long_response_whole_to_an_extended_command() {
        let answer = Channel::default().take(&[0, 0xCB, 0x3F, 0xFF, 0, 0, 0], |_| Ok(vec![7; 600]));
        assert_eq!(answer.len(), 602);
    }
}
