//! Keys that come from elsewhere: out of files, or wrapped by another token.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::load::Caller;
use crate::promises::{ends_well, ssh_keygen_verifies};
use crate::site::{Site, text};
use crate::token::{Kind, P256, Scheme, Token, key_section};

/// What every token says of a key that it was shown, whatever else it says.
pub const IMPORTED: &str =
    "accept = [\"not-local\", \"once-not-sensitive\", \"once-extractable\", \"decrypts\"]\n";

/// A key that `ssh-keygen` makes is imported, served, and told apart from one that was made in the token.
pub async fn an_imported_key_of_every_scheme_serves(kind: Kind) {
    let named: Vec<_> = kind.schemes().iter().map(|scheme| (format!("ca-{}", scheme.0), *scheme)).collect();
    let sections: Vec<_> = named.iter().map(|(name, scheme)| key_section(name, scheme.0, IMPORTED)).collect();
    let keys: Vec<_> = named.iter().map(|(name, scheme)| (name.as_str(), *scheme)).collect();
    let token = Token::without_keys(kind, &keys);
    token.configure_sections(&sections.concat(), "");
    for (name, scheme) in &named {
        let fingerprint = ssh_keygen(&token.site, name, *scheme);
        let said = token.site.run_ok(&["key", "import", name, "--from", name]);
        assert!(said.contains("a signature of it verifies under the same public key"), "{said}");
        assert!(said.contains(&fingerprint), "{said}");
        let shown: Value =
            serde_json::from_str(&token.site.run_ok(&["key", "show", name, "--json"])).unwrap();
        for (attribute, value) in [
            ("CKA_LOCAL", false),
            ("CKA_ALWAYS_SENSITIVE", false),
            ("CKA_NEVER_EXTRACTABLE", false),
            ("CKA_SENSITIVE", true),
            ("CKA_EXTRACTABLE", false),
        ] {
            assert_eq!(shown["attributes"][attribute], value, "{attribute}: {shown}");
        }
    }
    let daemon = token.site.serve();
    for (name, _) in &named {
        let caller = Caller::new(&token.site, &daemon, name).await;
        let line = caller.sign().await.unwrap().to_openssh_line("");
        assert!(ssh_keygen_verifies(&token.site, &line), "{name}: {line}");
    }
    ends_well(daemon);
    token.configure_sections(&sections.concat().replace("\"not-local\", ", ""), "");
    let message = token.site.run_refused(&["serve"], 2);
    assert!(message.contains("CKA_LOCAL false") && message.contains("not-local"), "{message}");
}

/// Its vendor's own way is another command; ours says so, and the token is as it was.
pub async fn a_token_that_takes_no_key_says_so_and_keeps_nothing(kind: Kind) {
    let token = Token::without_keys(kind, &[("user-ca", P256)]);
    token.configure_sections(&key_section("user-ca", P256.0, IMPORTED), "");
    ssh_keygen(&token.site, "old", P256);
    let message = token.site.run_refused(&["key", "import", "user-ca", "--from", "old"], 1);
    assert!(
        message.contains("nothing was changed on the token: the token takes no private key in this way"),
        "{message}"
    );
    assert!(message.contains("C_CreateObject failed: CKR_ATTRIBUTE_VALUE_INVALID"), "{message}");
    let listed: Value = serde_json::from_str(&token.site.run_ok(&["key", "list", "--json"])).unwrap();
    assert!(listed[0]["problem"].as_str().unwrap().contains("the token has no private key"), "{listed}");
}

/// A key in a file of this name; its fingerprint.
pub fn ssh_keygen(site: &Site, name: &str, (_, key_type): Scheme) -> String {
    let kind: &[&str] = match key_type {
        "EC:prime256v1" => &["-t", "ecdsa", "-b", "256"],
        "EC:secp384r1" => &["-t", "ecdsa", "-b", "384"],
        "EC:secp521r1" => &["-t", "ecdsa", "-b", "521"],
        "EC:ed25519" => &["-t", "ed25519"],
        _ => &["-t", "rsa", "-b", "2048"],
    };
    run(site, &[&["-q", "-f", name, "-C", "old CA", "-N", ""], kind].concat());
    let said = run(site, &["-l", "-f", name]);
    said.split_whitespace().nth(1).unwrap().to_owned()
}

fn run(site: &Site, args: &[&str]) -> String {
    let output = Command::new("ssh-keygen").args(args).current_dir(site.dir()).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// What a token says of a key that it may give away, and of one that came to it.
const MOVED: &str = "accept = [\"extractable\", \"once-extractable\", \"once-not-sensitive\", \"not-local\", \"decrypts\", \
                     \"unwraps\"]\n";

/// Two tokens whose configurations have the same keys; those of the first may leave it.
struct Move {
    source: Token,
    destination: Token,
    keys: Vec<(String, Scheme)>,
}

impl Move {
    fn new(from: Kind, to: Kind, schemes: &[Scheme]) -> Self {
        let keys: Vec<_> = schemes.iter().map(|scheme| (format!("ca-{}", scheme.0), *scheme)).collect();
        let sections: String = keys.iter().map(|(name, scheme)| key_section(name, scheme.0, MOVED)).collect();
        let named: Vec<_> = keys.iter().map(|(name, scheme)| (name.as_str(), *scheme)).collect();
        let [source, destination] = [from, to].map(|kind| {
            let token = Token::without_keys(kind, &named);
            token.configure_sections(&sections, "");
            token
        });
        for (number, (name, (_, key_type))) in named.iter().enumerate() {
            let (id, key_type) = (format!("{:02x}", number + 1), key_type.replace("ed25519", "edwards25519"));
            let what = ["--keypairgen", "--key-type", &key_type, "--label", name, "--id", &id];
            source.pkcs11_tool(&[&what[..], &["--usage-sign", "--sensitive", "--extractable"]].concat());
        }
        Self { source, destination, keys }
    }

    fn to(&self) -> String {
        self.destination.site.path("to.json").display().to_string()
    }

    /// Has the destination make a wrapping key; its fingerprint.
    fn recipient(&self) -> String {
        let said =
            self.destination.site.run_ok(&["key", "wrapping-key", "--token", "soft", "--out", "to.json"]);
        said.split("its fingerprint is ").nth(1).unwrap().lines().next().unwrap().to_owned()
    }

    /// Has the source wrap a key; the file, and what was said.
    fn wrap(&self, name: &str, recipient: &str) -> (String, Output) {
        let (to, file) = (self.to(), self.source.site.path(&format!("{name}.json")).display().to_string());
        let wrap = ["key", "wrap", name, "--for", &to, "--recipient", recipient, "--why", "a move"];
        let output = self.source.site.run(&[&wrap[..], &["--out", &file]].concat());
        (file, output)
    }
}

fn shown(site: &Site, name: &str) -> Value {
    serde_json::from_str(&site.run_ok(&["key", "show", name, "--json"])).unwrap()
}

/// The destination serves the key by the name and the fingerprint that it had, and lets it go no further.
async fn moves(from: Kind, to: Kind, schemes: &[Scheme]) -> Vec<[String; 2]> {
    let there = Move::new(from, to, schemes);
    let recipient = there.recipient();
    let signer = there.source.site.serve();
    let mut ways = Vec::new();
    for (name, _) in &there.keys {
        let (file, output) = there.wrap(name, &recipient);
        assert!(output.status.success(), "{name}: {}", text(&output.stderr));
        let sent: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        ways.push(["oaep", "key_wrap"].map(|way| sent["content"][way].as_str().unwrap().to_owned()));
        let fingerprint = shown(&there.source.site, name)["fingerprint"].as_str().unwrap().to_owned();
        let site = &there.destination.site;
        let said = site.run_ok(&["key", "unwrap", name, "--from", &file, "--fingerprint", &fingerprint]);
        assert!(said.contains("a signature of it verifies under the same public key"), "{said}");
        let shown = shown(site, name);
        assert_eq!(shown["fingerprint"], *fingerprint);
        for (attribute, value) in [
            ("CKA_SENSITIVE", true),
            ("CKA_EXTRACTABLE", false),
            ("CKA_MODIFIABLE", false),
            ("CKA_LOCAL", false),
            ("CKA_SIGN", true),
            ("CKA_UNWRAP", false),
            ("CKA_DERIVE", false),
        ] {
            assert_eq!(shown["attributes"][attribute], value, "{attribute}: {shown}");
        }
    }
    ends_well(signer);
    let signer = there.destination.site.serve();
    for (name, _) in &there.keys {
        let caller = Caller::new(&there.destination.site, &signer, name).await;
        let line = caller.sign().await.unwrap().to_openssh_line("");
        assert!(ssh_keygen_verifies(&there.destination.site, &line), "{name}: {line}");
    }
    ends_well(signer);
    ways
}

pub async fn a_key_moves_to_another_token_of_its_kind(kind: Kind) {
    // SoftHSM2 gives no Ed25519 key away: the test below.
    let wrapped = |scheme: &&Scheme| kind == Kind::Kryoptic || scheme.0 != "ed25519";
    let schemes: Vec<_> = kind.schemes().iter().filter(wrapped).copied().collect();
    let ways = moves(kind, kind, &schemes).await;
    // The first is P-256, whose PKCS#8 fills no blocks of eight bytes.
    let expected = if kind == Kind::Kryoptic { ["sha256", "aes-gcm"] } else { ["sha1", "aes-key-wrap-pad"] };
    assert_eq!(ways[0], expected);
}

/// By `CKM_AES_KEY_WRAP`, which SoftHSM2 fills up with zeros as the standard says; kryoptic does not, and P-384 needs none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_moves_from_softhsm_to_kryoptic_and_some_move_back() {
    assert_eq!(moves(Kind::SoftHsm, Kind::Kryoptic, &[P256]).await, [["sha1", "aes-key-wrap"]]);
    let p384 = *Kind::Kryoptic.schemes().iter().find(|scheme| scheme.0.contains("p384")).unwrap();
    assert_eq!(moves(Kind::Kryoptic, Kind::SoftHsm, &[p384]).await, [["sha1", "aes-key-wrap"]]);
}

/// The way back: kryoptic fills nothing up, and says so only when it is asked to wrap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_softhsm_and_kryoptic_have_no_way_for_is_said_and_nothing_is_written() {
    let ed25519 = *Kind::SoftHsm.schemes().iter().find(|scheme| scheme.0 == "ed25519").unwrap();
    for (from, scheme, refused) in [
        (Kind::Kryoptic, P256, "CKM_AES_KEY_WRAP: CKR_DATA_LEN_RANGE)"),
        (
            Kind::SoftHsm,
            ed25519,
            "(CKM_AES_KEY_WRAP_PAD: CKR_KEY_NOT_WRAPPABLE, CKM_AES_KEY_WRAP: CKR_KEY_NOT_WRAPPABLE)",
        ),
    ] {
        let there = Move::new(from, Kind::SoftHsm, &[scheme]);
        let recipient = there.recipient();
        let signer = there.source.site.serve();
        let (file, output) = there.wrap(&there.keys[0].0, &recipient);
        let message = text(&output.stderr);
        assert!(message.contains("that the key is about to be wrapped, but no file has it"), "{message}");
        assert!(message.contains(refused), "{message}");
        assert!(!Path::new(&file).exists());
        ends_well(signer);
    }
}

/// Each says what it is that it lacks, and nothing is made.
pub async fn a_token_that_wraps_nothing_says_what_it_lacks(kind: Kind) {
    let token = Token::new(kind);
    let lacking = match kind {
        Kind::P11Kit | Kind::Tpm => "the token has no CKM_AES_KEY_WRAP_PAD, CKM_AES_KEY_WRAP, CKM_AES_GCM",
        _ => "is a YubiKey: no private key leaves it, and it takes none that is wrapped",
    };
    let message = token.site.run_refused(&["key", "wrapping-key", "--token", "soft", "--out", "to.json"], 1);
    assert!(message.contains(lacking), "{message}");
    assert!(!token.site.path("to.json").exists());
    if kind == Kind::YubiKey {
        let wrap =
            ["key", "wrap", "user-ca", "--for", "to.json", "--recipient", "SHA256:none", "--why", "a move"];
        for args in [
            &[&wrap[..], &["--out", "key.json"]].concat()[..],
            &["key", "unwrap", "user-ca", "--from", "key.json"],
        ] {
            let message = token.site.run_refused(args, 1);
            assert!(message.contains(lacking), "{message}");
        }
    }
    token.site.run_ok(&["check"]);
}
