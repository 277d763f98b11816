"""`vessel doctor`: which servers there are, what each really can do, and what stands in the way."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rich.console import Console

from vessel_core.backends import BACKENDS, find_backend
from vessel_core.checkup import Check, checkup
from vessel_core.cli.models_shown import table
from vessel_core.cli.terminal import harmless
from vessel_core.client import Client
from vessel_core.discovery import discover
from vessel_core.settings import TargetOptions
from vessel_core.types import ServerInfo

PROBE = 0.9
PACKAGES = (
    "vessel-core",
    "langchain-vessel",
    "llama-index-vessel",
    "langchain-core",
    "llama-index-core",
    "httpx",
    "pydantic",
)
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


@dataclass(frozen=True, slots=True)
class Examined:
    """One server and what was tried on it."""

    server: ServerInfo
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """Everything `vessel doctor` says; holds no key, no header and no text of a conversation."""

    versions: Mapping[str, str]
    traps: tuple[str, ...]
    servers: tuple[Examined, ...]

    @property
    def well(self) -> bool:
        """Whether a server answers and streams."""
        return any(_streams(one) for one in self.servers)

    def to_json(self) -> str:
        """Return the report as JSON."""
        servers: list[dict[str, Any]] = [
            {
                "backend": one.server.backend,
                "base_url": one.server.base_url,
                "connected": one.server.connected,
                "version": one.server.version,
                "error": one.server.error,
                "models": [model.id for model in one.server.models],
                "checks": [check.to_dict() for check in one.checks],
            }
            for one in self.servers
        ]
        report = {"versions": dict(self.versions), "traps": list(self.traps), "servers": servers, "well": self.well}
        return json.dumps(report, indent=2, ensure_ascii=False)


def _streams(one: Examined) -> bool:
    tried = [check for check in one.checks if check.name in ("stream", "embeddings", "rerank")]
    return one.server.connected and (not one.checks or any(check.works for check in tried))


def examine(backend: str, options: TargetOptions, *, check: bool) -> Report:
    """Look at one server, or at every one there may be, all at once."""
    if options.get("base_url") or backend != "auto":
        with Client(backend, **options) as client:
            found = [client.info()]
    else:
        found = discover(PROBE)

    def one(server: ServerInfo) -> Examined:
        if not (check and server.connected):
            return Examined(server)
        # one from the environment is found there again, with the login that its URL may hold and `server` does not
        wanted: TargetOptions = options if server.source else {**options, "base_url": server.base_url}
        with Client(server.backend, **wanted) as client:
            return Examined(server, tuple(checkup(client)))

    with ThreadPoolExecutor(max(1, len(found))) as pool:
        return Report(_versions(), traps(os.environ), tuple(pool.map(one, found)))


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "system": platform.platform(terse=True)}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def traps(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Name what in the environment often surprises people."""
    found: list[str] = []
    if proxies := [name for name in PROXIES if environ.get(name)]:
        found.append(f"{', '.join(proxies)} set: other clients send local traffic there; Vessel does not.")
    if environ.get("OLLAMA_HOST", "").startswith("0.0.0.0"):  # noqa: S104 - read, not bound
        found.append("OLLAMA_HOST=0.0.0.0 is where Ollama listens; it is reached at 127.0.0.1, as Vessel does.")
    if environ.get("OPENAI_BASE_URL") or environ.get("OPENAI_API_BASE"):
        found.append("OPENAI_BASE_URL is not read by Vessel: give base_url, or LLAMACPP_URL, LMSTUDIO_URL, OLLAMA_URL.")
    return tuple(found)


def show(report: Report, console: Console) -> None:
    """Print a report for people."""
    console.print("  ".join(f"{name} {number}" for name, number in report.versions.items()), style="dim", markup=False)
    for trap in report.traps:
        console.print(f"! {trap}", style="yellow", markup=False)
    for one in report.servers:
        _show_server(one, console)
    if not report.well:
        starts = "\n".join(f"  {backend.title}: {backend.how_to_start}" for backend in BACKENDS if backend.probed)
        console.print(f"\nNo server is usable. Start one:\n{starts}\n  embedded: vessel serve --demo", markup=False)


def _show_server(one: Examined, console: Console) -> None:
    server = one.server
    title = find_backend(server.backend).title if server.backend != "auto" else "server"
    source = f"  ({server.source})" if server.source else ""
    if not server.connected:
        console.print(
            f"\n✗ {title}  {server.base_url}{source}  {harmless(server.error or '')}", style="dim", markup=False
        )
        return
    console.print(f"\n✓ {title} {server.version or ''}  {server.base_url}{source}", style="bold", markup=False)
    if server.error:
        console.print(f"  {harmless(server.error)}", style="yellow", markup=False)
    console.print(table(server.models[:20], f"  {len(server.models)} models"))
    for check in one.checks:
        speed = f"{check.tokens_per_second:6.0f} tokens/s" if check.tokens_per_second else " " * 15
        style = {True: "green", False: "red", None: "yellow"}[check.works]
        line = f"  {check.mark} {check.name:13}{check.milliseconds:7.0f} ms {speed}  {harmless(check.detail)[:100]}"
        console.print(line, style=style, markup=False, highlight=False, no_wrap=True, overflow="ellipsis")
