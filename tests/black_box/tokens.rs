//! `countersign token list` and `token info`, on SoftHSM2 and on modules that fail.

use std::path::Path;
use std::process::Command;

use countersign_faulty::{Action, Call, Code, On, Script};
use serde_json::Value;

use crate::faulty::{Broken, other_token};
use crate::site::{Site, USER_CA, text};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// A command with no configuration, as before there is one.
fn without_config(site: &Site, args: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.args(args).current_dir(site.dir()).env_remove("COUNTERSIGN_CONFIG");
    command.env("SOFTHSM2_CONF", site.path("softhsm2.conf")).output().unwrap()
}

fn ok(output: &std::process::Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn serial(site: &Site) -> String {
    let listed = json(&site.run_ok(&["token", "list", "--json"]));
    let row = listed.as_array().unwrap().iter().find(|row| row["label"] == "test").unwrap();
    row["serial"].as_str().unwrap().to_owned()
}

#[test]
fn list_names_the_sections_that_are_in_the_slots() {
    let site = Site::new(USER_CA);
    let listed = json(&site.run_ok(&["token", "list", "--json"]));
    let tokens: Vec<_> = listed.as_array().unwrap().iter().map(|row| &row["token"]).collect();
    assert!(tokens.contains(&&"soft".into()) && tokens.contains(&&Value::Null), "{listed}");
}

#[test]
fn info_tells_what_a_token_can_do_without_a_pin() {
    let site = Site::new(USER_CA);
    std::fs::remove_file(site.path("pin")).unwrap();
    site.run_ok(&["token", "info", "soft"]);
    site.run_ok(&["token", "info", "soft", "--json"]);
    std::fs::write(site.path("pin"), "no PIN is read").unwrap();
    let listed = json(&site.run_ok(&["token", "info", "soft", "--json"]));
    let rows = listed["schemes"].as_array().unwrap();
    assert_eq!(rows.len(), 13, "{listed}");
    for row in rows {
        let can = !row["scheme"].as_str().unwrap().starts_with("ml-dsa");
        assert!(row["sign"] == can && row["generate"] == can, "{listed}");
    }
    assert_eq!(listed["public_keys"][0]["label"], "user-ca", "{listed}");
}

#[test]
fn a_module_and_its_tokens_are_shown_before_there_is_a_configuration() {
    let site = Site::new(USER_CA);
    let serial = serial(&site);
    let listed = ok(&without_config(&site, &["token", "list", "--module", MODULE]));
    assert!(listed.contains(&format!("\"test\" serial {serial}")), "{listed}");
    for name in ["test", &serial, "pkcs11:token=test", &format!("pkcs11:serial={serial};model=SoftHSM%20v2")]
    {
        let said = ok(&without_config(&site, &["token", "info", name, "--module", MODULE]));
        assert!(said.starts_with(&format!("token \"test\", serial {serial}\n")), "{name}: {said}");
    }
    let uri = format!("pkcs11:token=test?module-path={MODULE}");
    ok(&without_config(&site, &["token", "info", &uri]));
    for (name, problem) in [
        ("tset", "no token has label or serial \"tset\"; there are: \"test\""),
        ("pkcs11:token=test;manufacturer=Other", "no token has label \"test\" and manufacturer \"Other\""),
        ("pkcs11:token=test;slot-id=0", "slots are numbered anew"),
        ("pkcs11:token=test?pin-value=canary-4711", "would put the PIN"),
        ("pkcs11:token=test?pin-source=%7Ccat%20pin", "no command is run"),
        ("pkcs11:token=test?module-path=/other.so", "name different files"),
    ] {
        let output = without_config(&site, &["token", "info", name, "--module", MODULE]);
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains(problem), "{name}: {said}");
        assert!(!said.contains("canary"), "{said}");
    }
    let output = without_config(&site, &["token", "info", "test"]);
    assert!(text(&output.stderr).contains("where to look for the token?"), "{}", text(&output.stderr));
}

#[test]
fn a_configured_token_is_chosen_by_name_label_serial_and_uri() {
    let other = other_token(Path::new("DIR"));
    let site = Site::new(USER_CA);
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    let other = other.replace("DIR", &site.dir().display().to_string());
    let serial = serial(&site);
    let pinned = config.replace("label = \"test\"\n", &format!("label = \"test\"\nserial = {serial:?}\n"));
    site.configure(
        &pinned
            .replace("token = \"soft\"", "token = [\"soft\", \"other\"]")
            .replace("[key.user-ca]", &format!("{other}\n[key.user-ca]")),
    );
    for name in ["soft", "test", &serial, "pkcs11:token=test", &format!("pkcs11:serial={serial};token=test")]
    {
        let said = site.run_ok(&["token", "info", name]);
        assert!(said.starts_with("token \"test\""), "{name}: {said}");
    }
    for (name, status, problem) in [
        (
            "soft2",
            2,
            "there is no [token.soft2] in the configuration, and none with that label or serial; there are: other, soft",
        ),
        ("pkcs11:", 2, "that is several tokens: other, soft"),
        ("pkcs11:token=test;model=Other", 1, "no token has label \"test\" and serial"),
        ("pkcs11:token=test;serial=00", 2, "there is no [token."),
    ] {
        let said = site.run_refused(&["token", "info", name], status);
        assert!(said.contains(problem), "{name}: {said}");
    }
}

#[test]
fn two_tokens_with_one_label_are_told_apart_by_serial() {
    let site = Site::new(USER_CA);
    let second = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "test", "--pin", "123456", "--so-pin", "12345678"])
        .env("SOFTHSM2_CONF", site.path("softhsm2.conf"))
        .output()
        .unwrap();
    assert!(second.status.success());
    let said = site.run_refused(&["token", "info", "soft"], 1);
    assert!(said.contains("several tokens have label \"test\"; add `serial`, one of: "), "{said}");
    let listed = json(&site.run_ok(&["token", "list", "--json"]));
    let rows = listed.as_array().unwrap().iter().filter(|row| row["label"] == "test");
    let serials: Vec<_> = rows.map(|row| row["serial"].as_str().unwrap()).collect();
    assert_eq!(serials.len(), 2);
    for serial in serials {
        let said = site.run_ok(&["token", "info", &format!("pkcs11:token=test;serial={serial}")]);
        assert!(said.starts_with(&format!("token \"test\", serial {serial}\n")), "{said}");
    }
}

#[test]
fn a_module_that_cannot_be_loaded_is_shown_and_so_are_the_others() {
    let site = Site::new(USER_CA);
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    let config = config.replace("token = \"soft\"", "token = [\"soft\", \"gone\", \"text\"]");
    let gone = "[token.gone]\nmodule = \"/no/such/module.so\"\nlabel = \"test\"\npin_file = \"pin\"\n";
    let text = "[token.text]\nmodule = \"countersign.toml\"\nlabel = \"test\"\npin_file = \"pin\"\n";
    site.configure(&format!("{config}{gone}{text}"));
    let output = site.run(&["token", "list"]);
    let (said, error) = (crate::site::text(&output.stdout), crate::site::text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(error.contains("2 of the modules cannot be listed"), "{error}");
    assert!(said.contains("module /no/such/module.so: cannot load the module"), "{said}");
    assert!(said.contains("countersign.toml: cannot load the module"), "{said}");
    assert!(said.contains("[token.soft]: \"test\""), "{said}");
}

#[test]
fn a_module_that_crashes_and_a_slot_that_fails_hide_no_other() {
    let broken = Broken::new();
    let site = &broken.site;
    let crash = Script::on(On::call(Call::GetSlotList, Action::Crash));
    broken.control.set(&crash).unwrap();
    let said = text(&site.run(&["token", "list"]).stdout);
    assert!(said.contains("it crashes (signal 11)") && said.contains("[token.other]: \"other\""), "{said}");

    let fails = Action::Fail(Code::CKR_DEVICE_ERROR);
    broken.control.set(&Script::on(On::call(Call::GetTokenInfo, fails).times(1))).unwrap();
    let listed = json(&site.run_ok(&["token", "list", "--json"]));
    let rows = listed.as_array().unwrap();
    assert_eq!(rows.iter().filter(|row| row["error"] == "CKR_DEVICE_ERROR").count(), 1, "{listed}");
    assert!(rows.iter().any(|row| row["token"] == "other"), "{listed}");

    broken.control.set(&Script::on(On::call(Call::GetMechanismList, fails))).unwrap();
    let said = site.run_ok(&["token", "info", "soft"]);
    assert!(said.contains("schemes: C_GetMechanismList failed: CKR_DEVICE_ERROR"), "{said}");
    assert!(said.contains("public key \"user-ca\""), "{said}");
}

/// `soft` is behind a module that wraps that of `other`: one process cannot have both.
#[test]
fn the_keys_of_several_tokens_are_listed_though_one_fails() {
    let broken = Broken::new();
    let site = &broken.site;
    let listed = json(&site.run_ok(&["key", "list", "--json"]));
    let keys: Vec<_> = listed.as_array().unwrap().iter().map(|row| (&row["key"], &row["problem"])).collect();
    assert_eq!(keys, [(&"other-ca".into(), &Value::Null), (&"user-ca".into(), &Value::Null)]);
    let fails = Action::Fail(Code::CKR_DEVICE_ERROR);
    broken.control.set(&Script::on(On::call(Call::OpenSession, fails))).unwrap();
    let output = site.run(&["key", "list"]);
    let (said, error) = (text(&output.stdout), text(&output.stderr));
    assert!(
        said.contains("other-ca: token other") && said.contains("-: token soft; C_OpenSession failed"),
        "{said}"
    );
    assert!(
        !output.status.success() && error.contains("1 of the tokens cannot be listed: see there"),
        "{error}"
    );
}

/// Each token's module has the environment of its own section, though they cannot share one process.
#[test]
fn two_places_of_one_module_are_listed_together() {
    let (site, second) = (Site::new(USER_CA), Site::without_token(""));
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    let other = other_token(second.dir());
    site.configure(&format!(
        "{}{other}",
        config.replace("token = \"soft\"", "token = [\"soft\", \"other\"]")
    ));
    let so_pin = site.path("other-so-pin");
    site.run_ok(&["token", "init", "other", "--generate-pins", "--so-pin-file", so_pin.to_str().unwrap()]);
    let said = site.run_ok(&["token", "list"]);
    assert!(said.contains("[token.soft]: \"test\"") && said.contains("[token.other]: \"other\""), "{said}");
}
