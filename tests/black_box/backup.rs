//! Keys that are wrapped for another token, and come back: who may have them, what a bad file does, and what is on no disk.

use std::path::Path;
use std::process::Command;

use base64ct::{Base64, Encoding};
use countersign::ledger::Entry;
use countersign_proto::v1::RecordKeyWrappingRequest;
use serde_json::{Value, json};
use tonic::Code;

use crate::key_import::{row, spellings};
use crate::site::{FRONT_END, Site, USER_CA, text};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const ACCEPT: &str =
    "accept = [\"extractable\", \"once-extractable\", \"once-not-sensitive\", \"not-local\"]";

/// The section of a user CA whose key may leave, or came from elsewhere.
fn section() -> String {
    USER_CA.replace("token = \"soft\"\n", &format!("token = \"soft\"\n{ACCEPT}\n"))
}

/// A site whose key may leave its token, made by OpenSC.
fn source() -> Site {
    let site = Site::without_keys(&section());
    let make = ["--keypairgen", "--key-type", "EC:prime256v1", "--label", "user-ca", "--id", "a1"];
    pkcs11_tool(&site, &[&make[..], &["--usage-sign", "--sensitive", "--extractable"]].concat());
    site
}

fn pkcs11_tool(site: &Site, args: &[&str]) -> String {
    let pin = std::fs::read_to_string(site.path("pin")).unwrap();
    let mut tool = Command::new("pkcs11-tool");
    tool.args(["--module", MODULE, "--token-label", "test", "--login", "--pin", pin.trim_end()]).args(args);
    let output = tool.env("SOFTHSM2_CONF", site.path("softhsm2.conf")).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Has a site's token make a wrapping key; its file, and its fingerprint.
fn wrapping_key(site: &Site) -> (String, String) {
    let said = site.run_ok(&["key", "wrapping-key", "--token", "soft", "--out", "to.json"]);
    let fingerprint = said.split("its fingerprint is ").nth(1).unwrap().lines().next().unwrap();
    (site.path("to.json").display().to_string(), fingerprint.to_owned())
}

fn wrap<'a>(to: &'a str, recipient: &'a str, out: &'a str) -> [&'a str; 11] {
    ["key", "wrap", "user-ca", "--for", to, "--recipient", recipient, "--why", "for the safe", "--out", out]
}

fn unwrap<'a>(from: &'a str, fingerprint: &'a str) -> [&'a str; 7] {
    ["key", "unwrap", "user-ca", "--from", from, "--fingerprint", fingerprint]
}

fn show(site: &Site) -> Value {
    serde_json::from_str(&site.run_ok(&["key", "show", "user-ca", "--json"])).unwrap()
}

fn fingerprint(site: &Site) -> String {
    show(site)["fingerprint"].as_str().unwrap().to_owned()
}

fn wrappings(site: &Site) -> usize {
    site.entries().iter().filter(|entry| matches!(entry, Entry::KeyWrapping { .. })).count()
}

/// The file, with something in it changed, and its checksum made good as whoever means it would.
fn forged(file: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut envelope: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    change(&mut envelope["content"]);
    // In the order of the fields that countersign writes, which this reader of JSON does not keep.
    let order = [
        "label",
        "id",
        "scheme",
        "spki",
        "recipient",
        "oaep",
        "key_wrap",
        "nonce",
        "wrapped_aes_key",
        "ciphertext",
    ];
    let fields: Vec<_> =
        order.iter().map(|name| format!("{}:{}", json!(name), envelope["content"][name])).collect();
    let content = format!("{{{}}}", fields.join(","));
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, content.as_bytes());
    let sha256 = Base64::encode_string(digest.as_ref());
    let path = format!("{file}.forged");
    std::fs::write(
        &path,
        json!({ "format": envelope["format"], "sha256": sha256, "content": envelope["content"] }).to_string(),
    )
    .unwrap();
    path
}

fn flipped(base64: &Value) -> Value {
    let mut bytes = Base64::decode_vec(base64.as_str().unwrap()).unwrap();
    bytes[20] ^= 1;
    json!(Base64::encode_string(&bytes))
}

/// Into a token that keeps backups, out of it again, and into one that serves.
#[test]
fn a_key_comes_back_from_its_backup() {
    let (source, safe, new) = (source(), Site::without_keys(&section()), Site::without_keys(&section()));
    let expected = fingerprint(&source);
    let (to, recipient) = wrapping_key(&safe);
    let key = source.path("key.json").display().to_string();
    let signer = source.serve();
    let output = source.run(&wrap(&to, &recipient, &key));
    let (said, warned) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{warned}");
    assert!(
        warned
            .starts_with(&format!("WARNING: who has the private half of {recipient} has the key {expected}"))
    );
    assert!(said.starts_with(&format!("wrapped key user-ca for {recipient}: entry ")), "{said}");
    assert!(said.contains("RSA-OAEP with SHA-1, the best that both tokens have"), "{said}");
    signer.stop();
    let entries = source.entries();
    let found = entries.iter().find(|entry| matches!(entry, Entry::KeyWrapping { .. }));
    let Some(Entry::KeyWrapping { token, place, by, why, .. }) = found else { panic!("{entries:?}") };
    let own = format!("uid:{}", rustix::process::geteuid().as_raw());
    let said = [text(token), text(by), text(why)];
    assert_eq!(said, ["soft".to_owned(), own.clone(), "for the safe".to_owned()]);
    assert_eq!(text(place), "label \"user-ca\", id a1");
    for shown in [
        source.run_ok(&["ledger", "show"]),
        source.run_ok(&["ledger", "find", "--since", "2020-01-01T00:00:00Z"]),
        source.run_ok(&["ledger", "find", "--caller", &own]),
    ] {
        assert!(shown.contains("key-wrapping") && shown.contains("for the safe"), "{shown}");
    }

    let said = safe.run_ok(&[&unwrap(&key, &expected)[..], &["--backup"]].concat());
    assert!(said.starts_with("restored key user-ca onto token soft; a signature of it verifies"), "{said}");
    assert_eq!(row(&said, "CKA_EXTRACTABLE"), ["true", "true"]);
    assert_eq!(row(&said, "CKA_WRAP_WITH_TRUSTED"), ["true", "true"]);
    assert_eq!(row(&said, "CKA_SENSITIVE"), ["true", "true"]);
    let (to, recipient) = wrapping_key(&new);
    let back = safe.path("key.json").display().to_string();
    let signer = safe.serve();
    // What is restored to a safe leaves it again in keys alone that the security officer trusts: it takes the other PIN as well.
    let message = safe.run_refused(&wrap(&to, &recipient, &back), 1);
    assert!(
        message.contains("nothing was wrapped: the key leaves its token only in a key that"),
        "{message}"
    );
    let with = |so_pin| [&wrap(&to, &recipient, &back)[..], &["--so-pin-file", so_pin]].concat();
    let message = safe.run_refused(&with("pin"), 1);
    assert!(
        message.contains("nothing was wrapped: the token refused the SO PIN (CKR_PIN_INCORRECT)"),
        "{message}"
    );
    assert_eq!(wrappings(&safe), 0);
    safe.run_ok(&with("so-pin"));
    signer.stop();
    assert_eq!(wrappings(&safe), 1);
    let said = new.run_ok(&unwrap(&back, &expected));
    assert_eq!(row(&said, "CKA_EXTRACTABLE"), ["false", "false"]);
    assert_eq!(row(&said, "CKA_MODIFIABLE"), ["false", "false"]);
    let (shown, first) = (show(&new), show(&source));
    assert_eq!((&shown["fingerprint"], &shown["id"]), (&first["fingerprint"], &first["id"]));
    new.serve_with_records().stop();
    // Its record, signed by the key, waited for the signer.
    let entries = new.entries();
    let record = entries.iter().find_map(|entry| match entry {
        Entry::KeyRecord { record, .. } => serde_json::from_slice::<Value>(record).ok(),
        _ => None,
    });
    let record = record.unwrap_or_else(|| panic!("{entries:?}"));
    assert_eq!(record["how"], "restored");
    assert_eq!(record["note"], format!("wrapped by another token for {recipient}"));
    // What was restored for service does not leave again.
    let (to, recipient) = wrapping_key(&source);
    let _signer = new.serve();
    let message = new.run_refused(&wrap(&to, &recipient, "no.json"), 1);
    assert!(message.contains("nothing was wrapped: the key cannot leave its token"), "{message}");
    assert_eq!(wrappings(&new), 0);
}

#[test]
fn nothing_is_wrapped_for_a_key_that_nobody_named_or_that_no_ledger_records() {
    let (source, destination) = (source(), Site::without_keys(&section()));
    let (to, recipient) = wrapping_key(&destination);
    let refused = |args: &[&str], what: &str| {
        let message = source.run_refused(args, 1);
        assert!(message.contains(what), "{message}");
        assert!(!source.path("key.json").exists(), "{message}");
    };
    refused(&wrap(&to, &recipient, "key.json"), "nothing was wrapped: no signer runs here");
    let signer = source.serve();
    let other = fingerprint(&source);
    let says = format!("holds the wrapping key {recipient}, and --recipient says {other}");
    refused(&wrap(&to, &other, "key.json"), &says);
    let mut speechless = wrap(&to, &recipient, "key.json");
    speechless[8] = " ";
    refused(&speechless, "a reason of 1 to 1024 bytes");
    // One that others know, one that is none, one that was cut short.
    std::fs::write(source.path("leaked"), format!("{recipient}\n")).unwrap();
    let config = std::fs::read_to_string(source.path("countersign.toml")).unwrap();
    source.configure(&format!("{config}\n[blocklist]\nfingerprints = [\"leaked\"]\n"));
    refused(&wrap(&to, &recipient, "key.json"), &format!("the wrapping key {recipient} is no secret"));
    source.configure(&config);
    let whole = std::fs::read_to_string(&to).unwrap();
    std::fs::write(&to, &whole[..whole.len() / 2]).unwrap();
    refused(&wrap(&to, &recipient, "key.json"), "it was cut short, or is another file");
    std::fs::write(&to, whole.replace("\"soft\"", "\"hard\"")).unwrap();
    refused(&wrap(&to, &recipient, "key.json"), "was changed since it was written");
    std::fs::write(&to, &whole).unwrap();
    std::fs::write(source.path("taken.json"), "").unwrap();
    refused(
        &wrap(&to, &recipient, "taken.json"),
        "cannot write taken.json: File exists (os error 17); what is there already is not overwritten",
    );
    signer.stop();
    assert_eq!(wrappings(&source), 0);
}

#[test]
fn no_wrapping_key_is_made_for_a_file_that_cannot_be() {
    let site = Site::without_keys(&section());
    std::fs::write(site.path("to.json"), "somebody's").unwrap();
    for out in ["to.json", "nowhere/to.json"] {
        let message = site.run_refused(&["key", "wrapping-key", "--token", "soft", "--out", out], 1);
        assert!(message.contains(&format!("nothing was made: cannot write {out}")), "{message}");
    }
    assert_eq!(std::fs::read_to_string(site.path("to.json")).unwrap(), "somebody's");
    let objects = pkcs11_tool(&site, &["--list-objects"]);
    assert!(!objects.contains("wrapping key"), "{objects}");
    std::fs::remove_file(site.path("to.json")).unwrap();
    wrapping_key(&site);
    assert!(pkcs11_tool(&site, &["--list-objects"]).contains("wrapping key"));
}

#[test]
fn a_bad_file_leaves_nothing_on_the_token() {
    let (source, destination) = (source(), Site::without_keys(&section()));
    let expected = fingerprint(&source);
    let (to, recipient) = wrapping_key(&destination);
    let key = source.path("key.json").display().to_string();
    let signer = source.serve();
    source.run_ok(&wrap(&to, &recipient, &key));
    let refused = |args: &[&str], what: &str| {
        let message = destination.run_refused(args, 1);
        assert!(message.contains(what), "{what}: {message}");
        let labels = pkcs11_tool(&destination, &["--list-objects"]);
        assert!(!labels.contains("user-ca"), "{labels}");
    };
    refused(&unwrap(&key, &recipient), &format!("holds the key {expected}, and it should be {recipient}"));
    refused(&unwrap(&key, &expected)[..5], "which key it must be, the file cannot say: give --fingerprint");
    refused(&unwrap(&to, &expected), "is no wrapped key of `countersign key wrap`");
    let whole = std::fs::read_to_string(&key).unwrap();
    let short = source.path("short.json").display().to_string();
    std::fs::write(&short, &whole[..whole.len() - 40]).unwrap();
    refused(&unwrap(&short, &expected), "it was cut short, or is another file");
    std::fs::write(&short, whole.replace("\"a1\"", "\"a2\"")).unwrap();
    refused(&unwrap(&short, &expected), "was changed since it was written");
    for (field, what) in [("wrapped_aes_key", "cannot be opened"), ("ciphertext", "C_UnwrapKey failed")] {
        let forged = forged(&key, |content| content[field] = flipped(&content[field]));
        refused(&unwrap(&forged, &expected), what);
    }
    // Another key's public half, which the signature does not verify under.
    let other = Site::new(USER_CA);
    let pem = other.run_ok(&["key", "show", "user-ca", "--pem"]);
    let spki: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let swapped = forged(&key, |content| content["spki"] = json!(spki));
    let message = "nothing was changed on the token: the token holds another key";
    refused(&unwrap(&swapped, &fingerprint(&other)), message);
    // A file for another token.
    let stranger = Site::without_keys(&section());
    let message = stranger.run_refused(&unwrap(&key, &expected), 1);
    assert!(
        message.contains(&format!("was wrapped for {recipient}, and this token holds no such key")),
        "{message}"
    );

    destination.run_ok(&unwrap(&key, &expected));
    let message = destination.run_refused(&unwrap(&key, &expected), 1);
    assert!(message.contains("a private key with label \"user-ca\" exists already"), "{message}");
    destination.configure(&format!(
        "{}{}",
        destination.base_config(),
        section().replace("key.user-ca", "key.twin-ca")
    ));
    let mut twin = unwrap(&key, &expected);
    twin[2] = "twin-ca";
    let message = destination.run_refused(&twin, 1);
    assert!(message.contains("id a1 exists already"), "{message}");
    signer.stop();
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let below = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    below.filter(|path| path.is_file()).collect()
}

/// A key whose scalar the test knows goes from token to token; then it is looked for everywhere.
#[test]
fn the_private_half_is_in_no_file_on_its_way() {
    let (source, destination) = (Site::without_keys(&section()), Site::without_keys(&section()));
    let openssl = |args: &[&str]| {
        let output = Command::new("openssl").args(args).current_dir(source.dir()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        output.stdout
    };
    openssl(&[
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-outform",
        "DER",
        "-out",
        "old.der",
    ]);
    let der = std::fs::read(source.path("old.der")).unwrap();
    // PKCS#8 of P-256: the scalar is an OCTET STRING of 32 bytes (RFC 5915 §3).
    let at = der.windows(3).position(|bytes| bytes == [1, 4, 32]).unwrap() + 3;
    let scalar = &der[at..at + 32];
    pkcs11_tool(
        &source,
        &[
            "--write-object",
            source.path("old.der").to_str().unwrap(),
            "--type",
            "privkey",
            "--label",
            "user-ca",
            "--id",
            "a1",
            "--usage-sign",
            "--sensitive",
            "--extractable",
        ],
    );
    openssl(&["pkey", "-in", "old.der", "-inform", "DER", "-pubout", "-outform", "DER", "-out", "old.pub"]);
    pkcs11_tool(
        &source,
        &[
            "--write-object",
            source.path("old.pub").to_str().unwrap(),
            "--type",
            "pubkey",
            "--label",
            "user-ca",
            "--id",
            "a1",
        ],
    );
    let (to, recipient) = wrapping_key(&destination);
    let expected = fingerprint(&source);
    let signer = source.serve();
    let key = source.path("key.json").display().to_string();
    let mut said = Vec::new();
    for (site, args) in
        [(&source, &wrap(&to, &recipient, &key)[..]), (&destination, &unwrap(&key, &expected))]
    {
        let output = site.command(args).env("RUST_LOG", "trace").output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        said.extend([output.stdout, output.stderr].concat());
    }
    signer.stop();
    assert_eq!(fingerprint(&destination), expected);
    let needles = spellings(scalar);
    let count =
        |bytes: &[u8]| needles.iter().filter(|needle| memchr::memmem::find(bytes, needle).is_some()).count();
    assert!(count(&der) > 0, "it is not where it is");
    std::fs::remove_file(source.path("old.der")).unwrap();
    let files = [files(source.dir()), files(destination.dir())].concat();
    assert!(files.len() > 20, "{files:?}");
    for file in files {
        assert_eq!(count(&std::fs::read(&file).unwrap()), 0, "{}", file.display());
    }
    assert_eq!(count(&said), 0, "{}", text(&said));
}

#[tokio::test]
async fn nobody_has_a_wrapping_recorded_over_the_network() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let error = client.record_key_wrapping(RecordKeyWrappingRequest::default()).await.unwrap_err();
    assert_eq!(error.code, Code::Unimplemented);
}
