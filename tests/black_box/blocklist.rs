//! Keys whose private half others know: a daemon that has lists of them.

use countersign_tbs::key::{PublicKey, RsaPublicKey};
use countersign_tbs::ssh::{CertificateBuilder, CertificateType, SubjectKey};
use serde_json::Value;

use crate::site::{FRONT_END, Site, USER_CA, now, request};

/// An RSA key, of a modulus in hexadecimal.
fn rsa(hex: &str, exponent: &[u8]) -> SubjectKey {
    let (pairs, _) = hex.trim().as_bytes().as_chunks::<2>();
    let modulus =
        pairs.iter().map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect();
    SubjectKey::Plain(PublicKey::Rsa(RsaPublicKey::new(modulus, exponent.to_vec()).unwrap()))
}

/// A site that allows RSA keys of 2048 bits, with this `[blocklist]`.
fn site(lists: &str) -> Site {
    let rsa = "max_lifetime = \"1h\"\nsubject_keys = [\"ssh-rsa\", \"ssh-ed25519\"]\nmin_rsa_bits = 2048\n";
    let site = Site::new(&USER_CA.replace("max_lifetime = \"1h\"\n", rsa));
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    site.configure(&format!("{config}\n[blocklist]\n{lists}\n"));
    site
}

#[tokio::test]
async fn a_key_that_others_have_is_refused_with_the_list_and_the_line_that_say_so() {
    let site =
        site("badkeys = [\"blocklist.dat\"]\nopenssl = [\"blacklist.RSA-2048\"]\nfingerprints = [\"ours\"]");
    let weak = rsa(include_str!("../../src/policy/blocklist/debian-weak.hex"), &[1, 0, 1]);
    let weak_2008 = rsa(include_str!("../../src/policy/blocklist/debian-weak-2008.hex"), &[1, 0, 1]);
    let leaked = SubjectKey::Plain(PublicKey::Ed25519([0x5b; 32]));
    let record =
        [0x31, 0xc1, 0x52, 0x52, 0x9e, 0xb0, 0x33, 0xa0, 0x10, 0xf8, 0xc2, 0x72, 0xfd, 0x8d, 0x42, 1];
    std::fs::write(site.path("blocklist.dat"), record).unwrap();
    std::fs::write(site.path("blacklist.RSA-2048"), "# 2008\nd10d992069d592fe1766\n").unwrap();
    std::fs::write(site.path("ours"), format!("{}\n", leaked.fingerprint())).unwrap();

    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let ca = client.get_key("user-ca").await.unwrap();
    let SubjectKey::Plain(ca) = SubjectKey::from_openssh_line(&ca.openssh).unwrap() else { panic!("{ca:?}") };
    let ask = async |subject: SubjectKey| {
        let tbs = CertificateBuilder::new(CertificateType::User, subject, ca.clone())
            .key_id("alice")
            .principal("alice")
            .valid_after(now())
            .valid_before(now() + 600);
        client.sign(request("user-ca", tbs.build().unwrap().as_bytes().to_vec())).await
    };
    for (subject, list) in [(weak, "badkeys"), (weak_2008, "openssl"), (leaked, "fingerprints")] {
        let error = ask(subject).await.unwrap_err();
        assert_eq!(
            (&*error.reason, error.rule.as_deref()),
            ("SUBJECT_KEY_BLOCKED", Some("built-in.subject_key")),
            "{error}"
        );
        assert!(error.to_string().contains(&format!("`{list}`")), "{error}");
    }
    ask(SubjectKey::Plain(PublicKey::Ed25519([0x5a; 32]))).await.expect("a key in no list");

    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    let line = 1 + config.lines().position(|line| line == "[blocklist]").unwrap();
    let entry = site.run_ok(&["policy", "explain", "--entry", "2", "--json"]);
    let entry: Value = serde_json::from_str(&entry).unwrap();
    assert_eq!(
        (&entry["reason"], &entry["lines"]),
        (&"SUBJECT_KEY_BLOCKED".into(), &Value::from(vec![line]))
    );
    let checked = site.run_ok(&["policy", "check"]);
    assert!(checked.contains("blocklist badkeys: 1 keys, sha256 "), "{checked}");

    // Without the lists, the three would have been signed: what was refused is the lists' doing.
    std::fs::write(site.path("without.toml"), config.split("[blocklist]").next().unwrap()).unwrap();
    let replayed = site.run(&["policy", "replay", "--config", "without.toml", "--json"]);
    assert_eq!(replayed.status.code(), Some(1));
    let replayed = String::from_utf8(replayed.stdout).unwrap();
    assert_eq!(replayed.matches("\"change\":\"newly_allowed\"").count(), 3, "{replayed}");
}

#[test]
fn a_list_that_is_missing_or_malformed_keeps_the_daemon_from_starting() {
    let site = site("openssl = [\"gone\", \"bad\"]");
    std::fs::write(site.path("bad"), "# 2008\nd10d992069d592fe1766\nSHA256:x\n").unwrap();
    let message = site.run_refused(&["serve"], 2);
    assert_eq!(message.lines().count(), 2, "{message}");
    for wanted in
        ["blocklist.openssl: cannot read the list ", "/gone", "/bad line 3 should be 20 hexadecimal digits"]
    {
        assert!(message.contains(wanted), "{wanted} is not in: {message}");
    }
}
