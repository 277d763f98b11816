"""The core and its two faces under one form, so that a requirement of safety is written once and asked of all three."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Protocol

from langchain_core.messages import HumanMessage
from langchain_vessel import ChatVessel
from llama_index.core.base.llms.types import ChatMessage, ImageBlock
from llama_index.llms.vessel import Vessel
from vessel_core import Client, image_part

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360f8cf500f00038201"
    "80e2b4a1d30000000049454e44ae426082"
)


class Face(Protocol):
    """One of the three."""

    name: str

    def make(self, backend: str = "llamacpp", **options: Any) -> Any:
        """Return an object that talks to a server."""
        ...

    def ask(self, made: Any, text: str = "Hello") -> str:
        """Ask it for a whole answer."""
        ...

    def show(self, made: Any, picture: Any, **options: Any) -> str:
        """Send a message that holds a picture, as a text that came from outside."""
        ...

    def close(self, made: Any) -> None:
        """Close its connections."""
        ...


class Core:
    """`vessel_core.Client`."""

    name = "core"

    def make(self, backend: str = "llamacpp", **options: Any) -> Client:
        return Client(backend, **options)

    def ask(self, made: Client, text: str = "Hello") -> str:
        return made.chat([{"role": "user", "content": text}]).text

    def show(self, made: Client, picture: Any, **options: Any) -> str:
        return made.chat([{"role": "user", "content": [image_part(picture)]}], **options).text

    def close(self, made: Client) -> None:
        made.close()


class LangChain:
    """`langchain_vessel.ChatVessel`."""

    name = "langchain"

    def make(self, backend: str = "llamacpp", **options: Any) -> ChatVessel:
        return ChatVessel(backend=backend, **options)

    def ask(self, made: ChatVessel, text: str = "Hello") -> str:
        return str(made.invoke(text).text)

    def show(self, made: ChatVessel, picture: Any, **options: Any) -> str:
        block: dict[str, Any] = {"type": "image_url", "image_url": {"url": picture}}
        return str(made.invoke([HumanMessage(content=[block])], **options).text)

    def close(self, made: ChatVessel) -> None:
        made._sync.close()  # pyright: ignore[reportPrivateUsage] - LangChain's classes have no close


class LlamaIndex:
    """`llama_index.llms.vessel.Vessel`."""

    name = "llamaindex"

    def make(self, backend: str = "llamacpp", **options: Any) -> Vessel:
        return Vessel(backend=backend, **options)

    def ask(self, made: Vessel, text: str = "Hello") -> str:
        return str(made.complete(text))

    def show(self, made: Vessel, picture: Any, **options: Any) -> str:
        message = ChatMessage(role="user", blocks=[ImageBlock.model_construct(url=picture)])
        return str(made.chat([message], **options).message.content)

    def close(self, made: Vessel) -> None:
        made.close()


FACES: tuple[Face, ...] = (Core(), LangChain(), LlamaIndex())


@contextmanager
def opened(face: Face, backend: str = "llamacpp", **options: Any) -> Generator[Any]:
    """Yield an object of a face that is closed afterwards."""
    made = face.make(backend, **options)
    try:
        yield made
    finally:
        face.close(made)
