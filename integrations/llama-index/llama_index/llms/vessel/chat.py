"""The eight forms of asking: chat and completion, whole and streamed, sync and async."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
)
from llama_index.llms.vessel.knowledge import KnownModel
from llama_index.llms.vessel.messages import conversation, to_wire
from llama_index.llms.vessel.telling import CHAT, COMPLETION, Telling
from llama_index.llms.vessel.tools import is_checked
from vessel_core import Delta


class ChatForms(KnownModel):
    """What `Vessel` says and hears, in any form; the tools and the structured answers stand on it.

    An answer that had to call a tool (`tool_choice`, `tool_required`) and calls none is `InvalidOutput`, with the answer in
    `partial`; with `validate=False` it is returned.
    """

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Return the answer to a conversation."""
        with self.callback_manager.as_trace("chat"):
            messages = conversation(messages)
            told = Telling(CHAT, self, messages, kwargs)
            return told.whole(lambda: self._deltas(messages, kwargs, whole=True))

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Return the answer as it comes: each response holds all that has come, and its `delta`."""
        with self.callback_manager.as_trace("chat"):
            messages = conversation(messages)
            told = Telling(CHAT, self, messages, kwargs)
            return told.stream(lambda: self._deltas(messages, kwargs))

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Return the answer to a conversation."""
        with self.callback_manager.as_trace("chat"):
            messages = conversation(messages)
            told = Telling(CHAT, self, messages, kwargs)
            return await told.awhole(lambda: self._adeltas(messages, kwargs, whole=True))

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """Return the answer as it comes, as `stream_chat`."""
        with self.callback_manager.as_trace("chat"):
            messages = conversation(messages)
            told = Telling(CHAT, self, messages, kwargs)
            return await told.astream(lambda: self._adeltas(messages, kwargs))

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Return the answer to a prompt, which is sent as one user message."""
        with self.callback_manager.as_trace("completion"):
            told = Telling(COMPLETION, self, prompt, kwargs)
            return told.whole(lambda: self._deltas(self._asked(prompt, formatted), kwargs, whole=True))

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """Return the answer to a prompt as it comes."""
        with self.callback_manager.as_trace("completion"):
            told = Telling(COMPLETION, self, prompt, kwargs)
            return told.stream(lambda: self._deltas(self._asked(prompt, formatted), kwargs))

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Return the answer to a prompt."""
        with self.callback_manager.as_trace("completion"):
            told = Telling(COMPLETION, self, prompt, kwargs)
            return await told.awhole(lambda: self._adeltas(self._asked(prompt, formatted), kwargs, whole=True))

    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        """Return the answer to a prompt as it comes."""
        with self.callback_manager.as_trace("completion"):
            told = Telling(COMPLETION, self, prompt, kwargs)
            return await told.astream(lambda: self._adeltas(self._asked(prompt, formatted), kwargs))

    def _asked(self, prompt: str, formatted: bool) -> list[ChatMessage]:
        convert = self.completion_to_prompt
        return [ChatMessage(prompt if formatted or convert is None else convert(prompt))]

    def _deltas(
        self, messages: Sequence[ChatMessage], options: Mapping[str, Any], *, whole: bool = False
    ) -> Generator[Delta]:
        if self.rate_limiter is not None:
            self.rate_limiter.acquire()
        wire = to_wire(messages, image_root=self.image_root, send_reasoning=self.send_reasoning)
        fields = self.chat_fields(options)
        deltas = self.client.stream(wire, validate=is_checked(fields, options), whole=whole, **fields)
        return self._learning(deltas) if self._to_learn(options) else deltas

    async def _adeltas(
        self, messages: Sequence[ChatMessage], options: Mapping[str, Any], *, whole: bool = False
    ) -> AsyncGenerator[Delta]:
        if self.rate_limiter is not None:
            await self.rate_limiter.async_acquire()
        wire = to_wire(messages, image_root=self.image_root, send_reasoning=self.send_reasoning)
        fields = self.chat_fields(options)
        deltas = self.async_client.stream(wire, validate=is_checked(fields, options), whole=whole, **fields)
        return self._alearning(deltas) if self._to_learn(options) else deltas
