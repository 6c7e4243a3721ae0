//! `Operator.RecordCeremony`: a key ceremony becomes an entry.

use countersign_proto::v1;
use tonic::Request;

use super::{Operator, is_line, who};
use crate::caller::CallerName;
use crate::ledger::Ceremony;
use crate::server::status::{OperatorFault, Rejection};
use crate::sign::Failure;

/// Those who signed a transcript are at most so many.
const MAX_PARTICIPANTS: usize = 32;

impl Operator {
    pub(super) async fn ceremony_recorded(
        &self,
        request: Request<v1::RecordCeremonyRequest>,
    ) -> Result<v1::RecordCeremonyResponse, Rejection> {
        let ceremony = checked(who(&request)?, request.into_inner())?;
        let (by, title) = (ceremony.by.clone(), ceremony.title.clone());
        let receipt = self.signer.ledger.record_ceremony(ceremony).await.map_err(Failure::from)?;
        tracing::warn!(entry = receipt.index, title, "{by} had a key ceremony recorded");
        Ok(v1::RecordCeremonyResponse { receipt: Some(self.told(receipt)) })
    }
}

fn checked(by: CallerName, request: v1::RecordCeremonyRequest) -> Result<Ceremony, OperatorFault> {
    let v1::RecordCeremonyRequest { title, transcript_sha256, participants } = request;
    let transcript_sha256 = transcript_sha256
        .as_ref()
        .try_into()
        .map_err(|_: std::array::TryFromSliceError| OperatorFault::CeremonyInvalid)?;
    let is_name = |name: &String| crate::key::KeyName::new(name).is_ok();
    let has_names = (1..=MAX_PARTICIPANTS).contains(&participants.len()) && participants.iter().all(is_name);
    if is_line(&title) && has_names {
        Ok(Ceremony { title, transcript_sha256, participants, by })
    } else {
        Err(OperatorFault::CeremonyInvalid)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::caller::Caller;

    #[test]
    fn a_ceremony_has_a_title_a_digest_and_participants() {
        let by = || Caller::from_uid(0).name().clone();
        let good = v1::RecordCeremonyRequest {
            title: "Root 1".into(),
            transcript_sha256: vec![7; 32].into(),
            participants: vec!["alice".into(), "bob".into()],
        };
        assert!(checked(by(), good.clone()).is_ok());
        let bad: [fn(&mut v1::RecordCeremonyRequest); 7] = [
            |ceremony| ceremony.title = " ".into(),
            |ceremony| ceremony.title = "one\nand another".into(),
            |ceremony| ceremony.title = "x".repeat(1025),
            |ceremony| ceremony.transcript_sha256 = vec![7; 31].into(),
            |ceremony| ceremony.participants.clear(),
            |ceremony| ceremony.participants.push("alice,mallory".into()),
            |ceremony| ceremony.participants = vec!["alice".into(); MAX_PARTICIPANTS + 1],
        ];
        for change in bad {
            let mut ceremony = good.clone();
            change(&mut ceremony);
            assert_eq!(checked(by(), ceremony).unwrap_err(), OperatorFault::CeremonyInvalid);
        }
    }
}
