"""The two ways local servers speak, as scripts: the same answers in the form of `/v1` and of Ollama's own API."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .answers import answer, call_piece, calls, ending, event
from .server import NDJSON, SSE, Answer, Reply, Request, ScriptedServer, openai_vectors, texts_of, vector_of

#: What a test makes a server say: the bytes of a stream, for each request or as it is asked; or a whole reply.
Script = bytes | Reply | Callable[[Any], bytes]


class Dialect(Protocol):
    """How a server speaks, and what it says in each case."""

    @property
    def path(self) -> str:
        """Where chats are asked for."""
        ...

    @property
    def embedding_path(self) -> str:
        """Where vectors are asked for."""
        ...

    def server(self, script: Script = b"", *, shuffled: bool = False) -> ScriptedServer:
        """Return a server with the model "demo" that answers chats by `script`, and embeds; `shuffled`, out of order."""
        ...

    def text(self, *pieces: str, reasoning: Sequence[str] = ()) -> bytes:
        """Return a whole streamed answer, with 11 tokens of prompt and 7 of answer."""
        ...

    def calls(self, *wanted: tuple[str, dict[str, Any]]) -> bytes:
        """Return an answer that calls tools."""
        ...

    def cut(self) -> bytes:
        """Return an answer that ends in the middle."""
        ...

    def failing(self) -> bytes:
        """Return an answer in whose middle the server fails, saying "out of memory"."""
        ...

    def endless(self) -> Reply:
        """Return an answer that begins and never ends."""
        ...


@dataclass(frozen=True)
class OpenAI:
    """`/v1/chat/completions`, streamed by server-sent events."""

    path: str = "/v1/chat/completions"
    embedding_path: str = "/v1/embeddings"

    def server(self, script: Script = b"", *, shuffled: bool = False) -> ScriptedServer:
        def chat(request: Request) -> Reply:
            if isinstance(script, Reply):
                return script
            asked = request.json()
            said = script(asked) if callable(script) else script
            if not asked.get("stream"):
                return Reply.json(_whole(said))
            options: Any = asked.get("stream_options") or {}
            return Reply(said if options.get("include_usage") else _without_counts(said), content_type=SSE)

        def embed(request: Request) -> Reply:
            data = openai_vectors(request)
            counts = {"prompt_tokens": len(data), "total_tokens": len(data)}
            document = {"object": "list", "model": "demo", "usage": counts, "data": data[::-1] if shuffled else data}
            return Reply.json(document)

        models = {"object": "list", "data": [{"id": "demo", "object": "model", "owned_by": "somebody"}]}
        answers: dict[tuple[str, str], Answer] = {
            ("GET", "/v1/models"): Reply.json(models),
            ("POST", self.path): chat,
            ("POST", self.embedding_path): embed,
        }
        return ScriptedServer(answers)

    def text(self, *pieces: str, reasoning: Sequence[str] = ()) -> bytes:
        return answer(*pieces, reasoning=reasoning)

    def calls(self, *wanted: tuple[str, dict[str, Any]]) -> bytes:
        return calls(*wanted)

    def interleaved(self, first: tuple[str, dict[str, Any]], second: tuple[str, dict[str, Any]]) -> bytes:
        """Return two calls whose arguments come in turn."""
        texts = [json.dumps(arguments) for _, arguments in (first, second)]
        return (
            call_piece(0, name=first[0], call_id="a")
            + call_piece(1, name=second[0], call_id="b")
            + call_piece(0, texts[0][:4])
            + call_piece(1, texts[1][:4])
            + call_piece(0, texts[0][4:])
            + call_piece(1, texts[1][4:])
            + ending("tool_calls")
        )

    def same_index(self, first: tuple[str, dict[str, Any]], second: tuple[str, dict[str, Any]]) -> bytes:
        """Return two whole calls that both have the index 0, as some servers write them."""
        pieces = [
            call_piece(0, json.dumps(arguments), name=name, call_id=f"id-{at}")
            for at, (name, arguments) in enumerate((first, second))
        ]
        return b"".join(pieces) + ending("tool_calls")

    def with_comments(self) -> bytes:
        """Return an answer with the pings between its events that servers send to keep a connection open."""
        return b": ping\n\n" + event({"content": "Hello"}) + b": ping\n\n" + ending()

    def cut(self) -> bytes:
        return event({"content": "Hello"}) + event({"content": " the"})

    def failing(self) -> bytes:
        return event({"content": "Hello"}) + b'data: {"error": {"message": "out of memory", "code": 500}}\n\n'

    def endless(self) -> Reply:
        return Reply(event({"content": "Hello"}), content_type=SSE, endless=True)


def _whole(script: bytes) -> dict[str, Any]:
    """Return the thoughts, the text and the calls of a stream as the one document that comes of not streaming."""
    events: list[dict[str, Any]] = [
        json.loads(event[6:]) for event in script.split(b"\n\n") if event.startswith(b"data: {")
    ]
    deltas: list[dict[str, Any]] = [choice["delta"] for event in events for choice in event["choices"]]
    made: dict[int, dict[str, Any]] = {}
    for piece in (piece for delta in deltas for piece in delta.get("tool_calls", ())):
        call = made.setdefault(piece["index"], {**piece, "function": {**piece["function"], "arguments": ""}})
        call["function"]["arguments"] += piece["function"]["arguments"]
    message: dict[str, Any] = {"role": "assistant", "content": "".join(delta.get("content") or "" for delta in deltas)}
    if thoughts := "".join(delta.get("reasoning_content") or "" for delta in deltas):
        message["reasoning_content"] = thoughts
    if made:
        message |= {"content": None, "tool_calls": list(made.values())}
    choice = {"index": 0, "finish_reason": "tool_calls" if made else "stop", "message": message}
    return {**events[-1], "object": "chat.completion", "created": 1, "choices": [choice]}


def _without_counts(script: bytes) -> bytes:
    """Return a stream without the chunk of counts, which servers send only to who asks."""
    return b"\n\n".join(event for event in script.split(b"\n\n") if b'"choices": []' not in event)


@dataclass(frozen=True)
class Ollama:
    """Ollama's own API, streamed as lines of JSON."""

    path: str = "/api/chat"
    embedding_path: str = "/api/embed"

    def server(self, script: Script = b"", *, shuffled: bool = False) -> ScriptedServer:
        def embed(request: Request) -> Reply:
            vectors = [vector_of(text) for text in texts_of(request)]
            return Reply.json({"model": "demo", "embeddings": vectors, "prompt_eval_count": len(vectors)})

        def chat(request: Request) -> Reply:
            if isinstance(script, Reply):
                return script
            asked = request.json()
            said = script(asked) if callable(script) else script
            return Reply(said, content_type=NDJSON) if asked.get("stream", True) else self._whole(said)

        model = {"name": "demo", "model": "demo", "size": 1, "digest": "d", "details": {"family": "demo"}}
        info = {"general.architecture": "demo", "demo.context_length": 4096}
        shown = {"details": model["details"], "model_info": info, "capabilities": ["completion", "tools", "thinking"]}
        answers: dict[tuple[str, str], Answer] = {
            ("GET", "/api/version"): Reply.json({"version": "0.32.5"}),
            ("GET", "/api/tags"): Reply.json({"models": [model]}),
            ("GET", "/api/ps"): Reply.json({"models": [{**model, "context_length": 4096}]}),
            ("POST", "/api/show"): Reply.json(shown),
            ("POST", self.path): chat,
            ("POST", self.embedding_path): embed,
        }
        return ScriptedServer(answers)

    def text(self, *pieces: str, reasoning: Sequence[str] = ()) -> bytes:
        thoughts = b"".join(self._line({"thinking": piece, "content": ""}) for piece in reasoning)
        return thoughts + b"".join(self._line({"content": piece}) for piece in pieces) + self._end()

    def calls(self, *wanted: tuple[str, dict[str, Any]]) -> bytes:
        lines = [
            self._line({"content": "", "tool_calls": [{"function": {"name": name, "arguments": arguments}}]})
            for name, arguments in wanted
        ]
        return b"".join(lines) + self._end()

    def cut(self) -> bytes:
        return self._line({"content": "Hello"}) + self._line({"content": " the"})

    def failing(self) -> bytes:
        return self._line({"content": "Hello"}) + b'{"error": "out of memory"}\n'

    def endless(self) -> Reply:
        return Reply(self._line({"content": "Hello"}), content_type=NDJSON, endless=True)

    def _whole(self, script: bytes) -> Reply:
        """Return the thoughts, the text and the calls of a stream as the one document that comes of not streaming."""
        lines: list[dict[str, Any]] = [json.loads(line) for line in script.splitlines()]
        said: list[dict[str, Any]] = [line["message"] for line in lines]
        message: dict[str, Any] = {"role": "assistant", "content": "".join(each["content"] for each in said)}
        if thoughts := "".join(each.get("thinking", "") for each in said):
            message["thinking"] = thoughts
        if made := [call for each in said for call in each.get("tool_calls", ())]:
            message["tool_calls"] = made
        return Reply.json({**lines[-1], "message": message})

    def _line(self, message: dict[str, Any], **more: Any) -> bytes:
        document = {"model": "demo", "message": {"role": "assistant", **message}, "done": False, **more}
        return json.dumps(document).encode() + b"\n"

    def _end(self) -> bytes:
        counts = {"prompt_eval_count": 11, "eval_count": 7, "total_duration": 9, "eval_duration": 5}
        return self._line({"content": ""}, **{"done": True, "done_reason": "stop", **counts})


OPENAI, OLLAMA = OpenAI(), Ollama()
