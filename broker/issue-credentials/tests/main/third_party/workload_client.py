"""Meets the Workload API with the `spiffe` package as it is published; says what it saw.

usage: workload_client.py MODE SOCKET SPIFFE_ID
Each check that holds is a line on standard output; whatever does not hold is an exception.
"""

import queue
import sys

import grpc
from cryptography.hazmat.primitives import serialization
from spiffe import JwtSvid, WorkloadApiClient
from spiffe._proto import workload_pb2, workload_pb2_grpc

TIMEOUT = 10


def say(line):
    print(line, flush=True)


def spki(key):
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def refused(call, *texts):
    try:
        call()
    except Exception as error:
        for text in texts:
            assert text in str(error), f"{text!r} not in {error!r}"
    else:
        raise AssertionError("was not refused")


def conformance(client, socket, spiffe_id):
    context = client.fetch_x509_context(timeout=TIMEOUT)
    svid = context.default_svid
    trust_domain = svid.spiffe_id.trust_domain
    assert str(svid.spiffe_id) == spiffe_id
    assert spki(svid.private_key.public_key()) == spki(svid.leaf.public_key())
    bundle = context.x509_bundle_set.get_bundle_for_trust_domain(trust_domain)
    (authority,) = bundle.x509_authorities
    svid.leaf.verify_directly_issued_by(authority)
    say("x509-svid")

    bundles = client.fetch_x509_bundles(timeout=TIMEOUT)
    assert bundles.get_bundle_for_trust_domain(trust_domain).x509_authorities == {authority}
    say("x509-bundles")

    token = client.fetch_jwt_svid({"one", "two"}, timeout=TIMEOUT)
    assert str(token.spiffe_id) == spiffe_id
    assert token.audience == {"one", "two"}
    say("jwt-svid")

    jwt_bundle = client.fetch_jwt_bundles(timeout=TIMEOUT).get_bundle_for_trust_domain(trust_domain)
    JwtSvid.parse_and_validate(token.token, jwt_bundle, {"one"})
    refused(lambda: JwtSvid.parse_and_validate(token.token, jwt_bundle, {"three"}))
    say("jwt-bundles")

    assert str(client.validate_jwt_svid(token.token, "two", timeout=TIMEOUT).spiffe_id) == spiffe_id
    refused(
        lambda: client.validate_jwt_svid(token.token, "three", timeout=TIMEOUT),
        "INVALID_ARGUMENT",
        "not meant for this audience",
    )
    head, body, _ = token.token.split(".")
    refused(
        lambda: client.validate_jwt_svid(f"{head}.{body}.AAAA", "one", timeout=TIMEOUT),
        "INVALID_ARGUMENT",
    )
    say("validate")

    with grpc.insecure_channel(socket) as channel:
        stub = workload_pb2_grpc.SpiffeWorkloadAPIStub(channel)
        try:
            next(stub.FetchX509SVID(workload_pb2.X509SVIDRequest(), timeout=TIMEOUT))
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert error.details() == "security header missing from request"
        else:
            raise AssertionError("answered without the security header")
    say("header")


def follow(client, _socket, spiffe_id):
    """A rotation, then a revocation, as a stream sees them."""
    seen = queue.Queue()
    client.stream_x509_contexts(seen.put, seen.put, retry_connect=False)
    first, second = (seen.get(timeout=TIMEOUT).default_svid for _ in range(2))
    assert str(first.spiffe_id) == str(second.spiffe_id) == spiffe_id
    assert first.leaf.serial_number != second.leaf.serial_number
    assert spki(first.leaf.public_key()) != spki(second.leaf.public_key())
    say("rotation")

    sys.stdin.readline()
    while not isinstance(ended := seen.get(timeout=TIMEOUT), Exception):
        pass
    assert "PERMISSION_DENIED" in str(ended), ended
    denied(client, None, None)
    say("revocation")


def denied(client, _socket, _spiffe_id):
    no_identity = ("PERMISSION_DENIED", "no identity issued")
    refused(lambda: client.fetch_x509_context(timeout=TIMEOUT), *no_identity)
    refused(lambda: client.fetch_jwt_svid({"one"}, timeout=TIMEOUT), *no_identity)
    refused(lambda: client.fetch_jwt_bundles(timeout=TIMEOUT), *no_identity)
    say("denied")


if __name__ == "__main__":
    mode, socket, spiffe_id = sys.argv[1:]
    modes = {"conformance": conformance, "follow": follow, "denied": denied}
    with WorkloadApiClient(socket) as client:
        modes[mode](client, socket, spiffe_id)
