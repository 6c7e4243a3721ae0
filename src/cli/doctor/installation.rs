//! The files around the signer: the TLS files, the certificates of X.509 keys, and how long they are good.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::finding::Finding;
use crate::config::Config;
use crate::key::{self, KeyCertificate, UnixTime};
use crate::server;
use crate::token::isolate::Held;
use crate::token::{Limits, Weaker};

/// Certificates are to be renewed before this many seconds are left.
const SOON: u64 = 30 * 86_400;
const DAY: u64 = 86_400;
const HOUR: u64 = 3600;

/// What `serve` would say of the TLS files, and when they expire.
pub(super) fn tls(config: &server::Config) -> Vec<Finding> {
    let mut findings: Vec<_> =
        server::check(config).err().unwrap_or_default().iter().map(Finding::of_fault).collect();
    let now = UnixTime::now();
    let files =
        [("server.tls_certificate", &config.tls_certificate), ("server.client_ca", &config.client_ca)];
    for (what, path) in files {
        let whole = what == "server.client_ca";
        let ends = ends(path, whole).into_iter().map(|(subject, end)| expiry(what, &subject, end, now));
        // An expired server certificate is told of already.
        let news = ends.filter(|new| !findings.iter().any(|old| old.what == new.what));
        let news: Vec<_> = news.collect();
        findings.extend(news);
    }
    findings
}

/// What keys need not be, though they should.
pub(super) fn accepted(keys: &[key::Config]) -> impl Iterator<Item = Finding> {
    keys.iter().filter(|key| !key.accept.is_empty()).map(|key| {
        let flaws: Vec<_> = key.accept.iter().map(|flaw| flaw.name()).collect();
        let cause = format!("the key may be {}, and is served all the same", flaws.join(", "));
        let fix = "generate another with `countersign key generate`, have both trusted for a while, and then delete this line";
        Finding::warning(format!("key.{}.accept", key.name), cause, fix)
    })
}

/// What this kernel does not hold the processes of tokens back from, if there is anything. With it a token of which `limits` refuse that
/// does not start.
pub(super) fn kernel<'a>(held: &Held, mut limits: impl Iterator<Item = &'a Limits>) -> Option<Finding> {
    let cause = held.missing()?;
    let fix = "run the signer on Linux 6.12 or newer, with Landlock among the kernel's security modules";
    Some(if limits.any(|limits| limits.weaker == Weaker::Refused) {
        Finding::fault("kernel", cause, fix)
    } else {
        Finding::warning("kernel", cause, fix)
    })
}

/// Where the daemon writes what others are to trust: it must be there, and nobody else's to write in.
pub(super) fn bundles(config: &Config) -> Option<Finding> {
    let (what, directory) = ("bundles.directory", &config.bundles.as_ref()?.directory);
    let Some(metadata) = fs::metadata(directory).ok().filter(fs::Metadata::is_dir) else {
        let cause = format!("{} is no directory, so that no bundle can be written", directory.display());
        return Some(Finding::warning(what, cause, "make it, and let the signer's own user have it"));
    };
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 == 0 {
        return Some(Finding::well(what, format!("{} is there", directory.display())));
    }
    let cause = format!(
        "{} has mode {mode:04o}: others can put keys there that hosts then trust",
        directory.display()
    );
    Some(Finding::warning(what, cause, format!("run `chmod go-w {}`", directory.display())))
}

/// When the certificates of X.509 keys expire; whether they fit, `daemon::check` says.
pub(super) fn certificates(keys: &[key::Config]) -> Vec<Finding> {
    let now = UnixTime::now();
    let ends = keys.iter().filter_map(|key| {
        let certificate = KeyCertificate::load(key).ok()?;
        let own = certificate.own();
        let what = format!("key.{}.certificate", key.name);
        Some(expiry(&what, &own.subject().to_string(), own.validity().not_after.unix_secs(), now))
    });
    ends.collect()
}

/// The subject and the last second of the first certificate of a file, or of each.
fn ends(path: &Path, whole: bool) -> Vec<(String, u64)> {
    let Ok(pem) = fs::read(path) else { return Vec::new() };
    let certificates = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
    let ends = certificates.filter_map(|der| {
        let certificate = Certificate::from_der(&der).ok()?;
        let tbs = certificate.tbs_certificate();
        Some((tbs.subject().to_string(), tbs.validity().not_after.to_unix_duration().as_secs()))
    });
    ends.take(if whole { usize::MAX } else { 1 }).collect()
}

fn expiry(what: &str, subject: &str, end: u64, now: UnixTime) -> Finding {
    let name = if subject.is_empty() { "the certificate".to_owned() } else { format!("{subject:?}") };
    let Some(left) = end.checked_sub(now.0) else {
        return Finding::fault(
            what,
            format!("{name} expired {} ago", span(now.0 - end)),
            "renew it, and send the daemon a SIGHUP if it is a TLS file",
        );
    };
    if left < SOON {
        let fix = "renew it before; a daemon takes new TLS files at a SIGHUP, and other certificates at its next start";
        return Finding::warning(what, format!("{name} expires in {}", span(left)), fix);
    }
    Finding::well(what, format!("{name} is valid for {}", span(left)))
}

/// Whole days, or hours where that is more exact by a half.
fn span(seconds: u64) -> String {
    if seconds < 2 * DAY { format!("{} hours", seconds / HOUR) } else { format!("{} days", seconds / DAY) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_kernel_that_holds_less_is_a_warning_and_a_fault_where_that_is_refused() {
        let (told, refused) = (Limits::default(), Limits { weaker: Weaker::Refused, ..Limits::default() });
        assert!(kernel(&Held::Fully, [&told, &refused].into_iter()).is_none());
        let partly = Held::Partly("signals to other processes".to_owned());
        let warning = kernel(&partly, [&told].into_iter()).unwrap();
        assert!(
            warning.to_string().starts_with("WARNING  kernel: this kernel cannot hold back signals"),
            "{warning}"
        );
        let fault = kernel(&partly, [&told, &refused].into_iter()).unwrap();
        assert!(fault.to_string().starts_with("FAULT    kernel: "), "{fault}");
    }
}
