//! `[blocklist]`: files of keys that nobody is to have a certificate for.
//!
//! In: the section, and who reads files. Out: the lists, or a fault for each that is missing or malformed, at its line.
//! Not done here: the formats, which are `policy::blocklist`'s.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Deserialize;

use crate::config::checks::path;
use crate::config::section::{List, Section};
use crate::policy::blocklist::{Blocklist, KeyList, ListFormat};

/// The largest list; that of badkeys had 60 MB in 2026.
const MAX_LEN: u64 = 512 << 20;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    badkeys: List,
    openssl: List,
    fingerprints: List,
}

/// Gives the contents of a file.
pub(super) type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

pub(super) fn read(section: &mut Section<'_, '_>, read_file: ReadFile<'_>) -> Option<Blocklist> {
    let Raw { badkeys, openssl, fingerprints } = section.read();
    let mut lists = Vec::new();
    let formats = [
        (ListFormat::Badkeys, badkeys),
        (ListFormat::Openssl, openssl),
        (ListFormat::Fingerprints, fingerprints),
    ];
    let read = formats.map(|(format, files)| read_lists(section, format, files, read_file, &mut lists));
    read.iter().all(Option::is_some).then(|| Blocklist::new(lists))
}

fn read_lists(
    section: &mut Section<'_, '_>,
    format: ListFormat,
    files: List,
    read_file: ReadFile<'_>,
    lists: &mut Vec<KeyList>,
) -> Option<BTreeSet<PathBuf>> {
    let directory = section.directory();
    let path = path(&directory);
    section.optional_list(format.name(), files, |text| {
        let file = path(text)?;
        let bytes =
            read_file(&file).map_err(|error| format!("cannot read the list {}: {error}", file.display()))?;
        let list = KeyList::parse(format, bytes).map_err(|error| format!("{} {error}", file.display()))?;
        lists.push(list);
        Ok::<_, String>(file)
    })
}

/// The contents of a regular file, which is not too large.
pub(super) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    // Before it is opened: whoever opens a pipe waits for somebody to write into it.
    let about = fs::metadata(path)?;
    if !about.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    if about.len() > MAX_LEN {
        return Err(io::Error::other("it has more than 512 MiB"));
    }
    fs::read(path)
}
