//! An X.509 CA whose place another takes: its certificate, its lists, and those who trust both.

use countersign_proto::v1::{self, sign_request::Tbs};
use countersign_tbs::crl::{CrlBuilder, CrlNumber, Updates};
use countersign_tbs::der::oids;
use countersign_tbs::signature::Scheme;
use countersign_tbs::x509::GeneralName;
use serde_json::Value;

use super::{refused, rotate};
use crate::ca;
use crate::crl_ocsp::authority::time;
use crate::site::{FRONT_END, now, request, text};

const SCHEME: Scheme = Scheme::EcdsaP256Sha256;

/// What a CA lets the front-end have.
fn profiles(name: &str) -> String {
    format!(
        r#"
[key.{name}.allow.web]
callers = ["spiffe://countersign.example/front-end"]
signs = "tls-server"
dns_names = ["www.example.org"]
subject.CN = ["www.example.org"]
max_lifetime = "2h"
budget = "100/h"

[key.{name}.allow.lists]
callers = ["spiffe://countersign.example/front-end"]
signs = "crl"
max_entries = 3
max_next_update = "7d"
budget = "100/h"
"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_x509_ca_goes_on_with_its_lists_and_both_certificates_are_in_the_bundle() {
    let old = ca::key("ca", SCHEME) + &profiles("ca");
    let certified =
        ca::key("ca-2", SCHEME).replace("token =", "succeeds = \"ca\"\ntoken =") + &profiles("ca-2");
    let awaiting = certified.replace("certificate = \"ca-2.pem\"\n", "");
    let site = ca::site(&format!("{old}{awaiting}"));
    std::fs::create_dir(site.path("bundles")).unwrap();
    let bundles = "\n[bundles]\ndirectory = \"bundles\"\n";
    let daemon = site.serve();
    rotate(&site, &["stage", "ca-2"]);
    let message = refused(&site, &["publish", "ca-2"]);
    assert!(
        message.contains("has no certificate yet") && message.contains("countersign key csr"),
        "{message}"
    );
    daemon.stop();

    ca::certify(&site, "ca-2", ca::CA);
    site.configure(&format!("{}{old}{certified}{bundles}", site.base_config()));
    let mut daemon = site.serve();
    rotate(&site, &["publish", "ca-2"]);
    let client = site.client(&daemon, FRONT_END).await;
    let subject = ca::make_key(&site, "leaf");
    let leaf = async |ca: &str, file: &str| {
        let certificate = ca::certificate(&site, ca);
        let tbs = ca::leaf_under(certificate.tbs(), SCHEME, subject.clone(), "www.example.org");
        let names = vec![GeneralName::Dns("www.example.org".to_owned())];
        let tbs =
            tbs.ext_key_usage(vec![ca::oid(oids::SERVER_AUTH)]).subject_alt_names(names).build().unwrap();
        let answer = client.sign(ca::x509_request(ca, tbs.as_bytes())).await?;
        ca::write_pem(&site, file, &answer.object);
        Ok::<_, countersign_proto::client::CallError>(())
    };
    leaf("ca", "before").await.unwrap();
    assert_eq!(leaf("ca-2", "early").await.unwrap_err().reason, "KEY_NOT_ACTIVE");
    rotate(&site, &["activate", "ca-2", "--at", "1s"]);
    daemon.wait_for("key ca-2 signs certificates from now on, and key ca signs none");
    leaf("ca-2", "after").await.unwrap();
    assert_eq!(leaf("ca", "late").await.unwrap_err().reason, "KEY_SUPERSEDED");

    // Lists about what it has signed are its own for as long as that is good.
    let old_ca = ca::certificate(&site, "ca");
    let updates = Updates { this: time(now()), next: time(now() + 3600) };
    let list = CrlBuilder::new(SCHEME.into(), old_ca.tbs().subject().clone(), updates)
        .authority_key_id(old_ca.tbs().subject_key_id().unwrap().clone())
        .number(CrlNumber::from(7));
    let list = Tbs::X509Crl(list.build().unwrap().as_bytes().to_vec().into());
    client.sign(v1::SignRequest { tbs: Some(list), ..request("ca", Vec::new()) }).await.unwrap();

    for leaf in ["before", "after"] {
        ca::verify(&site, leaf, &["bundles/ca"], "").unwrap();
        ca::verify(&site, leaf, &["bundles/ca-2"], "").unwrap();
    }
    let bundle =
        site.client_command(&daemon, FRONT_END, &["bundle", "ca", "--format", "pem"]).output().unwrap();
    assert_eq!(text(&bundle.stdout), std::fs::read_to_string(site.path("bundles/ca.pem")).unwrap());
    rotate(&site, &["retire", "ca", "--force"]);
    ca::verify(&site, "after", &["bundles/ca"], "").unwrap();
    ca::verify(&site, "before", &["bundles/ca"], "").unwrap_err();
    let status: Value = serde_json::from_str(&site.run_ok(&["rotate", "status", "ca", "--json"])).unwrap();
    assert_eq!(status[0]["keys"][0]["state"], "retired");
}
