//! CAs from their keys on: requests, roots and CAs below them, for every scheme, as OpenSSL sees them.

use countersign::ledger::Entry;
use countersign_tbs::csr::{CertificationRequest, RequestBuilder};
use countersign_tbs::der::oids;
use countersign_tbs::signature::Scheme;
use countersign_tbs::x509::GeneralName;

use crate::ca::{certificate, leaf_under, make_key, oid, openssl, verify, words, write_pem, x509_request};
use crate::site::{Daemon, FRONT_END, Site};
use crate::transcript::Transcript;

const SCHEMES: [Scheme; 5] = [
    Scheme::EcdsaP256Sha256,
    Scheme::EcdsaP384Sha384,
    Scheme::Ed25519,
    Scheme::RsaPkcs1Sha256,
    Scheme::RsaPssSha256,
];

/// The user that runs the tests, and so the signer.
fn own_user() -> String {
    format!("uid:{}", rustix::process::geteuid().as_raw())
}

/// A CA key's section; with its certificate, once there is one.
fn key(name: &str, scheme: Scheme, certificate: bool) -> String {
    let certificate = if certificate { format!("certificate = \"{name}.pem\"\n") } else { String::new() };
    format!("\n[key.{name}]\npurpose = \"x509-ca\"\nscheme = \"{scheme}\"\ntoken = \"soft\"\n{certificate}")
}

fn root(name: &str, scheme: Scheme, certificate: bool) -> String {
    let user = own_user();
    format!(
        "{}
[key.{name}.allow.itself]
signs = \"root-ca\"
callers = [\"{user}\"]
subject = {{ O = [\"Example\"], CN = [\"Root *\"] }}
max_path_length = 1
max_lifetime = \"7300d\"
budget = \"10/h\"
[key.{name}.allow.below]
signs = \"intermediate-ca\"
callers = [\"{user}\"]
subject = {{ O = [\"Example\"], CN = [\"CA *\"] }}
subject_keys = [\"ecdsa-p256\", \"ecdsa-p384\", \"ed25519\", \"rsa\"]
min_rsa_bits = 2048
max_path_length = 0
permitted_names = [\"dns:example.org\"]
excluded_names = [\"ip:0.0.0.0/0\", \"ip:::/0\"]
max_lifetime = \"1825d\"
budget = \"10/h\"
",
        key(name, scheme, certificate)
    )
}

fn intermediate(name: &str, scheme: Scheme, certificate: bool) -> String {
    format!(
        "{}
[key.{name}.allow.itself]
signs = \"certificate-request\"
callers = [\"{}\"]
subject = {{ O = [\"Example\"], CN = [\"CA *\"] }}
budget = \"10/h\"
[key.{name}.allow.web]
signs = \"tls-server\"
callers = [\"spiffe://countersign.example/front-end\"]
dns_names = [\"*.example.org\"]
max_lifetime = \"1d\"
budget = \"10/h\"
",
        key(name, scheme, certificate),
        own_user()
    )
}

/// A site with keys on its token, served; no key has a certificate.
fn serve(keys: &str) -> (Site, Daemon) {
    let site = Site::without_keys(keys);
    for name in crate::site::key_sections(keys) {
        site.run_ok(&["key", "generate", name, "--rsa-bits", "2048"]);
    }
    let daemon = site.serve();
    (site, daemon)
}

fn csr(name: &str, common_name: &str) -> Vec<String> {
    let words = ["key", "csr", name, "--subject", "O=Example", "--subject"];
    let out = [format!("CN={common_name}"), "--out".to_owned(), format!("{name}.csr")];
    words.into_iter().map(str::to_owned).chain(out).collect()
}

fn self_sign(name: &str, common_name: &str, lifetime: &str) -> Vec<String> {
    let mut args = csr(name, common_name);
    "self-sign".clone_into(&mut args[1]);
    args[8] = format!("{name}.pem");
    args.extend(["--lifetime", lifetime, "--path-length", "1"].map(str::to_owned));
    args
}

fn sign_intermediate(name: &str, csr: &str, out: &str) -> Vec<String> {
    let line = format!(
        "key sign-intermediate {name} --csr {csr} --lifetime 365d --permitted-name dns:example.org \
         --excluded-name ip:::/0 --excluded-name ip:0.0.0.0/0 --out {out}"
    );
    words(&line).into_iter().map(str::to_owned).collect()
}

fn run_ok(site: &Site, args: &[String]) -> String {
    site.run_ok(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

fn run_refused(site: &Site, args: &[String]) -> String {
    site.run_refused(&args.iter().map(String::as_str).collect::<Vec<_>>(), 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_a_ca_below_and_a_leaf_of_every_scheme_satisfy_openssl() {
    let names: Vec<_> =
        SCHEMES.iter().map(|scheme| (format!("root-{scheme}"), format!("ca-{scheme}"), *scheme)).collect();
    let all = |certified: bool| {
        let both = names
            .iter()
            .map(|(r, i, scheme)| root(r, *scheme, certified) + &intermediate(i, *scheme, certified));
        both.collect::<String>()
    };
    let (site, daemon) = serve(&all(false));
    for (root, ca, scheme) in &names {
        run_ok(&site, &self_sign(root, &format!("Root {scheme}"), "3650d"));
        run_ok(&site, &csr(ca, &format!("CA {scheme}")));
        let said = openssl(&site, &words(&format!("req -in {ca}.csr -verify -noout -text")));
        assert!(said.contains("CA:TRUE") && said.contains("Certificate Sign"), "{said}");
    }
    daemon.stop();

    // The roots alone: no CA key of a signer is certified by another of its own.
    let roots: String = names.iter().map(|(name, _, scheme)| root(name, *scheme, true)).collect();
    site.configure(&format!("{}{roots}", site.base_config()));
    let daemon = site.serve();
    for (root, ca, _) in &names {
        run_ok(&site, &sign_intermediate(root, &format!("{ca}.csr"), &format!("{ca}.pem")));
    }
    daemon.stop();

    let cas: String = names.iter().map(|(_, name, scheme)| intermediate(name, *scheme, true)).collect();
    site.configure(&format!("{}{cas}", site.base_config()));
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let subject = make_key(&site, "leaf");
    for (root, ca, scheme) in &names {
        let issuer = certificate(&site, ca);
        let tbs = leaf_under(issuer.tbs(), *scheme, subject.clone(), "")
            .subject_alt_names(vec![GeneralName::Dns("www.example.org".to_owned())])
            .ext_key_usage(vec![oid(oids::SERVER_AUTH)])
            .build()
            .unwrap();
        let answer = client.sign(x509_request(ca, tbs.as_bytes())).await.unwrap();
        write_pem(&site, "leaf", &answer.object);
        std::fs::copy(site.path(&format!("{root}.pem")), site.path("root.pem")).unwrap();
        verify(&site, "leaf", &[ca], "-purpose sslserver").unwrap();
    }
    daemon.stop();
    let kinds = |kind: &str| {
        let is_of = |entry: &&Entry| matches!(entry, Entry::Intent { asked, .. } if asked.kind == kind);
        site.entries().iter().filter(is_of).count()
    };
    assert_eq!([kinds("x509-root"), kinds("x509-request"), kinds("x509-certificate")], [5, 5, 10]);
    // With the signatures of all of them, by the keys that are on the token.
    site.configure(&format!("{}{}", site.base_config(), all(true)));
    site.run_ok(&["ledger", "verify", "--accept-uncovered"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_awaits_its_certificate_signs_nothing_else() {
    let scheme = Scheme::EcdsaP256Sha256;
    let (site, daemon) = serve(&intermediate("ca", scheme, false));
    let other = make_key(&site, "other");
    openssl(
        &site,
        &words(
            "req -x509 -new -key other.key -subj /CN=other -out other.pem -days 5 -addext keyUsage=critical,keyCertSign",
        ),
    );
    let issuer = certificate(&site, "other");
    let tbs = leaf_under(issuer.tbs(), scheme, other, "")
        .subject_alt_names(vec![GeneralName::Dns("www.example.org".to_owned())]);
    let tbs = tbs.ext_key_usage(vec![oid(oids::SERVER_AUTH)]).build().unwrap();
    let client = site.client(&daemon, FRONT_END).await;
    let error = client.sign(x509_request("ca", tbs.as_bytes())).await.unwrap_err();
    assert_eq!(
        (error.reason.as_str(), error.rule.as_deref()),
        ("CERTIFICATE_AWAITED", Some("built-in.certificate"))
    );
    assert!(error.message.contains("countersign key csr"), "{error}");

    run_ok(&site, &csr("ca", "CA 1"));
    openssl(&site, &words("req -in ca.csr -outform DER -out own.der"));
    let own = CertificationRequest::parse(&std::fs::read(site.path("own.der")).unwrap()).unwrap();
    std::fs::write(site.path("own.info"), own.info().as_bytes()).unwrap();
    // No profile lets it become a root, or have another name.
    let message = run_refused(&site, &self_sign("ca", "CA 1", "3650d"));
    assert!(message.contains("TBS_KIND_NOT_ALLOWED") && !site.path("ca.pem").exists(), "{message}");
    std::fs::remove_file(site.path("ca.csr")).unwrap();
    let message = run_refused(&site, &csr("ca", "Root 1"));
    assert!(message.contains("SUBJECT_NOT_ALLOWED") && message.contains("CN \"Root 1\""), "{message}");
    assert!(!site.path("ca.csr").exists(), "nothing is half written");

    // Nobody else's key, and nobody over the network.
    let info = RequestBuilder::new(issuer.tbs().subject().clone(), issuer.tbs().public_key().clone());
    std::fs::write(site.path("other.info"), info.build().unwrap().as_bytes()).unwrap();
    let sign = ["sign-tbs", "ca", "other.info", "--kind", "x509-request", "--out", "other.csr"];
    let by_unix = [&sign[..], &["--server", "unix:signer.sock"]].concat();
    let message = site.run_refused(&by_unix, 1);
    assert!(message.contains("CA_KEY_MISMATCH"), "{message}");
    let own = ["sign-tbs", "ca", "own.info", "--kind", "x509-request", "--out", "own.csr"];
    let output = site.client_command(&daemon, FRONT_END, &own).output().unwrap();
    assert!(crate::site::text(&output.stderr).contains("TBS_KIND_NOT_ALLOWED"), "{output:?}");
}

#[test]
fn files_and_requests_are_looked_at_before_anything_is_signed() {
    let (site, _daemon) = serve(&root("root", Scheme::EcdsaP256Sha256, false));
    std::fs::write(site.path("root.pem"), "precious").unwrap();
    let message = run_refused(&site, &self_sign("root", "Root 1", "3650d"));
    assert!(message.contains("root.pem is there already; --force writes over it"), "{message}");
    assert_eq!(std::fs::read_to_string(site.path("root.pem")).unwrap(), "precious");
    let mut forced = self_sign("root", "Root 1", "3650d");
    forced.push("--force".to_owned());
    run_ok(&site, &forced);
    openssl(&site, &words("verify -x509_strict -CAfile root.pem root.pem"));
    let too_long =
        run_refused(&site, &[self_sign("root", "Root 1", "9000d"), vec!["--force".to_owned()]].concat());
    assert!(too_long.contains("LIFETIME_TOO_LONG"), "{too_long}");
    let intents = site.entries().iter().filter(|entry| matches!(entry, Entry::Intent { .. })).count();
    assert_eq!(intents, 1, "the refused ones are no intents");

    // A request whose signature is of other bytes: its owner may not have the key.
    make_key(&site, "below");
    openssl(&site, &words("req -new -key below.key -subj /O=Example/CN=below -outform DER -out below.csr"));
    let mut der = std::fs::read(site.path("below.csr")).unwrap();
    let at = der.windows(7).position(|window| window == b"Example").unwrap();
    der[at] = b'e';
    std::fs::write(site.path("below.csr"), der).unwrap();
    let message = run_refused(&site, &sign_intermediate("root", "below.csr", "below.pem"));
    assert!(message.contains("is not by the key in it"), "{message}");
}

#[test]
fn what_is_said_on_the_way_from_keys_to_authorities_compare() {
    let scheme = Scheme::EcdsaP256Sha256;
    let (site, daemon) = serve(&(root("root", scheme, false) + &intermediate("ca", scheme, false)));
    let mut transcript = Transcript::new("authorities", &site);
    let mut tell = |args: &[String]| {
        transcript.run(&site, &args.iter().map(String::as_str).collect::<Vec<_>>());
    };
    tell(&csr("ca", "Root 1"));
    tell(&csr("ca", "CA 1"));
    tell(&csr("ca", "CA 1"));
    tell(&self_sign("root", "Root 1", "9000d"));
    tell(&self_sign("root", "Root 1", "3650d"));
    tell(&sign_intermediate("root", "ca.csr", "ca.pem"));
    daemon.stop();
    site.configure(&format!("{}{}", site.base_config(), root("root", scheme, true)));
    let daemon = site.serve();
    tell(&sign_intermediate("root", "root.pem", "ca.pem"));
    tell(&sign_intermediate("root", "ca.csr", "ca.pem"));
    daemon.stop();
    tell(&csr("ca", "CA 1"));
    tell(&words("ledger show").into_iter().map(str::to_owned).collect::<Vec<_>>());
    transcript.compare();
}
