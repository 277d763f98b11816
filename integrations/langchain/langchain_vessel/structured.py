"""Answers in a form: what is asked of the server, and the parsers that read what comes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from operator import itemgetter
from typing import Any, Literal, cast

from langchain_core import exceptions
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from vessel_core.errors import InvalidRequest
from vessel_core.types import JSONSchema, ResponseFormat

Refusal: type[Exception] = getattr(exceptions, "ModelRefusalError", OutputParserException)
"""What is raised when the model refuses: LangChain's own error where there is one (langchain-core 1.7.5)."""

Method = Literal["json_schema", "function_calling", "json_mode"]


def to_response_format(wanted: Any, strict: bool | None = None) -> ResponseFormat | None:
    """Return a response format as the core takes it.

    Takes OpenAI's dicts, `"json"` (as Ollama's `format`), a JSON schema, and what LangChain takes for one: a pydantic class
    (v1 or v2), a TypedDict.
    """
    if wanted is None or wanted == "":
        return None
    if wanted in ("json", "json_object"):
        return {"type": "json_object"}
    if isinstance(wanted, Mapping):
        fields = cast("Mapping[str, Any]", wanted)
        if fields.get("type") in ("text", "json_object", "json_schema"):
            return cast("ResponseFormat", dict(fields))
    elif not isinstance(wanted, type):
        raise InvalidRequest(f"response_format is {wanted!r}; it must be a schema, a class or OpenAI's dict.")
    return {"type": "json_schema", "json_schema": to_json_schema(wanted, strict)}


def to_json_schema(schema: Any, strict: bool | None = None) -> JSONSchema:
    """Return the named JSON schema of a class or dict; a dict may be a bare schema of any kind."""
    named = _named_schema(cast("Mapping[str, Any]", schema)) if isinstance(schema, Mapping) else None
    if named is None:
        found = convert_to_json_schema(cast("Any", schema))
        named = JSONSchema(name=_name(found.get("title") or "answer"), schema=found)
    if strict is not None:
        named["strict"] = strict
    return named


def _named_schema(fields: Mapping[str, Any]) -> JSONSchema | None:
    """Read a dict that has a name and a schema, or is one; `None` if it is a tool, which LangChain reads."""
    if isinstance(fields.get("schema"), Mapping) and "name" in fields:
        return cast("JSONSchema", dict(fields))
    if "function" in fields or "input_schema" in fields:
        return None
    schema = dict(fields["parameters"]) if "parameters" in fields and "type" not in fields else dict(fields)
    return JSONSchema(name=_name(fields.get("title") or fields.get("name") or "answer"), schema=schema)


def _name(title: Any) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", str(title))[:64]


class _WholeJson(JsonOutputParser):
    """Reads JSON as it comes, and at the end takes none that was cut off: LangChain's own completes it."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        if not partial:
            _check_whole(result)
        return super().parse_result(result, partial=partial)


class _WholeObject(PydanticOutputParser[Any]):
    """Reads an object as it comes, and at the end takes none that was cut off."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        if not partial:
            _check_whole(result)
        return super().parse_result(result, partial=partial)


def _check_whole(result: list[Generation]) -> None:
    generation = result[0]
    message = generation.message if isinstance(generation, ChatGeneration) else None
    if isinstance(message, AIMessage) and (refusal := message.additional_kwargs.get("refusal")):
        raise Refusal(refusal)
    text = generation.text.strip().removeprefix("```json").removeprefix("```").removesuffix("```")
    try:
        json.loads(text, strict=False)
    except ValueError as error:
        cut = message is not None and message.response_metadata.get("finish_reason") == "length"
        why = "It was cut off at max_tokens; allow more." if cut else f"It is no JSON: {error}."
        raise OutputParserException(f"The answer can't be read. {why} It is: {text[:500]}", llm_output=text) from None


def text_parser(schema: Any) -> Runnable[Any, Any]:
    """Return the parser of an answer that is JSON text."""
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        return _WholeObject(pydantic_object=schema)
    return _WholeJson()


def call_parser(schema: Any) -> Runnable[Any, Any]:
    """Return the parser of an answer that is a tool call."""
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        return PydanticToolsParser(tools=[schema], first_tool_only=True)
    name = convert_to_openai_tool(schema)["function"]["name"]
    return JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)


def with_raw(llm: Runnable[Any, Any], parser: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """Return `{"raw", "parsed", "parsing_error"}`, in which a fault of the answer is a value."""
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=llm) | parsed.with_fallbacks([failed], exception_key="parsing_error")
