#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;

const KEYS: [&str; 2] = [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB alice",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC",
];

fn good() -> String {
    let [alice, bob] = KEYS;
    format!(
        r#"
title = "Root 1"
threshold = 2
config = "root.toml"
[[operator]]
name = "alice"
key = "{alice}"
[[operator]]
name = "bob"
key = "{bob}"
[[step]]
text = "Open safe A."
[[step]]
text = "Make the key."
do.key-generate.key = "root"
[[step]]
text = "Close safe A."
write_down = "the number on the bag"
"#
    )
}

fn faults(script: &str) -> String {
    let faults = Script::parse(Path::new("script.toml"), script.as_bytes()).unwrap_err();
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_script_is_steps_and_operators() {
    let script = Script::parse(Path::new("script.toml"), good().as_bytes()).unwrap();
    assert_eq!((script.threshold, script.operators.len(), script.steps.len()), (2, 2, 3));
    let commands: Vec<_> = script.steps.iter().map(Step::arguments).collect();
    let generate = ["key", "generate", "root", "--config=root.toml"].map(str::to_owned).to_vec();
    assert_eq!(commands, [None, Some(generate), None]);
    assert!(matches!(&script.steps[2].work, Work::WriteDown(what) if what == "the number on the bag"));
}

#[test]
fn every_fault_is_named_with_its_place() {
    let wrong = [
        ("title = \"Root 1\"", "title = \" \"", "title: should be one line"),
        ("threshold = 2", "threshold = 3", "threshold: should be how many of the 2 operators"),
        ("threshold = 2", "threshold = 0", "threshold: should be how many of the 2 operators"),
        ("config = \"root.toml\"", "", "step 2: names no `config`"),
        ("name = \"alice\"", "name = \"a lice\"", "operator \"a lice\": `name` should be"),
        ("name = \"alice\"", "name = \"bob\"", "operator \"bob\": is there twice"),
        (KEYS[0], KEYS[1], "`key` is another operator's, too"),
        (KEYS[0], "ssh-ed25519 AAAA", "operator \"alice\": `key` is no line of a .pub file"),
        ("text = \"Open safe A.\"", "text = \"\"", "step 1: `text` should say"),
        ("text = \"Open safe A.\"", "text = \"Open\\u001b[2J\"", "step 1: `text` should say"),
        (
            "text = \"Open safe A.\"",
            "text = \"Open\"\nconfig = \"a\"",
            "step 1: `config` is for steps with `do`",
        ),
        ("text = \"Make the key.\"", "text = \"x\"\nwrite_down = \"y\"", "step 2: has both"),
        ("write_down = \"the number on the bag\"", "write_down = \"\"", "step 3: `write_down` should be"),
    ];
    for (there, instead, message) in wrong {
        let found = faults(&good().replace(there, instead));
        assert!(found.contains(message), "{found}");
    }
    let both = faults(&good().replace("threshold = 2", "threshold = 9").replace("Root 1", " "));
    assert_eq!(both.lines().count(), 2, "{both}");
}

#[test]
fn what_a_step_does_is_one_of_a_list() {
    let step = |action: &str| good().replace("do.key-generate.key = \"root\"", action);
    let unknown = faults(&step("do.run.command = \"rm -rf /\""));
    assert!(
        unknown.contains("script.toml:15: unknown variant `run`") && unknown.contains("key-generate"),
        "{unknown}"
    );
    let unknown = faults(&step("do.key-generate = { key = \"root\", shell = \"sh\" }"));
    assert!(unknown.contains("unexpected keys in table: shell, available keys: key, rsa_bits"), "{unknown}");
    let missing = faults(&step("do.key-csr = { key = \"root\" }"));
    assert!(missing.contains("missing field `subject`"), "{missing}");
    let misspelt = faults(&good().replace("threshold", "treshold"));
    assert!(misspelt.contains("script.toml:3: unknown field `treshold`"), "{misspelt}");
}

#[test]
fn no_value_becomes_an_option_and_the_commands_own_parser_reads_them() {
    let action = |toml: &str| {
        let script = good().replace("do.key-generate.key = \"root\"", toml);
        let script = Script::parse(Path::new("script.toml"), script.as_bytes()).unwrap();
        let Work::Command { action, config } = script.steps[1].work.clone() else { panic!() };
        action.fault(&config)
    };
    let lines = [
        "do.token-init = { token = \"soft\", so_pin_file = \"so\", generate_pins = true }",
        "do.token-info.token = \"soft\"",
        "do.token-change-pin.token = \"soft\"",
        "do.key-generate = { key = \"root\", rsa_bits = 4096 }",
        "do.key-show.key = \"root\"",
        "do.key-generate = { key = \"root\", backup = true, record = \"-r\" }",
        "do.key-record-verify = { file = \"--r\", fingerprint = \"SHA256:a\" }",
        "do.key-wrapping-key = { token = \"safe\", out = \"to.json\" }",
        "do.key-wrap = { key = \"root\", wrapping_key = \"to.json\", recipient = \"SHA256:a\", why = \"-\", so_pin_file = \"so\", token = \"soft\", out = \"o\" }",
        "do.key-unwrap = { key = \"root\", from = \"o\", fingerprint = \"SHA256:a\", token = \"safe\", backup = true, record = \"r\" }",
        "do.rotate-stage = { key = \"root\", why = \"--why\" }",
        "do.rotate-publish = { key = \"root\", why = \"w\" }",
        "do.rotate-activate = { key = \"root\", at = \"2030-01-01T00:00:00Z\", why = \"w\" }",
        "do.rotate-cancel = { key = \"root\", why = \"w\" }",
        "do.rotate-retire = { key = \"root\", why = \"w\", force = true }",
        "do.key-export-public = { key = \"root\", format = \"cert-authority\", hosts = [\"*.a\", \"b\"], comment = \"--x\" }",
        "do.key-attest = { key = \"root\", roots = \"roots.pem\" }",
        "do.key-csr = { key = \"root\", subject = [\"O=-Example\"], out = \"-csr\" }",
        "do.key-self-sign = { key = \"root\", subject = [\"CN=R\"], lifetime = \"10d\", path_length = 1, out = \"o\" }",
        "do.key-sign-intermediate = { key = \"root\", csr = \"c\", lifetime = \"1d\", permitted_names = [\"dns:a.example\"], excluded_names = [\"ip:::/0\"], crl_urls = [\"http://a.example/c\"], out = \"o\" }",
        "do.check = {}",
        "do.doctor.no_login = true",
        "do.ledger-verify = { keys = [\"ca.pub\"], accept_uncovered = true }",
    ];
    for line in lines {
        assert_eq!(action(line), None, "{line}");
    }
    let wrong = action("do.key-generate = { key = \"root\", rsa_bits = 1024 }").unwrap();
    assert!(wrong.contains("invalid value '1024'") && wrong.contains("2048, 3072 or 4096"), "{wrong}");
    let wrong = action("do.key-csr = { key = \"root\", subject = [\"X=1\"], out = \"o\" }").unwrap();
    assert!(wrong.contains("is not an attribute of a subject"), "{wrong}");
    let wrong = action("do.key-show.key = \"--json\"").unwrap();
    assert!(wrong.contains("required"), "{wrong}");
}
