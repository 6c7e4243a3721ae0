//! `countersign bench`: load on a running signer, and what it did with it.
//!
//! In: how many callers over how many connections, for how long. Out: signatures per second and a latency histogram,
//! and with `--server-pid` the signer's CPU time for each signature; with `--token` what part that is of what the token
//! can do. Every certificate that it has signed is in the ledger, like any other: use a key that is for this, on a
//! signer that is for this.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use countersign_tbs::TbsKind;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::policy::kind;
use super::server::ServerArgs;
use super::token::environment;
use crate::key::Scheme;
use crate::token::latch::Latch;
use crate::token::{self, process};

mod cpu;
mod load;
mod raw;
mod template;

use cpu::CpuTime;
use load::{Load, Shape, Spent, Tally};
use raw::Raw;
use template::Template;

/// Arguments of `countersign bench`.
#[derive(clap::Args)]
pub(super) struct BenchArgs {
    /// The key, an SSH user or host CA, an X.509 CA, or one for OCSP responses
    key: String,
    #[command(flatten)]
    server: ServerArgs,
    /// A principal that the key's profile allows; of an X.509 CA a TLS server's DNS name; of a key for OCSP responses none
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    /// What is signed: by an X.509 CA x509-certificate or ocsp-response, by any other key the one kind that it may. Of CRLs there
    /// is no load: each must have a higher number than the one before, so that callers side by side would be refused
    #[arg(long, value_parser = kind)]
    kind: Option<TbsKind>,
    /// The certificate of an X.509 CA, PEM or DER
    #[arg(long, value_name = "FILE")]
    ca_certificate: Option<PathBuf>,
    /// How many requests are in flight at once; not with --rate
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    callers: u32,
    /// How many connections they share: no more than there are callers
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    connections: u32,
    /// How long to measure, after a tenth of that to warm up
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// Requests per second from a fixed schedule (open loop) instead of one after the other; latency then counts from the schedule
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// One SignStream for each connection instead of a Sign for each request
    #[arg(long)]
    stream: bool,
    /// The signer's process on this machine: its CPU time, with its token processes', for each signature
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// This token's raw C_Sign loop in the same run, with keys that are made on it and destroyed at the end: the
    /// signer's rate is told as a part of it
    #[arg(long, value_name = "NAME", requires = "config")]
    token: Option<String>,
    /// The configuration that has the token
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_CONFIG")]
    config: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl BenchArgs {
    /// How many connections are of use: a caller has one request in flight.
    fn connections(&self) -> u32 {
        if self.rate.is_some() { self.connections } else { self.connections.min(self.callers) }
    }
}

/// Gives this process what the token's module wants of its environment. Before there are threads.
///
/// # Errors
/// A configuration at fault, or one without the token.
pub(super) fn prepare(args: &BenchArgs) -> anyhow::Result<Option<(token::Config, Latch, Scheme)>> {
    let (Some(name), Some(path)) = (&args.token, &args.config) else { return Ok(None) };
    process::seal()?;
    let config = super::load(path)?;
    let (token, scheme) = raw::section(&config, name, &args.key)?;
    environment::enter(std::slice::from_ref(token))?;
    Ok(Some((token.clone(), config.latch(&token.name), scheme)))
}

/// Runs the load and prints what came of it.
///
/// # Errors
/// No connection, a key that cannot be used, or no signature at all.
pub(super) async fn run(
    args: BenchArgs,
    token: Option<(token::Config, Latch, Scheme)>,
) -> anyhow::Result<()> {
    let mut clients = Vec::new();
    for _ in 0..args.connections() {
        clients.push(args.server.connect().await?);
    }
    let key = clients.first().context("no connection")?.get_key(&args.key).await?;
    let template = Template::new(&key, args.kind, args.principal.as_ref(), args.ca_certificate.as_ref())?;
    let mut raw =
        token.as_ref().map(|(token, latch, scheme)| Raw::open(token, latch, *scheme)).transpose()?;
    measure(&mut raw, &args)?;
    let shape = match (args.rate, args.stream) {
        (Some(rate), false) => Shape::Open { rate },
        (rate, true) => Shape::Stream { rate },
        (None, false) => Shape::Closed,
    };
    let next = Arc::new(AtomicU64::new(first_number()));
    let kind = template.kind;
    let load = Load { clients, template, callers: args.callers, shape, next };
    within_budget(&load.run(args.duration / 10, &mut |_| ()).await)?;
    let before = args.server_pid.map(CpuTime::of_tree).transpose()?;
    let tally = load.run(args.duration, &mut progress).await;
    within_budget(&tally)?;
    let cpu = match (args.server_pid, before) {
        (Some(pid), Some(before)) => Some(CpuTime::of_tree(pid)?.since(before)),
        _ => None,
    };
    ensure!(tally.signed() > 0, "not one request was signed: {}", tally.errors_in_words());
    let per_second = tally.rate();
    measure(&mut raw, &args)?;
    let raw = raw.map(|raw| raw.report(per_second)).transpose()?;
    print(&args, &report(&args, &Measured { kind, tally, per_second, cpu, raw }));
    Ok(())
}

/// The first of the load's numbers: two loads that do not begin in the same millisecond share none.
fn first_number() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Four million for each millisecond that passes: nobody makes as many.
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX) << 22
}

/// # Errors
/// That the caller's budget is used up: no figure of such a run says anything about the signer.
fn within_budget(tally: &Tally) -> anyhow::Result<()> {
    let why = match tally.spent {
        None => return Ok(()),
        Some(Spent::Exhausted) => "BUDGET_EXHAUSTED: the caller's profile allows no more for now",
        Some(Spent::Frozen) => {
            "FROZEN: the caller has gone on asking, and waits for `countersign policy thaw`"
        }
    };
    bail!(
        "stopped after {} signatures, for the budget is used up ({why}). A load wants a caller of its own, whose profile has a budget \
         above what the signer can do, such as \"100000000/h\"; see docs/performance.md",
        tally.signed()
    )
}

/// Half of the raw runs, on this thread: nothing else is going on.
fn measure(raw: &mut Option<Raw>, args: &BenchArgs) -> anyhow::Result<()> {
    raw.as_mut().map_or(Ok(()), |raw| tokio::task::block_in_place(|| raw.run(args.duration / 5)))
}

#[expect(clippy::print_stderr, reason = "progress of a command that runs for a while")]
fn progress(so_far: &Tally) {
    eprintln!("{:>10} signed, {} errors", so_far.signed(), so_far.errors());
}

/// What came of a run.
struct Measured {
    kind: TbsKind,
    tally: Tally,
    per_second: f64,
    cpu: Option<Duration>,
    raw: Option<Value>,
}

fn report(args: &BenchArgs, measured: &Measured) -> Value {
    let Measured { kind, tally, per_second, cpu, raw } = measured;
    json!({
        "key": args.key,
        "kind": kind.name(),
        "shape": if args.rate.is_some() { "open" } else { "closed" },
        "call": if args.stream { "SignStream" } else { "Sign" },
        "callers": args.rate.is_none().then_some(args.callers),
        "rate": args.rate,
        "connections": args.connections(),
        "duration_s": args.duration.as_secs_f64(),
        "signed": tally.signed(),
        "errors": tally.errors_by_reason,
        "per_second": per_second.round(),
        "latency_us": quantiles(&tally.latency),
        "error_latency_us": (tally.errors() > 0).then(|| quantiles(&tally.error_latency)),
        "server_cpu_us_each": cpu.map(|cpu| per_signature(cpu, tally)),
        "raw": raw,
    })
}

fn quantiles(latency: &Histogram<u64>) -> Value {
    let micros = |quantile: f64| latency.value_at_quantile(quantile);
    json!({
        "p50": micros(0.5), "p90": micros(0.9), "p99": micros(0.99), "p999": micros(0.999), "max": latency.max(),
    })
}

fn per_signature(cpu: Duration, tally: &Tally) -> f64 {
    (cpu.as_secs_f64() * 1e7 / load::float(tally.signed())).round() / 10.0
}

#[expect(clippy::print_stdout, reason = "the command's output")]
fn print(args: &BenchArgs, report: &Value) {
    if args.json {
        println!("{report}");
        return;
    }
    let raw = &report["raw"];
    if !raw.is_null() {
        println!(
            "{} of the token's raw C_Sign loop, {}/s at best with {} sessions (runs: {})",
            raw["ratio"], raw["per_second"], raw["sessions"], raw["runs"]
        );
    }
    let asked = match args.rate {
        Some(rate) => format!("asked for {rate}/s"),
        None => format!("with {} callers", args.callers),
    };
    println!(
        "{} signed, {}/s {asked} over {} connections",
        report["signed"], report["per_second"], report["connections"]
    );
    print_latency("latency", &report["latency_us"]);
    if !report["server_cpu_us_each"].is_null() {
        println!("server CPU: {} µs for each signature", report["server_cpu_us_each"]);
    }
    println!("errors: {}", report["errors"]);
    print_latency("latency of errors", &report["error_latency_us"]);
}

#[expect(clippy::print_stdout, reason = "the command's output")]
fn print_latency(what: &str, latency: &Value) {
    if !latency.is_null() {
        println!(
            "{what} in µs: p50 {} p90 {} p99 {} p99.9 {} max {}",
            latency["p50"], latency["p90"], latency["p99"], latency["p999"], latency["max"]
        );
    }
}

/// Microseconds, 1 µs to 60 s, to three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(60_000_000, 3).unwrap_or_else(|_| unreachable!("constant bounds"))
}
