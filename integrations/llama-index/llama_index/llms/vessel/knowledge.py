"""What is known of the model: `metadata` tells it, and it is learnt where asking holds nobody up."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import closing
from typing import Any, ClassVar, Self

from llama_index.core.base.llms.types import LLMMetadata
from llama_index.core.constants import DEFAULT_NUM_OUTPUTS
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.llms.vessel.options import OWN_NAMES, VesselOptions
from pydantic import ConfigDict, Field, PrivateAttr, SerializerFunctionWrapHandler, model_serializer
from vessel_core import Delta, ModelInfo, Timeout, VesselError
from vessel_core.backends.base import plain_name
from vessel_core.errors import ServerTimeout
from vessel_core.owned import owned

logger: logging.Logger = logging.getLogger("vessel_core")

#: What is assumed of the context window while nobody has said it: what Ollama and LM Studio allocate by default. Too small,
#: it makes a memory forget and an engine ask in several parts, and is warned of at once; too large, a conversation would end
#: in an error much later, or at Ollama be cut without one.
UNKNOWN_CONTEXT = 4096

#: How long may be waited for what only makes the metadata better, in seconds.
BRIEF = Timeout(connect=1.0, request=1.0, load=0.0)

#: What only the server knows of a model.
LEARNT = frozenset({"context_window", "is_function_calling_model"})

Place = tuple[str, ...]


class KnownModel(VesselOptions, FunctionCallingLLM):
    """A model, as far as it was said and as far as its server told."""

    _learnt: dict[Place, ModelInfo] = PrivateAttr(default_factory=dict[Place, ModelInfo])
    _answered: set[Place] = PrivateAttr(default_factory=set[Place])
    _timed_out: set[Place] = PrivateAttr(default_factory=set[Place])
    _warned: set[Place] = PrivateAttr(default_factory=set[Place])

    @property
    def metadata(self) -> LLMMetadata:
        """What is known of the model; `context_window` and `num_output` are in tokens.

        It makes no request. What only the server knows is asked for when it is read (or dumped, or printed), if nobody asked
        before: a request may take a second, and none is made in an event loop. So an engine that is built before the first
        answer gets the real context window; async code awaits `aconnect()` first. A window that nobody tells is assumed, and
        warned of.
        """
        metadata = ModelMetadata(**self.known())
        metadata.ask = self.told
        return metadata

    @property
    def _place(self) -> Place:
        """Which model on which server is meant, as far as it was said."""
        return (self.backend, str(self.base_url or ""), self.model or "")

    @property
    def _info(self) -> ModelInfo | None:
        """What the server told of the model."""
        private: Any = self.__pydantic_private__  # by its name it takes ten times as long
        return private["_learnt"].get(self._place)

    def connect(self) -> Self:
        """Find the server now and read what it says of the model; `metadata` tells it from then on.

        Raises the error there is if the server can't be reached or has no such model.
        """
        self._learnt[self._place] = self.client.model_info(self.model)
        return self

    async def aconnect(self) -> Self:
        """Find the server now and read what it says of the model, as `connect`.

            llm = await Vessel().aconnect()
            memory = ChatMemoryBuffer.from_defaults(llm=llm)

        That memory holds three quarters of the real context window.
        """
        self._learnt[self._place] = await self.async_client.model_info(self.model)
        return self

    def to_payload(self) -> dict[str, Any]:
        """Return what traces show of this object: no key, no header, no I/O."""
        payload = {"class_name": self.class_name(), **LLMMetadata(**self.known()).model_dump()}
        own = vars(self)
        options = {name: value for name in OWN_NAMES if (value := own[name]) is not None}
        return {**payload, **options, "backend": self.backend, "base_url": self.base_url}

    def known(self) -> dict[str, Any]:
        """Return the fields of the metadata as they are known now."""
        info = self._info
        options = self.chat_fields({})
        tools = self.is_function_calling_model
        if tools is None:
            tools = info is None or info.capabilities.tools is not False
        return {
            "context_window": self._window(info, options) or UNKNOWN_CONTEXT,
            "num_output": options.get("max_tokens") or DEFAULT_NUM_OUTPUTS,
            "is_chat_model": self.is_chat_model,
            "is_function_calling_model": tools,
            "model_name": self.model or (info and info.id) or "unknown",
        }

    def _window(self, info: ModelInfo | None, options: Mapping[str, Any]) -> int | None:
        """Return the context window: as it was given, as Ollama is made to allocate it, as the server has it.

        What one call made Ollama allocate is kept for the calls after it, and so it is told here.
        """
        kept = self.client.target.runner.get(plain_name(self.model or (info and info.id) or ""), {})
        num_ctx = options.get("num_ctx") or kept.get("num_ctx")
        if num_ctx and info is not None and info.max_context_length:
            num_ctx = min(num_ctx, info.max_context_length)
        return self.context_window or num_ctx or (info and info.context_length) or None

    def told(self, name: str) -> Any:
        """Return a field that only the server knows. It is asked, unless it was, if this code may wait."""
        if getattr(self, name) is None and self._place not in self._learnt and _may_wait():
            self._look()
        if name == "context_window":
            self._warn_of_assumption()
        return self.known()[name]

    def _warn_of_assumption(self) -> None:
        """Say that the context window is assumed, once, and what to do."""
        info = self._info
        if self._place in self._warned or self._window(info, self.chat_fields({})) is not None:
            return
        self._warned.add(self._place)
        asked, do = (
            ("has not told it", "") if info else ("was not asked yet", "Call connect() or await aconnect() first. ")
        )
        logger.warning(
            "The context window is assumed to be %s tokens: the server %s. Memories and engines made now go by that. "
            "%sIt can be given: context_window=….",
            UNKNOWN_CONTEXT,
            asked,
            do,
        )

    def _look(self) -> None:
        try:
            self._learnt[self._place] = self.client.model_info(self.model, timeout=BRIEF)
        except VesselError as error:
            self._learn_nothing(error)

    async def _alook(self) -> None:
        try:
            self._learnt[self._place] = await self.async_client.model_info(self.model, timeout=BRIEF)
        except VesselError as error:
            self._learn_nothing(error)

    def _learn_nothing(self, error: VesselError) -> None:
        logger.info("The server has not said what the model is: %s", error.message)
        self._learnt[self._place] = ModelInfo(self.model or "")
        if isinstance(error, ServerTimeout) and self.context_window is None and self._place not in self._timed_out:
            self._timed_out.add(self._place)  # it may be busy: the next answer asks once more
            self._answered.discard(self._place)

    def _learning(self, deltas: Generator[Delta]) -> Generator[Delta]:
        """Pass an answer on. Behind its first piece the model is loaded, and the server busy with the next: it is asked."""
        with closing(deltas):
            for number, delta in enumerate(deltas):
                yield delta
                if number == 0 and self._wants_look():
                    self._look()

    async def _alearning(self, deltas: AsyncGenerator[Delta]) -> AsyncGenerator[Delta]:
        """Pass an answer on, as `_learning`."""
        first = True
        async with owned(deltas) as pieces:
            async for delta in pieces:
                yield delta
                if first and self._wants_look():
                    await self._alook()
                first = False

    def _to_learn(self, call: Mapping[str, Any]) -> bool:
        """Tell whether a call may tell something new of the model."""
        given = self.context_window is not None and self.is_function_calling_model is not None
        private: Any = self.__pydantic_private__  # as in `_info`
        return not given and self._place not in private["_answered"] and call.get("model") in (None, self.model)

    def _wants_look(self) -> bool:
        """Tell whether to ask, once the model answers: what was asked before it was loaded may have lacked its context.

        Of many first calls at once one asks: the others would wait for their turn with an answer open.
        """
        if self._place in self._answered:
            return False
        self._answered.add(self._place)
        known = self._info
        return known is None or (known.context_length is None and self.context_window is None)


class ModelMetadata(LLMMetadata):
    """Metadata whose `context_window` and `is_function_calling_model` are found out when they are read."""

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True)

    ask: Callable[[str], Any] | None = Field(default=None, exclude=True, repr=False)

    def __getattribute__(self, name: str) -> Any:
        if name in LEARNT and (ask := self.ask) is not None:
            return ask(name)
        return super().__getattribute__(name)

    @model_serializer(mode="wrap")
    def _read(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Dump what reading the fields gives, which may ask."""
        self._find_out()
        return dump(self)

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        """Say what reading the fields gives, which may ask."""
        self._find_out()
        return list(super().__repr_args__())

    def _find_out(self) -> None:
        vars(self).update({name: getattr(self, name) for name in sorted(LEARNT)})

    def __eq__(self, other: object) -> bool:
        names = LLMMetadata.model_fields
        return isinstance(other, LLMMetadata) and all(vars(self)[name] == vars(other)[name] for name in names)


def _may_wait() -> bool:
    """Tell whether this code may wait: no event loop runs in this thread, or a notebook's, whose cells all run in one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None
