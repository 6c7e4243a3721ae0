"""A client of countersign: one connection over mutual TLS, and requests that may be sent again.

`countersign.v1` are the stubs that grpc_tools.protoc makes of proto/countersign/v1/signer.proto; docs/front-ends.md says how.
"""

import os
import time
import uuid

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from countersign.v1 import signer_pb2 as pb
from countersign.v1 import signer_pb2_grpc

# How long one call may take, in seconds. It is the call's gRPC deadline: work whose deadline has passed is not given to
# the token.
ATTEMPT = 10
# How long all attempts for one answer may take. With the 30 s by which the certificates of the examples begin early it stays
# below the profile's backdating (60 s if not set): after that a certificate is too old to be asked for again.
PATIENCE = 25


class Refused(Exception):
    """A call that failed: the gRPC status, and what the signer's google.rpc.ErrorInfo says (docs/errors.md)."""

    def __init__(self, error, request_id=None):
        self.code = error.code()
        self.message = error.details()
        # The word to branch on; None if it was not the signer that spoke, but the connection to it.
        self.reason = None
        self.metadata = {}
        self.request_id = request_id
        status = rpc_status.from_call(error)
        for detail in status.details if status else ():
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info) and info.domain == "countersign.v1":
                self.reason, self.metadata = info.reason, dict(info.metadata)
        super().__init__(self._text())

    def wait(self, pause):
        """After how many seconds the same request may be sent once more; None if this is final.

        Asking again for what was refused is refused again, and counted.
        """
        if "retry_after_ms" in self.metadata:
            return int(self.metadata["retry_after_ms"]) / 1000
        if self.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            return pause
        return None

    def _text(self):
        said = f"the signer refused: {self.reason}" if self.reason else f"the call failed: {self.code.name}"
        more = [("rule", self.metadata.get("rule")), ("ledger entry", self.metadata.get("entry"))]
        more.append(("request id", self.request_id))
        return f"{said}: {self.message}" + "".join(f"; {name} {value}" for name, value in more if value)


class Signer:
    """The signer at https://HOST:PORT, as the caller that the client certificate names."""

    def __init__(self, address, ca_file, cert_file, key_file):
        scheme, _, target = address.partition("://")
        if scheme != "https" or ":" not in target:
            raise ValueError(f"{address!r} is not a signer's address; it must be https://HOST:PORT")
        credentials = grpc.ssl_channel_credentials(_read(ca_file), _read(key_file), _read(cert_file))
        self._channel = grpc.secure_channel(target, credentials)
        self._stub = signer_pb2_grpc.SignerStub(self._channel)

    @classmethod
    def from_environment(cls):
        """With the variables of the countersign command line."""
        names = ("SERVER", "TLS_CA", "TLS_CERT", "TLS_KEY")
        return cls(*(os.environ[f"COUNTERSIGN_{name}"] for name in names))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._channel.close()

    def key(self, name):
        """The CA key of this name, if this caller may use it."""
        return _attempt(self._stub.GetKey, pb.GetKeyRequest(name=name))

    def sign(self, key, request_id=None, **tbs):
        """Has one TBS signed: sign("user-ca", ssh_certificate=tbs). Returns the SignResponse.

        Where an answer may have been lost, the same request is sent again: the signer gives the same answer, and signs
        nothing a second time. Keep a request_id of your own with the TBS to ask again after a crash of your own.
        """
        request = pb.SignRequest(key=key, request_id=request_id or str(uuid.uuid4()), **tbs)
        return _attempt(self._stub.Sign, request, request.request_id)


def _attempt(call, request, request_id=None):
    end = time.monotonic() + PATIENCE
    pause = 0.2
    while True:
        try:
            return call(request, timeout=min(ATTEMPT, end - time.monotonic()))
        except grpc.RpcError as error:
            refused = Refused(error, request_id)
            wait = refused.wait(pause)
            if wait is None or time.monotonic() + wait >= end:
                raise refused from None
        time.sleep(wait)
        pause *= 2


def _read(path):
    with open(path, "rb") as file:
        return file.read()
