"""What each transcript means, and that it means the same however its bytes are cut."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vessel_core.errors import ContextOverflow, ServerError, StreamInterrupted, VesselError

from tests.core.wire.play import Played, play, stream_for
from tests.fake_server import TRANSCRIPTS, transcript


@dataclass(frozen=True)
class Means:
    """What a transcript says."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    broken: tuple[str, ...] = ()
    finish: str | None = None
    tokens: tuple[int, int] | None = None
    error: type[VesselError] | None = None


TWO_CALLS = (("get_weather", '{"city": "Paris"}'), ("get_time", '{"tz": "CET"}'))
TOKYO = (("get_weather", '{"city": "Tokyo"}'),)
MEANINGS = {
    "llamacpp/text.sse": Means("Hello", finish="stop", tokens=(98, 10)),
    "llamacpp/reasoning.sse": Means("The", "Okay", finish="stop", tokens=(98, 10)),
    "llamacpp/two_tools.sse": Means("", "need weather", TWO_CALLS, finish="tool_calls", tokens=(98, 10)),
    "llamacpp/cut_arguments.sse": Means(
        "", "need weather", broken=('{"city": "Par',), finish="length", tokens=(98, 10)
    ),
    "llamacpp/error.sse": Means("I will", error=ServerError),
    "llamacpp/progress.sse": Means("Hello", finish="stop", tokens=(98, 10)),
    "llamacpp/two_choices.sse": Means("zero", finish="length"),
    "llamacpp/separators.sse": Means("a\u2028b\u0085\u000b😀é", finish="stop", tokens=(98, 10)),
    "llamacpp/timings_on_finish.sse": Means("Hello", finish="stop"),
    "ollama/text.ndjson": Means("Hello \u2028😀\u0085", "Okay", finish="stop", tokens=(169, 15)),
    "ollama/tool.ndjson": Means(calls=TOKYO, finish="tool_calls", tokens=(169, 15)),
    "ollama/thinking_tool.ndjson": Means("", "The user", TOKYO, finish="tool_calls", tokens=(169, 15)),
    "ollama/error.ndjson": Means(".", error=ServerError),
    "ollama/cut.ndjson": Means("la la la", error=StreamInterrupted),
    "ollama/load.ndjson": Means(error=ServerError),
    "ollama/v1_thinking_tool.sse": Means(
        "", "The user", (("get_weather", '{"city":"Tokyo"}'),), finish="tool_calls", tokens=(169, 15)
    ),
    "ollama/v1_erased_error.sse": Means("", "The user", error=StreamInterrupted),
    "lmstudio/text.sse": Means("Hello", "Hmm", finish="stop"),
    "lmstudio/tool.sse": Means(calls=(("get_current_weather", '{"location":"San Francisco"}'),), finish="tool_calls"),
    "lmstudio/error.sse": Means(error=ContextOverflow),
    "vllm/reasoning_tool.sse": Means(
        "", "Hm", (("get_weather", '{"city": "Oslo"}'),), finish="tool_calls", tokens=(20, 13)
    ),
    "sglang/two_finishes.sse": Means("Hi", finish="stop"),
    "koboldcpp/crlf.sse": Means("Hello", finish="stop"),
    "localai/error.sse": Means("Hi", error=ServerError),
    "mlx/keepalive.sse": Means("Hi", "Hm", finish="stop"),
    "textgen/calls_with_finish.sse": Means(
        calls=(("get_weather", '{"city": "Rome"}'),), finish="tool_calls", tokens=(9, 5)
    ),
    "llamaswap/loading.sse": Means(
        "Hello", "━━━━━\nllama-swap loading model: qwen3\nDone! (2.10s)\n━━━━━\n \n", finish="stop", tokens=(12, 2)
    ),
    "tabbyapi/reasoning.sse": Means("Hello", "Hm", finish="stop", tokens=(12, 2)),
    "litellm/changing_ids.sse": Means(
        calls=(("get_weather", '{"city": "Oslo"}'),), finish="tool_calls", tokens=(12, 2)
    ),
    "llamafile/text.sse": Means("Hello", finish="stop"),
}
NAMES = sorted(MEANINGS)


def whole(name: str) -> Played:
    return play(stream_for(name), [transcript(name)])


def test_every_transcript_has_a_meaning() -> None:
    files = {path.relative_to(TRANSCRIPTS).as_posix() for path in TRANSCRIPTS.glob("*/*")}
    assert files == set(MEANINGS)


@pytest.mark.parametrize("name", NAMES)
def test_a_transcript_means_what_it_says(name: str) -> None:
    played, means = whole(name), MEANINGS[name]
    reply = played.reply
    assert reply.text == means.text
    assert reply.reasoning == means.reasoning
    assert tuple((call["function"]["name"], call["function"]["arguments"]) for call in reply.tool_calls) == means.calls
    assert tuple(call.arguments for call in reply.invalid_tool_calls) == means.broken
    assert reply.finish == means.finish
    assert type(played.error) is (means.error or type(None))
    if means.tokens is not None:
        assert reply.usage is not None
        assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == means.tokens


@pytest.mark.parametrize("name", NAMES)
def test_a_transcript_cut_anywhere_means_the_same(name: str) -> None:
    data, expected = transcript(name), whole(name).same()
    for at in range(len(data) + 1):
        assert play(stream_for(name), [data[:at], data[at:]]).same() == expected, f"cut at byte {at}"


@pytest.mark.parametrize("name", NAMES)
def test_a_transcript_fed_byte_by_byte_means_the_same(name: str) -> None:
    data = transcript(name)
    assert play(stream_for(name), (bytes([byte]) for byte in data)).same() == whole(name).same()


@given(name=st.sampled_from(NAMES), seed=st.randoms(use_true_random=False), pieces=st.integers(2, 12))
def test_any_split_of_a_transcript_means_the_same(name: str, seed: random.Random, pieces: int) -> None:
    data = transcript(name)
    cuts = sorted(seed.randint(0, len(data)) for _ in range(pieces - 1))
    parts = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert play(stream_for(name), parts).same() == whole(name).same()


@pytest.mark.parametrize("name", [name for name in NAMES if MEANINGS[name].error is None])
def test_a_stream_that_ends_before_its_finish_is_never_a_whole_answer(name: str) -> None:
    data = transcript(name)
    finish = data.index(b'"done":true') if name.endswith(".ndjson") else data.rindex(b"finish_reason")
    for at in range(0, data.rindex(b"\n", 0, finish) + 1, 7):
        assert isinstance(play(stream_for(name), [data[:at]]).error, StreamInterrupted), f"cut at byte {at}"
