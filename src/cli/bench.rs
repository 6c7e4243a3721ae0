//! `countersign bench`: load on a running signer, and what it did with it.
//!
//! In: how many callers over how many connections, for how long. Out: signatures per second and a latency histogram,
//! and with `--server-pid` the signer's CPU time for each signature. Every certificate that it has signed is in the
//! ledger, like any other: use a key that is for this, on a signer that is for this.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Context, ensure};
use countersign_proto::Client;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::sign::ServerArgs;
use crate::key::UnixTime;

mod cpu;
mod load;
mod template;

use cpu::CpuTime;
use load::{Load, Shape, Tally};
use template::Template;

/// Arguments of `countersign bench`.
#[derive(clap::Args)]
pub(super) struct BenchArgs {
    /// The key, an SSH user or host CA
    key: String,
    #[command(flatten)]
    server: ServerArgs,
    /// A principal that the key's profile allows
    #[arg(long, value_name = "NAME")]
    principal: String,
    /// How many requests are in flight at once
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    callers: u32,
    /// How many connections they share
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    connections: u32,
    /// How long to measure, after a tenth of that to warm up
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// Requests per second from a fixed schedule (open loop) instead of one after the other; latency then counts from the schedule
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "stream")]
    rate: Option<u32>,
    /// One SignStream for each connection instead of a Sign for each request
    #[arg(long)]
    stream: bool,
    /// The signer's process on this machine: its CPU time, with its token processes', for each signature
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the load and prints what came of it.
///
/// # Errors
/// No connection, a key that cannot be used, or no signature at all.
pub(super) async fn run(args: BenchArgs) -> anyhow::Result<()> {
    let mut clients = Vec::new();
    for _ in 0..args.connections {
        clients.push(args.server.connect().await?);
    }
    let template = template(&clients, &args).await?;
    let shape = match (args.rate, args.stream) {
        (Some(rate), _) => Shape::Open { rate },
        (None, true) => Shape::Stream,
        (None, false) => Shape::Closed,
    };
    let next = Arc::new(AtomicU64::new(UnixTime::now().0 << 32));
    let load = Load { clients, template, callers: args.callers, shape, next };
    load.run(args.duration / 10, &mut |_| ()).await;
    let before = args.server_pid.map(CpuTime::of_tree).transpose()?;
    let tally = load.run(args.duration, &mut progress).await;
    let cpu = match (args.server_pid, before) {
        (Some(pid), Some(before)) => Some(CpuTime::of_tree(pid)?.since(before)),
        _ => None,
    };
    ensure!(tally.signed() > 0, "not one request was signed: {}", tally.errors_in_words());
    print(&args, &report(&args, &tally, cpu));
    Ok(())
}

async fn template(clients: &[Client], args: &BenchArgs) -> anyhow::Result<Template> {
    let client = clients.first().context("no connection")?;
    let key = client.get_key(&args.key).await?;
    Template::new(&key, &args.principal)
}

#[expect(clippy::print_stderr, reason = "progress of a command that runs for a while")]
fn progress(so_far: &Tally) {
    eprintln!("{:>10} signed, {} errors", so_far.signed(), so_far.errors());
}

fn report(args: &BenchArgs, tally: &Tally, cpu: Option<Duration>) -> Value {
    let per_second = tally.rate();
    let micros = |quantile: f64| tally.latency.value_at_quantile(quantile);
    json!({
        "key": args.key,
        "callers": args.callers,
        "connections": args.connections,
        "signed": tally.signed(),
        "errors": tally.errors_by_reason,
        "per_second": per_second.round(),
        "latency_us": {
            "p50": micros(0.5), "p90": micros(0.9), "p99": micros(0.99), "p999": micros(0.999), "max": tally.latency.max(),
        },
        "server_cpu_us_each": cpu.map(|cpu| per_signature(cpu, tally)),
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
    let latency = &report["latency_us"];
    println!(
        "{} signed, {}/s with {} callers over {} connections",
        report["signed"], report["per_second"], args.callers, args.connections
    );
    println!(
        "latency in µs: p50 {} p90 {} p99 {} p99.9 {} max {}",
        latency["p50"], latency["p90"], latency["p99"], latency["p999"], latency["max"]
    );
    if !report["server_cpu_us_each"].is_null() {
        println!("server CPU: {} µs for each signature", report["server_cpu_us_each"]);
    }
    println!("errors: {}", report["errors"]);
}

/// Microseconds, 1 µs to 60 s, to three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(60_000_000, 3).unwrap_or_else(|_| unreachable!("constant bounds"))
}
