"""A minimal front-end: has an SSH user certificate signed, good for an hour.

    ssh_certificate.py KEY id_ed25519.pub PRINCIPAL      writes id_ed25519-cert.pub

A real one would first find out who is asking, and which principals that person has.
"""

import base64
import secrets
import struct
import sys
import time

from signer import Refused, Signer

USER = 1  # a host certificate's type is 2


def string(data):
    """A string of the SSH wire format: its length in four bytes, and its bytes."""
    return struct.pack(">I", len(data)) + data


def tbs(subject, ca, principal, key_id, lifetime):
    """An OpenSSH certificate (PROTOCOL.certkeys) without its last field, the signature.

    `subject` and `ca` are public keys in the wire format.
    """
    length = struct.unpack_from(">I", subject)[0]
    algorithm, rest = subject[4 : 4 + length], subject[4 + length :]
    now = int(time.time())
    return b"".join(
        [
            string(algorithm + b"-cert-v01@openssh.com"),
            string(secrets.token_bytes(32)),  # the nonce
            rest,  # the subject's key, without its algorithm
            struct.pack(">Q", secrets.randbits(64)),  # the serial: never the same twice, so that it can be revoked
            struct.pack(">I", USER),
            string(key_id.encode()),  # what sshd logs
            string(string(principal.encode())),
            struct.pack(">QQ", now - 30, now + lifetime),  # from 30 s ago, for clocks that are slow
            string(b""),  # critical options
            string(string(b"permit-pty") + string(b"")),  # extensions, sorted by name
            string(b""),  # reserved
            string(ca),
        ]
    )


def main():
    if len(sys.argv) != 4:
        sys.exit("usage: ssh_certificate.py KEY PUBLIC-KEY PRINCIPAL")
    _, key, path, principal = sys.argv
    with open(path) as file:
        subject = base64.b64decode(file.read().split()[1])
    with Signer.from_environment() as signer:
        ca = base64.b64decode(signer.key(key).openssh.split()[1])
        asked = tbs(subject, ca, principal, f"{principal}@{path}", 3600 - 60)
        answer = signer.sign(key, ssh_certificate=asked)
    if not answer.object.startswith(asked):
        sys.exit("the signer signed another certificate than the one that was asked for")
    length = struct.unpack_from(">I", answer.object)[0]
    algorithm = answer.object[4 : 4 + length].decode()
    with open(path.removesuffix(".pub") + "-cert.pub", "w") as file:
        file.write(f"{algorithm} {base64.b64encode(answer.object).decode()} {principal}\n")


if __name__ == "__main__":
    try:
        main()
    except Refused as refused:
        sys.exit(f"ssh_certificate.py: {refused}")
