//! X.509 keys of the real daemon: what they sign is read by OpenSSL and by Python's `cryptography`, and makes a TLS handshake.

use std::process::{Command, Stdio};

use countersign_proto::v1;
use countersign_tbs::der::oids;
use countersign_tbs::signature::Scheme;
use countersign_tbs::x509::{Certificate, CertificateBuilder, GeneralName, TbsCertificate};

use crate::ca::{
    self, certificate, leaf_under, make_key, oid, openssl, verify, words, write_pem, x509_request,
};
use crate::site::{Daemon, FRONT_END, Log, Site, USER_CA, now, request, text};

#[path = "x509/authorities.rs"]
mod authorities;
#[path = "../../tbs/tests/second_reader/describe.rs"]
mod describe;
#[path = "x509/kinds.rs"]
mod kinds;
#[path = "x509/start.rs"]
mod start;

/// A profile for TLS servers, of the key `name`.
fn tls_server(name: &str) -> String {
    format!(
        r#"
[key.{name}.allow.servers]
callers = ["spiffe://countersign.example/front-end"]
budget = "100000/h"
signs = "tls-server"
dns_names = ["www.example.org"]
ip_addresses = ["192.0.2.0/24"]
max_lifetime = "25h"

[key.{name}.allow.servers.subject]
CN = ["www.example.org"]
"#
    )
}

fn server(ca: &TbsCertificate, scheme: Scheme, site: &Site) -> CertificateBuilder {
    let names = vec![GeneralName::Dns("www.example.org".to_owned()), GeneralName::Ip([192, 0, 2, 7].into())];
    leaf_under(ca, scheme, make_key(site, "leaf"), "www.example.org")
        .ext_key_usage(vec![oid(oids::SERVER_AUTH)])
        .subject_alt_names(names)
}

/// Has `tbs` signed, and writes the certificate as `NAME.pem`.
async fn sign(site: &Site, daemon: &Daemon, key: &str, tbs: &TbsCertificate, name: &str) -> Certificate {
    let client = site.client(daemon, FRONT_END).await;
    let answer = client.sign(x509_request(key, tbs.as_bytes())).await.unwrap_or_else(|error| {
        panic!("{name}: {error}");
    });
    write_pem(site, name, &answer.object);
    let certificate = Certificate::parse(&answer.object).unwrap();
    assert_eq!(certificate.tbs(), tbs, "the bytes that were sent are the bytes that are signed");
    certificate
}

#[tokio::test]
async fn openssl_and_cryptography_read_what_a_key_of_each_scheme_signs() {
    let names: Vec<_> = ca::schemes().map(|scheme| (scheme, format!("{scheme}-ca"))).collect();
    let sections = names.iter().map(|(scheme, name)| ca::key(name, *scheme) + &tls_server(name));
    let site = ca::site(&sections.collect::<String>());
    let daemon = site.serve();
    let listed = site.client(&daemon, FRONT_END).await.list_keys().await.unwrap();
    assert_eq!(listed.len(), names.len());
    assert!(listed.iter().all(|key| key.purpose() == v1::Purpose::X509Ca), "{listed:?}");

    let mut signed = Vec::new();
    for (scheme, name) in &names {
        let ca = certificate(&site, name);
        let tbs = server(ca.tbs(), *scheme, &site).build().unwrap();
        signed.push(sign(&site, &daemon, name, &tbs, "www").await);
        verify(&site, "www", &[name], "-purpose sslserver -verify_hostname www.example.org").unwrap();
        verify(&site, "www", &[name], "-verify_ip 192.0.2.7").unwrap();
        verify(&site, "www", &[name], "-verify_hostname www.example.com").unwrap_err();
        let shown = openssl(&site, &words("x509 -in www.pem -noout -text"));
        let issuer = format!("Issuer: O = Example, CN = {name}");
        for wanted in [
            algorithm(*scheme),
            &issuer,
            "Subject: CN = www.example.org",
            "DNS:www.example.org, IP Address:192.0.2.7",
            "CA:FALSE",
            "TLS Web Server Authentication",
        ] {
            assert!(shown.contains(wanted), "{wanted} is not in:\n{shown}");
        }
    }
    read_by_cryptography(&site, &signed);
    shown_in_the_ledger(&site, &signed);
}

/// As `openssl x509 -text` writes it.
fn algorithm(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::EcdsaP256Sha256 => "Signature Algorithm: ecdsa-with-SHA256",
        Scheme::EcdsaP384Sha384 => "Signature Algorithm: ecdsa-with-SHA384",
        Scheme::EcdsaP521Sha512 => "Signature Algorithm: ecdsa-with-SHA512",
        Scheme::Ed25519 => "Signature Algorithm: ED25519",
        Scheme::RsaPkcs1Sha256 => "Signature Algorithm: sha256WithRSAEncryption",
        Scheme::RsaPkcs1Sha384 => "Signature Algorithm: sha384WithRSAEncryption",
        Scheme::RsaPkcs1Sha512 => "Signature Algorithm: sha512WithRSAEncryption",
        Scheme::RsaPssSha256 => "Salt Length: 0x20",
        Scheme::RsaPssSha384 => "Salt Length: 0x30",
        Scheme::RsaPssSha512 => "Salt Length: 0x40",
        Scheme::MlDsa44 | Scheme::MlDsa65 | Scheme::MlDsa87 => panic!("{scheme} has tests of its own"),
    }
}

/// The reader of `countersign-tbs`' own tests.
fn read_by_cryptography(site: &Site, signed: &[Certificate]) {
    let (mut file, mut ours) = (Vec::new(), Vec::new());
    for certificate in signed {
        let algorithm = certificate.tbs().signature_algorithm();
        let der = certificate.tbs().certificate(algorithm, certificate.signature()).unwrap();
        file.extend(u32::try_from(der.len()).unwrap().to_be_bytes());
        file.extend(der);
        ours.extend(describe::describe(certificate.tbs()));
    }
    std::fs::write(site.path("certificates"), file).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tbs/tests/second_reader/read.py");
    let output =
        Command::new("python3").arg(script).arg(site.path("certificates")).env("PYTHONUTF8", "1").output();
    let output = output.unwrap();
    assert!(output.status.success(), "read.py: {}", text(&output.stderr));
    assert_eq!(text(&output.stdout).lines().collect::<Vec<_>>(), ours);
}

/// An intent for each, which says in words what was certified.
fn shown_in_the_ledger(site: &Site, signed: &[Certificate]) {
    let shown = site.run_ok(&["ledger", "show"]);
    for certificate in signed {
        let serial = format!("serial {},", certificate.tbs().serial());
        let line = shown.lines().find(|line| line.contains(&serial)).unwrap_or_else(|| panic!("{shown}"));
        for wanted in
            ["intent", "-ca.allow.servers", "DNS:www.example.org IP:192.0.2.7", "CN=www.example.org"]
        {
            assert!(line.contains(wanted), "{wanted} is not in: {line}");
        }
    }
}

const ISSUER: &str = "issuing-ca";

/// A site with one CA, for TLS servers and what `more` allows.
fn issuer(more: &str) -> Site {
    ca::site(&[&ca::key(ISSUER, Scheme::EcdsaP256Sha256), &tls_server(ISSUER), more].concat())
}

#[tokio::test]
async fn signs_what_openssl_builds() {
    let site = issuer("");
    let daemon = site.serve();
    // A CA of the same name and key identifier, whose key openssl has: only the signature is another.
    let ca = certificate(&site, ISSUER);
    let key_id: Vec<String> =
        ca.tbs().subject_key_id().unwrap().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    make_key(&site, "twin");
    let extensions = ca::CA.replace("=hash", &format!("={}", key_id.concat()));
    std::fs::write(site.path("twin.ext"), extensions).unwrap();
    openssl(&site, &words("pkey -in twin.key -pubout -out twin.pub.pem"));
    let twin = "x509 -new -force_pubkey twin.pub.pem -subj /O=Example/CN=issuing-ca -CA root.pem -CAkey root.key -extfile twin.ext -days 20 -out twin.pem";
    openssl(&site, &words(twin));

    make_key(&site, "leaf");
    openssl(&site, &words("req -new -key leaf.key -subj /CN=www.example.org -out leaf.csr"));
    let extensions = "basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectAltName=DNS:www.example.org
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid:always";
    std::fs::write(site.path("leaf.ext"), extensions).unwrap();
    let issue =
        "x509 -req -in leaf.csr -CA twin.pem -CAkey twin.key -extfile leaf.ext -days 1 -out by-twin.pem";
    openssl(&site, &words(issue));
    let by_twin = certificate(&site, "by-twin");
    verify(&site, "by-twin", &[ISSUER], "").expect_err("the twin's signature is not the CA's");

    sign(&site, &daemon, ISSUER, by_twin.tbs(), "www").await;
    verify(&site, "www", &[ISSUER], "-purpose sslserver -verify_hostname www.example.org").unwrap();
}

const SERVICES: &str = r#"
[key.issuing-ca.allow.services]
callers = ["spiffe://countersign.example/front-end"]
budget = "100000/h"
signs = "mtls-service"
uris = ["spiffe://example.org/web"]
max_lifetime = "25h"
"#;

#[tokio::test]
async fn openssl_shakes_hands_with_a_server_and_a_client_that_we_certified() {
    let site = issuer(SERVICES);
    let daemon = site.serve();
    let ca = certificate(&site, ISSUER);
    let scheme = Scheme::EcdsaP256Sha256;
    sign(&site, &daemon, ISSUER, &server(ca.tbs(), scheme, &site).build().unwrap(), "server").await;
    std::fs::rename(site.path("leaf.key"), site.path("server.key")).unwrap();
    let service = leaf_under(ca.tbs(), scheme, make_key(&site, "client"), "")
        .ext_key_usage(vec![oid(oids::CLIENT_AUTH), oid(oids::SERVER_AUTH)])
        .subject_alt_names(vec![GeneralName::Uri("spiffe://example.org/web".to_owned())]);
    sign(&site, &daemon, ISSUER, &service.build().unwrap(), "client").await;

    let mut server = Command::new("openssl")
        .args(words("s_server -accept 127.0.0.1:0 -naccept 1 -www -cert server.pem -key server.key"))
        .args(words("-CAfile root.pem -cert_chain issuing-ca.pem -Verify 3 -verify_return_error"))
        .current_dir(site.dir())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut log = Log::follow(server.stdout.take().unwrap());
    let line = log.wait_for("ACCEPT");
    let mut client = Command::new("openssl")
        .args(words("s_client -quiet -verify_return_error -verify_hostname www.example.org -CAfile root.pem"))
        .args(words("-cert client.pem -key client.key -cert_chain issuing-ca.pem -connect"))
        .arg(line.split_whitespace().nth(1).unwrap())
        .current_dir(site.dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut client.stdin.take().unwrap(), b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let client = client.wait_with_output().unwrap();
    assert!(server.wait().unwrap().success());
    assert!(text(&client.stdout).contains("spiffe://example.org/web"), "{client:?}");
}

#[tokio::test]
async fn a_key_signs_no_tbs_of_another_purpose() {
    let site = ca::site(&[&ca::key(ISSUER, Scheme::EcdsaP256Sha256), &tls_server(ISSUER), USER_CA].concat());
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let ca = certificate(&site, ISSUER);
    let x509 = server(ca.tbs(), Scheme::EcdsaP256Sha256, &site).build().unwrap();
    let user_ca = client.get_key("user-ca").await.unwrap();
    assert_eq!(client.get_key(ISSUER).await.unwrap().purpose(), v1::Purpose::X509Ca);
    let user_ca = countersign_tbs::ssh::SubjectKey::from_openssh_line(&user_ca.openssh).unwrap().to_wire();
    let ssh = crate::forge::Forgery::user(user_ca, now()).encode();
    client.sign(x509_request(ISSUER, x509.as_bytes())).await.unwrap();
    client.sign(request("user-ca", ssh.clone())).await.unwrap();

    for crossed in [request(ISSUER, ssh.clone()), x509_request("user-ca", x509.as_bytes())] {
        let error = client.sign(crossed).await.unwrap_err();
        assert_eq!(
            (error.reason.as_str(), error.rule.as_deref()),
            ("TBS_KIND_NOT_ALLOWED", Some("built-in.tbs_kind"))
        );
    }
    for disguised in [request("user-ca", x509.as_bytes().to_vec()), x509_request(ISSUER, &ssh)] {
        let error = client.sign(disguised).await.unwrap_err();
        assert_eq!(error.rule.as_deref(), Some("tbs"), "{error}");
    }
}
