"""`ChatVessel`: a chat model on llama.cpp, LM Studio, Ollama or any OpenAI-compatible server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from inspect import signature
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableSerializable
from langchain_core.runnables.utils import AnyConfigurableField
from langchain_core.utils.utils import LC_ID_PREFIX
from pydantic import model_validator
from vessel_core import Limits, Routing, Timeout, VesselError
from vessel_core.owned import owned
from vessel_core.types import Gathering, Message
from vessel_core.version import VERSION

from langchain_vessel.binding import ToolBinding
from langchain_vessel.blocks import PROVIDER
from langchain_vessel.caching import afind, astorable, find, is_cached, storable
from langchain_vessel.chunks import Chunks
from langchain_vessel.errors import langchain_errors
from langchain_vessel.events import Events
from langchain_vessel.limits import ServerLimits
from langchain_vessel.messages import read_files, to_messages
from langchain_vessel.options import call_options
from langchain_vessel.progress import atell, tell
from langchain_vessel.replies import combined, to_result

if TYPE_CHECKING:
    from langchain_protocol.protocol import MessagesData


class ChatVessel(ToolBinding, ServerLimits):
    """A chat model of a local server, found by itself or named.

        chat = ChatVessel()                                      # a running server, its loaded model
        chat = ChatVessel(model="qwen3:8b", backend="ollama", temperature=0)
        chat = ChatVessel(base_url="http://gpu-box:8080", api_key="…", max_tokens=512)
        for chunk in chat.stream("Hello"):
            print(chunk.text, end="")

    What was thought first stands in `additional_kwargs["reasoning_content"]` and in `content_blocks`; tokens in
    `usage_metadata`; the model, the finish reason and the timings in `response_metadata`. A tool call that was cut off is in
    `invalid_tool_calls`, never in `tool_calls`. An answer that was to be JSON is checked by the parser at the end of the chain,
    as LangChain has it. Raises the errors of `langchain_vessel.errors`.
    """

    @model_validator(mode="after")
    def _set_langchain_vessel_version(self) -> ChatVessel:
        self._add_version("langchain-vessel", VERSION)
        return self

    @property
    def _llm_type(self) -> str:
        return "vessel-chat"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        return self.answer_settings()

    def _dict_for_compat(self) -> dict[str, Any]:
        """Return what identifies this model, of which LangChain asks at each call; of a subclass with a `dict` of its own that.

        LangChain's own changes Python's warnings each time, for all threads, to silence that of `dict`.
        """
        return self.asdict() if type(self).dict is ChatVessel.dict else super()._dict_for_compat()

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        with langchain_errors():
            kwargs = call_options(kwargs)
        params = super()._get_ls_params(**{"stop": stop or self._stops(), **kwargs})
        params["ls_provider"] = PROVIDER
        params["ls_model_name"] = kwargs.get("model") or self._known_model() or "auto"
        return params

    def _stops(self) -> list[str] | None:
        return [self.stop] if isinstance(self.stop, str) else self.stop

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """Return the key of LangChain's cache: where this call goes, all that it asks for, and the form of the answer.

        Server and model must be known, else another one's answers would be taken for theirs: where they were left open,
        they are found now.
        """
        with langchain_errors():
            asked = self.request_fields(stop, kwargs)
        find(self, asked["model"], asked.get("timeout"))
        said = {name: value for name, value in asked.items() if value is not None and name != "timeout"}
        where = {name: value for name, value in self._where().items() if name != "backend"}
        form = {"output_version": self.output_version, "type": self._llm_type, "validate": kwargs.get("validate", True)}
        key = {**where, **self._answering(), **said, **form}
        return json.dumps(key, sort_keys=True, default=repr)

    def _should_stream(self, *, async_api: bool, run_manager: Any = None, **kwargs: Any) -> bool:
        """Tell whether to stream, which shows the first of several choices: only who asks to stream gets that one alone."""
        several = (kwargs.get("n") or self.n or 1) > 1
        if several and not kwargs.get("stream"):
            return False
        return super()._should_stream(async_api=async_api, run_manager=run_manager, **kwargs)

    @property
    def _generate_with_cache(self) -> Callable[..., ChatResult]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """LangChain's own; with a cache after what pictures show is put into its key. Without one no traceback is longer."""
        return self._generate_by_key if is_cached(self) else super()._generate_with_cache

    def _generate_by_key(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return super()._generate_with_cache(storable(messages), *args, **kwargs)

    async def _agenerate_with_cache(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        """Do the same, and find the server if the key will need it, without blocking the event loop."""
        if is_cached(self):
            with langchain_errors():
                asked = call_options(kwargs)
            await afind(self, asked.get("model") or self.model, asked.get("timeout"))
            messages = await astorable(messages)
        return await super()._agenerate_with_cache(messages, *args, **kwargs)

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Tell LangChain that this can be written as JSON and loaded again."""
        return True

    def to_json(self) -> Any:
        """Write the constructor's arguments. Key and headers stay out: a manifest may be read by others, and may name a
        server that must not get them."""
        written: Any = super().to_json()
        written["kwargs"] = {
            name: asdict(value) if isinstance(value, Timeout | Routing | Limits) else value
            for name, value in written["kwargs"].items()
            if name not in ("api_key", "headers") and value is not None
        }
        return written

    def configurable_fields(self, **kwargs: AnyConfigurableField) -> RunnableSerializable[Any, Any]:
        """Return this with fields that each call's config may set; calls that set them alike share their connections."""
        from langchain_vessel.configuring import Configured  # only here: no other chat needs it

        super().configurable_fields(**kwargs)  # raises for a name that is none
        return Configured(default=self, fields=kwargs)

    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None]) -> dict[str, Any]:
        return combined(llm_outputs)

    # ------------------------------------------------------------------------------------------------------- answers

    def _request(self, stop: list[str] | None, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return what one call asks of the core. It checks a forced call; JSON is checked by the parser at the chain's end."""
        fields = self.request_fields(stop, given)
        forced = fields["tool_choice"] not in (None, "auto", "none")
        return {**fields, "validate": forced and given.get("validate", True)}

    async def _said(self, messages: list[BaseMessage], fields: Mapping[str, Any]) -> list[Message]:
        """Return the conversation as the core takes it, with files read beside the event loop."""
        await self._learn(fields.get("timeout"))
        return await asyncio.to_thread(to_messages, messages) if read_files(messages) else to_messages(messages)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with langchain_errors():
            fields = self._request(stop, kwargs)
            gathering = Gathering()
            for delta in self._sync.stream(to_messages(messages), whole=True, **fields):
                gathering.add(delta)
                if delta.progress is not None:
                    tell(run_manager, delta.progress)
            return to_result(gathering.reply())

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with langchain_errors():
            fields = self._request(stop, kwargs)
            gathering = Gathering()
            async with owned(self._async.stream(await self._said(messages, fields), whole=True, **fields)) as deltas:
                async for delta in deltas:
                    gathering.add(delta)
                    if delta.progress is not None:
                        await atell(run_manager, delta.progress)
            return to_result(gathering.reply())

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        with langchain_errors():
            fields = self._request(stop, kwargs)
            chunks = Chunks()
            deltas = self._sync.stream(to_messages(messages), **fields)
            try:
                with closing(deltas):
                    for delta in deltas:
                        if (chunk := chunks.of(delta)) is not None:
                            if run_manager is not None:
                                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                            yield chunk
            except VesselError:
                if (chunk := chunks.broken()) is not None:
                    yield chunk
                raise
            yield chunks.last()

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        with langchain_errors():
            fields = self._request(stop, kwargs)
            chunks = Chunks()
            deltas = self._async.stream(await self._said(messages, fields), **fields)
            try:
                async with owned(deltas) as pieces:
                    async for delta in pieces:
                        if (chunk := chunks.of(delta)) is not None:
                            if run_manager is not None:
                                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                            yield chunk
            except VesselError:
                if (chunk := chunks.broken()) is not None:
                    yield chunk
                raise
            yield chunks.last()

    # ---------------------------------------------------------------------------------------- content-block events (v3)

    def _stream_chat_model_events(
        self,
        messages: list[BaseMessage],
        *,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[MessagesData]:
        with langchain_errors():
            fields = self._request(stop, kwargs)
            events = Events(_message_id(run_manager))
            deltas = self._sync.stream(to_messages(messages), **fields)
            with closing(deltas):
                for delta in deltas:
                    yield from events.of(delta)
                    if delta.progress is not None:
                        tell(run_manager, delta.progress)
            yield from events.end()

    async def _astream_chat_model_events(
        self,
        messages: list[BaseMessage],
        *,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[MessagesData]:
        with langchain_errors():
            fields = self._request(stop, kwargs)
            events = Events(_message_id(run_manager))
            deltas = self._async.stream(await self._said(messages, fields), **fields)
            async with owned(deltas) as pieces:
                async for delta in pieces:
                    for event in events.of(delta):
                        yield event
                    if delta.progress is not None:
                        await atell(run_manager, delta.progress)
            for event in events.end():
                yield event


# langchain-core looks at these signatures at each call; one that is kept is not made anew
for _way in ("_generate", "_agenerate"):
    _function: Any = vars(ChatVessel)[_way]
    _function.__signature__ = signature(_function)


def _message_id(run_manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None) -> str:
    """Return the id LangChain gives to the message of this run."""
    return f"{LC_ID_PREFIX}-{run_manager.run_id if run_manager else uuid4()}"
