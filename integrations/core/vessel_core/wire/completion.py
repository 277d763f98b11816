"""Raw completion and fill-in-the-middle: text in, text out, without a chat template.

Three servers, three forms: `/v1/completions` (`choices[].text`), llama.cpp's `/infill` (`content`, `stop`), Ollama's
`/api/generate` (`response`, `done`). All are streamed; the deltas are those of a chat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import zip_longest
from typing import Any, cast

from vessel_core.counting import estimate_text, gap_overflow, overflow, was_cut
from vessel_core.errors import InvalidRequest, StreamInterrupted, Unsupported
from vessel_core.records import record
from vessel_core.types import ChatOptions, Delta, Usage
from vessel_core.wire import MAX_LINE, Call, Reply, ReplyStream
from vessel_core.wire.failure_shapes import failure_alone, failure_in
from vessel_core.wire.failures import error_from, json_body, not_json
from vessel_core.wire.framing import EventStream, Lines
from vessel_core.wire.jsontext import cut_off, loads
from vessel_core.wire.ollama_request import merged, written_options
from vessel_core.wire.options import CHAT_ONLY, written
from vessel_core.wire.payloads import PayloadStream
from vessel_core.wire.quirks import Quirks
from vessel_core.wire.reading import (
    count,
    decode_timings,
    decode_usage,
    mapping,
    mappings,
    ollama_timings,
    ollama_usage,
    place,
    string,
)
from vessel_core.wire.turning import TurningStream


@record
class CompletionRequest:
    """A text to go on from; with `suffix`, a gap to fill between the two. `raw` keeps Ollama's template away."""

    prompt: str
    suffix: str | None = None
    model: str | None = None
    options: ChatOptions | None = None
    extra_body: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name, text in (("prompt", self.prompt), ("suffix", self.suffix or "")):
            if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types exist
                raise InvalidRequest(f"{name} is a {type(text).__name__}, not a text.")
        if not self.prompt and not self.suffix:
            raise InvalidRequest("The prompt is empty.", hint="Give a text to go on from.")


def encode_openai(request: CompletionRequest, quirks: Quirks) -> Call:
    """Write `POST /v1/completions`; raise `Unsupported` for an option of the chat template, which isn't used."""
    body: dict[str, Any] = {"prompt": request.prompt, "stream": True, "stream_options": {"include_usage": True}}
    if request.suffix is not None:
        body["suffix"] = request.suffix
    if request.model is not None:
        body["model"] = request.model
    body.update(_options(request, quirks))
    if body.pop("logprobs", None):
        body["logprobs"] = body.get("top_logprobs") or 1  # a number here, as OpenAI's old API has it
    body.pop("top_logprobs", None)
    return Call("POST", "/v1/completions", {**body, **(request.extra_body or {})}, stream=True)


def encode_llamacpp(request: CompletionRequest, quirks: Quirks) -> Call:
    """Write `POST /infill` for a gap (the model needs fill-in-the-middle tokens), else `POST /v1/completions`."""
    if request.suffix is None:
        return encode_openai(request, quirks)
    options = _options(request, quirks)
    if options.get("n") == 1:
        del options["n"]
    for name in ("n", "logprobs", "top_logprobs"):
        if options.pop(name, None):
            raise Unsupported(f"Filling a gap has no option {name!r}.", hint="Leave it out, or leave `suffix` out.")
    if "max_tokens" in options:
        options["n_predict"] = options.pop("max_tokens")
    body: dict[str, Any] = {"input_prefix": request.prompt, "input_suffix": request.suffix, "stream": True}
    if request.model is not None:
        body["model"] = request.model
    return Call("POST", "/infill", {**body, **options, **(request.extra_body or {})}, stream=True)


def _options(request: CompletionRequest, quirks: Quirks) -> dict[str, Any]:
    options = request.options or ChatOptions()
    if name := next((name for name in options if name in CHAT_ONLY), None):
        raise Unsupported(
            f"A raw completion has no option {name!r}.", hint="It is one of the chat template, which isn't used here."
        )
    return written(options, quirks.takes)


def encode_ollama(request: CompletionRequest, quirks: Quirks) -> Call:
    """Write `POST /api/generate`, `raw` unless a gap is to be filled: its template writes the fill-in-the-middle tokens."""
    body: dict[str, Any] = {"model": request.model, "prompt": request.prompt, "stream": True}
    body |= {"raw": True} if request.suffix is None else {"suffix": request.suffix}
    body |= written_options(request.options or ChatOptions(), quirks)
    return Call("POST", "/api/generate", merged(body, request.extra_body or {}), stream=True)


def read_openai(fields: Mapping[str, Any]) -> list[Delta]:
    """Read a chunk of `/v1/completions`, a delta for each choice; llama.cpp writes logprobs as in a chat."""
    model, usage = string(fields.get("model")), decode_usage(fields.get("usage"))
    deltas = [
        Delta(
            string(choice.get("text")) or "",
            finish=string(choice.get("finish_reason")),
            logprobs=_logprobs(mapping(choice.get("logprobs"))) or None,
            model=model,
            index=place(choice.get("index")) or 0,
        )
        for choice in mappings(fields.get("choices"))
    ] or [Delta(model=model)]
    deltas[-1].usage, deltas[-1].timings = usage, decode_timings(fields.get("timings"))
    return deltas


def _logprobs(fields: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the log probabilities as in a chat; vLLM and SGLang write them in parallel lists, as OpenAI once did."""
    tokens, chances, tops = (fields.get(name) for name in ("tokens", "token_logprobs", "top_logprobs"))
    if not isinstance(tokens, list) or not isinstance(chances, list):
        return mappings(fields.get("content"))
    others = cast("list[Any]", tops) if isinstance(tops, list) else []
    return [
        {
            "token": token,
            "logprob": chance,
            "top_logprobs": [{"token": other, "logprob": value} for other, value in mapping(top).items()],
        }
        for token, chance, top in zip_longest(cast("list[Any]", tokens), cast("list[Any]", chances), others)
    ]


def read_llamacpp(fields: Mapping[str, Any]) -> list[Delta]:
    """Read a chunk of `/infill`, or of `/v1/completions`."""
    if "choices" in fields:
        return read_openai(fields)
    delta = Delta(string(fields.get("content")) or "", model=string(fields.get("model")))
    if fields.get("stop") is True:
        delta.finish = "length" if fields.get("stop_type") == "limit" else "stop"
        delta.timings = decode_timings(fields.get("timings"))
        prompt, completion = count(fields.get("tokens_evaluated")), count(fields.get("tokens_predicted"))
        if prompt is not None and completion is not None:
            delta.usage = Usage(prompt, completion, prompt + completion, delta.timings and delta.timings.cached_tokens)
    return [delta]


def read_ollama(fields: Mapping[str, Any]) -> list[Delta]:
    """Read a line of `/api/generate`."""
    done = fields.get("done") is True
    return [
        Delta(
            string(fields.get("response")) or "",
            string(fields.get("thinking")) or "",
            finish=(string(fields.get("done_reason")) or "stop") if done else None,
            usage=ollama_usage(fields) if done else None,
            timings=ollama_timings(fields) if done else None,
            logprobs=mappings(fields.get("logprobs")) or None,
            model=string(fields.get("model")),
        )
    ]


class CutStream(TurningStream):
    """Reads the completion of a prompt that Ollama may have cut to fit a context of so many tokens; `strict` is an error."""

    def __init__(self, reply: ReplyStream, request: CompletionRequest, context: int | None) -> None:
        super().__init__(reply)
        self._texts, self._context = (request.prompt, request.suffix or ""), context
        self._estimate = estimate_text("".join(self._texts))
        self._strict = bool((request.options or {}).get("strict"))

    def _turn(self, delta: Delta) -> None:
        if delta.usage is None:
            return
        read = delta.usage.prompt_tokens
        delta.truncated = was_cut(self._texts, self._estimate, read, self._context, strict=self._strict)
        if delta.truncated and self._strict:
            raise overflow(self._estimate, read, self._context)


class GapStream(TurningStream):
    """Reads what fills a gap; llama.cpp may have cut the so many tokens around it, which is an error if `strict`."""

    def __init__(self, reply: ReplyStream, request: CompletionRequest, tokens: int) -> None:
        super().__init__(reply)
        self._tokens = tokens
        self._strict = bool((request.options or {}).get("strict"))

    def _turn(self, delta: Delta) -> None:
        if delta.usage is None:
            return
        delta.truncated = 0 < delta.usage.prompt_tokens < self._tokens
        if delta.truncated and self._strict:
            raise gap_overflow(self._tokens, delta.usage.prompt_tokens)


class CompletionStream(PayloadStream[EventStream | Lines]):
    """One reply of a raw completion: bytes in, deltas out. `model` comes once, usage and timings once, last."""

    def __init__(
        self,
        read: Callable[[Mapping[str, Any]], list[Delta]],
        *,
        lines: bool = False,
        limit: int = MAX_LINE,
        tops: int = 0,
    ) -> None:
        super().__init__(Lines(limit) if lines else EventStream(limit), tops)
        self._read = read
        self._finishes: dict[int, str | None] = {}
        self._named = False
        self._rest = Delta()

    @property
    def _finished(self) -> bool:
        """Whether each choice that began has ended."""
        return bool(self._finishes) and all(self._finishes.values())

    def whole(self, body: bytes) -> list[Delta]:
        """Read a reply that came as one JSON document, or as a stream that was called one (quirk 20)."""
        if self._is_stream(body):
            return [*self.feed(body), *self.close()]
        deltas: list[Delta] = []
        self._document(mapping(json_body(Reply(200, body=body))), deltas)
        return [*deltas, *self._whole_end()]

    def close(self) -> list[Delta]:
        """Take the end of the stream; raise what went wrong, `StreamInterrupted` if the server never finished."""
        self._raise_held()
        deltas: list[Delta] = []
        rest = self._framing.close()
        for payload in [rest] if isinstance(rest, bytes) else rest:
            if not cut_off(payload):
                self._payload(payload, deltas)
        if not self._finishes and isinstance(self._framing, EventStream) and self._framing.stray:
            return self._stray(bytes(self._framing.stray))
        return [*deltas, *self._whole_end()]

    def _whole_end(self) -> list[Delta]:
        if not (self._finished or self.done):
            error = StreamInterrupted(
                "The stream ended before the completion did.", hint="See the server's log. What came is in `partial`."
            )
            error.empty = not self._finishes
            raise error
        return self._end()

    def _payload(self, payload: bytes, deltas: list[Delta]) -> None:
        if self.done or not payload.strip():
            return
        if payload == b"[DONE]":
            deltas += self._end() if self._finishes else []
            return
        try:
            document = loads(payload)
        except ValueError as error:
            raise not_json(payload) from error
        self._document(mapping(document), deltas)

    def _document(self, fields: Mapping[str, Any], deltas: list[Delta]) -> None:
        answers = any(name in fields for name in ("choices", "content", "response"))
        if (failure := failure_in(fields) if answers else failure_alone(fields)) is not None:
            raise error_from(Reply(200), failure)
        for delta in self._read(fields):
            self._rest.usage, delta.usage = delta.usage or self._rest.usage, None
            self._rest.timings, delta.timings = delta.timings or self._rest.timings, None
            if (delta.text or delta.reasoning or delta.finish or delta.logprobs) and not self._finishes.get(
                delta.index
            ):
                self._finishes[delta.index] = delta.finish
                if delta.model:
                    delta.model, self._named = None if self._named else delta.model, True
                deltas.append(delta)

    def _end(self) -> list[Delta]:
        self.done = True
        unfinished = [Delta(finish="stop", index=index) for index, finish in self._finishes.items() if not finish]
        self._finishes |= {delta.index: delta.finish for delta in unfinished}
        rest, self._rest = self._rest, Delta()
        return [*unfinished, rest] if rest.usage or rest.timings else unfinished
