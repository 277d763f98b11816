"""Tool calls: put together from pieces, repaired, and checked before anybody runs them. Shared by the dialects."""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Iterable, Sequence
from typing import Any, cast

from vessel_core.errors import ResponseTooLarge
from vessel_core.types import ChatReply, InvalidToolCall, ToolCallDelta
from vessel_core.wire.arguments import (
    RawBreaks,
    argument_error,
    arguments_text,
    lists_in,
    mended_arguments,
    parse_arguments,
    unwrapped_arguments,
    whole_escapes,
    without_texts,
)
from vessel_core.wire.open_call import MAX_ARGUMENTS, OpenCall
from vessel_core.wire.reading import place

MAX_CALLS = 512
MAX_LISTS = 100_000
"""Lists and objects that the arguments of a reply's calls may hold together: LangChain and LlamaIndex take 5 µs for each."""
STEP = 8
"""Once an eighth more brackets have come, lists are counted again, without what stands in texts."""
_BETWEEN = re.compile(r"[\W_]+")  # what servers change in names: quirk 69
_COUNTED = re.compile(r"(call|tool|functions?)?[\W_]?\d{1,3}", re.IGNORECASE)
"""An id that is no more than the place of a call in its reply, so that the next reply has it too: quirk 55."""
ENDED = frozenset({"stop", "tool_calls", "function_call", "eos"})
"""Finish reasons of a model that came to its own end; after any other a call may have been cut off."""
SHORTEST_REPEAT = 3
"""A piece that begins with fewer characters than this may do so by chance."""


class ToolCallAssembler:
    """Turns the `tool_calls` of a stream's deltas into `ToolCallDelta`s with real indices, ids and whole names.

    Servers leave the index out or send 0 for every call, repeat or blank ids and names, and send arguments as objects
    (quirks 49 to 60, 66): a new id, or a new name after complete arguments, starts a new call; a repeat changes nothing.
    Ids are unique in one reply, beside those `used` in the conversation, and from reply to reply (quirk 55: some servers begin
    at `call_0` in each); a call without such an id gets `call_` and 24 hex digits.

    `declared` are the names of the tools that were sent; a name the server changed (LM Studio 0.3.23 writes snake_case,
    quirk 69) is put back. Where only some tools may be called, the `callable_` (none, or the one that is forced), a call of
    another can't be run. With `parallel=False` no call is let through after the first that may be run (quirk 68); `dropped`
    counts those. The arguments of all calls may have `limit` characters, and hold `MAX_LISTS` lists.
    `repair` and `cumulative` are the quirks `repair_arguments` (63) and `cumulative_arguments` (61).
    """

    def __init__(
        self,
        declared: Sequence[str] = (),
        *,
        parallel: bool = True,
        repair: bool = False,
        cumulative: bool = False,
        limit: int | None = None,
        used: Iterable[str] = (),
        callable_: Collection[str] | None = None,
    ) -> None:
        self._names = frozenset(declared)
        self._declared = {_loose(name): name for name in declared}
        self._parallel = parallel
        self._repair = repair
        self._cumulative = cumulative
        self._limit = MAX_ARGUMENTS if limit is None else limit
        self._size = self._brackets = 0
        self._due = MAX_LISTS
        self._calls: list[OpenCall] = []
        self._ids = set(used)
        self._callable = callable_

    @property
    def dropped(self) -> int:
        """How many calls came beyond the one allowed."""
        return len(self._calls) - len(self._allowed())

    def __bool__(self) -> bool:
        return bool(self._calls)

    def feed(self, pieces: Sequence[Any]) -> list[ToolCallDelta]:
        """Take the `tool_calls` of one delta; return what they add."""
        deltas: list[ToolCallDelta] = []
        for piece in pieces:
            if isinstance(piece, dict):
                self._piece(cast("dict[str, Any]", piece), deltas)
        return deltas if len(deltas) < 2 else one_a_call(deltas)

    def close(self, finish: str) -> list[ToolCallDelta]:
        """Take the end of the reply and why it came: fill in what was left out, and mark each call that must not be run."""
        deltas: list[ToolCallDelta] = []
        for call in self._allowed():
            if not call.announced:
                deltas.append(self._announce(call))
            text = "".join([*call.arguments, call.escape])
            if call.escape and not call.held:
                deltas.append(ToolCallDelta(call.index, arguments=call.escape))
            if call.held:
                text, wrong = self._whole(text)
                deltas.append(ToolCallDelta(call.index, arguments=text, repaired=wrong))
            if not text.strip() and finish not in ENDED:
                deltas.append(ToolCallDelta(call.index, error=f"it was cut off before its arguments ({finish})"))
            elif not text.strip():
                deltas.append(ToolCallDelta(call.index, arguments="{}"))  # quirk 60: a call without parameters
            elif error := argument_error(text):
                deltas.append(ToolCallDelta(call.index, error=error))
            if not call.name:
                deltas.append(ToolCallDelta(call.index, error="the call has no tool name"))
            elif not self._may_run(call.name):
                wanted = " or ".join(self._callable or ()) or "no tool"
                deltas.append(ToolCallDelta(call.index, error=f"{wanted} was to be called"))
        return one_a_call(deltas)

    def _whole(self, text: str) -> tuple[str, str | None]:
        """Return arguments that were held until they were whole, and what they were before they were mended."""
        text = unwrapped_arguments(text)
        mended = mended_arguments(text) if self._repair and parse_arguments(text) is None else None
        given = text if mended is None else mended
        return "{}" if given.strip() == "null" else given, None if mended is None else text

    def _piece(self, piece: dict[str, Any], deltas: list[ToolCallDelta]) -> None:
        function = piece.get("function")
        function = cast("dict[str, Any]", function) if isinstance(function, dict) else piece
        name = function.get("name")
        name = name if isinstance(name, str) else ""
        arguments = arguments_text(function.get("arguments"))
        call_id = piece.get("id")
        call_id = str(call_id) if isinstance(call_id, str | int) else ""
        index = piece.get("index", function.get("index"))
        call = self._which(index if type(index) is int else place(index), call_id, name, arguments)
        call.id = call.id or call_id
        if name and name != call.name and not call.announced:
            call.name = name if not call.name or name.startswith(call.name) else call.name + name  # quirks 56, 57
        if arguments:
            self._arguments(call, arguments, deltas)

    def _arguments(self, call: OpenCall, arguments: str, deltas: list[ToolCallDelta]) -> None:
        if self._cumulative and arguments.startswith(said := "".join(call.arguments)) and len(said) >= SHORTEST_REPEAT:
            arguments, call.escape = arguments[len(said) :], ""  # quirk 61
        self._bound(call, arguments)
        if not call.said:
            # Quirk 59: JSON in a JSON string is unwrapped when it is whole. Quirk 60: a bare null is no arguments.
            call.held = self._repair or arguments.lstrip().startswith(('"', "n"))
            call.said = bool(arguments.strip())
        if call.escape or "\\" in arguments:
            arguments, call.escape = whole_escapes(call.escape + arguments)
        if ("\n" in arguments or "\t" in arguments or "\r" in arguments) and not (self._repair or self._cumulative):
            call.breaks = call.breaks or RawBreaks()
            arguments = call.breaks.escaped(arguments, after=call.arguments)
        call.arguments.append(arguments)
        if self._brackets > self._due:
            self._bound_lists(call)
        if not self._parallel and call not in self._allowed():
            return
        if not call.announced:
            if not call.name:
                return
            deltas += [self._announce(one) for one in self._calls[: call.index + 1] if one.name and not one.announced]
        elif arguments and not call.held:
            deltas.append(ToolCallDelta(call.index, arguments=arguments))

    def _bound(self, call: OpenCall, arguments: str) -> None:
        self._size += len(arguments)
        self._brackets += arguments.count("[") + arguments.count("{")
        if self._size > self._limit:
            raise ResponseTooLarge(
                f"The arguments of {self._named(call)} are longer than {self._limit:,} characters.",
                hint="The model may be stuck inside a string. If it isn't, set a larger `max_tokens`, "
                "or quirks={'max_structured': …}.",
            )

    def _bound_lists(self, call: OpenCall) -> None:
        self._due = self._brackets + self._brackets // STEP
        texts = (("".join(each.arguments), each.held) for each in self._calls)
        if sum(lists_in(text if held else without_texts(text)) for text, held in texts) > MAX_LISTS:
            raise ResponseTooLarge(
                f"The arguments of {self._named(call)} hold more than {MAX_LISTS:,} lists.",
                hint="See the server's log.",
            )

    def _named(self, call: OpenCall) -> str:
        return f"tool {call.name!r}" if len(self._calls) == 1 else f"{len(self._calls)} tool calls"

    def _allowed(self) -> list[OpenCall]:
        if self._parallel:
            return self._calls
        may_run = (at for at, call in enumerate(self._calls, 1) if self._may_run(self._declared_name(call.name)))
        return self._calls[: next(may_run, len(self._calls))]

    def _may_run(self, name: str) -> bool:
        return self._callable is None or name in self._callable

    def _declared_name(self, name: str) -> str:
        return name if name in self._names else self._declared.get(_loose(name), name)

    def _which(self, index: int | None, call_id: str, name: str, arguments: str) -> OpenCall:
        """Return the call a piece belongs to, a new one if it starts one."""
        same = [call for call in self._calls if call.server_index == index] if index is not None else self._calls
        if not same:
            return self._open(index)
        call = same[-1]
        if call_id and call.id and call_id != call.id:
            known = next((known for known in same if known.id == call_id), None)
            return known or self._open(index)
        if name and call.name and self._starts_over(call, name, arguments):
            return self._open(index)
        return call

    def _starts_over(self, call: OpenCall, name: str, arguments: str) -> bool:
        """Tell whether a second name begins another call: after complete arguments (quirk 51), or if both are tools."""
        if name == call.name:
            repeats = self._cumulative and arguments.startswith("".join(call.arguments))
            return bool(arguments.strip()) and call.complete() and not repeats
        both_are_tools = not call.arguments and _loose(call.name) in self._declared and _loose(name) in self._declared
        return both_are_tools or call.complete()

    def _open(self, index: int | None) -> OpenCall:
        if len(self._calls) >= MAX_CALLS:
            raise ResponseTooLarge(
                f"The reply makes more than {MAX_CALLS} tool calls.", hint="See the model's template."
            )
        call = OpenCall(len(self._calls), index)
        self._calls.append(call)
        return call

    def _announce(self, call: OpenCall) -> ToolCallDelta:
        call.announced = True
        call.name = self._declared_name(call.name)
        taken = not call.id or call.id in self._ids or _COUNTED.fullmatch(call.id)
        given = f"call_{uuid.uuid4().hex[:24]}" if taken else call.id  # the server may repeat its own: quirk 53
        self._ids.add(given)
        arguments = "" if call.held else "".join(call.arguments)
        return ToolCallDelta(call.index, id=given, name=call.name, arguments=arguments)


def one_a_call(deltas: Sequence[ToolCallDelta]) -> list[ToolCallDelta]:
    """Return the pieces of one delta with those of the same call as one: a reader may take two for two calls."""
    whole: dict[int, ToolCallDelta] = {}
    for delta in deltas:
        known = whole.setdefault(delta.index, delta)
        if known is not delta:
            known.id, known.name = known.id or delta.id, known.name or delta.name
            known.arguments += delta.arguments
            known.error, known.repaired = known.error or delta.error, known.repaired or delta.repaired
    return list(whole.values())


def unfinished(reply: ChatReply) -> ChatReply:
    """Return what came of an answer that broke off; a call without whole arguments is none that can be run."""
    for choice in (reply, *reply.alternatives):
        for call in list(choice.tool_calls):
            name, arguments = call["function"]["name"], call["function"]["arguments"]
            if not arguments.strip() or argument_error(arguments):
                choice.tool_calls.remove(call)
                choice.invalid_tool_calls.append(InvalidToolCall(call["id"], name, arguments, "the stream broke off"))
    return reply


def _loose(name: str) -> str:
    return _BETWEEN.sub("", name.lower())
