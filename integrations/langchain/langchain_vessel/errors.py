"""Vessel's errors, which are LangChain's as well: `except ContextOverflowError`, `with_retry` and middleware see their own.

    VesselError of the core        inherits as well
    ContextOverflow                ContextOverflowError, ModelInvalidRequestError
    BadRequest, InputTooLarge,
      InvalidRequest, InvalidMedia,
      Unsupported                  ModelInvalidRequestError
    AuthFailed                     ModelAuthenticationError (401), ModelPermissionDeniedError (403)
    ModelNotFound                  ModelNotFoundError
    RateLimited                    ModelRateLimitError (retryable)
    ServerBusy, ModelLoading,
      ServerError                  ModelAPIError (retryable)
    NoServerFound,
      ServerUnreachable,
      StreamInterrupted            ModelConnectionError (retryable)
    ConnectTimeout                 ModelConnectionError, ModelTimeoutError (retryable)
    ServerTimeout, StreamStalled,
      FirstTokenTimeout            ModelTimeoutError (retryable)
    ProtocolError, InvalidOutput   ModelAPIError (retryable)
    ResponseTooLarge               ModelAPIError

Each keeps what the core put on it: `.response` and `.request_id` (which LangChain writes into traces), `.partial` (the part
of the answer that had come), `.hint`, `.url`.

    >>> from langchain_core.exceptions import ContextOverflowError
    >>> issubclass(VesselContextOverflow, ContextOverflowError)
    True
"""

from __future__ import annotations

from types import TracebackType

from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
)
from vessel_core import errors as core
from vessel_core.errors import VesselError

__all__ = [
    "VesselAuthFailed",
    "VesselBadRequest",
    "VesselConnectTimeout",
    "VesselContextOverflow",
    "VesselFirstTokenTimeout",
    "VesselInputTooLarge",
    "VesselInvalidMedia",
    "VesselInvalidOutput",
    "VesselInvalidRequest",
    "VesselModelLoading",
    "VesselModelNotFound",
    "VesselNoServerFound",
    "VesselPermissionDenied",
    "VesselProtocolError",
    "VesselRateLimited",
    "VesselResponseTooLarge",
    "VesselServerBusy",
    "VesselServerError",
    "VesselServerTimeout",
    "VesselServerUnreachable",
    "VesselStreamInterrupted",
    "VesselStreamStalled",
    "VesselUnsupported",
    "as_langchain",
    "langchain_errors",
]


class VesselInvalidRequest(core.InvalidRequest, ModelInvalidRequestError):
    """A request that can't be right; nothing was sent."""


class VesselInvalidMedia(core.InvalidMedia, VesselInvalidRequest):
    """A picture or sound that isn't one, or that this server can't take."""


class VesselUnsupported(core.Unsupported, ModelInvalidRequestError):
    """The server is known not to have this feature."""


class VesselNoServerFound(core.NoServerFound, ModelConnectionError):
    """No running server was found; the message lists the addresses tried."""


class VesselServerUnreachable(core.ServerUnreachable, ModelConnectionError):
    """Nobody answers at the URL."""


class VesselConnectTimeout(core.ConnectTimeout, ModelConnectionError, ModelTimeoutError):
    """No connection within the connect timeout."""


class VesselServerTimeout(core.ServerTimeout, ModelTimeoutError):
    """The server took longer than a timeout allows."""


class VesselFirstTokenTimeout(core.FirstTokenTimeout, VesselServerTimeout):
    """Not one byte of the answer within the first-token timeout."""


class VesselStreamStalled(core.StreamStalled, VesselServerTimeout):
    """Silence in the middle of a stream; `partial` holds what came."""


class VesselProtocolError(core.ProtocolError, ModelAPIError):
    """The reply is not what the protocol says."""


class VesselStreamInterrupted(core.StreamInterrupted, ModelConnectionError):
    """The stream ended without a finish; `partial` holds what came."""


class VesselResponseTooLarge(core.ResponseTooLarge, ModelAPIError):
    """A line or body above the limit."""

    is_retryable = False


class VesselInvalidOutput(core.InvalidOutput, ModelAPIError):
    """The answer does not fit the schema or tool that was forced; `partial` holds it."""


class VesselBadRequest(core.BadRequest, ModelInvalidRequestError):
    """The server refused the request."""


class VesselContextOverflow(core.ContextOverflow, ContextOverflowError, ModelInvalidRequestError):
    """The prompt does not fit the context: `prompt_tokens` and `context_length` in tokens."""


class VesselInputTooLarge(core.InputTooLarge, VesselBadRequest):
    """An embedding input is longer than the server's batch."""


class VesselAuthFailed(core.AuthFailed, ModelAuthenticationError):
    """The key is missing or wrong."""


class VesselPermissionDenied(core.AuthFailed, ModelPermissionDeniedError):
    """The key is known and may not do this (403)."""


class VesselModelNotFound(core.ModelNotFound, ModelNotFoundError):
    """The server has no such model; `nearest` holds names that exist."""


class VesselRateLimited(core.RateLimited, ModelRateLimitError):
    """429; `retry_after` in seconds."""


class VesselServerBusy(core.ServerBusy, ModelAPIError):
    """503: the server's queue is full."""


class VesselModelLoading(core.ModelLoading, ModelAPIError):
    """503: the model was still loading when the load timeout ran out."""


class VesselServerError(core.ServerError, ModelAPIError):
    """The server says that something went wrong on its side."""


_MADE: dict[type[VesselError], type[VesselError]] = {
    core.InvalidRequest: VesselInvalidRequest,
    core.InvalidMedia: VesselInvalidMedia,
    core.Unsupported: VesselUnsupported,
    core.NoServerFound: VesselNoServerFound,
    core.ServerUnreachable: VesselServerUnreachable,
    core.ConnectTimeout: VesselConnectTimeout,
    core.ServerTimeout: VesselServerTimeout,
    core.FirstTokenTimeout: VesselFirstTokenTimeout,
    core.StreamStalled: VesselStreamStalled,
    core.ProtocolError: VesselProtocolError,
    core.StreamInterrupted: VesselStreamInterrupted,
    core.ResponseTooLarge: VesselResponseTooLarge,
    core.InvalidOutput: VesselInvalidOutput,
    core.BadRequest: VesselBadRequest,
    core.ContextOverflow: VesselContextOverflow,
    core.InputTooLarge: VesselInputTooLarge,
    core.AuthFailed: VesselAuthFailed,
    core.ModelNotFound: VesselModelNotFound,
    core.RateLimited: VesselRateLimited,
    core.ServerBusy: VesselServerBusy,
    core.ModelLoading: VesselModelLoading,
    core.ServerError: VesselServerError,
}


def as_langchain(error: VesselError) -> VesselError:
    """Return the error as one that LangChain knows as well; itself if it is one, or if LangChain has no name for it."""
    if isinstance(error, ModelError):
        return error
    made = next((_MADE[cls] for cls in type(error).__mro__ if cls in _MADE), None)
    if made is None:
        return error
    if made is VesselAuthFailed and error.status_code == 403:
        made = VesselPermissionDenied
    copy = made(error.message)
    copy.__dict__.update(error.__dict__)
    return copy


class langchain_errors:  # noqa: N801 - reads as what it does: `with langchain_errors():`
    """Raise the core's errors as LangChain's, from the line that asked.

    What a user sees of the way down are two frames and the message. The core's own error is the
    `__context__`; what caused it is told where the message does not say it anyway.
    """

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Turn an error of ours into LangChain's."""
        if isinstance(error, VesselError):
            raise as_langchain(error) from None if isinstance(error, _SAID_IT_ALL) else error.__cause__


_SAID_IT_ALL = (core.NoServerFound, core.ServerUnreachable, core.ConnectTimeout)
"""Their messages say what the transport's errors would repeat."""
