//! The files that steps read: what the operators agreed to, or what an earlier step made.
//!
//! In: a plan, and the steps that were done. Out: the digest of each file that a step reads. Promised: a file that no step makes is in what
//! the operators sign; one that a step makes is, right before another reads it, what the run that made it recorded. Secrets have no
//! digests: what can be guessed could be found by one. What a command is given are copies (`copies.rs`).

use std::path::{Path, PathBuf, absolute};

use anyhow::{Context, ensure};

use super::action::Action;
use super::plan::{Plan, digest_of};
use super::script::Work;
use super::transcript::{FileDigest, Step};
use crate::config::Config;

impl Plan {
    /// The files that no step makes and that are there: those that steps are given, and the certificates that configurations name.
    ///
    /// # Errors
    /// Which of them cannot be read.
    pub(super) fn hash_files(&self) -> Result<Vec<FileDigest>, String> {
        let given = self.actions().flat_map(Action::inputs).map(|file| ("input", PathBuf::from(file)));
        let named =
            self.configs.values().flat_map(certificates).map(|file| ("certificate", self.short(file)));
        let mut files: Vec<_> = given.chain(named).collect();
        files.retain(|(_, file)| self.maker(file).is_none() && self.directory().join(file).is_file());
        files.sort();
        files.dedup();
        let digest = |(what, file): (&str, PathBuf)| {
            digest_of(what, &file.display().to_string(), &self.directory().join(&file))
        };
        files.into_iter().map(digest).collect()
    }

    /// What a step reads of what is given to it, and of what other steps made.
    ///
    /// # Errors
    /// That a file is not what it was when the operators agreed to it, or when the step that made it ended.
    pub(super) fn read_by(
        &self,
        action: &Action,
        config: &str,
        steps: &[Step],
    ) -> anyhow::Result<Vec<FileDigest>> {
        let mut read = Vec::new();
        for file in action.inputs() {
            let agreed = || self.inputs.iter().find(|input| input.what == "input" && input.path == file);
            let known = match self.maker(Path::new(&file)) {
                Some((number, out)) => self.made((number, &out), steps)?,
                None => agreed().cloned().with_context(|| format!("nobody agreed to {file}"))?,
            };
            read.push(known);
        }
        for file in self.configs.get(config).into_iter().flat_map(certificates) {
            // Until it is made, no step can read it.
            if let Some((number, out)) = self.maker(file).filter(|_| file.exists()) {
                read.push(self.made((number, &out), steps)?);
            }
        }
        Ok(read)
    }

    /// The file that a step made, as it recorded it, if that is what it still is.
    fn made(&self, (number, out): (usize, &str), steps: &[Step]) -> anyhow::Result<FileDigest> {
        let runs = steps.iter().take(number).skip(number - 1).flat_map(|step| &step.runs);
        let recorded = runs.flat_map(|run| &run.files).rfind(|file| file.path == out);
        let recorded = recorded.with_context(|| {
            format!("{out} is there, and step {number}, which makes it, is not done: move it away, or stop")
        })?;
        let now = digest_of("output", out, &self.directory().join(out)).map_err(anyhow::Error::msg)?;
        ensure!(
            *recorded == now,
            "output {out} is not what step {number} wrote: put that back, or stop; what is there now has SHA-256 {}",
            now.sha256
        );
        Ok(now)
    }

    /// The number of the step that makes a file, and what the script calls the file there.
    fn maker(&self, file: &Path) -> Option<(usize, String)> {
        let whole = |file: &Path| absolute(self.directory().join(file)).ok();
        let wanted = whole(file)?;
        let mut makes = self.script.steps.iter().zip(1..).flat_map(|(step, number)| match &step.work {
            Work::Command { action, .. } => action.outs().into_iter().map(|out| (number, out)).collect(),
            Work::ByHand | Work::WriteDown(_) => Vec::new(),
        });
        makes.find(|(_, out)| whole(Path::new(out)).as_ref() == Some(&wanted))
    }

    fn actions(&self) -> impl Iterator<Item = &Action> {
        self.script.steps.iter().filter_map(|step| match &step.work {
            Work::Command { action, .. } => Some(action.as_ref()),
            Work::ByHand | Work::WriteDown(_) => None,
        })
    }

    /// From where the script is, if it is below.
    fn short(&self, file: &Path) -> PathBuf {
        let below = absolute(self.directory()).ok();
        below.and_then(|directory| file.strip_prefix(directory).ok()).unwrap_or(file).to_owned()
    }
}

/// The certificates that a configuration names: of its keys, of its server, and of those who certify its callers.
fn certificates(config: &Config) -> impl Iterator<Item = &Path> {
    let of_keys = config.keys.iter().filter_map(|key| key.certificate.as_ref());
    let of_keys = of_keys.flat_map(|files| std::iter::once(&files.own).chain(&files.issuer));
    of_keys.chain([&config.server.tls_certificate, &config.server.client_ca]).map(PathBuf::as_path)
}
