"""A row of the output as a line of JSON, as the journal holds it:

{"row": 17, "key": "3f…", "error": null, "attempts": 1, "id": "a-17", …, "embedding": […]}
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast


def _plain(value: Any) -> Any:
    """Return what numpy wraps; of what JSON does not have, how it is written."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_plain, allow_nan=False)
HEAD = re.compile(rb'\{"row":(\d+),"key":"([0-9a-f]{32})","error":(null|")')
HEAD_BYTES = 96
TORN_HEAD = re.compile(rb'\{"row":\d*(,.{0,53})?')
VECTOR = b',"embedding":['
VECTOR_END = re.compile(rb"[^\]]*\]\}\n")


def line_of(fields: Mapping[str, Any], vector: Sequence[float] | None = None) -> bytes:
    """Return the line of a row, whose fields begin with `row`, `key` and `error`."""
    try:
        text = ENCODER.encode(fields)
    except ValueError:
        text = ENCODER.encode(_finite(fields))
    line = text.encode("utf-8", "replace")
    if vector is not None:
        # nine digits are a float32, all of it
        numbers = (",".join(["%.9g"] * len(vector)) % tuple(vector)).encode()
        line = b"%b%b%b]}" % (line[:-1], VECTOR, numbers)
    return line + b"\n"


def _finite(value: Any) -> Any:
    """Return a value with nothing in the place of NaN and infinity, which JSON does not have."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, Mapping):
        found = cast("Mapping[Any, Any]", value)
        return {name: _finite(each) for name, each in found.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in cast("Sequence[Any]", value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def without_vector(line: bytes) -> Mapping[str, Any]:
    """Read a line but for its vector, which takes long. One in what was copied of the source is followed by more than that."""
    head, found, vector = line.rpartition(VECTOR)
    return json.loads(head + b"}" if found and VECTOR_END.fullmatch(vector) else line)


def is_torn_head(line: bytes) -> bool:
    """Tell the beginning of a line of ours from what somebody else left without an end."""
    return b'{"row":'.startswith(line) or TORN_HEAD.fullmatch(line) is not None
