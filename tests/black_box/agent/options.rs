//! Every option of `ssh-keygen -U` that says what is in a certificate, for users and for hosts.

use super::*;
use crate::site::now;

const HOST_CA: &str = r#"
[key.host-ca]
purpose = "ssh-host-ca"
scheme = "ed25519"
token = "soft"

[key.host-ca.allow.fleet]
callers = ["spiffe://countersign.example/front-end"]
principals = ["*.example.org"]
max_lifetime = "1h"
backdating = "2m"
budget = "100000/h"
"#;

/// [`user_ca`], whose profile lists an extension of nobody's, and a host CA.
fn site() -> Site {
    let values = "[key.user-ca.allow.staff.extension_values]\n\"login@example.org\" = [\"alice\"]\n";
    let site = Site::new(&[&user_ca("ed25519"), values, HOST_CA].concat());
    for key in ["user-ca", "host-ca"] {
        write_ca(&site, key, &format!("{key}.pub"));
    }
    ssh_keygen(&site.path("id"), &["-t", "ed25519"]);
    site
}

/// The listing of what ssh-keygen has certified with these options and this serial, from its principals on.
fn certified(site: &Site, agent: &Agent, ca: &str, serial: u32, options: &[&str]) -> Vec<String> {
    let (ca, serial) = (format!("{ca}.pub"), serial.to_string());
    let always = ["-q", "-U", "-s", &ca, "-I", "x", "-z", &serial];
    agent.ok("ssh-keygen", &[&always[..], options, &["id.pub"]].concat());
    listing(&site.path("id-cert.pub")).split_off(6)
}

const SOON: [&str; 2] = ["-V", "+5m"];

#[test]
fn each_no_option_takes_one_extension_away() {
    let site = site();
    let daemon = site.serve();
    let agent = Agent::start(&site, &daemon, FRONT_END);
    let all = [
        "permit-X11-forwarding",
        "permit-agent-forwarding",
        "permit-port-forwarding",
        "permit-pty",
        "permit-user-rc",
    ];
    for (serial, gone) in (1..).zip(all) {
        let option = gone.replace("permit-", "no-").to_lowercase();
        let listed = certified(
            &site,
            &agent,
            "user-ca",
            serial,
            &[&SOON[..], &["-n", "alice", "-O", &option]].concat(),
        );
        let rest: Vec<_> = all.iter().filter(|extension| **extension != gone).collect();
        assert_eq!(
            listed[..4],
            ["Principals:", "alice", "Critical Options: (none)", "Extensions:"],
            "{listed:?}"
        );
        assert_eq!(listed[4..].iter().collect::<Vec<_>>(), rest, "{option}");
    }
}

#[test]
fn extensions_and_critical_options_of_nobody_are_the_profiles_to_allow() {
    let site = site();
    let daemon = site.serve();
    let mut agent = Agent::start(&site, &daemon, FRONT_END);
    let user = ["-V", "+5m", "-n", "alice"];
    let extension = ["-O", "clear", "-O", "extension:login@example.org=alice"];
    let listed = certified(&site, &agent, "user-ca", 1, &[&user[..], &extension].concat());
    assert!(listed.iter().any(|line| line.starts_with("login@example.org UNKNOWN OPTION")), "{listed:?}");

    let host = ["-V", "+5m", "-h", "-n", "web1.example.org,web2.example.org"];
    let listed = certified(&site, &agent, "host-ca", 1, &host);
    let bare = [
        "Principals:",
        "web1.example.org",
        "web2.example.org",
        "Critical Options: (none)",
        "Extensions: (none)",
    ];
    assert_eq!(listed, bare);

    for (ca, kind, option, reason) in [
        ("user-ca.pub", &user[..], "extension:login@example.org=root", "EXTENSION_VALUE_NOT_ALLOWED"),
        ("user-ca.pub", &user, "extension:other@example.org", "EXTENSION_NOT_ALLOWED"),
        ("user-ca.pub", &user, "critical:other@example.org=1", "CRITICAL_OPTION_NOT_ALLOWED"),
        ("host-ca.pub", &host, "extension:login@example.org=alice", "EXTENSION_NOT_ALLOWED"),
        ("host-ca.pub", &host, "critical:other@example.org=1", "CRITICAL_OPTION_NOT_ALLOWED"),
    ] {
        let ask = [&["-Us", ca, "-I", "x", "-z", "2"], kind, &["-O", option, "id.pub"]].concat();
        agent.refused("ssh-keygen", &ask);
        let line = agent.log.wait_for("FAILURE");
        assert!(line.contains(reason), "{ca}, {option}: {line}");
    }
}

#[test]
fn a_validity_may_be_written_in_every_way_that_has_an_end() {
    let site = site();
    let daemon = site.serve();
    let mut agent = Agent::start(&site, &daemon, FRONT_END);
    let date = |offset: &str| {
        let date = Command::new("date").args(["-u", "-d", offset, "+%Y%m%d%H%M%SZ"]).output().unwrap();
        text(&date.stdout).trim().to_owned()
    };
    let written = [
        "+10m".to_owned(),
        "-30s:+1m30s".to_owned(),
        format!("-10s:{}", date("+10 minutes")),
        format!("{}:{}", date("-10 seconds"), date("+10 minutes")),
        format!("{:#x}:{:#x}", now() - 10, now() + 600),
    ];
    for (serial, validity) in (1..).zip(&written) {
        certified(&site, &agent, "user-ca", serial, &["-n", "alice", "-V", validity]);
    }
    for (validity, reason) in [
        ("always:+10m", "BACKDATED_TOO_FAR"),
        ("-10s:forever", "VALID_FOREVER"),
        ("always:forever", "VALID_FOREVER"),
        ("-2h:-1h", "CERTIFICATE_EXPIRED"),
        ("+1h:+90m", "STARTS_TOO_LATE"),
        ("+2h", "LIFETIME_TOO_LONG"),
    ] {
        let ask = ["-U", "-s", "user-ca.pub", "-I", "x", "-z", "99", "-n", "alice", "-V", validity, "id.pub"];
        agent.refused("ssh-keygen", &ask);
        let line = agent.log.wait_for("FAILURE");
        assert!(line.contains(reason), "{validity}: {line}");
    }
}
