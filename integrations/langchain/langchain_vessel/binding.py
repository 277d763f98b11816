"""Tools and structured answers, bound to a chat model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable
from langchain_core.utils.pydantic import is_basemodel_subclass
from typing_extensions import is_typeddict

from langchain_vessel import structured
from langchain_vessel.batches import Batches
from langchain_vessel.errors import langchain_errors
from langchain_vessel.tools import ToolLike, to_allowed, to_tool_choice, to_tools
from langchain_vessel.typed_dicts import typed_dict_schema

if TYPE_CHECKING:
    from langchain_vessel.answers import AnswerParser


class ToolBinding(Batches):
    """A chat model that can be given tools and schemas."""

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
        the object of OpenAI or Anthropic; a named tool is really forced, on each server, and tools that `allowed_tools`
        leaves out are not sent. `parallel_tool_calls=False` allows one call only. `response_format` is the form of the answer
        once no tool is called. Raises `InvalidRequest` if the chosen tool isn't there. Where a call was forced and none came
        that can be run, the model raises `VesselInvalidOutput` with the answer in `partial`; with `validate=False` it returns
        it.

            chat.bind_tools([search], tool_choice="any").invoke("Who wrote Dune?").tool_calls
        """
        with langchain_errors():
            made = to_allowed(tool_choice, to_tools(tools, strict))
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
        objects as they grow. Raises `OutputParserException` for an answer that was cut off, is missing or does not fit, with
        what came in `llm_output`, and `ModelRefusalError` for a refusal.

            chat.with_structured_output(Person).invoke("Ada Lovelace was born in 1815.")
        """
        from langchain_vessel.answers import with_raw  # only here: who asks for no form does not wait for its parser

        if schema is None and method != "json_mode":
            raise ValueError(f"A schema is needed for method={method!r}.")
        shown = typed_dict_schema(schema) if is_typeddict(schema) else schema  # LangChain's tracer can't read each
        traced = {"kwargs": {"method": method, "strict": strict}, "schema": shown}
        kwargs = {**kwargs, "ls_structured_output_format": traced}
        if method == "function_calling":
            wanted: Any = _as_tool(schema)
            name = to_tools([wanted])[0]["function"]["name"]
            llm = self.bind_tools(
                [wanted, *(tools or ())],
                tool_choice=name,
                parallel_tool_calls=False,
                strict=strict,
                validate=False,  # the parser does
                **kwargs,
            )
            parser = _parser(schema, tool=name)
        elif method in ("json_schema", "json_mode"):
            form = _wanted(schema, method, strict)
            llm = self.bind_tools(tools or [], response_format=form, strict=strict, **kwargs)
            parser = _parser(schema)
        else:
            raise ValueError(f"There is no method {method!r}: use 'json_schema', 'function_calling' or 'json_mode'.")
        return with_raw(llm, parser) if include_raw else llm | parser


def _parser(schema: Any, tool: str | None = None) -> AnswerParser:
    """Return what reads an answer: into the class if it is pydantic's, else checked against the schema if there is one."""
    from langchain_vessel.answers import AnswerParser  # as above

    if isinstance(schema, type) and is_basemodel_subclass(schema):
        return AnswerParser(cls=schema, tool=tool)
    form = None if schema is None else dict(structured.to_json_schema(schema)["schema"])
    return AnswerParser(form=form, tool=tool)


def _as_tool(schema: Any) -> Any:
    """Return a schema that has a name beside it, as OpenAI writes it, as a tool; anything else as it is."""
    if not (isinstance(schema, Mapping) and "schema" in schema):
        return cast("Any", schema)
    named = structured.to_json_schema(schema)
    return {"type": "function", "function": {"name": named["name"], "parameters": dict(named["schema"])}}


def _wanted(schema: Any, method: str, strict: bool | None) -> Any:
    if method == "json_schema":
        return {"type": "json_schema", "json_schema": structured.to_json_schema(schema, strict)}
    if schema is None:
        return {"type": "json_object"}
    return {"type": "json_object", "json_schema": structured.to_json_schema(schema)}
