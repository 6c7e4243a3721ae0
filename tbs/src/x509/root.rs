//! A root's own certificate, before its own key signs it.

use super::{BasicConstraints, ParseError, Rule, TbsCertificate};

/// A TBSCertificate whose issuer is its subject, and which is a CA's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RootCertificate(TbsCertificate);

impl RootCertificate {
    /// Parses a DER TBSCertificate that is a root's.
    ///
    /// # Errors
    /// [`ParseError`] with the first [`Rule`] that the bytes break.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let tbs = TbsCertificate::parse(bytes)?;
        let is_ca = matches!(tbs.basic_constraints(), Some(BasicConstraints::Ca { .. }));
        if tbs.issuer() != tbs.subject() || !is_ca {
            return Err(ParseError { rule: Rule::NoRoot, field: "tbsCertificate", offset: 0 });
        }
        Ok(Self(tbs))
    }

    /// What it says.
    #[must_use]
    pub fn tbs(&self) -> &TbsCertificate {
        &self.0
    }
}
