//! What a verification found, in words and as JSON.

use std::fmt::Write as _;

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use crate::causes::in_one_line;
use crate::cli::ledger::hex;
use crate::cli::ledger::table;
use crate::cli::ledger::verify::Verified;
use crate::ledger::audit::{Report, Signatures, Stopped, Stranger, Unread};

/// How many open intents are listed for people.
const LISTED: usize = 20;

/// For people: what is wrong first, what is known last.
pub(super) fn text(name: &str, verified: &Verified, signatures: Signatures) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = write_text(&mut text, name, verified, signatures);
    text
}

fn write_text(out: &mut String, name: &str, verified: &Verified, signatures: Signatures) -> std::fmt::Result {
    let Verified { report, coverage, unsigned } = verified;
    for finding in report.findings.first() {
        writeln!(out, "WRONG  entry {} {}", finding.index, table::text(&finding.what.to_string()))?;
    }
    let more =
        report.findings.total().saturating_sub(u64::try_from(report.findings.first().len()).unwrap_or(0));
    if more > 0 {
        writeln!(out, "WRONG  and {more} more")?;
    }
    for index in report.open.iter().take(LISTED) {
        writeln!(out, "open   entry {index} has no outcome: a signature may exist")?;
    }
    if report.open.len() > LISTED {
        writeln!(out, "open   and {} more; --json lists all", report.open.len() - LISTED)?;
    }
    let counts = report.counts;
    let name = table::text(name);
    writeln!(out, "{name}: {} entries, root {}", report.entries, Base64::encode_string(&report.root))?;
    writeln!(
        out,
        "{} intents, {} self-tests, {} outcomes ({} signed), {} refusals, {} checkpoints, {} revocations, {} others",
        counts.intents,
        counts.self_tests,
        counts.outcomes,
        counts.signed,
        counts.refusals,
        counts.checkpoints,
        counts.revocations,
        counts.others
    )?;
    match report.compared {
        // The root was compared, and stands for each of them.
        0 if coverage.signed().is_some() && coverage.nothing() == 0 => {}
        0 => writeln!(out, "no hashes to compare with: a change that breaks no rule was not looked for")?,
        compared => writeln!(out, "{compared} entries were compared with the hashes that were known")?,
    }
    for checkpoint in &report.checkpoints {
        let verb = match checkpoint.holds {
            Some(true) => "holds",
            Some(false) => "DOES NOT HOLD",
            None => "was not reached",
        };
        writeln!(out, "the checkpoint of {} entries {verb}", checkpoint.size)?;
    }
    match coverage.signed() {
        Some(entries) => writeln!(out, "a verified checkpoint covers {entries} entries")?,
        None => writeln!(out, "no verified checkpoint covers any")?,
    }
    if coverage.nothing() > 0 {
        let nothing = coverage.nothing();
        writeln!(
            out,
            "nothing covers {nothing} entries: whether they are those that were written is not known"
        )?;
    }
    match signatures {
        Signatures::Skip => writeln!(out, "signatures were not checked")?,
        Signatures::Verify => writeln!(out, "{} signatures verify", counts.verified)?,
    }
    write_unread(out, report)?;
    for key in &report.unchecked {
        writeln!(
            out,
            "not checked: {} signatures by the {} key {} (SPKI sha256 {}), the first in entry {}; give its PEM with --key FILE: \
             `countersign key show NAME --pem >FILE` writes it, with the name that the key has today",
            key.signatures,
            table::text(&key.purpose),
            table::word(key.name.as_bytes()),
            hex(&key.spki_sha256),
            key.first
        )?;
    }
    if report.frozen_unchecked {
        writeln!(
            out,
            "not checked: intents of callers who were frozen, whom another log may have thawed: the store has other logs, or may have"
        )?;
    }
    if signatures == Signatures::Verify {
        for path in unsigned {
            let path = table::text(&path.display().to_string());
            writeln!(out, "not checked: who signed checkpoint {path}; give --log-key KEY")?;
        }
    }
    if let Some(Stopped { index, why }) = &report.stopped {
        let why = table::text(&in_one_line(why));
        writeln!(out, "not checked: entry {index}, which could not be read, and what follows: {why}")?;
    }
    if report.findings.total() == 0 {
        writeln!(out, "nothing wrong was found")?;
    }
    Ok(())
}

/// The lists that nobody could read, and those that nobody knows.
fn write_unread(out: &mut String, report: &Report) -> std::fmt::Result {
    for Unread { intent, sha256, len } in report.unread.iter().take(LISTED) {
        writeln!(
            out,
            "not checked: what entry {intent} permits, {len} bytes that are said to be a CRL, of which the ledger has the digest alone (sha256 \
             {}); give the list with --list FILE",
            hex(sha256)
        )?;
    }
    let listed = u64::try_from(LISTED.min(report.unread.len())).unwrap_or(u64::MAX);
    match report.counts.digest_only.saturating_sub(listed) {
        0 => {}
        more => writeln!(out, "not checked: and {more} more such lists")?,
    }
    for Stranger { file, sha256 } in &report.strangers {
        let file = table::text(&file.display().to_string());
        writeln!(
            out,
            "no entry that was read permits the list in {file} whose TBSCertList has the sha256 {}: it is another log's, or was signed without an \
             entry",
            hex(sha256)
        )?;
    }
    Ok(())
}

/// For programs: one object.
pub(super) fn json(name: &str, verified: &Verified, signatures: Signatures) -> Value {
    let Verified { report, coverage, unsigned } = verified;
    let counts = report.counts;
    let findings = report.findings.first().iter().map(|finding| {
        json!({ "entry": finding.index, "word": finding.what.word(), "message": finding.what.to_string() })
    });
    let unchecked = report.unchecked.iter().map(|key| {
        json!({
            "spki_sha256": hex(&key.spki_sha256), "purpose": key.purpose, "key": key.name, "signatures": key.signatures,
            "first": key.first,
        })
    });
    let unread = report.unread.iter().map(
        |unread| json!({ "entry": unread.intent, "tbs_sha256": hex(&unread.sha256), "tbs_len": unread.len }),
    );
    let strangers = report.strangers.iter().map(
        |stranger| json!({ "file": stranger.file.display().to_string(), "tbs_sha256": hex(&stranger.sha256) }),
    );
    let checkpoints = report.checkpoints.iter();
    let checkpoints =
        checkpoints.map(|checkpoint| json!({ "size": checkpoint.size, "holds": checkpoint.holds }));
    json!({
        "log": name, "entries": report.entries, "root": Base64::encode_string(&report.root),
        "intents": counts.intents, "self_tests": counts.self_tests, "outcomes": counts.outcomes,
        "refusals": counts.refusals, "checkpoint_entries": counts.checkpoints, "revocations": counts.revocations,
        "others": counts.others, "signed": counts.signed,
        "verified": counts.verified, "digest_only": counts.digest_only, "unread": unread.collect::<Vec<_>>(),
        "unknown_lists": strangers.collect::<Vec<_>>(),
        "signatures_skipped": signatures == Signatures::Skip,
        "wrong": report.findings.total(), "findings": findings.collect::<Vec<_>>(),
        "open": report.open, "unchecked": unchecked.collect::<Vec<_>>(),
        "checkpoints": checkpoints.collect::<Vec<_>>(), "compared": report.compared, "unsigned_checkpoints": unsigned.len(),
        "covered_by_checkpoint": coverage.signed(), "uncovered": coverage.nothing(), "frozen_unchecked": report.frozen_unchecked,
        "stopped": report.stopped.as_ref().map(|stopped| json!({ "entry": stopped.index, "message": in_one_line(&stopped.why) })),
    })
}
