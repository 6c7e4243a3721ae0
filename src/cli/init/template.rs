//! The configuration that a guided start writes: short, commented, and of what was answered. The manual of every key stays
//! countersign.example.toml.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use super::answer::Authority;
use super::plan::{LOG, MTLS, NewKey, OPERATOR, PinSource, Plan, Token};
use crate::cli::token::set_pin_source::quoted;
use crate::key::KeyPurpose;

/// How long the CAs live that sign their own certificates.
pub(super) const CA_LIFETIME: Duration = Duration::from_secs(3650 * 86_400);
/// The configuration is called this until all that it names is there.
pub(super) const DRAFT: &str = "countersign.toml.draft";
/// The common name of the CA for mutual TLS.
pub(super) const MTLS_NAME: &str = "countersign mTLS CA";

/// What is there already, and is in the configuration then.
#[derive(Default)]
pub(super) struct Made {
    /// The new token's serial number.
    pub(super) serial: Option<String>,
    /// By name.
    pub(super) keys: BTreeMap<&'static str, MadeKey>,
    /// Whether the CAs have their certificates.
    pub(super) certified: bool,
}

/// What pins a key.
pub(super) struct MadeKey {
    /// `CKA_ID`, where keys have one.
    pub(super) id: Option<String>,
    pub(super) fingerprint: String,
}

/// # Errors
/// None: a text takes whatever is written to it.
pub(super) fn render(plan: &Plan, made: &Made) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    head(&mut text, plan)?;
    token(&mut text, plan, made)?;
    for (index, key) in plan.keys().iter().enumerate() {
        key_section(&mut text, plan, made, (index, key))?;
        match key.name {
            MTLS => mtls(&mut text, plan)?,
            LOG => {}
            _ => authority(&mut text, plan, key)?,
        }
    }
    Ok(text)
}

fn head(text: &mut String, plan: &Plan) -> std::fmt::Result {
    let (domain, listen) = (&plan.domain, quoted(&plan.listen.to_string()));
    writeln!(
        text,
        r#"# Made by `countersign init`. countersign.example.toml is the manual of every key that may be here; `countersign check` finds what
# is wrong with it. Durations have a unit, relative paths are relative to this file, and secrets are paths, never values.
# A signer reads this at its start.

[server]
# gRPC over TLS 1.3, with certificates by {MTLS} (below) at both ends. SIGHUP has the signer read these files again.
listen = {listen}
tls_certificate = "mtls/server.pem"
tls_key = "mtls/server.key"
client_ca = "mtls/ca.pem"

# For operators on this host, who are known by their user id: `countersign client add`, `revoke`, `policy thaw`.
unix_socket = "signer.sock"

[ledger]
# What was asked, decided and signed, durable before the token signs. Keep it: no serial is signed twice, and no list forgets.
path = "ledger.sqlite"

# The log's name. It never changes: auditors know the log by it.
origin = "{domain}/countersign"

# Signs what the log was at a time, so that nobody can cut it unnoticed. Put `checkpoint_file` on another disk.
checkpoint_key = "{LOG}"
#checkpoint_file = "/var/lib/countersign-checkpoint/newest"

# Who may read it over the network, names and certificates included.
readers = ["spiffe://{domain}/{OPERATOR}"]
"#
    )
}

fn token(text: &mut String, plan: &Plan, made: &Made) -> std::fmt::Result {
    writeln!(text, "[token.{}]", plan.token.name())?;
    match &plan.token {
        Token::New { module, label } => {
            writeln!(text, "module = {}", quoted(&module.to_string_lossy()))?;
            writeln!(text, "label = {}", quoted(label))?;
            writeln!(text, "pin_file = \"pin\"")?;
        }
        Token::Existing { module, label, pin } => {
            writeln!(text, "module = {}", quoted(&module.to_string_lossy()))?;
            writeln!(text, "label = {}", quoted(label))?;
            pin_source(text, pin)?;
        }
        Token::YubiKey { serial, pin, .. } => {
            writeln!(text, "yubikey = {serial}")?;
            pin_source(text, pin)?;
        }
    }
    if let Some(serial) = &made.serial {
        writeln!(text, "serial = {}", quoted(serial))?;
    }
    let own = matches!(plan.token, Token::New { .. }).then(|| {
        let conf = plan.directory.join("softhsm2.conf").to_string_lossy().into_owned();
        ("SOFTHSM2_CONF".to_owned(), conf)
    });
    let variables: Vec<_> = own.iter().chain(&plan.environment).collect();
    if !variables.is_empty() {
        writeln!(text, "\n[token.{}.environment]", plan.token.name())?;
    }
    for (name, value) in variables {
        let bare = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let name = if bare { name.clone() } else { quoted(name) };
        writeln!(text, "{name} = {}", quoted(value))?;
    }
    Ok(())
}

fn pin_source(text: &mut String, pin: &PinSource) -> std::fmt::Result {
    match pin {
        PinSource::File(path) => writeln!(text, "pin_file = {}", quoted(&path.to_string_lossy())),
        PinSource::Credential(name) => writeln!(text, "pin_credential = {}", quoted(name)),
    }
}

fn key_section(
    text: &mut String,
    plan: &Plan,
    made: &Made,
    (index, key): (usize, &NewKey),
) -> std::fmt::Result {
    let what = match (key.name, key.purpose) {
        (MTLS, _) => {
            "The CA of the callers' certificates and of the signer's own. Only the operator of this host may ask it, over the socket."
        }
        (_, KeyPurpose::SshUserCa) => {
            "Signs certificates of users. Hosts name its public key in sshd's TrustedUserCAKeys."
        }
        (_, KeyPurpose::SshHostCa) => {
            "Signs certificates of hosts. Users have its public key in known_hosts, after @cert-authority."
        }
        (_, KeyPurpose::Ledger) => "Signs the ledger's checkpoints and nothing else.",
        _ => {
            "Signs certificates of TLS servers. It is a root of its own; docs/x509.md says how to have it below another."
        }
    };
    writeln!(text, "\n# {what}\n[key.{}]", key.name)?;
    writeln!(
        text,
        "purpose = \"{}\"\nscheme = \"{}\"\ntoken = \"{}\"",
        key.purpose,
        key.scheme,
        plan.token.name()
    )?;
    if matches!(plan.token, Token::YubiKey { .. }) {
        // The retired slots, which no other program has a use for.
        writeln!(text, "slot = \"{:02x}\"", 0x82 + index)?;
    }
    if let Some(made) = made.keys.get(key.name) {
        if let Some(id) = &made.id {
            writeln!(text, "id = {}", quoted(id))?;
        }
        writeln!(text, "fingerprint = {}", quoted(&made.fingerprint))?;
    }
    if let (KeyPurpose::X509Ca, true) = (key.purpose, made.certified) {
        writeln!(text, "certificate = \"{}\"", certificate(key.name))?;
    }
    Ok(())
}

/// Where the certificate of a CA key is, in the directory.
pub(super) fn certificate(key: &str) -> String {
    if key == MTLS { "mtls/ca.pem".to_owned() } else { format!("{key}.pem") }
}

/// The name of a CA that is a root.
pub(super) fn common_name(plan: &Plan, key: &str) -> String {
    if key == MTLS { MTLS_NAME.to_owned() } else { format!("{} TLS CA", plan.organisation) }
}

/// Who may ask over the Unix socket: root, and who made all this.
fn operators(plan: &Plan) -> String {
    let own = [0, plan.uid].map(|uid| format!("uid:{uid}"));
    list(if plan.uid == 0 { own.get(..1).unwrap_or_default() } else { &own })
}

/// The profile by which a CA key signs its own certificate.
fn itself(text: &mut String, plan: &Plan, key: &str) -> std::fmt::Result {
    writeln!(
        text,
        r#"
# Its own certificate: made by `countersign init`, and renewed by `countersign key self-sign`.
[key.{key}.allow.itself]
callers = {}
signs = "root-ca"
subject = {{ O = [{}], CN = [{}] }}
max_path_length = 0
max_lifetime = "3650d"
budget = "10/h""#,
        operators(plan),
        quoted(&plan.organisation.to_string()),
        quoted(&common_name(plan, key))
    )
}

/// The profile by which a CA key signs what is revoked.
fn lists(text: &mut String, plan: &Plan, key: &str) -> std::fmt::Result {
    writeln!(
        text,
        r#"
# Its lists of what is revoked: `countersign revoke`, then `countersign crl`. docs/revocation.md says how, and how often.
[key.{key}.allow.crl]
callers = {}
signs = "crl"
max_next_update = "7d"
budget = "10/h""#,
        operators(plan)
    )
}

fn mtls(text: &mut String, plan: &Plan) -> std::fmt::Result {
    itself(text, plan, MTLS)?;
    let (operators, domain, lifetime) = (operators(plan), &plan.domain, &plan.mtls_lifetime);
    let organisation = quoted(&plan.organisation.to_string());
    let mut addresses = plan.server_names.addresses.clone();
    if !plan.listen.ip().is_unspecified() {
        addresses.insert(plan.listen.ip());
    }
    let networks: Vec<_> =
        addresses.iter().map(|ip| format!("{ip}/{}", if ip.is_ipv4() { 32 } else { 128 })).collect();
    writeln!(
        text,
        r#"
# The signer's own certificate.
[key.{MTLS}.allow.server]
callers = {operators}
signs = "tls-server"
subject = {{ O = [{organisation}], CN = [{}] }}"#,
        quoted(&plan.server_names.first().unwrap_or_default())
    )?;
    for (key, names) in [("dns_names", &plan.server_names.dns), ("ip_addresses", &networks)] {
        if !names.is_empty() {
            writeln!(text, "{key} = {}", list(names))?;
        }
    }
    writeln!(
        text,
        r#"max_lifetime = {0}
budget = "10/h"

# Front-ends and operators: `countersign client add NAME` has a certificate for spiffe://{domain}/NAME made by this profile.
[key.{MTLS}.allow.clients]
callers = {operators}
signs = "tls-client"
uris = ["spiffe://{domain}/*"]
subject = {{ O = [{organisation}], CN = ["*"] }}
max_lifetime = {0}
budget = "100/day""#,
        quoted(&lifetime.to_string())
    )
}

fn authority(text: &mut String, plan: &Plan, key: &NewKey) -> std::fmt::Result {
    if key.name == Authority::Tls.key() {
        itself(text, plan, key.name)?;
        lists(text, plan, key.name)?;
    }
    writeln!(
        text,
        "\n# What the first front-end may have signed. `countersign client add NAME --like {0}` makes another of this kind.\n\
         [key.{1}.allow.{0}]\ncallers = [\"{2}\"]",
        plan.front_end,
        key.name,
        plan.domain.caller(&plan.front_end)
    )?;
    if let (Some(users), KeyPurpose::SshUserCa) = (&plan.users, key.purpose) {
        writeln!(text, "principals = {}", list(&users.principals.0))?;
        writeln!(text, "max_lifetime = {}", quoted(&users.max_lifetime.to_string()))?;
        if !users.extensions.0.is_empty() {
            writeln!(text, "extensions = {}", list(&users.extensions.0))?;
        }
        return writeln!(
            text,
            "# A few times what a busy hour needs: it bounds what a stolen front-end gets.\nbudget = \"500/h\""
        );
    }
    if let (Some(hosts), KeyPurpose::SshHostCa) = (&plan.hosts, key.purpose) {
        writeln!(text, "principals = {}", list(&hosts.0))?;
    }
    if let (Some(names), KeyPurpose::X509Ca) = (&plan.dns_names, key.purpose) {
        writeln!(text, "signs = \"tls-server\"\ndns_names = {}", list(&names.0))?;
    }
    writeln!(text, "max_lifetime = {}\nbudget = \"200/day\"", quoted(&plan.max_server_lifetime.to_string()))
}

fn list(texts: &[String]) -> String {
    let texts: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(", "))
}
