"""A real llama.cpp server on this machine, run from a GGUF file in a child process.

    >>> with LocalServer("model.gguf") as server:  # doctest: +SKIP
    ...     print(server.base_url)

The parent imports nothing of the server. The child (`local_child.py`) reads its configuration as one JSON
line on stdin, so that a key never shows in a list of processes; answers with one JSON line on stdout; and ends when
its stdin does, so that it does not outlive its parent however that ends.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Literal, Self, TypedDict, Unpack

from vessel_core.errors import InvalidConfig, ServerStartError
from vessel_core.local_process import end, spawn, talk

__all__ = ["DemoKind", "LocalServer", "Options", "Pooling", "ReasoningFormat"]

DemoKind = Literal["assistant", "chat", "thinking", "thinking_forced", "embedding", "rerank"]
Pooling = Literal["none", "mean", "cls", "last", "rank"]
ReasoningFormat = Literal["auto", "none", "deepseek", "deepseek-legacy"]

INSTALL = "Install it with: pip install 'vessel-core[server]'"
CHECK = "Is it a whole GGUF file of a kind that llama.cpp knows, and is the port free?"
LIBRARY = "The system lacks that library. libgomp comes with: apt-get install libgomp1; slim images are without it."
#: How much of what the child wrote to stderr an error shows, in characters.
TAIL = 2000
#: Seconds a child that could not start gets to end: what it wrote comes then, late on a busy machine.
ENDING = 20.0


class Options(TypedDict, total=False):
    """The options of a `LocalServer`; each says what it means there."""

    mmproj: str | Path | None
    lora: Mapping[str | Path, float] | None
    alias: str | None
    context_length: int
    parallel: int
    threads: int
    batch_size: int | None
    embeddings: bool
    rerank: bool
    pooling: Pooling | None
    chat_template: str | None
    api_key: str | None
    reasoning_format: ReasoningFormat | None
    slot_save_path: str | Path | None
    sse_ping_interval: int | None
    warmup: bool
    check_tensors: bool
    start_timeout: float
    host: str
    port: int


class LocalServer:
    """A llama.cpp server in a child process: a context manager, sync and async, or `start` and `stop`.

    `model` is a GGUF file, `mmproj` its image encoder, and `lora` maps adapter files to their scales. `alias` is the name the
    server lists (by default the file's). `context_length` is in tokens, for all `parallel` requests together; `batch_size`
    limits one embedding input, in tokens. `embeddings` serves `/v1/embeddings` as well, with `pooling` if the file doesn't say;
    `rerank` serves `/v1/rerank`. `chat_template` is Jinja text that replaces the file's. `slot_save_path` is the folder of
    `Client.save_slot`. `sse_ping_interval` and `start_timeout` are in seconds. Port 0 lets the system pick one. Construction
    does no I/O; `start` raises `ServerStartError`.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        mmproj: str | Path | None = None,
        lora: Mapping[str | Path, float] | None = None,
        alias: str | None = None,
        context_length: int = 8192,
        parallel: int = 4,
        threads: int = 1,
        batch_size: int | None = None,
        embeddings: bool = False,
        rerank: bool = False,
        pooling: Pooling | None = None,
        chat_template: str | None = None,
        api_key: str | None = None,
        reasoning_format: ReasoningFormat | None = None,
        slot_save_path: str | Path | None = None,
        sse_ping_interval: int | None = None,
        warmup: bool = False,
        check_tensors: bool = False,
        start_timeout: float = 60.0,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        if min(context_length, parallel, threads) < 1 or start_timeout <= 0:
            raise InvalidConfig("context_length, parallel, threads and start_timeout must be positive.")
        if not host.strip():
            raise InvalidConfig("host is empty.", hint="127.0.0.1 is this machine only, 0.0.0.0 every address it has.")
        self.model: Path = Path(model).expanduser()
        self.mmproj = Path(mmproj).expanduser() if mmproj is not None else None
        self.lora: dict[Path, float] = {Path(file).expanduser(): scale for file, scale in (lora or {}).items()}
        self.api_key = api_key
        self._start_timeout = start_timeout
        self._demo: DemoKind | None = None
        self._process: subprocess.Popen[str] | None = None
        self._base_url: str | None = None
        self._config: dict[str, Any] = {
            "alias": alias or self.model.stem,
            "context_length": context_length,
            "parallel": parallel,
            "threads": threads,
            "batch_size": batch_size or min(context_length, 2048),
            "embeddings": embeddings or rerank,
            "pooling": "rank" if rerank else pooling,
            "rerank": rerank,
            "chat_template": chat_template,
            "reasoning_format": reasoning_format,
            "slot_save_path": f"{slot_save_path}/" if slot_save_path else "",
            "sse_ping_interval": sse_ping_interval,
            "warmup": warmup,
            "check_tensors": check_tensors,
            "host": host,
            "port": port,
        }

    @classmethod
    def demo(cls, kind: DemoKind = "chat", **options: Unpack[Options]) -> Self:
        """Return a server of a demo model (see `vessel_core.demo_models`). The alias is `demo-` and the kind.

        "assistant" is trained: it answers questions about Vessel, calls tools, copies answers from a passage and writes
        JSON. The others are built when they start. "chat" makes sense of nothing, but also sees pictures. Both make
        embeddings.
        """
        preset = Options(alias=f"demo-{kind.replace('_', '-')}")
        if kind in ("assistant", "chat"):
            preset |= Options(embeddings=True, pooling="mean")
        elif kind == "embedding":
            preset |= Options(embeddings=True, context_length=2048, batch_size=512)
        elif kind == "rerank":
            preset |= Options(rerank=True, context_length=2048, batch_size=512)
        server = cls(f"{kind}.gguf", **(preset | options))
        server._demo = kind
        return server

    @property
    def base_url(self) -> str:
        """Where the server listens, without `/v1`; raises `ServerStartError` while it is not running."""
        if self._base_url is None:
            raise ServerStartError(
                "The local server is not running.", hint="Use it as a context manager, or call start()."
            )
        return self._base_url

    @property
    def pid(self) -> int | None:
        """The id of the child process; `None` while there is none."""
        return self._process.pid if self._process else None

    def start(self) -> Self:
        """Start the child and wait until the model is loaded; does nothing if it is running.

        Raises `ServerStartError` with the reason, and what the child wrote, if it can't.
        """
        if self._process is not None:
            return self
        self._find_files()
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
            self._process = spawn(log)
            try:
                self._base_url = self._wait_until_ready(self._process, log)
            except BaseException:
                self.stop()
                raise
        return self

    def stop(self) -> None:
        """End the child; does nothing if there is none. Only the process that `start` made is touched."""
        process, self._process, self._base_url = self._process, None, None
        if process is not None:
            end(process)

    async def astart(self) -> Self:
        """Do what `start` does, in a thread; a cancelled start leaves no child behind."""
        starting = asyncio.ensure_future(asyncio.to_thread(self.start))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(lambda done: (done.exception(), self.stop()))
            raise
        return self

    async def astop(self) -> None:
        """Do what `stop` does, in a thread."""
        await asyncio.to_thread(self.stop)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await self.astart()

    async def __aexit__(self, *_: object) -> None:
        await self.astop()

    def __repr__(self) -> str:
        state = f"base_url={self._base_url!r}, pid={self.pid}" if self._base_url else "not running"
        return f"{type(self).__name__}({self._config['alias']!r}, {state})"

    def _find_files(self) -> None:
        """Build the demo model, or check that the files given are there: the child could say it less clearly."""
        if find_spec("xllamacpp") is None:
            raise ServerStartError(
                "A local server needs the package 'xllamacpp', which is not installed.", hint=INSTALL
            )
        if self._demo is not None:
            from vessel_core import demo_models

            self.model = demo_models.path(self._demo)
            if self._demo == "chat" and self.mmproj is None:
                self.mmproj = demo_models.path("vision")
        for file in filter(None, (self.model, self.mmproj, *self.lora)):
            _check_file(file)

    def _wait_until_ready(self, process: subprocess.Popen[str], log: IO[str]) -> str:
        files = {"model": str(self.model), "mmproj": str(self.mmproj or "")}
        adapters = [(str(file), scale) for file, scale in self.lora.items()]
        config = self._config | files | {"lora": adapters, "api_key": self.api_key}
        lines: list[str] = []
        talker = threading.Thread(target=talk, args=(process, config, lines), name="vessel-local-server", daemon=True)
        talker.start()
        talker.join(self._start_timeout)
        if talker.is_alive():
            process.kill()
            talker.join()
            raise self._failure(f"was not ready within {self._start_timeout:g} s", log)
        answer: dict[str, str] = json.loads(lines[0]) if lines else {}
        if "url" not in answer:
            with suppress(subprocess.TimeoutExpired):
                process.wait(ENDING)  # the reason is in its log only when it has ended
            raise self._failure(f"did not start: {answer.get('error', 'it ended without a word').rstrip('.')}", log)
        return answer["url"]

    def _failure(self, what: str, log: IO[str]) -> ServerStartError:
        log.seek(0)
        # Each line begins with a time and a level; llama.cpp tries, and complains, twice.
        written = dict.fromkeys(line.partition(" E ")[2] or line for line in log.read()[-TAIL:].splitlines())
        if any("couldn't bind" in line for line in written):
            where = f"{self._config['host']}:{self._config['port']}"
            return ServerStartError(
                f"The local server can't listen at {where}: something else does, or may.",
                hint="Stop that, or choose another port; with port 0 the system picks one.",
            )
        said = "\nIt wrote:\n" + "\n".join(written) if written else ""
        hints = {"No module named": INSTALL, "cannot open shared object file": LIBRARY}
        hint = next((hint for reason, hint in hints.items() if reason in what), CHECK)
        return ServerStartError(f"The local server for {self.model} {what}.{said}", hint=hint)


def _check_file(file: Path) -> None:
    try:
        with file.open("rb") as opened:
            magic = opened.read(4)
    except OSError as error:
        raise ServerStartError(
            f"The model file {file} can't be read: {error.strerror}.", hint="Give the path of a GGUF file."
        ) from error
    if magic != b"GGUF":
        raise ServerStartError(f"{file} is not a GGUF file.", hint="Its first four bytes would be 'GGUF'.")
