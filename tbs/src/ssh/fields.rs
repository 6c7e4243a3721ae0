//! The fields of a TBS, in the order of PROTOCOL.certkeys: one function that reads them and one that writes them.

use std::collections::BTreeSet;

use super::public_key::{Algorithm, is_certificate_name};
use super::wire::{Reader, excerpt, put_string};
use super::{
    CertificateType, KEY_ID_MAX_LEN, NONCE_LEN, OptionSection, Options, PRINCIPAL_MAX_LEN, PRINCIPALS_MAX,
    ParseError, SubjectKey,
};
use crate::key::PublicKey;
use crate::ssh::KeyRole;

/// What a TBS says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Fields {
    pub(super) subject_key: SubjectKey,
    pub(super) nonce: Vec<u8>,
    pub(super) serial: u64,
    pub(super) certificate_type: CertificateType,
    pub(super) key_id: String,
    pub(super) principals: Vec<String>,
    pub(super) valid_after: u64,
    pub(super) valid_before: u64,
    pub(super) critical_options: Options,
    pub(super) extensions: Options,
    pub(super) ca_key: PublicKey,
}

impl Fields {
    /// Reads up to and including the CA key.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let algorithm = read_type(reader.string("type")?)?;
        let nonce = read_nonce(reader.string("nonce")?)?;
        refuse_certificate_as_key(*reader)?;
        let subject_key = algorithm.read_key(KeyRole::Subject, reader)?;
        let serial = reader.uint64("serial")?;
        let certificate_type = read_certificate_type(reader.uint32("certificate type")?)?;
        let key_id = read_key_id(reader.string("key id")?)?;
        let principals = read_principals(reader.string("list of principals")?)?;
        let (valid_after, valid_before) = read_validity(reader)?;
        let critical_options = Options::parse(OptionSection::Critical, reader.string("critical options")?)?;
        let extensions = Options::parse(OptionSection::Extension, reader.string("extensions")?)?;
        let reserved = reader.string("reserved field")?;
        if !reserved.is_empty() {
            return Err(ParseError::ReservedNotEmpty { len: reserved.len() });
        }
        let ca_key = PublicKey::from_ssh_wire(reader.string("CA key")?)?;
        Ok(Self {
            subject_key,
            nonce,
            serial,
            certificate_type,
            key_id,
            principals,
            valid_after,
            valid_before,
            critical_options,
            extensions,
            ca_key,
        })
    }

    /// The one encoding of these fields.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        put_string(&mut out, self.subject_key.kind().certificate_name().as_bytes());
        put_string(&mut out, &self.nonce);
        self.subject_key.put_fields(&mut out);
        out.extend(self.serial.to_be_bytes());
        out.extend(certificate_type_number(self.certificate_type).to_be_bytes());
        put_string(&mut out, self.key_id.as_bytes());
        let mut principals = Vec::new();
        for principal in &self.principals {
            put_string(&mut principals, principal.as_bytes());
        }
        put_string(&mut out, &principals);
        out.extend(self.valid_after.to_be_bytes());
        out.extend(self.valid_before.to_be_bytes());
        put_string(&mut out, &self.critical_options.encode());
        put_string(&mut out, &self.extensions.encode());
        put_string(&mut out, b"");
        put_string(&mut out, &self.ca_key.blob());
        out
    }

    /// Whether these fields encode to `bytes`: whatever the reader overlooks, this refuses.
    pub(super) fn check_canonical(&self, bytes: &[u8]) -> Result<(), ParseError> {
        if self.encode() == bytes { Ok(()) } else { Err(ParseError::NotCanonical) }
    }
}

fn read_type(name: &[u8]) -> Result<Algorithm, ParseError> {
    if let Some(algorithm) = Algorithm::from_certificate_name(name) {
        return Ok(algorithm);
    }
    for alias in ["rsa-sha2-256-cert-v01@openssh.com", "rsa-sha2-512-cert-v01@openssh.com"] {
        if name == alias.as_bytes() {
            return Err(ParseError::TypeIsSignatureAlgorithm { name: alias });
        }
    }
    let certified = name.strip_suffix(b"-cert-v01@openssh.com").unwrap_or(name);
    let is_nested = certified.ends_with(b"-cert-v01") || certified.ends_with(b"-cert-v01@openssh.com");
    let name = excerpt(name);
    Err(if is_nested { ParseError::SubjectIsCertificate { name } } else { ParseError::TypeUnknown { name } })
}

fn read_nonce(nonce: &[u8]) -> Result<Vec<u8>, ParseError> {
    if NONCE_LEN.contains(&nonce.len()) {
        Ok(nonce.to_vec())
    } else {
        Err(ParseError::NonceLength { len: nonce.len() })
    }
}

/// Names the mistake of a caller who puts a certificate, where it has its plain key, into the first key field: without
/// this it would be refused all the same, but as a key of the wrong length.
fn refuse_certificate_as_key(mut ahead: Reader<'_>) -> Result<(), ParseError> {
    let name = ahead.string("subject key").and_then(|key| Reader::new(key).string("key's type"));
    match name {
        Ok(name) if is_certificate_name(name) => {
            Err(ParseError::SubjectIsCertificate { name: excerpt(name) })
        }
        _ => Ok(()),
    }
}

fn read_certificate_type(value: u32) -> Result<CertificateType, ParseError> {
    [CertificateType::User, CertificateType::Host]
        .into_iter()
        .find(|known| certificate_type_number(*known) == value)
        .ok_or(ParseError::CertificateTypeUnknown { value })
}

const fn certificate_type_number(certificate_type: CertificateType) -> u32 {
    match certificate_type {
        CertificateType::User => 1,
        CertificateType::Host => 2,
    }
}

pub(super) fn read_key_id(key_id: &[u8]) -> Result<String, ParseError> {
    if key_id.len() > KEY_ID_MAX_LEN {
        return Err(ParseError::KeyIdTooLong { len: key_id.len() });
    }
    let key_id = str::from_utf8(key_id).map_err(|_| ParseError::KeyIdNotUtf8)?;
    if key_id.contains(hides) {
        return Err(ParseError::KeyIdControlCharacter);
    }
    Ok(key_id.to_owned())
}

fn read_principals(list: &[u8]) -> Result<Vec<String>, ParseError> {
    let mut reader = Reader::new(list);
    let mut principals = Vec::new();
    let mut seen = BTreeSet::new();
    while !reader.is_empty() {
        let index = principals.len();
        if index == PRINCIPALS_MAX {
            return Err(ParseError::PrincipalsTooMany);
        }
        let principal = read_principal(index, reader.string("principal")?)?;
        if !seen.insert(principal) {
            let name = excerpt(principal.as_bytes());
            return Err(ParseError::PrincipalDuplicate { index, name });
        }
        principals.push(principal.to_owned());
    }
    if principals.is_empty() { Err(ParseError::PrincipalsEmpty) } else { Ok(principals) }
}

fn read_principal(index: usize, principal: &[u8]) -> Result<&str, ParseError> {
    if principal.is_empty() {
        return Err(ParseError::PrincipalEmpty { index });
    }
    if principal.len() > PRINCIPAL_MAX_LEN {
        return Err(ParseError::PrincipalTooLong { index, len: principal.len() });
    }
    let principal = str::from_utf8(principal).map_err(|_| ParseError::PrincipalNotUtf8 { index })?;
    if principal.contains(char::is_control) {
        return Err(ParseError::PrincipalControlCharacter { index });
    }
    Ok(principal)
}

fn read_validity(reader: &mut Reader<'_>) -> Result<(u64, u64), ParseError> {
    let valid_after = reader.uint64("valid after")?;
    let valid_before = reader.uint64("valid before")?;
    if valid_after < valid_before {
        Ok((valid_after, valid_before))
    } else {
        Err(ParseError::ValidityInverted { valid_after, valid_before })
    }
}

/// Whether a character is none that a reader sees: a control character, or one of Unicode's that reorder or hide the
/// text around them (UAX #9 §2, and the zero-width ones). sshd logs key ids. Principals are plain ASCII anyway: policy.
fn hides(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
