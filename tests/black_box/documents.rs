//! What the documents name is there: files, pages, and a unit that systemd takes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::site::text;

const UNIT: &str = include_str!("../../docs/countersign.service");

/// Above this `systemd-analyze security` would rather have a unit hold its service tighter; it goes to 100.
const EXPOSURE: &str = "20";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README, ARCHITECTURE, and all of docs/.
fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.chain(["README.md", "ARCHITECTURE.md"].map(|name| root().join(name))).collect()
}

#[test]
fn every_file_that_the_architecture_names_is_there() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let code: BTreeSet<_> = page.split('`').skip(1).step_by(2).collect();
    let tops = [
        "src/",
        "tests/",
        "tbs/",
        "docs/",
        "ci/",
        "fuzz/",
        "proto/",
        "examples/",
        "faulty/",
        "softhsm/",
        "kryoptic/",
    ];
    let paths = code
        .into_iter()
        .filter(|word| tops.iter().any(|top| word.starts_with(top)) && !word.contains([' ', '*']));
    let (there, missing): (Vec<_>, Vec<_>) = paths.partition(|path| root().join(path).exists());
    assert!(missing.is_empty(), "ARCHITECTURE.md names what there is not: {missing:?}");
    assert!(there.len() > 50, "only {} paths were found in it", there.len());
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut links = 0;
    for page in pages() {
        let content = fs::read_to_string(&page).unwrap();
        for target in content.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            if file.contains("://") {
                continue;
            }
            let linked = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(linked.exists(), "{} links to {target}", page.display());
            if !anchor.is_empty() {
                let content = fs::read_to_string(&linked).unwrap();
                let mut headings = content.lines().filter(|line| line.starts_with('#')).map(slug);
                assert!(headings.any(|heading| heading == anchor), "{} links to {target}", page.display());
            }
            links += 1;
        }
    }
    assert!(links > 50, "only {links} links were found");
}

/// How a heading is linked to.
fn slug(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn systemd_takes_the_unit_and_finds_it_tight() {
    let dir = tempfile::tempdir().unwrap();
    let unit = dir.path().join("countersign.service");
    fs::write(&unit, UNIT.replace("/usr/local/bin/countersign", env!("CARGO_BIN_EXE_countersign"))).unwrap();
    // An option that it does not know is a line on standard error, and no failure. Two are new in systemd 254.
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output().unwrap();
    let is_new = |line: &&str| line.contains("RestartSteps") || line.contains("RestartMaxDelaySec");
    let said = text(&verified.stderr);
    let others: Vec<_> = said.lines().filter(|line| !is_new(line)).collect();
    assert!(verified.status.success() && others.is_empty(), "{others:?}");
    let mut judge = Command::new("systemd-analyze");
    judge.args(["security", "--offline=true", "--threshold", EXPOSURE]).arg(&unit);
    let judged = judge.output().unwrap();
    assert!(judged.status.success(), "{}", text(&judged.stdout));
}
