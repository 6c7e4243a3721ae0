//! What is to go wrong: the script, as a test builds it and as the module reads it.
//!
//! In TOML:
//! ```toml
//! [[on]]                       # at calls of one function
//! call = "C_Sign"
//! action = { fail = "CKR_DEVICE_ERROR" }
//! after = 3                    # only after three calls
//! times = 1                    # and once; without it, until the script changes
//!
//! [token]                      # as long as the script says so
//! max_sessions = 2
//! ```

use serde::{Deserialize, Serialize};

use crate::{Call, Code};

/// Everything that is to go wrong. The default is nothing.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// What happens at calls, in this order. At most [`Self::MAX_ON`].
    pub on: Vec<On>,
    /// What the token is like.
    pub token: Token,
}

/// Something that happens at calls of one function.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct On {
    /// At which function.
    pub call: Call,
    /// What happens.
    pub action: Action,
    /// How many calls pass before it; of every process together.
    #[serde(default)]
    pub after: u32,
    /// How often it happens; of every process together. None: until the script changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

/// What happens at a call.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It takes this many microseconds longer.
    DelayMicros(u64),
    /// It does not return until the script changes; what the new script says of it happens then.
    Hang,
    /// The process dies of SIGSEGV.
    Crash,
    /// `C_Login` is made, and the token learns from it; then the process dies before anybody is told.
    CrashAfter,
    /// The same, and it does not return until the script changes.
    HangAfter,
    /// `C_Login` is made, and the token learns from it; what failed is answered by this code.
    Mask(Code),
    /// It fails. `C_Sign`, `C_SignFinal` and `C_FindObjectsFinal` end their operation, others do not reach the real module.
    Fail(Code),
    /// It fails, and so does what follows until the caller has done what heals.
    Die {
        /// What heals.
        heals: Heals,
        /// What is answered until then.
        code: Code,
    },
    /// `C_Sign` or `C_SignFinal` succeeds with one bit of the signature flipped.
    WrongSignature,
    /// `C_Sign` or `C_SignFinal` succeeds with the last byte missing.
    ShortSignature,
}

/// The rungs of the ladder: what brings a dead token back, and nothing less does.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Heals {
    /// Every session that is open is dead; a new one is well, and still logged in.
    Reopen,
    /// The user is logged out; sessions, also new ones, sign nothing until `C_Login`.
    Login,
    /// Sessions, also new ones, do nothing until `C_Finalize` and `C_Initialize`. They open, close and describe themselves.
    Initialize,
    /// The same, until another process loads the module.
    Process,
}

/// What the token is like as long as the script says so.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "a script's lines, each of which is said or not")]
pub struct Token {
    /// Every session may sign only after a login with `CKU_CONTEXT_SPECIFIC`, and private keys say so.
    pub always_authenticate: bool,
    /// `CKA_…` by number: answered `CKR_ATTRIBUTE_TYPE_INVALID`.
    pub attribute_invalid: Vec<u64>,
    /// `CKA_…` by number: told to be true by whatever object tells them at all, though they are not.
    pub attribute_true: Vec<u64>,
    /// `CKM_EDDSA` without `CK_EDDSA_PARAMS` is answered `CKR_MECHANISM_PARAM_INVALID`; with them, of no hash and no context, it is Ed25519.
    pub eddsa_parameters: bool,
    /// A session that was not called for this long is dead: `CKR_SESSION_HANDLE_INVALID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expire_idle_millis: Option<u64>,
    /// `C_FindObjectsInit` finds every object, whatever it is asked for.
    pub ignore_template: bool,
    /// Closing any session logs out.
    pub logout_on_close: bool,
    /// How many sessions a process may have open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_sessions: Option<u32>,
    /// It needs no login, and says so: whoever opens a session has one in which the user is logged in, with this PIN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needs_no_login: Option<String>,
    /// It has a PIN pad, and says so: a login without a PIN takes what somebody types there, which is this. Where it is empty nobody
    /// comes, and the login is `CKR_FUNCTION_CANCELED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pad: Option<String>,
    /// How many wrong PINs lock the user's PIN, in all processes and until the count is reset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin_tries: Option<u32>,
    /// Object handles change with every `C_Initialize`. Looked at in `C_Initialize` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renumber: Option<Renumber>,
    /// Slots have other numbers after every `C_Initialize` of any process, and come in another order. Looked at in `C_Initialize` only.
    pub renumber_slots: bool,
}

/// What a handle of before `C_Initialize` denotes after it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Renumber {
    /// Nothing.
    Invalid,
    /// A private key's denotes the next private key, by `CKA_ID`, of those that were there when first looked for.
    OtherKey,
}

/// Why a text is no script.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScriptError {
    /// Not TOML, or not these keys.
    #[error("{0}")]
    Syntax(#[from] toml::de::Error),
    /// Too much.
    #[error("{0} `on` entries; there may be {max}", max = Script::MAX_ON)]
    TooMany(usize),
}

impl Script {
    /// How many [`On`] there may be.
    pub const MAX_ON: usize = 64;

    /// One thing that goes wrong.
    #[must_use]
    pub fn on(on: On) -> Self {
        Self { on: vec![on], ..Self::default() }
    }

    /// A token that is like this.
    #[must_use]
    pub fn token(token: Token) -> Self {
        Self { token, ..Self::default() }
    }

    /// Another thing that goes wrong as well.
    #[must_use]
    pub fn and(mut self, on: On) -> Self {
        self.on.push(on);
        self
    }

    pub(crate) fn parse(text: &str) -> Result<Self, ScriptError> {
        let script: Self = toml::from_str(text)?;
        if script.on.len() > Self::MAX_ON {
            return Err(ScriptError::TooMany(script.on.len()));
        }
        Ok(script)
    }
}

impl On {
    /// At every call of `call`.
    #[must_use]
    pub const fn call(call: Call, action: Action) -> Self {
        Self { call, action, after: 0, times: None }
    }

    /// Only after `calls` calls.
    #[must_use]
    pub const fn after(self, calls: u32) -> Self {
        Self { after: calls, ..self }
    }

    /// Only so often.
    #[must_use]
    pub const fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const WRITTEN: &str = r#"
        [[on]]
        call = "C_Sign"
        action = { fail = "CKR_DEVICE_ERROR" }
        after = 3
        times = 1
        [[on]]
        call = "C_Finalize"
        action = "hang"
        [[on]]
        call = "C_SignInit"
        action = { die = { heals = "initialize", code = "0x80000001" } }
        [token]
        max_sessions = 2
        renumber = "other_key"
    "#;

    #[test]
    fn what_is_written_is_what_is_read() {
        let die = Action::Die { heals: Heals::Initialize, code: Code::new(0x8000_0001) };
        let mut script =
            Script::on(On::call(Call::Sign, Action::Fail(Code::CKR_DEVICE_ERROR)).after(3).times(1))
                .and(On::call(Call::Finalize, Action::Hang))
                .and(On::call(Call::SignInit, die));
        script.token =
            Token { max_sessions: Some(2), renumber: Some(Renumber::OtherKey), ..Token::default() };
        assert_eq!(Script::parse(WRITTEN).unwrap(), script);
        assert_eq!(Script::parse(&toml::to_string(&script).unwrap()).unwrap(), script);
        assert_eq!(Script::parse("").unwrap(), Script::default());
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for text in [
            "[token]\nmax_session = 2",
            "[[on]]\ncall = \"C_Sing\"\naction = \"hang\"",
            "[[on]]\ncall = \"C_Sign\"\naction = \"hung\"",
        ] {
            assert!(Script::parse(text).is_err(), "{text}");
        }
        let many = vec![On::call(Call::Sign, Action::Hang); Script::MAX_ON + 1];
        let text = toml::to_string(&Script { on: many, ..Script::default() }).unwrap();
        assert!(matches!(Script::parse(&text), Err(ScriptError::TooMany(65))));
    }
}
