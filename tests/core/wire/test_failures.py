"""How what servers say went wrong becomes one of our exceptions. The bodies are the servers' own."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vessel_core.errors import (
    AuthFailed,
    BadRequest,
    ContextOverflow,
    InputTooLarge,
    ModelLoading,
    ModelNotFound,
    ProtocolError,
    RateLimited,
    ServerBusy,
    ServerError,
    StreamInterrupted,
    Unsupported,
    VesselError,
)
from vessel_core.wire import Reply
from vessel_core.wire.failure_shapes import failure_in
from vessel_core.wire.failures import error_from, json_body, retry_after

from tests.core.wire.play import chunk, event, line, ollama_stream, openai_stream, play, said, told
from tests.core.wire.test_tools import values
from tests.fake_server import transcript


def error(status: int, body: object, **headers: str) -> VesselError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return error_from(Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, data))


def llamacpp(status: int, kind: str, message: str, **rest: object) -> VesselError:
    return error(status, {"error": {"code": status, "message": message, "type": kind, **rest}})


def test_an_error_holds_what_the_server_sent() -> None:
    found = error(404, {"error": "model 'x' not found"}, x_request_id="r1")
    assert found.status_code == 404
    assert found.request_id == "r1"
    assert found.response is not None
    assert found.response.json() == {"error": "model 'x' not found"}
    assert "model 'x' not found" in str(found)
    assert found.hint


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": "it broke"}, "it broke"),
        ({"error": {"message": "it broke"}}, "it broke"),
        ({"error": {"message": "it broke", "trace": None}}, "it broke"),
        ({"error": '{"error": {"code": 500, "message": "it broke", "type": "server_error"}}'}, "it broke"),
        ({"error": {"message": '{"error": {"message": "it broke"}}'}}, "it broke"),
        ({"error": "{it broke"}, "{it broke"),
        ({"object": "error", "message": "it broke", "type": "InternalError", "param": None, "code": 500}, "it broke"),
        ({"detail": "it broke"}, "it broke"),
        ({"detail": [{"type": "missing", "loc": ["body", 0], "msg": "Field required"}]}, "body.0: Field required"),
        ({"detail": ["it broke"]}, "it broke"),
        ({"message": "it broke"}, "it broke"),
        ({"status": "it broke"}, "it broke"),
        ({"error": {"kind": "strange"}}, "strange"),
        ({"error": 7}, "7"),
        ({"error": True, "message": "it broke"}, "it broke"),
        ({"error": True, "detail": "it broke"}, "it broke"),
        ({"error": True}, "True"),
        (b"it broke", "it broke"),
    ],
)
def test_quirk_23_an_error_has_many_forms(body: object, words: str) -> None:
    assert words in error(500, body).message


@pytest.mark.parametrize("code", [400, "400", None, "model_not_found"])
def test_quirk_24_a_code_is_a_number_a_text_or_nothing(code: object) -> None:
    found = error(400, {"error": {"message": "no", "type": None, "param": None, "code": code}})
    assert type(found) is (ModelNotFound if code == "model_not_found" else BadRequest)


def test_quirk_22_an_error_with_status_200_is_an_error() -> None:
    body = b'{"error":"Unexpected endpoint or method. (GET /x)"}'
    with pytest.raises(Unsupported, match="Unexpected endpoint"):
        json_body(Reply(200, body=body))
    with pytest.raises(Unsupported):
        openai_stream().whole(body)


@pytest.mark.parametrize("name", ["llamacpp/error.sse", "localai/error.sse"])
def test_quirk_25_an_error_in_a_stream_is_raised_and_what_came_is_kept(name: str) -> None:
    played = play(openai_stream(), [transcript(name)])
    assert played.reply.text
    assert type(played.error) is ServerError


@pytest.mark.parametrize(
    "document",
    [{"error": "it broke"}, {"error": {"message": "it broke"}}, {"detail": "it broke"}, {"message": "it broke"}],
)
def test_quirk_25_an_error_line_of_ollamas_is_raised(document: dict[str, Any]) -> None:
    with pytest.raises(ServerError, match="it broke"):
        told(line({"content": "Hi"}), json.dumps(document).encode() + b"\n")


@pytest.mark.parametrize(
    "message",
    [
        "Invalid value for context length: must be positive",
        "context length must be at least 1",
        "invalid value: context length",
    ],
)
def test_a_context_length_that_is_none_is_a_bad_request_and_no_overflow(message: str) -> None:
    assert type(error(400, {"error": message})) is BadRequest


def test_a_prompt_that_must_be_shorter_than_the_context_length_does_not_fit() -> None:
    assert type(error(400, {"error": "The prompt must be shorter than\nthe context length"})) is ContextOverflow


def test_a_pictures_url_that_llamacpp_cannot_fetch_is_a_bad_request() -> None:
    found = llamacpp(500, "server_error", "error: cannot make GET request")
    assert type(found) is BadRequest


def test_quirk_25_an_empty_error_beside_choices_is_none() -> None:
    assert said(event({"choices": [{"delta": {"content": "Hi"}}], "error": None})).text == "Hi"


@pytest.mark.parametrize("document", [{"detail": "Internal error"}, {"message": "Internal error", "code": 500}])
@pytest.mark.parametrize("before", [[], [chunk({"content": "half"})]])
def test_quirk_25_an_error_without_its_name_is_one(document: dict[str, Any], before: list[bytes]) -> None:
    played = play(openai_stream(), [*before, event(document), b"data: [DONE]\n\n"])
    assert isinstance(played.error, ServerError)
    assert "Internal error" in played.error.message
    assert played.reply.text == ("half" if before else "")


def test_quirk_22_a_detail_with_status_200_is_an_error() -> None:
    with pytest.raises(ServerError, match="Not allowed"):
        openai_stream().whole(b'{"detail": "Not allowed"}')


def test_quirk_26_an_erased_error_is_a_cut_stream() -> None:
    assert isinstance(play(openai_stream(), [transcript("ollama/v1_erased_error.sse")]).error, StreamInterrupted)


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (llamacpp(500, "server_error", "[json.exception.type_error.302] type must be string, but is null"), BadRequest),
        (llamacpp(500, "server_error", "Failed to parse messages: Missing 'role' in message: {}"), BadRequest),
        (llamacpp(500, "server_error", "image input is not supported - hint: you may need the mmproj"), Unsupported),
        (
            llamacpp(
                500,
                "server_error",
                "input (3600 tokens) is too large to process. increase the physical batch size "
                "(current batch size: 512)",
            ),
            InputTooLarge,
        ),
        (
            llamacpp(
                500, "server_error", "The model produced output that does not match the expected peg-native format"
            ),
            ServerError,
        ),
    ],
)
def test_quirk_27_the_words_tell_more_than_the_status(found: VesselError, kind: type[VesselError]) -> None:
    assert type(found) is kind


def test_quirk_27_an_exception_that_comes_as_404_is_nothing_to_send_again() -> None:
    assert not isinstance(error(404, {"error": "'NoneType' object is not subscriptable"}), ServerError | ServerBusy)


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (llamacpp(503, "unavailable_error", "Loading model"), ModelLoading),
        (error(503, {"error": "server busy, please try again.  maximum pending requests exceeded"}), ServerBusy),
        (error(503, b""), ServerBusy),
        (error(200, {"error": "the model is loading"}), ServerError),
    ],
)
def test_quirk_28_a_server_that_loads_is_told_from_one_that_is_busy(
    found: VesselError, kind: type[VesselError]
) -> None:
    assert type(found) is kind


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (413, BadRequest, "100 MB"),
        (403, AuthFailed, "loopback"),
        (500, ServerError, "HTTP 500"),
        (502, ServerError, "HTTP 502"),
    ],
)
def test_quirk_29_an_error_without_a_body_is_told_by_its_status(
    status: int, kind: type[VesselError], words: str
) -> None:
    found = error(status, b"")
    assert type(found) is kind
    assert words in found.message


@pytest.mark.parametrize(
    ("found", "prompt", "length"),
    [
        (
            llamacpp(
                400,
                "exceed_context_size_error",
                "request (6096 tokens) exceeds the available context size (1024 tokens), try increasing it",
                n_prompt_tokens=6096,
                n_ctx=1024,
            ),
            6096,
            1024,
        ),
        (
            error(
                400,
                {
                    "error": {
                        "message": "This model's maximum context length is 4096 tokens. However, you requested "
                        "5000 tokens",
                        "type": "BadRequestError",
                        "param": None,
                        "code": 400,
                    }
                },
            ),
            5000,
            4096,
        ),
        (
            error(
                400,
                b"This model's maximum context length is 4096 tokens. However, you requested 5000 tokens "
                b"(4500 in the messages, 500 in the completion).",
            ),
            4500,
            4096,
        ),
        (
            error(
                400,
                b"This model's maximum context length is 4096 tokens. However, your request has 5000 input tokens. "
                b"Please reduce the length of the input messages.",
            ),
            5000,
            4096,
        ),
        (
            error(
                400,
                b"Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a total "
                b"of 5000 tokens: 4900 tokens from the input messages and 100 tokens for the completion.",
            ),
            4900,
            4096,
        ),
        (
            error(
                400,
                {
                    "error": "Trying to keep the first 4979 tokens when context the overflows. However, the model is "
                    "loaded with context length of only 4096 tokens, which is not enough."
                },
            ),
            4979,
            4096,
        ),
        (
            error(
                400,
                {
                    "object": "error",
                    "message": "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
                    "type": "BadRequestError",
                },
            ),
            5000,
            4096,
        ),
        (error(400, b"Prompt length 5000 is greater than max_seq_len 4096"), 5000, 4096),
        (error(400, b"ContextWindowExceededError: prompt is too long: 5000 tokens > 4096 maximum"), 5000, 4096),
        (llamacpp(400, "exceed_context_size_error", "too long", n_prompt_tokens=6096, n_ctx=1024), 6096, 1024),
        (error(200, {"error": {"message": "Input does not fit in context length…"}}), None, None),
        (error(400, {"error": "Trying to keep the first 5000 tokens when context the overflows"}), 5000, None),
        (error(400, {"error": "Context size has been exceeded."}), None, None),
        (error(500, {"error": "no user query found in messages"}), None, None),
        (error(400, {"error": "the input length exceeds the context length"}), None, None),
    ],
)
def test_quirk_30_a_prompt_too_long_is_one_error_with_its_numbers(
    found: VesselError, prompt: int | None, length: int | None
) -> None:
    assert isinstance(found, ContextOverflow)
    assert (found.prompt_tokens, found.context_length) == (prompt, length)


@pytest.mark.parametrize("frames", [[], [b"data: [DONE]\n\n"], [chunk({"role": "assistant"}), b"data: [DONE]\n\n"]])
def test_quirk_32_an_empty_stream_is_an_error(frames: list[bytes]) -> None:
    with pytest.raises(StreamInterrupted, match="without an answer"):
        said(*frames, end=())
    assert isinstance(play(ollama_stream(), []).error, StreamInterrupted)


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (llamacpp(401, "authentication_error", "Invalid API Key"), AuthFailed),
        (error(401, {"error": "unauthorized", "signin_url": "https://ollama.com"}), AuthFailed),
        (llamacpp(404, "not_found_error", "File Not Found"), Unsupported),
        (error(404, b"404 page not found"), Unsupported),
        (error(405, b"405 method not allowed"), Unsupported),
        (error(404, {"error": "model 'x' not found"}), ModelNotFound),
        (llamacpp(400, "invalid_request_error", "model 'nope' not found"), ModelNotFound),
        (error(404, {"error": {"message": "No models loaded. Please load a model…", "code": None}}), ModelNotFound),
        (error(400, {"error": '"test" does not support thinking'}), Unsupported),
        (
            llamacpp(
                501, "not_supported_error", "This server does not support embeddings. Start it with `--embeddings`"
            ),
            Unsupported,
        ),
        (llamacpp(400, "invalid_request_error", "Cannot use custom grammar constraints with tools."), BadRequest),
        (llamacpp(400, "invalid_request_error", "Input content cannot be empty"), BadRequest),
        (error(400, {"error": "'response_format.type' must be 'json_schema' or 'text'"}), BadRequest),
        (error(422, {"detail": [{"loc": ["body"], "msg": "Field required"}]}), BadRequest),
        (error(500, b"proxy error: Could not establish connection"), ServerError),
        (error(429, b""), RateLimited),
        (error(429, {"error": "server busy, the model does not support more"}), RateLimited),
        (error(418, b""), BadRequest),
    ],
)
def test_what_servers_say_is_told_apart(found: VesselError, kind: type[VesselError]) -> None:
    assert type(found) is kind


def test_quirk_19_a_page_is_shown_by_its_words() -> None:
    page = b"<html><head><title>502</title><style>p {color: red}</style></head><body><h1>Bad Gateway</h1></body></html>"
    assert error(502, page).message == "The server failed: 502 Bad Gateway"
    with pytest.raises(ProtocolError, match="502 Bad Gateway"):
        json_body(Reply(200, body=page))
    heading, much = b"<html><h1>502 Bad Gateway</h1>", b"<p>more</p>" * 10_000
    assert error(502, heading + much).message.startswith("The server failed: 502 Bad Gateway more")
    styles = b"<style>" + b"p{color:red}" * 2_000
    assert error(502, styles + b"</style>" + heading).message == "The server failed: 502 Bad Gateway"
    assert error(502, heading + styles * 10).message == "The server failed: 502 Bad Gateway"


def test_a_long_text_is_cut_between_words_if_it_has_any() -> None:
    assert error(400, ("word " * 1_000).encode()).message.endswith(" word ")
    assert error(400, ("内存不足" * 1_000).encode()).message.endswith("内存不足" * 125)


def test_what_came_of_an_error_that_was_cut_is_read() -> None:
    whole = '{"error": {"code": 400, "message": "invalid api key: \\"caf\\u00e9\\" é", "type": "x"}}'.encode()
    for end in range(whole.index(b":", whole.index(b"invalid")), len(whole)):
        assert error(400, whole[:end]).message.startswith("The key is missing or wrong: invalid api key")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Mon, 23 Nov 2026 10:00:07 GMT", "date": "Mon, 23 Nov 2026 10:00:00 GMT"}, 7.0),
        ({"retry-after": "Mon, 23 Nov 2026 10:00:07 -0000", "date": "Mon, 23 Nov 2026 10:00:00 GMT"}, None),
        ({"retry-after": "Mon, 23 Nov 2026 10:00:07 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "soon", "retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "3"}, 3.0),
        ({"retry-after": "3, 7"}, 7.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "1.2.3"}, None),
        ({"retry-after": "Mon, 23 Nov 2026 10:00:" + "3" * 40 + " GMT", "date": "Mon, 23 Nov 2026 10:00:00 GMT"}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait_is_read_from_the_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds
    found = error_from(Reply(429, headers))
    assert isinstance(found, RateLimited)
    assert found.retry_after == seconds


names = ["error", "message", "detail", "object", "type", "code", "n_ctx", "n_prompt_tokens", "loc", "msg", "status"]
documents = st.dictionaries(st.sampled_from(names), values | st.dictionaries(st.sampled_from(names), values))


@given(documents | values, st.sampled_from([200, 400, 401, 404, 429, 500, 503]))
def test_any_json_makes_an_error(document: Any, status: int) -> None:
    found = error(status, document)
    assert str(found)
    assert isinstance(error_from(Reply(status), failure_in(document)), VesselError)


@given(st.binary(max_size=60), st.sampled_from([200, 400, 500]))
def test_any_bytes_make_a_document_or_an_error(body: bytes, status: int) -> None:
    assert isinstance(error_from(Reply(status, {}, body)), VesselError)
    with contextlib.suppress(VesselError):
        json_body(Reply(status, {}, body))
