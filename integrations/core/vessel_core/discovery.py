"""Finds running servers: environment → candidates → probes → what answers."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing

from vessel_core.address import Address, parse_address
from vessel_core.async_drive import arun
from vessel_core.backends import BACKENDS, Backend, recognise
from vessel_core.backends.base import MOST_EVIDENCE, Flow
from vessel_core.drive import run
from vessel_core.errors import (
    AuthFailed,
    BadRequest,
    InvalidConfig,
    ModelLoading,
    NoServerFound,
    ProtocolError,
    ResponseError,
    ServerError,
    ServerTimeout,
    Unsupported,
    VesselError,
)
from vessel_core.hiding import hidden, secret_texts
from vessel_core.records import record
from vessel_core.retry import Retries
from vessel_core.shown import Servers
from vessel_core.transport.connection import Connection
from vessel_core.types import ServerInfo, Timeout, time_limit
from vessel_core.wire import Call
from vessel_core.wire.jsontext import loads

PROBE_TIMEOUT = 3.0
PROBES = (
    *("/v1/models", "/api/v1/models", "/api/v0/models", "/props", "/running", "/.well-known/localai.json"),
    *("/api/version", "/api/ps", "/api/extra/version", "/model_info", "/version", "/ping"),
)
"""What is asked of a server to know what it is; those that play another one show themselves before it."""


@record
class Candidate:
    """An address where a server may be: from the environment variable `source`, or a default address."""

    backend: Backend
    address: Address
    source: str | None = None


def candidates(environ: Mapping[str, str] | None = None, backends: Sequence[Backend] = BACKENDS) -> list[Candidate]:
    """Return where to look: each backend's variable if it is set, else its default addresses.

    `OLLAMA_HOST`, which Ollama itself reads, counts after `OLLAMA_URL`. Raises `InvalidConfig` naming a variable that
    holds no URL.
    """
    environ = os.environ if environ is None else environ
    given: list[Candidate] = []
    default: list[Candidate] = []
    for backend in backends:
        if not backend.probed and len(backends) > 1 and not environ.get(backend.env or "", "").strip():
            continue
        if source := _source(backend, environ):
            given.append(Candidate(backend, _from_environment(environ[source], source), source))
        else:
            default += [Candidate(backend, parse_address(url)) for url in backend.urls]
    return given + default


def _source(backend: Backend, environ: Mapping[str, str]) -> str | None:
    """Return the variable that says where a backend is, if one is set."""
    names = [backend.env, "OLLAMA_HOST"] if backend.env == "OLLAMA_URL" else [backend.env]
    return next((name for name in names if name and environ.get(name, "").strip()), None)


def _from_environment(url: str, source: str) -> Address:
    """Read a variable; a missing scheme is `http`. Of `OLLAMA_HOST` host and port may be missing too, as Ollama reads it."""
    if source == "OLLAMA_HOST" and "://" not in url:
        host, _, path = url.strip().partition("/")
        host = f"127.0.0.1{host}" if host.startswith(":") else host
        if not re.search(r"[^:]:\d+$|\]:\d+$", host):
            host = f"{host}:11434"
        url = f"{host}/{path}"
    return parse_address(url, source=source, lenient=True)


def identify() -> Flow[Backend]:
    """Tell what kind of server answers, by the shape of what it says: status codes lie (servers.md §4.3)."""
    evidence: dict[str, object] = {}
    left = MOST_EVIDENCE
    for path in PROBES:
        try:
            reply = yield Call("GET", path)
            evidence[""] = reply.headers.get("server", "")
            if len(reply.body) <= left:
                evidence[path] = loads(reply.body)
                left -= len(reply.body)
        except (ResponseError, Unsupported) as error:
            evidence[""] = error.response.headers.get("server", "") if error.response else ""
        except ValueError:
            evidence[path] = None  # it is there, and is no JSON
        if (backend := recognise(evidence)) is not None:
            return backend
    return BACKENDS[-1]


def survey(candidate: Candidate) -> Flow[ServerInfo]:
    """Ask a candidate what it is, which version, and which models it has.

    One that wants a key or is still loading is there all the same; `error` says what it wants.
    """
    backend, root = candidate.backend, candidate.address.root
    try:
        if candidate.source is None:
            backend = yield from identify()
        version = yield from backend.version()
        models = yield from backend.models()
    except (AuthFailed, ModelLoading) as error:
        return ServerInfo(backend.name, root, True, error=_shown(candidate, error), source=candidate.source)
    except (BadRequest, ProtocolError, ServerError, Unsupported) as error:
        raise ProtocolError(f"What answers there lists no models, so it is no LLM server: {error.message}") from error
    return ServerInfo(backend.name, root, True, version, tuple(models), source=candidate.source)


def not_found(candidate: Candidate, error: VesselError) -> ServerInfo:
    """Return the result for a candidate that did not answer."""
    return ServerInfo(
        candidate.backend.name, candidate.address.root, False, error=_shown(candidate, error), source=candidate.source
    )


def _shown(candidate: Candidate, error: VesselError) -> str:
    """Return what went wrong, without the password of the address, which some servers repeat."""
    return hidden(error.message, secret_texts([candidate.address.authorization]))


def _look(timeout: float) -> Retries:
    """Return how to probe an address: once, and not for long."""
    return Retries(most=0, timeout=Timeout(connect=timeout, request=timeout, load=0.0))


def discover(timeout: float = PROBE_TIMEOUT, places: Sequence[Candidate] | None = None) -> list[ServerInfo]:
    """Probe all addresses at once and say what answers at each, within `timeout` seconds.

    The addresses are those of `OLLAMA_URL`, `LLAMACPP_URL` and `LMSTUDIO_URL`, else each server's default ones.
    """
    places = candidates() if places is None else places
    if not places:
        return Servers()
    pool = ThreadPoolExecutor(len(places), thread_name_prefix="vessel-discovery")
    probes = [pool.submit(_probe, place, timeout) for place in places]
    wait(probes, time_limit(timeout))
    pool.shutdown(wait=False, cancel_futures=True)
    return Servers(
        probe.result() if probe.done() else not_found(place, _too_slow(timeout))
        for place, probe in zip(places, probes, strict=True)
    )


def look_around(timeout: float = PROBE_TIMEOUT) -> list[ServerInfo]:
    """Do what `discover` does; a variable that holds no URL is a server that isn't there, and hides no other one."""
    sound: list[Backend] = []
    faulty: list[ServerInfo] = []
    for backend in BACKENDS:
        source = _source(backend, os.environ)
        try:
            if source:
                _from_environment(os.environ[source], source)
            sound.append(backend)
        except InvalidConfig as error:
            faulty.append(ServerInfo(backend.name, "", False, error=error.message, source=source))
    return [*discover(timeout, candidates(backends=sound)), *faulty]


def _probe(candidate: Candidate, timeout: float) -> ServerInfo:
    with closing(Connection(candidate.address).transport()) as transport:
        try:
            return run(survey(candidate), transport, _look(timeout))
        except ServerTimeout:
            return not_found(candidate, _too_slow(timeout))
        except VesselError as error:
            return not_found(candidate, error)


async def adiscover(timeout: float = PROBE_TIMEOUT, places: Sequence[Candidate] | None = None) -> list[ServerInfo]:
    """Probe all addresses at once, as `discover`."""
    places = candidates() if places is None else places
    return Servers(await asyncio.gather(*(_aprobe(place, timeout) for place in places)))


async def _aprobe(candidate: Candidate, timeout: float) -> ServerInfo:
    transport = Connection(candidate.address).async_transport()
    try:
        async with asyncio.timeout(timeout):
            return await arun(survey(candidate), transport, _look(timeout))
    except (TimeoutError, ServerTimeout):
        return not_found(candidate, _too_slow(timeout))
    except VesselError as error:
        return not_found(candidate, error)
    finally:
        await transport.aclose()


def _too_slow(timeout: float) -> ServerTimeout:
    return ServerTimeout(f"No answer within {timeout:g} s.")


def choose(found: Sequence[ServerInfo]) -> ServerInfo:
    """Return the server to use: one from the environment, else one with a loaded model, else any; or `NoServerFound`."""
    available = [one for one in found if one.connected]
    loaded = [one for one in available if any(model.state in ("loaded", None) for model in one.models)]
    chosen = next((one for one in available if one.source), None) or next(iter(loaded or available), None)
    if chosen is None:
        raise no_server(found)
    return chosen


def no_server(found: Sequence[ServerInfo]) -> NoServerFound:
    """Return the error that names the addresses tried, a line for those that failed alike, and the ways to start a server."""
    tried: dict[str, list[str]] = {}
    for one in found:
        place = f"{one.base_url} ({one.source or 'default of ' + one.backend})"
        tried.setdefault(str(one.error), []).append(place.strip())
    starts = "\n".join(f"  {backend.title}: {backend.how_to_start}" for backend in BACKENDS if backend.probed)
    variables = ", ".join(str(backend.env) for backend in BACKENDS if backend.probed)
    lines = [f"No LLM server answers at {', '.join(places)}: {error}" for error, places in tried.items()]
    return NoServerFound(
        "\n".join(lines) or "No LLM server was looked for.",
        hint=f'Start one:\n{starts}\n  embedded demo: vessel serve --demo, or LocalServer.demo("assistant") in code  '
        "(pip install 'vessel-core[cli,demo]', in a checkout '.[cli,server]' ./integrations/demo-model)\n"
        f"or say where it is: base_url='http://host:port', or {variables}.",
    )
