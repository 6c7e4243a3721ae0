//! One key on two tokens of a real daemon: one dies, callers do not notice, and it proves itself before it takes load again.

use std::process::Command;

use countersign::ledger::Entry;
use countersign_tbs::ssh::SubjectKey;
use rustix::process::{Signal, kill_process};

use crate::forge::Forgery;
use crate::site::{FRONT_END, Site, USER_CA, now, request, text};

/// A site whose `user-ca` is on the tokens `soft` and `spare`.
fn site() -> Site {
    let site = Site::without_token("");
    let keys = USER_CA.replace("token = \"soft\"", "token = [\"soft\", \"spare\"]");
    let spare = format!(
        "\n[token.spare]\nmodule = \"/usr/lib/softhsm/libsofthsm2.so\"\nlabel = \"spare\"\npin_file = \"spare-pin\"\n\
         [token.spare.environment]\nSOFTHSM2_CONF = \"{}/softhsm2.conf\"\n",
        site.dir().display()
    );
    site.configure(&format!("{}{spare}{keys}", site.base_config()));
    let pem = site.path("ca.pem");
    let made = Command::new("openssl")
        .args(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"])
        .arg(&pem)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    for (token, label, pin) in [("soft", "test", "pin"), ("spare", "spare", "spare-pin")] {
        let so_pin = site.path(&format!("{token}-so-pin"));
        site.run_ok(&["token", "init", token, "--generate-pins", "--so-pin-file", so_pin.to_str().unwrap()]);
        let pin = std::fs::read_to_string(site.path(pin)).unwrap();
        let imported = Command::new("softhsm2-util")
            .args(["--token", label, "--label", "user-ca", "--id", "01", "--pin", pin.trim(), "--import"])
            .arg(&pem)
            .env("SOFTHSM2_CONF", site.path("softhsm2.conf"))
            .output()
            .unwrap();
        assert!(imported.status.success(), "{}", text(&imported.stderr));
    }
    site
}

fn self_tests(site: &Site) -> usize {
    site.entries().iter().filter(|entry| matches!(entry, Entry::SelfTest { .. })).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_token_is_not_missed_and_proves_itself_before_it_serves_again() {
    let site = site();
    let mut daemon = site.serve();
    assert_eq!(self_tests(&site), 2, "one on each token");
    let client = site.client(&daemon, FRONT_END).await;
    let openssh = client.get_key("user-ca").await.unwrap().openssh;
    let ca_key = SubjectKey::from_openssh_line(&openssh).unwrap().to_wire();
    let lost = daemon.token_processes()[0];
    for serial in 1..=100 {
        if serial == 50 {
            kill_process(lost, Signal::KILL).unwrap();
        }
        let tbs = Forgery { serial, ..Forgery::user(ca_key.clone(), now()) };
        client.sign(request("user-ca", tbs.encode())).await.expect("one of the two is well");
    }
    daemon.wait_for("has proven itself");
    assert_eq!(self_tests(&site), 4, "two proofs of the one that was lost");
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
}
