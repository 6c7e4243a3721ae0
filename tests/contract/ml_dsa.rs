//! ML-DSA CAs on a token that has it: certificates, lists and answers, which Python's `cryptography` verifies.

use std::path::Path;
use std::process::Command;

use aws_lc_rs::signature::{
    KeyPair, ML_DSA_44_SIGNING, ML_DSA_65_SIGNING, ML_DSA_87_SIGNING, PqdsaKeyPair, PqdsaSigningAlgorithm,
};
use countersign_proto::Client;
use countersign_proto::v1::{SignRequest, sign_request::Tbs};
use countersign_tbs::crl::{CrlBuilder, RevokedEntry, Updates};
use countersign_tbs::der::{Time, oids};
use countersign_tbs::key::{MlDsaPublicKey, ParameterSet, PublicKey};
use countersign_tbs::ocsp::{CertId, CertStatus, ResponderId, ResponseBuilder, SingleResponse};
use countersign_tbs::signature::Scheme;
use countersign_tbs::x509::{Certificate, GeneralName, SerialNumber, TbsCertificate};

use crate::ca::{leaf_under, oid, x509_request};
use crate::site::{FRONT_END, Site, now, request, text};
use crate::token::{Kind, P256, Token};

/// The schemes, and the key of a leaf of each.
const SCHEMES: [(Scheme, ParameterSet, &PqdsaSigningAlgorithm); 3] = [
    (Scheme::MlDsa44, ParameterSet::MlDsa44, &ML_DSA_44_SIGNING),
    (Scheme::MlDsa65, ParameterSet::MlDsa65, &ML_DSA_65_SIGNING),
    (Scheme::MlDsa87, ParameterSet::MlDsa87, &ML_DSA_87_SIGNING),
];

/// As many entries as make a list of almost 1 MiB, all of which the token is given.
const ENTRIES: u64 = 38_000;

/// Also for subject keys of ML-DSA, and with the longest list that there may be.
pub async fn ml_dsa_signs_what_cryptography_verifies(kind: Kind) {
    let token = Token::without_keys(kind, &[("user-ca", P256)]);
    let site = &token.site;
    let sections: String = SCHEMES.iter().map(|(scheme, ..)| section(*scheme)).collect();
    token.configure_sections(&sections, "");
    let names: Vec<String> = SCHEMES.iter().map(|(scheme, ..)| format!("{scheme}-ca")).collect();
    for name in &names {
        crate::ca::generate(site, name);
        let refused = site.run_refused(&["key", "show", name, "--openssh"], 1);
        assert!(refused.contains("SSH has no ml-dsa-"), "{refused}");
        assert!(site.run_ok(&["key", "show", name]).contains("BEGIN PUBLIC KEY"));
    }
    python(site, "certify", &names);

    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    for ((scheme, parameters, algorithm), name) in SCHEMES.into_iter().zip(&names) {
        let known = client.get_key(name).await.unwrap();
        assert_eq!((known.openssh.as_str(), known.ssh_fingerprint.len()), ("", 50), "{known:?}");
        let ca = Certificate::parse(&std::fs::read(site.path(&format!("{name}.der"))).unwrap()).unwrap();
        let leaf = subject(parameters, algorithm);
        let tbs = leaf_under(ca.tbs(), scheme, leaf, "")
            .ext_key_usage(vec![oid(oids::SERVER_AUTH)])
            .subject_alt_names(vec![GeneralName::Dns("www.example.org".to_owned())])
            .build()
            .unwrap();
        sign(site, &client, name, "certificate", x509_request(name, tbs.as_bytes())).await;
        let list = Tbs::X509Crl(list(ca.tbs(), scheme).into());
        sign(site, &client, name, "crl", asked(name, list)).await;
        let answer = Tbs::OcspResponse(answer(ca.tbs(), *tbs.serial()).into());
        sign(site, &client, name, "ocsp", asked(name, answer)).await;
    }
    let (status, log) = daemon.stop();
    assert!(status.success(), "{status}: {log}");
    python(site, "verify", &names);
    let verified = site.run_ok(&["ledger", "verify", "--accept-uncovered", "--accept-digests"]);
    assert!(verified.contains("\n9 signatures verify\n"), "{verified}");
}

/// What a CA key signs about itself, by the commands that make it and check it.
pub async fn ml_dsa_keys_sign_requests_and_roots_that_cryptography_verifies(kind: Kind) {
    let token = Token::without_keys(kind, &[("user-ca", P256)]);
    let site = &token.site;
    let user = format!("uid:{}", rustix::process::geteuid().as_raw());
    let own = |(scheme, ..): &(Scheme, ParameterSet, &PqdsaSigningAlgorithm)| {
        format!(
            "[key.{scheme}-ca]\npurpose = \"x509-ca\"\nscheme = \"{scheme}\"\ntoken = \"soft\"\n\
             [key.{scheme}-ca.allow.request]\nsigns = \"certificate-request\"\ncallers = [{user:?}]\nbudget = \"10/h\"\n\
             subject = {{ CN = [\"CA *\"] }}\n\
             [key.{scheme}-ca.allow.root]\nsigns = \"root-ca\"\ncallers = [{user:?}]\nbudget = \"10/h\"\n\
             subject = {{ CN = [\"Root *\"] }}\nmax_path_length = 1\nmax_lifetime = \"30d\"\n"
        )
    };
    token.configure_sections(&SCHEMES.iter().map(own).collect::<String>(), "");
    let names: Vec<String> = SCHEMES.iter().map(|(scheme, ..)| format!("{scheme}-ca")).collect();
    for name in &names {
        crate::ca::generate(site, name);
    }
    let daemon = site.serve();
    for name in &names {
        let (request, root) = (format!("{name}.csr"), format!("{name}.root"));
        site.run_ok(&["key", "csr", name, "--subject", "CN=CA 1", "--out", &request]);
        let lifetime = ["--lifetime", "10d", "--path-length", "1"];
        let self_sign = ["key", "self-sign", name, "--subject", "CN=Root 1", "--out", &root];
        site.run_ok(&[&self_sign[..], &lifetime].concat());
    }
    let (status, log) = daemon.stop();
    assert!(status.success(), "{status}: {log}");
    python(site, "own", &names);
    // No section has a certificate that would tell the keys.
    let keys: Vec<String> = names.iter().map(|name| format!("--key={name}.pub.pem")).collect();
    let verify = ["ledger", "verify", "--accept-uncovered", "--accept-digests"]
        .into_iter()
        .chain(keys.iter().map(String::as_str));
    let verified = site.run_ok(&verify.collect::<Vec<_>>());
    assert!(verified.contains("\n9 signatures verify\n"), "with the self-tests: {verified}");
}

/// A CA for all that it can sign.
fn section(scheme: Scheme) -> String {
    let name = format!("{scheme}-ca");
    let every = "budget = \"1000/h\"\ncallers = [\"spiffe://countersign.example/front-end\"]";
    format!(
        "[key.{name}]\npurpose = \"x509-ca\"\nscheme = \"{scheme}\"\ntoken = \"soft\"\ncertificate = \"{name}.pem\"\n\
         [key.{name}.allow.web]\n{every}\nsigns = \"tls-server\"\ndns_names = [\"www.example.org\"]\n\
         subject_keys = [\"{scheme}\"]\nmax_lifetime = \"1d\"\n\
         [key.{name}.allow.lists]\n{every}\nsigns = \"crl\"\nmax_entries = 65536\nmax_next_update = \"1d\"\n\
         [key.{name}.allow.answers]\n{every}\nsigns = \"ocsp-response\"\nmax_next_update = \"1h\"\n"
    )
}

fn subject(parameters: ParameterSet, algorithm: &'static PqdsaSigningAlgorithm) -> PublicKey {
    let pair = PqdsaKeyPair::generate(algorithm).unwrap();
    PublicKey::MlDsa(MlDsaPublicKey::new(parameters, pair.public_key().as_ref().to_vec()).unwrap())
}

fn time(secs: u64) -> Time {
    Time::from_unix_secs(secs).unwrap()
}

fn list(ca: &TbsCertificate, scheme: Scheme) -> Vec<u8> {
    let updates = Updates { this: time(now()), next: time(now() + 3600) };
    let builder = CrlBuilder::new(scheme.into(), ca.subject().clone(), updates)
        .authority_key_id(ca.subject_key_id().unwrap().clone())
        .number(1.into());
    let list = (0..ENTRIES).fold(builder, |list, number| {
        let serial = SerialNumber::new(&(0x0102_0304_0000_0000 + number).to_be_bytes()).unwrap();
        list.entry(&RevokedEntry::new(serial, time(now() - 60)))
    });
    let bytes = list.build().unwrap().as_bytes().to_vec();
    assert!((1_000_000..=1024 * 1024).contains(&bytes.len()), "{}", bytes.len());
    bytes
}

fn answer(ca: &TbsCertificate, serial: SerialNumber) -> Vec<u8> {
    let answer = SingleResponse {
        cert_id: CertId::sha256(ca.subject(), ca.public_key(), serial),
        status: CertStatus::Good,
        this_update: time(now()),
        next_update: Some(time(now() + 1800)),
        extensions: Vec::new(),
    };
    let response = ResponseBuilder::new(ResponderId::Name(ca.subject().clone()), time(now()));
    response.response(answer).build().unwrap().as_bytes().to_vec()
}

fn asked(key: &str, tbs: Tbs) -> SignRequest {
    SignRequest { tbs: Some(tbs), ..request(key, Vec::new()) }
}

/// Leaves what comes back in `KEY.KIND`.
async fn sign(site: &Site, client: &Client, key: &str, kind: &str, request: SignRequest) {
    let signed = client.sign(request).await.unwrap_or_else(|error| panic!("{key} {kind}: {error}"));
    std::fs::write(site.path(&format!("{key}.{kind}")), signed.object).unwrap();
}

fn python(site: &Site, what: &str, names: &[String]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract/ml_dsa.py");
    let output = Command::new("python3").arg(script).arg(what).args(names).current_dir(site.dir()).output();
    let output = output.unwrap();
    assert!(output.status.success(), "ml_dsa.py {what}: {}", text(&output.stderr));
}
