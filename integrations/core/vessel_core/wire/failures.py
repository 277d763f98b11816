"""The one place where a server's error becomes one of ours: `(status, headers, body)` → exception.

What it means is read from its type and text before its status: llama.cpp answers 500 to client mistakes, mlx-lm 404 to
exceptions, LM Studio 200 to unknown routes. In which forms it comes is told in `failure_shapes`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from vessel_core.errors import (
    AuthFailed,
    BadRequest,
    ContextOverflow,
    FailedResponse,
    InputTooLarge,
    ModelLoading,
    ModelNotFound,
    ProtocolError,
    RateLimited,
    ServerBusy,
    ServerError,
    Unsupported,
    VesselError,
)
from vessel_core.wire import Reply
from vessel_core.wire.failure_shapes import Failure, beginning_of, failure_in, failure_of, readable, shortened
from vessel_core.wire.jsontext import MAX_COST, loads
from vessel_core.wire.reading import count

_NO_SETTING = r"(?:invalid value|must be (?:an? |positive|at least|between|greater than \d))"
"""What is said of a number that is no context length, and not of a prompt that is too long for one."""

# What a text or type means, most telling first, whatever its case. The sources are the samples of each server. It is compiled
# by the first error.
_PATTERNS: tuple[tuple[str, type[VesselError]], ...] = (
    (r"exceed_context_size|exceeds? the available context size|maximum context length", ContextOverflow),
    (rf"(?s)^(?!.*{_NO_SETTING}).*context length", ContextOverflow),
    (r"context size has been exceeded|context the overflows|ContextWindowExceeded", ContextOverflow),
    (r"greater than max_seq_len", ContextOverflow),
    (r"input length exceeds the context|prompt is too long|no user query found in messages", ContextOverflow),
    (r"is too large to process|increase the physical batch size", InputTooLarge),
    (r"loading model|model is loading|is currently loading", ModelLoading),
    (r"server busy|maximum pending requests", ServerBusy),
    (r"invalid api key|authentication_error|unauthorized|incorrect api key", AuthFailed),
    (r"unexpected endpoint or method|not_supported_error|feature_disabled|file not found", Unsupported),
    (r"does not support|is not supported|404 page not found|method not allowed", Unsupported),
    (r"no models loaded|model_not_found|model .{0,200}not found|model name is missing", ModelNotFound),
    (r"model .{0,200}(does not exist|is not loaded)|no such model|unknown model", ModelNotFound),
    (r"did not match|does not match the expected|failed to parse (input|output)", ServerError),
    (r"failed to parse messages|json\.exception|cannot use custom grammar|invalid_request|must be", BadRequest),
    (r"unsupported content|invalid message|parse error|failed to load image|badrequest", BadRequest),
    (r"cannot make GET request|failed to download image", BadRequest),  # llama.cpp: 500 for a picture's URL
)

_BY_STATUS: dict[int, type[VesselError]] = {
    401: AuthFailed,
    403: AuthFailed,
    404: Unsupported,
    405: Unsupported,
    408: ServerError,
    413: BadRequest,
    429: RateLimited,
    501: Unsupported,
    503: ServerBusy,
}

_BY_SILENCE = {
    403: "The server refused the request without a word (Ollama does so when it is bound to loopback and called by "
    "another host name).",
    413: "The request is larger than the server takes (llama.cpp: 100 MB).",
}

_SILENT_HINTS = {
    403: "Call it by an address of its own machine, or let Ollama listen for others: OLLAMA_HOST=0.0.0.0.",
    413: "Send smaller pictures, or fewer texts at once.",
}

_HINTS: dict[type[VesselError], str] = {
    AuthFailed: "Give the server's key with `api_key=…`.",
    BadRequest: "Change what the server names; what goes into `extra_body` and tools is sent as it is.",
    ContextOverflow: "Send less, or start the server with a larger context (llama.cpp `-c`, Ollama `num_ctx=…`, "
    "LM Studio: the model's load settings).",
    InputTooLarge: "Split the text, or start llama-server with a larger `-ub`.",
    ModelLoading: "Wait longer with `Timeout(load=…)`, or load the model before.",
    ModelNotFound: "Choose one of the names that `models()` lists, or load it first (`ollama pull`, `lms load`).",
    RateLimited: "Wait, or send fewer requests at once.",
    ServerBusy: "Send fewer requests at once, or start the server with more slots.",
    ServerError: "See the server's own log.",
    Unsupported: "Use a server or a model that has it, or start the server with it switched on.",
}


def error_from(reply: Reply, failure: Failure | None = None) -> VesselError:
    """Return the exception for an error reply; `failure` is what was already read from it."""
    failure = failure or failure_of(reply)
    said = f"{failure.kind} {failure.message}"
    cls = next((error for pattern, error in _PATTERNS if re.search(pattern, said, re.IGNORECASE)), None)
    if cls is None or reply.status in (401, 429):
        cls = _BY_STATUS.get(reply.status) or cls
    if cls is None:
        cls = BadRequest if 400 <= reply.status < 500 else ServerError
    if issubclass(cls, ModelLoading) and reply.status not in (503, 500):
        cls = ServerError
    what = f"{_WHAT.get(cls, 'The server failed')}: "
    silent = _BY_SILENCE.get(reply.status) or f"{what}HTTP {reply.status} without a body."
    snapshot = FailedResponse(reply.status, dict(reply.headers), beginning_of(reply.body))
    error = cls(
        what + failure.message if failure.message else silent,
        hint=_hint(cls, failure, reply),
        response=snapshot,
        request_id=reply.headers.get("x-request-id"),
        url=reply.url,
    )
    _fill(error, failure, reply)
    return error


def _hint(cls: type[VesselError], failure: Failure, reply: Reply) -> str | None:
    if not failure.message:
        return _SILENT_HINTS.get(reply.status, _HINTS.get(cls))
    if "must be at the beginning" in failure.message:
        return "Join the system messages at the start; `quirks={'system': 'first'}` does so for this client."
    if isinstance(url := (failure.details or {}).get("signin_url"), str):
        return f"This model runs in Ollama's cloud. Sign in there: `ollama signin`, or {shortened(url)}"
    return _HINTS.get(cls)


_WHAT: dict[type[VesselError], str] = {
    AuthFailed: "The key is missing or wrong",
    BadRequest: "The server refused the request",
    ContextOverflow: "The prompt does not fit the context",
    InputTooLarge: "The input is longer than the server's batch",
    ModelLoading: "The model is still loading",
    ModelNotFound: "The model can't be had",
    RateLimited: "Too many requests",
    ServerBusy: "The server is busy",
    Unsupported: "The server does not have this",
}


def _fill(error: VesselError, failure: Failure, reply: Reply) -> None:
    """Put the numbers of a failure on its exception."""
    details = failure.details or {}
    if isinstance(error, ContextOverflow):
        error.prompt_tokens = count(details.get("n_prompt_tokens")) or _search(
            r"\((\d+) tokens\)|requested \d+ tokens \((\d+) in the|requested (\d+) tokens|"
            r"has (\d+) input tokens|(\d+) tokens from the input|"
            r"keep the first (\d+) tokens|too long: (\d+) tokens|[Pp]rompt length (\d+)",
            failure.message,
        )
        error.context_length = count(details.get("n_ctx")) or _search(
            r"(?:context length is|context length \(|context length of(?: only)?|context size \(|only the first|tokens >|"
            r"max_seq_len|num_ctx[^0-9]{0,20})\s*(\d+)",
            failure.message,
        )
    if isinstance(error, RateLimited):
        error.retry_after = retry_after(reply.headers)


def _search(pattern: str, text: str) -> int | None:
    """Return the number of the group that is found."""
    found = re.search(pattern, text)
    return int(found[found.lastindex or 0]) if found else None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds the server asks to wait (`retry-after-ms`, `Retry-After` in seconds or as a date)."""
    milliseconds = _longest(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after", "")
    seconds = _longest(value)
    return _until(value, headers.get("date")) if seconds is None else seconds


def _longest(value: str) -> float | None:
    """Return the largest number of a header, which may have come several times; `None` if it isn't of numbers."""
    try:
        return max(0.0, *map(float, value.split(",")))
    except ValueError:
        return None


def _until(value: str, now: str | None) -> float | None:
    """Return the seconds between the reply's own `Date` and a date: no clock of ours is needed."""
    if now is None:
        return None
    try:
        return max(0.0, (parsedate_to_datetime(value) - parsedate_to_datetime(now)).total_seconds())
    except (ValueError, TypeError, OverflowError):  # no date, huge numbers, one with a time zone and one without
        return None


def json_body(reply: Reply) -> Any:
    """Return a good reply's JSON; raise what it says went wrong, or `ProtocolError` if it isn't JSON."""
    if reply.status >= 300:
        raise error_from(reply)
    document = reply.document
    if document is None:
        try:
            document = loads(reply.body, most=MAX_COST + reply.more)
        except ValueError as error:
            raise not_json(reply.body) from error
    if (failure := failure_in(document)) is not None:  # quirk 22: an error with status 200
        raise error_from(reply, failure)
    return document


def check_health(reply: Reply) -> None:
    """Raise what the reply of a health route says is wrong. A good status is enough: vLLM and SGLang send no body,
    llama-swap and LocalAI the text `OK`. JSON may say otherwise (quirk 22), and a web page is no server's."""
    if reply.status >= 300 or reply.body.lstrip().startswith((b"<", b"{")):
        json_body(reply)


def not_json(body: bytes) -> ProtocolError:
    """Return the exception for a body or an event that should be JSON and isn't."""
    said = readable(body)
    return ProtocolError(
        f"The reply is not JSON: {said!r}." if said else "The reply is empty.",
        hint="Is this the URL of an LLM server, and not of a proxy or a web page?",
    )
