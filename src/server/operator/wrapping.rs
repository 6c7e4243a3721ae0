//! `RecordKeyWrapping`: that a key is about to leave its token, wrapped for another, is in the ledger first.

use countersign_proto::v1;
use tonic::Request;

use super::{Operator, on_token, who};
use crate::caller::CallerName;
use crate::key::PublicKey;
use crate::ledger::KeyWrapping;
use crate::server::status::{OperatorFault, Rejection};
use crate::sign::Failure;

impl Operator {
    pub(super) async fn key_wrapping_recorded(
        &self,
        request: Request<v1::RecordKeyWrappingRequest>,
    ) -> Result<v1::RecordKeyWrappingResponse, Rejection> {
        let wrapping = checked(who(&request)?, request.into_inner())?;
        let recorded = self.signer.ledger.record_key_wrapping(wrapping.clone()).await;
        let receipt = recorded.map_err(Failure::from)?;
        tracing::warn!(
            entry = receipt.index,
            why = wrapping.why,
            "{} is about to have {} of token {} wrapped for {}: {}",
            wrapping.by,
            wrapping.public_key.fingerprint(),
            wrapping.token,
            wrapping.recipient.fingerprint(),
            wrapping.place
        );
        Ok(v1::RecordKeyWrappingResponse { receipt: Some(self.told(receipt)) })
    }
}

fn checked(by: CallerName, request: v1::RecordKeyWrappingRequest) -> Result<KeyWrapping, OperatorFault> {
    let v1::RecordKeyWrappingRequest { token, spki, recipient_spki, place, why } = request;
    let invalid = OperatorFault::KeyWrappingInvalid;
    let (token, public_key) = on_token(token, &spki, &place, &why).ok_or(invalid)?;
    let recipient = PublicKey::from_spki_der(&recipient_spki).map_err(|_| invalid)?;
    match recipient {
        PublicKey::Rsa(_) => Ok(KeyWrapping { token, public_key, recipient, place, by, why }),
        _ => Err(invalid),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use countersign_tbs::key::RsaPublicKey;

    use super::*;
    use crate::caller::Caller;

    #[test]
    fn a_wrapping_has_a_token_a_key_a_recipient_a_place_and_a_reason() {
        let by = || Caller::from_uid(0).name().clone();
        let recipient = PublicKey::Rsa(RsaPublicKey::new(vec![0xC1; 256], vec![1, 0, 1]).unwrap());
        let good = v1::RecordKeyWrappingRequest {
            token: "soft".into(),
            spki: PublicKey::Ed25519([7; 32]).to_spki_der().into(),
            recipient_spki: recipient.to_spki_der().into(),
            place: "label \"user-ca\"".into(),
            why: "for the safe".into(),
        };
        assert!(checked(by(), good.clone()).is_ok());
        let bad: [fn(&mut v1::RecordKeyWrappingRequest); 6] = [
            |wrapping| wrapping.token = "no such token".into(),
            |wrapping| wrapping.spki = b"no key".to_vec().into(),
            |wrapping| wrapping.recipient_spki = b"no key".to_vec().into(),
            |wrapping| wrapping.recipient_spki = wrapping.spki.clone(),
            |wrapping| wrapping.place = " ".into(),
            |wrapping| wrapping.why = "one\nand another".into(),
        ];
        for change in bad {
            let mut wrapping = good.clone();
            change(&mut wrapping);
            assert_eq!(checked(by(), wrapping).unwrap_err(), OperatorFault::KeyWrappingInvalid);
        }
    }
}
