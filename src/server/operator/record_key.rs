//! `Operator.RecordKey`: how a key came into its token, as the key itself signed it.

use countersign_proto::v1;
use tonic::Request;

use super::{Operator, who};
use crate::ledger::{KeyRecorded, Unrecorded};
use crate::provision::SignedRecord;
use crate::server::status::{OperatorFault, Rejection};
use crate::sign::Failure;

impl Operator {
    pub(super) async fn key_recorded(
        &self,
        request: Request<v1::RecordKeyRequest>,
    ) -> Result<v1::RecordKeyResponse, Rejection> {
        let (by, request) = (who(&request)?, request.into_inner());
        let signed = SignedRecord::check(request.record.to_vec(), request.signature).map_err(|error| {
            tracing::warn!("{by} sent no provisioning record: {error}");
            OperatorFault::KeyRecordInvalid
        })?;
        let _alone = self.recording.lock().await;
        let KeyRecorded { receipt, already } = self.signer.ledger.record_key(&signed, &by).await?;
        if !already {
            let (record, fingerprint) = (signed.record(), signed.public_key().fingerprint());
            let (key, token, how) = (&record.key, &record.token.name, record.how.name());
            tracing::warn!(
                entry = receipt.index,
                key,
                token,
                "{by} recorded that key {fingerprint} was {how}"
            );
        }
        Ok(v1::RecordKeyResponse { receipt: Some(self.told(receipt)), already })
    }
}

impl From<Unrecorded> for Rejection {
    fn from(error: Unrecorded) -> Self {
        match error {
            Unrecorded::Read(error) => error.into(),
            Unrecorded::Write(error) => Failure::from(error).into(),
        }
    }
}
