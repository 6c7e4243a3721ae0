//! `Operator.Thaw`: a caller that is frozen for a key may use it again.

use countersign_proto::v1;
use tonic::Request;

use super::{Operator, is_line, who};
use crate::caller::CallerName;
use crate::key::KeyName;
use crate::ledger::Thaw;
use crate::server::status::{OperatorFault, Rejection};
use crate::sign::Failure;

impl Operator {
    pub(super) async fn thawed(
        &self,
        request: Request<v1::ThawRequest>,
    ) -> Result<v1::ThawResponse, Rejection> {
        let thaw = checked(who(&request)?, request.into_inner())?;
        let recorded = self.signer.ledger.thaw(thaw.clone()).await.map_err(Failure::from)?;
        let receipt = recorded.ok_or(OperatorFault::NotFrozen)?;
        tracing::warn!(
            entry = receipt.index,
            why = thaw.why,
            "{} thawed {} for key {}",
            thaw.by,
            thaw.caller,
            thaw.key
        );
        Ok(v1::ThawResponse { receipt: Some(self.told(receipt)) })
    }
}

fn checked(by: CallerName, request: v1::ThawRequest) -> Result<Thaw, OperatorFault> {
    let v1::ThawRequest { key, caller, why } = request;
    let key = KeyName::new(&key).map_err(|_| OperatorFault::ThawInvalid)?;
    let caller = CallerName::parse(&caller).map_err(|_| OperatorFault::ThawInvalid)?;
    if is_line(&why) { Ok(Thaw { key, caller, by, why }) } else { Err(OperatorFault::ThawInvalid) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::caller::Caller;
    use crate::server::operator::MAX_LINE;

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
            |thaw| thaw.why = "x".repeat(MAX_LINE + 1),
        ];
        for change in bad {
            let mut thaw = good.clone();
            change(&mut thaw);
            assert_eq!(checked(by(), thaw).unwrap_err(), OperatorFault::ThawInvalid);
        }
    }
}
