//! What commands say, word for word, compared with a file that people have read: `transcripts/NAME.txt`.
//!
//! In: commands of a site, or what somebody saw at a terminal. What differs from run to run (fingerprints, hashes, serial
//! numbers, times, paths) is masked; the same value has the same mask throughout a transcript. A difference fails the
//! test, and is shown as one; `COUNTERSIGN_TRANSCRIPTS=write cargo test --test black_box` writes the files anew, and
//! `git diff` is what to read then.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use regex::{Captures, Regex};

use crate::site::{Site, text};

/// Set to `write`, the files are written and nothing is compared.
const VARIABLE: &str = "COUNTERSIGN_TRANSCRIPTS";

/// What differs, and what stands in its place: `<NAME>`, or `<NAME 1>`, `<NAME 2>`, … where it matters which one it is.
/// Whatever is longer comes first.
const MASKS: [(&str, &str, Which); 18] = [
    (r"-----BEGIN ([A-Z ]+)-----\n(?s:.+?)-----END [A-Z ]+-----", "PEM", Which::Any),
    (r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z| UTC)?", "time", Which::Any),
    (r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}\b", "date", Which::Any),
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "UUID", Which::Told),
    (r"SHA256:[A-Za-z0-9+/]{43}", "fingerprint", Which::Told),
    (r"\bAAAA[A-Za-z0-9+/]{40,}=*", "public key", Which::Told),
    (r"\b([0-9a-fA-F]{2}:){7,}[0-9a-fA-F]{2}\b", "octets", Which::Told),
    (r"\b[0-9a-fA-F]{64}\b", "SHA-256", Which::Told),
    (r"\b[0-9a-fA-F]{40}\b", "SHA-1", Which::Told),
    (r"\b[0-9a-f]{34}\b", "certificate serial", Which::Told),
    (r"\b[0-9a-f]{32}\b", "id", Which::Told),
    (r"\b[0-9a-f]{16}\b", "serial", Which::Told),
    (r"[A-Za-z0-9+/]{43}=|[A-Za-z0-9+/]{86}==", "base64", Which::Told),
    (r"\b(127\.0\.0\.1|localhost):[0-9]+", "address", Which::Any),
    (r"\bslot [0-9]{4,}\b", "slot", Which::Told),
    (r"\buid:[0-9]+|\buid [0-9]+", "uid", Which::Any),
    (r"\b[0-9]+(\.[0-9]+)? ?(ns|us|µs|ms|days|MiB|GiB|TiB)\b", "amount", Which::Any),
    // A second may end between what is asked for and what is decided.
    (r"\bused for [0-9]+d( [0-9]+[hms])*", "used for some days", Which::Any),
];

/// Whether it matters which of its kind a value is.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Which {
    Any,
    Told,
}

pub struct Transcript {
    name: &'static str,
    /// The site's directory, as it is written in messages.
    directory: String,
    masks: Vec<(Regex, &'static str, Which)>,
    numbers: BTreeMap<(&'static str, String), usize>,
    said: String,
}

impl Transcript {
    /// An empty one, for `transcripts/NAME.txt`.
    pub fn new(name: &'static str, site: &Site) -> Self {
        let masks = MASKS.map(|(pattern, name, which)| (Regex::new(pattern).unwrap(), name, which));
        Self {
            name,
            directory: site.dir().display().to_string(),
            masks: masks.into(),
            numbers: BTreeMap::new(),
            said: String::new(),
        }
    }

    /// Runs a command of the site's to its end, and writes down what it said.
    pub fn run(&mut self, site: &Site, args: &[&str]) -> Output {
        let output = site.run(args);
        self.tell(args, &output);
        output
    }

    /// Writes down a command that somebody else ran.
    pub fn tell(&mut self, args: &[&str], output: &Output) {
        self.shown(args, &text(&output.stdout));
        for line in self.mask(&text(&output.stderr)).lines() {
            writeln!(self.said, "{}", format!("stderr: {line}").trim_end()).unwrap();
        }
        match output.status.code() {
            Some(0) => {}
            Some(code) => writeln!(self.said, "exit status {code}").unwrap(),
            None => writeln!(self.said, "{}", output.status).unwrap(),
        }
    }

    /// Writes down a command and what it had on the screen: `Terminal::end` has it.
    pub fn shown(&mut self, args: &[&str], screen: &str) {
        let quoted = |arg: &&str| if arg.contains([' ', '*']) { format!("'{arg}'") } else { (*arg).into() };
        let words: Vec<String> = args.iter().map(quoted).collect();
        let space = if self.said.is_empty() { "" } else { "\n" };
        let (line, screen) = (self.mask(&words.join(" ")), self.mask(screen));
        write!(self.said, "{space}$ countersign {line}{screen}").unwrap();
    }

    /// Writes down what is in a file.
    pub fn file(&mut self, name: &str, content: &str) {
        let content = self.mask(content);
        write!(self.said, "\n--- {name}\n{content}").unwrap();
    }

    /// What was said, with masks. Spaces after one are the padding of a column, whose width the value may have decided.
    fn mask(&mut self, said: &str) -> String {
        let mut said = said.replace(&self.directory, "<site>");
        for (pattern, name, which) in &self.masks {
            let numbers = &mut self.numbers;
            let mask = |found: &Captures| match which {
                Which::Any => format!("<{name}>"),
                Which::Told => {
                    let next = 1 + numbers.keys().filter(|(kind, _)| *kind == *name).count();
                    let number = numbers.entry((*name, found[0].to_owned())).or_insert(next);
                    format!("<{name} {number}>")
                }
            };
            said = pattern.replace_all(&said, mask).into_owned();
        }
        said.lines().map(|line| squeeze(line).trim_end().to_owned() + "\n").collect()
    }

    /// That all of it is what the file says.
    ///
    /// # Panics
    /// With the difference, if it is not.
    pub fn compare(self) {
        let path = path(self.name);
        let does_write = std::env::var(VARIABLE).is_ok_and(|value| value == "write");
        if does_write {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &self.said).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == self.said,
            "{} is not what is said now. If it should be, run this test with {VARIABLE}=write and read `git diff`.\n{}",
            path.display(),
            difference(&path, &self.said)
        );
    }
}

/// Leaves two of the spaces after each mask.
fn squeeze(line: &str) -> String {
    let mut pieces = line.split("> ");
    let mut squeezed = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let rest = piece.trim_start_matches(' ');
        squeezed.push_str(if rest.len() == piece.len() { "> " } else { ">  " });
        squeezed.push_str(rest);
    }
    squeezed
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/black_box/transcripts").join(format!("{name}.txt"))
}

/// By `diff`: what was written, and what is said now.
fn difference(path: &Path, said: &str) -> String {
    let now = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(now.path(), said).unwrap();
    let mut diff = Command::new("diff");
    diff.args(["--unified", "--new-file", "--label", "written", "--label", "said"]);
    text(&diff.arg(path).arg(now.path()).output().unwrap().stdout)
}

#[test]
fn masks_what_differs_and_tells_values_apart() {
    let site = Site::without_token("");
    let mut transcript = Transcript::new("none", &site);
    let a = format!("SHA256:{}", "a".repeat(43));
    let b = format!("SHA256:{}", "b".repeat(43));
    let said = format!(
        "{a}     at 2026-11-27T00:11:24.123Z\n{b} and {a} in {}/pin, 0123456789abcdef, 127.0.0.1:4711, 1 of 17",
        site.dir().display()
    );
    let masked = "<fingerprint 1>  at <time>\n<fingerprint 2> and <fingerprint 1> in <site>/pin, <serial 1>, <address>, 1 of 17\n";
    assert_eq!(transcript.mask(&said), masked);
}

#[test]
fn shows_the_line_that_differs() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "one\ntwo\n").unwrap();
    let shown = difference(file.path(), "one\nthree\n");
    assert!(shown.contains("-two\n+three\n"), "{shown}");
}
