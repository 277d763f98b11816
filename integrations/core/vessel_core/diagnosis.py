"""Which servers there are, what each really can do, and what stands in the way: `vessel doctor`, and `doctor()` in a notebook."""

from __future__ import annotations

import json
import os
import platform
import re
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from vessel_core.abreast import end
from vessel_core.backends import BACKENDS, find_backend
from vessel_core.checkup import Check, checkup
from vessel_core.client import Client
from vessel_core.discovery import PROBE_TIMEOUT, look_around
from vessel_core.harmless import harmless
from vessel_core.settings import TargetOptions
from vessel_core.shown import html_list, html_table, servers_html
from vessel_core.types import ModelInfo, ServerInfo, Timeout

__all__ = ["Examined", "Report", "doctor", "traps"]

PROBE = 0.9
"""Seconds to wait for what may not be there, so that everything takes one second where nothing is."""
LOOK = Timeout(request=PROBE_TIMEOUT)
"""How long a named server may take to say what it is."""
TRY = Timeout(first_token=60, request=60)
"""How long each thing that is tried may take to begin."""
PACKAGES = (
    *("vessel-core", "langchain-vessel", "llama-index-vessel"),
    *("langchain-core", "llama-index-core", "httpx", "pydantic", "xllamacpp"),
)
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
CONTAINER = (Path("/.dockerenv"), Path("/run/.containerenv"))
_LOOPBACK = re.compile(r"\s*(\w+://)?([^/@]*@)?(localhost|127\.|0\.0\.0\.0|\[::1?\])", re.IGNORECASE)
SMALL_CONTEXT = 4096
"""Agents and passages need more tokens than this."""

FLAGS = {"vision": "--mmproj with its image encoder", "embeddings": "--embeddings", "rerank": "--reranking"}
"""What llama.cpp has to be started with."""


@dataclass(frozen=True, slots=True)
class Examined:
    """One server, what was tried on it, and what to do next."""

    server: ServerInfo
    checks: tuple[Check, ...] = ()

    @property
    def works(self) -> dict[str, bool | None]:
        """What each check came to, by its name."""
        return {check.name: check.works for check in self.checks}

    @property
    def well(self) -> bool:
        """Whether it answers, and can be used for one thing at least."""
        tried = [self.works.get(name) for name in ("stream", "embeddings", "rerank")]
        return self.server.connected and (any(tried) if self.checks else not self.server.error)

    @property
    def advice(self) -> tuple[str, ...]:
        """What to do next, a sentence each."""
        return tuple(_advice(self)) if self.server.connected else ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return server_dict(self.server) | {
            "checks": [check.to_dict() for check in self.checks],
            "advice": list(self.advice),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """Everything `vessel doctor` says; holds no key, no header and no text of a conversation."""

    versions: Mapping[str, str]
    traps: tuple[str, ...]
    servers: tuple[Examined, ...]

    @property
    def well(self) -> bool:
        """Whether a server can be used."""
        return any(one.well for one in self.servers)

    @property
    def advice(self) -> tuple[str, ...]:
        """How to start a server, where none can be used."""
        if self.well:
            return ()
        starts = [f"{backend.title}: {backend.how_to_start}" for backend in BACKENDS if backend.probed]
        return (*starts, "embedded: vessel serve --demo")

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON takes it."""
        report = {"versions": dict(self.versions), "traps": list(self.traps), "well": self.well}
        return report | {"servers": [one.to_dict() for one in self.servers], "advice": list(self.advice)}

    def to_json(self) -> str:
        """Return the report as JSON in ASCII: what a server says moves no cursor."""
        return json.dumps(self.to_dict(), indent=2)

    def _repr_html_(self) -> str:
        there = [_html(one) for one in self.servers if one.server.connected]
        gone = servers_html([one.server for one in self.servers if not one.server.connected])
        return "".join((*there, gone, html_list((*self.traps, *self.advice))))

    def __repr__(self) -> str:
        return harmless(f"Report({'; '.join(map(_line, self.servers))})")


def doctor(
    backend: str = "auto",
    *,
    check: bool = True,
    watch: Callable[[ServerInfo, Check], None] | None = None,
    **options: Unpack[TargetOptions],
) -> Report:
    """Look at one server, or at every one there may be, all at once, and try what each can do.

    `check=False` only looks. Where no server is named and none is there, it takes a second; where one is silent, four. What is
    tried may take a minute to begin, or `timeout`; `watch` is told each result as it is known. Ctrl-C waits for none. A notebook
    shows the report as tables; `to_json` is made to be pasted.
    """
    if options.get("base_url") or backend != "auto":
        with Client(backend, **{"timeout": LOOK, **options}) as client:
            found = [client.info()]
    else:
        found = look_around(PROBE)
        if not any(server.connected for server in found):
            found = look_around()  # what refuses does so at once; a server that computes on every core answers late
    stopped = threading.Event()
    asking: set[Client] = set()

    def one(server: ServerInfo) -> Examined:
        checks: list[Check] = []
        server = with_key(server, options)
        if check and server.connected:
            with Client(server.backend, **{"timeout": TRY, **_options(server, options)}) as client:
                asking.add(client)
                for each in checkup(client):
                    checks.append(each)
                    if stopped.is_set():
                        break
                    if watch:
                        watch(server, each)
            asking.discard(client)
        return Examined(server, tuple(checks))

    def hang_up() -> None:
        for client in tuple(asking):
            client.hang_up()

    results = _begun(one, found)
    try:
        while wait(results, 0.2).not_done:  # Windows would hold Ctrl-C back as long as one wait takes
            pass
    except BaseException:
        stopped.set()
        end(asking, hang_up)
        raise
    reached = [server.source or "" for server in found if server.connected]
    return Report(_versions(), traps(os.environ, reached), tuple(result.result() for result in results))


def with_key(server: ServerInfo, options: TargetOptions) -> ServerInfo:
    """Ask a server that was found and wants a key again, with the one given; return any other as it was found."""
    if not (server.connected and server.error and options.get("api_key")):
        return server
    with Client(server.backend, **{"timeout": LOOK, **_options(server, options)}) as client:
        asked = client.info()
    return replace(asked, source=server.source) if asked.connected else server


def _options(server: ServerInfo, options: TargetOptions) -> TargetOptions:
    # one from the environment is found there again, with the login that its URL may hold and `server` does not
    return options if server.source else {**options, "base_url": server.base_url}


def _begun(work: Callable[[ServerInfo], Examined], servers: Sequence[ServerInfo]) -> list[Future[Examined]]:
    """Begin the work on each server; threads of an executor would keep the end of the program waiting for theirs."""
    results: list[Future[Examined]] = [Future() for _ in servers]

    def run(server: ServerInfo, result: Future[Examined]) -> None:
        try:
            result.set_result(work(server))
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            result.set_exception(error)

    for pair in zip(servers, results, strict=True):
        threading.Thread(target=run, args=pair, name="vessel-doctor", daemon=True).start()
    return results


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "system": platform.platform(terse=True)}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def traps(
    environ: Mapping[str, str], reached: Collection[str] = (), container: Sequence[Path] = CONTAINER
) -> tuple[str, ...]:
    """Name what in the environment often surprises people, without its value.

    `reached` has the source of each server that answers, `""` for one at a usual address.
    """
    found: list[str] = []
    if proxies := [name for name in PROXIES if environ.get(name)]:
        found.append(f"{', '.join(proxies)} set: other clients send local traffic there; Vessel does not.")
    if environ.get("OLLAMA_HOST", "").startswith("0.0.0.0"):  # noqa: S104 - read, not bound
        found.append("OLLAMA_HOST=0.0.0.0 is where Ollama listens; it is reached at 127.0.0.1, as Vessel does.")
    if environ.get("OLLAMA_HOST") and environ.get("OLLAMA_URL"):
        found.append("OLLAMA_URL and OLLAMA_HOST are both set: Vessel reads OLLAMA_URL.")
    if environ.get("OPENAI_BASE_URL") or environ.get("OPENAI_API_BASE"):
        found.append("OPENAI_BASE_URL is not read by Vessel: give base_url, or LLAMACPP_URL, LMSTUDIO_URL, OLLAMA_URL.")
    certificates = environ.get("SSL_CERT_FILE")
    if certificates and not Path(certificates).exists():
        found.append("SSL_CERT_FILE names a file that isn't there: no https address can be reached.")
    if any(mark.exists() for mark in container):
        named = {backend.env: environ[backend.env] for backend in BACKENDS if backend.env and environ.get(backend.env)}
        here = ", ".join(name for name, url in named.items() if name not in reached and _LOOPBACK.match(url))
        if here or not (named or reached):
            said = f" ({here})" if here else ""
            found.append(
                f"In a container localhost{said} is the container: the host's servers are at host.docker.internal."
            )
    return tuple(found)


def _advice(one: Examined) -> list[str]:
    server, works = one.server, one.works
    chats, embeds = works.get("stream"), works.get("embeddings")
    found: list[str] = []
    if server.error:
        found.append("If it wants a key: api_key=…, at a shell --key or VESSEL_API_KEY.")
    elif not server.models:
        found.append(f"It has no model. {find_backend(server.backend).how_to_get_a_model}")
    if chats and not works.get("tools"):
        flag = "start it with --jinja, and " if server.backend == "llamacpp" else ""
        found.append(f"For tools: {flag}take a model that was made for them.")
    if server.backend == "llamacpp":
        flags = [flag for name, flag in FLAGS.items() if works.get(name) is False]
        if chats and flags:
            found.append(f"Not served here; llama-server has: {', '.join(flags)}.")
    if embeds and chats and server.models and all(model.kind == "chat" for model in server.models):
        found.append("Its vectors are those of a chat model: to find passages, serve an embedding model.")
    if chats is False and (embeds or works.get("rerank")):
        found.append("It is there for passages and writes no text: for answers, serve a chat model beside it.")
    length = next((model.context_length for model in server.models if model.state in ("loaded", None)), None)
    if chats and length and length < SMALL_CONTEXT:
        found.append(f"Its context of {length:,} tokens is small: -c (llama.cpp), num_ctx (Ollama), --num-ctx (load).")
    return found


def server_dict(server: ServerInfo) -> dict[str, Any]:
    """Return a server and its models as JSON takes it."""
    return asdict(server) | {"models": [_model(model) for model in server.models]}


def _model(model: ModelInfo) -> dict[str, Any]:
    """What is known of a model; what the server doesn't say is left out."""
    known = {name: value for name, value in asdict(model).items() if value is not None}
    return known | {"capabilities": {name: can for name, can in known["capabilities"].items() if can is not None}}


def _html(one: Examined) -> str:
    rows = [
        (check.mark, _unbroken(check.name), _unbroken(f"{check.milliseconds:,.0f} ms"), _speed(check), check.detail)
        for check in one.checks
    ]
    checks = html_table(("", "tried", "took", "tokens/s", "what came"), rows) if rows else ""
    return servers_html([one.server]) + checks + html_list(one.advice)


def _unbroken(text: str) -> str:
    """Return a text that stays on one line of a table."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def _line(one: Examined) -> str:
    """What a console shows of a server: each check with its mark, or what is wrong."""
    checks = ", ".join(f"{check.mark} {check.name}" for check in one.checks)
    said = checks if one.server.connected else one.server.error
    return f"{one.server.backend} at {one.server.base_url}: {said or 'not tried'}"


def _speed(check: Check) -> str:
    return f"{check.tokens_per_second:,.0f}" if check.tokens_per_second else ""
