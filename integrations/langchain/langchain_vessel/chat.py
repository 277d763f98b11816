"""`ChatVessel`: a chat model on llama.cpp, LM Studio, Ollama or any OpenAI-compatible server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from pydantic import model_validator
from vessel_core import Timeout

from langchain_vessel import structured
from langchain_vessel.blocks import PROVIDER
from langchain_vessel.errors import langchain_errors
from langchain_vessel.messages import to_messages
from langchain_vessel.replies import Chunks, to_result
from langchain_vessel.settings import ChatSettings
from langchain_vessel.tools import ToolLike, to_tool_choice, to_tools

VERSION = version("langchain-vessel")


class ChatVessel(ChatSettings, BaseChatModel):
    """A chat model of a local server, found by itself or named.

        chat = ChatVessel()                                      # a running server, its loaded model
        chat = ChatVessel(model="qwen3:8b", backend="ollama", temperature=0)
        chat = ChatVessel(base_url="http://gpu-box:8080", api_key="…", max_tokens=512)
        for chunk in chat.stream("Hello"):
            print(chunk.text, end="")

    What was thought first stands in `additional_kwargs["reasoning_content"]` and in `content_blocks`; tokens in
    `usage_metadata`; the model, the finish reason and the timings in `response_metadata`. A tool call that was cut off is in
    `invalid_tool_calls`, never in `tool_calls`. Raises the errors of `langchain_vessel.errors`.
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

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop or self._stops(), **kwargs)
        params["ls_provider"] = PROVIDER
        params["ls_model_name"] = kwargs.get("model") or self._where().get("model", "auto")
        return params

    def _stops(self) -> list[str] | None:
        return [self.stop] if isinstance(self.stop, str) else self.stop

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """Return the key of LangChain's cache: all that changes the answer, the server and the model among it.

        Which server and model that is must be known, else another one's answers would be taken for theirs: where they were
        left open, they are found now.
        """
        if self.cache is not False and (self.base_url is None or self.model is None):
            with langchain_errors():
                self._sync.model_info(kwargs.get("model") or self.model)
        settings = {**self.answer_settings(), **kwargs, "stop": stop or self._stops(), "_type": self._llm_type}
        return str(sorted(settings.items()))

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Tell LangChain that this can be written as JSON and loaded again."""
        return True

    def to_json(self) -> Any:
        """Write the constructor's arguments. Key and headers stay out: a manifest may be read by others, and may name a
        server that must not get them."""
        written: Any = super().to_json()
        written["kwargs"] = {
            name: asdict(value) if isinstance(value, Timeout) else value
            for name, value in written["kwargs"].items()
            if name not in ("api_key", "headers") and value is not None
        }
        return written

    # ------------------------------------------------------------------------------------------------------- answers

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with langchain_errors():
            return to_result(self._sync.chat(to_messages(messages), **self.request_fields(stop, kwargs)))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with langchain_errors():
            return to_result(await self._async.chat(to_messages(messages), **self.request_fields(stop, kwargs)))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        chunks = Chunks()
        with langchain_errors():
            deltas = self._sync.stream(to_messages(messages), **self.request_fields(stop, kwargs))
            with closing(deltas):
                for delta in deltas:
                    if (chunk := chunks.of(delta)) is not None:
                        if run_manager is not None:
                            run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk
        yield chunks.last()

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        chunks = Chunks()
        with langchain_errors():
            deltas = self._async.stream(to_messages(messages), **self.request_fields(stop, kwargs))
            async with aclosing(deltas):
                async for delta in deltas:
                    if (chunk := chunks.of(delta)) is not None:
                        if run_manager is not None:
                            await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk
        yield chunks.last()

    # ---------------------------------------------------------------------------------------------- tools and schemas

    def bind_tools(
        self,
        tools: Sequence[ToolLike],
        *,
        tool_choice: Mapping[str, Any] | str | bool | None = None,
        parallel_tool_calls: bool | None = None,
        strict: bool | None = None,
        response_format: Any = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return this model with tools it may call.

        `tool_choice` is `"auto"`, `"none"`, `"any"` (or `"required"`, `True`: some tool must be called), a tool's name, or
        the object of OpenAI or Anthropic; a named tool is really forced, on each server. `parallel_tool_calls=False` allows
        one call only. `response_format` is the form of the answer once no tool is called. Raises `InvalidRequest` if the
        chosen tool isn't there.

            chat.bind_tools([search], tool_choice="any").invoke("Who wrote Dune?").tool_calls
        """
        made = to_tools(tools, strict)
        with langchain_errors():
            choice = to_tool_choice(tool_choice, made)
            wanted = structured.to_response_format(response_format, strict)
        bound = {
            "tools": made,
            "tool_choice": choice,
            "parallel_tool_calls": parallel_tool_calls,
            "response_format": wanted,
        }
        return self.bind(**{name: value for name, value in bound.items() if value is not None}, **kwargs)

    def with_structured_output(
        self,
        schema: Any = None,
        *,
        method: structured.Method = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        tools: Sequence[ToolLike] | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Return a runnable whose output is a `schema`: a pydantic class (v1 or v2), a TypedDict, or a JSON schema as a dict.

        `method` is `"json_schema"` (the server's grammar lets the model write nothing else), `"function_calling"` (a forced
        tool call) or `"json_mode"` (any JSON; the schema goes along where the server takes one). The output is an object of
        the class, else a dict; with `include_raw` a dict of `raw`, `parsed` and `parsing_error`. Its `stream` gives partial
        dicts as they grow. Raises `OutputParserException` for an answer that was cut off or does not fit, and
        `ModelRefusalError` for a refusal.

            chat.with_structured_output(Person).invoke("Ada Lovelace was born in 1815.")
        """
        if schema is None and method != "json_mode":
            raise ValueError(f"A schema is needed for method={method!r}.")
        traced = {"kwargs": {"method": method, "strict": strict}, "schema": schema}
        kwargs = {**kwargs, "ls_structured_output_format": traced}
        if method == "function_calling":
            wanted: Any = schema
            name = to_tools([wanted])[0]["function"]["name"]
            llm = self.bind_tools(
                [wanted, *(tools or ())], tool_choice=name, parallel_tool_calls=False, strict=strict, **kwargs
            )
            parser = structured.call_parser(schema)
        elif method in ("json_schema", "json_mode"):
            form = _wanted(schema, method, strict)
            llm = self.bind_tools(tools or [], response_format=form, strict=strict, **kwargs)
            parser = structured.text_parser(schema)
        else:
            raise ValueError(f"There is no method {method!r}: use 'json_schema', 'function_calling' or 'json_mode'.")
        return structured.with_raw(llm, parser) if include_raw else llm | parser


def _wanted(schema: Any, method: str, strict: bool | None) -> Any:
    if method == "json_schema":
        return {"type": "json_schema", "json_schema": structured.to_json_schema(schema, strict)}
    if schema is None:
        return {"type": "json_object"}
    return {"type": "json_object", "json_schema": structured.to_json_schema(schema)}
