"""Prints what Python's `cryptography` reads in each certificate of a file, in the words of describe.rs.

In: a file of DER certificates, each after its length in four octets. Out: one line for each field.
"""

import sys
import warnings

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID

# It warns of names that it will refuse some day; the comparison is what counts here.
warnings.simplefilter("ignore")

USAGES = [
    ("digital_signature", "digitalSignature"),
    ("content_commitment", "nonRepudiation"),
    ("key_encipherment", "keyEncipherment"),
    ("data_encipherment", "dataEncipherment"),
    ("key_agreement", "keyAgreement"),
    ("key_cert_sign", "keyCertSign"),
    ("crl_sign", "cRLSign"),
    ("encipher_only", "encipherOnly"),
    ("decipher_only", "decipherOnly"),
]
SECURITY_IDENTIFIER = "1.3.6.1.4.1.311.25.2"


def name(value):
    rdns = []
    for rdn in value.rdns:
        attributes = [f"{a.oid.dotted_string}={a._type.name}:{a.value}" for a in rdn]
        rdns.append("+".join(sorted(attributes)))
    return "/".join(rdns)


def general_name(value):
    if isinstance(value, x509.DNSName):
        return f"dns:{value.value}"
    if isinstance(value, x509.UniformResourceIdentifier):
        return f"uri:{value.value}"
    if isinstance(value, x509.RFC822Name):
        return f"email:{value.value}"
    if isinstance(value, x509.IPAddress):
        return f"ip:{value.value}"
    if isinstance(value, x509.DirectoryName):
        return f"directory:{name(value.value)}"
    if isinstance(value, x509.OtherName):
        # A UTF8String of less than 128 bytes: tag and length come first.
        return f"other:{value.type_id.dotted_string}:{value.value[2:].decode()}"
    raise ValueError(value)


def names(values):
    return " ".join(general_name(value) for value in values)


def qualifier(value):
    return f"notice:{value.explicit_text}" if isinstance(value, x509.UserNotice) else f"cps:{value}"


def extension(e):
    oid, value = e.oid, e.value
    if oid == ExtensionOID.BASIC_CONSTRAINTS:
        return f"{value.ca} {value.path_length}"
    if oid == ExtensionOID.KEY_USAGE:
        # The last two have a meaning beside keyAgreement alone: without it, the library answers no question about them.
        asked = USAGES if value.key_agreement else USAGES[:-2]
        return " ".join(word for attribute, word in asked if getattr(value, attribute))
    if oid == ExtensionOID.EXTENDED_KEY_USAGE:
        return " ".join(purpose.dotted_string for purpose in value)
    if oid == ExtensionOID.SUBJECT_ALTERNATIVE_NAME:
        return names(value)
    if oid == ExtensionOID.AUTHORITY_KEY_IDENTIFIER:
        assert value.authority_cert_issuer is None
        return value.key_identifier.hex()
    if oid == ExtensionOID.SUBJECT_KEY_IDENTIFIER:
        return value.digest.hex()
    if oid == ExtensionOID.CRL_DISTRIBUTION_POINTS:
        return " | ".join(names(point.full_name) for point in value)
    if oid == ExtensionOID.AUTHORITY_INFORMATION_ACCESS:
        return " ".join(f"{a.access_method.dotted_string}@{general_name(a.access_location)}" for a in value)
    if oid == ExtensionOID.CERTIFICATE_POLICIES:
        policies = []
        for policy in value:
            qualifiers = [qualifier(q) for q in policy.policy_qualifiers or []]
            policies.append(" ".join([policy.policy_identifier.dotted_string] + qualifiers))
        return " | ".join(policies)
    if oid == ExtensionOID.NAME_CONSTRAINTS:
        return f"{names(value.permitted_subtrees or [])} | {names(value.excluded_subtrees or [])}"
    if oid == ExtensionOID.TLS_FEATURE:
        return " ".join(str(feature.value) for feature in value)
    if oid == ExtensionOID.OCSP_NO_CHECK:
        return ""
    if oid.dotted_string == SECURITY_IDENTIFIER:
        return value.value[value.value.index(b"S-1-") :].decode()
    return value.value.hex()


def describe(certificate):
    print(f"serial {certificate.serial_number:x}")
    digest = certificate.signature_hash_algorithm
    print(f"algorithm {certificate.signature_algorithm_oid.dotted_string} {digest and digest.name}")
    print(f"issuer {name(certificate.issuer)}")
    not_before, not_after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    print(f"validity {int(not_before.timestamp())} {int(not_after.timestamp())}")
    print(f"subject {name(certificate.subject)}")
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    print(f"key {key.hex()}")
    for e in certificate.extensions:
        print(f"extension {e.oid.dotted_string} {e.critical} {extension(e)}".rstrip())


with open(sys.argv[1], "rb") as file:
    while length := file.read(4):
        describe(x509.load_der_x509_certificate(file.read(int.from_bytes(length, "big"))))
