//! Makes what a guided start has planned, step by step: the directory, the token, the keys, the certificates, the configuration last.
//!
//! In: a checked [`Plan`]. Out: a directory that `countersign serve` starts from. Promised: the configuration has its name only once all
//! that it names is there and was checked; what fails half-way says what was made, and nothing is removed.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, anyhow, bail, ensure};
use countersign_tbs::TbsKind;
use countersign_tbs::x509::GeneralName;
use rustix::fs::Mode;
use serde_json::Value;
use tokio::sync::oneshot;

use super::plan::{MTLS, OPERATOR, Plan, Token};
use super::template::{self, DRAFT, Made, MadeKey};
use crate::cli::client::issue::{End, Identity, LocalKey, Subject, Wanted};
use crate::cli::fresh::{self, Readers};
use crate::cli::key::certify::section;
use crate::cli::key::self_sign::Root;
use crate::cli::signing::{Signed, Signing};
use crate::cli::x509::{SubjectPart, certificate_parts, subject};
use crate::cli::{Faults, causes, pem, runtime};
use crate::config::Config;
use crate::daemon::{self, Daemon};
use crate::directory;
use crate::key::{KeyCertificate, KeyPurpose};

/// Where a guided start is made, and how far it has come.
pub(super) struct Workshop<'a, W> {
    plan: &'a Plan,
    out: W,
    made: Made,
    /// For a person, if it ends half-way.
    done: Vec<String>,
}

/// A certificate of mutual TLS in the making.
struct Job {
    wanted: Wanted,
    subject: Subject,
}

impl<'a, W: Write> Workshop<'a, W> {
    /// Makes the directory.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn open(plan: &'a Plan, out: W) -> anyhow::Result<Self> {
        // What the token's module and the ledger make there is for the same user alone.
        rustix::process::umask(Mode::RWXG | Mode::RWXO);
        let directory = &plan.directory;
        if directory.symlink_metadata().is_ok() {
            directory::take(directory, 0o700)
                .with_context(|| format!("cannot make {} its owner's alone", directory.display()))?;
        } else {
            fresh::directory(directory)?;
        }
        Ok(Self { plan, out, made: Made::default(), done: Vec::new() })
    }

    /// Makes everything.
    ///
    /// # Errors
    /// The first thing that failed, and what was made before.
    pub(super) fn make(mut self) -> anyhow::Result<()> {
        let result = self.steps();
        result.map_err(|error| self.half_way(&error))
    }

    fn steps(&mut self) -> anyhow::Result<()> {
        self.prepare()?;
        self.token()?;
        for key in self.plan.keys() {
            self.key(key.name)?;
        }
        self.roots()?;
        self.made.certified = true;
        self.identities()?;
        self.finish()
    }

    /// What the commands below need.
    fn prepare(&mut self) -> anyhow::Result<()> {
        for directory in ["mtls", "clients"] {
            fresh::directory(&self.path(directory))?;
        }
        if let Token::New { .. } = self.plan.token {
            let tokens = self.path("tokens");
            fresh::directory(&tokens)?;
            let conf = format!(
                "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n",
                tokens.display()
            );
            fresh::file(&self.path("softhsm2.conf"), conf.as_bytes(), Readers::Owner)?;
        }
        fresh::file(&self.path(DRAFT), template::render(self.plan, &self.made)?.as_bytes(), Readers::Owner)
    }

    fn token(&mut self) -> anyhow::Result<()> {
        let name = self.plan.token.name();
        if let Token::New { label, .. } = &self.plan.token {
            let so_pin = self.path("so-pin");
            let arguments: [&OsStr; 6] = [
                "token".as_ref(),
                "init".as_ref(),
                name.as_ref(),
                "--generate-pins".as_ref(),
                "--so-pin-file".as_ref(),
                so_pin.as_ref(),
            ];
            let made = self.command(&arguments)?;
            self.made.serial = made.get("serial").and_then(Value::as_str).map(str::to_owned);
            return self.say(&format!("token {label:?}, its PINs in pin and so-pin"));
        }
        let held = self.command(&["key", "list"].map(OsStr::new))?;
        let key = |row: &Value| {
            let text = |key| row.get(key).and_then(Value::as_str);
            Some(format!("{} ({})", text("key")?, text("fingerprint")?))
        };
        let held: Vec<_> = held.as_array().into_iter().flatten().filter_map(key).collect();
        ensure!(
            held.is_empty(),
            "token {name} holds keys of these names already, which are not for a new start to use: {}. Take another token, or write the \
             configuration from countersign.example.toml",
            held.join(", ")
        );
        Ok(())
    }

    fn key(&mut self, name: &'static str) -> anyhow::Result<()> {
        let management = match &self.plan.token {
            Token::YubiKey { management_key_file: Some(file), .. } => {
                vec![OsStr::new("--management-key-file"), file.as_os_str()]
            }
            _ => Vec::new(),
        };
        let arguments = [&["key", "generate", name].map(OsStr::new)[..], &management].concat();
        let made = self.command(&arguments)?;
        let text = |key| made.get(key).and_then(Value::as_str).map(str::to_owned);
        let fingerprint = text("fingerprint").context("the new key has no fingerprint")?;
        let said = format!("key {name}, {fingerprint}");
        self.made.keys.insert(name, MadeKey { id: text("id"), fingerprint });
        self.say(&said)
    }

    /// Has each CA sign its own certificate.
    fn roots(&mut self) -> anyhow::Result<()> {
        let config = self.config()?;
        let roots = self.plan.keys().into_iter().filter(|key| key.purpose == KeyPurpose::X509Ca);
        let named =
            roots.map(|key| Ok((key.name, self.root(key.name)?))).collect::<anyhow::Result<Vec<_>>>()?;
        let path = self.plan.config();
        let signed = ask(&config.clone(), move || {
            let sign = |(name, root): (&'static str, Root)| {
                let signing = Signing::of(&config, &path, name)?;
                let tbs = root.tbs(signing.algorithm(), signing.public_key())?;
                Ok((name, signing.sign(TbsKind::X509Root, tbs.as_bytes(), certificate_parts)?))
            };
            named.into_iter().map(sign).collect::<anyhow::Result<Vec<_>>>()
        })?;
        for (name, signed) in signed {
            let file = template::certificate(name);
            fresh::file(&self.path(&file), pem("CERTIFICATE", &signed.object).as_bytes(), Readers::All)?;
            self.say_signed(&file, name, &signed)?;
        }
        Ok(())
    }

    fn root(&self, key: &str) -> anyhow::Result<Root> {
        let parts = [
            format!("O={}", self.plan.organisation),
            format!("CN={}", template::common_name(self.plan, key)),
        ];
        let parts: Result<Vec<SubjectPart>, String> = parts.iter().map(|part| part.parse()).collect();
        let name = subject(&parts.map_err(anyhow::Error::msg)?)?;
        Ok(Root { name, lifetime: template::CA_LIFETIME, path_length: Some(0) })
    }

    /// Has the certificates of the signer and of its first callers signed, and writes them beside their keys.
    fn identities(&mut self) -> anyhow::Result<()> {
        let config = self.config()?;
        let ca = KeyCertificate::load(section(&config, MTLS)?)
            .context("the certificate of the CA for mutual TLS")?;
        let jobs = [self.server()?, self.client(self.plan.front_end.as_str())?, self.client(OPERATOR)?];
        let (path, issuer) = (self.plan.config(), ca.clone());
        let signed = ask(&config.clone(), move || {
            let signing = Signing::of(&config, &path, MTLS)?;
            let sign = |job: Job| {
                let signed = job.wanted.issue(&signing, &issuer, job.subject.public())?;
                Ok((job, signed))
            };
            jobs.into_iter().map(sign).collect::<anyhow::Result<Vec<_>>>()
        })?;
        for (job, signed) in signed {
            let file = if let (End::Server, Subject::Local(key)) = (job.wanted.end, &job.subject) {
                key.write(&self.path("mtls/server.key"))?;
                let certificate = pem("CERTIFICATE", &signed.object);
                fresh::file(&self.path("mtls/server.pem"), certificate.as_bytes(), Readers::All)?;
                "mtls/server.pem".to_owned()
            } else {
                let name = format!("clients/{}", job.wanted.common_name);
                let identity = Identity { directory: self.path(&name) };
                fresh::directory(&identity.directory)?;
                identity.write(&job.subject, &signed, &ca)?;
                format!("{name}/cert.pem")
            };
            self.say_signed(&file, MTLS, &signed)?;
        }
        Ok(())
    }

    fn server(&self) -> anyhow::Result<Job> {
        let names = &self.plan.server_names;
        let mut addresses = names.addresses.clone();
        if !self.plan.listen.ip().is_unspecified() {
            addresses.insert(self.plan.listen.ip());
        }
        let first = names.first().context("the signer has no name")?;
        let names = names.dns.iter().cloned().map(GeneralName::Dns);
        let names = names.chain(addresses.into_iter().map(GeneralName::Ip)).collect();
        self.job(End::Server, &first, names)
    }

    fn client(&self, name: &str) -> anyhow::Result<Job> {
        self.job(End::Client, name, vec![GeneralName::Uri(format!("spiffe://{}/{name}", self.plan.domain))])
    }

    fn job(&self, end: End, common_name: &str, names: Vec<GeneralName>) -> anyhow::Result<Job> {
        let (common_name, lifetime) = (common_name.to_owned(), self.plan.mtls_lifetime.duration);
        let wanted = Wanted { end, common_name, names, lifetime };
        Ok(Job { wanted, subject: Subject::Local(LocalKey::generate()?) })
    }

    /// Checks all of it as `countersign check` does, and gives the configuration its name.
    fn finish(&mut self) -> anyhow::Result<()> {
        let config = self.config()?;
        runtime()?.block_on(daemon::check(&config)).map_err(Faults)?;
        let text = template::render(self.plan, &self.made)?;
        fresh::file(&self.plan.config(), text.as_bytes(), Readers::Owner)?;
        // It was written here, and what replaces it is there.
        fs::remove_file(self.path(DRAFT)).with_context(|| format!("cannot remove {DRAFT}"))?;
        self.say("countersign.toml: checked, no faults")
    }

    /// The configuration, as far as what it names is there.
    fn config(&self) -> anyhow::Result<Config> {
        let text = template::render(self.plan, &self.made)?;
        let mut config = Config::check(&self.plan.config(), &text).map_err(Faults)?;
        config.locate_credentials(std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).as_deref());
        Ok(config)
    }

    /// Runs this program with these arguments: a process of its own loads the module. What it prints as JSON.
    fn command(&self, arguments: &[&OsStr]) -> anyhow::Result<Value> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).arg("--json").arg("--config").arg(self.path(DRAFT));
        let output = command.stdin(Stdio::inherit()).output()?;
        let words: Vec<_> = arguments.iter().take(3).map(|word| word.to_string_lossy()).collect();
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim().trim_start_matches("countersign: ");
        ensure!(output.status.success(), "`countersign {}` failed: {said}", words.join(" "));
        serde_json::from_slice(&output.stdout).context("the command printed no JSON")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.plan.directory.join(name)
    }

    fn say_signed(&mut self, file: &str, key: &str, signed: &Signed) -> anyhow::Result<()> {
        self.say(&format!("{file}, signed by {key}: entry {}", signed.receipt.entry_index))
    }

    fn say(&mut self, what: &str) -> anyhow::Result<()> {
        self.done.push(what.to_owned());
        Ok(writeln!(self.out, "made {what}")?)
    }

    /// What a person is to know of a start that did not end.
    fn half_way(&self, error: &anyhow::Error) -> anyhow::Error {
        let (why, directory) = (causes(error), self.plan.directory.display());
        let done = if self.done.is_empty() { "nothing else".to_owned() } else { self.done.join("; ") };
        let keys = match &self.plan.token {
            Token::New { .. } => "",
            _ if self.made.keys.is_empty() => "",
            _ => {
                " Its keys stay on the token: delete them by their fingerprints with `countersign key delete`, or the vendor's tool."
            }
        };
        anyhow!(
            "{why}\n  made so far: the directory {directory}; {done}\n  nothing was removed. Put right what failed, move that directory away, and \
             start again: a second start does not go on where this one ended.{keys}"
        )
    }
}

/// Runs a signer that only this user of this host reaches, for as long as `work` asks it.
fn ask<T: Send + 'static>(
    config: &Config,
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    runtime()?.block_on(async {
        let daemon = Daemon::start_local(config).await.map_err(Faults)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let mut running = std::pin::pin!(daemon.run(async {
            // Dropped is as good as sent.
            let _ = stopped.await;
        }));
        // The signer first: it listens before it waits for anything.
        let result = tokio::select! {
            biased;
            ended = &mut running => bail!("the signer ended: {ended:?}"),
            result = async { tokio::task::spawn_blocking(work).await } => result?,
        };
        drop(stop);
        running.await?;
        result
    })
}
