//! `countersign ledger prove`: the proof that a request is in the log, for somebody who has no access to it.
//!
//! In: the index, and maybe the leaf hash, of a receipt. Out: that the proof holds, for people, or the proof as JSON with all that a check
//! needs, RFC 6962's; it was checked here either way. What no proof shows, is that others were given the same root: a signed checkpoint does.

use std::io::Write;

use anyhow::Context;
use base64ct::{Base64, Encoding};
use countersign_proto::v1;
use serde_json::{Value, json};

use crate::cli::ledger::source::{Opened, Source, refused};
use crate::cli::ledger::{ascii, hex, note, table};
use crate::ledger::merkle::{Hash, check_inclusion};
use crate::ledger::{Archive, Inclusion};

/// Of which entry, in which tree.
///
/// A SignResponse's receipt suffices: INDEX is its entry_index, and --leaf-hash its leaf_hash.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Prove {
    /// The entry's index
    index: u64,
    #[command(flatten)]
    source: Source,
    /// The tree of the first N entries [default: of all]
    #[arg(long, value_name = "N")]
    size: Option<u64>,
    /// The entry's hash, in hexadecimal or base64; if the log has another entry there, this fails
    #[arg(long, value_name = "HASH", value_parser = leaf_hash)]
    leaf_hash: Option<Hash>,
    /// Print the proof as one JSON object, for others to check; docs/ledger.md lists its fields
    #[arg(long)]
    json: bool,
}

impl Prove {
    pub(super) async fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let (origin, proof) = match self.source.open().await? {
            Opened::File(reader) => {
                let (archive, unusable) = Archive::open(*reader)?;
                if let Some(why) = unusable {
                    note(&format!("the ledger's index cannot be used ({why}), so all of it is read"))?;
                }
                let proof = archive.inclusion(self.index, self.size.unwrap_or(archive.size()))?;
                (archive.reader().origin().to_owned(), proof)
            }
            Opened::Signer(client) => {
                let request = v1::ProveInclusionRequest { index: self.index, size: self.size };
                let proof = client.prove_inclusion(request).await.map_err(refused)?;
                read(proof).context("the signer sent no proof")?
            }
        };
        self.check(&proof)?;
        if self.json {
            writeln!(out, "{}", ascii(&serde_json::to_string_pretty(&json(&origin, &proof))?))?;
        } else {
            let Inclusion { index, leaf_hash, size, root, hashes } = &proof;
            writeln!(out, "entry {index} is among the first {size} of {}", table::text(&origin))?;
            writeln!(out, "leaf hash {}", hex(leaf_hash))?;
            writeln!(out, "root {}", Base64::encode_string(root))?;
            writeln!(
                out,
                "{} hashes prove it, and were checked; --json prints them. Whose root it is, a signed checkpoint says",
                hashes.len()
            )?;
        }
        Ok(out.flush()?)
    }

    /// Whether the proof is of what was asked for, and shows it.
    fn check(&self, proof: &Inclusion) -> anyhow::Result<()> {
        let leaf_hash = self.leaf_hash.unwrap_or(proof.leaf_hash);
        anyhow::ensure!(
            leaf_hash == proof.leaf_hash,
            "entry {} is another one: its leaf hash is {}; this log, or the receipt, is not the right one, or the log was changed",
            self.index,
            hex(&proof.leaf_hash)
        );
        let size = self.size.unwrap_or(proof.size);
        check_inclusion(&leaf_hash, self.index, size, &proof.root, &proof.hashes)
            .with_context(|| format!("the proof for entry {} does not verify", self.index))
    }
}

/// What RFC 9162 §2.1.3.2 checks a proof by.
fn json(origin: &str, proof: &Inclusion) -> Value {
    let Inclusion { index, leaf_hash, size, root, hashes } = proof;
    json!({
        "log_origin": origin,
        "index": index,
        "leaf_hash": hex(leaf_hash),
        "tree_size": size,
        "root_hash": hex(root),
        "hashes": hashes.iter().map(|hash| hex(hash)).collect::<Vec<_>>(),
    })
}

/// A signer's proof, which may say anything.
fn read(proof: v1::InclusionProof) -> Option<(String, Inclusion)> {
    let hash = |bytes: &[u8]| Hash::try_from(bytes).ok();
    let v1::InclusionProof { index, leaf_hash, tree, hashes } = proof;
    let v1::Tree { log_origin, size, root, .. } = tree?;
    let hashes = hashes.iter().map(|bytes| hash(bytes)).collect::<Option<_>>()?;
    let (leaf_hash, root) = (hash(&leaf_hash)?, hash(&root)?);
    Some((log_origin, Inclusion { index, leaf_hash, size, root, hashes }))
}

fn leaf_hash(text: &str) -> Result<Hash, &'static str> {
    let octets = if text.len() == 64 {
        let octet = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
        (0..64).step_by(2).map(octet).collect()
    } else {
        Base64::decode_vec(text).ok()
    };
    octets.and_then(|octets| octets.try_into().ok()).ok_or("should be 32 bytes in hexadecimal or base64")
}
