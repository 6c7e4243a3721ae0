//! The SSH agent protocol (draft-ietf-sshm-ssh-agent): frames, the two requests that this agent knows, and its answers.
//!
//! In: bytes that a client sent. Out: a [`Request`], or the reason why it is none; and an [`Answer`] as a frame.
//! Promised: lengths are compared with what is there before anything is cut, a frame over [`MAX_MESSAGE`] is refused by
//! its header alone, trailing bytes are refused, and no input panics. Not done here: reading sockets, judging requests.

/// The longest message, in bytes: what OpenSSH's agent and its clients take.
pub const MAX_MESSAGE: usize = 256 * 1024;

/// The signature flag that asks an RSA key for rsa-sha2-256 (RFC 8332).
pub const RSA_SHA2_256: u32 = 2;
/// The signature flag that asks an RSA key for rsa-sha2-512 (RFC 8332).
pub const RSA_SHA2_512: u32 = 4;

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// A message that this agent answers with something else than FAILURE.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Request<'a> {
    /// Which keys are there?
    Identities,
    /// Sign this.
    Sign(SignRequest<'a>),
}

/// What a client wants signed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SignRequest<'a> {
    /// The key's SSH wire form; not looked into.
    pub key: &'a [u8],
    /// What to sign.
    pub data: &'a [u8],
    /// Which hash an RSA key is to use.
    pub flags: u32,
}

/// What goes back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// No. The protocol has no room for a reason.
    Failure,
    /// The keys.
    Identities(Vec<Identity>),
    /// An SSH signature blob (RFC 4253 §6.6).
    Signature(Vec<u8>),
}

/// A key, as a client sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// Its SSH wire form.
    pub key: Vec<u8>,
    /// What to call it.
    pub comment: String,
}

/// Why bytes are no message that this agent answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// The header of a frame says that nothing, or too much, follows.
    #[error("a frame announces {0} bytes, and 1 to {MAX_MESSAGE} are allowed")]
    Length(u32),
    /// There is less than a length says.
    #[error("the message ends within its {field}")]
    Truncated {
        /// What was being read.
        field: &'static str,
    },
    /// There is more than the message has fields for.
    #[error("{count} bytes follow the end of the message")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// A message that this agent does not do.
    #[error("{} (message {number}) is not for an agent whose keys sign certificates only", name(*.number))]
    Unsupported {
        /// Its number.
        number: u8,
    },
}

/// The length of the message that follows the 4 bytes of `header`: 1 to [`MAX_MESSAGE`].
///
/// # Errors
/// [`MessageError::Length`] for any other.
pub fn message_len(header: [u8; 4]) -> Result<usize, MessageError> {
    let len = u32::from_be_bytes(header);
    match usize::try_from(len) {
        Ok(bytes @ 1..=MAX_MESSAGE) => Ok(bytes),
        _ => Err(MessageError::Length(len)),
    }
}

impl<'a> Request<'a> {
    /// Reads a message, its frame's header cut off.
    ///
    /// # Errors
    /// [`MessageError`], for any but the two requests in exactly their form.
    pub fn parse(message: &'a [u8]) -> Result<Self, MessageError> {
        let (number, mut rest) = message.split_first().ok_or(MessageError::Length(0))?;
        let request = match *number {
            REQUEST_IDENTITIES => Self::Identities,
            SIGN_REQUEST => {
                let key = string(&mut rest, "key")?;
                let data = string(&mut rest, "data")?;
                Self::Sign(SignRequest { key, data, flags: uint32(&mut rest, "flags")? })
            }
            number => return Err(MessageError::Unsupported { number }),
        };
        match rest.len() {
            0 => Ok(request),
            count => Err(MessageError::Trailing { count }),
        }
    }
}

impl Answer {
    /// The answer as a frame; [`Self::Failure`] if it would be longer than a client reads.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let mut message = Vec::new();
        match self {
            Self::Failure => message.push(FAILURE),
            Self::Identities(identities) => {
                message.push(IDENTITIES_ANSWER);
                message.extend(u32::try_from(identities.len()).unwrap_or(u32::MAX).to_be_bytes());
                for identity in identities {
                    put_string(&mut message, &identity.key);
                    put_string(&mut message, identity.comment.as_bytes());
                }
            }
            Self::Signature(blob) => {
                message.push(SIGN_RESPONSE);
                put_string(&mut message, blob);
            }
        }
        if message.len() > MAX_MESSAGE {
            message = vec![FAILURE];
        }
        let mut frame = Vec::with_capacity(message.len() + 4);
        put_string(&mut frame, &message);
        frame
    }
}

fn string<'a>(rest: &mut &'a [u8], field: &'static str) -> Result<&'a [u8], MessageError> {
    let len = usize::try_from(uint32(rest, field)?).unwrap_or(usize::MAX);
    let (string, after) = rest.split_at_checked(len).ok_or(MessageError::Truncated { field })?;
    *rest = after;
    Ok(string)
}

fn uint32(rest: &mut &[u8], field: &'static str) -> Result<u32, MessageError> {
    let (number, after) = rest.split_first_chunk().ok_or(MessageError::Truncated { field })?;
    *rest = after;
    Ok(u32::from_be_bytes(*number))
}

fn put_string(out: &mut Vec<u8>, string: &[u8]) {
    // Nothing here comes near 4 GiB: what is over 256 KiB is not sent.
    out.extend(u32::try_from(string.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(string);
}

/// What the protocol calls a message that clients do send.
const fn name(number: u8) -> &'static str {
    match number {
        17 | 25 => "adding a key",
        18 | 19 => "removing keys",
        20 | 26 => "adding a smart card's keys",
        21 => "removing a smart card's keys",
        22 => "locking",
        23 => "unlocking",
        27 => "an extension",
        _ => "an unknown request",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign_request(key: &[u8], data: &[u8], flags: u32) -> Vec<u8> {
        let mut message = vec![SIGN_REQUEST];
        put_string(&mut message, key);
        put_string(&mut message, data);
        message.extend(flags.to_be_bytes());
        message
    }

    #[test]
    fn reads_both_requests() {
        assert_eq!(Request::parse(&[11]), Ok(Request::Identities));
        let message = sign_request(b"key", b"data", 4);
        let request = SignRequest { key: b"key", data: b"data", flags: 4 };
        assert_eq!(Request::parse(&message), Ok(Request::Sign(request)));
    }

    #[test]
    fn refuses_every_truncation_and_trailing_bytes() {
        let message = sign_request(b"key", b"data", 0);
        for len in 1..message.len() {
            let cut = Request::parse(message.get(..len).unwrap_or_default());
            assert!(matches!(cut, Err(MessageError::Truncated { .. })), "{len}: {cut:?}");
        }
        let longer = [&message[..], &[0]].concat();
        assert_eq!(Request::parse(&longer), Err(MessageError::Trailing { count: 1 }));
        assert_eq!(Request::parse(&[11, 0]), Err(MessageError::Trailing { count: 1 }));
        assert_eq!(Request::parse(&[]), Err(MessageError::Length(0)));
    }

    #[test]
    fn refuses_every_other_message_by_name() {
        for number in (0..=255).filter(|number| ![11, 13].contains(number)) {
            let error = Request::parse(&[number, 1, 2]).err();
            assert_eq!(error, Some(MessageError::Unsupported { number }));
        }
        let locking = MessageError::Unsupported { number: 22 }.to_string();
        assert!(locking.starts_with("locking (message 22)"), "{locking}");
    }

    #[test]
    fn a_header_alone_refuses_what_is_empty_or_too_long() {
        let [longest, too_long] = [262_144_u32, 262_145].map(u32::to_be_bytes);
        assert_eq!(message_len(longest), Ok(MAX_MESSAGE));
        assert_eq!(message_len(too_long), Err(MessageError::Length(262_145)));
        assert_eq!(message_len([0xff; 4]), Err(MessageError::Length(u32::MAX)));
        assert_eq!(message_len([0; 4]), Err(MessageError::Length(0)));
    }

    #[test]
    fn writes_what_clients_read() {
        assert_eq!(Answer::Failure.frame(), [0, 0, 0, 1, 5]);
        assert_eq!(Answer::Signature(vec![7, 8]).frame(), [0, 0, 0, 7, 14, 0, 0, 0, 2, 7, 8]);
        let identity = Identity { key: vec![9], comment: "ca".to_owned() };
        let frame = Answer::Identities(vec![identity]).frame();
        assert_eq!(frame, [0, 0, 0, 16, 12, 0, 0, 0, 1, 0, 0, 0, 1, 9, 0, 0, 0, 2, b'c', b'a']);
    }

    #[test]
    fn an_answer_that_no_client_reads_is_a_failure() {
        let longest = Answer::Signature(vec![0; MAX_MESSAGE - 5]).frame();
        assert_eq!(longest.len(), MAX_MESSAGE + 4);
        assert_eq!(Answer::Signature(vec![0; MAX_MESSAGE - 4]).frame(), Answer::Failure.frame());
    }
}
