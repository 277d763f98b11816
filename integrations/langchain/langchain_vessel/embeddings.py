"""`VesselEmbeddings`: vectors from a local server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

from langchain_core.embeddings import Embeddings
from pydantic import Field
from vessel_core import Timeout
from vessel_core.options import EmbedOptions

from langchain_vessel.connection import ServerFields
from langchain_vessel.errors import langchain_errors
from langchain_vessel.options import call_options


class EmbedFields(EmbedOptions):
    """What goes with the texts of one call."""

    model: str | None
    dimensions: int | None
    batch_size: int | None
    concurrency: int | None
    blank: Literal["refuse", "space"]
    timeout: Timeout | float | None


class VesselEmbeddings(ServerFields, Embeddings):
    """Embeddings by a local server, found by itself or named.

    Texts travel as texts, `batch_size` in a request and `concurrency` requests at a time, by default what fits the server, and
    vectors come back in the order of the texts. `dimensions` shortens vectors where the model can. `query_prefix` and
    `document_prefix` are put before each text: many models want them, such as `"search_query: "` and `"search_document: "`. An
    empty text is refused, or embedded as a space with `blank="space"`. The other options are those of
    `vessel_core.options.EmbedOptions`: Ollama's `num_ctx` and
    `keep_alive` among them, and `truncate`, without which a text that is too long is an error.

        VesselEmbeddings(model="nomic-embed-text").embed_documents(["One text", "Another"])
    """

    batch_size: int | None = Field(default=None, ge=1)
    concurrency: int | None = Field(default=None, ge=1)
    dimensions: int | None = Field(default=None, ge=1)
    query_prefix: str = ""
    document_prefix: str = ""
    blank: Literal["refuse", "space"] = "refuse"

    truncate: bool | None = None
    keep_alive: int | str | None = None
    num_ctx: int | None = None
    num_batch: int | None = None
    num_gpu: int | None = None
    main_gpu: int | None = None
    use_mmap: bool | None = None
    num_thread: int | None = None
    ttl: int | None = None
    extra_body: dict[str, Any] | None = None

    def embed_documents(self, texts: list[str], *, timeout: Timeout | float | None = None) -> list[list[float]]:
        """Return a vector for each text, in order; none for none. Raises `InvalidRequest` for an empty text.

        `timeout` is this call's own, as a chat's; the other three take it too.
        """
        return self._embed(_prefixed(self.document_prefix, texts), timeout)

    def embed_query(self, text: str, *, timeout: Timeout | float | None = None) -> list[float]:
        """Return the vector of a question."""
        return self._embed(_prefixed(self.query_prefix, [text]), timeout)[0]

    async def aembed_documents(self, texts: list[str], *, timeout: Timeout | float | None = None) -> list[list[float]]:
        """Return a vector for each text, as `embed_documents`."""
        return await self._aembed(_prefixed(self.document_prefix, texts), timeout)

    async def aembed_query(self, text: str, *, timeout: Timeout | float | None = None) -> list[float]:
        """Return the vector of a question."""
        return (await self._aembed(_prefixed(self.query_prefix, [text]), timeout))[0]

    def _embed(self, texts: Sequence[str], timeout: Timeout | float | None) -> list[list[float]]:
        with langchain_errors():
            return self._sync.embed(texts, **self._how(timeout)).vectors

    async def _aembed(self, texts: Sequence[str], timeout: Timeout | float | None) -> list[list[float]]:
        with langchain_errors():
            return (await self._async.embed(texts, **self._how(timeout))).vectors

    def _how(self, timeout: Timeout | float | None) -> EmbedFields:
        fields = {name: vars(self)[name] for name in EmbedFields.__annotations__}
        return cast("EmbedFields", {**fields, **call_options({"timeout": timeout})})


def _prefixed(prefix: str, texts: Any) -> Any:
    """Put the prefix before each text but an empty one, which would seem to say something. The core refuses what is none."""
    if isinstance(texts, str):
        return texts
    return [prefix + text if isinstance(text, str) and text else text for text in texts]
