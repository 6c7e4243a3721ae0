//! The pipeline: one request, from bytes to signature. Start reading here.
//!
//! [`Signer::sign`] is the only way to a signature for a caller; self-tests and checkpoints pass the same types. Each
//! step takes by value what only the step before it can build, so the order below cannot be changed: there is no
//! [`Decision`](crate::policy::Decision) without a parsed TBS (or the reason why it is none), no [`Intent`] without a
//! durable entry, no [`RawSignature`](crate::token::RawSignature) without an intent, and no [`Signed`] without
//! verification and an outcome. A request that comes again, by its request id, is decided again and then answered from
//! the ledger, not signed again.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use countersign_tbs::{Tbs, TbsKind};

use crate::caller::Caller;
use crate::key::{Clock, Key, Keys, Scheme};
use crate::ledger::{Intent, Ledger, LedgerError, Permitted, Receipt, Refused};
use crate::policy::Policy;
use crate::rotation::Rotations;
use crate::token::{Asking, TokenError, TokenName, Tokens};
use crate::verify::{Signature, VerifyError};

/// The stages that one request passes, put together by [`crate::daemon`]. Cheap to clone.
#[derive(Clone)]
pub struct Signer {
    /// The keys in service.
    pub keys: Keys,
    /// Who may have what signed.
    pub policy: Policy,
    /// The record.
    pub ledger: Ledger,
    /// Where the keys live.
    pub tokens: Tokens,
    /// Which key's turn it is.
    pub rotations: Rotations,
}

impl Signer {
    /// Has one TBS signed, or says why not. Either way the ledger holds an entry, unless the ledger itself failed; of refusals beyond
    /// what it records of one caller, a count.
    ///
    /// Run it in a task of its own: dropped half way it would leave an intent without an outcome.
    ///
    /// # Errors
    /// [`Failure`], by the stage that said no.
    pub async fn sign(&self, request: Request) -> Result<Signed, Failure> {
        let tbs = Tbs::parse(request.kind, &request.bytes);
        let decision = self.policy.decide(&self.keys, request, tbs, Clock::read());
        let intent = match self.ledger.record(decision).await?.permitted()? {
            Permitted::Intent(intent) => intent,
            Permitted::Replay(replay) => return Ok(replay.verify()?),
        };
        let answer = ask(self.tokens.holding(&intent), &intent).await;
        self.ledger.settle(intent, answer)
    }

    /// Has a key sign a challenge on one token, recorded like any other use of it.
    ///
    /// # Errors
    /// [`Failure`], by the stage that said no.
    pub(crate) async fn self_test(&self, key: &Arc<Key>, token: &TokenName) -> Result<(), Failure> {
        let test = self.ledger.record_self_test(key).await?;
        let answer = ask(self.tokens.only(token, test.intent()), test.intent()).await;
        self.ledger.settle_self_test(test, answer)
    }
}

/// Has a token sign what the intent says. One whose signature does not verify is doubted, and the next is asked.
pub(crate) async fn ask(tokens: Result<Asking<'_>, TokenError>, intent: &Intent) -> Answer {
    match tokens {
        Ok(mut tokens) => {
            let result = signature(&mut tokens, intent).await;
            Answer { result, token: tokens.given().cloned() }
        }
        Err(error) => Err(error.into()).into(),
    }
}

async fn signature(tokens: &mut Asking<'_>, intent: &Intent) -> Result<Signature, Failure> {
    loop {
        let raw = tokens.sign().await?;
        match raw.verify(intent) {
            Ok(signature) => {
                tokens.believe();
                return Ok(signature);
            }
            Err(_) if tokens.doubt() => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// What came of asking the tokens.
#[derive(Debug)]
pub struct Answer {
    /// A verified signature, or why there is none.
    pub result: Result<Signature, Failure>,
    /// The token that made it; of a failure, the last that was given the bytes, if one was.
    pub token: Option<TokenName>,
}

/// Of no token.
impl From<Result<Signature, Failure>> for Answer {
    fn from(result: Result<Signature, Failure>) -> Self {
        Self { result, token: None }
    }
}

/// What a caller asks for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asks.
    pub caller: Caller,
    /// The key's name, as the caller wrote it.
    pub key: String,
    /// What the caller says that the bytes are.
    pub kind: TbsKind,
    /// The TBS, exactly as it arrived.
    pub bytes: Bytes,
    /// The caller's name for this request: asked again by it, it has the same answer.
    pub request_id: Option<RequestId>,
    /// Which lane it waits in when the token is busy.
    pub priority: Priority,
    /// When the caller no longer wants an answer.
    pub deadline: Option<Instant>,
}

/// The answer: a verified signature and where it is recorded.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The signature in the format's own encoding.
    pub signature: Vec<u8>,
    /// The TBS with its signature: the finished certificate.
    pub object: Vec<u8>,
    /// How it was signed.
    pub scheme: Scheme,
    /// Where the intent is recorded.
    pub receipt: Receipt,
    /// In which log, if that is another signer's: an answer that was given there is asked for again here.
    pub log: Option<Arc<str>>,
}

/// Why there is no signature, by the stage that said no.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Policy refused, and the ledger holds the refusal.
    #[error("refused: {0}")]
    Refused(#[from] Refused),
    /// The ledger could not record, so nothing was signed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The token gave no signature.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token's signature is wrong.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The caller's deadline passed before the signature was there; it was discarded, and the ledger says so.
    #[error("the deadline passed before the token answered; the signature was discarded")]
    TooLate,
}

/// A caller's own name for a request: 1 to 64 of `A-Z a-z 0-9 . _ : -`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RequestId(String);

/// Not a [`RequestId`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a request_id is 1 to 64 of A-Z, a-z, 0-9, '.', '_', ':' and '-'")]
pub struct InvalidRequestId;

impl RequestId {
    /// # Errors
    /// [`InvalidRequestId`] if `id` has another form.
    pub fn new(id: impl Into<String>) -> Result<Self, InvalidRequestId> {
        let id = id.into();
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
        if (1..=64).contains(&id.len()) && id.chars().all(allowed) {
            Ok(Self(id))
        } else {
            Err(InvalidRequestId)
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which lane a request waits in when its token is busy.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Priority {
    /// A person is waiting: served first.
    Interactive,
    /// A batch: served after, but never starved.
    #[default]
    Bulk,
}
