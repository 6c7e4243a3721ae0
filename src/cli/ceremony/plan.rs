//! The dry run: everything that can be known before a token is touched.
//!
//! In: a script. Out: a [`Plan`], which can be printed, with the digest of every program, module, configuration and other file that
//! has a part in it; or every fault at once. Nothing is written, and no module is loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use countersign_proto::client::escaped;

use super::action::Action;
use super::markdown::quoted;
use super::script::{Script, Signer, Step, Work, step_name};
use super::transcript::FileDigest;
use crate::config::{Config, Fault};
use crate::key::Scheme;
use crate::token::Device;
use crate::token::pkcs11::key::hex;

/// This very program, also if its file was replaced.
pub(super) const PROGRAM: &str = "/proc/self/exe";

/// A script that can be followed.
pub(super) struct Plan {
    pub(super) file: PathBuf,
    /// The script's own bytes.
    pub(super) content: Vec<u8>,
    pub(super) script: Script,
    /// Each configuration by its name in the script.
    pub(super) configs: BTreeMap<String, Config>,
    pub(super) inputs: Vec<FileDigest>,
}

impl Plan {
    /// # Errors
    /// Every fault of the script and of what it names.
    pub(super) fn make(file: &Path) -> Result<Self, Vec<Fault>> {
        let fault =
            |at: &str, message: String| Fault { file: Some(file.to_owned()), ..Fault::new(at, message) };
        let content =
            std::fs::read(file).map_err(|error| vec![fault("", format!("cannot be read: {error}"))])?;
        let script = Script::parse(file, &content)?;
        let mut plan =
            Self { file: file.to_owned(), content, script, configs: BTreeMap::new(), inputs: Vec::new() };
        let mut found = plan.load_configs();
        found.extend(plan.steps().into_iter().map(|(at, message)| fault(&at, message)));
        match plan.hash_inputs() {
            Ok(inputs) => plan.inputs = inputs,
            Err(message) => found.push(fault("", message)),
        }
        if found.is_empty() { Ok(plan) } else { Err(found) }
    }

    /// Where the script's paths begin, and its commands run.
    pub(super) fn directory(&self) -> &Path {
        match self.file.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        }
    }

    fn load_configs(&mut self) -> Vec<Fault> {
        let steps = self.script.steps.iter().filter_map(|step| match &step.work {
            Work::Command { config, .. } => Some((config.clone(), "the script's `config`")),
            Work::ByHand | Work::WriteDown(_) => None,
        });
        let record_in = self.script.record_in.iter().map(|name| (name.clone(), "the script's `record_in`"));
        // What the steps name comes last, and stays where both name one.
        let names: BTreeMap<_, _> = record_in.chain(steps).collect();
        let mut faults = Vec::new();
        for (name, named_by) in names {
            match Config::load_named(&self.directory().join(&name), named_by) {
                Ok(config) => _ = self.configs.insert(name, config),
                Err(found) => faults.extend(found),
            }
        }
        faults
    }

    /// What is wrong with the steps, as far as their configurations could be read.
    fn steps(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut made = BTreeSet::new();
        for (step, number) in self.script.steps.iter().zip(1..) {
            let mut complain = |message: String| faults.push((step_name(number), message));
            let Work::Command { action, config } = &step.work else { continue };
            action.fault(config).map(&mut complain);
            for file in action.makes_files() {
                if self.directory().join(&file).symlink_metadata().is_ok() {
                    complain(format!("{file} is there already: move it away"));
                }
                if made.contains(&file) {
                    complain(format!("another step makes {file}, too"));
                }
                made.insert(file);
            }
            for file in action.reads_files() {
                if !made.contains(&file) && !self.directory().join(&file).is_file() {
                    complain(format!("{file} is not there, and no step before makes it"));
                }
            }
            if let Some(loaded) = self.configs.get(config) {
                Self::missing(action, config, loaded).into_iter().for_each(complain);
            }
        }
        if let Some(config) = self.script.record_in.as_ref().and_then(|name| self.configs.get(name)) {
            faults.extend(no_socket(config).map(|message| ("record_in".to_owned(), message)));
        }
        faults
    }

    /// What is wrong between a step and its configuration.
    fn missing(action: &Action, file: &str, config: &Config) -> Vec<String> {
        let mut faults = Vec::new();
        if let Some(token) = action.token()
            && !config.tokens.iter().any(|there| there.name.as_str() == token)
        {
            faults.push(format!("there is no [token.{token}] in {file}"));
        }
        let key = action.key().map(|name| (name, config.keys.iter().find(|key| key.name.as_str() == name)));
        match key {
            Some((name, None)) => faults.push(format!("there is no [key.{name}] in {file}")),
            Some((name, Some(key))) if action.makes().is_some() && ssh_scheme(key.scheme).is_none() => {
                faults.push(format!(
                    "key {name} is to sign the transcript, and SSH has no {} signatures: make it outside of a ceremony",
                    key.scheme
                ));
            }
            _ => {}
        }
        if action.asks_signer() {
            faults.extend(no_socket(config));
        }
        faults
    }

    /// What has a part in the ceremony, as it is now.
    ///
    /// # Errors
    /// Which file cannot be read.
    pub(super) fn hash_inputs(&self) -> Result<Vec<FileDigest>, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut inputs = vec![digest_of("program", &program.display().to_string(), Path::new(PROGRAM))?];
        let mut modules = BTreeSet::new();
        for config in self.configs.values() {
            modules.extend(config.tokens.iter().filter_map(|token| match &token.device {
                Device::Pkcs11(device) => Some(device.module.clone()),
                Device::YubiKey(_) => None,
            }));
        }
        for module in modules {
            inputs.push(digest_of("module", &module.display().to_string(), &module)?);
        }
        for name in self.configs.keys() {
            inputs.push(digest_of("configuration", name, &self.directory().join(name))?);
        }
        inputs.extend(self.hash_files()?);
        Ok(inputs)
    }
}

/// The scheme by which a key of this one signs in SSH's form; `None` if it cannot.
pub(super) fn ssh_scheme(scheme: Scheme) -> Option<Scheme> {
    match scheme {
        Scheme::EcdsaP256Sha256 | Scheme::EcdsaP384Sha384 | Scheme::EcdsaP521Sha512 | Scheme::Ed25519 => {
            Some(scheme)
        }
        // The one that ssh-keygen signs with, whatever the key's own scheme is.
        Scheme::RsaPkcs1Sha256
        | Scheme::RsaPkcs1Sha384
        | Scheme::RsaPkcs1Sha512
        | Scheme::RsaPssSha256
        | Scheme::RsaPssSha384
        | Scheme::RsaPssSha512 => Some(Scheme::RsaPkcs1Sha512),
        Scheme::MlDsa44 | Scheme::MlDsa65 | Scheme::MlDsa87 => None,
    }
}

fn no_socket(config: &Config) -> Option<String> {
    let none = config.server.unix_socket.is_none();
    none.then(|| {
        "its configuration has no server.unix_socket, over which the signer is asked; set it".to_owned()
    })
}

/// # Errors
/// That the file cannot be read.
pub(super) fn digest_of(what: &str, name: &str, path: &Path) -> Result<FileDigest, String> {
    let sha256 = sha256_of(path).map_err(|error| format!("{what} {name} cannot be read: {error}"))?;
    Ok(FileDigest { what: what.to_owned(), path: name.to_owned(), sha256 })
}

/// Of a file that may be large.
fn sha256_of(path: &Path) -> io::Result<String> {
    let (mut file, mut context, mut buffer) = (File::open(path)?, Context::new(&SHA256), vec![0; 64 * 1024]);
    loop {
        let read = file.read(&mut buffer)?;
        match buffer.get(..read) {
            Some(part) if read > 0 => context.update(part),
            _ => return Ok(hex(context.finish().as_ref())),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let script = &self.script;
        writeln!(f, "key ceremony: {}", escaped(&script.title))?;
        writeln!(f, "\nSHA-256 of what has a part in it:")?;
        writeln!(f, "  {}  script {}", script.sha256, self.file.display())?;
        for input in &self.inputs {
            writeln!(f, "  {}  {} {}", input.sha256, input.what, input.path)?;
        }
        writeln!(f, "\noperators, of whom {} must be there:", script.threshold)?;
        for operator in &script.operators {
            writeln!(f, "  {}: {} {}", operator.name, operator.key.algorithm(), operator.key.fingerprint())?;
        }
        writeln!(f, "\nsteps:")?;
        for (step, number) in script.steps.iter().zip(1..) {
            f.write_str(&self.described(number, step)?)?;
        }
        writeln!(f, "\nthe transcript is signed by {}", self.signers())?;
        match &script.record_in {
            Some(config) => writeln!(f, "its digest becomes an entry in the ledger of {config}"),
            None => writeln!(f, "it is recorded in no ledger: the script names no `record_in`"),
        }
    }
}

impl Plan {
    /// A step in lines of its own.
    pub(super) fn described(&self, number: usize, step: &Step) -> Result<String, fmt::Error> {
        let mut out = String::new();
        for (text, at) in step.text.trim().lines().zip(0..) {
            let number = if at == 0 { format!("{number}.") } else { String::new() };
            writeln!(out, "{number:>4} {}", escaped(text))?;
        }
        match &step.work {
            Work::ByHand => writeln!(out, "     by hand")?,
            Work::WriteDown(what) => writeln!(out, "     by hand; to be written down: {}", escaped(what))?,
            Work::Command { action, config } => {
                let to = action.printed_to();
                let to = to.map_or_else(String::new, |file| format!(" > {}", quoted(&[file.to_owned()])));
                let command = quoted(&action.arguments(config)) + &to;
                writeln!(out, "     countersign {}", escaped(&command))?;
                match (action.asks_signer(), self.script.signer) {
                    (true, Signer::Start) => {
                        writeln!(
                            out,
                            "     asks a signer, which is started with {config} and stopped after"
                        )?;
                    }
                    (true, Signer::Running) => writeln!(out, "     asks the signer that runs here")?,
                    (false, _) => {}
                }
            }
        }
        Ok(out)
    }

    fn signers(&self) -> String {
        let keys: Vec<_> = self
            .script
            .steps
            .iter()
            .filter_map(|step| match &step.work {
                Work::Command { action, .. } => action.makes().map(|name| format!("key {name}")),
                Work::ByHand | Work::WriteDown(_) => None,
            })
            .collect();
        let operators = format!("at least {} of the operators who are there", self.script.threshold);
        keys.into_iter().chain([operators]).collect::<Vec<_>>().join(", ")
    }
}
