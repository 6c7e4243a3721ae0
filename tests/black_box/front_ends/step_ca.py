"""A provisioner of step-ca, in place of the program `step`, of which there is no package.

    step_ca.py configure PORT                    writes provisioner.pem and ca.json, for the keys that the agent names
    step_ca.py ask PORT TYPE PUBLIC-KEY NAME     has a "user" or "host" certificate for NAME issued, beside the public key
"""

import base64
import json
import secrets
import ssl
import sys
import time
import urllib.error
import urllib.request

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

NAME = "tests"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def configure(port):
    key = ec.generate_private_key(ec.SECP256R1())
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    with open("provisioner.pem", "wb") as file:
        file.write(key.private_bytes(serialization.Encoding.PEM, *private))
    point = key.public_key().public_numbers()
    jwk = {"use": "sig", "kty": "EC", "kid": NAME, "crv": "P-256", "alg": "ES256"}
    jwk.update(x=b64(point.x.to_bytes(32, "big")), y=b64(point.y.to_bytes(32, "big")))
    provisioner = {"type": "JWK", "name": NAME, "key": jwk, "claims": {"enableSSHCA": True, "maxUserSSHCertDuration": "24h"}}
    config = {
        "address": f"127.0.0.1:{port}",
        "dnsNames": ["localhost"],
        # Its X.509 half, which sshagentkms leaves in files.
        "root": "root.pem",
        "crt": "step.pem",
        "key": "step.key",
        "kms": {"type": "sshagentkms"},
        "ssh": {"userKey": "sshagentkms:user-ca", "hostKey": "sshagentkms:host-ca"},
        "logger": {"format": "text"},
        "authority": {"provisioners": [provisioner]},
    }
    with open("ca.json", "w") as file:
        json.dump(config, file)


def token(audience, asked):
    """A one-time token, as `step ssh certificate` makes it."""
    with open("provisioner.pem", "rb") as file:
        key = serialization.load_pem_private_key(file.read(), None)
    now = int(time.time())
    claims = {"iss": NAME, "aud": audience, "sub": asked["keyID"], "jti": secrets.token_hex(16), "iat": now}
    claims.update(nbf=now - 5, exp=now + 60, step={"ssh": asked})
    header = {"alg": "ES256", "kid": NAME, "typ": "JWT"}
    signed = ".".join(b64(json.dumps(part).encode()) for part in (header, claims))
    r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def ask(port, kind, path, name):
    url = f"https://localhost:{port}/1.0/ssh/sign"
    asked = {"certType": kind, "keyID": f"{name}@step", "principals": [name], "validAfter": "0s", "validBefore": "10m"}
    with open(path) as file:
        public_key = file.read().split()[1]
    body = json.dumps({"publicKey": public_key, "ott": token(url, asked), **asked}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, context=ssl.create_default_context(cafile="root.pem")) as answer:
            certificate = json.load(answer)["crt"]
    except urllib.error.HTTPError as error:
        sys.exit(f"step-ca: {error.code} {error.read().decode()}")
    wire = base64.b64decode(certificate)
    algorithm = wire[4 : 4 + int.from_bytes(wire[:4], "big")].decode()
    with open(path.removesuffix(".pub") + "-cert.pub", "w") as file:
        file.write(f"{algorithm} {certificate}\n")


if sys.argv[1] == "configure":
    configure(int(sys.argv[2]))
else:
    ask(int(sys.argv[2]), *sys.argv[3:])
