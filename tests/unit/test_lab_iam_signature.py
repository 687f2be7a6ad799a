"""Signatures against AWS's published examples and botocore's own signer; bodies against how botocore sends them."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from lab.aws import names, signature, streams
from lab.aws.identities import Identities, Key
from lab.aws.principals import signer
from lab.aws.requests import RequestError, understand
from lab.aws.signature import SignatureError
from lab.aws.tls import Certificates, authority

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def signed_by_botocore(signer, service: str, method: str, url: str, body: bytes, **headers: str):
    request = AWSRequest(method=method, url=url, data=body, headers=headers)
    signer(Credentials("AKIDEXAMPLE", SECRET), service, "eu-west-1").add_auth(request)
    prepared = request.prepare()
    parts = urlsplit(prepared.url)
    sent = {
        name.lower(): value if isinstance(value, str) else value.decode() for name, value in prepared.headers.items()
    }
    return parts, {"host": parts.netloc} | sent


def verify(parts, headers, method: str, body: bytes, secret: str = SECRET) -> None:
    signed = signature.read(headers, parts.query)
    assert signed is not None
    signature.verify(signed, secret, method, parts.path or "/", parts.query, headers, body)


def test_the_published_example_has_its_published_signature():
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html (the former signing guide's GET)"""
    headers = {
        "host": "iam.amazonaws.com",
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
        "x-amz-date": "20150830T123600Z",
        "authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date, "
        "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
    }
    signed = signature.read(headers, "")
    assert signed is not None
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    text = signature.canonical_request(signed, "GET", "/", "Action=ListUsers&Version=2010-05-08", headers, empty)
    assert signature.sign(signed, SECRET, text) == signed.signature


@given(
    key=st.text(min_size=1, max_size=20).filter(lambda text: "\x00" not in text and text.isprintable()),
    prefix=st.text(alphabet="ab /+%&=ü~", max_size=8),
)
def test_what_botocore_signs_for_s3_is_taken(key, prefix):
    from botocore.utils import percent_encode

    url = f"https://b.s3.eu-west-1.amazonaws.com/{percent_encode(key, safe='/~')}?prefix={percent_encode(prefix)}"
    parts, headers = signed_by_botocore(S3SigV4Auth, "s3", "PUT", url, b"body")
    verify(parts, headers, "PUT", b"body")
    with pytest.raises(SignatureError):
        verify(parts, headers, "GET", b"body")
    with pytest.raises(SignatureError):
        verify(parts, headers, "PUT", b"body", secret="another")


@given(st.binary(max_size=64))
def test_a_changed_body_breaks_the_signature(body):
    parts, headers = signed_by_botocore(
        SigV4Auth,
        "dynamodb",
        "POST",
        "https://dynamodb.eu-west-1.amazonaws.com/",
        body,
        **{"X-Amz-Target": "x.GetItem"},
    )
    verify(parts, headers, "POST", body)
    with pytest.raises(SignatureError) as caught:
        verify(parts, headers, "POST", body + b"x")
    assert caught.value.code == "SignatureDoesNotMatch"


def test_a_presigned_address_is_taken_until_it_ends():
    request = AWSRequest(method="GET", url="https://b.s3.eu-west-1.amazonaws.com/k")
    S3SigV4QueryAuth(Credentials("AKIDEXAMPLE", SECRET), "s3", "eu-west-1", expires=60).add_auth(request)
    parts = urlsplit(request.url)
    verify(parts, {"host": parts.netloc}, "GET", b"")
    year = str(datetime.now(UTC).year)
    old = parts._replace(query=parts.query.replace(f"X-Amz-Date={year}", f"X-Amz-Date={int(year) - 1}"))
    with pytest.raises(SignatureError) as caught:
        verify(old, {"host": parts.netloc}, "GET", b"")
    assert caught.value.code == "RequestTimeTooSkewed"


def test_other_signatures_are_refused_and_none_is_none():
    assert signature.read({}, "") is None
    with pytest.raises(SignatureError):
        signature.read({"authorization": "AWS AKIDEXAMPLE:abc"}, "")
    with pytest.raises(SignatureError):
        signature.read({"authorization": "AWS4-HMAC-SHA256 Credential=AKID/x"}, "")


def test_the_secret_is_in_no_repr():
    from lab.aws.control import Credentials as LabCredentials
    from lab.aws.identities import Key

    assert SECRET not in repr(Key(access_key="AKIDEXAMPLE", secret=SECRET, token="t" * 9))
    assert SECRET not in repr(LabCredentials(access_key="AKIDEXAMPLE", secret=SECRET))


pieces = st.lists(st.binary(min_size=1, max_size=300), max_size=6)


def in_http_chunks(parts: list[bytes]) -> bytes:
    return b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts) + b"0\r\n\r\n"


def in_aws_chunks(parts: list[bytes]) -> bytes:
    whole = b"".join(f"{len(part):x};chunk-signature=0\r\n".encode() + part + b"\r\n" for part in parts)
    return whole + b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"


def read(wire: bytes, **headers: str) -> tuple[bytes, bytes]:
    """The body, and what comes after it on the same connection."""
    stream = io.BytesIO(wire + b"NEXT")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return b"".join(streams.pieces(stream, named)), stream.read()


@given(pieces)
def test_a_body_in_chunks_is_what_was_sent_and_ends_where_it_ends(parts):
    assert read(in_http_chunks(parts), transfer_encoding="chunked") == (b"".join(parts), b"NEXT")


@given(pieces, st.integers(min_value=1, max_value=50))
def test_s3s_own_chunks_come_apart_in_plain_and_in_chunked_bodies(parts, size):
    wire = in_aws_chunks(parts)
    streaming = {"x_amz_content_sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}
    assert read(wire, content_length=str(len(wire)), **streaming) == (b"".join(parts), b"NEXT")
    split = [wire[start : start + size] for start in range(0, len(wire), size)]
    assert read(in_http_chunks(split), transfer_encoding="chunked", **streaming) == (b"".join(parts), b"NEXT")


@pytest.mark.parametrize("wire", [b"zz\r\n", b"5\r\nab", b"-1\r\nabc", b"\r\n"])
def test_a_broken_body_is_an_error_and_no_short_object(wire):
    with pytest.raises(streams.BodyError):
        list(streams.pieces(io.BytesIO(wire), {"transfer-encoding": "chunked"}))
    with pytest.raises(streams.BodyError):
        list(streams.pieces(io.BytesIO(b"abc"), {"content-length": "4"}))


@pytest.mark.parametrize(
    ("host", "service", "bucket"),
    [
        ("dynamodb.eu-west-1.amazonaws.com", "dynamodb", None),
        ("monitoring.eu-west-1.amazonaws.com:443", "cloudwatch", None),
        ("iam.amazonaws.com", "iam", None),
        ("sts.amazonaws.com", "sts", None),
        ("s3.eu-west-1.amazonaws.com", "s3", None),
        ("my.bucket.s3.eu-west-1.amazonaws.com", "s3", "my.bucket"),
        ("b.s3.amazonaws.com", "s3", "b"),
        ("b.s3.dualstack.eu-west-1.amazonaws.com", "s3", "b"),
    ],
)
def test_a_host_name_tells_the_service_and_the_bucket(host, service, bucket):
    assert names.of_host(host) == (service, bucket)


def test_a_virtual_hosts_request_becomes_one_by_path():
    request = understand("GET", "/a%20b?versionId=1", {"host": "b.s3.eu-west-1.amazonaws.com"})
    assert (request.path, request.sent_path, request.bucket, request.key) == ("/b/a%20b", "/a%20b", "b", "a b")
    assert request.action == "GetObject"


def test_a_service_that_the_lab_lacks_is_an_error():
    scope = "AWS4-HMAC-SHA256 Credential=AKID/20260101/eu-west-1/sqs/aws4_request, SignedHeaders=host, Signature=0"
    with pytest.raises(RequestError, match="sqs"):
        understand("POST", "/", {"host": "127.0.0.1:1", "authorization": scope})


def test_the_authority_is_made_once_and_vouches_for_awss_names(tmp_path):
    first = authority(tmp_path)
    assert authority(tmp_path).certificate == first.certificate
    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600
    certificates = Certificates(first, tmp_path)
    leaf = certificates._leaf(names.certificate_names())
    leaf.verify_directly_issued_by(first.certificate)
    assert (tmp_path / "front.pem").stat().st_mode & 0o777 == 0o600


def scope(service: str) -> dict[str, str]:
    credential = f"AKID/20260101/eu-west-1/{service}/aws4_request"
    return {"authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"}


FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("host", "service", "target", "body"),
    [
        ("ec2.eu-west-1.amazonaws.com", "ec2", "/?Action=DescribeVpcs", b"Action=DeleteVpc"),
        ("ec2.eu-west-1.amazonaws.com", "ec2", "/moto-api/reset", b"Action=DescribeVpcs"),
        ("iam.amazonaws.com", "iam", "/lab/identities", b"Action=ListRoles"),
        ("s3.eu-west-1.amazonaws.com", "s3", "/moto-api/reset", b""),
        ("moto-api.s3.eu-west-1.amazonaws.com", "s3", "/reset", b""),
        ("s3.eu-west-1.amazonaws.com", "s3", "/moto%2Dapi/reset", b""),
    ],
)
def test_a_request_that_could_be_judged_as_another_than_is_answered_is_refused(host, service, target, body):
    with pytest.raises(RequestError):
        understand("POST", target, {"host": host, **scope(service), **FORM}, body)


def test_a_signature_that_leaves_the_host_out_is_none():
    left_out = {"authorization": scope("ec2")["authorization"].replace("=host,", "=x-amz-date,")}
    with pytest.raises(SignatureError):
        signature.read(left_out, "")


def judged(host: str, service: str, region: str, day: str = "20260101") -> None:
    credential = f"AKID/{day}/{region}/{service}/aws4_request"
    signs = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"
    headers = {"host": host, "authorization": signs, "x-amz-date": "20260101T000000Z"}
    request = understand("POST", "/?Action=DescribeVpcs", headers)
    signer(request, b"", Identities(keys=(Key(access_key="AKID", secret=SECRET),)))


@pytest.mark.parametrize(
    ("host", "service", "region", "words"),
    [
        ("sts.eu-west-1.amazonaws.com", "ec2", "eu-west-1", "correct service: 'sts'"),
        ("ec2.eu-west-1.amazonaws.com", "s3", "eu-west-1", "correct service: 'ec2'"),
        ("monitoring.eu-west-1.amazonaws.com", "logs", "eu-west-1", "correct service"),
        ("ec2.eu-west-1.amazonaws.com", "ec2", "us-east-1", "valid region, not 'us-east-1'"),
        ("dynamodb.eu-west-1.amazonaws.com", "dynamodb", "eu-west-2", "valid region, not 'eu-west-2'"),
        ("iam.amazonaws.com", "iam", "eu-west-1", "valid region, not 'eu-west-1'"),
        ("localhost:4566", "ec2", "everywhere", "valid region, not 'everywhere'"),
        ("b.s3.eu-west-1.amazonaws.com", "s3", "us-east-1", "expecting 'eu-west-1'"),
    ],
)
def test_a_signature_for_another_service_or_region_is_refused_in_awss_words(host, service, region, words):
    with pytest.raises(SignatureError, match=words) as caught:
        judged(host, service, region)
    assert caught.value.code == (
        "AuthorizationHeaderMalformed" if service == "s3" == host[2:4] else "SignatureDoesNotMatch"
    )


def test_a_signature_of_another_day_than_its_time_is_refused():
    with pytest.raises(SignatureError, match="Date in Credential scope"):
        judged("ec2.eu-west-1.amazonaws.com", "ec2", "eu-west-1", day="20260102")


@pytest.mark.parametrize(
    ("host", "service", "region"),
    [
        ("ec2.eu-west-1.amazonaws.com", "ec2", "eu-west-1"),
        ("iam.amazonaws.com", "iam", "us-east-1"),
        ("b.s3.amazonaws.com", "s3", "eu-west-1"),
        ("b.s3.dualstack.eu-west-1.amazonaws.com", "s3", "eu-west-1"),
        ("monitoring.eu-west-1.amazonaws.com", "monitoring", "eu-west-1"),
        ("localhost:4566", "kms", "eu-central-1"),
    ],
)
def test_a_signature_in_the_right_scope_is_looked_at_for_itself(host, service, region):
    with pytest.raises(SignatureError) as caught:
        judged(host, service, region)
    assert caught.value.code == "RequestTimeTooSkewed"
