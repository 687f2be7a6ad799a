"""What AWS takes as tags, the same for all services that the program uses.

https://docs.aws.amazon.com/tag-editor/latest/userguide/tagging.html ("Tag naming limits and requirements"): 50 of a
user's own a resource, a key of 1 to 128 characters, a value of up to 256, letters, digits, spaces and _.:/=+-@ in both,
and nothing that begins with aws: in whatever case.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html: ten an object.
"""

from __future__ import annotations

from collections.abc import Iterator

from .json_path import rows, text
from .resource import Problem
from .values import Json, Value

LIMIT, OBJECT_LIMIT = 50, 10
LONGEST_KEY, LONGEST_VALUE = 128, 256
_SIGNS = "_.:/=+-@"


def tag_problems(token: str, inputs: Json) -> Iterator[Problem]:
    """Of a resource's own tags, and of those that a launch template gives to what is launched."""
    most = OBJECT_LIMIT if token.endswith(":BucketObjectv2") else LIMIT
    yield from _of("tags", inputs.get("tags"), most)
    for position, each in enumerate(rows(inputs, "tagSpecifications")):
        yield from _of(f"tagSpecifications[{position}].tags", each.get("tags"), LIMIT)


def _of(path: str, tags: Value, most: int) -> Iterator[Problem]:
    pairs = _pairs(tags)
    if len(pairs) > most:
        yield Problem(path, f"{len(pairs)} tags, and AWS takes at most {most}")
    for key, value in pairs:
        if not 1 <= len(key) <= LONGEST_KEY or key.lower().startswith("aws:") or not _written(key):
            yield Problem(
                path, f"a key is 1 to {LONGEST_KEY} letters, digits, spaces and {_SIGNS}, not aws:…, got {key}"
            )
        if isinstance(value, str) and (len(value) > LONGEST_VALUE or not _written(value)):
            yield Problem(path, f"{key}: a value is up to {LONGEST_VALUE} letters, digits, spaces and {_SIGNS}")


def _pairs(tags: Value) -> list[tuple[str, Value]]:
    """Of a mapping; or of a list of {key, value, …}, as a group has them."""
    if isinstance(tags, dict):
        return [(key, value) for key, value in tags.items() if not key.startswith("__")]
    return [(text(each, "key"), each.get("value")) for each in rows(tags)]


def _written(word: str) -> bool:
    return all(letter.isalnum() or letter.isspace() or letter in _SIGNS for letter in word)
