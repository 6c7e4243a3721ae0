//! The operator's steps of rotations: `Rotate` and `GetLines`.
//!
//! In: a step, or a question. Out: where the step is recorded, and how the line stands. A key that is staged signs a challenge
//! first, on every token that holds it and is there.

use std::sync::Arc;

use countersign_proto::v1;
use tonic::Request;

use super::super::message;
use super::super::status::{Rejection, RotationFault};
use super::{Operator, is_line, who};
use crate::caller::CallerName;
use crate::key::{Key, UnixTime};
use crate::ledger::entry::{RotationStep, UnixMillis};
use crate::rotation::StepRequest;

impl Operator {
    pub(super) async fn rotated(
        &self,
        request: Request<v1::RotateRequest>,
    ) -> Result<v1::RotateResponse, Rejection> {
        let wanted = wanted(who(&request)?, request.into_inner())?;
        let key = wanted.key.clone();
        let prove = async |key: &Arc<Key>| {
            let signer = &self.signer;
            for token in signer.tokens.present(&key.name) {
                signer.self_test(key, &token).await.map_err(Rejection::from)?;
            }
            Ok::<(), Rejection>(())
        };
        let receipt = self.signer.rotations.step(wanted, prove).await?;
        // So that whoever reads a file after this finds what the step has made of it.
        self.signer.rotations.followed().await;
        let line = self.signer.rotations.line(&key, UnixTime::now());
        Ok(v1::RotateResponse { receipt: Some(self.told(receipt)), line: line.as_ref().map(message::line) })
    }

    pub(super) fn lines(
        &self,
        request: &Request<v1::GetLinesRequest>,
    ) -> Result<v1::GetLinesResponse, Rejection> {
        who(request)?;
        let (key, now) = (&request.get_ref().key, UnixTime::now());
        let lines = if key.is_empty() {
            self.signer.rotations.lines(now)
        } else {
            let line = self.signer.rotations.line(key, now).filter(|line| line.members.len() > 1);
            vec![line.ok_or(RotationFault::NoSuchLine)?]
        };
        Ok(v1::GetLinesResponse { lines: lines.iter().map(message::line).collect() })
    }
}

fn wanted(by: CallerName, request: v1::RotateRequest) -> Result<StepRequest, RotationFault> {
    let (step, at) = (request.step(), request.at_ms);
    let v1::RotateRequest { key, why, force, .. } = request;
    let step = match step {
        v1::RotationStep::Stage => RotationStep::Stage,
        v1::RotationStep::Publish => RotationStep::Publish,
        v1::RotationStep::Activate => RotationStep::Activate(UnixMillis(at)),
        v1::RotationStep::Cancel => RotationStep::Cancel,
        v1::RotationStep::Retire => RotationStep::Retire(force),
        v1::RotationStep::Unspecified => return Err(RotationFault::Invalid),
    };
    let misplaced = (at != 0 && !matches!(step, RotationStep::Activate(_)))
        || (force && !matches!(step, RotationStep::Retire(_)));
    if misplaced || !is_line(&why) {
        return Err(RotationFault::Invalid);
    }
    Ok(StepRequest { key, step, by, why })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::caller::Caller;

    #[test]
    fn a_step_has_a_kind_a_reason_and_nothing_of_another() {
        let by = || Caller::from_uid(0).name().clone();
        let step = |step: v1::RotationStep, at_ms, force, why: &str| {
            let (key, step, why) = ("user-ca-2".to_owned(), step.into(), why.to_owned());
            wanted(by(), v1::RotateRequest { key, step, at_ms, force, why })
        };
        assert_eq!(
            step(v1::RotationStep::Activate, 7000, false, "it is time").unwrap().step,
            RotationStep::Activate(UnixMillis(7000))
        );
        assert_eq!(
            step(v1::RotationStep::Retire, 0, true, "it is time").unwrap().step,
            RotationStep::Retire(true)
        );
        for bad in [
            step(v1::RotationStep::Unspecified, 0, false, "why"),
            step(v1::RotationStep::Stage, 7000, false, "why"),
            step(v1::RotationStep::Publish, 0, true, "why"),
            step(v1::RotationStep::Stage, 0, false, " "),
            step(v1::RotationStep::Cancel, 0, false, "two\nlines"),
        ] {
            assert_eq!(bad.unwrap_err(), RotationFault::Invalid);
        }
    }
}
