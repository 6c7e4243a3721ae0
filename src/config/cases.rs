//! A file of cases for `countersign policy test`: requests, and what the policy is to say to each.
//!
//! In: TOML, one `[case.NAME]` per request. Out: [`Case`]s in the order of the file, or every [`Fault`] at once, each with its
//! line. Relative paths are relative to the file; none is opened here.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, UNIX_EPOCH};

use countersign_tbs::TbsKind;
use countersign_tbs::ssh::{CertificateType, SubjectKey};
use serde::Deserialize;
use toml::de::DeTable;

use crate::caller::CallerName;
use crate::config::Fault;
use crate::config::checks::{path, seconds, text, word};
use crate::config::lines::Lines;
use crate::config::section::{Faults, List, Number, Section, Text};
use crate::config::syntax;
use crate::key::{PublicKey, UnixTime};
use crate::policy::fields::{Fields, NamedValue};

/// One request, and what is expected.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// Where it is in the file, from 1.
    pub(crate) line: usize,
    pub(crate) caller: CallerName,
    pub(crate) key: String,
    /// What the bytes of a file are; if not set, what the key's purpose signs first of all.
    pub(crate) kind: Option<TbsKind>,
    /// If not set, now.
    pub(crate) at: Option<UnixTime>,
    pub(crate) request: Request,
    pub(crate) expect: Expect,
}

/// What is asked for.
#[derive(Debug)]
pub(crate) enum Request {
    /// A file with the exact bytes.
    Tbs(PathBuf),
    /// A certificate of these fields for this key.
    Fields(Box<Fields>, SubjectKey),
}

/// What the policy is to say, and, if it matters, by which rule.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Expect {
    Allow { rule: Option<String> },
    Refuse { reason: String, rule: Option<String> },
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    kind: Text,
    expect: Text,
    reason: Text,
    rule: Text,
    caller: Text,
    key: Text,
    at: Text,
    tbs: Text,
    #[serde(rename = "type")]
    certificate_type: Text,
    public_key: Text,
    principals: List,
    lifetime: Text,
    backdate: Text,
    key_id: Text,
    serial: Number,
    critical_options: List,
    extensions: List,
}

/// The public key of RFC 8032 §7.1, TEST 1, for the cases that are not about keys.
const SAMPLE_KEY: [u8; 32] = [
    0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e,
    0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
];

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
const CENTURY: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// Reads `content` as the contents of the file at `file`, which is not opened.
///
/// # Errors
/// Every [`Fault`], in the order of the file.
pub(crate) fn parse(file: &Path, content: &str) -> Result<Vec<Case>, Vec<Fault>> {
    let mut faults = Faults::new(file, content);
    let lines = Lines::of(content);
    let cases = match DeTable::parse(content) {
        Ok(table) => read_all(&mut Section::root(&mut faults, table), &lines),
        Err(error) => {
            let offset = error.span().map_or(0, |span| span.start);
            faults.add(String::new(), offset, syntax::fault(content, &error));
            None
        }
    };
    match (cases, faults.into_sorted()) {
        (Some(mut cases), faults) if faults.is_empty() => {
            cases.sort_by_key(|case| case.line);
            Ok(cases)
        }
        (_, faults) => Err(faults),
    }
}

fn read_all(root: &mut Section<'_, '_>, lines: &Lines) -> Option<Vec<Case>> {
    let mut cases = Vec::new();
    if let Some(mut all) = root.required_child("case") {
        for name in all.names() {
            let line = lines.get(&["case", &name]).unwrap_or_default();
            cases.push(all.child(&name).and_then(|mut section| read(&name, line, &mut section)));
        }
    }
    root.refuse_others("is not a section: there are only [case.NAME]");
    cases.into_iter().collect()
}

fn read(name: &str, line: usize, section: &mut Section<'_, '_>) -> Option<Case> {
    let mut raw: Raw = section.read();
    let caller = section.required("caller", raw.caller.take(), |text| CallerName::parse(&text));
    let key = section.required("key", raw.key.take(), text(255));
    let at = section.or("at", raw.at.take(), None, |text| time(&text).map(Some));
    let expect = expect(&mut raw, section);
    let kinds = TbsKind::ALL.map(|kind| (kind.name(), Some(kind)));
    let kind = match raw.kind.take() {
        Some(kind) if raw.tbs.is_none() => {
            section.fault_at("kind", &kind.span(), "says what a file is, and there is no `tbs`: delete it");
            None
        }
        kind => section.or("kind", kind, None, word(kinds)),
    };
    let request = match raw.tbs.take() {
        None => fields(raw, section),
        tbs => {
            let has_fields = raw.principals.is_some() || raw.lifetime.is_some() || raw.public_key.is_some();
            if has_fields {
                section.fault("has a TBS and fields: a TBS has all of them already");
            }
            let directory = section.directory();
            section.required("tbs", tbs, path(&directory)).map(Request::Tbs)
        }
    };
    Some(Case {
        name: name.to_owned(),
        line,
        caller: caller?,
        key: key?,
        kind: kind?,
        at: at?,
        request: request?,
        expect: expect?,
    })
}

fn expect(raw: &mut Raw, section: &mut Section<'_, '_>) -> Option<Expect> {
    let allow = section.required("expect", raw.expect.take(), word([("allow", true), ("refuse", false)]));
    let rule = section.or("rule", raw.rule.take(), None, |rule| text(255)(rule).map(Some));
    let reason = raw.reason.take();
    if allow? {
        if let Some(reason) = reason {
            section.fault_at("reason", &reason.span(), "has no place where `expect` is \"allow\"");
        }
        return Some(Expect::Allow { rule: rule? });
    }
    Some(Expect::Refuse { reason: section.required("reason", reason, text(64))?, rule: rule? })
}

fn fields(raw: Raw, section: &mut Section<'_, '_>) -> Option<Request> {
    let types = [("user", CertificateType::User), ("host", CertificateType::Host)];
    let certificate_type = section.or("type", raw.certificate_type, CertificateType::User, word(types));
    let sample = SubjectKey::Plain(PublicKey::Ed25519(SAMPLE_KEY));
    let public_key =
        section.or("public_key", raw.public_key, sample, |line| SubjectKey::from_openssh_line(&line));
    let principals = section.list("principals", raw.principals, Ok::<_, String>);
    let lifetime = section.or("lifetime", raw.lifetime, HOUR, seconds(Duration::ZERO..=CENTURY));
    let backdate = section.or("backdate", raw.backdate, MINUTE, seconds(Duration::ZERO..=CENTURY));
    let key_id = section.or("key_id", raw.key_id, None, |id| Ok::<_, String>(Some(id)));
    let serial = section.or("serial", raw.serial, None, |number| u64::try_from(number).map(Some));
    let critical_options =
        section.list("critical_options", raw.critical_options, |text| NamedValue::from_str(&text));
    let extensions = section.list("extensions", raw.extensions, |text| NamedValue::from_str(&text));
    let fields = Fields {
        certificate_type: certificate_type?,
        principals: principals?.into_iter().collect(),
        lifetime: lifetime?,
        backdate: backdate?,
        key_id: key_id?,
        serial: serial?,
        critical_options: critical_options?.into_iter().collect(),
        extensions: extensions?.into_iter().collect(),
    };
    Some(Request::Fields(Box::new(fields), public_key?))
}

fn time(text: &str) -> Result<UnixTime, String> {
    let time = humantime::parse_rfc3339(text).ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    time.map(|since| UnixTime(since.as_secs()))
        .ok_or_else(|| format!("{text:?} is not a time such as \"2026-11-23T08:00:00Z\""))
}
