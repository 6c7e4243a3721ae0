//! The operator's gRPC service: `countersign.v1.Operator`, on the Unix socket only.
//!
//! In: calls of a user whom the kernel names. Out: what the operator decided, in the ledger. Only root and the signer's own
//! user are heard: the socket's mode lets nobody else connect, and this looks again.

use std::sync::Arc;

use countersign_proto::v1;
use countersign_proto::v1::operator_server;
use rustix::process::geteuid;
use tonic::{Request, Response, Status};

use super::message;
use super::status::{Fault, Rejection};
use crate::caller::{Caller, CallerName};
use crate::key::KeyName;
use crate::ledger::{Ledger, Thaw};
use crate::sign::Failure;

/// The longest reason, in bytes.
const MAX_WHY: usize = 1024;

/// The service. Cheap to clone.
#[derive(Clone)]
pub(super) struct Operator {
    ledger: Ledger,
}

impl Operator {
    pub(super) fn new(ledger: Ledger) -> Self {
        Self { ledger }
    }

    async fn answer(&self, request: Request<v1::ThawRequest>) -> Result<v1::ThawResponse, Rejection> {
        let caller = request.extensions().get::<Arc<Caller>>().cloned().ok_or(Fault::Internal)?;
        let thaw = checked(operator(&caller)?, request.into_inner())?;
        let recorded = self.ledger.thaw(thaw.clone()).await.map_err(Failure::from)?;
        let receipt = recorded.ok_or(Fault::NotFrozen)?;
        tracing::warn!(
            entry = receipt.index,
            why = thaw.why,
            "{} thawed {} for key {}",
            thaw.by,
            thaw.caller,
            thaw.key
        );
        Ok(v1::ThawResponse { receipt: Some(message::receipt(receipt, self.ledger.origin())) })
    }
}

#[tonic::async_trait]
impl operator_server::Operator for Operator {
    async fn thaw(&self, request: Request<v1::ThawRequest>) -> Result<Response<v1::ThawResponse>, Status> {
        Ok(Response::new(self.answer(request).await?))
    }
}

/// The name of a caller that is the operator.
pub(super) fn operator(caller: &Caller) -> Result<CallerName, Fault> {
    let operators = [0, geteuid().as_raw()].map(|uid| Caller::from_uid(uid).name().clone());
    let found = operators.into_iter().find(|operator| operator == caller.name());
    found.ok_or(Fault::OperatorOnly)
}

fn checked(by: CallerName, request: v1::ThawRequest) -> Result<Thaw, Fault> {
    let v1::ThawRequest { key, caller, why } = request;
    let is_reason =
        (1..=MAX_WHY).contains(&why.trim().len()) && why.len() <= MAX_WHY && !why.contains(char::is_control);
    let key = KeyName::new(&key).map_err(|_| Fault::ThawInvalid)?;
    let caller = CallerName::parse(&caller).map_err(|_| Fault::ThawInvalid)?;
    if is_reason { Ok(Thaw { key, caller, by, why }) } else { Err(Fault::ThawInvalid) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn only_root_and_the_signers_own_user_are_operators() {
        let own = geteuid().as_raw();
        for uid in [0, own] {
            assert_eq!(operator(&Caller::from_uid(uid)).unwrap().as_str(), format!("uid:{uid}"));
        }
        for other in [Caller::from_uid(own + 1), Caller::for_test("dns:root"), Caller::for_test("cn:uid")] {
            assert_eq!(operator(&other).unwrap_err(), Fault::OperatorOnly);
        }
    }

    #[test]
    fn a_thaw_has_a_key_a_caller_and_a_reason() {
        let by = || Caller::from_uid(0).name().clone();
        let good =
            v1::ThawRequest { key: "user-ca".into(), caller: "uid:7".into(), why: "it was a test".into() };
        assert!(checked(by(), good.clone()).is_ok());
        let bad: [fn(&mut v1::ThawRequest); 6] = [
            |thaw| thaw.key = "no such key".into(),
            |thaw| thaw.caller = "somebody".into(),
            |thaw| thaw.why = String::new(),
            |thaw| thaw.why = "  ".into(),
            |thaw| thaw.why = "one\nand another".into(),
            |thaw| thaw.why = "x".repeat(MAX_WHY + 1),
        ];
        for change in bad {
            let mut thaw = good.clone();
            change(&mut thaw);
            assert_eq!(checked(by(), thaw).unwrap_err(), Fault::ThawInvalid);
        }
    }
}
