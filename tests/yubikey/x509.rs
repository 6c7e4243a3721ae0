//! X.509 CAs on a card whose operation is the raw RSA one: what it signs by each RSA scheme is openssl's word to judge.

use countersign_tbs::der::oids;
use countersign_tbs::signature::Scheme;
use countersign_tbs::x509::GeneralName;
use virtual_yubikey::Settings;

use crate::Place;
use crate::ca::{self, certificate, certify, leaf_under, make_key, make_root, oid, openssl, verify, words};
use crate::desk::{MANAGEMENT_KEY, SERIAL};
use crate::manage::{management_key, with_key};
use crate::site::FRONT_END;

const CAS: [(&str, &str, Scheme, &str); 4] = [
    ("pss-256", "9a", Scheme::RsaPssSha256, "Salt Length: 0x20"),
    ("pss-384", "9d", Scheme::RsaPssSha384, "Salt Length: 0x30"),
    ("pss-512", "82", Scheme::RsaPssSha512, "Salt Length: 0x40"),
    ("pkcs1", "95", Scheme::RsaPkcs1Sha256, "Signature Algorithm: sha256WithRSAEncryption"),
];

fn section((name, slot, scheme, _): (&str, &str, Scheme, &str)) -> String {
    let key =
        ca::key(name, scheme).replace("token = \"soft\"", &format!("token = \"yubi\"\nslot = {slot:?}"));
    key + &format!(
        "[key.{name}.allow.servers]\ncallers = [\"spiffe://countersign.example/front-end\"]\nbudget = \"100/h\"\n\
         signs = \"tls-server\"\ndns_names = [\"www.example.org\"]\nmax_lifetime = \"25h\"\n\
         [key.{name}.allow.servers.subject]\nCN = [\"www.example.org\"]\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openssl_verifies_what_an_rsa_key_in_a_slot_signs_by_every_scheme() {
    let place = Place::without_key(Settings::of(SERIAL), ("9c", "rsa-pkcs1-sha256", &[]), "");
    management_key(&place, MANAGEMENT_KEY);
    let config = std::fs::read_to_string(place.site.path("countersign.toml")).unwrap();
    let config = config.split("[key.user-ca]").next().unwrap();
    place.site.configure(&format!("{config}{}", CAS.map(section).concat()));
    make_root(&place.site);
    for (name, ..) in CAS {
        place.site.run_ok(&with_key(&["key", "generate", name, "--rsa-bits", "2048"]));
        let public = place.site.run_ok(&["key", "show", name, "--pem"]);
        std::fs::write(place.site.path(&format!("{name}.pub.pem")), public).unwrap();
        certify(&place.site, name, ca::CA);
    }
    let daemon = place.site.serve();
    for (name, _, scheme, shown) in CAS {
        let issuer = certificate(&place.site, name);
        let tbs = leaf_under(issuer.tbs(), scheme, make_key(&place.site, "leaf"), "www.example.org")
            .ext_key_usage(vec![oid(oids::SERVER_AUTH)])
            .subject_alt_names(vec![GeneralName::Dns("www.example.org".to_owned())])
            .build()
            .unwrap();
        let client = place.site.client(&daemon, FRONT_END).await;
        let answer = client.sign(ca::x509_request(name, tbs.as_bytes())).await.unwrap();
        ca::write_pem(&place.site, "www", &answer.object);
        verify(&place.site, "www", &[name], "-purpose sslserver -verify_hostname www.example.org").unwrap();
        let text = openssl(&place.site, &words("x509 -in www.pem -noout -text"));
        assert!(text.contains(shown), "{name}: {shown} is not in:\n{text}");
    }
    assert!(daemon.stop().0.success());
}
