"""What is held back until it is whole is bounded, whoever holds it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from vessel_core.backends import openai_features
from vessel_core.errors import ResponseTooLarge
from vessel_core.types import ChatOptions, ChatRequest
from vessel_core.wire import Quirks, ReplyStream, holding, ollama, openai, payloads
from vessel_core.wire.forcing import ForcedStream
from vessel_core.wire.textcalls import TextCalls
from vessel_core.wire.thinking import GrammarStream, ThinkSplitter

from tests.core.wire.play import TIME, WEATHER, ask, chunk, event, line, play

QUIRKS = Quirks(text_calls=True)
BOTH = ask(tools=[WEATHER, TIME], tool_choice="required")


def calls_in_text(request: ChatRequest) -> ReplyStream:
    return openai.ChatStream(request, QUIRKS)


def of_ollama(request: ChatRequest) -> ReplyStream:
    return ollama.ChatStream(request, Quirks())


def forced(request: ChatRequest) -> ReplyStream:
    return ForcedStream(openai.ChatStream(request, Quirks()), request, Quirks())


def in_a_grammar(request: ChatRequest) -> ReplyStream:
    return GrammarStream(openai.ChatStream(request, Quirks()))


@pytest.mark.parametrize(
    ("stream", "piece"),
    [
        (calls_in_text, chunk({"content": "{"})),
        (calls_in_text, chunk({"content": "<tool_call>"})),
        (of_ollama, line({"content": "{"})),
        (forced, chunk({"content": "{"})),
        (in_a_grammar, chunk({"reasoning_content": "hm"})),
    ],
)
def test_text_that_is_read_when_it_is_whole_is_bounded(
    stream: Callable[[ChatRequest], ReplyStream], piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "MAX_HELD", 100)
    played = play(stream(BOTH), [piece] * 200)
    assert isinstance(played.error, ResponseTooLarge)
    assert "100 characters" in str(played.error)
    assert not any(delta.text or delta.reasoning or delta.tool_calls for delta in played.deltas)


def test_what_was_taken_is_held_no_more() -> None:
    held = holding.Held()
    for _ in range(2):
        held.add("a" * holding.MAX_HELD)
        assert len(held.take()) == holding.MAX_HELD
    held.add("a" * holding.MAX_HELD)
    with pytest.raises(ResponseTooLarge, match="1,048,576 characters"):
        held.add("a")


def test_blanks_are_not_held_without_end() -> None:
    thinking = ThinkSplitter()
    assert "".join("".join(thinking.feed(" ")) for _ in range(2 * holding.BLANKS)) == " " * 2 * holding.BLANKS
    texts = TextCalls(["f"])
    fed = "".join(texts.feed(" ")[0] for _ in range(3 * holding.BLANKS))
    assert len(fed) > holding.BLANKS
    assert fed + texts.close()[0] == " " * 3 * holding.BLANKS


@pytest.mark.parametrize("tops", [0, 9])
def test_an_event_does_not_tell_the_chances_of_a_whole_answer(tops: int) -> None:
    tokens = [{"token": "a", "top_logprobs": [{"token": "a"}] * tops}] * (9000 // (1 + tops))
    piece = event({"choices": [{"delta": {"content": "a"}, "logprobs": {"content": tokens}}]})
    played = play(openai.ChatStream(ask(), Quirks()), [piece])
    assert isinstance(played.error, ResponseTooLarge)
    assert [(delta.text, delta.logprobs) for delta in played.deltas] == [("a", None)]
    few = event({"choices": [{"delta": {"content": "a"}, "logprobs": {"content": tokens[: len(tokens) // 2]}}]})
    assert len(play(openai.ChatStream(ask(), Quirks()), [few]).deltas[0].logprobs or ()) == len(tokens) // 2
    both = play(openai.ChatStream(ask(), Quirks()), [few * 3])
    assert isinstance(both.error, ResponseTooLarge)
    assert [bool(delta.logprobs) for delta in both.deltas] == [True, False, False]
    assert play(openai.ChatStream(ask(), Quirks()), [few, few, few]).reply.text == "aaa"
    one = event({"choices": [{"delta": {"content": "a"}, "logprobs": {"content": [{"token": "a"}]}}]})
    first = play(openai.ChatStream(ask(), Quirks()), [piece + one * 100])
    assert isinstance(first.error, ResponseTooLarge)


@pytest.mark.parametrize("options", [{}, {"logprobs": True, "top_logprobs": 20}])
@pytest.mark.parametrize("whole", [False, True])
def test_the_chances_of_many_tokens_may_come_at_once(options: ChatOptions, whole: bool) -> None:
    token = {"token": "a", "top_logprobs": [{"token": "a"}] * 20}
    events = event({"choices": [{"delta": {"content": "a"}, "logprobs": {"content": [token]}}]}) * 4000
    stream = openai.ChatStream(ask(options=options), Quirks(finishes=False))
    deltas = stream.whole(events) if whole else stream.feed(events)
    assert sum(len(delta.logprobs or ()) for delta in deltas) == 4000


@pytest.mark.parametrize("dialect", ["openai", "ollama", "completion"])
def test_an_event_tells_as_many_chances_as_were_asked_for(dialect: str) -> None:
    def told(chances: list[object]) -> bytes:
        if dialect == "ollama":
            return line({"content": "a"}, logprobs=chances)
        said = {"text": "a"} if dialect == "completion" else {"delta": {"content": "a"}}
        return event({"choices": [{"index": 0, **said, "logprobs": {"content": chances}}]})

    def stream() -> ReplyStream:
        if dialect == "completion":
            return openai_features.completion_stream(tops=20)
        request = ask(options={"logprobs": True, "top_logprobs": 20})
        return (ollama if dialect == "ollama" else openai).ChatStream(request, Quirks())

    asked = [{"token": "a", "top_logprobs": [{"token": "a"}] * 20}] * 400
    assert stream().feed(told([*asked]))[0].logprobs == asked
    with_more = stream()
    assert with_more.feed(told([{}] * 173_000))[0].logprobs is None
    with pytest.raises(ResponseTooLarge, match="chances of more than 172,032 tokens"):
        with_more.feed(b"")


@pytest.mark.parametrize("piece", [b"data: {}\n\n", b"data: {}\n", event({"choices": []}), event({"usage": {}})])
def test_payloads_of_nothing_are_bounded_and_those_between_tokens_are_not(
    piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payloads, "QUIET", 1000)
    stream = openai.ChatStream(ask(), Quirks())
    for _ in range(100):
        assert stream.feed(piece) == []
        assert stream.feed(chunk({"content": "a"}))
    played = play(stream, [piece] * 100)
    assert isinstance(played.error, ResponseTooLarge)
    assert "without anything of an answer" in str(played.error)
