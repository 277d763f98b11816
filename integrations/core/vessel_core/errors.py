"""The exceptions of Vessel.

Every error says what happened, where (server and URL) and what to do next; the cause is chained. Most are also a subclass
of the builtin exception that people already catch.

    VesselError
    ├── InvalidConfig (ValueError)         backend, URL or option that can't be right; raised at construction
    ├── InvalidRequest (ValueError)        a request that can't be right; raised before anything is sent
    │   └── InvalidMedia                   an image or audio part that isn't one
    ├── Unsupported                        this server is known not to have the feature
    ├── ServerStartError                   an embedded server did not start
    ├── NoServerFound (ConnectionError)    discovery found no running server
    ├── ServerUnreachable (ConnectionError)  nobody answers at the URL
    │   └── ConnectTimeout (TimeoutError)
    ├── ServerTimeout (TimeoutError)
    │   ├── FirstTokenTimeout              no byte of the answer in time; never sent again by itself
    │   └── StreamStalled                  silence between two tokens; `partial` holds what came
    ├── ProtocolError                      the reply is not what the protocol says
    │   ├── StreamInterrupted              the stream ended without a finish; `partial` holds what came
    │   └── ResponseTooLarge               a line or body above the limit
    ├── InvalidOutput (ValueError)         the model's answer does not fit the schema or tool that was forced
    └── ResponseError                      the server answered with an error
        ├── BadRequest                     400, 413, 422 and client mistakes that arrive as 500
        │   ├── ContextOverflow            the prompt does not fit; `prompt_tokens`, `context_length`
        │   └── InputTooLarge              an embedding input above the server's batch or context
        ├── AuthFailed                     401, 403
        ├── ModelNotFound                  `nearest` holds names that exist
        ├── RateLimited                    429; `retry_after` in seconds
        ├── ServerBusy                     503: queue full
        ├── ModelLoading                   503: still loading after the load timeout
        └── ServerError                    anything else the server says went wrong
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from vessel_core.harmless import harmless

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vessel_core.types import ChatReply

__all__ = [
    "AuthFailed",
    "BadRequest",
    "ConnectTimeout",
    "ContextOverflow",
    "FailedResponse",
    "FirstTokenTimeout",
    "InputTooLarge",
    "InvalidConfig",
    "InvalidMedia",
    "InvalidOutput",
    "InvalidRequest",
    "ModelLoading",
    "ModelNotFound",
    "NoServerFound",
    "ProtocolError",
    "RateLimited",
    "ResponseError",
    "ResponseTooLarge",
    "ServerBusy",
    "ServerError",
    "ServerStartError",
    "ServerTimeout",
    "ServerUnreachable",
    "StreamInterrupted",
    "StreamStalled",
    "Unsupported",
    "VesselError",
    "did_you_mean",
]


@dataclass(frozen=True, slots=True)
class FailedResponse:
    """What the server sent with an error, under the names tracers read: `status_code`, `headers`, `text`, `json()`."""

    status_code: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    text: str = ""

    def json(self) -> Any:
        """Return the body as JSON; raises `ValueError` if it isn't."""
        return json.loads(self.text)


class VesselError(Exception):
    """Base of every error raised by Vessel.

    `message` says what happened, `hint` what to do; `str()` gives both, with the server and its URL, and no
    control characters. `partial` is the part
    of an answer that had arrived (`None` when nothing had). `attempts` counts the requests made, `elapsed` the seconds
    since the first.
    """

    usual_hint: ClassVar[str | None] = None
    """What to do where no one said more."""

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        backend: str | None = None,
        url: str | None = None,
        response: FailedResponse | None = None,
        request_id: str | None = None,
        partial: ChatReply | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint: str | None = hint or self.usual_hint
        self.backend = backend
        self.url = url
        self.response = response
        self.request_id = request_id
        self.partial = partial
        self.attempts: int = 1
        self.elapsed: float = 0.0

    @property
    def status_code(self) -> int | None:
        """The HTTP status, if the server answered."""
        return self.response.status_code if self.response else None

    def __str__(self) -> str:
        where = f" [{self.backend or 'server'} at {self.url}]" if self.url else ""
        hint = f"\n{self.hint}" if self.hint else ""
        return harmless(f"{self.message}{where}{hint}")  # a traceback or a log shows it as it is

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restore, (type(self), self.message, self.__dict__.copy()))


def _restore(cls: type[VesselError], message: str, state: dict[str, Any]) -> VesselError:
    """Rebuild a pickled error without calling the constructor of a subclass."""
    error = cls.__new__(cls, message)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


class InvalidConfig(VesselError, ValueError):
    """A backend, URL or option that can't be right. Raised at construction."""

    usual_hint: ClassVar[str | None] = "Correct it, or leave it out: then the default is used."


class InvalidRequest(VesselError, ValueError):
    """A request that can't be right. Raised before anything is sent."""

    usual_hint: ClassVar[str | None] = "Correct it, and ask again: nothing was sent."


class InvalidMedia(InvalidRequest):
    """An image or audio part that isn't one, or that this server can't take."""


class Unsupported(VesselError):
    """The server is known not to have this feature. Raised before sending, or when it answers so (404, 405, 501)."""


class ServerStartError(VesselError):
    """An embedded server did not start; the message holds the reason it gave."""


class NoServerFound(VesselError, ConnectionError):
    """Discovery found no running server; the message lists the addresses tried and how to start one."""


class ServerUnreachable(VesselError, ConnectionError):
    """Nobody answers at the URL: refused, reset before any reply, or the host name is unknown.

    `reset` tells that a connection was there and broke before any byte of a reply, `stale` that it was one kept from an
    earlier call; `refused` that the port is closed.
    """

    reset = False
    stale = False
    refused = False


class ConnectTimeout(ServerUnreachable, TimeoutError):
    """No connection within the connect timeout."""


class ServerTimeout(VesselError, TimeoutError):
    """The server took longer than a timeout allows. A generation that timed out is never sent again by itself."""


class FirstTokenTimeout(ServerTimeout):
    """Not one byte of the answer within the first-token timeout."""


class StreamStalled(ServerTimeout):
    """Silence in the middle of a stream for longer than the between-tokens timeout; `partial` holds what came."""


class ProtocolError(VesselError):
    """The reply is not what the protocol says: not HTTP, not JSON, or JSON of another shape; `cut` if its end is missing."""

    usual_hint: ClassVar[str | None] = (
        "See the server's log, and whether it is an LLM server of a version that is not too old."
    )
    cut = False


class StreamInterrupted(ProtocolError):
    """The stream ended without a finish reason; `partial` holds what came; `empty` tells that it was nothing."""

    empty = False


class ResponseTooLarge(ProtocolError):
    """A line, an event or a body above the limit."""


class InvalidOutput(VesselError, ValueError):
    """The model's answer does not fit the schema or the tool that was forced; `partial` holds the answer."""


class ResponseError(VesselError):
    """The server answered with an error."""


class BadRequest(ResponseError):
    """The server refused the request. Sending it again would not help."""


class ContextOverflow(BadRequest):
    """The prompt does not fit the context: `prompt_tokens` and `context_length` in tokens, `None` where unknown."""

    prompt_tokens: int | None = None
    context_length: int | None = None


class InputTooLarge(BadRequest):
    """An embedding input is longer than the server's batch or the model's context.

    `index` is its place among the texts, `vectors` what the server made of the others of its batch (`None` where nothing).
    """

    index: int | None = None
    vectors: list[list[float] | None] | None = None


class AuthFailed(ResponseError):
    """The key is missing or wrong (401, 403)."""


class ModelNotFound(ResponseError):
    """The server has no such model; `nearest` holds up to three names it has."""

    nearest: tuple[str, ...] = ()


class RateLimited(ResponseError):
    """429. `retry_after` is what the server asked for, in seconds."""

    retry_after: float | None = None


class ServerBusy(ResponseError):
    """503: the server's queue is full."""


class ModelLoading(ResponseError):
    """503: the model was still loading when the load timeout ran out."""


class ServerError(ResponseError):
    """The server says that something went wrong on its side."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `: did you mean 'x'?` for the nearest known name, else a full stop."""
    import difflib  # only a wrong name needs it

    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f": did you mean {near[0]!r}?" if near else "."
