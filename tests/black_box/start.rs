//! What `serve` finds at start, what it says, and how it ends.

use std::process::Command;

use countersign::ledger::Entry;

use rustix::process::Signal;

use crate::site::{Daemon, FRONT_END, Site, USER_CA, text};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

#[test]
fn every_key_signs_a_recorded_challenge_before_anything_listens() {
    let site = Site::new(&format!("{USER_CA}{}", USER_CA.replace("key.user-ca", "key.other-ca")));
    let daemon = site.serve();
    let entries = site.entries();
    let tested: Vec<_> = entries.iter().filter(|entry| matches!(entry, Entry::SelfTest { .. })).collect();
    assert_eq!(tested.len(), 2, "{entries:?}");
    let (status, log) = daemon.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(site.entries().len(), 4, "each has its outcome");
}

#[test]
fn every_fault_of_every_stage_is_reported_at_once() {
    let site = Site::new(USER_CA);
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    let broken = config
        .replace("mtls/server.pem", "mtls/no-such.pem")
        .replace("path = \"ledger.sqlite\"", "path = \"no-such-directory/ledger.sqlite\"")
        .replace("[key.user-ca]\n", "[key.user-ca]\nlabel = \"no-such-key\"\n");
    site.configure(&broken);
    let message = site.run_refused(&["serve"], 2);
    for wanted in ["server.tls_certificate", "ledger.path"] {
        assert!(message.contains(wanted), "{wanted} is not in:\n{message}");
    }
    assert!(!message.contains("key.user-ca"), "without a ledger nobody logs in:\n{message}");
    site.configure(&broken.replace("no-such-directory/", ""));
    let message = site.run_refused(&["serve"], 2);
    for wanted in ["server.tls_certificate", "key.user-ca", "no-such-key"] {
        assert!(message.contains(wanted), "{wanted} is not in:\n{message}");
    }
}

#[test]
fn configuration_faults_name_their_key_and_line() {
    let site = Site::without_token(USER_CA);
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    site.configure(
        &config
            .replace("max_lifetime = \"1h\"\n", "")
            .replace("sessions", "sesions")
            .replace("127.0.0.1:0", "nowhere"),
    );
    let message = site.run_refused(&["serve"], 2);
    assert!(message.contains("key.user-ca.allow.staff.max_lifetime"), "{message}");
    let line = config.lines().position(|line| line.starts_with("listen")).unwrap() + 1;
    assert!(message.contains(&format!(":{line}: server.listen")), "{message}");
}

#[test]
fn a_wrong_pin_is_named_as_the_fault_and_is_nowhere_in_the_output() {
    let site = Site::new(USER_CA);
    std::fs::write(site.path("pin"), "canary-8357\n").unwrap();
    let message = site.run_refused(&["serve"], 2);
    assert!(message.contains("pin_file"), "{message}");
    assert!(!message.contains("canary"), "{message}");
}

#[test]
fn a_pin_file_that_others_can_read_is_refused() {
    let site = Site::new(USER_CA);
    let chmod = Command::new("chmod").arg("644").arg(site.path("pin")).status().unwrap();
    assert!(chmod.success());
    let message = site.run_refused(&["check"], 2);
    assert!(message.contains("chmod 0600"), "{message}");
}

#[test]
fn two_keys_with_one_label_are_refused_with_the_candidates() {
    let site = Site::new(USER_CA);
    for id in ["aa", "bb"] {
        pkcs11_tool(
            &site,
            &[
                "--keypairgen",
                "--key-type",
                "EC:prime256v1",
                "--label",
                "double",
                "--id",
                id,
                "--usage-sign",
                "--sensitive",
            ],
        );
    }
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    site.configure(&config.replace("[key.user-ca]\n", "[key.user-ca]\nlabel = \"double\"\n"));
    let message = site.run_refused(&["check"], 2);
    assert!(message.contains("aa") && message.contains("bb"), "{message}");

    site.configure(&config.replace("[key.user-ca]\n", "[key.user-ca]\nlabel = \"double\"\nid = \"bb\"\n"));
    site.run_ok(&["check"]);
}

#[test]
fn a_key_that_could_leave_its_token_is_refused() {
    let site = Site::new(USER_CA);
    pkcs11_tool(
        &site,
        &[
            "--keypairgen",
            "--key-type",
            "EC:prime256v1",
            "--label",
            "loose",
            "--id",
            "cc",
            "--usage-sign",
            "--extractable",
        ],
    );
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    site.configure(&config.replace("[key.user-ca]\n", "[key.user-ca]\nlabel = \"loose\"\n"));
    let message = site.run_refused(&["check"], 2);
    assert!(message.contains("CKA_EXTRACTABLE"), "{message}");
}

#[test]
fn a_key_with_another_fingerprint_than_pinned_is_refused() {
    let site = Site::new(USER_CA);
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    let other = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    site.configure(
        &config.replace("[key.user-ca]\n", &format!("[key.user-ca]\nfingerprint = \"{other}\"\n")),
    );
    let message = site.run_refused(&["check"], 2);
    assert!(message.contains("key.user-ca") && message.contains(other), "{message}");
}

#[test]
fn a_key_of_another_type_than_its_scheme_is_refused() {
    let site = Site::new(USER_CA);
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    site.configure(&config.replace("ecdsa-p256-sha256", "ed25519"));
    let message = site.run_refused(&["check"], 2);
    assert!(message.contains("key.user-ca"), "{message}");
}

#[test]
fn a_token_without_the_mechanism_is_refused() {
    let site = Site::new(USER_CA);
    let conf = std::fs::read_to_string(site.path("softhsm2.conf")).unwrap();
    std::fs::write(site.path("softhsm2.conf"), format!("{conf}slots.mechanisms = CKM_RSA_PKCS,CKM_EDDSA\n"))
        .unwrap();
    let message = site.run_refused(&["check"], 2);
    assert!(message.contains("key.user-ca") && message.contains("CKM_ECDSA"), "{message}");
}

#[test]
fn two_tokens_with_one_label_need_a_serial() {
    let site = Site::new(USER_CA);
    let conf = site.path("softhsm2.conf");
    let second = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "test", "--pin", "123456", "--so-pin", "12345678"])
        .env("SOFTHSM2_CONF", conf)
        .output()
        .unwrap();
    assert!(second.status.success(), "{}", text(&second.stderr));
    let message = site.run_refused(&["check"], 2);
    assert!(message.contains("token.soft") && message.contains("serial"), "{message}");

    let listed: serde_json::Value = serde_json::from_str(&site.run_ok(&["token", "list", "--json"])).unwrap();
    let serials: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|token| token["serial"].as_str().filter(|serial| !serial.is_empty()))
        .collect();
    assert_eq!(serials.len(), 2, "{listed}");
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    let found = serials.iter().filter(|serial| {
        site.configure(
            &config.replace("label = \"test\"\n", &format!("label = \"test\"\nserial = \"{serial}\"\n")),
        );
        site.run(&["check"]).status.success()
    });
    assert_eq!(found.count(), 1, "only one of them holds the key, and the PIN is not the other's");
}

#[test]
fn check_listens_nowhere_and_leaves_no_entry() {
    let site = Site::new(USER_CA);
    let output = site.run_ok(&["check"]);
    assert!(output.contains("user-ca"), "{output}");
    assert!(!site.path("ledger.sqlite").exists());
    assert!(!site.path("signer.sock").exists());
}

#[test]
fn check_finds_what_is_wrong_with_the_ledger_beside_a_daemon_that_runs() {
    let site = Site::new(USER_CA);
    let _daemon = site.serve();
    site.run_ok(&["check"]);
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    for (right, wrong) in
        [("ledger.sqlite", "no-such-directory/ledger.sqlite"), ("test.countersign", "other.countersign")]
    {
        site.configure(&config.replace(right, wrong));
        let message = site.run_refused(&["check"], 2);
        assert!(message.contains("ledger.path"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_takes_new_tls_files_and_keeps_the_old_ones_if_they_are_broken() {
    let site = Site::new(USER_CA);
    let mut daemon = site.serve();
    let old = std::fs::read(site.path("mtls/ca.pem")).unwrap();
    std::fs::write(site.path("mtls/ca.pem"), "not a certificate").unwrap();
    daemon.signal(Signal::HUP);
    daemon.wait_for("stay in use");
    std::fs::write(site.path("mtls/ca.pem"), old).unwrap();
    site.client(&daemon, FRONT_END).await.list_keys().await.unwrap();

    std::fs::rename(site.path("mtls"), site.path("old-mtls")).unwrap();
    crate::pki::write(&site.path("mtls"), &[FRONT_END]);
    daemon.signal(Signal::HUP);
    daemon.wait_for("as they are now");
    site.client(&daemon, FRONT_END).await.list_keys().await.expect("a client of the new CA");
    std::fs::remove_dir_all(site.path("mtls")).unwrap();
    std::fs::rename(site.path("old-mtls"), site.path("mtls")).unwrap();
    site.try_client(&daemon, FRONT_END).await.expect_err("a client of the old CA");
}

#[test]
fn a_second_daemon_on_one_ledger_is_refused() {
    let site = Site::new(USER_CA);
    let _daemon = site.serve();
    let message = site.run_refused(&["serve"], 2);
    assert!(message.contains("ledger"), "{message}");
}

#[test]
fn the_daemon_never_maps_the_module_and_stays_small() {
    let site = Site::new(USER_CA);
    let mut with_a_file_open = Command::new("bash");
    with_a_file_open.args(["-c", "exec 7>inherited; exec \"$0\" serve", env!("CARGO_BIN_EXE_countersign")]);
    with_a_file_open.current_dir(site.dir()).env("COUNTERSIGN_CONFIG", site.path("countersign.toml"));
    let daemon = Daemon::start(&mut with_a_file_open);
    let proc = |pid: rustix::process::Pid, file: &str| {
        std::fs::read_to_string(format!("/proc/{}/{file}", pid.as_raw_nonzero())).unwrap()
    };
    assert!(!proc(daemon.pid(), "maps").contains("softhsm"));
    let resident = proc(daemon.pid(), "status")
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .unwrap();
    // Its own, without the pages of the program, of which a debug build has many.
    assert!(resident < 8 * 1024, "{resident} KiB resident when idle");

    let children = daemon.token_processes();
    assert_eq!(children.len(), 1);
    let status = proc(children[0], "status");
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    let limits = proc(children[0], "limits");
    assert!(limits.lines().any(|line| line.starts_with("Max core file size") && line.split_whitespace().nth(4) == Some("0")));
    let open = std::fs::read_dir(format!("/proc/{}/fd", children[0].as_raw_nonzero())).unwrap();
    let files: Vec<_> = open.filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok()).collect();
    assert!(!files.iter().any(|file| file.ends_with("inherited")), "{files:?}");

    let environment = proc(children[0], "environ");
    let names: Vec<_> = environment.split('\0').filter(|pair| !pair.is_empty()).collect();
    assert!(names.iter().all(|pair| pair.starts_with("SOFTHSM2_CONF=")), "{names:?}");
}

#[test]
fn the_token_process_dies_with_the_daemon() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let child = daemon.token_processes()[0];
    let pidfd = rustix::process::pidfd_open(child, rustix::process::PidfdFlags::empty()).unwrap();
    // It runs no code of its own any more, as in a module that hangs: it cannot see that its socket hangs up.
    rustix::process::kill_process(child, rustix::process::Signal::STOP).unwrap();
    daemon.kill();
    let mut ready = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
    let patience = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
    assert_eq!(
        rustix::event::poll(&mut ready, Some(&patience)).unwrap(),
        1,
        "still there 10 s after its parent was killed"
    );
}

/// OpenSC's client, an independent hand on the same token.
fn pkcs11_tool(site: &Site, args: &[&str]) {
    let pin = std::fs::read_to_string(site.path("pin")).unwrap();
    let mut command = Command::new("pkcs11-tool");
    command.args(["--module", MODULE, "--token-label", "test", "--login", "--pin", pin.trim()]).args(args);
    let output = command.env("SOFTHSM2_CONF", site.path("softhsm2.conf")).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}
