//! `countersign bench` against a real daemon: what it counts, and what it leaves.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use countersign::key::Scheme;
use countersign::ledger::Entry;
use countersign_faulty::{Action, Call, On, Script};
use serde_json::{Value, json};

use crate::ca;
use crate::faulty::Broken;
use crate::site::{Daemon, FRONT_END, Site, USER_CA, text};

/// The load of these tests: small, and over in a moment.
const LOAD: [&str; 7] = ["--callers", "4", "--connections", "2", "--duration", "2s", "--json"];
const SSH: [&str; 4] = ["bench", "user-ca", "--principal", "alice"];

fn bench(site: &Site, more: &[&str]) -> (Value, String) {
    let daemon = site.serve();
    let measured = measure(site, &daemon, &[&LOAD[..], more].concat());
    daemon.stop();
    measured
}

fn measure(site: &Site, daemon: &Daemon, args: &[&str]) -> (Value, String) {
    let output = site.client_command(daemon, FRONT_END, &[&SSH, args].concat()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    (serde_json::from_slice(&output.stdout).unwrap(), text(&output.stderr))
}

/// How the load was made, as the report says.
fn shape(report: &Value) -> [&Value; 6] {
    ["shape", "call", "callers", "rate", "connections", "duration_s"].map(|field| &report[field])
}

#[test]
fn counts_what_the_ledger_has() {
    let site = Site::new(USER_CA);
    let (report, progress) = bench(&site, &[]);
    let signed = report["signed"].as_u64().unwrap();
    let intents = intents(&site);
    assert!(signed > 0 && intents >= signed, "{report}, {intents} intents");
    assert_eq!((&report["errors"], &report["raw"]), (&json!({}), &Value::Null));
    assert_eq!(report["error_latency_us"], Value::Null);
    assert!(progress.contains(" signed, 0 errors"), "progress while it runs: {progress}");
    assert_eq!(json!(shape(&report)), json!(["closed", "Sign", 4, null, 2, 2.0]));
}

/// How many requests the ledger has.
fn intents(site: &Site) -> u64 {
    site.entries().iter().filter(|entry| matches!(entry, Entry::Intent { .. })).count() as u64
}

#[test]
fn counts_what_streams_have_signed() {
    let site = Site::new(USER_CA);
    let (report, _) = bench(&site, &["--stream"]);
    let signed = report["signed"].as_u64().unwrap();
    // The ledger has those of the warm-up as well.
    assert!(signed > 0 && intents(&site) > signed, "{report}");
    assert_eq!(report["errors"], json!({}), "{report}");
    assert!(report["latency_us"]["p50"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(json!(shape(&report)), json!(["closed", "SignStream", 4, null, 2, 2.0]));
}

#[test]
fn one_caller_has_one_request_in_flight_however_many_connections_there_may_be() {
    const SLOW_MS: u64 = 100;
    let Broken { site, control } = Broken::new();
    let daemon = site.serve();
    control.set(&Script::on(On::call(Call::Sign, Action::DelayMicros(SLOW_MS * 1000)))).unwrap();
    for call in [&["--stream"][..], &[]] {
        let args = [&["--callers", "1", "--connections", "4", "--duration", "1s", "--json"], call].concat();
        let (report, _) = measure(&site, &daemon, &args);
        let signed = report["signed"].as_u64().unwrap();
        assert!(
            (1..=1000 / SLOW_MS + 1).contains(&signed),
            "{signed} were signed one after the other: {report}"
        );
        assert_eq!((&report["callers"], &report["connections"]), (&json!(1), &json!(1)));
    }
}

#[test]
fn asks_as_often_as_a_rate_says_and_no_oftener() {
    for (call, more) in [("Sign", &[][..]), ("SignStream", &["--stream"])] {
        let site = Site::new(USER_CA);
        let (report, _) = bench(&site, &[&["--rate", "50"], more].concat());
        assert_eq!(report["errors"], json!({}));
        // Two seconds of it, and a tenth of that before; less by what a busy machine takes to begin.
        let signed = report["signed"].as_u64().unwrap();
        assert!((75..=100).contains(&signed) && intents(&site) <= signed + 10, "{report}");
        assert_eq!(json!(shape(&report)), json!(["open", call, null, 50, 2, 2.0]));
    }
}

/// At a rate, so that the token breaks when it is known what was signed: after the warm-up, and a fifth of the load.
const RATE: [&str; 5] = ["--rate", "50", "--duration", "2s", "--json"];
const BEFORE: u32 = 30;

#[test]
fn a_stall_is_in_the_latency_of_what_was_due_meanwhile() {
    let Broken { site, control } = Broken::new();
    let daemon = site.serve();
    for more in [&[][..], &["--stream"]] {
        // Once in each of the four sessions.
        let stall = On::call(Call::Sign, Action::DelayMicros(1_000_000)).after(BEFORE).times(4);
        control.set(&Script::on(stall)).unwrap();
        let (report, _) = measure(&site, &daemon, &[&RATE, more].concat());
        let (signed, p90) =
            (report["signed"].as_u64().unwrap(), report["latency_us"]["p90"].as_u64().unwrap());
        assert_eq!(report["errors"], json!({}));
        // Half of them were due in that second. A load that waits for its answers would have had four that waited.
        assert!(signed >= 75 && p90 >= 500_000, "{report}");
    }
}

#[test]
fn how_long_those_waited_who_were_turned_away_is_told_apart() {
    const SLOW_MS: u64 = 250;
    let Broken { site, control } = Broken::new();
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    site.configure(&config.replace("label = \"test\"", "label = \"test\"\nqueue = 1"));
    let daemon = site.serve();
    control.set(&Script::on(On::call(Call::Sign, Action::DelayMicros(SLOW_MS * 1000)))).unwrap();
    let (report, _) = measure(&site, &daemon, &RATE);
    let p50 = |of: &str| report[of]["p50"].as_u64().unwrap();
    assert!(report["errors"]["TOKEN_BUSY"].as_u64().unwrap() > 0, "{report}");
    assert!(p50("error_latency_us") < SLOW_MS * 1000 && p50("latency_us") >= SLOW_MS * 1000, "{report}");
}

#[test]
fn progress_is_told_also_while_there_is_none() {
    let Broken { site, control } = Broken::new();
    let daemon = site.serve();
    control.set(&Script::on(On::call(Call::Sign, Action::Hang).after(BEFORE))).unwrap();
    let mut command = site.client_command(&daemon, FRONT_END, &[&SSH, &RATE[..]].concat());
    let mut load = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(load.stderr.take().unwrap()).lines().map(Result::unwrap);
    // The token's deadline is two seconds: until then there is not even an error.
    let first = lines.find(|line| line.contains(" signed, ")).unwrap();
    assert!(first.contains(" signed, 0 errors") && control.hangs(Call::Sign) > 0, "{first}");
    control.clear().unwrap();
    assert!(load.wait().unwrap().success(), "{:?}", lines.collect::<Vec<_>>());
}

#[test]
fn a_signer_that_ends_is_an_error_in_the_count() {
    for shape in [&["--stream"][..], &["--rate", "200"], &["--stream", "--rate", "200"], &[]] {
        let site = Site::new(USER_CA);
        let daemon = site.serve();
        let args = [&SSH, &LOAD[..], shape].concat();
        let mut command = site.client_command(&daemon, FRONT_END, &args);
        let mut load = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(load.stderr.take().unwrap()).lines().map(Result::unwrap);
        // The warm-up is over, and half of the time.
        assert!(lines.any(|line| line.contains(" signed, 0 errors")), "{shape:?}");
        daemon.kill();
        let output = load.wait_with_output().unwrap();
        assert!(output.status.success(), "{shape:?}: {:?}", lines.collect::<Vec<_>>());
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let errors: u64 =
            report["errors"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
        let signed = report["signed"].as_u64().unwrap();
        assert!(signed > 0 && errors >= 2, "{shape:?}: {report}");
        if shape.contains(&"--rate") {
            assert_eq!(signed + errors, 400, "{shape:?}: whatever was due in two seconds: {report}");
        }
    }
}

#[test]
fn stops_at_the_first_refusal_for_want_of_budget() {
    for (shape, budget) in [
        (&[][..], "3/h"),
        (&[], "40/h"),
        (&["--stream"], "3/h"),
        (&["--rate", "100"], "40/h"),
        (&["--rate", "100", "--stream"], "40/h"),
    ] {
        let site = Site::new(&USER_CA.replace("100000/h", budget));
        let daemon = site.serve();
        let args = [&SSH, &LOAD[..], shape].concat();
        let output = site.client_command(&daemon, FRONT_END, &args).output().unwrap();
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{output:?}");
        assert!(
            said.contains("the budget is used up (BUDGET_EXHAUSTED") && said.contains("a caller of its own"),
            "{shape:?}: {said}"
        );
        daemon.stop();
        let refused = site.entries().iter().filter(|entry| matches!(entry, Entry::Refusal { .. })).count();
        assert!((1..50).contains(&refused), "{shape:?}: {refused} refusals");
    }
}

#[test]
fn gives_no_figures_of_a_caller_that_is_frozen() {
    let site = Site::new(&USER_CA.replace("\"100000/h\"", "\"3/h\"\nfreeze_after = \"1/h\""));
    let daemon = site.serve();
    // The one refusal that ends this one freezes its caller.
    let refused = site.client_command(&daemon, FRONT_END, &[&SSH, &LOAD[..]].concat()).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    for shape in [&[][..], &["--stream"], &["--rate", "100"], &["--rate", "100", "--stream"]] {
        let args = [&SSH, &LOAD[..], shape].concat();
        let output = site.client_command(&daemon, FRONT_END, &args).output().unwrap();
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{shape:?}: {output:?}");
        assert!(
            said.contains("stopped after 0 signatures")
                && said.contains("(FROZEN: ")
                && said.contains("countersign policy thaw"),
            "{shape:?}: {said}"
        );
    }
}

#[test]
fn measures_the_token_in_the_same_run_with_keys_that_are_gone_after() {
    let site = Site::new(USER_CA);
    let before = site.run_ok(&["key", "list"]);
    let (report, _) = bench(&site, &["--token", "soft"]);
    let raw = &report["raw"];
    let runs = raw["runs"].as_array().unwrap();
    let rates: Vec<f64> = runs.iter().map(|run| run[1].as_f64().unwrap()).collect();
    let sessions: Vec<u64> = runs.iter().map(|run| run[0].as_u64().unwrap()).collect();
    assert_eq!(sessions, [1, 4, 1, 4], "one session and all, before the load and after it");
    let best = rates.iter().copied().fold(0.0, f64::max);
    assert_eq!(raw["per_second"].as_f64(), Some(best));
    let ratio = report["per_second"].as_f64().unwrap() / best;
    assert!((raw["ratio"].as_f64().unwrap() - ratio).abs() < 0.01, "{report}");
    assert_eq!(site.run_ok(&["key", "list"]), before, "the token keeps none of its keys");
    let uses = site.entries().iter().filter(|entry| matches!(entry, Entry::SelfTest { .. })).count();
    assert_eq!(uses, 1, "the CA key was used by the daemon alone");
}

#[test]
fn says_which_token_it_cannot_measure() {
    let site = Site::new(USER_CA);
    for (token, said) in
        [("no-such-token", "there is no [token.no-such-token]"), ("", "there is no [token.]")]
    {
        let args = [&SSH, &LOAD[..], &["--server", "https://localhost:1", "--token", token]].concat();
        let message = site.run_refused(&args, 2);
        assert!(message.contains(said), "{message}");
    }
}

/// A CA that signs certificates of TLS servers and answers about them, and a key that answers for it.
const TLS: &str = r#"
[key.tls-ca.allow.servers]
callers = ["spiffe://countersign.example/front-end"]
budget = "100000/h"
signs = "tls-server"
dns_names = ["www.example.org"]
max_lifetime = "1h"
[key.tls-ca.allow.responses]
callers = ["spiffe://countersign.example/front-end"]
budget = "100000/h"
signs = "ocsp-response"
backdating = "1h"
max_next_update = "1h"
"#;

#[test]
fn loads_an_x509_key_with_certificates_of_tls_servers_or_with_ocsp_responses() {
    let site = ca::site(&(ca::key("tls-ca", Scheme::EcdsaP256Sha256) + TLS));
    ca::certify(&site, "tls-ca", &ca::CA.replace("keyCertSign,", "digitalSignature,keyCertSign,"));
    let daemon = site.serve();
    let load = |more: &[&str]| {
        let args = [&["bench", "tls-ca"], &LOAD[..], more].concat();
        site.client_command(&daemon, FRONT_END, &args).output().unwrap()
    };
    let (name, certificate) = (["--principal", "www.example.org"], ["--ca-certificate", "tls-ca.pem"]);
    for (args, said) in [
        (&name[..], "needs --ca-certificate"),
        (&certificate, "need --principal"),
        (&["--kind", "ssh-certificate"], "there is no load of kind ssh-certificate for key tls-ca"),
        (&["--kind", "x509-crl"], "there is no load of kind x509-crl for key tls-ca"),
    ] {
        let output = load(args);
        assert!(text(&output.stderr).contains(said) && output.status.code() == Some(1), "{output:?}");
    }
    for (kind, args) in [
        ("x509-certificate", &name[..]),
        ("x509-certificate", &[&name[..], &["--kind", "x509-certificate"]].concat()),
        ("ocsp-response", &["--kind", "ocsp-response"]),
    ] {
        let output = load(&[args, &certificate].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&report["kind"], &report["errors"]), (&kind.into(), &json!({})));
        let signed = report["signed"].as_u64().unwrap();
        let is_one = |entry: &Entry| matches!(entry, Entry::Intent { asked, .. } if asked.kind == kind);
        assert!(signed > 0 && site.entries().iter().filter(|entry| is_one(entry)).count() as u64 >= signed);
    }
}
