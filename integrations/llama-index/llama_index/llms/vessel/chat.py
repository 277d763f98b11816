"""The eight forms of asking: chat and completion, whole and streamed, sync and async; and what is known of the model."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import closing
from typing import Any, Self

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
)
from llama_index.core.constants import DEFAULT_NUM_OUTPUTS
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.llms.vessel.messages import conversation, to_wire
from llama_index.llms.vessel.options import VesselOptions
from llama_index.llms.vessel.telling import CHAT, COMPLETION, Telling
from pydantic import PrivateAttr
from vessel_core import Delta, ModelInfo, VesselError
from vessel_core.owned import owned
from vessel_core.request import OPTION_NAMES

logger = logging.getLogger("vessel_core")

#: What is assumed of the context window until the server has said it: what Ollama and LM Studio allocate by default.
UNKNOWN_CONTEXT = 4096


class ChatForms(VesselOptions, FunctionCallingLLM):
    """What `Vessel` says and hears, in any form; the tools and the structured answers stand on it."""

    _learnt: dict[tuple[str, ...], ModelInfo] = PrivateAttr(default_factory=dict["tuple[str, ...]", ModelInfo])

    # ---------------------------------------------------------------------------------------------------- the server

    @property
    def metadata(self) -> LLMMetadata:
        """What is known of the model, without asking: `context_window` and `num_output` are in tokens."""
        known = self._learnt.get(self._place)
        tools = self.is_function_calling_model
        if tools is None:
            tools = known is None or known.capabilities.tools is not False
        return LLMMetadata(
            context_window=self.context_window or (known and known.context_length) or self.num_ctx or UNKNOWN_CONTEXT,
            num_output=self.max_tokens or DEFAULT_NUM_OUTPUTS,
            is_chat_model=self.is_chat_model,
            is_function_calling_model=tools,
            model_name=self.model or (known and known.id) or "unknown",
        )

    @property
    def _place(self) -> tuple[str, ...]:
        """Which model on which server is meant, as far as it was said."""
        return (self.backend, self.base_url or "", self.model or "")

    def connect(self) -> Self:
        """Find the server now and read what it says of the model; `metadata` tells it from then on.

            llm = Vessel().connect()
            memory = ChatMemoryBuffer.from_defaults(llm=llm)    # three quarters of the real context window

        Raises the error there is if the server can't be reached or has no such model.
        """
        self._learnt[self._place] = self.client.model_info(self.model)
        return self

    async def aconnect(self) -> Self:
        """Find the server now and read what it says of the model, as `connect`."""
        self._learnt[self._place] = await self.async_client.model_info(self.model)
        return self

    def to_payload(self) -> dict[str, Any]:
        """Return what traces show of this object: no key, no header, no I/O."""
        payload = {"class_name": self.class_name(), **self.metadata.model_dump()}
        options = {name: value for name in OPTION_NAMES if (value := getattr(self, name, None)) is not None}
        return {**payload, **options, "backend": self.backend, "base_url": self.base_url}

    # --------------------------------------------------------------------------------------------- chat and complete

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Return the answer to a conversation."""
        with self.callback_manager.as_trace("chat"):
            told = Telling(CHAT, self, conversation(messages), kwargs)
            return told.whole(lambda: self._deltas(messages, kwargs))

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Return the answer as it comes: each response holds all that has come, and its `delta`."""
        with self.callback_manager.as_trace("chat"):
            told = Telling(CHAT, self, conversation(messages), kwargs)
            return told.stream(lambda: self._deltas(messages, kwargs))

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Return the answer to a conversation."""
        with self.callback_manager.as_trace("chat"):
            told = Telling(CHAT, self, conversation(messages), kwargs)
            return await told.awhole(lambda: self._adeltas(messages, kwargs))

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """Return the answer as it comes, as `stream_chat`."""
        with self.callback_manager.as_trace("chat"):
            told = Telling(CHAT, self, conversation(messages), kwargs)
            return await told.astream(lambda: self._adeltas(messages, kwargs))

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Return the answer to a prompt, which is sent as one user message."""
        with self.callback_manager.as_trace("completion"):
            told = Telling(COMPLETION, self, prompt, kwargs)
            return told.whole(lambda: self._deltas(self._asked(prompt, formatted), kwargs))

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """Return the answer to a prompt as it comes."""
        with self.callback_manager.as_trace("completion"):
            told = Telling(COMPLETION, self, prompt, kwargs)
            return told.stream(lambda: self._deltas(self._asked(prompt, formatted), kwargs))

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Return the answer to a prompt."""
        with self.callback_manager.as_trace("completion"):
            told = Telling(COMPLETION, self, prompt, kwargs)
            return await told.awhole(lambda: self._adeltas(self._asked(prompt, formatted), kwargs))

    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        """Return the answer to a prompt as it comes."""
        with self.callback_manager.as_trace("completion"):
            told = Telling(COMPLETION, self, prompt, kwargs)
            return await told.astream(lambda: self._adeltas(self._asked(prompt, formatted), kwargs))

    def _asked(self, prompt: str, formatted: bool) -> list[ChatMessage]:
        convert = self.completion_to_prompt
        return [ChatMessage(prompt if formatted or convert is None else convert(prompt))]

    def _deltas(self, messages: Sequence[ChatMessage], options: Mapping[str, Any]) -> Generator[Delta]:
        if self.rate_limiter is not None:
            self.rate_limiter.acquire()
        wire = to_wire(messages, image_root=self.image_root, send_reasoning=self.send_reasoning)
        deltas = self.client.stream(wire, **self.chat_fields(options))
        return deltas if self._place in self._learnt else self._then_learn(deltas)

    async def _adeltas(self, messages: Sequence[ChatMessage], options: Mapping[str, Any]) -> AsyncGenerator[Delta]:
        if self.rate_limiter is not None:
            await self.rate_limiter.async_acquire()
        wire = to_wire(messages, image_root=self.image_root, send_reasoning=self.send_reasoning)
        deltas = self.async_client.stream(wire, **self.chat_fields(options))
        return deltas if self._place in self._learnt else self._then_alearn(deltas)

    def _then_learn(self, deltas: Generator[Delta]) -> Generator[Delta]:
        """Pass the first answer on, then ask what the model is: by now it is loaded, and its context is allocated."""
        with closing(deltas):
            yield from deltas
        try:
            self.connect()
        except VesselError as error:
            self._learn_nothing(error)

    async def _then_alearn(self, deltas: AsyncGenerator[Delta]) -> AsyncGenerator[Delta]:
        async with owned(deltas) as pieces:
            async for delta in pieces:
                yield delta
        try:
            await self.aconnect()
        except VesselError as error:
            self._learn_nothing(error)

    def _learn_nothing(self, error: VesselError) -> None:
        self._learnt[self._place] = ModelInfo(self.model or "")
        logger.info("The context window is assumed to be %s tokens: %s", self.metadata.context_window, error.message)
