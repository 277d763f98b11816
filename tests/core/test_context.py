"""A prompt that is too long: refused by servers that say so, and noticed where Ollama cuts it without a word."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from vessel_core.counting import estimate_chat
from vessel_core.errors import ContextOverflow, InputTooLarge
from vessel_core.local import LocalServer
from vessel_core.types import Message

from tests.core.driving import Connect
from tests.core.wire.play import HELLO, ask, event, last, line
from tests.fake_server import NDJSON, FakeServer, Request, Response, llamacpp_server, ollama_server


def json_line(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode() + b"\n"


WORDS = 2400


@pytest.fixture(scope="module")
def gap_server() -> Iterator[LocalServer]:
    with LocalServer.demo("chat", context_length=4096, parallel=1, batch_size=512) as server:
        yield server


LONG: list[Message] = [{"role": "user", "content": "The quick brown fox jumps. " * (WORDS // 5)}]
"""About 3,000 tokens: 12,960 bytes, estimated as 3,703 tokens and 4 for the message."""


def ollama(prompt_tokens: int, *, context: int = 4096, loaded: bool = True) -> FakeServer:
    chat = [line({"role": "assistant", "content": "Hi"}), last(prompt_eval_count=prompt_tokens, eval_count=1)]
    routes: Any = {} if loaded else {("GET", "/api/ps"): Response.json({"models": []})}
    return ollama_server(chat, context_length=context, routes=routes)


@pytest.mark.parametrize(
    ("prompt_tokens", "context", "cut"),
    [
        (2048, 2048, True),  # as many as there is room for
        (1030, 2048, True),  # half of it, after Ollama has dropped the oldest messages
        (3000, 4096, False),  # it fits
        (2399, 3000, True),  # fewer tokens than words
        (2400, 3000, False),  # as many
        (2960, 3000, False),  # it fits, just so
        (2975, 3000, True),
        (3000, 3500, False),  # the estimate says too many, the count fits
        (3600, 3500, False),  # more than there is room for: the context is not the one that was read
        (0, 2048, False),  # nothing was counted
    ],
)
def test_a_prompt_that_ollama_cut_is_noticed_by_the_context_it_has_allocated(
    connect: Connect, prompt_tokens: int, context: int, cut: bool
) -> None:
    with ollama(prompt_tokens, context=context) as server:
        client = connect("ollama", base_url=server.base_url, model="qwen3:8b")
        reply = client.chat(LONG)
        assert (reply.truncated, reply.text) == (cut, "Hi")
        assert [request.path for request in server.requests] == ["/api/ps", "/api/chat"]


@pytest.mark.parametrize(("given", "allocated", "cut"), [(2048, 4096, True), (32768, 2048, True), (32768, 4096, False)])
def test_the_context_is_what_the_request_sets_or_less_if_the_server_has_less(
    connect: Connect, given: int, allocated: int, cut: bool
) -> None:
    with ollama(2048, context=allocated) as server:
        client = connect("ollama", base_url=server.base_url, model="qwen3:8b")
        assert client.chat(LONG, num_ctx=given).truncated is cut


@pytest.mark.parametrize(("digits", "read"), [("3141592653 ", 4060), ("0123456789", 4090)])
def test_digits_are_more_tokens_than_letters(connect: Connect, digits: str, read: int) -> None:
    with ollama(read) as server:
        client = connect("ollama", base_url=server.base_url, model="qwen3:8b")
        assert client.chat([{"role": "user", "content": (digits * 2000)[:14_000]}]).truncated
        assert not client.chat([{"role": "user", "content": (digits * 2000)[:8_000]}]).truncated


PICTURES: Any = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}] * 10


@pytest.mark.parametrize(
    ("content", "read"),
    [  # as gpt-oss counts them, the Chinese as Qwen3 does, and ten pictures at 64 tokens each
        ("भारत एक विशाल देश है जिसमें अनेक भाषाएँ बोली जाती हैं। " * 160, 2251),
        ("ঢাকা বাংলাদেশের রাজধানী এবং সবচেয়ে বড় শহর যেখানে কোটি মানুষ বাস করে। " * 150, 2412),
        ("Вчера вечером мы гуляли по набережной и говорили о том, как изменился город. " * 130, 2741),
        ("今天天气很好，我们一起去公园散步，看到了许多漂亮的花和小动物，大家都很开心。" * 150, 3010),
        (
            ("| Name                 | Value                | Description                    |\n" + "-" * 79 + "\n")
            * 110,
            2122,
        ),
        ("The quick brown fox jumps because international communication requires understanding. " * 180, 1991),
        ([*PICTURES, {"type": "text", "text": "Compare"}], 660),
    ],
)
@pytest.mark.parametrize("strict", [None, True])
def test_a_prompt_that_was_read_whole_is_not_taken_for_cut_whatever_it_is(
    connect: Connect, content: Any, read: int, strict: bool | None
) -> None:
    with ollama(read) as server:
        client = connect("ollama", base_url=server.base_url, model="qwen3:8b")
        messages: list[Message] = [{"role": "user", "content": content}]
        assert client.count_chat_tokens(messages) > 4096
        reply = client.chat(messages, strict=strict)
        assert (reply.text, reply.truncated) == ("Hi", False)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Вчера вечером мы гуляли по набережной и говорили о том, как изменился город. " * 300, 2048),
        ("今天天气很好，我们一起去公园散步，看到了许多漂亮的花和小动物，大家都很开心。" * 500, 2048),
        ("今天天气很好，我们一起去公园散步，看到了许多漂亮的花和小动物，大家都很开心。" * 200, 4096),
    ],
)
def test_a_prompt_in_any_script_that_ollama_cut_is_noticed(connect: Connect, text: str, read: int) -> None:
    with ollama(read) as server:
        client = connect("ollama", base_url=server.base_url, model="qwen3:8b")
        assert client.chat([{"role": "user", "content": text}]).truncated


def test_what_a_template_may_leave_out_is_no_sign_of_a_cut(connect: Connect) -> None:
    thought = "I had to think of it for a while. " * 600
    messages: list[Message] = [
        HELLO,
        {"role": "assistant", "content": f"<think>{thought}</think>Hi", "reasoning": thought},
        HELLO,
    ]
    with ollama(30) as server:
        assert not connect("ollama", base_url=server.base_url, model="qwen3:8b").chat(messages).truncated


def test_prose_of_long_words_is_not_taken_for_cut(connect: Connect) -> None:
    prose = "The committee considered the application carefully and recommended further investigation of it. " * 180
    with ollama(3500) as server:
        client = connect("ollama", base_url=server.base_url, model="qwen3:8b")
        for strict in (None, True):
            reply = client.chat([{"role": "user", "content": prose[:16_400]}], strict=strict)
            assert (reply.truncated, reply.text) == (False, "Hi")


@pytest.mark.parametrize(("read", "cut"), [(1030, True), (2048, True), (1990, False), (0, False)])
@pytest.mark.parametrize("suffix", [None, "end"])
def test_a_raw_prompt_that_ollama_cut_is_noticed_too(
    connect: Connect, read: int, cut: bool, suffix: str | None
) -> None:
    pieces = [
        {"response": "Hi", "done": False},
        {"response": "", "done": True, "prompt_eval_count": read, "eval_count": 1},
    ]
    routes: Any = {("POST", "/api/generate"): Response.stream(*map(json_line, pieces), content_type=NDJSON)}
    with ollama_server(context_length=2048, routes=routes) as server:
        client = connect("ollama", base_url=server.base_url, model="qwen3:8b")
        prompt = "The quick brown fox jumps. " * 300
        reply = client.complete(prompt, suffix=suffix)
        assert (reply.truncated, reply.text) == (cut, "Hi")
        assert not client.complete("short", suffix=suffix).truncated
        assert len(server.asked("/api/ps")) == 1


@pytest.mark.parametrize(
    ("before", "behind", "cut"),
    [(150, 50, False), (200, 1, True), (1, 200, True), (10, 10, False)],  # 381 and 126 tokens fit
)
def test_what_the_real_server_cuts_around_a_gap_is_noticed(
    connect: Connect, gap_server: LocalServer, before: int, behind: int, cut: bool
) -> None:
    client = connect(base_url=gap_server.base_url)
    gap: Any = {"prompt": "word " * before, "suffix": " word" * behind, "max_tokens": 3}
    reply = client.complete(**gap)
    assert (reply.truncated, reply.usage is not None) == (cut, True)
    if not cut:
        assert client.complete(**gap, strict=True).text == reply.text
        return
    with pytest.raises(ContextOverflow, match="tokens around the gap") as caught:
        client.complete(**gap, strict=True)
    assert caught.value.partial is not None
    assert (caught.value.prompt_tokens or 0) >= before + behind


@pytest.mark.parametrize(("words", "counted"), [(100, 0), (101, 2)])
def test_a_gap_is_counted_only_where_its_sides_are_long_and_a_server_that_can_not_fills_it(
    connect: Connect, words: int, counted: int
) -> None:
    last = {"content": "Hi", "stop": True, "stop_type": "eos", "tokens_evaluated": 9, "tokens_predicted": 1}
    tokens = [
        Response.json({"tokens": [1] * 5}),
        Response.json({"error": {"message": "File Not Found", "code": 404}}, 404),
    ]
    routes: Any = {("POST", "/infill"): Response.stream(event(last)), ("POST", "/tokenize"): tokens}
    with llamacpp_server(routes=routes) as server:
        reply = connect(base_url=server.base_url, model="m").complete("word " * words, suffix="0123456789", strict=True)
        assert (reply.text, reply.truncated, len(server.asked("/tokenize"))) == ("Hi", False, counted)


def test_strict_makes_a_raw_prompt_that_was_cut_an_error_with_what_came(connect: Connect) -> None:
    pieces = [
        {"response": "Hi", "done": False},
        {"response": "", "done": True, "prompt_eval_count": 900, "eval_count": 1},
    ]
    routes: Any = {("POST", "/api/generate"): Response.stream(*map(json_line, pieces), content_type=NDJSON)}
    with ollama_server(context_length=2048, routes=routes) as server:
        client = connect("ollama", base_url=server.base_url, model="qwen3:8b")
        with pytest.raises(ContextOverflow, match="read 900") as caught:
            client.complete("The quick brown fox jumps. " * 300, strict=True)
        assert caught.value.partial is not None
        assert caught.value.partial.text == "Hi"
        assert server.asked("/api/generate")[0].json()["truncate"] is False


@pytest.mark.parametrize(("prompt_tokens", "cut"), [(1030, True), (2399, True), (2400, False)])
def test_of_a_model_that_is_not_loaded_yet_only_a_count_no_language_has_tells(
    connect: Connect, prompt_tokens: int, cut: bool
) -> None:
    with ollama(prompt_tokens, loaded=False) as server:
        assert connect("ollama", base_url=server.base_url, model="qwen3:8b").chat(LONG).truncated is cut


def test_a_model_that_is_not_loaded_yet_is_loaded_to_know_its_context(connect: Connect) -> None:
    loaded: list[Any] = []

    def chat(request: Request) -> Response:
        loaded.append(request.json().get("options"))
        if not request.json()["messages"]:
            return Response.json({"model": "qwen3:8b", "done": True, "done_reason": "load"})
        pieces = [line({"role": "assistant", "content": "Hi"}), last(prompt_eval_count=2048, eval_count=1)]
        return Response.stream(*pieces, content_type=NDJSON)

    def running(_: Request) -> Response:
        names = [{"name": "qwen3:8b", "model": "qwen3:8b", "context_length": 2048}] if loaded else []
        return Response.json({"models": names})

    with ollama_server(routes={("POST", "/api/chat"): chat, ("GET", "/api/ps"): running}) as server:
        client = connect("ollama", base_url=server.base_url, model="qwen3:8b")
        assert client.chat(LONG, num_gpu=1, temperature=0).truncated
        assert loaded == [{"num_gpu": 1}, {"num_gpu": 1, "temperature": 0}]
        assert client.chat(LONG).truncated
        assert len(server.asked("/api/chat")) == 3


def test_a_model_of_the_cloud_is_not_loaded(connect: Connect) -> None:
    with ollama(1030, loaded=False) as server:
        assert connect("ollama", base_url=server.base_url, model="gpt-oss:120b-cloud").chat(LONG).truncated
        assert len(server.asked("/api/chat")) == 1


def test_for_a_short_prompt_nothing_is_asked(connect: Connect) -> None:
    with ollama(1) as server:
        assert not connect("ollama", base_url=server.base_url, model="qwen3:8b").chat([HELLO]).truncated
        assert server.asked("/api/ps") == []


def test_strict_makes_a_cut_prompt_an_error_with_what_came(connect: Connect) -> None:
    with ollama(1030, context=2048) as server:
        client = connect("ollama", base_url=server.base_url, model="qwen3:8b")
        with pytest.raises(ContextOverflow, match="Ollama cut the prompt") as caught:
            client.chat(LONG, strict=True)
        assert (caught.value.context_length, caught.value.prompt_tokens) == (2048, 3707)
        assert caught.value.partial is not None
        assert caught.value.partial.text == "Hi"
        assert "num_ctx" in str(caught.value.hint)
        assert server.asked("/api/chat")[0].json()["truncate"] is False


def test_strict_lets_a_prompt_through_that_fits(connect: Connect) -> None:
    with ollama(3000) as server:
        reply = connect("ollama", base_url=server.base_url, model="qwen3:8b").chat(LONG, strict=True)
        assert (reply.text, reply.truncated) == ("Hi", False)


def test_strict_holds_for_an_answer_in_one_document_too(connect: Connect) -> None:
    whole = {
        "model": "qwen3:8b",
        "message": {"role": "assistant", "content": "Hi"},
        "done": True,
        "prompt_eval_count": 1030,
    }
    with ollama_server(Response.json(whole), context_length=2048) as server:
        client = connect("ollama", base_url=server.base_url, model="qwen3:8b")
        assert client.chat(LONG).truncated
        with pytest.raises(ContextOverflow):
            client.chat(LONG, strict=True)


def test_ollamas_own_refusal_is_the_same_error(connect: Connect) -> None:
    refusal = Response.json({"error": "the input length exceeds the context length"}, 400)
    with ollama_server(refusal) as server:
        with pytest.raises(ContextOverflow):
            connect("ollama", base_url=server.base_url, model="qwen3:8b").chat(LONG, strict=True)


@pytest.mark.parametrize("strict", [True, None])
def test_the_real_server_refuses_with_both_sizes(
    connect: Connect, small_context_server: LocalServer, strict: bool | None
) -> None:
    with pytest.raises(ContextOverflow) as caught:
        connect(base_url=small_context_server.base_url).chat(LONG, strict=strict)
    assert caught.value.context_length == 1024
    assert (caught.value.prompt_tokens or 0) > 1024


def test_a_text_above_the_context_is_told_from_the_others_by_the_real_server(connect: Connect) -> None:
    with LocalServer.demo("embedding", context_length=512, parallel=1, batch_size=2048) as server:
        client = connect("llamacpp", base_url=server.base_url)
        with pytest.raises(InputTooLarge, match="512") as caught:
            client.embed(["a", "word " * 900, "b"])
        assert caught.value.index == 1
        assert [vector and len(vector) for vector in caught.value.vectors or ()] == [256, None, 256]


def test_the_estimate_counts_what_is_beside_the_words() -> None:
    assert estimate_chat(ask({"role": "user", "content": PICTURES})) == 5004


def test_a_text_too_long_to_embed_is_an_error_unless_it_may_be_cut(connect: Connect) -> None:
    def embed(request: Any) -> Response:
        if request.json()["truncate"] is False:
            return Response.json({"error": "the input length exceeds the context length"}, 400)
        return Response.json({"model": "m", "embeddings": [[1.0, 2.0]], "prompt_eval_count": 512})

    with ollama_server(routes={("POST", "/api/embed"): embed}) as server:
        client = connect("ollama", base_url=server.base_url, model="m")
        with pytest.raises(InputTooLarge):
            client.embed(["long " * 999])
        assert client.embed(["long " * 999], truncate=True).vectors == [[1.0, 2.0]]
