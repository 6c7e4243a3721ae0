//! The transcript's digest becomes an entry in a signer's ledger.
//!
//! In: a transcript that is signed. Out: `ledger.json`, which says where its digest is. The ledger has the digest alone: whoever has the
//! transcript sees that it is not of later, and that nobody made another.

use anyhow::{Context, ensure};
use countersign_proto::Client;
use countersign_proto::client::escaped;
use countersign_proto::v1::RecordCeremonyRequest;
use serde::{Deserialize, Serialize};

use super::plan::Plan;
use super::script::Signer;
use super::signer::RunningSigner;
use super::transcript::{Directory, canonical, sha256, write};
use crate::cli::runtime;
use crate::cli::server::refused;
use crate::ledger::entry;
use crate::token::pkcs11::key::hex;

/// Where a transcript is recorded.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recorded {
    pub(super) log_origin: String,
    pub(super) entry_index: u64,
    pub(super) leaf_hash: String,
    pub(super) transcript_sha256: String,
}

/// Asks the signer of a configuration, which is started for this unless it runs.
///
/// # Errors
/// Why it is not recorded.
pub(super) fn record(
    plan: &Plan,
    directory: &Directory,
    config: &str,
    json: &str,
    participants: &[String],
) -> anyhow::Result<String> {
    let loaded = plan.configs.get(config).context("its configuration is not there")?;
    let socket =
        loaded.server.unix_socket.as_deref().context("its configuration has no server.unix_socket")?;
    let request = RecordCeremonyRequest {
        title: plan.script.title.clone(),
        transcript_sha256: entry::sha256(&[json.as_bytes()]).to_vec().into(),
        participants: participants.to_vec(),
    };
    let starts = plan.script.signer == Signer::Start;
    let signer = starts.then(|| RunningSigner::start(plan.directory(), config)).transpose()?;
    let recorded = runtime()?.block_on(async {
        let client = Client::connect_unix(socket).await.context("no signer runs here; start it")?;
        client.record_ceremony(request).await.map_err(refused)
    });
    let stopped = signer.map(RunningSigner::stop).transpose();
    let receipt = recorded?;
    let recorded = Recorded {
        log_origin: receipt.log_origin,
        entry_index: receipt.entry_index,
        leaf_hash: hex(&receipt.leaf_hash),
        transcript_sha256: sha256(json.as_bytes()),
    };
    write(&directory.receipt(), canonical(&recorded)?.as_bytes())?;
    ensure!(
        stopped.is_ok(),
        "it was recorded as entry {}, but the signer did not end well",
        recorded.entry_index
    );
    Ok(format!("recorded as entry {} of {}", recorded.entry_index, escaped(&recorded.log_origin)))
}
