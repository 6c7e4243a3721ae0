//! What it takes to delete a key, and what never can be.

use std::process::Command;

use countersign::ledger::Entry;
use countersign_proto::v1::RecordKeyDeletionRequest;
use serde_json::Value;
use tonic::Code;

use crate::site::{FRONT_END, Site, USER_CA, text};
use crate::transcript::Transcript;

/// A second key on the same token, which the configuration names no more.
const RETIRED: &str = "
[key.retired]
purpose = \"ssh-user-ca\"
scheme = \"ecdsa-p256-sha256\"
token = \"soft\"
[key.retired.allow.staff]
callers = [\"spiffe://countersign.example/front-end\"]
principals = [\"alice\"]
max_lifetime = \"1h\"
budget = \"1/h\"
";

/// A site with both keys, whose configuration names the first alone; and the fingerprints of both.
fn site() -> (Site, [String; 2]) {
    let site = Site::new(&format!("{USER_CA}{RETIRED}"));
    let fingerprints = ["user-ca", "retired"].map(|name| {
        let shown: Value = serde_json::from_str(&site.run_ok(&["key", "show", name, "--json"])).unwrap();
        shown["fingerprint"].as_str().unwrap().to_owned()
    });
    site.configure(&format!("{}{USER_CA}", site.base_config()));
    (site, fingerprints)
}

fn delete(fingerprint: &str) -> [&str; 8] {
    ["key", "delete", "--token", "soft", "--fingerprint", fingerprint, "--why", "it was retired"]
}

/// The labels of the private keys on the token.
fn labels(site: &Site) -> Vec<String> {
    let listed: Value = serde_json::from_str(&site.run_ok(&["key", "list", "--json"])).unwrap();
    let mut labels: Vec<_> =
        listed.as_array().unwrap().iter().map(|row| row["label"].as_str().unwrap().to_owned()).collect();
    labels.sort();
    labels
}

#[test]
fn a_key_that_nobody_names_is_deleted_and_recorded_before() {
    let (site, [_, retired]) = site();
    let _daemon = site.serve();
    assert_eq!(labels(&site), ["retired", "user-ca"]);
    let said = site.run_ok(&delete(&retired));
    assert!(said.starts_with(&format!("deleted key {retired} from token soft: entry ")), "{said}");
    assert_eq!(labels(&site), ["user-ca"]);
    let entries = site.entries();
    let found: Vec<_> = entries.iter().filter(|entry| matches!(entry, Entry::KeyDeletion { .. })).collect();
    let [Entry::KeyDeletion { token, place, by, why, .. }] = &found[..] else { panic!("{found:?}") };
    let own = format!("uid:{}", rustix::process::geteuid().as_raw());
    let said = [text(token), text(by), text(why)];
    assert_eq!(said, ["soft".to_owned(), own.clone(), "it was retired".to_owned()]);
    assert!(text(place).starts_with("label \"retired\", id "), "{}", text(place));
    for args in [&["show", "--last", "1"][..], &["find", "--caller", &own]] {
        let shown = site.run_ok(&[&["ledger"], args].concat());
        assert!(shown.contains("key-deletion") && shown.contains("it was retired"), "{shown}");
    }
    let again = site.run_refused(&delete(&retired), 1);
    assert!(again.contains(&format!("tells no key {retired}, and nothing was deleted")), "{again}");
}

#[test]
fn a_key_that_the_configuration_or_the_signer_names_is_not_deleted() {
    let (site, [in_use, retired]) = site();
    let named = |name: &str, message: &str| {
        assert!(message.contains(&format!("section [key.{name}] of ")), "{message}");
        assert!(message.contains("countersign.toml names this key, and nothing was deleted"), "{message}");
    };
    let daemon = site.serve();
    named("user-ca", &site.run_refused(&delete(&in_use), 1));
    // The file says nothing of the key any more, and the signer that runs still has it.
    site.configure(&format!("{}{RETIRED}", site.base_config()));
    let message = site.run_refused(&delete(&in_use), 1);
    assert!(message.contains("nothing was deleted") && message.contains("in service"), "{message}");
    named("retired", &site.run_refused(&delete(&retired), 1));
    // By its fingerprint, wherever the section says that it is.
    let pinned =
        USER_CA.replace("token = \"soft\"", &format!("token = \"soft\"\nfingerprint = \"{retired}\""));
    site.configure(&format!("{}{pinned}", site.base_config()));
    named("user-ca", &site.run_refused(&delete(&retired), 1));
    assert_eq!(labels(&site), ["retired", "user-ca"]);
    daemon.stop();
    assert!(!site.entries().iter().any(|entry| matches!(entry, Entry::KeyDeletion { .. })));
}

#[test]
fn nothing_is_deleted_that_no_ledger_records() {
    let (site, [_, retired]) = site();
    let message = site.run_refused(&delete(&retired), 1);
    assert!(message.contains("nothing was deleted: no signer runs here"), "{message}");
    let mut nameless = delete(&retired);
    nameless[5] = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    assert!(site.run_refused(&nameless, 1).contains("tells no key SHA256:AAAA"));
    let mut elsewhere = delete(&retired);
    elsewhere[3] = "hard";
    assert!(site.run_refused(&elsewhere, 2).contains("there is no [token.hard]"));
    let mut speechless = delete(&retired);
    speechless[7] = " ";
    let _daemon = site.serve();
    assert!(site.run_refused(&speechless, 1).contains("a reason of 1 to 1024 bytes"));
    assert_eq!(labels(&site), ["retired", "user-ca"]);
}

#[test]
fn what_it_says_compare() {
    let (site, [in_use, retired]) = site();
    let mut transcript = Transcript::new("key-delete", &site);
    transcript.run(&site, &["key", "list"]);
    transcript.run(&site, &delete(&retired));
    let daemon = site.serve();
    transcript.run(&site, &delete(&in_use));
    transcript.run(&site, &delete(&retired));
    transcript.run(&site, &delete(&retired));
    transcript.run(&site, &["key", "list"]);
    daemon.stop();
    transcript.run(&site, &["ledger", "show"]);
    transcript.compare();
}

/// Another program is at the token while the signer is asked.
#[test]
fn an_object_that_is_another_key_by_now_is_not_destroyed() {
    let (site, [_, retired]) = site();
    let _daemon = site.serve();
    let pin = std::fs::read_to_string(site.path("pin")).unwrap();
    let message = site.run_refused_after(&delete(&retired), || {
        let mut tool = Command::new("pkcs11-tool");
        tool.args(["--module", "/usr/lib/softhsm/libsofthsm2.so", "--token-label", "test", "--login"]);
        tool.args(["--pin", pin.trim_end(), "--delete-object", "--type", "pubkey", "--label", "retired"]);
        let output = tool.env("SOFTHSM2_CONF", site.path("softhsm2.conf")).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    });
    assert!(message.contains("is not that key any more, and nothing was deleted"), "{message}");
    assert!(
        message.contains("of the ledger says that the key is about to be deleted, but it was not"),
        "{message}"
    );
    assert_eq!(labels(&site), ["retired", "user-ca"]);
}

#[tokio::test]
async fn nobody_has_a_deletion_recorded_over_the_network() {
    let (site, _) = site();
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let error = client.record_key_deletion(RecordKeyDeletionRequest::default()).await.unwrap_err();
    assert_eq!(error.code, Code::Unimplemented);
}
