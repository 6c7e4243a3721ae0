//! RSA CAs by every scheme, those that SSH does not have among them, and of every size: certificates that OpenSSL verifies.

use countersign_tbs::der::oids;
use countersign_tbs::signature::Scheme;
use countersign_tbs::x509::GeneralName;

use crate::ca::{
    self, certificate, certify, leaf_under, make_key, make_root, oid, openssl, verify, words, x509_request,
};
use crate::promises::ends_well;
use crate::site::{FRONT_END, Site};
use crate::token::{Kind, P256, Token};

pub async fn rsa_of_every_size_signs_certificates_that_openssl_verifies(kind: Kind) {
    let token = Token::without_keys(kind, &[("user-ca", P256)]);
    let site = &token.site;
    let keys = kind.rsa_schemes();
    let sections = keys.iter().enumerate().map(|(number, (name, _))| section(&token, number, name));
    token.configure_sections(&sections.collect::<String>(), "");
    make_root(site);
    for (number, key) in keys.iter().enumerate() {
        let name = key.0;
        token.make(number, name, key);
        let public = site.run_ok(&["key", "show", name, "--pem"]);
        std::fs::write(site.path(&format!("{name}.pub.pem")), public).unwrap();
        certify(site, name, ca::CA);
    }
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    for (name, key) in keys {
        let scheme = Scheme::ALL.into_iter().find(|scheme| scheme.name() == *name).unwrap();
        let issuer = certificate(site, name);
        let tbs = leaf_under(issuer.tbs(), scheme, make_key(site, "leaf"), "")
            .ext_key_usage(vec![oid(oids::SERVER_AUTH)])
            .subject_alt_names(vec![GeneralName::Dns("www.example.org".to_owned())])
            .build()
            .unwrap();
        let answer = client.sign(x509_request(name, tbs.as_bytes())).await;
        let der = answer.unwrap_or_else(|error| panic!("{name}: {error}")).object;
        assert!(is_accepted(site, name, &der), "{name}");
        let mut damaged = der.to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(!is_accepted(site, name, &damaged), "{name}: OpenSSL looks at no signature");
        let bits = key.strip_prefix("rsa:").unwrap();
        let shown = openssl(site, &words(&format!("x509 -in {name}.pem -noout -text")));
        assert!(shown.contains(&format!("Public-Key: ({bits} bit)")), "{name}: {shown}");
    }
    ends_well(daemon);
}

fn section(token: &Token, number: usize, name: &str) -> String {
    let place = token.place(number);
    format!(
        "[key.{name}]\npurpose = \"x509-ca\"\nscheme = \"{name}\"\ntoken = \"soft\"\ncertificate = \"{name}.pem\"\n{place}\
         [key.{name}.allow.web]\ncallers = [\"spiffe://countersign.example/front-end\"]\nbudget = \"100/h\"\n\
         signs = \"tls-server\"\ndns_names = [\"www.example.org\"]\nmax_lifetime = \"1d\"\n"
    )
}

fn is_accepted(site: &Site, ca: &str, der: &[u8]) -> bool {
    ca::write_pem(site, "www", der);
    verify(site, "www", &[ca], "-purpose sslserver -verify_hostname www.example.org").is_ok()
}
