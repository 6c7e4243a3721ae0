//! `countersign key record`: provisioning records; and how the commands that put keys into tokens make theirs.
//!
//! In: what a token told of a key. Out: the record, signed by the key itself, in a file beside the ledger and in an entry of the ledger. A
//! signer that runs is told; if none does, the file waits for its start. Nothing here changes a token.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use base64ct::{Base64, Encoding};
use countersign_proto::Client;
use countersign_proto::v1::RecordKeyRequest;
use nix::unistd::{Uid, User, gethostname};
use serde_json::{Value, json};

use super::sections;
use crate::cli::server::refused;
use crate::cli::token::environment;
use crate::cli::{ConfigArgs, runtime};
use crate::config::Config;
use crate::key::{self, PublicKey};
use crate::provision::{
    Attestation, Attribute, Format, How, Module, Operator, Place, Public, Record, SignedRecord, Token,
    make_directory,
};
use crate::token::piv::operator;
use crate::token::pkcs11::generate::{Made, Template};
use crate::token::pkcs11::operator::{Access, Console, KeyFacts, Modules};
use crate::token::{self, Device, YubiKey, once};

mod verify;

/// What to do with records.
#[derive(clap::Subcommand)]
pub(crate) enum RecordCommand {
    /// Check a record's file: that the key itself signed it, and which entry of the ledger has it
    Verify(verify::VerifyArgs),
    /// Make the record of a key that has none: one that another program made, or that did not sign when it was made
    Make(MakeArgs),
}

/// Which key.
#[derive(clap::Args)]
pub(crate) struct MakeArgs {
    /// The key's name in the configuration
    name: String,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    copy: CopyArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Where a record is kept beside where the signer finds it.
#[derive(clap::Args)]
pub(super) struct CopyArgs {
    /// Write the provisioning record to FILE as well, and its signature to FILE.sig
    #[arg(long = "record", value_name = "FILE")]
    copy: Option<PathBuf>,
}

/// # Errors
/// What is wrong.
pub(super) fn run(command: &RecordCommand) -> anyhow::Result<()> {
    match command {
        RecordCommand::Verify(args) => verify::run(args),
        RecordCommand::Make(args) => make(args),
    }
}

/// What a token told of a key, and of itself.
pub(super) struct Told {
    module: Option<Module>,
    token: Token,
    place: Place,
    pub(super) attributes: Vec<Attribute>,
    pub(super) public_key: PublicKey,
    attestation: Option<Attestation>,
}

impl Told {
    /// Of a key behind a PKCS#11 module, which was to be as `template` says.
    ///
    /// # Errors
    /// If a call fails, or the module cannot be read.
    pub(super) fn of_object(
        console: &Console,
        (key, token): (&key::Config, &token::Config),
        (found, facts): (&crate::token::pkcs11::key::FoundKey, &KeyFacts),
        template: &Template,
    ) -> anyhow::Result<Self> {
        let (module, about) = console.provenance(token.name.as_str())?;
        let attributes = console.read_back(found.private, template, &found.public_key, key)?;
        let place = Place { label: Some(facts.label.clone()), id: Some(facts.id.clone()), slot: None };
        let public_key = found.public_key.clone();
        Ok(Self { module: Some(module), token: about, place, attributes, public_key, attestation: None })
    }

    /// Of a key in a slot; `policies` are the PIN's and the touch's that were asked for.
    ///
    /// # Errors
    /// That the card is not there, or what is wrong with the key.
    pub(super) fn of_slot(
        card: YubiKey,
        key: &key::Config,
        token: &token::Config,
        policies: Option<[String; 2]>,
    ) -> anyhow::Result<Self> {
        let slot = super::slot::slot(key)?;
        let told = operator::told(card, slot)?;
        let [pin, touch] = policies.map_or([None, None], |policies| policies.map(Some));
        let row = |name: &str, expected: Option<String>, told: String| {
            let flaw = key::Flaw::NotLocal.name();
            let accepted = name == MADE_HERE && told == "false" && key.accept.contains(&key::Flaw::NotLocal);
            let accepted = accepted.then(|| flaw.to_owned());
            Attribute { name: name.to_owned(), expected, told: Some(told), accepted }
        };
        let attributes = vec![
            row(MADE_HERE, Some("true".to_owned()), (!told.imported).to_string()),
            row("PIN policy", pin, told.pin_policy.to_string()),
            row("touch policy", touch, told.touch_policy.to_string()),
        ];
        let about = Token {
            name: token.name.as_str().to_owned(),
            label: None,
            serial: card.serial.to_string(),
            manufacturer: Some("Yubico".to_owned()),
            model: "YubiKey".to_owned(),
            firmware: told.firmware.to_string(),
        };
        let attestation = told.attestation.map(|(certificate, own)| Attestation {
            certificate: Base64::encode_string(&certificate),
            card_certificate: own.map(|own| Base64::encode_string(&own)),
        });
        let place = Place { slot: Some(slot.to_string()), ..Place::default() };
        Ok(Self { module: None, token: about, place, attributes, public_key: told.public_key, attestation })
    }
}

const MADE_HERE: &str = "made in the card";

/// A record that was made.
pub(super) struct Kept {
    /// Its file.
    path: PathBuf,
    /// Its entry, or why there is none yet.
    entry: Result<u64, String>,
}

/// Makes the record of a key, has the key sign it, writes it, and tells the signer. No module may be loaded.
///
/// # Errors
/// That the key did not sign, or that the record cannot be written.
pub(super) fn keep(
    config: &Config,
    (key, token): (&key::Config, &token::Config),
    (how, note): (How, Option<String>),
    told: Told,
    copy: &CopyArgs,
) -> anyhow::Result<Kept> {
    let Told { module, token: about, place, attributes, public_key, attestation } = told;
    let record = Record {
        format: Format::V1,
        how,
        note,
        key: key.name.as_str().to_owned(),
        purpose: key.purpose.name().to_owned(),
        scheme: key.scheme.name().to_owned(),
        time: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        operator: operator(),
        host: gethostname().map_or_else(|_| String::new(), |name| name.to_string_lossy().into_owned()),
        program: format!("countersign {}", env!("CARGO_PKG_VERSION")),
        module,
        token: about,
        place,
        attributes,
        public_key: Public::of(&public_key),
        attestation,
    };
    let signed = record.sign(|message| Ok(once::sign(token, key, &config.latch(&token.name), message)?.1))?;
    let directory = config.records();
    make_directory(&directory)?;
    let path = directory.join(signed.file_name());
    signed.write(&path)?;
    if let Some(copy) = &copy.copy {
        signed.write(copy)?;
    }
    Ok(Kept { path, entry: tell(config, &signed).map_err(|error| format!("{error:#}")) })
}

/// A key that comes to be behind a PKCS#11 module, by whichever command.
pub(super) struct Coming<'a> {
    pub(super) config: &'a Config,
    pub(super) key: &'a key::Config,
    pub(super) token: &'a token::Config,
    pub(super) how: How,
    /// From where it comes, for its record.
    pub(super) note: Option<String>,
    pub(super) copy: &'a CopyArgs,
}

/// What became of it.
pub(super) struct OnToken {
    pub(super) public_key: PublicKey,
    pub(super) facts: KeyFacts,
    pub(super) attributes: Vec<Attribute>,
    pub(super) kept: Kept,
}

impl Coming<'_> {
    /// Has `put` put it onto the token, looks at it as the service will, and makes its record.
    ///
    /// # Errors
    /// What is wrong, and whether the key is on the token now.
    pub(super) fn conclude(
        self,
        put: impl FnOnce(&Console) -> anyhow::Result<Made>,
    ) -> anyhow::Result<OnToken> {
        let Self { config, key, token, how, note, copy } = self;
        let (public_key, facts, told) = {
            let mut modules = Modules::default();
            let console = Console::open(&mut modules, token, &config.latch(&token.name), Access::Write)?;
            let made = put(&console)?;
            let facts = console.facts(made.private)?;
            // The rules of the service, on what is there now.
            let found = console.find(key).map_err(|problem| {
                anyhow::anyhow!(
                    "the key is on the token (id {}), but is not fit for service: {problem}",
                    facts.id
                )
            })?;
            let told = Told::of_object(&console, (key, token), (&found, &facts), &made.template)
                .map_err(|error| unkept(key, &error))?;
            (found.public_key, facts, told)
        };
        // The key signs its record in a session of its own, and a module is loaded once.
        let attributes = told.attributes.clone();
        let kept =
            keep(config, (key, token), (how, note), told, copy).map_err(|error| unkept(key, &error))?;
        Ok(OnToken { public_key, facts, attributes, kept })
    }
}

/// What to say if there is no record of a key that is on its token.
pub(super) fn unkept(key: &key::Config, error: &anyhow::Error) -> anyhow::Error {
    anyhow::anyhow!(
        "the key is on the token, but there is no provisioning record of it: {error:#}; put that right, then run `countersign key record make {}`",
        key.name
    )
}

fn operator() -> Operator {
    let uid = Uid::current();
    let name = User::from_uid(uid).ok().flatten().map(|user| user.name);
    // The highest number is that of nobody.
    let login = std::fs::read_to_string("/proc/self/loginuid").ok();
    let login_uid = login.and_then(|text| text.trim().parse().ok()).filter(|uid| *uid != u32::MAX);
    Operator { uid: uid.as_raw(), name, login_uid }
}

/// Has the running signer record it; the entry's index.
fn tell(config: &Config, signed: &SignedRecord) -> anyhow::Result<u64> {
    let socket = config.server.unix_socket.as_deref();
    let socket = socket.context("there is no server.unix_socket, over which a running signer is told")?;
    let request =
        RecordKeyRequest { record: signed.bytes().to_vec().into(), signature: signed.signature().to_owned() };
    let recorded = runtime()?.block_on(async {
        let client = Client::connect_unix(socket).await.context("no signer runs here")?;
        client.record_key(request).await.map_err(refused)
    });
    Ok(recorded?.receipt.context("the signer did not say where")?.entry_index)
}

impl Kept {
    pub(super) fn json(&self) -> Value {
        json!({ "file": self.path.display().to_string(), "entry": self.entry.as_ref().ok() })
    }

    pub(super) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let path = self.path.display();
        match &self.entry {
            Ok(entry) => writeln!(out, "provisioning record {path}: entry {entry} of the ledger"),
            Err(why) => writeln!(
                out,
                "provisioning record {path}: not in the ledger yet ({why}); the signer records it at its next start"
            ),
        }
    }
}

/// One line for each attribute: what it should be, and what the token says.
pub(super) fn print_attributes(out: &mut impl Write, attributes: &[Attribute]) -> io::Result<()> {
    let or = |value: &Option<String>, other: &str| {
        value.as_ref().map_or_else(|| other.to_owned(), |value| value.escape_debug().to_string())
    };
    let mut row = |name: &str, expected: &str, told: &str, mark: &str| {
        let line = format!("  {name:<24} {expected:<8}  {told:<8}  {mark}");
        writeln!(out, "{}", line.trim_end())
    };
    row("attribute", "expected", "token says", "")?;
    for attribute in attributes {
        let mark = match (&attribute.accepted, attribute.differs()) {
            (Some(flaw), _) => format!("accepted, as \"{}\"", flaw.escape_debug()),
            (None, true) => "DIFFERS".to_owned(),
            (None, false) => String::new(),
        };
        // A record that somebody hands over may say anything.
        row(
            &attribute.name.escape_debug().to_string(),
            &or(&attribute.expected, "either"),
            &or(&attribute.told, "nothing"),
            &mark,
        )?;
    }
    Ok(())
}

/// Nothing, or what is to be done about attributes that differ.
///
/// # Errors
/// That some do.
pub(super) fn want_no_differences(key: &key::Config, attributes: &[Attribute]) -> anyhow::Result<()> {
    let differ = attributes.iter().filter(|row| row.differs());
    let differences: Vec<_> = differ.map(|row| row.name.as_str()).collect();
    anyhow::ensure!(
        differences.is_empty(),
        "the key of [key.{}] is there, but {} not as it should be: use it only if you know why; if not, `countersign key delete` deletes it \
         once its section is out of the configuration, and another token, or other settings of its vendor, may do better",
        key.name,
        match differences[..] {
            [one] => format!("{one} is"),
            _ => format!("{} are", differences.join(", ")),
        }
    );
    Ok(())
}

fn make(args: &MakeArgs) -> anyhow::Result<()> {
    let config = args.config.load()?;
    let (key, token) = sections(&config, &args.name)?;
    environment::enter(std::slice::from_ref(token))?;
    let told = match &token.device {
        Device::Pkcs11(_) => {
            let mut modules = Modules::default();
            let console = Console::open(&mut modules, token, &config.latch(&token.name), Access::Read)?;
            let found = console.find(key)?;
            let facts = console.facts(found.private)?;
            Told::of_object(&console, (key, token), (&found, &facts), &Template::of_service())?
        }
        Device::YubiKey(card) => Told::of_slot(*card, key, token, None)?,
    };
    let attributes = told.attributes.clone();
    let kept = keep(&config, (key, token), (How::Found, None), told, &args.copy)?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&kept.json())?)?;
        return want_no_differences(key, &attributes);
    }
    writeln!(out, "found key {} on token {}; the token says:", key.name, token.name)?;
    print_attributes(&mut out, &attributes)?;
    kept.print(&mut out)?;
    want_no_differences(key, &attributes)
}

/// Where a record's file is, for messages.
fn shown(path: &Path) -> String {
    path.display().to_string()
}
