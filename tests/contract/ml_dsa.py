"""What the tests of ML-DSA want of Python's `cryptography`: a root that certifies CAs, and a verifier that is not countersign's.

    ml_dsa.py certify NAME...   of each NAME.pub.pem makes NAME.der and NAME.pem, a CA's certificate under a new root
    ml_dsa.py own NAME...       verifies NAME.csr and NAME.root, in PEM, which the key in NAME.pub.pem has signed
    ml_dsa.py verify NAME...    verifies NAME.certificate, NAME.crl and NAME.ocsp with the key in NAME.der
"""

import datetime
import sys
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID

# RFC 9881 §2.
ALGORITHMS = {
    "ml-dsa-44-ca": "2.16.840.1.101.3.4.3.17",
    "ml-dsa-65-ca": "2.16.840.1.101.3.4.3.18",
    "ml-dsa-87-ca": "2.16.840.1.101.3.4.3.19",
}


def certify(name, root):
    key = load_pem_public_key(Path(f"{name}.pub.pem").read_bytes())
    now = datetime.datetime.now(datetime.timezone.utc)
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")])
    usage = dict.fromkeys(
        ["content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"]
        + ["decipher_only"],
        False,
    )
    usage = x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **usage)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=20))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False)
        .sign(root, None)
    )
    Path(f"{name}.der").write_bytes(certificate.public_bytes(Encoding.DER))
    Path(f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))


def own(name):
    key = load_pem_public_key(Path(f"{name}.pub.pem").read_bytes())
    request = x509.load_pem_x509_csr(Path(f"{name}.csr").read_bytes())
    root = x509.load_pem_x509_certificate(Path(f"{name}.root").read_bytes())

    assert request.is_signature_valid
    root.verify_directly_issued_by(root)
    objects = [
        (request, request.tbs_certrequest_bytes, "CN=CA 1"),
        (root, root.tbs_certificate_bytes, "CN=Root 1"),
    ]
    for made, tbs, subject in objects:
        assert made.public_key() == key, name
        assert made.subject.rfc4514_string() == subject, made.subject
        assert made.signature_algorithm_oid.dotted_string == ALGORITHMS[name], made.signature_algorithm_oid
        key.verify(made.signature, tbs)
        extensions = made.extensions
        assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign


def verify(name):
    ca = x509.load_der_x509_certificate(Path(f"{name}.der").read_bytes())
    certificate = x509.load_der_x509_certificate(Path(f"{name}.certificate").read_bytes())
    crl = x509.load_der_x509_crl(Path(f"{name}.crl").read_bytes())
    answer = ocsp.load_der_ocsp_response(Path(f"{name}.ocsp").read_bytes())

    certificate.verify_directly_issued_by(ca)
    assert type(certificate.public_key()) is type(ca.public_key()), certificate.public_key()
    assert crl.is_signature_valid(ca.public_key())
    assert answer.certificate_status == ocsp.OCSPCertStatus.GOOD
    assert answer.serial_number == certificate.serial_number
    objects = [
        (certificate.signature_algorithm_oid, certificate.signature, certificate.tbs_certificate_bytes),
        (crl.signature_algorithm_oid, crl.signature, crl.tbs_certlist_bytes),
        (answer.signature_algorithm_oid, answer.signature, answer.tbs_response_bytes),
    ]
    for algorithm, signature, tbs in objects:
        assert algorithm.dotted_string == ALGORITHMS[name], algorithm
        ca.public_key().verify(signature, tbs)
        # Neither of another message, nor with a context.
        for wrong in [(signature, tbs[:-1] + bytes([tbs[-1] ^ 1])), (signature, tbs, b"context")]:
            try:
                ca.public_key().verify(*wrong)
            except InvalidSignature:
                continue
            raise AssertionError(f"{name}: {wrong[1:]} verifies")


if __name__ == "__main__":
    _, what, *names = sys.argv
    if what == "certify":
        root = ed25519.Ed25519PrivateKey.generate()
        for name in names:
            certify(name, root)
    else:
        for name in names:
            own(name) if what == "own" else verify(name)
