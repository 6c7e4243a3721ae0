//! Where to look: CRLs, the issuer's certificate, OCSP responders, and the policies that a certificate was issued under.

use super::super::general_name::{checked_text, is_uri};
use super::{GeneralName, MAX_ITEMS, Oid, ParseError, Reader, Rule, Writer, parse_distinct};
use crate::der::{StringKind, oids, tag};

/// One of cRLDistributionPoints (RFC 5280 §4.2.1.13): the places of one complete CRL of the certificate's own issuer.
///
/// Names relative to the issuer, lists for some reasons only, and indirect CRLs are refused.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct DistributionPoint {
    /// fullName: each names the same list.
    pub full_name: Vec<GeneralName>,
}

impl DistributionPoint {
    pub(super) fn parse_list(r: &mut Reader<'_>) -> Result<Vec<Self>, ParseError> {
        let field = "cRLDistributionPoints";
        parse_distinct(r, field, |r| {
            let full_name = r.nested(tag::SEQUENCE, field, |r| Self::parse_name(r, field))?;
            Ok(Self { full_name })
        })
    }

    /// `[0] { [0] fullName }`: the DistributionPointName that issuingDistributionPoint has too.
    pub(crate) fn parse_name(
        r: &mut Reader<'_>,
        field: &'static str,
    ) -> Result<Vec<GeneralName>, ParseError> {
        r.nested(tag::constructed(0), field, |r| GeneralName::parse_list(r, tag::constructed(0), field))
    }

    pub(crate) fn write_name(full_name: &[GeneralName], w: &mut Writer) {
        w.nested(tag::constructed(0), |w| GeneralName::write_list(full_name, tag::constructed(0), w));
    }

    pub(super) fn write_list(points: &[Self], w: &mut Writer) {
        w.sequence(|w| {
            for point in points {
                w.sequence(|w| Self::write_name(&point.full_name, w));
            }
        });
    }
}

/// One of authorityInfoAccess (RFC 5280 §4.2.2.1).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct AccessDescription {
    /// accessMethod: id-ad-ocsp, id-ad-caIssuers, or another.
    pub method: Oid,
    /// accessLocation.
    pub location: GeneralName,
}

impl AccessDescription {
    pub(super) fn parse_list(r: &mut Reader<'_>) -> Result<Vec<Self>, ParseError> {
        let field = "authorityInfoAccess";
        parse_distinct(r, field, |r| {
            r.nested(tag::SEQUENCE, field, |r| {
                Ok(Self { method: r.oid(field)?, location: GeneralName::parse(r, field)? })
            })
        })
    }

    pub(super) fn write_list(items: &[Self], w: &mut Writer) {
        w.sequence(|w| {
            for item in items {
                w.sequence(|w| {
                    w.oid(&item.method);
                    item.location.write(w);
                });
            }
        });
    }
}

/// One of certificatePolicies (RFC 5280 §4.2.1.4).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct CertificatePolicy {
    /// policyIdentifier.
    pub oid: Oid,
    /// policyQualifiers; empty if absent.
    pub qualifiers: Vec<PolicyQualifier>,
}

/// One of policyQualifiers.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum PolicyQualifier {
    /// id-qt-cps: the URI of a certification practice statement.
    Cps(String),
    /// id-qt-unotice with an explicitText of type UTF8String, 1 to 200 characters, and no reference.
    Notice(String),
}

impl CertificatePolicy {
    const FIELD: &'static str = "certificatePolicies";

    pub(super) fn parse_list(r: &mut Reader<'_>) -> Result<Vec<Self>, ParseError> {
        let start = *r;
        let policies = parse_distinct(r, Self::FIELD, Self::parse)?;
        // RFC 5280: one policy once, whatever its qualifiers are.
        if super::has_duplicates(policies.iter().map(|policy| &policy.oid)) {
            return Err(Rule::ItemDuplicate.at(&start, Self::FIELD));
        }
        Ok(policies)
    }

    fn parse(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        r.nested(tag::SEQUENCE, Self::FIELD, |r| {
            let oid = r.oid(Self::FIELD)?;
            let has_qualifiers = !r.is_empty();
            let qualifiers = has_qualifiers
                .then(|| r.list(tag::SEQUENCE, Self::FIELD, MAX_ITEMS, PolicyQualifier::parse))
                .transpose()?;
            Ok(Self { oid, qualifiers: qualifiers.unwrap_or_default() })
        })
    }

    pub(super) fn write_list(policies: &[Self], w: &mut Writer) {
        w.sequence(|w| {
            for policy in policies {
                w.sequence(|w| {
                    w.oid(&policy.oid);
                    if !policy.qualifiers.is_empty() {
                        w.sequence(|w| policy.qualifiers.iter().for_each(|qualifier| qualifier.write(w)));
                    }
                });
            }
        });
    }
}

impl PolicyQualifier {
    fn parse(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let field = CertificatePolicy::FIELD;
        r.nested(tag::SEQUENCE, field, |r| {
            let start = *r;
            match r.oid(field)?.as_bytes() {
                oids::QT_CPS => {
                    checked_text(r, tag::IA5_STRING, field, 2048, is_uri, Rule::Uri).map(Self::Cps)
                }
                oids::QT_USER_NOTICE => r.nested(tag::SEQUENCE, field, |r| {
                    if !r.next_is(tag::UTF8_STRING) {
                        return Err(Rule::PolicyQualifier.at(r, field));
                    }
                    let text = r.text(tag::UTF8_STRING, StringKind::Utf8, field, 800)?;
                    let fits = text.chars().count() <= 200;
                    if fits {
                        Ok(Self::Notice(text.to_owned()))
                    } else {
                        Err(Rule::PolicyQualifier.at(&start, field))
                    }
                }),
                _ => Err(Rule::PolicyQualifier.at(&start, field)),
            }
        })
    }

    fn write(&self, w: &mut Writer) {
        w.sequence(|w| match self {
            Self::Cps(uri) => {
                w.known_oid(oids::QT_CPS);
                w.text(StringKind::Ia5, uri);
            }
            Self::Notice(text) => {
                w.known_oid(oids::QT_USER_NOTICE);
                w.sequence(|w| w.text(StringKind::Utf8, text));
            }
        });
    }
}
