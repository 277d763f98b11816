"""Raw completion: three forms of request, three of reply."""

from __future__ import annotations

import json
from typing import Any

import pytest
from vessel_core.backends import COMPATIBLE, LLAMACPP, OLLAMA, Backend
from vessel_core.errors import InvalidRequest, ProtocolError, ServerError, StreamInterrupted, Unsupported
from vessel_core.types import ChatReply, Delta, Timings, Usage
from vessel_core.wire import ReplyStream
from vessel_core.wire.completion import CompletionRequest

from tests.core.wire.play import DONE, body_of, event, play


def sent(backend: Backend, prompt: str = "a", suffix: str | None = None, **fields: Any) -> tuple[str, dict[str, Any]]:
    given: dict[str, Any] = {"model": "m", **fields}
    call = backend.features["complete"](CompletionRequest(prompt, suffix, **given), backend.quirks)
    return call.path, body_of(call)


def stream(backend: Backend = COMPATIBLE) -> ReplyStream:
    return backend.features["completion_stream"]()


def reply(*frames: bytes, backend: Backend = COMPATIBLE) -> ChatReply:
    played = play(stream(backend), frames)
    if played.error is not None:
        raise played.error
    return played.reply


def text(said: str, finish: str | None = None, index: int | str = 0, **rest: Any) -> bytes:
    return event({"model": "m", "choices": [{"index": index, "text": said, "finish_reason": finish}], **rest})


STREAMED = {"stream": True, "stream_options": {"include_usage": True}}


def test_a_completion_is_asked_for_as_each_server_takes_it() -> None:
    assert sent(COMPATIBLE) == ("/v1/completions", {"prompt": "a", "model": "m", **STREAMED})
    assert sent(COMPATIBLE, model=None) == ("/v1/completions", {"prompt": "a", **STREAMED})
    assert sent(COMPATIBLE, suffix="b")[1]["suffix"] == "b"
    assert sent(LLAMACPP, options={"seed": 1}, extra_body={"x": 2}) == (
        "/v1/completions",
        {"prompt": "a", "model": "m", "seed": 1, "x": 2, **STREAMED},
    )
    assert sent(OLLAMA) == ("/api/generate", {"model": "m", "prompt": "a", "stream": True, "raw": True})


def test_a_gap_is_filled_as_each_server_does() -> None:
    options = {"max_tokens": 5, "n": 1, "logprobs": False}
    body = {"input_prefix": "a", "input_suffix": "b", "stream": True}
    assert sent(LLAMACPP, suffix="b", options=options) == ("/infill", body | {"model": "m", "n_predict": 5})
    assert sent(LLAMACPP, suffix="b", model=None)[1] == body
    assert sent(OLLAMA, suffix="b")[1] == {"model": "m", "prompt": "a", "suffix": "b", "stream": True}
    for option in ({"n": 2}, {"logprobs": True}, {"top_logprobs": 3}):
        with pytest.raises(Unsupported, match="Filling a gap has no option"):
            sent(LLAMACPP, suffix="b", options=option)


def test_options_go_where_each_server_reads_them() -> None:
    options = {"max_tokens": 5, "keep_alive": 0, "reasoning": False, "stop": "x"}
    body = sent(OLLAMA, options=options, extra_body={"options": {"num_gpu": 1}})[1]
    assert (body["keep_alive"], body["think"], body["options"]) == (
        0,
        False,
        {"num_predict": 5, "stop": ["x"], "num_gpu": 1},
    )
    assert sent(COMPATIBLE, options={"logprobs": True, "top_logprobs": 3})[1]["logprobs"] == 3
    assert sent(COMPATIBLE, options={"logprobs": True})[1]["logprobs"] == 1
    assert "logprobs" not in sent(COMPATIBLE, options={"logprobs": False})[1]


@pytest.mark.parametrize("name", ["reasoning", "chat_template_kwargs", "continue_final_message"])
def test_an_option_of_the_template_is_refused(name: str) -> None:
    with pytest.raises(Unsupported, match=f"A raw completion has no option '{name}'"):
        sent(LLAMACPP, options={name: True})


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="prompt is empty"):
        CompletionRequest("")
    assert CompletionRequest("", "b").suffix == "b"


def test_a_completion_is_read_to_its_end() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    found = reply(
        text("Hel"), text("lo", "stop"), event({"choices": [], "usage": usage, "timings": {"prompt_n": 1}}), DONE
    )
    assert (found.text, found.finish, found.model) == ("Hello", "stop", "m")
    assert (found.usage, found.timings) == (Usage(1, 2, 3), Timings(prompt_tokens=1))


def test_several_completions_are_kept_apart() -> None:
    found = reply(
        text("a", index="1"), text("b"), text("", "stop"), text("c", "length", index="1"), text("!", index=1), DONE
    )
    assert (found.text, found.finish) == ("b", "stop")
    assert [(other.text, other.finish) for other in found.alternatives] == [("ac", "length")]


def test_logprobs_are_read_as_in_a_chat() -> None:
    content = [{"token": "a", "logprob": -0.1}]
    choice = {"index": 0, "text": "a", "logprobs": {"content": content}, "finish_reason": "stop"}
    assert reply(event({"choices": [choice]})).logprobs == content
    line = {"response": "a", "logprobs": content, "done": True}
    assert reply(json.dumps(line).encode(), backend=OLLAMA).logprobs == content


def test_a_filled_gap_is_read() -> None:
    frames = [event({"content": "x", "stop": False}), event({"content": "y", "stop": True, "stop_type": "limit"})]
    assert (reply(*frames, backend=LLAMACPP).text, reply(*frames, backend=LLAMACPP).finish) == ("xy", "length")
    last = event({"content": "", "stop": True, "stop_type": "eos", "timings": {"predicted_n": 2}})
    found = reply(frames[0], last, backend=LLAMACPP)
    assert (found.finish, found.timings) == ("stop", Timings(completion_tokens=2))
    assert reply(text("Hi", "stop"), backend=LLAMACPP).text == "Hi"


def test_ollamas_lines_are_read() -> None:
    lines = [
        {"model": "m", "response": "", "thinking": "hm", "done": False},
        {"model": "m", "response": "Hi", "done": False},
        {"model": "m", "response": "", "done": True, "done_reason": "length", "prompt_eval_count": 3, "eval_count": 1},
    ]
    found = reply(*(json.dumps(line).encode() + b"\n\n" for line in lines), backend=OLLAMA)
    assert (found.text, found.reasoning, found.finish, found.usage) == ("Hi", "hm", "length", Usage(3, 1, 4))
    assert reply(b'{"response":"Hi","done":true}', backend=OLLAMA).finish == "stop"


@pytest.mark.parametrize("frames", [[], [text("Hel")], [DONE], [text("a", "stop"), text("b", index=1)]])
def test_a_completion_that_ends_too_early_is_an_error(frames: list[bytes]) -> None:
    with pytest.raises(StreamInterrupted):
        reply(*frames)


def test_a_completion_is_over_with_done_though_no_finish_came() -> None:
    found = reply(text("Hi"), text("Ho", index=1), text("", "length", index=1), DONE, text("more"))
    assert (found.text, found.finish, found.alternatives[0].finish) == ("Hi", "stop", "length")


@pytest.mark.parametrize(
    ("backend", "begun", "finished", "half"),
    [
        (COMPATIBLE, text("Hi"), text("Hi", "stop"), b'data: {"choices":[{"te'),
        (LLAMACPP, event({"content": "Hi"}), event({"content": "Hi", "stop": True}), b'data: {"cont'),
        (OLLAMA, b'{"response":"Hi"}\n', b'{"response":"Hi","done":true}\n', b'{"model":"m","resp'),
    ],
)
def test_quirk_12_half_a_frame_at_the_end_of_a_completion_is_a_cut_or_nothing(
    backend: Backend, begun: bytes, finished: bytes, half: bytes
) -> None:
    played = play(stream(backend), [begun, half])
    assert (played.reply.text, type(played.error)) == ("Hi", StreamInterrupted)
    found = reply(finished, half, backend=backend)
    assert (found.text, found.finish) == ("Hi", "stop")


@pytest.mark.parametrize(
    ("frame", "kind"), [(event({"error": "it broke"}), ServerError), (b"data: no\n\n", ProtocolError)]
)
def test_an_error_behind_text_comes_after_it(frame: bytes, kind: type[Exception]) -> None:
    for together in (True, False):
        frames = [text("Hi") + frame] if together else [text("Hi"), frame]
        played = play(stream(), frames)
        assert (played.reply.text, type(played.error)) == ("Hi", kind)


def test_a_filled_gap_has_its_usage_with_what_was_cached() -> None:
    last = {"content": "", "stop": True, "stop_type": "limit", "tokens_evaluated": 9, "tokens_predicted": 2}
    filled = reply(event({"content": "x"}), event({**last, "timings": {"cache_n": 4}}), backend=LLAMACPP)
    assert (filled.text, filled.finish, filled.usage) == ("x", "length", Usage(9, 2, 11, 4))


def test_an_error_is_raised_again_by_the_next_call() -> None:
    reading = stream()
    assert reading.feed(text("Hi") + event({"error": "it broke"}))
    for again in (lambda: reading.feed(b""), reading.close):
        with pytest.raises(ServerError):
            again()


def test_a_completion_in_one_document_is_read() -> None:
    document = {"choices": [{"index": 0, "text": "Hi", "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}}
    deltas = stream().whole(json.dumps(document).encode())
    assert [(delta.text, delta.finish) for delta in deltas] == [("Hi", "stop"), ("", None)]
    assert deltas[-1] == Delta(usage=Usage(1, 0, 1))
    with pytest.raises(ServerError):
        stream().whole(b'{"error":"it broke"}')


LINES = b'{"response":"Hi","done":false}\n{"response":"!","done":true,"done_reason":"stop"}\n'


@pytest.mark.parametrize(
    ("backend", "body"),
    [
        (COMPATIBLE, text("Hi") + text("!", "stop")),
        (LLAMACPP, b": ping\n\n" + text("Hi") + text("!", "stop") + DONE),
        (OLLAMA, LINES),
        (OLLAMA, LINES.replace(b"\n", b"\r\n\r\n")),
    ],
)
def test_quirk_20_a_stream_of_a_completion_that_was_called_a_document_is_read(backend: Backend, body: bytes) -> None:
    read = ChatReply.gather(stream(backend).whole(body))
    assert (read.text, read.finish) == ("Hi!", "stop")


def test_quirk_20_a_completion_as_a_document_that_was_called_a_stream_is_read() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    body = {"choices": [{"index": 0, "text": "Hi", "finish_reason": "stop"}], "usage": usage}
    read = reply(json.dumps(body, indent=1).encode())
    assert (read.text, read.finish, read.usage) == ("Hi", "stop", Usage(3, 2, 5))


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b'{"id": 1}'])
def test_quirk_19_what_is_no_completion_at_all_is_an_error(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        reply(body)


@pytest.mark.parametrize("shape", [{"detail": "It broke."}, {"message": "It broke."}, {"error": "It broke."}])
@pytest.mark.parametrize("backend", [COMPATIBLE, LLAMACPP, OLLAMA])
def test_quirk_23_an_error_in_a_completion_has_any_shape(backend: Backend, shape: dict[str, str]) -> None:
    frame = json.dumps(shape).encode() + b"\n" if backend is OLLAMA else event(shape)
    with pytest.raises(ServerError, match="It broke"):
        reply(frame, backend=backend)


def test_log_probabilities_of_half_a_character_are_kept() -> None:
    parts = [[{"token": "", "bytes": [240, 159], "logprob": -0.1}], [{"token": "😀", "logprob": -0.2}]]
    frames = [
        event({"choices": [{"index": 0, "text": text, "logprobs": {"content": content}, "finish_reason": None}]})
        for text, content in zip(("", "😀"), parts, strict=True)
    ]
    assert reply(*frames, text("", "stop"), DONE).logprobs == [*parts[0], *parts[1]]
