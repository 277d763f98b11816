"""How bytes become payloads: server-sent events and lines."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vessel_core.errors import (
    ProtocolError,
    ResponseTooLarge,
    ServerError,
    StreamInterrupted,
)
from vessel_core.types import ChatReply
from vessel_core.wire.framing import LINE_COST, EventStream, Lines
from vessel_core.wire.jsontext import MAX_COST, MAX_DEPTH, NUMBER, dumps, loads

from tests.core.wire.play import (
    DONE,
    STOP,
    chunk,
    event,
    last,
    line,
    ollama_stream,
    openai_stream,
    play,
    said,
    stream_for,
    told,
)
from tests.fake_server import transcript


def payloads(*pieces: bytes, limit: int = 1000) -> list[bytes]:
    stream = EventStream(limit)
    return [payload for piece in pieces for payload in stream.feed(piece)] + stream.close()


def test_an_event_ends_at_a_blank_line() -> None:
    stream = EventStream()
    assert stream.feed(b"data: one\n") == []
    assert stream.feed(b"\ndata: two\n\n") == [b"one", b"two"]


def test_a_blank_line_without_data_is_no_event() -> None:
    assert payloads(b"\n\n\nevent: x\n\ndata: one\n\n\n") == [b"one"]


def test_a_field_without_a_colon_is_an_empty_one() -> None:
    assert payloads(b"data\n\ndata: one\n\n") == [b"", b"one"]


def test_quirk_01_the_space_after_data_may_be_missing_and_only_one_is_dropped() -> None:
    assert payloads(b"data:one\n\ndata:  two\n\n") == [b"one", b" two"]


@pytest.mark.parametrize("end", [b"\r\n", b"\r", b"\n"])
def test_quirk_02_lines_end_at_any_line_end_cut_anywhere(end: bytes) -> None:
    data = end.join([b"data: a", b"data: b", b"", b": note", b"data: c", b"", b""])
    for at in range(len(data) + 1):
        assert payloads(data[:at], b"", data[at:]) == [b"a\nb", b"c"], at


def test_quirk_03_a_byte_order_mark_at_the_start_is_dropped() -> None:
    data = b"\xef\xbb\xbfdata: one\n\n"
    for at in range(len(data) + 1):
        assert payloads(data[:at], data[at:]) == [b"one"]


def test_quirk_04_several_data_lines_are_one_document() -> None:
    assert payloads(b'data: {"a":\ndata: 1}\n\n') == [b'{"a":\n1}']
    split = b'data: {"choices":[{"index":0,\ndata: "delta":{"content":"Hi"}}]}\n\n'
    assert said(split).text == "Hi"


def test_quirk_05_events_that_no_blank_line_parts_are_told_apart() -> None:
    frames = b"".join([chunk({"content": "Hel"}), chunk({"content": "lo"}), STOP, DONE])
    assert said(frames.replace(b"\n\n", b"\n"), end=()).text == "Hello"


def test_quirk_06_comments_are_no_events() -> None:
    comments = b":\n\n: keep-alive\n\n: keepalive 12/512\n\n: ping - 2026-08-21 10:00:15\n\n"
    assert payloads(comments) == []
    assert said(comments, chunk({"content": "Hi"}), comments).text == "Hi"


def test_quirk_07_event_id_and_retry_are_ignored_but_for_an_error() -> None:
    assert payloads(b"event: message\nid: 7\nretry: 100\ndata: one\n\n") == [b"one"]
    with pytest.raises(ServerError, match="it broke"):
        said(chunk({"content": "Hi"}), b'event: error\ndata: {"message": "it broke"}\n\n')


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"", "without a word"), (b"it broke", "it broke"), (b'{"error": null, "message": "it broke"}', "it broke")],
)
def test_quirk_07_an_error_event_is_an_error_whatever_it_holds(data: bytes, words: str) -> None:
    with pytest.raises(ServerError, match=words):
        said(b"event: error\ndata: " + data + b"\n\n")


def test_quirk_08_a_field_named_error_is_an_error() -> None:
    with pytest.raises(ServerError, match="it broke"):
        said(chunk({"content": "Hi"}), b'error: {"code":500,"message":"it broke","type":"server_error"}\n\n')


def test_quirk_09_a_finish_is_enough_without_done() -> None:
    assert said(chunk({"content": "Hi"}), STOP, end=()).text == "Hi"


def test_quirk_10_done_needs_no_line_end() -> None:
    played = play(openai_stream(), [chunk({"content": "Hi"}), STOP, b"data: [DONE]"])
    assert (played.reply.text, played.error) == ("Hi", None)


def test_quirk_11_what_follows_done_is_ignored() -> None:
    stream = openai_stream()
    stream.feed(chunk({"content": "Hi"}) + STOP + DONE)
    assert stream.done
    assert stream.feed(DONE + chunk({"content": "more"}) + b"data: nonsense\n\n") == []
    assert stream.close() == []


def test_quirk_11_done_in_front_of_other_data_without_a_blank_line_ends_the_stream() -> None:
    assert said(chunk({"content": "Hi"}), STOP, b"data: [DONE]\n" + chunk({"content": "more"}), end=()).text == "Hi"


def test_quirk_12_a_stream_without_a_finish_was_cut() -> None:
    played = play(openai_stream(), [chunk({"content": "Hi"})])
    assert played.reply.text == "Hi"
    assert isinstance(played.error, StreamInterrupted)
    assert isinstance(play(ollama_stream(), [line({"content": "Hi"})]).error, StreamInterrupted)


def test_quirk_12_half_an_event_at_the_end_is_a_cut_and_no_nonsense() -> None:
    assert isinstance(play(openai_stream(), [chunk({"content": "Hi"}), b'data: {"choi']).error, StreamInterrupted)
    assert isinstance(play(ollama_stream(), [line({"content": "Hi"}), b'{"mess']).error, StreamInterrupted)


@pytest.mark.parametrize("half", [b"data: [", b"data: [DONE"])
def test_quirk_12_half_of_done_at_the_end_is_a_cut_or_nothing(half: bytes) -> None:
    assert isinstance(play(openai_stream(), [chunk({"content": "Hi"}), half]).error, StreamInterrupted)
    assert said(chunk({"content": "Hi"}), STOP, half, end=()).text == "Hi"


def test_quirk_13_the_end_of_the_connection_ends_a_finished_answer() -> None:
    stream = stream_for("mlx/keepalive.sse")
    deltas = stream.feed(transcript("mlx/keepalive.sse"))
    assert not stream.done
    reply = ChatReply.gather([*deltas, *stream.close()])
    assert (stream.done, reply.text, reply.reasoning, reply.finish) == (True, "Hi", "Hm", "stop")
    unfinished = stream_for("mlx/keepalive.sse")
    unfinished.feed(chunk({"content": "Hi"}))
    with pytest.raises(StreamInterrupted):
        unfinished.close()


def test_quirk_14_a_character_may_be_split() -> None:
    data = 'data: {"choices":[{"index":0,"delta":{"content":"😀é"}}]}\n\n'.encode()
    for at in range(len(data)):
        assert said(data[:at], data[at:]).text == "😀é"


def test_quirk_14_bytes_that_are_no_text_become_replacement_characters() -> None:
    assert said(b'data: {"choices":[{"index":0,"delta":{"content":"a\xffb"}}]}\n\n').text == "a\ufffdb"


def test_quirk_15_only_line_ends_end_lines() -> None:
    odd = "\u2028\u2029\u0085\x1c\x1d\x1e\x0b\x0c"
    assert Lines().feed(f"a{odd}b\n".encode()) == [f"a{odd}b".encode()]
    raw = json.dumps({"choices": [{"index": 0, "delta": {"content": "\u2028\u0085"}}]}, ensure_ascii=False)
    assert said(f"data: {raw}\n\n".encode()).text == "\u2028\u0085"


def test_quirk_16_an_event_may_be_large() -> None:
    text = "x" * 300_000
    data = chunk({"content": text})
    assert said(*(data[at : at + 1460] for at in range(0, len(data), 1460))).text == text


def test_quirk_17_lines_are_put_together_and_blank_ones_skipped() -> None:
    data = line({"content": "Hel"}) + b"\n \r\n" + line({"content": "lo"}) + last()
    for at in range(len(data)):
        assert told(data[:at], data[at:]).text == "Hello"


def test_quirk_17_the_last_line_needs_no_end() -> None:
    assert told(line({"content": "Hi"}), last().rstrip()).text == "Hi"


def test_quirk_18_plain_text_as_data_is_a_protocol_error_with_the_text() -> None:
    with pytest.raises(ProtocolError, match="Number of choices must be"):
        said(b"data: Number of choices must be positive\n\n")


@pytest.mark.parametrize(
    "page", [b"<html><head><style>p{}</style></head>\n<p>502 Bad Gateway</p></html>", b"502 Bad Gateway"]
)
def test_quirk_19_a_page_in_place_of_a_stream_is_told_by_its_words(page: bytes) -> None:
    with pytest.raises(ProtocolError, match="502 Bad Gateway"):
        said(page, end=())


def test_quirk_19_a_page_in_place_of_ollamas_lines_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError, match="404 page not found"):
        told(b"404 page not found\n")


def test_quirk_20_a_whole_completion_in_place_of_a_stream_is_taken() -> None:
    body = {"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}]}
    ours = ChatReply.gather(openai_stream().whole(json.dumps(body).encode()))
    assert (ours.text, ours.finish) == ("Hi", "stop")
    theirs = ChatReply.gather(ollama_stream().whole(last({"role": "assistant", "content": "Hi"})))
    assert (theirs.text, theirs.finish) == ("Hi", "stop")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n"])
def test_quirk_20_a_stream_of_ollamas_that_was_called_a_document_is_read(end: bytes) -> None:
    body = (line({"content": "H"}) + line({"content": "i"}) + last()).replace(b"\n", end)
    reply = ChatReply.gather(ollama_stream().whole(body))
    assert (reply.text, reply.finish) == ("Hi", "stop")


def test_quirk_20_an_error_in_place_of_a_stream_is_raised() -> None:
    with pytest.raises(ServerError, match="it broke"):
        openai_stream().whole(b'{"error": "it broke"}')
    with pytest.raises(ServerError, match="it broke"):
        ollama_stream().whole(b'{"error": "it broke"}')


@pytest.mark.parametrize("body", [b'{"choices": []}', b'{"choices": [{"message": null}]}', b"{}", b"[]", b"7"])
def test_a_whole_reply_without_an_answer_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        openai_stream().whole(body)
    with pytest.raises(ProtocolError):
        ollama_stream().whole(body)


def test_what_came_before_an_error_in_the_same_bytes_is_not_lost() -> None:
    for stream, data in (
        (openai_stream(), chunk({"content": "Hi"}) + event({"error": "it broke"})),
        (ollama_stream(), line({"content": "Hi"}) + b'{"error": "it broke"}\n'),
    ):
        assert [delta.text for delta in stream.feed(data)] == ["Hi"]
        with pytest.raises(ServerError, match="it broke"):
            stream.feed(b"")
        with pytest.raises(ServerError, match="it broke"):
            stream.close()


def test_a_line_above_the_limit_is_refused_before_it_ends() -> None:
    with pytest.raises(ResponseTooLarge):
        payloads(*[b"x" * 100] * 11)


def test_of_what_is_no_stream_the_beginning_is_kept() -> None:
    stream = EventStream(10_000)
    for _ in range(5):
        assert stream.feed(b"<p>" + b"busy " * 199 + b"</p>\n") == []
    assert stream.stray == (b"<p>" + b"busy " * 199 + b"</p>\n") * 2


def test_a_read_may_be_longer_than_the_limit_but_no_line_in_it() -> None:
    assert Lines(4).feed(b"abc\nabcd\nab") == [b"abc", b"abcd"]
    lines = Lines(4)
    assert lines.feed(b"ab\nabcde\nab") == [b"ab"]
    with pytest.raises(ResponseTooLarge):
        lines.feed(b"c")


def test_an_event_of_many_lines_above_the_limit_is_refused() -> None:
    with pytest.raises(ResponseTooLarge):
        payloads(*[b"data: " + b"x" * 100 + b"\n"] * 11)


def test_json_is_read_with_what_servers_write_against_the_rules() -> None:
    assert loads('"\\ud83d"') == "\ufffd"
    assert loads('"\\ud83d\\ude00 \\\\ud83d"') == "😀 \\ud83d"
    assert loads("[NaN, Infinity]")[1] == loads("1e999") == float("inf")


def test_half_a_character_in_a_text_is_replaced_as_its_escape_is() -> None:
    assert loads('{"a": "x\ud83d"}') == loads('{"a": "x\\ud83d"}', nan=False) == {"a": "x\ufffd"}
    assert loads('{"a\udc00": "\\\\ud83d", "b": "\\ud83d\\ude00"}') == {"a\ufffd": "\\ud83d", "b": "😀"}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "-1e999"])
def test_numbers_that_json_has_not_can_be_refused(number: str) -> None:
    with pytest.raises(ValueError, match="JSON"):
        loads(f'{{"a": [{number}], "b": "\\ud83d"}}', nan=False)
    with pytest.raises(ValueError, match="JSON"):
        loads(number, nan=False)


@pytest.mark.parametrize("inner", ["1", "NaN", '"\\ud83d"'], ids=["plain", "NaN", "a lone surrogate"])
@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}")])
def test_json_may_have_so_many_levels_and_no_more(inner: str, opened: str, closed: str) -> None:
    loads(opened * MAX_DEPTH + inner + closed * MAX_DEPTH)
    for levels in (MAX_DEPTH + 1, 1000, 100_000):
        with pytest.raises(ValueError, match=f"deeper than {MAX_DEPTH} levels|so many values"):
            loads(opened * levels + inner + closed * levels)


@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}")])
def test_128_levels_are_taken_and_129_refused_in_bytes_and_in_text(opened: str, closed: str) -> None:
    most, more = (opened * levels + "1" + closed * levels for levels in (128, 129))
    assert loads(most.encode()) == loads(most) == json.loads(most)
    for refused in (more, more.encode()):
        with pytest.raises(ValueError, match="deeper than 128 levels"):
            loads(refused)


def test_many_brackets_beside_each_other_are_no_depth() -> None:
    wide = '{"a": [' + ",".join(["[]"] * (MAX_DEPTH + 1))
    assert len(loads(f'{wide}, "\ud83d"]}}')["a"]) == MAX_DEPTH + 2
    with pytest.raises(ValueError, match="Expecting"):
        loads(wide)


@pytest.mark.parametrize("text", [r"[", r"\"[1e5", r"\\", r"\u005b1, [", r"1\"", "e"])
def test_levels_are_counted_beside_texts_and_numbers_whatever_these_hold(text: str) -> None:
    inner = f'"{text}", -1.5e+3, "{text}"'
    deepest = "[" * MAX_DEPTH + ", ".join([inner] * 200) + "]" * MAX_DEPTH
    loads(deepest)
    loads(deepest.encode())
    with pytest.raises(ValueError, match=f"deeper than {MAX_DEPTH} levels"):
        loads(f"[{deepest}]".encode())


def test_a_long_reply_of_too_many_small_values_is_refused_before_it_is_parsed() -> None:
    numbers = b"[" + b"1.5," * 400_000 + b"1]"
    assert len(loads(numbers)) == 400_001
    for value in (b"1.5,", b"{},", b"[],", b'"",', b'{"a":1},'):
        with pytest.raises(ResponseTooLarge, match="so many values"):
            loads(b"[" + value * 700_000 + b"1]")
    assert len(loads(b"[" + b"1.5," * 700_000 + b"1]", most=MAX_COST + 700_000 * NUMBER)) == 700_001


def test_what_stands_in_a_long_text_is_no_value() -> None:
    table = json.dumps({"text": '{"a": [1, 2, 3]}, \\ ' * 100_000})
    assert loads(table.encode()) == loads(table) == json.loads(table)


def test_arguments_of_too_many_small_values_are_no_json_that_is_taken_in() -> None:
    with pytest.raises(ValueError, match="so many values"):
        loads("[" + "{}," * 70_000 + "1]")


@pytest.mark.parametrize("line", ["\n", ":\n", "id: 1\n", "a\n", "{\n", "\r\n"])
def test_lines_of_nothing_are_bounded_and_those_between_events_are_not(line: str) -> None:
    many = 10_000 // LINE_COST + 1
    with pytest.raises(ResponseTooLarge, match="without an event"):
        payloads(*[line.encode()] * many, limit=10_000)
    few = [f"{line * 9}\ndata: 1\n\n".encode()] * many
    assert payloads(*few, b"data: 2\n\n" * many, limit=10_000) == [b"1"] * many + [b"2"] * many


def test_json_is_written_without_what_servers_fail_on() -> None:
    assert dumps({"a": "\ud83d😀\u2028"}) == '{"a":"?😀\u2028"}'.encode()
    with pytest.raises(ValueError, match="JSON compliant"):
        dumps({"a": float("nan")})


newline = st.sampled_from(["\n", "\r\n", "\r"])
texts = st.lists(st.text(alphabet=st.characters(exclude_characters="\n\r", exclude_categories=["Cs"])), max_size=6)


@given(texts=texts, end=newline, data=st.data())
def test_any_split_of_any_events_gives_the_same_payloads(texts: list[str], end: str, data: st.DataObject) -> None:
    whole = "".join(f": note{end}data: {json.dumps(text)}{end}{end}" for text in texts).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert [loads(payload) for payload in payloads(*pieces, limit=10_000)] == texts


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_any_bytes_make_lines_that_add_up(pieces: list[bytes]) -> None:
    lines = Lines()
    found = [one for piece in pieces for one in lines.feed(piece)] + [lines.close()]
    whole = b"".join(pieces).removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert b"\n".join(found) == whole


def test_what_came_before_a_line_above_the_limit_is_handed_on() -> None:
    for data in (b"data: ab\n\n" + b"x" * 20, b"data: ab\n\n" + b"x" * 20 + b"\n\ndata: cd\n\n"):
        events = EventStream(10)
        assert events.feed(data) == [b"ab"]
        with pytest.raises(ResponseTooLarge):
            events.feed(b"\n")
        events = EventStream(10)
        assert events.feed(data) == [b"ab"]
        with pytest.raises(ResponseTooLarge):
            events.close()


def test_a_byte_order_mark_stands_at_the_very_start_or_is_none() -> None:
    marked = b"\xef\xbb\xbfdata: 2\n\n"
    assert EventStream().feed(marked) == [b"2"]
    stream = EventStream()
    assert stream.feed(b"data: 1\n\n") == [b"1"]
    assert stream.feed(marked) == []


@pytest.mark.parametrize("escape", ["", "\\\\"])
@pytest.mark.parametrize("levels", [MAX_DEPTH - 1, MAX_DEPTH + 1])
@pytest.mark.parametrize("first", [True, False])
def test_in_a_document_of_long_texts_their_brackets_are_no_levels(first: bool, levels: int, escape: str) -> None:
    texts = ",".join(f'"{"[{" * 500}{escape}{"}]:" * 50}"' for _ in range(200))
    members = [f'"deep":{"[" * (levels - 1)}{"]" * (levels - 1)}', f'"data":[{texts}]']
    document = f"{{{','.join(members if first else members[::-1])}}}".encode()
    if levels < MAX_DEPTH:
        assert len(loads(document)["data"]) == 200
    else:
        with pytest.raises(ValueError, match="nested deeper"):
            loads(document)
