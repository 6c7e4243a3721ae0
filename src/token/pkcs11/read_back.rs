//! What the token says of a key that it has just got, beside what it was asked for; and what it says of itself.
//!
//! In: a private key, and the template that it was made by. Out: rows of a provisioning record. Not told is not different: what a key
//! must tell to be served, the rules of the service say.

use std::fs;

use aws_lc_rs::digest::{SHA256, digest};
use cryptoki::object::{Attribute, AttributeType, ObjectHandle};

use super::attribute::Object;
use super::generate::Template;
use super::key::{attribute, concerns, hex};
use super::module::trim;
use super::operator::{Console, SHOWN, call};
use crate::key::{Config, Flaw, PublicKey};
use crate::provision;

impl Template {
    /// What the token should say of a boolean attribute; nothing if either will do.
    fn expects(&self, kind: AttributeType) -> Option<bool> {
        let is_extractable = || self.0.contains(&Attribute::Extractable(true));
        match kind {
            // The token sets these.
            AttributeType::AlwaysSensitive | AttributeType::Local => Some(true),
            AttributeType::NeverExtractable => Some(!is_extractable()),
            _ => self.0.iter().find(|own| own.attribute_type() == kind).and_then(flag),
        }
    }
}

fn flag(attribute: &Attribute) -> Option<bool> {
    match attribute {
        Attribute::Decrypt(value)
        | Attribute::Derive(value)
        | Attribute::Extractable(value)
        | Attribute::Modifiable(value)
        | Attribute::Private(value)
        | Attribute::Sensitive(value)
        | Attribute::Sign(value)
        | Attribute::Unwrap(value)
        | Attribute::WrapWithTrusted(value) => Some(*value),
        _ => None,
    }
}

impl Console {
    /// Asks for each attribute again.
    ///
    /// # Errors
    /// If a call fails.
    pub(crate) fn read_back(
        &self,
        private: ObjectHandle,
        template: &Template,
        public_key: &PublicKey,
        config: &Config,
    ) -> anyhow::Result<Vec<provision::Attribute>> {
        let object = Object { session: &self.session, handle: private };
        let row = |(name, kind): (&str, AttributeType)| {
            let told = object.flag(kind).map_err(call)?;
            let flaw = Flaw::ALL.into_iter().find(|flaw| attribute(*flaw).1 == kind);
            // What no mechanism does with such a key, a token may say as it likes.
            let matters = flaw.is_none_or(|flaw| concerns(flaw, public_key));
            let expected = template.expects(kind).filter(|_| matters);
            let accepted = flaw.filter(|flaw| expected != told && config.accept.contains(flaw));
            Ok(provision::Attribute {
                name: name.to_owned(),
                expected: expected.map(|value| value.to_string()),
                told: told.map(|value| value.to_string()),
                accepted: accepted.map(|flaw| flaw.name().to_owned()),
            })
        };
        SHOWN.into_iter().map(row).collect()
    }

    /// The module and the token, for a record.
    ///
    /// # Errors
    /// If the module's file cannot be read.
    pub(crate) fn provenance(&self, name: &str) -> anyhow::Result<(provision::Module, provision::Token)> {
        let about = &self.about;
        let path = about.module.canonicalize().unwrap_or_else(|_| about.module.clone());
        let file = fs::read(&path)
            .map_err(|error| anyhow::anyhow!("cannot read the module {}: {error}", path.display()))?;
        let text = |field: &str| Some(trim(field).to_owned()).filter(|text| !text.is_empty());
        let library = about.library.as_ref();
        let module = provision::Module {
            path: path.display().to_string(),
            sha256: hex(digest(&SHA256, &file).as_ref()),
            manufacturer: library.and_then(|library| text(library.manufacturer_id())),
            description: library.and_then(|library| text(library.library_description())),
            version: library.map(|library| library.library_version().to_string()),
        };
        let token = provision::Token {
            name: name.to_owned(),
            label: text(about.token.label()),
            serial: trim(about.token.serial_number()).to_owned(),
            manufacturer: text(about.token.manufacturer_id()),
            model: trim(about.token.model()).to_owned(),
            firmware: about.token.firmware_version().to_string(),
        };
        Ok((module, token))
    }
}
