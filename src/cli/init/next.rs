//! What to do once a guided start is made: the very commands, as a shell takes them.

use super::answer::Authority;
use super::plan::{Plan, Token};
use super::template;
use crate::cli::client::issue::Identity;
use crate::cli::fresh::shell;

/// For a person; each line of a command begins with two spaces.
pub(super) fn steps(plan: &Plan) -> String {
    let (config, caller) = (shell(&plan.config()), plan.domain.caller(&plan.front_end));
    let commands = exports(plan).into_iter().chain(["countersign health".to_owned()]);
    let commands: Vec<_> = commands.chain(first_certificates(plan)).collect();
    let so_pin = match plan.token {
        Token::New { .. } => ", and so-pin off this host",
        Token::Existing { .. } | Token::YubiKey { .. } => "",
    };
    format!(
        "\nStart the signer:\n\n  countersign serve --config {config}\n\nAsk it from another terminal, as {caller}:\n\n  {}\n\n\
         Then move clients/{} to its host{so_pin}. `countersign client add` makes another front-end, `countersign doctor`\n\
         looks for what is wrong, and docs/getting-started.md says what else to do before others rely on it.\n",
        commands.join("\n  "),
        plan.front_end
    )
}

fn exports(plan: &Plan) -> [String; 2] {
    let identity = Identity { directory: plan.directory.join("clients").join(plan.front_end.as_str()) };
    let host = plan.server_names.host().unwrap_or_else(|| plan.listen.ip().to_string());
    let server = format!("https://{host}:{}", plan.listen.port());
    identity.exports(&server, &identity.directory.join("key.pem"))
}

/// A first certificate of each kind that it is a CA for; of SSH's one.
fn first_certificates(plan: &Plan) -> Vec<String> {
    let mut commands = first_ssh(plan);
    commands.extend(first_x509(plan));
    commands
}

fn first_ssh(plan: &Plan) -> Vec<String> {
    let (key, pattern, host) = if let Some(users) = &plan.users {
        (Authority::User.key(), users.principals.0.first(), "")
    } else if let Some(hosts) = &plan.hosts {
        (Authority::Host.key(), hosts.0.first(), " --host")
    } else {
        return Vec::new();
    };
    let Some(pattern) = pattern else { return Vec::new() };
    let (id, principal) = (plan.directory.join("first"), pattern.replace('*', "first"));
    let (public, certificate) = (shell(&id.with_extension("pub")), plan.directory.join("first-cert.pub"));
    vec![
        format!("ssh-keygen -q -t ed25519 -N '' -C first -f {}", shell(&id)),
        format!(
            "countersign sign {key}{host} --public-key {public} --principal {} --lifetime 1h",
            quoted(&principal)
        ),
        format!("ssh-keygen -L -f {}", shell(&certificate)),
    ]
}

fn first_x509(plan: &Plan) -> Vec<String> {
    let Some(pattern) = plan.dns_names.as_ref().and_then(|names| names.0.first()) else { return Vec::new() };
    let key = Authority::Tls.key();
    let file = |name: &str| shell(&plan.directory.join(name));
    let (request, certificate, name) =
        (file("www.csr"), file("www.pem"), quoted(&pattern.replace('*', "www")));
    vec![
        format!(
            "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj /CN=www -keyout {} -out {request}",
            file("www.key")
        ),
        format!("countersign sign-csr {key} --csr {request} --dns-name {name} --out {certificate}"),
        format!(
            "openssl verify -CAfile {} -verify_hostname {name} {certificate}",
            file(&template::certificate(key))
        ),
    ]
}

/// A principal as a shell reads it back.
fn quoted(text: &str) -> String {
    shell(std::path::Path::new(text))
}
