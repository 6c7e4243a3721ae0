//! What a reader of the ledger asks for: `countersign.v1.Ledger`.
//!
//! In: questions. Out: entries and proofs, as the signer sent them: whoever asks verifies them. For a caller that `[ledger] readers`
//! does not list there is no such service.

use tonic::Streaming;

use super::{CallError, Client};
use crate::v1::{
    ConsistencyProof, Entry, FindEntriesRequest, FindEntriesResponse, GetCheckpointRequest,
    GetCrlNumberRequest, GetTreeRequest, InclusionProof, ListEntriesRequest, ListEntriesResponse,
    ListRevocationsRequest, ListRevocationsResponse, ListRevokedRequest, ListRevokedResponse,
    ProveConsistencyRequest, ProveInclusionRequest, Tree, WatchRequest, WatchResponse,
};

/// A ledger's entries, as they become durable.
#[derive(Debug)]
pub struct NewEntries(Streaming<WatchResponse>);

impl Client {
    /// As a reader of the ledger: its size and root.
    ///
    /// # Errors
    /// [`CallError`], with code UNIMPLEMENTED for somebody who is no reader.
    pub async fn ledger_tree(&self, request: GetTreeRequest) -> Result<Tree, CallError> {
        Ok(self.ledger.clone().get_tree(self.timed(request)).await?.into_inner())
    }

    /// As a reader of the ledger: its newest signed checkpoint, the bytes of a note. Nothing here verifies it.
    ///
    /// # Errors
    /// [`CallError`], with reason `CHECKPOINTS_OFF` or `NO_CHECKPOINT_YET` if there is none.
    pub async fn checkpoint(&self) -> Result<Vec<u8>, CallError> {
        let response = self.ledger.clone().get_checkpoint(self.timed(GetCheckpointRequest {})).await?;
        Ok(response.into_inner().note.into())
    }

    /// As a reader of the ledger: the number of the newest CRL of the key whose SPKI has this SHA-256, big-endian.
    ///
    /// # Errors
    /// As [`Self::ledger_tree`].
    pub async fn crl_number(&self, spki_sha256: [u8; 32]) -> Result<Option<Vec<u8>>, CallError> {
        let request = GetCrlNumberRequest { spki_sha256: spki_sha256.to_vec().into() };
        let response = self.ledger.clone().get_crl_number(self.timed(request)).await?;
        Ok(response.into_inner().number.map(Into::into))
    }

    /// As a reader of the ledger: some of the certificates that a CRL of now has to name.
    ///
    /// # Errors
    /// As [`Self::ledger_tree`].
    pub async fn list_revoked(&self, request: ListRevokedRequest) -> Result<ListRevokedResponse, CallError> {
        Ok(self.ledger.clone().list_revoked(self.timed(request)).await?.into_inner())
    }

    /// As a reader of the ledger: some of the revocations of all logs of its database.
    ///
    /// # Errors
    /// As [`Self::ledger_tree`].
    pub async fn list_revocations(
        &self,
        request: ListRevocationsRequest,
    ) -> Result<ListRevocationsResponse, CallError> {
        Ok(self.ledger.clone().list_revocations(self.timed(request)).await?.into_inner())
    }

    /// As a reader of the ledger: entries from an index on.
    ///
    /// # Errors
    /// As [`Self::ledger_tree`].
    pub async fn list_entries(&self, request: ListEntriesRequest) -> Result<ListEntriesResponse, CallError> {
        Ok(self.ledger.clone().list_entries(self.timed(request)).await?.into_inner())
    }

    /// As a reader of the ledger: some of the entries that a filter lets pass, newest first.
    ///
    /// # Errors
    /// As [`Self::ledger_tree`].
    pub async fn find_entries(&self, request: FindEntriesRequest) -> Result<FindEntriesResponse, CallError> {
        Ok(self.ledger.clone().find_entries(self.timed(request)).await?.into_inner())
    }

    /// As a reader of the ledger: the proof that an entry is in it. Nothing is checked here.
    ///
    /// # Errors
    /// As [`Self::ledger_tree`], and with reason `NO_SUCH_ENTRY`.
    pub async fn prove_inclusion(&self, request: ProveInclusionRequest) -> Result<InclusionProof, CallError> {
        Ok(self.ledger.clone().prove_inclusion(self.timed(request)).await?.into_inner())
    }

    /// As a reader of the ledger: the proof that it continues what it was. Nothing is checked here.
    ///
    /// # Errors
    /// As [`Self::prove_inclusion`].
    pub async fn prove_consistency(
        &self,
        request: ProveConsistencyRequest,
    ) -> Result<ConsistencyProof, CallError> {
        Ok(self.ledger.clone().prove_consistency(self.timed(request)).await?.into_inner())
    }

    /// As a reader of the ledger: entries from `from` on, or the next to come, as they become durable; no deadline holds for it.
    ///
    /// # Errors
    /// As [`Self::ledger_tree`].
    pub async fn watch_ledger(&self, from: Option<u64>) -> Result<NewEntries, CallError> {
        Ok(NewEntries(self.ledger.clone().watch(WatchRequest { from }).await?.into_inner()))
    }
}

impl NewEntries {
    /// The next entries, at least one; none once the signer stops.
    ///
    /// # Errors
    /// [`CallError`] if the call broke.
    pub async fn next(&mut self) -> Result<Option<Vec<Entry>>, CallError> {
        Ok(self.0.message().await?.map(|response| response.entries))
    }
}
