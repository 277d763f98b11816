"""Answers as pydantic objects: the schema goes to the server, which lets the model write nothing else."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import closing
from typing import Any, ClassVar, Generic, TypeVar, cast

from llama_index.core.base.llms.generic_utils import (
    astream_chat_to_completion_decorator,
    stream_chat_to_completion_decorator,
)
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
)
from llama_index.core.llms import LLM
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.program.function_program import get_function_tool
from llama_index.core.program.utils import FlexibleModel, create_flexible_model
from llama_index.core.types import Model, PydanticProgramMode
from llama_index.llms.vessel.messages import conversation
from llama_index.llms.vessel.tools import tool_spec
from llama_index_instrumentation.dispatcher import DISPATCHER_SPAN_DECORATED_ATTR
from pydantic import BaseModel, ConfigDict, ValidationError
from vessel_core import ChatReply
from vessel_core.errors import InvalidOutput
from vessel_core.owned import owned
from vessel_core.partial_json import PartialJSON
from vessel_core.types import JSONSchema, ResponseFormat
from vessel_core.written_schema import written_schema

F = TypeVar("F", bound=Callable[..., Any])

#: What core's programs pass for tool calls; here no tool is involved.
_OF_TOOLS = frozenset({"tools", "tool_choice", "tool_required", "allow_parallel_tool_calls", "parallel_tool_calls"})


def answer_format(output_cls: type[BaseModel]) -> ResponseFormat:
    """Return what makes the server enforce the schema of a class."""
    named: JSONSchema = {"name": output_cls.__name__, "schema": written_schema(output_cls), "strict": True}
    return {"type": "json_schema", "json_schema": named}


def is_called_for(llm: LLM) -> bool:
    """Tell whether objects are asked for as the arguments of a call, which a model is made for by its program mode."""
    return llm.pydantic_program_mode == PydanticProgramMode.FUNCTION


def structured_options(
    output_cls: type[BaseModel], options: Mapping[str, Any] | None, *, by_call: bool = False
) -> dict[str, Any]:
    """Return the options of the chat that asks for an object: as the answer, or `by_call` as a call that must be made.

    Whether it was made is not checked: JSON in the text is understood as well.
    """
    kept = {name: value for name, value in (options or {}).items() if name not in _OF_TOOLS}
    if not by_call:
        return {**kept, "response_format": answer_format(output_cls)}
    tool = tool_spec(get_function_tool(output_cls))
    tool["function"]["parameters"] = written_schema(output_cls)
    return {
        **kept,
        "tools": [tool],
        "tool_choice": tool["function"]["name"],
        "parallel_tool_calls": False,
        "validate": False,
    }


def answer_text(response: ChatResponse, *, by_call: bool = False) -> str:
    """Return the JSON of an answer as far as it has come: its text, or the arguments of its call."""
    if not by_call:
        return response.message.content or ""
    extra: dict[str, Any] = response.message.additional_kwargs  # pyright: ignore[reportUnknownMemberType]
    calls: list[dict[str, Any]] = [*extra.get("tool_calls", ()), *extra.get("invalid_tool_calls", ())]
    return calls[0].get("function", calls[0])["arguments"] if calls else ""


def object_of(output_cls: type[Model], response: ChatResponse, *, by_call: bool = False) -> Model:
    """Return the object of a whole answer. A model that was made to call and wrote JSON instead is understood."""
    return read_object(output_cls, answer_text(response, by_call=by_call) or response.message.content or "")


def read_object(output_cls: type[Model], text: str) -> Model:
    """Return the object in an answer; raise `InvalidOutput`, a `ValueError`, that says why it is none."""
    try:
        return output_cls.model_validate_json(_without_fence(text))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidOutput(
            f"The answer is no {output_cls.__name__}: {f'{where}: ' if where else ''}{first['msg']}. "
            f"It was: {text[:200]!r}",
            hint="Raise max_tokens if it was cut off; a server that ignores the schema needs a better model.",
            partial=ChatReply(text=text),
        ) from error


def _without_fence(text: str) -> str:
    """Return the answer without the code fence that models put around JSON where nothing holds them to the schema."""
    text = text.strip()
    if text.startswith("```"):
        text = text.partition("\n")[2].rpartition("```")[0]
    return text


class PartialObjects(Generic[Model]):
    """The objects of a streamed answer: `take` each piece; what it returns is an object, or `None` if nothing changed.

    An object that is not whole yet is of a class with the same fields, all optional, as LlamaIndex has it.
    """

    def __init__(self, output_cls: type[Model], *, by_call: bool = False) -> None:
        self._output_cls = output_cls
        self._by_call = by_call
        self._flexible = create_flexible_model(output_cls)
        self._reader = PartialJSON()
        self._text = ""
        self._answer = ChatResponse(message=ChatMessage(role="assistant", content=""))
        self._shown: Any = None

    def take(self, response: ChatResponse) -> Model | FlexibleModel | None:
        """Take the answer as far as it has come."""
        self._answer = response
        read, self._text = len(self._text), answer_text(response, by_call=self._by_call)
        if len(self._text) == read:
            return None
        self._reader.feed(self._text[read:])
        value = self._reader.value()
        if value is self._shown or not isinstance(value, dict):
            return None
        self._shown = value
        try:
            return self._output_cls.model_validate(value)
        except ValidationError:
            return self._flexible.model_validate(value)

    def last(self) -> Model:
        """Return the whole object; raise `InvalidOutput` if there is none."""
        return object_of(self._output_cls, self._answer, by_call=self._by_call)


def objects_of(
    output_cls: type[Model], responses: ChatResponseGen, *, by_call: bool = False
) -> Generator[tuple[ChatResponse | None, Model | FlexibleModel | None]]:
    """Yield each response of a stream with the object it changed, if it did; last, the whole object alone."""
    objects = PartialObjects(output_cls, by_call=by_call)
    with closing(responses):
        for response in responses:
            yield response, objects.take(response)
    yield None, objects.last()


async def aobjects_of(
    output_cls: type[Model], responses: ChatResponseAsyncGen, *, by_call: bool = False
) -> AsyncGenerator[tuple[ChatResponse | None, Model | FlexibleModel | None], None]:
    """Yield what `objects_of` does."""
    objects = PartialObjects(output_cls, by_call=by_call)
    async with owned(responses) as pieces:
        async for response in pieces:
            yield response, objects.take(response)
    yield None, objects.last()


def in_cores_span(method: F) -> F:
    """Return a method that passes on to core's, which has a span: LlamaIndex opens none of its own for it."""
    setattr(method, DISPATCHER_SPAN_DECORATED_ATTR, True)
    return method


class VesselStructuredLLM(StructuredLLM):
    """What `Vessel.as_structured_llm` returns: each answer is the JSON of an object, and `raw` the object.

    While one streams, the message holds the object so far as JSON, and `delta` what the model wrote: core's own class has
    neither deltas nor streamed completions, and loses messages that an iterator gives.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True)

    @in_cores_span
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Return the object."""
        return super().chat(conversation(messages), **kwargs)

    @in_cores_span
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Return the object."""
        return await super().achat(conversation(messages), **kwargs)

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Return the object as it comes."""
        messages = self.llm._extend_messages(conversation(messages))  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - as core does
        by_call = is_called_for(self.llm)
        responses = self.llm.stream_chat(messages, **structured_options(self.output_cls, kwargs, by_call=by_call))
        return self._shown(objects_of(self.output_cls, responses, by_call=by_call))

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """Return the object as it comes."""
        messages = self.llm._extend_messages(conversation(messages))  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - as core does
        by_call = is_called_for(self.llm)
        responses = await self.llm.astream_chat(
            messages, **structured_options(self.output_cls, kwargs, by_call=by_call)
        )
        return self._ashown(aobjects_of(self.output_cls, responses, by_call=by_call))

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """Return the object as it comes."""
        return stream_chat_to_completion_decorator(self.stream_chat)(prompt, **kwargs)

    async def astream_complete(  # pyright: ignore[reportIncompatibleMethodOverride] - core annotates its own as sync
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        """Return the object as it comes."""
        return await astream_chat_to_completion_decorator(self.astream_chat)(prompt, **kwargs)

    def _shown(
        self, objects: Generator[tuple[ChatResponse | None, BaseModel | FlexibleModel | None]]
    ) -> ChatResponseGen:
        last: ChatResponse | None = None
        with closing(objects):
            for response, made in objects:
                last = _structured_response(response, made, last)
                yield last

    async def _ashown(
        self, objects: AsyncGenerator[tuple[ChatResponse | None, BaseModel | FlexibleModel | None], None]
    ) -> ChatResponseAsyncGen:
        last: ChatResponse | None = None
        async with owned(objects) as pairs:
            async for response, made in pairs:
                last = _structured_response(response, made, last)
                yield last


def _structured_response(
    response: ChatResponse | None, made: BaseModel | None, last: ChatResponse | None
) -> ChatResponse:
    if made is None and last is not None:
        content, made = last.message.content, last.raw
    else:
        content = made.model_dump_json() if made is not None else ""
    told = response or last
    extra = cast("dict[str, Any]", told.additional_kwargs) if told else {}  # pyright: ignore[reportUnknownMemberType]
    delta = (response.delta or "") if response is not None else ""
    message = ChatMessage(role="assistant", content=content or "")
    return ChatResponse(message=message, raw=made, delta=delta, additional_kwargs=extra)
