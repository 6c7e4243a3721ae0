//! One spelling for each name in a certificate, of those that verifiers take for the same.
//!
//! In: a subject or an alternative name, as `ledger show` writes it. Out: what it is compared by, and found by in the index. Other
//! spellings than a verifier's may come to the same: a revocation means too much rather than too little. Principals of SSH are
//! compared as they are, as sshd does.

use countersign_tbs::x509::TbsCertificate;

/// The name as it is compared: of domains (RFC 5280 §7.2, §7.5), user principal names and subjects (RFC 5280 §7.1) without their
/// case, and of subjects without needless white space. Any other is itself.
pub(crate) fn folded(name: &str) -> String {
    match name.split_once(':') {
        Some(("DNS", domain)) => format!("DNS:{}", domain.to_ascii_lowercase()),
        Some(("email", address)) => address.rsplit_once('@').map_or_else(
            || name.to_owned(),
            |(local, domain)| format!("email:{local}@{}", domain.to_ascii_lowercase()),
        ),
        Some(("UPN", principal)) => format!("UPN:{}", small(&unescaped(principal))),
        Some(("directory", subject)) => format!("directory:{}", folded_subject(subject)),
        Some(("URI" | "IP", _)) => name.to_owned(),
        Some(_) | None if name.contains('=') => folded_subject(name),
        Some(_) | None => name.to_owned(),
    }
}

/// Whether the subject or an alternative name is `name`, in whatever spelling.
pub(crate) fn is_name_of(certificate: &TbsCertificate, name: &str) -> bool {
    let wanted = folded(name);
    names(certificate).any(|own| own == *name || folded(&own) == wanted)
}

/// The subject and every alternative name.
pub(crate) fn names(certificate: &TbsCertificate) -> impl Iterator<Item = String> {
    let subject = std::iter::once(certificate.subject().to_string());
    subject.chain(certificate.subject_alt_names().iter().map(ToString::to_string))
}

/// Small letters, of those too that have two small ones for a large one, or the other way round.
fn small(text: &str) -> String {
    text.to_uppercase().to_lowercase()
}

fn folded_subject(text: &str) -> String {
    let rdns = split(text, ',').into_iter().map(|rdn| {
        let mut attributes: Vec<String> = split(rdn, '+').into_iter().map(attribute).collect();
        attributes.sort();
        attributes.join("+")
    });
    rdns.collect::<Vec<_>>().join(",")
}

/// `CN=Alice`, with the separators in its value escaped.
fn attribute(text: &str) -> String {
    let text = small(&unescaped(text));
    let (label, value) = text.split_once('=').unwrap_or((&text, ""));
    let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
    let value = value.replace('\\', "\\\\").replace(',', "\\,").replace('+', "\\+");
    format!("{}={value}", label.trim())
}

/// The parts between separators that are not escaped.
fn split(text: &str, separator: char) -> Vec<&str> {
    let mut is_escaped = false;
    let separates = |c| {
        let separates = c == separator && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        separates
    };
    text.split(separates).collect()
}

/// Without escapes: `\u{e4}` of a character, `\c3\a4` of its UTF-8, and a backslash before what would mean something else.
fn unescaped(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend(before.bytes());
        rest = match (character(after), after.get(..2).and_then(octet)) {
            (Some((character, rest)), _) => {
                bytes.extend(character.to_string().bytes());
                rest
            }
            (None, Some(octet)) => {
                bytes.push(octet);
                after.get(2..).unwrap_or_default()
            }
            (None, None) => {
                let mut rest = after.chars();
                bytes.extend(rest.next().into_iter().flat_map(|escaped| escaped.to_string().into_bytes()));
                rest.as_str()
            }
        };
    }
    bytes.extend(rest.bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What `u{e4}` means, and what follows it.
fn character(text: &str) -> Option<(char, &str)> {
    let (code, rest) = text.strip_prefix("u{")?.split_once('}')?;
    Some((char::from_u32(u32::from_str_radix(code, 16).ok()?)?, rest))
}

/// What two hexadecimal digits mean.
fn octet(pair: &str) -> Option<u8> {
    let are_digits = pair.bytes().all(|byte| byte.is_ascii_hexdigit());
    are_digits.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::folded;

    #[test]
    fn spellings_that_verifiers_take_for_one_are_one() {
        for (name, same) in [
            ("DNS:wWw.Example.org", "DNS:www.example.org"),
            ("email:Alice@Home@Example.org", "email:Alice@Home@example.org"),
            ("UPN:Alice@Example.ORG", "UPN:alice@example.org"),
            ("UPN:\\u{c4}da@example.org", "UPN:äda@example.org"),
            ("C=CH,O=Acme\\, Inc.,CN=WWW", "c=ch,o=acme\\, inc.,cn=www"),
            ("CN=\\ Alice  Smith\\ ", "cn=alice smith"),
            ("CN=\\c3\\84da+O=x", "O=X+CN=äDA"),
            ("directory:CN=A", "directory:cn=a"),
        ] {
            assert_eq!(folded(name), folded(same), "{name}");
            assert_eq!(folded(&folded(name)), folded(name), "{name}");
        }
    }

    #[test]
    fn names_that_are_two_stay_two() {
        for same in ["URI:https://Example.org/A=B", "IP:10.0.0.1", "Alice", "email:Alice"] {
            assert_eq!(folded(same), same);
        }
        for (one, other) in [
            ("UPN:alice@example.org", "email:alice@example.org"),
            ("CN=a\\,CN=b", "CN=a,CN=b"),
            ("CN=a\\+O=b", "CN=a+O=b"),
            ("CN=a b", "CN=ab"),
            ("email:Alice@example.org", "email:alice@example.org"),
        ] {
            assert_ne!(folded(one), folded(other));
        }
    }
}
