"""Reads an answer that had to be JSON: in its text or as the arguments of a call, whole or while it is streamed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import pydantic.v1
from langchain_core import exceptions
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.output_parsers import BaseTransformOutputParser
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.runnables import Runnable, RunnableAssign, RunnableMap
from pydantic import BaseModel, ValidationError
from vessel_core.partial_json import PartialJSON
from vessel_core.wire.schemas import misfit

from langchain_vessel.blocks import invalid_calls

Refusal: type[Exception] = getattr(exceptions, "ModelRefusalError", OutputParserException)
"""What is raised when the model refuses: LangChain's own error where there is one (langchain-core 1.7.5)."""

_NO_ANSWER: Any = object()
"""Other tools were called: the answer is to come. `None` would be one, written as `null`."""

_FENCE = "```"


class AnswerParser(BaseTransformOutputParser[Any]):
    """Makes an object of a pydantic class (`cls`), or a dict that fits a JSON schema (`form`), of an answer.

    The JSON is the answer's text, or with `tool` the arguments of the call of that tool. While an answer is streamed its
    objects grow. At the end one that was cut off is an error, with what came in `llm_output`: LangChain's own parsers
    complete it, and `{"name": "Ada", "age": 3` becomes Ada at three.
    """

    cls: type[Any] | None = None
    form: dict[str, Any] | None = None
    tool: str | None = None

    @property
    def OutputType(self) -> Any:  # noqa: N802 - LangChain's name
        """What comes out."""
        return self.cls or dict[str, Any]

    @property
    def _type(self) -> str:
        return "vessel-answer"

    def parse(self, text: str) -> Any:
        """Return the object in a text."""
        return self.parse_result([Generation(text=text)])

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Return the object in an answer; with `partial` what there is of it, `None` if that is none yet.

        Calls of other tools are no answer yet: they give `None`. Raises `OutputParserException` for an answer that can't be
        read or does not fit, `ModelRefusalError` for a refusal.
        """
        generation = result[0]
        message = generation.message if isinstance(generation, ChatGeneration) else AIMessage(generation.text)
        if not isinstance(message, AIMessage):
            message = AIMessage(message.text)
        if partial:
            return self._growing(message)
        if refusal := message.additional_kwargs.get("refusal"):
            raise Refusal(refusal)
        document = _text_document(message) if self.tool is None else _call_document(message, self.tool)
        return None if document is _NO_ANSWER else self._made(document)

    def _growing(self, message: AIMessage) -> Any:
        if self.tool is not None:
            return self.grown(next((call["args"] for call in message.tool_calls if call["name"] == self.tool), None))
        reader = PartialJSON()
        reader.feed(message.text)
        return self.grown(reader.value())

    def grown(self, document: Any) -> Any:
        """Return what there is of the object in the document as far as it has come; `None` if that is none yet."""
        try:
            return document if self.cls is None or document is None else self._made(document)
        except (ValueError, RecursionError):
            return None

    def _made(self, document: Any) -> Any:
        text = json.dumps(document, ensure_ascii=False)
        if self.cls is None:
            fault = None if self.form is None else misfit(document, self.form)
            if fault is not None:
                raise _unreadable(f"It does not fit the schema: {fault}.", text)
            return document
        try:
            return _read(self.cls, text)
        except (ValidationError, pydantic.v1.ValidationError) as error:
            raise _unreadable(f"It does not fit {self.cls.__name__}: {error}.", text) from error

    def _transform(self, input: Iterator[str | BaseMessage]) -> Iterator[Any]:  # noqa: A002 - LangChain's name
        growing = _Growing(self)
        for piece in input:
            yield from growing.add(piece)
        yield from growing.end()

    async def _atransform(self, input: AsyncIterator[str | BaseMessage]) -> AsyncIterator[Any]:  # noqa: A002
        growing = _Growing(self)
        async for piece in input:
            for made in growing.add(piece):
                yield made
        for made in growing.end():
            yield made


def _read(cls: type[Any], text: str) -> Any:
    return cls.model_validate_json(text) if issubclass(cls, BaseModel) else cls.parse_raw(text)


class _Growing:
    """An answer while it is streamed: what has come, each character looked at once, and the last object made of it."""

    def __init__(self, parser: AnswerParser) -> None:
        self._parser = parser
        self._pieces: list[BaseMessage] = []
        self._reader = PartialJSON()
        self._calls: set[int | None] = set()
        self._read: Any = None
        self._before: Any = None

    def add(self, piece: str | BaseMessage) -> list[Any]:
        """Return the object as it is now, if it is another than before."""
        piece = AIMessageChunk(content=piece) if isinstance(piece, str) else piece
        self._pieces.append(piece)
        self._reader.feed(self._said(piece))
        document = self._reader.value()
        if document is self._read:
            return []
        self._read = document
        return self._new(self._parser.grown(document))

    def end(self) -> list[Any]:
        """Return what was not shown before, checked as a whole."""
        if not self._pieces:
            return []
        chunks = [piece for piece in self._pieces if isinstance(piece, AIMessageChunk)]
        message = add_ai_message_chunks(*chunks) if chunks else self._pieces[0]
        return self._new(self._parser.parse_result([ChatGeneration(message=message)]))

    def _said(self, piece: BaseMessage) -> str:
        """Return what a piece adds to the JSON: its text, or that of the first call of the tool."""
        tool = self._parser.tool
        if tool is None or not isinstance(piece, AIMessageChunk):
            return "" if tool else piece.text
        text = ""
        for call in piece.tool_call_chunks:
            if call["name"] == tool and not self._calls:
                self._calls.add(call["index"])
            if call["index"] in self._calls:
                text += call["args"] or ""
        return text

    def _new(self, made: Any) -> list[Any]:
        if made is None or made == self._before:
            return []
        self._before = made
        return [made]


def _text_document(message: AIMessage) -> Any:
    text = message.text.strip()
    whole = text.startswith(_FENCE) and text.endswith(_FENCE)
    try:
        return json.loads(_fenced(text[3:-3]) if whole else text, strict=False)
    except (ValueError, RecursionError) as error:
        document = _NO_ANSWER if message.tool_calls else _in_fence(text)
        if message.tool_calls or document is not _NO_ANSWER:
            return document
        raise _unreadable(_why(message, f"It is no JSON: {error}."), text) from None


def _in_fence(text: str) -> Any:
    """Return the document in the one fence of a text, which may have sentences around it, `_NO_ANSWER` if there is none."""
    blocks = text.split(_FENCE)[1:-1:2]
    try:
        return json.loads(_fenced(blocks[0]), strict=False) if len(blocks) == 1 else _NO_ANSWER
    except (ValueError, RecursionError):
        return _NO_ANSWER


def _fenced(block: str) -> str:
    """Return what stands in a fence, without the name of its language."""
    return block.removeprefix("json").strip()


def _call_document(message: AIMessage, tool: str) -> Any:
    for call in message.tool_calls:
        if call["name"] == tool:
            return call["args"]
    for call in invalid_calls(message):
        raise _unreadable(_why(message, f"{call['error']}."), call["args"] or "")
    raise _unreadable(_why(message, f"{tool} was not called; the server may not force tools."), message.text)


def _why(message: AIMessage, otherwise: str) -> str:
    cut = message.response_metadata.get("finish_reason") == "length"
    return "It was cut off at max_tokens; allow more." if cut else otherwise


def _unreadable(why: str, text: str) -> OutputParserException:
    said = f"The answer can't be read. {why} It is: {text[:500]!r}"
    return OutputParserException(said, llm_output=text)


def with_raw(llm: Runnable[Any, Any], parser: AnswerParser) -> Runnable[Any, Any]:
    """Return `{"raw", "parsed", "parsing_error"}`, in which a fault of the answer is a value.

    Streamed, `raw` comes in chunks, and the other two once, at the end.
    """

    # `RunnablePassthrough.assign` makes an object of a class that `pickle` does not find.
    read: Any = {"parsed": partial(_parsed, parser), "parsing_error": partial(_fault, parser)}
    return RunnableMap(raw=llm) | RunnableAssign(RunnableMap(read))


def _parsed(parser: AnswerParser, made: dict[str, Any]) -> Any:
    """Return the object in an answer, `None` if it can't be read."""
    return _read_raw(parser, made)[0]


def _fault(parser: AnswerParser, made: dict[str, Any]) -> Exception | None:
    """Return why an answer can't be read."""
    return _read_raw(parser, made)[1]


def _read_raw(parser: AnswerParser, made: dict[str, Any]) -> tuple[Any, Exception | None]:
    try:
        return parser.invoke(made["raw"]), None
    except Exception as error:  # noqa: BLE001 - it is what was asked for
        return None, error
