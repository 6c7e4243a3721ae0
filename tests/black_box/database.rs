//! A log in PostgreSQL that somebody with every right there has changed: its checkpoints and the audit tell.

use countersign::config::Config;
use countersign::ledger::{Entry, Reader};
use serde_json::Value;
use test_postgres::{Database, Server};

use crate::faulty::Caller;
use crate::site::{Site, USER_CA, key_sections, text};

const LOG_KEY: &str = "\n[key.log]\npurpose = \"ledger\"\nscheme = \"ed25519\"\ntoken = \"soft\"\n";

/// A site with a signer whose log is in `database`, and has checkpoints.
fn site(database: &Database) -> Site {
    let keys = format!("{USER_CA}{LOG_KEY}");
    let site = Site::without_token(&keys);
    name(&site, database);
    let so_pin = site.path("so-pin");
    site.run_ok(&["token", "init", "soft", "--generate-pins", "--so-pin-file", so_pin.to_str().unwrap()]);
    for name in key_sections(&keys) {
        site.run_ok(&["key", "generate", name]);
    }
    site
}

/// Has the configuration name this database.
fn name(site: &Site, database: &Database) {
    let postgres = format!(
        "path = \"ledger\"\ncheckpoint_key = \"log\"\npostgres = \"{}\"\npostgres_timeout = \"2s\"",
        database.connection()
    );
    let config = site.base_config().replace("path = \"ledger.sqlite\"", &postgres);
    site.configure(&format!("{config}{USER_CA}{LOG_KEY}"));
}

fn entries(site: &Site) -> Vec<Entry> {
    let reader = Reader::open(&Config::load(&site.path("countersign.toml")).unwrap().ledger).unwrap();
    reader.entries(0..u64::MAX).map(|entry| entry.unwrap().1).collect()
}

/// Has certificates signed, and stops, which signs a last checkpoint.
async fn signed(site: &Site) {
    let daemon = site.serve();
    let caller = Caller::new(site, &daemon).await;
    for _ in 0..3 {
        caller.sign("user-ca").await.unwrap();
    }
    daemon.stop();
}

/// Both ends of a dump and a restore: the template is the database as it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_database_contradicts_the_checkpoint_whatever_the_index_says() {
    let server = Server::shared();
    let database = server.database();
    let site = site(&database);
    site.serve().stop();
    let restored = server.named(&format!("{}_restored", database.name()));
    let copy = format!("CREATE DATABASE {} TEMPLATE {}", restored.name(), database.name());
    server.named("postgres").sql(&copy);
    signed(&site).await;
    let newest = std::fs::read_to_string(site.path("ledger-checkpoint")).unwrap();
    let signed_of = newest.lines().nth(1).unwrap();
    name(&site, &restored);
    std::fs::remove_dir_all(site.path("ledger-index")).unwrap();
    let before = entries(&site).len();
    for command in ["check", "serve", "serve"] {
        let refused = site.run_refused(&[command], 2);
        let what = format!("has {before} entries, and the checkpoint in ");
        assert!(
            refused.contains(&what) && refused.contains(&format!("is of {signed_of}: this is an older copy")),
            "{refused}"
        );
    }
    assert_eq!(entries(&site).len(), before, "nothing was signed or written");
    assert_eq!(std::fs::read_to_string(site.path("ledger-checkpoint")).unwrap(), newest);
    // The newest copy in its place: service goes on.
    name(&site, &database);
    std::fs::remove_dir_all(site.path("ledger-index")).unwrap_or_default();
    site.serve().stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_that_the_databases_owner_changed_is_named() {
    let database = Server::shared().database();
    let site = site(&database);
    signed(&site).await;
    let log: Value = serde_json::from_str(&site.run_ok(&["key", "show", "log", "--json"])).unwrap();
    let verify = ["ledger", "verify", "--json", "--log-key", log["verifier_key"].as_str().unwrap()];
    let newest = [&verify[..], &["--checkpoint", "ledger-checkpoint"]].concat();
    site.run_ok(&newest);
    let changed = entries(&site).iter().position(|entry| matches!(entry, Entry::Intent { .. })).unwrap();
    let leaf = format!("SELECT leaf FROM countersign.entry WHERE idx = {changed}");
    let before = database.sql(&leaf);
    // A certificate's bytes are in the middle of its entry. The schema refuses it, but to a superuser who has it look away.
    assert!(
        database.sql_error("postgres", "UPDATE countersign.entry SET leaf = leaf").contains("append-only")
    );
    database.sql(&format!(
        "SET session_replication_role = replica; UPDATE countersign.entry \
         SET leaf = set_byte(leaf, length(leaf) / 2, get_byte(leaf, length(leaf) / 2) # 1) WHERE idx = {changed}"
    ));
    assert_ne!(database.sql(&leaf), before);
    let output = site.run(&newest);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = report["findings"].as_array().unwrap();
    let is_it = |finding: &&Value| finding["word"] == "OTHER_HASH";
    let named: Vec<_> =
        found.iter().filter(is_it).map(|finding| finding["entry"].as_u64().unwrap()).collect();
    assert_eq!(named, [u64::try_from(changed).unwrap()], "{report}");
    assert!(
        found.iter().any(|finding| finding["word"] == "OTHER_ROOT"),
        "the checkpoints tell, too: {report}"
    );
}
