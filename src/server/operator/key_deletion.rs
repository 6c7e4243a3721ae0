//! `Operator.RecordKeyDeletion`: that a key is about to be deleted from its token is in the ledger first.

use countersign_proto::v1;
use tonic::Request;

use super::{Operator, on_token, who};
use crate::caller::CallerName;
use crate::ledger::KeyDeletion;
use crate::server::status::{OperatorFault, Rejection};
use crate::sign::Failure;

impl Operator {
    pub(super) async fn key_deletion_recorded(
        &self,
        request: Request<v1::RecordKeyDeletionRequest>,
    ) -> Result<v1::RecordKeyDeletionResponse, Rejection> {
        let deletion = checked(who(&request)?, request.into_inner())?;
        // By its public half, so that no copy of a key that is in service is lost, and whatever the file says by now.
        if self.signer.keys.iter().any(|key| key.public_key == deletion.public_key) {
            return Err(OperatorFault::KeyInService.into());
        }
        let recorded = self.signer.ledger.record_key_deletion(deletion.clone()).await;
        let receipt = recorded.map_err(Failure::from)?;
        tracing::warn!(
            entry = receipt.index,
            why = deletion.why,
            "{} is about to delete {} from token {}: {}",
            deletion.by,
            deletion.public_key.fingerprint(),
            deletion.token,
            deletion.place
        );
        Ok(v1::RecordKeyDeletionResponse { receipt: Some(self.told(receipt)) })
    }
}

fn checked(by: CallerName, request: v1::RecordKeyDeletionRequest) -> Result<KeyDeletion, OperatorFault> {
    let v1::RecordKeyDeletionRequest { token, spki, place, why } = request;
    let on_token = on_token(token, &spki, &place, &why);
    let (token, public_key) = on_token.ok_or(OperatorFault::KeyDeletionInvalid)?;
    Ok(KeyDeletion { token, public_key, place, by, why })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::caller::Caller;
    use crate::key::PublicKey;
    use crate::server::operator::MAX_LINE;

    #[test]
    fn a_deletion_has_a_token_a_key_a_place_and_a_reason() {
        let by = || Caller::from_uid(0).name().clone();
        let good = v1::RecordKeyDeletionRequest {
            token: "soft".into(),
            spki: PublicKey::Ed25519([7; 32]).to_spki_der().into(),
            place: "label \"old\"".into(),
            why: "it was retired".into(),
        };
        assert!(checked(by(), good.clone()).is_ok());
        let bad: [fn(&mut v1::RecordKeyDeletionRequest); 5] = [
            |deletion| deletion.token = "no such token".into(),
            |deletion| deletion.spki = b"no key".to_vec().into(),
            |deletion| deletion.place = " ".into(),
            |deletion| deletion.why = "one\nand another".into(),
            |deletion| deletion.why = "x".repeat(MAX_LINE + 1),
        ];
        for change in bad {
            let mut deletion = good.clone();
            change(&mut deletion);
            assert_eq!(checked(by(), deletion).unwrap_err(), OperatorFault::KeyDeletionInvalid);
        }
    }
}
