//! A transcript for people, in Markdown, and nothing that is not in the JSON.
//!
//! In: a transcript, and the digest of its JSON. Out: text. What commands printed is indented, so that nothing in it is taken for Markdown;
//! control characters are shown, not obeyed.

use std::fmt::Write;

use countersign_proto::client::escaped;

use super::transcript::{FileDigest, Outcome, Run, Step, Transcript};

/// The whole document.
pub(super) fn of(transcript: &Transcript, json_sha256: &str) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = head(&mut out, transcript, json_sha256);
    for (step, number) in transcript.steps.iter().zip(1..) {
        let _ = self::step(&mut out, number, step);
    }
    let _ = end(&mut out, transcript);
    out
}

fn head(out: &mut String, transcript: &Transcript, json_sha256: &str) -> std::fmt::Result {
    let challenge = &transcript.challenge;
    writeln!(out, "# Key ceremony: {}\n", line(&challenge.title))?;
    writeln!(out, "{}\n", outcome(transcript))?;
    writeln!(out, "This is made of `transcript.json`, whose SHA-256 is\n\n    {json_sha256}\n")?;
    writeln!(
        out,
        "It began at {} on {} ({}).\n",
        challenge.time,
        line(&transcript.host.name),
        line(&transcript.host.kernel)
    )?;
    writeln!(out, "## What was agreed to\n")?;
    writeln!(out, "countersign {}; nonce {}; SHA-256 of\n", challenge.version, challenge.nonce)?;
    writeln!(out, "    {}  script", challenge.script_sha256)?;
    files(out, &challenge.inputs)?;
    writeln!(out, "\n## Operators, of whom {} had to be there\n", transcript.threshold)?;
    for person in &transcript.operators {
        let present = transcript.present.iter().find(|present| present.name == person.name);
        let present =
            present.map_or_else(|| "not there".to_owned(), |present| format!("there at {}", present.time));
        writeln!(out, "- {}: {present}; `{}`", person.name, person.fingerprint)?;
    }
    writeln!(out)
}

fn outcome(transcript: &Transcript) -> String {
    let ended = transcript.ended.as_deref().unwrap_or("-");
    match &transcript.outcome {
        Outcome::Unfinished => {
            "**Unfinished**: it goes on, or it was killed. What follows happened.".to_owned()
        }
        Outcome::Stopped { step: None, why } => {
            format!("**Stopped** at {ended}, before the first step: {}.", line(why))
        }
        Outcome::Stopped { step: Some(step), why } => {
            format!("**Stopped** at {ended}, in step {step}: {}.", line(why))
        }
        Outcome::Complete => format!("**Complete** at {ended}: every step was done."),
    }
}

fn step(out: &mut String, number: usize, step: &Step) -> std::fmt::Result {
    writeln!(out, "## Step {number}\n")?;
    for text in step.text.trim().lines() {
        writeln!(out, "> {}", line(text))?;
    }
    writeln!(out)?;
    if let Some(command) = &step.command {
        block(out, &format!("countersign {}", quoted(command)))?;
    }
    for run in &step.runs {
        self::run(out, run)?;
    }
    if let (Some(what), Some(written)) = (&step.write_down, &step.written) {
        writeln!(out, "Written down, {}:\n", line(what))?;
        block(out, written)?;
    }
    match (&step.done, &step.command) {
        (Some(time), _) => writeln!(out, "Done at {time}.\n"),
        (None, _) => writeln!(out, "Not done.\n"),
    }
}

fn run(out: &mut String, run: &Run) -> std::fmt::Result {
    let status = run.status.as_deref().unwrap_or(match run.problem {
        Some(_) => "not run",
        None => "not run again, for it had succeeded before",
    });
    match &run.ended {
        Some(ended) => writeln!(out, "Began at {}, ended at {ended}: {}.\n", run.began, line(status))?,
        None => writeln!(out, "Began at {}, and was not seen to end.\n", run.began)?,
    }
    if let Some(problem) = &run.problem {
        let (problem, details) = problem.split_once('\n').unwrap_or((problem, ""));
        writeln!(out, "**Failed**: {}.\n", line(problem.trim_end_matches(':')))?;
        block(out, details)?;
    }
    if !run.inputs.is_empty() {
        writeln!(out, "SHA-256 of what it read:\n")?;
        files(out, &run.inputs)?;
        writeln!(out)?;
    }
    let parts = [
        ("It printed:", Some(&run.output)),
        ("On standard error:", Some(&run.errors)),
        ("The signer logged:", run.signer_log.as_ref()),
    ];
    for (title, text) in parts {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            writeln!(out, "{title}\n")?;
            block(out, text)?;
        }
    }
    if !run.files.is_empty() {
        writeln!(out, "SHA-256 of what it wrote:\n")?;
        files(out, &run.files)?;
        writeln!(out)?;
    }
    Ok(())
}

fn end(out: &mut String, transcript: &Transcript) -> std::fmt::Result {
    writeln!(out, "## Keys\n")?;
    for key in &transcript.keys {
        writeln!(out, "{} ({}): `{}`\n", key.name, line(&key.config), key.fingerprint)?;
        block(out, &key.openssh)?;
    }
    if transcript.keys.is_empty() {
        writeln!(out, "None was made.\n")?;
    }
    writeln!(out, "## Signatures\n")?;
    writeln!(
        out,
        "Of `transcript.json`, beside it: `transcript.json.NAME.sig` of each operator who was there at the end, and"
    )?;
    writeln!(
        out,
        "`transcript.json.key=NAME.sig` of each key that was made. `countersign ceremony verify` checks all of them."
    )
}

fn files(out: &mut String, files: &[FileDigest]) -> std::fmt::Result {
    files
        .iter()
        .try_for_each(|file| writeln!(out, "    {}  {} {}", file.sha256, file.what, escaped(&file.path)))
}

/// Lines as they are, each indented, and an empty one after them.
fn block(out: &mut String, text: &str) -> std::fmt::Result {
    if text.is_empty() {
        return Ok(());
    }
    text.lines().try_for_each(|text| writeln!(out, "    {}", escaped(text)))?;
    writeln!(out)
}

/// In one line of prose, where Markdown's own signs mean themselves.
fn line(text: &str) -> String {
    let mut line = String::new();
    for letter in escaped(text).chars() {
        if matches!(letter, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|') {
            line.push('\\');
        }
        line.push(letter);
    }
    line
}

/// Arguments as a shell would take them.
pub(super) fn quoted(arguments: &[String]) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_=./:,@%+".contains(letter);
    let quote = |word: &String| {
        if word.chars().all(is_plain) { word.clone() } else { format!("'{}'", word.replace('\'', r"'\''")) }
    };
    arguments.iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_printed_is_shown_and_not_obeyed() {
        assert_eq!(line("a\u{1b}[2Jb"), r"a\\u{1b}\[2Jb");
        assert_eq!(line("*not* <b>bold</b> [x](y)"), r"\*not\* \<b\>bold\</b\> \[x\](y)");
        let words = ["key", "--subject=O=It's", "--out=a b"].map(str::to_owned);
        assert_eq!(quoted(&words), r"key '--subject=O=It'\''s' '--out=a b'");
    }
}
