"""The catalogue of errors: each is really raised, by a client against a scripted server, and printed as its user sees it.

`python -m tests.docs.error_catalogue` prints it; with `--write` it takes its place in docs/errors.md.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from vessel_core import Client, LocalServer, Registry, Timeout
from vessel_core.errors import VesselError
from vessel_core.media import image_part

from docs.examples.generated import ROOT, Part, run
from tests.core.wire.play import DONE, HELLO, STOP, WEATHER, chunk, event, last, line
from tests.fake_server import (
    FakeServer,
    Response,
    llamacpp_server,
    lmstudio_server,
    nobody,
    ollama_server,
    openai_server,
    transcript,
)

LONG: Any = [{"role": "user", "content": "The quick brown fox jumps. " * 480}]
FORM: Any = {
    "type": "json_schema",
    "json_schema": {
        "name": "A",
        "schema": {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}},
    },
}
URL_IMAGE: Any = {"type": "image_url", "image_url": {"url": "http://example.com/a.png"}}
Raise = Callable[[], object]


@dataclass(frozen=True)
class Entry:
    """An error as its user sees it; `asked` tells that a server had part in it."""

    title: str
    error: VesselError
    asked: bool

    @property
    def text(self) -> str:
        """The message, with the ports and paths of this run taken out."""
        said = re.sub(r"http://127\.0\.0\.1:\d+", "http://127.0.0.1:8080", str(self.error))
        return re.sub(r"\s+$", "", said, flags=re.MULTILINE)


def chat(server: FakeServer, backend: str = "llamacpp", *, options: Any = None, **fields: Any) -> Raise:
    """Return a chat with a scripted server."""

    def ask() -> object:
        given: dict[str, Any] = {"model": "demo", "max_retries": 0, **(options or {})}
        messages = fields.pop("messages", [HELLO])
        with server, Client(backend, base_url=server.base_url, **given) as client:
            return client.chat(messages, **fields)

    return ask


def on(server: FakeServer, act: Callable[[Client], object], backend: str = "llamacpp", **options: Any) -> Raise:
    """Return an operation on a scripted server."""

    def ask() -> object:
        given: dict[str, Any] = {"max_retries": 0, **options}
        with server, Client(backend, base_url=server.base_url, **given) as client:
            return act(client)

    return ask


def refusing(status: int, body: object) -> FakeServer:
    """Return a llama.cpp that answers a chat so."""
    return llamacpp_server(body if isinstance(body, Response) else Response.json(body, status))


def said(kind: str, message: str, status: int = 400, **rest: Any) -> dict[str, Any]:
    """Return an error of llama.cpp's."""
    return {"error": {"code": status, "message": message, "type": kind, **rest}}


def unreachable() -> object:
    with nobody() as url:
        return Client("llamacpp", base_url=url, model="demo", max_retries=0).chat([HELLO])


def not_found() -> object:
    with nobody() as url, patch.dict(os.environ, {f"{name}_URL": url for name in ("LLAMACPP", "LMSTUDIO", "OLLAMA")}):
        return Client().chat([HELLO])


def silent() -> FakeServer:
    return llamacpp_server(Response(wait=threading.Event()))


def stalling() -> FakeServer:
    return llamacpp_server([chunk({"content": "Hel"}), threading.Event()])


def slow() -> FakeServer:
    return llamacpp_server(routes={("GET", "/v1/models"): Response(wait=threading.Event())})


def busy(status: int, text: str) -> FakeServer:
    return ollama_server(Response.json({"error": text}, status))


def pulled(*lines: Any) -> FakeServer:
    data = b"".join(json.dumps(each).encode() + b"\n" for each in lines)
    return ollama_server(routes={("POST", "/api/pull"): Response.stream(data, content_type="application/x-ndjson")})


def wrong_variable() -> object:
    with patch.dict(os.environ, {"OLLAMA_URL": "localhost:port"}):
        return Client("ollama").chat([HELLO])


def environment(server: FakeServer, act: Callable[[Client], object]) -> Raise:
    def ask() -> object:
        with server, patch.dict(os.environ, {"OLLAMA_URL": server.base_url}):
            return act(Client("ollama"))

    return ask


HTML = Response.text("<html><body><h1>502 Bad Gateway</h1></body></html>", 502, "text/html")
PAGE_200 = Response.text("<html><body>Welcome to the router</body></html>", 200, "text/html")
ENDLESS = event(
    {"choices": [{"delta": {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "x" * 100_000}}]}}]}
)
LOADING = Response.json(said("unavailable_error", "Loading model", 503), 503)
CUT_PROMPT = [line({"content": "Hi"}), last(prompt_eval_count=1030)]

BEFORE: dict[str, Raise] = {
    "a backend that there isn't": lambda: Client("llamcpp"),
    "a URL that can't be one": lambda: Client(base_url="ftp://host"),
    "a variable that holds no URL": wrong_variable,
    "a server without a default address": lambda: Client("openai").chat([HELLO]),
    "a quirk that there isn't": lambda: Client(quirks={"think_open": True}),
    "a quirk of the wrong type": lambda: Client(quirks={"text_calls": "yes"}),
    "a key with a line break": lambda: Client(api_key="secret\n"),
    "a timeout that is none": lambda: Client(timeout=Timeout(connect=-1)),
    "retries below none": lambda: Client(max_retries=-1),
    "no messages": chat(llamacpp_server(), messages=[]),
    "a role that there isn't": chat(llamacpp_server(), messages=[{"role": "human", "content": "Hi"}]),
    "a content that is none": chat(llamacpp_server(), messages=[{"role": "user", "content": 7}]),
    "a part that is none": chat(llamacpp_server(), messages=[{"role": "user", "content": [{"type": "image"}]}]),
    "an option that there isn't": chat(llamacpp_server(), temprature=0.5),
    "an option of the wrong type": chat(llamacpp_server(), max_tokens="many"),
    "a tool that is none": chat(llamacpp_server(), tools=[{"name": "f"}]),
    "a choice that is no tool": chat(llamacpp_server(), tools=[WEATHER], tool_choice="get_wether"),
    "a choice without tools": chat(llamacpp_server(), tool_choice="required"),
    "a grammar beside tools": chat(llamacpp_server(), tools=[WEATHER], grammar='root ::= "a"'),
    "an empty text to embed": on(llamacpp_server(), lambda client: client.embed(["a", ""])),
    "one text in place of a list": on(llamacpp_server(), lambda client: client.embed("a text")),
    "a picture that is none": lambda: image_part(b"no picture"),
    "a picture by URL that Ollama does not fetch": chat(
        ollama_server(), "ollama", messages=[{"role": "user", "content": [URL_IMAGE]}]
    ),
    "an option the server has not got": chat(ollama_server(), "ollama", grammar='root ::= "a"'),
    "an operation the server has not got": on(ollama_server(), lambda client: client.rerank("q", ["a"]), "ollama"),
    "a LoRA adapter that there isn't": on(
        llamacpp_server(routes={("GET", "/lora-adapters"): Response.json([])}),
        lambda client: client.scale_lora({1: 0.5}),
    ),
    "a registered name that there isn't": lambda: Registry().get("gpu"),
    "an embedded server without its file": lambda: LocalServer("missing.gguf").start(),
}
"""Before anything is sent."""

DURING: dict[str, Raise] = {
    "no server at all": not_found,
    "nobody at the address": unreachable,
    "a connection that is closed before an answer": chat(llamacpp_server(Response.hang_up())),
    "not one token in time": chat(silent(), options={"timeout": Timeout(first_token=0.05)}),
    "silence in the middle of an answer": chat(stalling(), options={"timeout": Timeout(between_tokens=0.05)}),
    "no answer to anything else in time": on(slow(), lambda client: client.models(), timeout=Timeout(request=0.05)),
    "a web page in place of a stream": chat(llamacpp_server(PAGE_200)),
    "a proxy's error page": chat(llamacpp_server(HTML)),
    "a stream that was cut": chat(llamacpp_server([chunk({"content": "Hel"})])),
    "an empty stream": chat(llamacpp_server([DONE])),
    "Ollama's stream that was cut": chat(ollama_server([line({"content": "Hel"})]), "ollama"),
    "text in place of JSON": chat(llamacpp_server([b"data: Number of choices must be 1\n\n"])),
    "arguments that never end": chat(llamacpp_server([ENDLESS]), tools=[WEATHER], tool_choice="required"),
    "an answer that does not fit the schema": chat(
        openai_server([chunk({"content": '{"a": "x"}'}), STOP, DONE]), "openai", response_format=FORM
    ),
    "an answer that was cut off": chat(
        openai_server([chunk({"content": '{"a": 1'}), chunk({}, "length"), DONE]), "openai", response_format=FORM
    ),
    "an answer whose grammar did not end": chat(
        llamacpp_server([chunk({"content": "ye"}), chunk({}, "length"), DONE]), grammar='root ::= "yes"'
    ),
    "an answer that is no JSON": chat(
        openai_server([chunk({"content": "Sure!"}), STOP, DONE]), "openai", response_format=FORM
    ),
    "a forced tool that was not called": chat(
        ollama_server([line({"content": "It rains."}), last()]), "ollama", tools=[WEATHER], tool_choice="get_weather"
    ),
    "a request the server refuses": chat(refusing(400, said("invalid_request_error", "Invalid tool_choice: any"))),
    "a prompt that does not fit": chat(
        refusing(
            400,
            said(
                "exceed_context_size_error",
                "request (6096 tokens) exceeds the available context size (1024 tokens), try increasing it",
                n_prompt_tokens=6096,
                n_ctx=1024,
            ),
        )
    ),
    "a prompt that does not fit LM Studio": chat(lmstudio_server(transcript("lmstudio/error.sse")), "lmstudio"),
    "a prompt that Ollama cut, with `strict`": chat(
        ollama_server(CUT_PROMPT, context_length=2048),
        "ollama",
        options={"model": "qwen3:8b"},
        messages=LONG,
        strict=True,
    ),
    "what is around a gap and llama.cpp cut, with `strict`": on(
        llamacpp_server(
            routes={
                ("POST", "/tokenize"): Response.json({"tokens": [1] * 2000}),
                ("POST", "/infill"): Response.json(
                    {"content": "Hi", "stop": True, "tokens_evaluated": 1540, "tokens_predicted": 1}
                ),
            }
        ),
        lambda client: client.complete("word " * 2000, suffix=" end", model="demo", strict=True),
    ),
    "a text too long to embed": on(
        llamacpp_server(
            routes={
                ("POST", "/v1/embeddings"): Response.json(
                    said(
                        "server_error",
                        "input (3600 tokens) is too large to process. increase the physical batch size",
                        500,
                    ),
                    500,
                )
            }
        ),
        lambda client: client.embed(["a"], model="demo"),
    ),
    "a key that is wrong": chat(refusing(401, said("authentication_error", "Invalid API Key", 401))),
    "a host name that Ollama does not take": chat(ollama_server(Response(status=403)), "ollama"),
    "a model that there isn't": chat(
        ollama_server(Response.json({"error": "model 'qwen3:8' not found"}, 404)),
        "ollama",
        options={"model": "qwen3:8"},
    ),
    "a model that can't think": chat(busy(400, '"qwen3:8b" does not support thinking'), "ollama", reasoning=True),
    "too many requests": chat(openai_server(Response(429, {"retry-after": "3"})), "openai"),
    "a full queue": chat(busy(503, "server busy, please try again.  maximum pending requests exceeded"), "ollama"),
    "a model that loads too long": chat(llamacpp_server(LOADING), options={"timeout": Timeout(load=0)}),
    "a feature that was not switched on": on(
        llamacpp_server(
            routes={
                ("POST", "/v1/embeddings"): Response.json(
                    said(
                        "not_supported_error",
                        "This server does not support embeddings. Start it with `--embeddings`",
                        501,
                    ),
                    501,
                )
            }
        ),
        lambda client: client.embed(["a"], model="demo"),
    ),
    "a request that is too large": chat(llamacpp_server(Response(status=413))),
    "a failure in the middle of an answer": chat(llamacpp_server(transcript("llamacpp/error.sse"))),
    "a download that was cut": on(
        pulled({"status": "pulling 500a", "total": 10, "completed": 5}), lambda client: list(client.pull("m")), "ollama"
    ),
    "a download that failed": on(
        pulled({"error": "pull model manifest: file does not exist"}), lambda client: list(client.pull("m")), "ollama"
    ),
    "vectors that are too few": on(
        openai_server(routes={("POST", "/v1/embeddings"): Response.json({"data": []})}),
        lambda client: client.embed(["a"], model="demo"),
        "openai",
    ),
    "a variable that points to another server": environment(llamacpp_server(), lambda client: client.models()),
}
"""In talking to a server."""


def entries() -> list[Entry]:
    """Raise each error and return them all."""
    found: list[Entry] = []
    for asked, situations in ((False, BEFORE), (True, DURING)):
        for title, act in situations.items():
            try:
                came = act()
            except VesselError as error:
                found.append(Entry(title, error, asked))
            else:
                raise AssertionError(f"{title}: no error, but {came!r}")
    return found


def listing(found: list[Entry]) -> str:
    """Return the catalogue as Markdown."""
    parts: list[str] = []
    for asked, heading in ((False, "Before anything is sent"), (True, "In talking to a server")):
        parts.append(f"## {heading}")
        for entry in found:
            if entry.asked is asked:
                title = entry.title[0].upper() + entry.title[1:]
                parts.append(f"### {title}\n\n`{type(entry.error).__name__}`\n\n```text\n{entry.text}\n```")
    return "\n\n".join(parts)


PART = Part("errors", lambda: listing(entries()), (ROOT / "docs/errors.md",))

if __name__ == "__main__":
    run(PART)
