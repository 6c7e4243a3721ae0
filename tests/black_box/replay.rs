//! `countersign policy replay`: what a new policy would change of what a real daemon decided, while it runs.

use countersign_tbs::ssh::SubjectKey;
use serde_json::{Value, json};

use crate::forge::Forgery;
use crate::site::{Daemon, FRONT_END, STRANGER, Site, USER_CA, now, request, text};

/// A site whose daemon was asked for `alice` (granted), `root` (refused), again with the same serial (refused by the
/// ledger), and by a stranger (refused).
async fn asked() -> (Site, Daemon) {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let key = client.get_key("user-ca").await.unwrap();
    let alice = Forgery::user(SubjectKey::from_openssh_line(&key.openssh).unwrap().to_wire(), now());
    let root = Forgery { principals: vec![b"root".to_vec()], serial: 43, ..alice.clone() };
    client.sign(request("user-ca", alice.encode())).await.unwrap();
    client.sign(request("user-ca", root.encode())).await.unwrap_err();
    let again = Forgery { key_id: b"again".to_vec(), ..alice.clone() };
    let error = client.sign(request("user-ca", again.encode())).await.unwrap_err();
    assert_eq!(error.reason, "SERIAL_REUSED");
    let stranger = site.client(&daemon, STRANGER).await;
    stranger.sign(request("user-ca", alice.encode())).await.unwrap_err();
    (site, daemon)
}

/// Replays by the site's configuration, edited; the exit status, and standard output.
fn replay(site: &Site, edit: impl FnOnce(&str) -> String, args: &[&str]) -> (Option<i32>, String) {
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    std::fs::write(site.path("new.toml"), edit(&config)).unwrap();
    let output = site.run(&[&["policy", "replay", "--config", "new.toml"], args].concat());
    (output.status.code(), text(&output.stdout))
}

fn changes(out: &str) -> (Vec<Value>, Value) {
    let mut lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = lines.pop().unwrap();
    (lines, summary["summary"].clone())
}

#[tokio::test]
async fn replay_shows_exactly_what_a_new_policy_would_change() {
    let (site, daemon) = asked().await;
    let shown = site.run_ok(&["key", "show", "user-ca", "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let pin = format!("[key.user-ca]\nfingerprint = {}\n", shown["fingerprint"]);
    let pin = |config: &str| config.replace("[key.user-ca]\n", &pin);

    let (status, out) = replay(&site, pin, &["--json"]);
    assert_eq!(status, Some(0), "{out}");
    let (changed, summary) = changes(&out);
    assert_eq!(changed.len(), 0, "{out}");
    assert_eq!(
        (&summary["replayed"], &summary["not_replayed"], &summary["not_checked"]),
        (&json!(3), &json!({ "ledger": 1 }), &json!({}))
    );

    let tighten = |config: &str| pin(config).replace("max_lifetime = \"1h\"", "max_lifetime = \"5m\"");
    let (status, out) = replay(&site, tighten, &["--json"]);
    assert_eq!(status, Some(1), "{out}");
    let (changed, _) = changes(&out);
    let config = std::fs::read_to_string(site.path("new.toml")).unwrap();
    let line = 1 + config.lines().position(|line| line.starts_with("max_lifetime")).unwrap();
    assert_eq!(changed.len(), 1, "{out}");
    assert_eq!(changed[0]["change"], "newly_refused");
    assert_eq!(changed[0]["caller"], "spiffe://countersign.example/front-end");
    assert_eq!(changed[0]["old"], json!({ "verdict": "permit", "rule": "key.user-ca.allow.staff" }));
    assert_eq!(
        (&changed[0]["new"]["reason"], &changed[0]["new"]["lines"]),
        (&json!("LIFETIME_TOO_LONG"), &json!([line]))
    );

    let loosen = |config: &str| {
        pin(config).replace("\"alice\", \"bob\"", "\"alice\", \"root\"").replace(
            "countersign.example/front-end\"]",
            "countersign.example/front-end\", \"dns:nobody.example\"]",
        )
    };
    let (status, out) = replay(&site, loosen, &["--json"]);
    assert_eq!(status, Some(1), "{out}");
    let (changed, summary) = changes(&out);
    assert_eq!(changed.len(), 1, "{out}");
    assert_eq!(
        (&changed[0]["change"], &changed[0]["old"]["reason"], &changed[0]["new"]["rule"]),
        (&json!("newly_allowed"), &json!("PRINCIPAL_NOT_ALLOWED"), &json!("key.user-ca.allow.staff"))
    );
    assert_eq!(summary["same"], 2);
    let (status, log) = daemon.stop();
    assert_eq!(status.code(), Some(0), "a reader does not hold the daemon up: {log}");
}

#[tokio::test]
async fn replay_tells_people_the_counts_first_and_a_script_by_its_status() {
    let (site, _daemon) = asked().await;
    let (status, out) = replay(&site, |config| config.replace("\"1h\"", "\"5m\""), &[]);
    assert_eq!(status, Some(1), "{out}");
    let lines: Vec<&str> = out.lines().collect();
    let wanted = ["3 requests decided again", "2 as before", "1 newly refused", "0 newly allowed"];
    for (line, wanted) in lines.iter().zip(wanted) {
        assert!(line.contains(wanted), "{out}");
    }
    assert!(out.contains("1 not decided again: refused by the ledger"), "{out}");
    assert!(out.contains("\nnewly refused:\n") && out.contains("LIFETIME_TOO_LONG (new.toml:"), "{out}");

    let (status, _) = replay(&site, str::to_owned, &["--ledger", "no-such.sqlite"]);
    assert_eq!(status, Some(2));
    let (status, _) = replay(&site, |_| String::new(), &[]);
    assert_eq!(status, Some(2));
}
