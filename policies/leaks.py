"""No secret stands in what is deployed: whoever may read the state or a template would have it."""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from policies.resource import Resource, Value
from policies.rule import Rule

PATTERNS = {
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a WireGuard key": re.compile(r"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=(?![A-Za-z0-9+/=])"),
    "an AWS access key": re.compile(r"(?<![A-Z0-9])(AKIA|ASIA)[A-Z2-7]{16}(?![A-Z0-9])"),
    "a token of GitHub": re.compile(r"\b(gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60,})"),
    "a token of Slack": re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{20,}"),
    "a signed token": re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
    "a password": re.compile(r"(?i)\b(password|passwd|secret_?key|api_?key)[\"']?\s*[:=]\s*[\"']?[^\s\"'{}$<,]{8,}"),
}
# What looks like a key without a form of its own: long, of all three kinds of letters, and without repetition.
WORD = re.compile(r"[A-Za-z0-9+_=-]{24,}")
BITS_PER_LETTER = 4.3
# Text within text: user data is base64, maybe compressed, and the files in it may be again.
DEPTH = 4
MOST_BYTES = 1 << 20
_URL_SAFE = str.maketrans("-_", "+/")
# Properties that hold nothing else, whatever their value looks like.
SECRET_PROPERTIES = re.compile(
    r"(?i)(^|[.\]])(master_?|admin_?|db_?)?(password|passwd|secretString|secretBinary|privateKey|private_key"
    r"|authToken|auth_token|access_?key_?secret|secret_?access_?key)(wo)?$"
)


def _secrets(resource: Resource) -> Iterator[str]:
    for key, value in resource.inputs.items():
        for place, text in _texts(key, value):
            if text and SECRET_PROPERTIES.search(place):
                yield f"has a value in {place}, which the state then keeps: let the cloud make it"
            for what in dict.fromkeys(found(text)):
                # The value itself is never said: a finding is logged.
                yield f"has {what} in {place}: keep it in a secret store and name it"


def found(text: str, depth: int = DEPTH) -> Iterator[str]:
    """What in `text`, and in what is encoded in it, looks like a secret."""
    inner = list(_decoded(text)) if depth else []
    for what, pattern in PATTERNS.items():
        if pattern.search(text):
            yield what
    rest = text
    for word, _ in inner:
        rest = rest.replace(word, " ")  # base64 has a slash, at which WORD would cut it into words of its own
    for word in WORD.findall(rest):
        if _random(word):
            yield f"a word of {len(word)} letters that looks random"
    for _, content in inner:
        yield from found(content, depth - 1)


def _texts(place: str, value: Value) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(f"{place}.{key}", item)
    elif isinstance(value, Sequence):
        for index, item in enumerate(value):
            yield from _texts(f"{place}[{index}]", item)


def _random(word: str) -> bool:
    kinds = (any(map(str.islower, word)), any(map(str.isupper, word)), any(map(str.isdigit, word)))
    return all(kinds) and _bits(word) >= BITS_PER_LETTER


def _bits(word: str) -> float:
    """Shannon's entropy of a letter."""
    counts = Counter(word)
    return -sum(count / len(word) * math.log2(count / len(word)) for count in counts.values())


def _decoded(text: str) -> Iterator[tuple[str, str]]:
    """Each word of base64 that holds text, and that text."""
    for word in re.findall(r"[A-Za-z0-9+/_-]{24,}(?:\r?\n[ \t]*[A-Za-z0-9+/_-]{4,})*={0,2}", text):
        whole = re.sub(r"\s", "", word).rstrip("=").translate(_URL_SAFE)
        try:
            content = base64.b64decode(whole + "=" * (-len(whole) % 4), validate=True)
            yield word, _unpacked(content).decode()
        except (binascii.Error, UnicodeDecodeError, gzip.BadGzipFile, EOFError, zlib.error):
            continue


def _unpacked(content: bytes) -> bytes:
    """The beginning is enough: a few bytes may unpack into more than a machine has."""
    if not content.startswith(b"\x1f\x8b"):
        return content
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as opened:
        return opened.read(MOST_BYTES)


RULES = (
    Rule(
        name="no-secrets",
        description="No secret, key or token stands in any input; user data is decoded and searched.",
        controls=("CKV_AWS_46", "CKV_SECRET_2", "CKV_SECRET_6", "CKV_SECRET_13"),
        check=_secrets,
    ),
)
