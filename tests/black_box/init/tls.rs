//! A guided start's CA for TLS: from a request to a certificate that OpenSSL takes, and from there to a list that names it.

use std::fs;
use std::process::Output;

use super::{Start, in_shell, printed, shell};
use crate::site::{Daemon, text};
use crate::transcript::Transcript;

/// A signer that is a CA for TLS servers, what starts it, and what makes its callers.
fn start() -> (Start, Daemon, Vec<String>) {
    let start = Start::new();
    let (said, daemon) = start.serve(&["--ca", "x509-ca,ssh-user-ca", "--principals", "alice"]);
    let exports = printed(&said)[1..3].to_vec();
    (start, daemon, exports)
}

/// What a shell says of a command of this front-end.
fn told(start: &Start, exports: &[String], command: &str) -> Output {
    in_shell(&start.site, &[exports, &[command.to_owned()]].concat().join("\n")).output().unwrap()
}

fn refused(start: &Start, exports: &[String], command: &str, code: i32) -> String {
    let output = told(start, exports, command);
    assert_eq!(output.status.code(), Some(code), "{command}: {}", text(&output.stderr));
    text(&output.stderr)
}

const P256: &str = "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc";

#[test]
fn a_first_certificate_comes_by_the_very_commands_that_are_printed() {
    let start = Start::new();
    let (said, _daemon) = start.serve(&["--ca", "x509-ca"]);
    let done = shell(&start.site, &printed(&said)[1..]);
    assert!(done.starts_with("serving\n"), "{done}");
    assert!(done.contains("www.pem: signed by tls-ca, serial "), "{done}");
    assert!(done.ends_with("www.pem: OK\n"), "{done}");
}

#[test]
fn each_kind_of_certificate_is_what_openssl_takes_it_for() {
    let (start, daemon, exports) = start();
    // The CA's second profile and third: clients, and services at both ends.
    let config = start.path("countersign.toml");
    let more = "
[key.tls-ca.allow.people]
callers = [\"spiffe://example.org/front-end\"]
signs = \"tls-client\"
subject = { CN = [\"*\"] }
email_addresses = [\"*@example.org\"]
max_lifetime = \"90days\"
budget = \"10/h\"

[key.tls-ca.allow.old]
callers = [\"spiffe://example.org/front-end\"]
signs = \"tls-server\"
dns_names = [\"rsa.example.org\"]
subject_keys = [\"rsa\"]
min_rsa_bits = 2048
max_lifetime = \"90days\"
budget = \"10/h\"

[key.tls-ca.allow.services]
callers = [\"spiffe://example.org/front-end\"]
signs = \"mtls-service\"
uris = [\"spiffe://example.org/*\"]
max_lifetime = \"90days\"
budget = \"10/h\"
";
    fs::write(&config, fs::read_to_string(&config).unwrap() + more).unwrap();
    daemon.stop();
    let _daemon = super::serve(&start.site, "countersign serve --config signer/countersign.toml");
    let requests = [
        format!(
            "{P256} -subj /CN=www -keyout www.key -out www.csr -addext subjectAltName=DNS:www.example.org,DNS:mail.example.org"
        ),
        "openssl req -new -newkey rsa:2048 -noenc -subj /CN=rsa -keyout rsa.key -out rsa.csr -outform DER"
            .to_owned(),
        "openssl req -new -newkey ed25519 -noenc -subj /CN=alice -keyout alice.key -out alice.csr".to_owned(),
    ];
    shell(&start.site, &requests);
    let ask = |args: &str| {
        shell(&start.site, &[&exports[..], &[format!("countersign sign-csr tls-ca {args}")]].concat())
    };
    ask("--csr www.csr --names-from-csr --out www.pem --chain");
    ask("--csr rsa.csr --dns-name rsa.example.org --lifetime 90days --out rsa.pem");
    ask("--csr alice.csr --for client --subject-from-csr --email alice@example.org --out alice.pem");
    ask("--csr www.csr --for both --uri spiffe://example.org/web --out both.pem");

    let short = "openssl req -new -newkey rsa:1024 -noenc -subj /CN=rsa -keyout short.key -out short.csr";
    shell(&start.site, &[short.to_owned()]);
    let line = "countersign sign-csr tls-ca --csr short.csr --dns-name rsa.example.org --out short.pem";
    let message = refused(&start, &exports, line, 1);
    assert!(message.contains("the RSA key of short.csr has 1024 bits"), "{message}");
    assert!(!start.site.path("short.pem").exists());

    let verify = |args: &str| {
        let line = format!("openssl verify -x509_strict -CAfile signer/tls-ca.pem {args}");
        in_shell(&start.site, &line).output().unwrap().status.success()
    };
    for (args, expected) in [
        ("-purpose sslserver -verify_hostname www.example.org www.pem", true),
        ("-purpose sslserver -verify_hostname mail.example.org www.pem", true),
        ("-purpose sslserver -verify_hostname other.example.org www.pem", false),
        ("-purpose sslclient www.pem", false),
        ("-purpose sslserver -verify_hostname rsa.example.org rsa.pem", true),
        ("-purpose sslclient -verify_email alice@example.org alice.pem", true),
        ("-purpose sslserver alice.pem", false),
        ("-purpose sslserver both.pem", true),
        ("-purpose sslclient both.pem", true),
    ] {
        assert_eq!(verify(args), expected, "{args}");
    }
    let shown = |file: &str| shell(&start.site, &[format!("openssl x509 -noout -text -in {file}")]);
    assert!(shown("rsa.pem").contains("Digital Signature, Key Encipherment"));
    assert!(!shown("www.pem").contains("Key Encipherment"));
    assert!(shown("alice.pem").contains("Subject: CN = alice"));
    // A request's subject is nobody's wish but its own.
    let www = shown("www.pem");
    assert!(!www.contains("CN = www\n"), "{www}");
    for part in ["Authority Key Identifier", "Subject Key Identifier", "CA:FALSE"] {
        assert!(www.contains(part), "{part}: {www}");
    }
    // Its key is the one of the request, and with --chain the CA follows.
    shell(
        &start.site,
        &["test \"$(openssl x509 -noout -pubkey -in www.pem)\" = \"$(openssl pkey -pubout -in www.key)\""
            .to_owned()],
    );
    let chain = fs::read_to_string(start.site.path("www.pem")).unwrap();
    assert!(chain.ends_with(&fs::read_to_string(start.path("tls-ca.pem")).unwrap()), "{chain}");
    assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2);
}

#[test]
fn a_transcript_of_requests() {
    let (start, daemon, exports) = start();
    let site = &start.site;
    let mut transcript = Transcript::new("sign-csr", site);
    shell(
        site,
        &[
            format!(
                "{P256} -subj /CN=www -keyout www.key -out www.csr -addext subjectAltName=DNS:www.example.org"
            ),
            format!("{P256} -subj /CN=plain -keyout plain.key -out plain.csr"),
            "openssl req -new -newkey rsa:1024 -noenc -subj /CN=short -keyout short.key -out short.csr"
                .to_owned(),
            "cat www.csr plain.csr >two.csr; cat www.csr www.key >leak.csr; echo hello >text.csr".to_owned(),
            "openssl req -in www.csr -outform DER -out www.der".to_owned(),
            "openssl x509 -in signer/tls-ca.pem -outform DER -out tls-ca.der".to_owned(),
            "mkdir there".to_owned(),
        ],
    );
    // Somebody changed the name on its way.
    let der = fs::read(site.path("www.der")).unwrap();
    let at = der.windows(15).position(|bytes| bytes == b"www.example.org").unwrap();
    fs::write(site.path("forged.csr"), [&der[..at], b"wwx", &der[at + 3..]].concat()).unwrap();
    let dns = "--dns-name www.example.org";
    for args in [
        "tls-ca --csr www.csr --out www.pem",
        "tls-ca --csr plain.csr --out www.pem",
        &format!("tls-ca --csr nowhere.csr {dns} --out www.pem"),
        &format!("tls-ca --csr text.csr {dns} --out www.pem"),
        &format!("tls-ca --csr signer/tls-ca.pem {dns} --out www.pem"),
        &format!("tls-ca --csr tls-ca.der {dns} --out www.pem"),
        &format!("tls-ca --csr forged.csr {dns} --out www.pem"),
        &format!("tls-ca --csr two.csr {dns} --out www.pem"),
        &format!("tls-ca --csr leak.csr {dns} --out www.pem"),
        &format!("tls-ca --csr www.csr {dns} --names-from-csr --out www.pem"),
        &format!("tls-ca --csr www.csr {dns} --lifetime 0s --out www.pem"),
        &format!("tls-ca --csr www.csr {dns} --lifetime 20years --out www.pem"),
        &format!("tls-ca --csr www.csr {dns} --lifetime 1year --out www.pem"),
        &format!("tls-ca --csr short.csr {dns} --out www.pem"),
        "tls-ca --csr www.csr --dns-name www.example.com --out www.pem",
        "tls-ca --csr www.csr --dns-name www..example.org --out www.pem",
        &format!("mtls-ca --csr www.csr {dns} --out www.pem"),
        &format!("user-ca --csr www.csr {dns} --out www.pem"),
        &format!("tls-ca --csr www.csr {dns} --out nowhere/www.pem"),
        &format!("tls-ca --csr www.csr {dns} --out there"),
        &format!("tls-ca --csr www.csr {dns} --out www.pem"),
        "tls-ca --csr www.csr --names-from-csr --out -",
    ] {
        let wrote = args.ends_with("--out -") || args.ends_with("--out www.pem");
        let line = format!("countersign sign-csr {args}");
        let output = told(&start, &exports, &line);
        let args: Vec<_> = ["sign-csr"].into_iter().chain(args.split(' ')).collect();
        transcript.tell(&args, &output);
        assert!(wrote || !site.path("www.pem").exists() || !output.status.success());
        assert_eq!(output.status.success(), site.path("www.pem").exists(), "{args:?}");
    }
    // What was not signed left nothing beside the file that it was to be.
    let left = fs::read_dir(site.dir()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(!left.into_iter().any(|name| name.to_string_lossy().starts_with("www.pem.")));
    daemon.stop();
    transcript.compare();
}

#[test]
fn revokes_what_it_signed_and_openssl_sees_it_in_the_list() {
    let (start, _daemon, exports) = start();
    let site = &start.site;
    shell(site, &[format!("{P256} -subj /CN=www -keyout www.key -out www.csr")]);
    for name in ["www", "mail"] {
        let line = format!(
            "countersign sign-csr tls-ca --csr www.csr --dns-name {name}.example.org --out {name}.pem"
        );
        shell(site, &[&exports[..], &[line]].concat());
    }
    let made = shell(
        site,
        &[
            "export COUNTERSIGN_CONFIG=signer/countersign.toml COUNTERSIGN_SERVER=unix:signer/signer.sock"
                .to_owned(),
            "countersign revoke tls-ca --principal DNS:www.example.org --reason key-compromise --why lost --yes".to_owned(),
            "countersign crl tls-ca --certificate signer/tls-ca.pem --out tls-ca.crl --pem".to_owned(),
        ],
    );
    assert!(made.contains("1 certificates"), "{made}");
    let verify = |name: &str| {
        let line =
            format!("openssl verify -crl_check -CAfile signer/tls-ca.pem -CRLfile tls-ca.crl {name}.pem");
        in_shell(site, &line).output().unwrap()
    };
    assert!(verify("mail").status.success(), "{}", text(&verify("mail").stderr));
    let revoked = verify("www");
    assert!(!revoked.status.success() && text(&revoked.stderr).contains("certificate revoked"));
    // Front-ends have no say in it.
    let line = "countersign crl tls-ca --certificate signer/tls-ca.pem --out other.crl";
    refused(&start, &exports, line, 1);
}

#[test]
fn can_come_to_be_below_another_ca_as_its_documentation_says() {
    let (start, daemon, _) = start();
    daemon.stop();
    let config = start.path("countersign.toml");
    let before = fs::read_to_string(&config).unwrap();
    assert!(before.contains("\ncertificate = \"tls-ca.pem\"\n"));
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/getting-started.md")).unwrap();
    let profile = page.split("```toml\n").map(|rest| rest.split("```").next().unwrap());
    let profile = profile.into_iter().find(|block| block.starts_with("[key.tls-ca.allow.request]")).unwrap();
    fs::write(&config, before.replace("\ncertificate = \"tls-ca.pem\"\n", "\n") + profile).unwrap();
    let _daemon = super::serve(&start.site, "countersign serve --config signer/countersign.toml");
    let said = start.run_ok(&[
        "key",
        "csr",
        "tls-ca",
        "--subject",
        "O=Example",
        "--subject",
        "CN=TLS CA 1",
        "--out",
        "tls-ca.csr",
    ]);
    assert!(said.contains("tls-ca.csr: signed by tls-ca"), "{said}");
}
