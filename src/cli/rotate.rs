//! `countersign rotate`: has one CA key take the place of another, step by step.
//!
//! In: a key, a step, and why. Out: the ledger's entry of it, how the line of keys stands, and what is to be done next. The running
//! signer does it, since it alone writes the ledger: over its Unix socket, for root and its own user.

use std::io::Write;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};
use clap::Subcommand;
use countersign_proto::Client;
use countersign_proto::v1::{KeyState, Line, LineMember, RotateRequest, RotationStep};
use serde_json::{Value, json};

use crate::cli::ledger::ascii;
use crate::cli::ledger::find::millis;
use crate::cli::ledger::table::{text, word};
use crate::cli::server::refused;
use crate::cli::{ConfigArgs, runtime, value};
use crate::key::UnixTime;

/// The steps, in their order.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Show how each line of keys stands, and which step is next
    Status(StatusArgs),
    /// Have a successor found and tested; nobody is told to trust it yet
    Stage(StepArgs),
    /// Put a staged successor into the bundles: whoever takes them trusts both keys
    Publish(StepArgs),
    /// Set when the successor begins to sign certificates, and the other key signs none any more
    Activate(ActivateArgs),
    /// Take back a time that was set, and has not come yet
    Cancel(StepArgs),
    /// Take the other key out of the bundles, once its certificates have ended
    Retire(RetireArgs),
}

/// Which line.
#[derive(clap::Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The name of any key of a line [default: all lines]
    key: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Which key, and why.
#[derive(clap::Args)]
pub(super) struct StepArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The successor's name
    key: String,
    #[command(flatten)]
    said: Said,
}

/// Which key, when, and why.
#[derive(clap::Args)]
pub(super) struct ActivateArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The successor's name
    key: String,
    /// From when on: an RFC 3339 time, or how long from now, such as 7days; whole seconds
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: SystemTime,
    #[command(flatten)]
    said: Said,
}

/// Which key, whatever is still valid, and why.
#[derive(clap::Args)]
pub(super) struct RetireArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The name of the key whose place was taken
    key: String,
    /// Even if certificates that it signed are still valid: whoever takes the bundle then refuses them
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    said: Said,
}

/// What every step has.
#[derive(clap::Args)]
struct Said {
    /// Why, for the ledger: one line
    #[arg(long, value_name = "TEXT")]
    why: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Command {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        match self {
            Self::Status(args) => args.run(out),
            Self::Stage(args) => args.take(RotationStep::Stage, out),
            Self::Publish(args) => args.take(RotationStep::Publish, out),
            Self::Cancel(args) => args.take(RotationStep::Cancel, out),
            Self::Activate(args) => {
                let at_ms = millis(args.at).div_ceil(1000).saturating_mul(1000);
                let request = args.said.request(args.key, RotationStep::Activate);
                take(&args.config, RotateRequest { at_ms, ..request }, &args.said, out)
            }
            Self::Retire(args) => {
                let request = args.said.request(args.key, RotationStep::Retire);
                take(&args.config, RotateRequest { force: args.force, ..request }, &args.said, out)
            }
        }
    }
}

impl StepArgs {
    fn take(self, step: RotationStep, out: &mut impl Write) -> anyhow::Result<()> {
        take(&self.config, self.said.request(self.key, step), &self.said, out)
    }
}

impl Said {
    fn request(&self, key: String, step: RotationStep) -> RotateRequest {
        RotateRequest { key, step: step.into(), why: self.why.clone(), ..RotateRequest::default() }
    }
}

impl StatusArgs {
    fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        let key = self.key.unwrap_or_default();
        let lines = runtime()?.block_on(async {
            let client = connect(&self.config).await?;
            client.lines(&key).await.map_err(refused)
        })?;
        if self.json {
            let lines: Vec<Value> = lines.iter().map(json_line).collect();
            writeln!(out, "{}", ascii(&format!("{:#}", Value::from(lines))))?;
            return Ok(());
        }
        if lines.is_empty() {
            writeln!(out, "no key takes the place of another: `succeeds` in a key's section says so")?;
        }
        for line in &lines {
            show(line, out)?;
        }
        Ok(())
    }
}

async fn connect(config: &ConfigArgs) -> anyhow::Result<Client> {
    config.operator(&config.load()?).await
}

/// Has the signer take a step, and shows what it has come to.
fn take(
    config: &ConfigArgs,
    request: RotateRequest,
    said: &Said,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let (key, step) = (request.key.clone(), done(request.step()));
    let answer =
        runtime()?.block_on(async { connect(config).await?.rotate(request).await.map_err(refused) })?;
    let entry = answer.receipt.context("the signer gave no receipt")?.entry_index;
    let line = answer.line.context("the signer did not say how the line stands")?;
    if said.json {
        let taken = json!({ "entry": entry, "line": json_line(&line) });
        writeln!(out, "{}", ascii(&format!("{taken:#}")))?;
        return Ok(());
    }
    writeln!(out, "{step} {key}: entry {entry}")?;
    show(&line, out)
}

/// The step's word, once it is taken.
fn done(step: RotationStep) -> &'static str {
    match step {
        RotationStep::Stage => "staged",
        RotationStep::Publish => "published",
        RotationStep::Activate => "set the time of",
        RotationStep::Cancel => "took back the time of",
        RotationStep::Retire => "retired",
        RotationStep::Unspecified => "did nothing to",
    }
}

/// A line for each key, and what is next.
fn show(line: &Line, out: &mut impl Write) -> anyhow::Result<()> {
    let widest = line.members.iter().map(|member| member.name.len()).max().unwrap_or_default();
    for member in &line.members {
        let (name, state) = (word(member.name.as_bytes()), state(member.state()));
        let at = at(member).map(|at| format!(" {} {at}", preposition(member.state()))).unwrap_or_default();
        let absent = if member.in_service { "" } else { "  (not in the configuration)" };
        let fingerprint = text(&member.ssh_fingerprint);
        writeln!(out, "{name:<widest$}  {fingerprint}  {state}{at}{absent}")?;
    }
    writeln!(out, "next: {}", text(&line.next))?;
    Ok(())
}

fn json_line(line: &Line) -> Value {
    let members: Vec<Value> = line
        .members
        .iter()
        .map(|member| {
            let at = at(member).map(|at| at.to_string());
            json!({
                "key": member.name,
                "fingerprint": member.ssh_fingerprint,
                "state": state(member.state()),
                "at": at,
                "in_service": member.in_service,
            })
        })
        .collect();
    json!({ "keys": members, "next": line.next })
}

fn at(member: &LineMember) -> Option<UnixTime> {
    (member.at_ms != 0).then_some(UnixTime(member.at_ms / 1000))
}

const fn preposition(state: KeyState) -> &'static str {
    match state {
        KeyState::Superseded => "since",
        _ => "for",
    }
}

/// The state's word.
pub(super) fn state(state: KeyState) -> String {
    let name = state.as_str_name();
    name.strip_prefix("KEY_STATE_").unwrap_or(name).to_lowercase()
}

/// A time, or how long from now.
fn moment(text: &str) -> anyhow::Result<SystemTime> {
    let from_now = |after: Duration| SystemTime::now().checked_add(after);
    if let Some(at) = humantime::parse_duration(text).ok().and_then(from_now) {
        return Ok(at);
    }
    value::time(text)
        .map_err(|_| anyhow!("is no time such as 2027-01-31T08:00:00Z, and no duration such as 7days"))
}
