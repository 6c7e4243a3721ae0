"""A minimal front-end: has the certificate of a TLS server signed, good for a day.

    x509_certificate.py KEY CA.pem REQUEST.csr OUT.pem

The CA's key is on P-256. A real one would first find out whether who is asking may have the names of the request.
"""

import datetime
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from signer import Refused, Signer


def tbs(ca, request):
    """A TBSCertificate: what the request asks for, with what must be as in the CA's own certificate."""
    now = datetime.datetime.now(datetime.timezone.utc)
    not_before = max(now - datetime.timedelta(seconds=30), ca.not_valid_before_utc)  # for clocks that are slow
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    ca_key_id = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        x509.CertificateBuilder()
        .issuer_name(ca.subject)
        .subject_name(x509.Name([]))
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_digital_signature(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(names, critical=True)  # as there is no subject
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_key_id), critical=False)
    )
    # The library gives a TBS of a finished certificate only, so a throwaway key finishes one. It is of the CA key's kind,
    # for the TBS names the signature algorithm.
    throwaway = ec.generate_private_key(ec.SECP256R1())
    return builder.sign(throwaway, hashes.SHA256()).tbs_certificate_bytes


def _digital_signature():
    names = "content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign encipher_only"
    others = dict.fromkeys([*names.split(), "decipher_only"], False)
    return x509.KeyUsage(digital_signature=True, **others)


def main():
    if len(sys.argv) != 5:
        sys.exit("usage: x509_certificate.py KEY CA.pem REQUEST.csr OUT.pem")
    _, key, ca_path, request_path, out = sys.argv
    with open(ca_path, "rb") as file:
        ca = x509.load_pem_x509_certificate(file.read())
    with open(request_path, "rb") as file:
        request = x509.load_pem_x509_csr(file.read())
    if not request.is_signature_valid:
        sys.exit(f"{request_path} is not signed by its own key")
    with Signer.from_environment() as signer:
        answer = signer.sign(key, x509_certificate=tbs(ca, request))
    certificate = x509.load_der_x509_certificate(answer.object)
    certificate.verify_directly_issued_by(ca)
    with open(out, "wb") as file:
        file.write(certificate.public_bytes(serialization.Encoding.PEM))


if __name__ == "__main__":
    try:
        main()
    except Refused as refused:
        sys.exit(f"x509_certificate.py: {refused}")
