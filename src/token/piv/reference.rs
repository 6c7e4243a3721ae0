//! PIN and PUK, changed by who knows them.
//!
//! In: the one that opens and the one that is to be. Out: a card with another PIN or PUK, and whatever else has to change while no
//! other program can speak to the card. Promised: a try is spent only where another is left after it, and one that was wrong is
//! not tried again here.

use zeroize::Zeroizing;

use super::apdu::Command;
use super::card::{Card, Talk, Trouble};
use super::classify::{Said, said};
use super::operator;
use crate::token::device::YubiKey;
use crate::token::pin::Pin;

/// What is changed, and by what.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    /// The PIN, by the PIN.
    Pin,
    /// The PUK, by the PUK.
    Puk,
    /// The PIN, by the PUK: it may be blocked.
    Unblock,
}

/// Why it did not come to a whole change.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    /// What opens was wrong, and that cost a try.
    #[error("{0}; nothing was changed")]
    Refused(String),
    /// The card is as before.
    #[error("{0}; nothing was changed")]
    Untouched(String),
    /// The card was lost before it answered, or its answer says nothing of it.
    #[error("{0}: whether it was changed is not known")]
    Unknown(String),
    /// The card has changed, and what was to change with it has not.
    #[error("the YubiKey has the new one, but {0}")]
    HalfDone(String),
}

impl Change {
    /// What opens: its name, and its number in the card.
    fn opener(self) -> (&'static str, u8) {
        match self {
            Self::Pin => ("PIN", 0x80),
            Self::Puk | Self::Unblock => ("PUK", 0x81),
        }
    }

    /// What is new.
    fn name(self) -> &'static str {
        match self {
            Self::Pin | Self::Unblock => "PIN",
            Self::Puk => "PUK",
        }
    }

    /// CHANGE REFERENCE DATA and RESET RETRY COUNTER (SP 800-73-4 part 2 §3.2.2, §3.2.3).
    fn command(self, opener: &Pin, new: &Pin) -> Option<Command> {
        let (name, ins, p2) = match self {
            Self::Pin => ("CHANGE REFERENCE DATA", 0x24, 0x80),
            Self::Puk => ("CHANGE REFERENCE DATA", 0x24, 0x81),
            Self::Unblock => ("RESET RETRY COUNTER", 0x2C, 0x80),
        };
        let (opener, new) = (opener.for_piv()?, new.for_piv()?);
        // As long as it will be: growing would leave a copy behind.
        let mut data = Zeroizing::new(Vec::with_capacity(opener.len() + new.len()));
        data.extend_from_slice(&opener);
        data.extend_from_slice(&new);
        Some(Command::secret(name, ins, 0, p2, data))
    }

    /// Makes the change, and has `then` do the rest before any other program may speak to the card.
    ///
    /// # Errors
    /// [`ChangeError`]
    pub(crate) fn make(
        self,
        device: YubiKey,
        opener: &Pin,
        new: &Pin,
        then: impl FnOnce() -> Result<(), String>,
    ) -> Result<(), ChangeError> {
        let untouched = |trouble: Trouble| ChangeError::Untouched(trouble.advice());
        let command = self.command(opener, new).ok_or_else(|| {
            ChangeError::Untouched("PIN and PUK of a YubiKey have 6 to 8 bytes each".to_owned())
        })?;
        let mut card = Card::open(device.serial).map_err(untouched)?;
        let mut outcome = None;
        let talked = card.talk(|talk| {
            outcome = Some(self.change(talk, &command, then));
            Ok(())
        });
        // What the card did is done, also if it was lost before it could be locked.
        outcome.unwrap_or_else(|| talked.map_err(untouched))
    }

    fn change(
        self,
        talk: &mut Talk<'_>,
        command: &Command,
        then: impl FnOnce() -> Result<(), String>,
    ) -> Result<(), ChangeError> {
        self.want_tries(talk)?;
        talk.unlocks();
        let sent = talk.send(command).map_err(|trouble| ChangeError::Unknown(trouble.advice()));
        self.judge(sent?.status)?;
        then().map_err(ChangeError::HalfDone)
    }

    fn judge(self, status: u16) -> Result<(), ChangeError> {
        let (opener, _) = self.opener();
        let name = self.name();
        let message = match (said(status), status) {
            (Said::Done, _) => return Ok(()),
            (Said::Tries(left), _) => {
                return Err(ChangeError::Refused(format!(
                    "the YubiKey refused the {opener}; {left} more tries are left"
                )));
            }
            (Said::Blocked, _) => self.blocked(),
            (_, 0x6985) => format!(
                "the YubiKey finds the new {name} too simple: its PIN complexity rule wants none of one character alone, and none that everybody takes"
            ),
            (_, 0x6A80) => {
                format!("the YubiKey does not take the new {name}: it should have 6 to 8 characters")
            }
            (Said::Forbidden | Said::NoSuchKey | Said::Unknown, other) => {
                format!("the YubiKey answered with status {other:04x}")
            }
            (Said::Broken, other) => {
                return Err(ChangeError::Unknown(format!("the YubiKey answered with status {other:04x}")));
            }
        };
        Err(ChangeError::Untouched(message))
    }

    /// The last try is a person's, who knows that it is the last one.
    fn want_tries(self, talk: &mut Talk<'_>) -> Result<(), ChangeError> {
        let (name, number) = self.opener();
        let left =
            operator::tries_left(talk, number).map_err(|trouble| ChangeError::Untouched(trouble.advice()))?;
        let message = match (left, self) {
            (Some(2..), _) => return Ok(()),
            (Some(0), _) => self.blocked(),
            (Some(1), Self::Pin) => "the PIN has one try left, which is not spent here; `countersign token unlock` sets it anew with the PUK, or `yubico-piv-tool -a verify-pin` spends it".to_owned(),
            (Some(1), Self::Puk | Self::Unblock) => {
                "the PUK has one try left, which is not spent here: with it goes the way back to a blocked PIN; `ykman piv access` spends it".to_owned()
            }
            (None, _) => format!(
                "firmware {} does not tell how many tries the {name} has left, and the last one is not spent here; `ykman piv access` asks nothing",
                talk.firmware()
            ),
        };
        Err(ChangeError::Untouched(message))
    }

    fn blocked(self) -> String {
        match self {
            Self::Pin => "the PIN is blocked; `countersign token unlock` sets it anew with the PUK",
            Self::Puk | Self::Unblock => "the PUK is blocked: nothing but a reset of the PIV applet helps, which destroys every key in it (`ykman piv reset`)",
        }
        .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_says_nothing_of_the_change_is_not_taken_for_a_refusal() {
        for status in [0x6F00, 0x6581, 0x6700] {
            let judged = Change::Pin.judge(status);
            assert!(matches!(judged, Err(ChangeError::Unknown(_))), "{status:04x}: {judged:?}");
        }
        for status in [0x6983, 0x6985, 0x6A80, 0x6D00, 0x6982] {
            let judged = Change::Pin.judge(status);
            assert!(matches!(judged, Err(ChangeError::Untouched(_))), "{status:04x}: {judged:?}");
        }
        assert!(matches!(Change::Pin.judge(0x63C2), Err(ChangeError::Refused(_))));
        assert!(Change::Pin.judge(0x9000).is_ok());
    }
}
