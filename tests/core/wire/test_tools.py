"""How tool calls are put together from what servers send of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vessel_core import Client
from vessel_core.errors import InvalidRequest, ResponseTooLarge, StreamInterrupted
from vessel_core.types import ChatReply, Delta, Message, ToolCallDelta
from vessel_core.wire import Quirks, open_call, openai, tools
from vessel_core.wire.arguments import RawBreaks, argument_error, parse_arguments
from vessel_core.wire.openai import encode_chat
from vessel_core.wire.schemas import inline_refs
from vessel_core.wire.tool_choice import assembler
from vessel_core.wire.tools import ToolCallAssembler

from tests.core.wire.play import HELLO, WEATHER, ask, body_of, chunk, event, last, line, play, said, told, tool
from tests.fake_server import openai_server

PARIS = '{"city": "Paris"}'


def piece(index: int | None = 0, id: str | None = None, name: str | None = None, arguments: object = None) -> Any:  # noqa: A002
    """Return a piece of a call; what is `None` is left out."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    fields = {"index": index, "id": id, "function": function}
    return {key: value for key, value in fields.items() if value is not None}


def assembled(*pieces: Any, declared: tuple[str, ...] = (), **switches: bool) -> ChatReply:
    calls = ToolCallAssembler(declared, **cast("Any", switches))
    deltas = [Delta(tool_calls=calls.feed([each])) for each in pieces]
    return ChatReply.gather([*deltas, Delta(tool_calls=calls.close("stop"))])


def calls(reply: ChatReply) -> list[tuple[str, str]]:
    return [(call["function"]["name"], call["function"]["arguments"]) for call in reply.tool_calls]


def in_a_stream(*pieces: Any, **fields: Any) -> ChatReply:
    return said(*(chunk({"tool_calls": [each]}) for each in pieces), **fields)


BOTH = [("get_weather", PARIS), ("get_time", "{}")]


@pytest.mark.parametrize(
    ("choice", "runs", "said_of_the_others"),
    [
        ("get_time", ["get_time"], {"get_weather": "get_time was to be called"}),
        ("none", [], dict.fromkeys(("get_weather", "get_time"), "no tool was to be called")),
        ("required", ["get_weather", "get_time"], {}),
        ("auto", ["get_weather", "get_time"], {}),
    ],
)
def test_a_call_that_the_choice_of_tool_rules_out_can_not_be_run(
    choice: str, runs: list[str], said_of_the_others: dict[str, str]
) -> None:
    pieces = [piece(0, "a", "get_weather", PARIS), piece(1, "b", "get_time", "{}")]
    reply = in_a_stream(*pieces, tools=[WEATHER, tool("get_time")], tool_choice=choice)
    assert [name for name, _ in calls(reply)] == runs
    assert {call.name: call.error for call in reply.invalid_tool_calls} == said_of_the_others


@pytest.mark.parametrize("arguments", ["{}", ""])
def test_where_one_call_may_come_it_is_the_one_that_was_forced(arguments: str) -> None:
    pieces = [
        piece(0, "a", "get_weather", PARIS),
        piece(1, "b", "get_time", arguments),
        piece(2, "c", "get_time", "{}"),
    ]
    fields: dict[str, Any] = {"tools": [WEATHER, tool("get-time")], "tool_choice": "get-time"}
    reply = in_a_stream(*pieces, **fields, parallel_tool_calls=False)
    assert calls(reply) == [("get-time", "{}")]
    assert [(call.name, call.error) for call in reply.invalid_tool_calls] == [
        ("get_weather", "get-time was to be called")
    ]


def test_the_first_piece_of_a_call_has_its_id_and_whole_name() -> None:
    first = ToolCallAssembler().feed([piece(0, "a", "get_weather", "{")])[0]
    assert (first.index, first.id, first.name, first.arguments) == (0, "a", "get_weather", "{")


def test_the_index_of_a_call_may_be_a_text() -> None:
    pieces = [
        piece(0, "a", "get_weather", '{"city": '),
        piece(1, "b", "get_time", "{"),
        piece(0, None, None, '"Paris"}'),
    ]
    ended = piece(1, None, None, "}")
    assert calls(assembled(*({**each, "index": str(each["index"])} for each in (*pieces, ended)))) == BOTH


@pytest.mark.parametrize("second", [piece(None, "b", "get_time", "{}"), piece(None, None, "get_time", "{}")])
def test_quirk_49_without_an_index_a_new_id_or_name_starts_a_call(second: Any) -> None:
    reply = assembled(piece(None, "a", "get_weather", '{"city": '), piece(None, None, None, '"Paris"}'), second)
    assert calls(reply) == BOTH


def test_quirk_49_a_second_declared_name_starts_a_call_where_the_first_has_no_arguments() -> None:
    reply = assembled(
        piece(None, None, "get_time"), piece(None, None, "get_weather", PARIS), declared=("get_time", "get_weather")
    )
    assert calls(reply) == [("get_time", "{}"), ("get_weather", PARIS)]


def test_quirk_50_another_id_at_the_same_index_starts_a_call() -> None:
    assert calls(assembled(piece(0, "a", "get_weather", PARIS), piece(0, "b", "get_time", "{}"))) == BOTH


def test_quirk_51_another_name_after_complete_arguments_starts_a_call() -> None:
    reply = assembled(piece(0, "a", "get_weather", PARIS), piece(0, "a", "get_time", "{}"))
    assert calls(reply) == BOTH
    assert len({call["id"] for call in reply.tool_calls}) == 2


def test_quirk_51_the_same_call_again_is_another_call() -> None:
    assert len(assembled(*[piece(0, "a", "get_weather", PARIS)] * 2).tool_calls) == 2


@pytest.mark.parametrize("later", [None, ""])
def test_quirk_52_an_empty_id_changes_nothing(later: str | None) -> None:
    reply = assembled(
        piece(0, "814890118", "get_weather", ""),
        {"index": 0, "id": later, "function": {"name": later, "arguments": PARIS}},
    )
    assert reply.tool_calls[0]["id"] == "814890118"
    assert calls(reply) == [("get_weather", PARIS)]


def test_quirk_53_the_same_id_in_every_chunk_is_one_call() -> None:
    pieces = [piece(0, "a", "get_weather", '{"city": '), piece(0, "a", None, '"Paris'), piece(0, "a", None, '"}')]
    assert calls(assembled(*pieces)) == [("get_weather", PARIS)]


def test_quirk_54_a_call_without_an_id_gets_one_that_stays() -> None:
    reply = assembled(piece(0, None, "get_weather", '{"city": '), piece(0, None, None, '"Paris"}'))
    assert re.fullmatch(r"call_[0-9a-f]{24}", reply.tool_calls[0]["id"])


def test_quirk_55_ids_are_unique_in_a_reply() -> None:
    reply = assembled(piece(0, "call_0", "get_weather", PARIS), piece(1, "call_0", "get_time", "{}"))
    assert calls(reply) == BOTH
    assert len({"call_0", *(call["id"] for call in reply.tool_calls)}) == 3
    reply = assembled(piece(0, "a", "get_weather", PARIS), piece(1, "a", "get_time", "{}"))
    assert reply.tool_calls[0]["id"] == "a" != reply.tool_calls[1]["id"]


@pytest.mark.parametrize("counted", ["call_0", "0", "1", "tool-2", "function_10", "Call:3", "functions.7"])
def test_quirk_55_an_id_that_is_a_place_is_not_the_same_in_two_replies(counted: str) -> None:
    pieces = (piece(0, counted, "get_weather", '{"city": '), piece(0, counted, None, '"Paris"}'))
    (first,), (second,) = (assembled(*pieces).tool_calls for _ in range(2))
    assert first["function"] == second["function"] == {"name": "get_weather", "arguments": PARIS}
    assert len({counted, first["id"], second["id"]}) == 3


def test_quirk_55_an_id_of_an_earlier_turn_is_not_given_again() -> None:
    call: Any = {"id": "call_0", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
    history: list[Message] = [HELLO, {"role": "assistant", "tool_calls": [call]}]
    pieces = [piece(0, "call_0", "get_time", "{}"), piece(1, "b", "get_time", "{}")]
    reply = play(openai.ChatStream(ask(*history), Quirks()), [chunk({"tool_calls": pieces}), chunk({}, "stop")]).reply
    first, second = (call["id"] for call in reply.tool_calls)
    assert first not in ("call_0", "b")
    assert second == "b"


def test_quirk_55_an_id_that_is_a_number_is_taken() -> None:
    assert assembled({"index": 0, "id": 814890118, "function": {"name": "f"}}).tool_calls[0]["id"] == "814890118"


@pytest.mark.parametrize("name", ["get_weather", "", None])
def test_quirk_56_a_name_that_comes_again_is_not_put_behind_the_first(name: str | None) -> None:
    reply = assembled(piece(0, "a", "get_weather"), piece(0, None, name, '{"city": '), piece(0, "a", name, '"Paris"}'))
    assert calls(reply) == [("get_weather", PARIS)]


def test_quirk_57_a_name_in_pieces_is_put_together() -> None:
    reply = assembled(piece(0, "a", "get_"), piece(0, None, "weather"), piece(0, None, None, PARIS))
    assert calls(reply) == [("get_weather", PARIS)]


def test_quirk_57_a_name_that_grows_is_replaced() -> None:
    reply = assembled(piece(0, "a", "get_"), piece(0, None, "get_weather"), piece(0, None, None, PARIS))
    assert calls(reply) == [("get_weather", PARIS)]


@pytest.mark.parametrize("parts", [[PARIS], ["{", PARIS[1:]], ["", PARIS], list(PARIS)])
def test_quirk_58_arguments_come_whole_or_in_any_pieces(parts: list[str]) -> None:
    first, *rest = parts
    reply = assembled(piece(0, "a", "get_weather", first), *(piece(0, None, None, part) for part in rest))
    assert calls(reply) == [("get_weather", PARIS)]


def test_quirk_59_arguments_that_are_an_object_are_written_out() -> None:
    assert calls(assembled(piece(0, "a", "get_weather", {"city": "Zürich"}))) == [("get_weather", '{"city": "Zürich"}')]


def test_quirk_59_arguments_that_are_json_in_a_json_string_are_unwrapped() -> None:
    wrapped = json.dumps(PARIS)
    for parts in ([wrapped], list(wrapped), ["  " + wrapped]):
        reply = assembled(piece(0, "a", "get_weather"), *(piece(0, None, None, part) for part in parts))
        assert [parse_arguments(arguments) for _, arguments in calls(reply)] == [{"city": "Paris"}]
        assert json.loads(calls(reply)[0][1]) == {"city": "Paris"}


@pytest.mark.parametrize("arguments", ["", None, "  "])
def test_quirk_60_no_arguments_are_an_empty_object(arguments: str | None) -> None:
    (found,) = calls(assembled({"index": 0, "id": "a", "function": {"name": "get_time", "arguments": arguments}}))
    assert parse_arguments(found[1]) == {}


def test_quirk_61_pieces_that_repeat_are_pieces() -> None:
    reply = assembled(
        piece(0, "a", "f", '{"text": "'),
        piece(0, None, None, "ab"),
        piece(0, None, None, "abab"),
        piece(0, None, None, '"}'),
    )
    assert calls(reply) == [("f", '{"text": "ababab"}')]


def test_quirk_61_pieces_that_hold_all_before_them_are_taken_so_if_it_was_switched_on() -> None:
    grown = ['{"t', '{"text": "', '{"text": "ab', '{"text": "ab"}', '{"text": "ab"}']
    pieces = [piece(0, "a", "f", grown[0]), *(piece(0, "a", "f", part) for part in grown[1:])]
    assert calls(assembled(*pieces, cumulative=True)) == [("f", '{"text": "ab"}')]
    assert calls(in_a_stream(*pieces, quirks=Quirks(cumulative_arguments=True))) == [("f", '{"text": "ab"}')]
    assert in_a_stream(*pieces).tool_calls == []


def test_quirk_61_a_first_piece_of_one_or_two_characters_may_come_again() -> None:
    by_chance = [piece(0, "a", "f", '{"'), piece(arguments='{": 1}')]
    assert calls(assembled(*by_chance, cumulative=True)) == [("f", '{"{": 1}')]
    parts = ["{", '"', 'a": "', '"}']
    assert calls(assembled(piece(0, "a", "f", ""), *(piece(arguments=part) for part in parts), cumulative=True)) == [
        ("f", '{"a": ""}')
    ]


def test_quirk_62_arguments_cut_off_are_an_invalid_call_with_its_text() -> None:
    reply = in_a_stream(piece(0, "a", "get_weather", '{"city": "Par'), end=[chunk({}, "length")])
    assert (reply.finish, reply.tool_calls) == ("length", [])
    assert reply.invalid_tool_calls[0].arguments == '{"city": "Par'
    assert "cut off" in reply.invalid_tool_calls[0].error


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("wrap", [str, json.dumps], ids=["plain", "in a string"])
def test_quirk_62_arguments_with_a_number_that_json_has_not_are_an_invalid_call(
    number: str, wrap: Callable[[str], str]
) -> None:
    reply = in_a_stream(piece(0, "a", "f", wrap(f'{{"x": {number}}}')))
    assert reply.tool_calls == []
    assert [(call.name, "no JSON" in call.error) for call in reply.invalid_tool_calls] == [("f", True)]


@pytest.mark.parametrize("finish", ["length", "content_filter", "abort"])
@pytest.mark.parametrize("arguments", [None, "", " "])
def test_quirk_62_a_call_cut_off_before_its_arguments_is_no_call_without_parameters(
    arguments: str | None, finish: str
) -> None:
    reply = in_a_stream(piece(0, "a", "delete_all", arguments), end=[chunk({}, finish)])
    assert (reply.finish, reply.tool_calls) == (finish, [])
    assert [(call.name, finish in call.error) for call in reply.invalid_tool_calls] == [("delete_all", True)]


@pytest.mark.parametrize(
    "text", [r'"a\ud83d"', r'"\ude00b"', r'"\ud83d\ud83d\ude00"', r'"\\ud83d\\\ud83d"', r'"\n\u00e9\ud83d\n"']
)
def test_quirk_45_half_a_character_in_arguments_is_the_same_however_they_are_cut(text: str) -> None:
    whole = f'{{"city": {text}}}'
    wanted = [("get_weather", json.dumps(parse_arguments(whole)))]
    for at in range(1, len(whole)):
        for repair in (False, True):
            pieces = [piece(0, "a", "get_weather", whole[:at]), piece(0, None, None, whole[at:])]
            reply = assembled(*pieces, repair=repair)
            assert [(name, json.dumps(json.loads(said))) for name, said in calls(reply)] == wanted, at
    assert (
        calls(assembled(piece(0, "a", "get_weather"), *(piece(0, None, None, each) for each in whole)))[0][1]
        == calls(assembled(piece(0, "a", "get_weather", whole)))[0][1]
    )


def test_quirk_45_a_piece_that_only_begins_an_escape_says_nothing_yet() -> None:
    calls = ToolCallAssembler()
    calls.feed([piece(0, "a", "get_weather", '{"city": "')])
    assert [calls.feed([piece(0, None, None, each)]) for each in (r"\u", "d83d")] == [[], []]
    assert calls.feed([piece(0, None, None, r'\ude00"}')]) == [ToolCallDelta(0, arguments=r'\ud83d\ude00"}')]


def test_quirk_45_half_an_escape_at_the_end_is_part_of_what_was_cut_off() -> None:
    (call,) = in_a_stream(
        piece(0, "a", "get_weather", r'{"city": "a\ud8'), end=[chunk({}, "length")]
    ).invalid_tool_calls
    assert call.arguments == r'{"city": "a\ud8'


@pytest.mark.parametrize("arguments", [" ", '{"city": "Par'])
def test_a_call_at_which_the_stream_broke_off_is_none_that_can_be_run(arguments: str) -> None:
    whole = chunk({"tool_calls": [piece(0, "a", "get_weather", PARIS)]})
    with openai_server(whole + chunk({"tool_calls": [piece(1, "b", "delete_all", arguments)]})) as server:
        client = Client("openai", base_url=server.base_url, max_retries=0)
        with pytest.raises(StreamInterrupted) as caught:
            client.chat([{"role": "user", "content": "x"}], model="demo")
    partial = caught.value.partial
    assert partial is not None
    assert calls(partial) == [("get_weather", PARIS)]
    assert [(call.name, call.arguments) for call in partial.invalid_tool_calls] == [("delete_all", arguments)]


def test_the_pieces_of_one_call_in_one_delta_are_one_piece() -> None:
    calls = ToolCallAssembler()
    both = calls.feed([piece(0, "a", "f", "{"), piece(0, None, None, "}"), piece(1, "b", "g", "")])
    assert [(each.index, each.id, each.name, each.arguments) for each in both] == [(0, "a", "f", "{}")]
    assert [(each.index, each.id, each.name, each.arguments) for each in calls.close("stop")] == [(1, "b", "g", "{}")]


@pytest.mark.parametrize(
    "opening", [piece(0, "a", "get_time"), piece(0, "a", "get_time", ""), piece(0, "a", "get_time", "nu")]
)
def test_calls_are_announced_in_their_order_whichever_has_arguments(opening: Any) -> None:
    calls = ToolCallAssembler()
    pieces = [opening, piece(1, "b", "get_weather", PARIS)]
    said = [delta for each in pieces for delta in calls.feed([each])]
    assert [(each.index, each.id, each.name) for each in said] == [(0, "a", "get_time"), (1, "b", "get_weather")]
    assert calls.feed([piece(0, None, None, "ll")]) == (
        [] if "nu" in str(opening) else [ToolCallDelta(0, arguments="ll")]
    )


@pytest.mark.parametrize("arguments", ["{'city': 'Paris'}", '{"city": "Paris",}', "[1]", "7", '"city"'])
def test_quirk_63_arguments_that_are_no_json_object_are_an_invalid_call(arguments: str) -> None:
    reply = assembled(piece(0, "a", "get_weather", arguments))
    assert reply.tool_calls == []
    assert reply.invalid_tool_calls[0].id == "a"


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("{'city': 'Paris'}", {"city": "Paris"}),
        ('{"city": "Paris",}', {"city": "Paris"}),
        ('{"a": [1, 2, ], "b": {"c": 1,},}', {"a": [1, 2], "b": {"c": 1}}),
        ("""{'a': 'it\\'s "so"', "b": "it's, }"}""", {"a": 'it\'s "so"', "b": "it's, }"}),
        ("{'a': True, 'b': False, 'c': None, 'd': 'True'}", {"a": True, "b": False, "c": None, "d": "True"}),
        ("{'a': 'x\\\\'}", {"a": "x\\"}),
    ],
)
def test_quirk_63_small_mistakes_are_mended_if_that_was_switched_on(wrong: str, meant: dict[str, Any]) -> None:
    halves = (wrong[:5], wrong[5:])
    reply = in_a_stream(piece(0, "a", "f", halves[0]), piece(arguments=halves[1]), quirks=Quirks(repair_arguments=True))
    assert [json.loads(arguments) for _, arguments in calls(reply)] == [meant]
    assert reply.repaired == {"a": wrong}
    assert in_a_stream(piece(0, "a", "f", wrong)).tool_calls == []


@pytest.mark.parametrize("size", [1, 2, 7, 99])
@pytest.mark.parametrize("repair", [False, True])
def test_quirk_63_raw_line_breaks_and_tabs_in_strings_are_json_however_they_are_cut(size: int, repair: bool) -> None:
    wrong = '{\n\t"code": "if \\"x\\":\n\tpass\\\\",\r\n"more": ["\r\n"]\n}'
    pieces = [piece(arguments=wrong[at : at + size]) for at in range(0, len(wrong), size)]
    [(_, text)] = calls(assembled(piece(0, "a", "f"), *pieces, repair=repair))
    assert json.loads(text) == {"code": 'if "x":\n\tpass\\', "more": ["\r\n"]}
    assert text.startswith('{\n\t"code"')
    assert text.endswith("\n}")


def test_arguments_are_looked_through_once_for_line_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    marks: list[str] = []
    mark = RawBreaks._mark  # pyright: ignore[reportPrivateUsage] - its work is counted

    def counted(breaks: RawBreaks, found: re.Match[str]) -> str:
        marks.append(found[0])
        return mark(breaks, found)

    monkeypatch.setattr(RawBreaks, "_mark", counted)
    parts = ["{", *['"a":1', ",\n"] * 200, '"b": 2}']
    assembled(piece(0, "a", "f"), *(piece(arguments=part) for part in parts))
    text = "".join(parts[:-1])
    assert len(marks) == text.count('"') + text.count("\n")


@pytest.mark.parametrize("pieces", [["null"], ["nu", "ll"], [" ", "n", "ull\n"]])
def test_quirk_60_a_bare_null_is_a_call_without_arguments_while_it_is_streamed_too(pieces: list[str]) -> None:
    """A face that hands on the pieces would have none that reads as an object, and an agent would stop."""
    stream = [piece(0, "a", "f", pieces[0]), *(piece(arguments=each) for each in pieces[1:])]
    for repair in (False, True):
        assert [arguments.strip() for _, arguments in calls(assembled(*stream, repair=repair))] == ["{}"]
    mended = assembled(piece(0, "a", "f", "None"), repair=True)
    assert (calls(mended), mended.repaired) == ([("f", "{}")], {"a": "None"})
    assert assembled(piece(0, "a", "f", "nul")).invalid_tool_calls[0].arguments == "nul"


@pytest.mark.parametrize("wrong", ["{'city': 'Par", '{"city": "Paris"', "[1,]", "{city: 1}", "{'a' 1}", "no"])
def test_quirk_63_what_is_cut_off_or_no_object_is_not_mended(wrong: str) -> None:
    reply = assembled(piece(0, "a", "f", wrong), repair=True)
    assert (reply.tool_calls, reply.repaired) == ([], {})
    assert reply.invalid_tool_calls[0].arguments == wrong


def test_quirk_63_what_is_right_is_left_as_it_is() -> None:
    right = '{"a": "it\'s [1,] True"}'
    reply = assembled(piece(0, "a", "f", right), repair=True)
    assert (calls(reply), reply.repaired) == ([("f", right)], {})


def test_quirk_64_a_call_left_in_the_text_stays_text() -> None:
    text = '<tool_call>\n{"name": "get_weather", "arguments": {}}\n</tool_call>'
    reply = said(chunk({"content": text}), tools=[WEATHER])
    assert (reply.text, reply.tool_calls, reply.finish) == (text, [], "stop")


def test_quirk_65_a_call_of_a_tool_nobody_declared_is_passed_on() -> None:
    assert calls(in_a_stream(piece(0, "a", "other", "{}"), tools=[WEATHER])) == [("other", "{}")]


@pytest.mark.parametrize("kind", [{}, {"type": None}, {"type": "function"}])
def test_quirk_66_the_type_may_be_missing_and_is_always_sent(kind: dict[str, Any]) -> None:
    reply = in_a_stream({**piece(0, "a", "get_weather", PARIS), **kind})
    sent = body_of(encode_chat(ask(reply.message()), Quirks()))["messages"][0]
    assert sent["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": PARIS}}
    ]


def test_quirk_67_an_old_function_call_is_a_tool_call() -> None:
    frames = [
        chunk({"function_call": {"name": "get_weather", "arguments": '{"city": '}}),
        chunk({"function_call": {"arguments": '"Paris"}'}}),
    ]
    reply = said(*frames, end=[chunk({}, "function_call")])
    assert (calls(reply), reply.finish) == ([("get_weather", PARIS)], "tool_calls")


@pytest.mark.parametrize("second", [1, 0, None])
def test_quirk_68_only_one_call_comes_through_if_only_one_was_allowed(second: int | None) -> None:
    pieces = [
        piece(second and 0, "a", "get_weather", PARIS),
        piece(second, "b", "get_time", "{"),
        piece(second, None, None, "}"),
    ]
    assert calls(assembled(*pieces, parallel=False)) == [("get_weather", PARIS)]
    assert calls(in_a_stream(*pieces, parallel_tool_calls=False)) == [("get_weather", PARIS)]


def test_quirk_68_ollamas_calls_beyond_the_first_are_dropped_too() -> None:
    both = [piece(name="get_time", arguments={}), piece(name="get_weather", arguments={})]
    reply = told(line({"content": "", "tool_calls": both}), last(), parallel_tool_calls=False)
    assert calls(reply) == [("get_time", "{}")]


def test_quirk_68_the_calls_that_were_dropped_are_counted() -> None:
    assembler = ToolCallAssembler(parallel=False)
    assembler.feed([piece(at, "ab"[at], "get_time", "{}") for at in range(2)])
    assert (assembler.dropped, ToolCallAssembler().dropped) == (1, 0)


def test_quirk_69_a_name_the_server_changed_is_put_back() -> None:
    camel, kebab = tool("getWeather"), tool("Get-Time")
    assert calls(in_a_stream(piece(0, "a", "get_time", "{}"), tools=[camel, kebab]))[0][0] == "Get-Time"
    assert calls(in_a_stream(piece(0, "a", "get_weather", "{}"), tools=[camel, kebab]))[0][0] == "getWeather"


def test_quirk_69_a_name_that_is_declared_stays() -> None:
    both = [tool("get_weather"), tool("getWeather")]
    assert calls(in_a_stream(piece(0, "a", "get_weather", "{}"), tools=both))[0][0] == "get_weather"


def test_a_call_without_a_name_is_invalid_and_keeps_its_arguments() -> None:
    (invalid,) = assembled(piece(0, "a", None, PARIS)).invalid_tool_calls
    assert (invalid.arguments, invalid.error) == (PARIS, "the call has no tool name")


def test_endless_calls_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "MAX_CALLS", 3)
    with pytest.raises(ResponseTooLarge, match="more than 3 tool calls"):
        assembled(*(piece(at, str(at), "f", "{}") for at in range(4)))


def test_endless_choices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai, "MAX_CHOICES", 3)
    with pytest.raises(ResponseTooLarge, match="more than 3 choices"):
        said(*(event({"choices": [{"index": at, "delta": {"content": "a"}}]}) for at in range(4)))


def test_endless_arguments_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "MAX_ARGUMENTS", 100)
    assembler = ToolCallAssembler()
    with pytest.raises(ResponseTooLarge, match="get_weather"):
        assembler.feed([piece(0, "a", "get_weather", "x" * 10)] * 20)
    assembler = ToolCallAssembler()
    with pytest.raises(ResponseTooLarge, match="of 2 tool calls are longer than 100"):
        assembler.feed([piece(at, str(at), "get_weather", "x" * 60) for at in range(2)])


def test_two_chinese_characters_a_token_may_be_written_as_escapes() -> None:
    text = json.dumps({"a": "\N{CJK UNIFIED IDEOGRAPH-4F60}" * 16_000})
    calls = assembler(ask(options={"max_tokens": 8192}), Quirks())
    assert calls.feed([piece(0, "0", "f", text)])[0].arguments == text


@pytest.mark.parametrize("unit", ["[],", "{},", '[[],"["],'])
def test_arguments_of_too_many_lists_are_refused_of_all_calls_together(unit: str) -> None:
    most = tools.MAX_LISTS // (2 if '"["' in unit else 1)
    several = [piece(at, str(at), "f", '{"a":[' + unit * (most // 4 - 2) + "0]}") for at in range(4)]
    assert len(assembled(*several).tool_calls) == 4
    with pytest.raises(ResponseTooLarge, match="of 4 tool calls hold more than 100,000 lists"):
        assembled(*several, piece(3, arguments="[" * 25_000))


GRAPH, BOARD = json.dumps([[1, 2]] * 40_000), json.dumps([[[]] * 72] * 72)


@pytest.mark.parametrize(
    "value",
    [GRAPH, BOARD, json.dumps("a[0]={b:[1]};" * 35_000), json.dumps("[{}]" * 100_000)],
    ids=["graph", "board", "program", "brackets"],
)
@pytest.mark.parametrize("size", [7, 600_000])
def test_a_graph_a_board_and_a_program_are_arguments(value: str, size: int) -> None:
    text = f'{{"a":{value}}}'
    parts = [piece(arguments=text[at : at + size]) for at in range(0, len(text), size)]
    (call,) = assembled(piece(0, "0", "f"), *parts).tool_calls
    assert call["function"]["arguments"] == text


def test_lists_in_arguments_that_come_as_a_string_are_counted() -> None:
    text = json.dumps(json.dumps({"a": [[]] * tools.MAX_LISTS}, separators=(",", ":")))
    with pytest.raises(ResponseTooLarge, match="lists"):
        assembled(piece(0, "0", "f", text))


def test_where_a_call_ends_is_not_looked_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_call, "MAX_ARGUMENTS", 1000)
    assembler = ToolCallAssembler()
    with pytest.raises(ResponseTooLarge, match="'f' comes again and again"):
        assembler.feed([piece(0, "", "f", '{"a": "' + "x" * 400), *[piece(0, "", "f", "}")] * 100])


@pytest.mark.parametrize("types", [4, 9])
def test_types_that_hold_each_other_in_too_many_ways_are_an_error_at_once(types: int) -> None:
    names = [f"T{number}" for number in range(types)]
    choice = {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in names]}
    schema = {"$ref": "#/$defs/T0", "$defs": {name: {"properties": {"of": choice}} for name in names}}
    if types == 4:
        assert json.dumps(inline_refs(schema)).count('"of"') == 16
    else:
        with pytest.raises(InvalidRequest, match="schema of 'draw' has more than 20,000 parts"):
            inline_refs(schema, "draw")


def test_references_are_written_out() -> None:
    schema = {
        "type": "object",
        "properties": {"home": {"$ref": "#/$defs/City", "description": "Where"}, "definitions": {"type": "string"}},
        "$defs": {"City": {"type": "object", "properties": {"of": {"$ref": "#/definitions/Land"}}}},
        "definitions": {"Land": {"enum": ["de", "fr"]}},
    }
    assert inline_refs(schema) == {
        "type": "object",
        "properties": {
            "home": {"type": "object", "properties": {"of": {"enum": ["de", "fr"]}}, "description": "Where"},
            "definitions": {"type": "string"},
        },
    }


@pytest.mark.parametrize("reference", ["#", "#/$defs/Node", "#/$defs/None", "https://example.com/x", "#/type", "x"])
def test_a_reference_that_goes_round_or_nowhere_is_open(reference: str) -> None:
    node = {"type": "object", "properties": {"next": {"$ref": reference}}}
    found = inline_refs({**node, "$defs": {"Node": node}})
    assert json.dumps(found).count("next") <= 2


scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner))
pieces = st.fixed_dictionaries(
    {},
    optional={
        "index": st.integers(0, 2) | values,
        "id": st.sampled_from(["a", "b", ""]) | values,
        "function": st.fixed_dictionaries(
            {},
            optional={
                "name": st.sampled_from(["f", "get_", "weather"]) | values,
                "arguments": st.sampled_from(["{", "}", '"', "{}", ""]) | values,
            },
        )
        | values,
    },
)


@given(st.lists(pieces | values, max_size=6), st.booleans())
def test_any_pieces_make_calls_that_can_be_run_or_are_invalid(given_pieces: list[Any], parallel: bool) -> None:
    reply = assembled(*given_pieces, declared=("f", "get_weather"), parallel=parallel)
    found = reply.tool_calls
    assert all(isinstance(json.loads(call["function"]["arguments"]), dict) and call["id"] for call in found)
    assert len({call["id"] for call in found}) == len(found)
    assert parallel or len(found) + len(reply.invalid_tool_calls) <= 1


@pytest.mark.parametrize(
    ("text", "shown"), [('{"city": "Par', """'{"city": "Par'"""), ("Paris" * 20, f"'…{'Paris' * 16}'")]
)
def test_arguments_that_are_cut_off_are_shown_to_their_end(text: str, shown: str) -> None:
    assert argument_error(text) == f"the arguments are cut off or no JSON: {shown}"
