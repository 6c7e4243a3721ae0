//! `countersign client add`.

use std::fs;
use std::process::Command;

use super::{Start, in_shell, modes, printed, serve, shell};
use crate::site::{ssh_keygen, text};
use crate::transcript::Transcript;

#[test]
fn adds_a_front_end_that_signs_once_the_signer_has_read_its_profile() {
    let start = Start::new();
    let (_, daemon) = start.serve(&["--principals", "alice"]);
    let before = fs::read_to_string(start.path("countersign.toml")).unwrap();
    let said = start.run_ok(&["client", "add", "web", "--like", "front-end"]);
    let commands = printed(&said);
    let id = start.site.path("id");
    ssh_keygen(&id, &["-t", "ed25519"]);
    let sign =
        "countersign sign user-ca --public-key id.pub --principal alice && ssh-keygen -L -f id-cert.pub";
    // Until then it has an identity that nothing allows.
    let script = [&commands[1..3], &[sign.to_owned()]].concat();
    let early = in_shell(&start.site, &script.join("\n")).output().unwrap();
    assert!(text(&early.stderr).contains("KEY_NOT_AVAILABLE"), "{}", text(&early.stderr));
    daemon.stop();
    let _daemon = serve(&start.site, &commands[0]);
    assert_eq!(shell(&start.site, &commands[1..]), "serving\n");
    assert!(shell(&start.site, &script).contains("user certificate"));

    // Every line that was there is there, in its order, and those that are new are those that were shown.
    let after = fs::read_to_string(start.path("countersign.toml")).unwrap();
    let mut old = before.lines().peekable();
    let new: Vec<_> = after.lines().filter(|line| old.next_if(|before| before == line).is_none()).collect();
    assert_eq!(old.next(), None);
    assert_eq!(new.len(), 9, "{new:?}");
    for line in &new {
        assert!(said.contains(line), "{line}");
    }
    let modes = modes(&start.path("clients/web"));
    assert_eq!(
        modes,
        [("", 0o700), ("ca.pem", 0o644), ("cert.pem", 0o644), ("key.pem", 0o600)]
            .map(|(name, mode)| (name.to_owned(), mode))
    );
    assert!(start.run(&["doctor"]).status.success());
}

#[test]
fn certifies_a_key_that_was_never_here() {
    let start = Start::new();
    let (_, _daemon) = start.serve(&["--principals", "alice"]);
    let request = "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=whoever -keyout web.key -out web.csr";
    in_shell(&start.site, request).output().unwrap();
    let csr = start.site.path("web.csr");
    let bounds = ["--key", "user-ca", "--principal", "web-*", "--max-lifetime", "1h", "--budget", "20/h"];
    let args = [&["client", "add", "web", "--csr", csr.to_str().unwrap()], &bounds[..]].concat();
    let said = start.run_ok(&args);
    assert!(!start.path("clients/web/key.pem").exists());
    let mut exports = printed(&said)[1..].to_vec();
    exports[1] = exports[1].replace("KEY=KEY", "KEY=web.key");
    assert_eq!(shell(&start.site, &exports), "serving\n");

    // A request that somebody changed on its way.
    let good = fs::read_to_string(&csr).unwrap();
    let der =
        Command::new("openssl").args(["req", "-outform", "DER", "-in"]).arg(&csr).output().unwrap().stdout;
    let at = der.windows(7).position(|bytes| bytes == b"whoever").unwrap();
    let forged = [&der[..at], b"Whoever", &der[at + 7..]].concat();
    fs::write(&csr, forged).unwrap();
    let args = ["client", "add", "other", "--csr", csr.to_str().unwrap(), "--like", "web"];
    assert!(start.run_refused(&args).contains("is not by the key in it"));
    fs::write(&csr, good).unwrap();
    start.run_ok(&args);
}

#[test]
fn a_front_end_without_extensions_has_its_certificates_signed_without_any() {
    let start = Start::new();
    let (_, daemon) = start.serve(&["--principals", "alice"]);
    let bounds = ["--key", "user-ca", "--principal", "backup", "--max-lifetime", "1h", "--budget", "20/h"];
    let said = start.run_ok(&[&["client", "add", "backup"], &bounds[..]].concat());
    daemon.stop();
    let commands = printed(&said);
    let _daemon = serve(&start.site, &commands[0]);
    ssh_keygen(&start.site.path("id"), &["-t", "ed25519"]);
    let sign = "countersign sign user-ca --public-key id.pub --principal backup";
    let ask = |more: &str| {
        let script = [&commands[1..3], &[format!("{sign} {more}")]].concat();
        in_shell(&start.site, &script.join("\n")).output().unwrap()
    };
    let refused = text(&ask("").stderr);
    assert!(refused.contains("permit-pty"), "{refused}");
    assert!(ask("--no-extensions").status.success(), "{}", text(&ask("--no-extensions").stderr));
    let shown = shell(&start.site, &["ssh-keygen -L -f id-cert.pub".to_owned()]);
    assert!(shown.contains("Extensions: (none)"), "{shown}");
}

#[test]
fn a_transcript_of_front_ends() {
    let start = Start::new();
    let (_, daemon) = start.serve(&["--ca", "ssh-user-ca,ssh-host-ca", "--principals", "alice"]);
    let mut transcript = Transcript::new("client-add", &start.site);
    let before = fs::read_to_string(start.path("countersign.toml")).unwrap();
    let bounds = ["--key", "user-ca", "--principal", "*", "--budget", "20/h", "--max-lifetime"];
    let refused = [
        vec!["web"],
        vec!["Web", "--like", "front-end"],
        vec!["front-end", "--like", "front-end"],
        vec!["operator", "--like", "front-end"],
        vec!["web", "--like", "nobody"],
        vec!["web", "--like", "front-end", "--ca", "user-ca"],
        vec!["web", "--like", "front-end", "--identity", "cn:web"],
        vec!["web", "--like", "front-end", "--identity", "spiffe://elsewhere.org/web"],
        vec!["web", "--like", "front-end", "--lifetime", "20years"],
        vec!["web", "--like", "front-end", "--lifetime", "2years"],
        [&["web"], &bounds[..], &["1fortnight"]].concat(),
        [&["web", "--key", "tls-ca"], &bounds[2..], &["1h"]].concat(),
        [&["web", "--key", "mtls-ca"], &bounds[2..], &["1h"]].concat(),
    ];
    for args in refused {
        let args = [vec!["client", "add"], args].concat();
        transcript.tell(&args, &start.run(&args));
        assert_eq!(fs::read_to_string(start.path("countersign.toml")).unwrap(), before, "{args:?}");
        assert!(!start.path("clients/web").exists(), "{args:?}");
    }
    for args in [
        [&["client", "add", "web", "--dry-run"], &bounds[..], &["1h"]].concat(),
        vec!["client", "add", "web", "--like", "front-end"],
        vec!["client", "add", "web", "--like", "front-end"],
    ] {
        transcript.tell(&args, &start.run(&args));
    }
    daemon.stop();
    let args = ["client", "add", "late", "--like", "web"];
    transcript.tell(&args, &start.run(&args));
    transcript.compare();
}

#[test]
fn renews_the_certificates_of_a_front_end_and_of_the_signer() {
    let start = Start::new();
    let (said, daemon) = start.serve(&["--principals", "alice"]);
    let renew = |certificate: &str, out: &str| {
        let (certificate, out) = (start.path(certificate), start.path(out));
        let args = [
            "client",
            "renew",
            certificate.to_str().unwrap(),
            "--out",
            out.to_str().unwrap(),
            "--lifetime",
            "10days",
        ];
        start.run(&args)
    };
    let renewed = renew("clients/front-end/cert.pem", "clients/next");
    assert!(renewed.status.success(), "{}", text(&renewed.stderr));
    assert!(text(&renewed.stdout).contains("certificate of front-end, signed by mtls-ca: entry "));
    let exports: Vec<_> =
        printed(&said)[1..4].iter().map(|line| line.replace("clients/front-end", "clients/next")).collect();
    assert_eq!(shell(&start.site, &exports), "serving\n");
    let again = renew("clients/front-end/cert.pem", "clients/next");
    assert!(text(&again.stderr).contains("is there already"), "{}", text(&again.stderr));

    assert!(renew("mtls/server.pem", "mtls/next").status.success());
    fs::copy(start.path("mtls/next/key.pem"), start.path("mtls/server.key")).unwrap();
    fs::copy(start.path("mtls/next/cert.pem"), start.path("mtls/server.pem")).unwrap();
    daemon.stop();
    let _daemon = serve(&start.site, &printed(&said)[0]);
    assert_eq!(shell(&start.site, &exports), "serving\n");

    let refused = text(&renew("nope.pem", "clients/nope").stderr);
    assert!(refused.contains("there is no") && refused.contains("nope.pem; correct the path"), "{refused}");
    let stranger = start.site.path("mtls/front-end.pem");
    fs::copy(&stranger, start.path("stranger.pem")).unwrap();
    let refused = text(&renew("stranger.pem", "clients/stranger").stderr);
    assert!(refused.contains("was not signed by key mtls-ca"), "{refused}");
}
