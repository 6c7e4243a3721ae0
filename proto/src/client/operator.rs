//! What the operator of a signer has it do, over its Unix socket: `countersign.v1.Operator`.
//!
//! In: requests. Out: what the signer did, and where that is recorded. Over TLS there is no such service.

use super::{CallError, Client};
use crate::v1::{
    GetLinesRequest, GetStatusRequest, Line, Receipt, RecordCeremonyRequest, RecordKeyDeletionRequest,
    RecordKeyRequest, RecordKeyResponse, RecordKeyWrappingRequest, RevokeRequest, RevokeResponse,
    RotateRequest, RotateResponse, ThawRequest, Trouble,
};

impl Client {
    /// As the signer's operator, over its Unix socket: lets a caller use a key again that it was frozen for. Where that is recorded.
    ///
    /// # Errors
    /// [`CallError`], with reason `NOT_FROZEN` if there is nothing to thaw.
    pub async fn thaw(&self, request: ThawRequest) -> Result<Receipt, CallError> {
        let response = self.operator.clone().thaw(self.timed(request)).await?;
        response.into_inner().receipt.ok_or_else(CallError::empty_answer)
    }

    /// As the signer's operator, over its Unix socket: takes certificates back, for ever.
    ///
    /// # Errors
    /// [`CallError`], with reason `NOTHING_TO_REVOKE` if the ledger has no such certificate.
    pub async fn revoke(&self, request: RevokeRequest) -> Result<RevokeResponse, CallError> {
        Ok(self.operator.clone().revoke(self.timed(request)).await?.into_inner())
    }

    /// As the signer's operator, over its Unix socket: has it recorded that a key is about to be deleted from its token. Where that
    /// is recorded.
    ///
    /// # Errors
    /// [`CallError`], with reason `KEY_IN_SERVICE` if the signer uses the key.
    pub async fn record_key_deletion(&self, request: RecordKeyDeletionRequest) -> Result<Receipt, CallError> {
        let response = self.operator.clone().record_key_deletion(self.timed(request)).await?;
        response.into_inner().receipt.ok_or_else(CallError::empty_answer)
    }

    /// As the signer's operator, over its Unix socket: takes a step by which one CA key takes the place of another.
    ///
    /// # Errors
    /// [`CallError`], with reason `ROTATION_OUT_OF_ORDER` if another step is next.
    pub async fn rotate(&self, request: RotateRequest) -> Result<RotateResponse, CallError> {
        Ok(self.operator.clone().rotate(self.timed(request)).await?.into_inner())
    }

    /// As the signer's operator, over its Unix socket: how the line of this key stands, or each line if none is named.
    ///
    /// # Errors
    /// [`CallError`], with reason `NO_SUCH_LINE` if the key is in no line.
    pub async fn lines(&self, key: &str) -> Result<Vec<Line>, CallError> {
        let request = self.timed(GetLinesRequest { key: key.to_owned() });
        Ok(self.operator.clone().get_lines(request).await?.into_inner().lines)
    }

    /// As the signer's operator, over its Unix socket: what keeps it from signing now.
    ///
    /// # Errors
    /// [`CallError`], with reason `OPERATOR_ONLY` for anybody else.
    pub async fn troubles(&self) -> Result<Vec<Trouble>, CallError> {
        let request = self.timed(GetStatusRequest {});
        Ok(self.operator.clone().get_status(request).await?.into_inner().troubles)
    }

    /// As the signer's operator, over its Unix socket: has it recorded that a key ceremony was held. Where that is recorded.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn record_ceremony(&self, request: RecordCeremonyRequest) -> Result<Receipt, CallError> {
        let response = self.operator.clone().record_ceremony(self.timed(request)).await?;
        response.into_inner().receipt.ok_or_else(CallError::empty_answer)
    }

    /// As the operator of a signer on this host: has it record how a key came into its token.
    ///
    /// # Errors
    /// [`CallError`], with reason `KEY_RECORD_INVALID` if the key did not sign that record.
    pub async fn record_key(&self, request: RecordKeyRequest) -> Result<RecordKeyResponse, CallError> {
        Ok(self.operator.clone().record_key(self.timed(request)).await?.into_inner())
    }

    /// As the signer's operator, over its Unix socket: has it recorded that a key is about to be wrapped for another token. Where that is
    /// recorded.
    ///
    /// # Errors
    /// [`CallError`], with reason `KEY_WRAPPING_INVALID` if the request says too little.
    pub async fn record_key_wrapping(&self, request: RecordKeyWrappingRequest) -> Result<Receipt, CallError> {
        let response = self.operator.clone().record_key_wrapping(self.timed(request)).await?;
        response.into_inner().receipt.ok_or_else(CallError::empty_answer)
    }
}
