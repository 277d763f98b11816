"""Starting, using and ending real servers in child processes."""

from __future__ import annotations

import asyncio
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest
from vessel_core import demo_models
from vessel_core.errors import InvalidConfig, ServerStartError
from vessel_core.local import LocalServer

CORE = Path(demo_models.__file__).parents[2]
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello!"}], "seed": 1}


def ask(server: LocalServer, headers: dict[str, str] | None = None, **options: Any) -> httpx.Response:
    return httpx.post(f"{server.base_url}/v1/chat/completions", json=HELLO | options, headers=headers, timeout=30)


def exists(pid: int) -> bool:
    """Say whether a process runs; one that has ended and waits for its parent doesn't."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def ended(pid: int) -> bool:
    """Wait for a process to end; say whether it did."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], 10)[0])
    finally:
        os.close(process)


def in_a_fresh_python(code: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(CORE)}
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)


def test_a_server_runs_as_long_as_its_context() -> None:
    server = LocalServer.demo(alias="my-model")
    assert server.pid is None
    with server:
        pid = server.pid
        assert pid is not None
        models = httpx.get(f"{server.base_url}/v1/models").json()
        assert [model["id"] for model in models["data"]] == ["my-model"]
        assert ask(server).json()["choices"][0]["finish_reason"] == "stop"
    assert not exists(pid)
    assert server.pid is None
    with pytest.raises(ServerStartError, match="not running"):
        _ = server.base_url


async def test_the_async_context_manager_does_the_same() -> None:
    async with LocalServer.demo() as server:
        pid = server.pid
        assert ask(server).status_code == 200
    assert pid is not None
    assert not exists(pid)


async def test_a_cancelled_start_leaves_no_child() -> None:
    server = LocalServer.demo()
    starting = asyncio.create_task(server.astart())
    while server.pid is None:  # noqa: ASYNC110 - the child appears in another thread, which has no event to wait for
        await asyncio.sleep(0)
    pid = server.pid
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert await asyncio.to_thread(ended, pid)


def test_starting_twice_and_stopping_twice_are_harmless() -> None:
    server = LocalServer.demo().start()
    try:
        url = server.base_url
        assert server.start().base_url == url
    finally:
        server.stop()
        server.stop()
    assert server.pid is None


def test_a_child_that_does_not_react_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vessel_core.local_process.GRACE", 0.1)
    server = LocalServer.demo().start()
    assert server.pid is not None
    pid = server.pid
    os.kill(pid, signal.SIGSTOP)
    server.stop()
    assert ended(pid)


def test_two_servers_run_side_by_side(chat_server: LocalServer, thinking_server: LocalServer) -> None:
    assert chat_server.base_url != thinking_server.base_url
    assert ask(chat_server).json()["model"] == "demo-chat"
    assert ask(thinking_server).json()["model"] == "demo-thinking"


def test_the_child_ends_when_its_parent_is_killed() -> None:
    code = (
        "from vessel_core.local import LocalServer\n"
        "server = LocalServer.demo().start()\n"
        "print(server.pid, flush=True)\n"
        "import signal; signal.pause()"
    )
    with in_a_fresh_python(code) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert exists(pid)
        parent.send_signal(signal.SIGKILL)
    assert ended(pid), "the child outlives its parent"


def test_the_parent_imports_nothing_of_the_server() -> None:
    code = (
        "import sys, vessel_core.local; print(sorted({'xllamacpp', 'numpy', 'gguf', 'tokenizers'} & set(sys.modules)))"
    )
    with in_a_fresh_python(code) as parent:
        assert parent.stdout is not None
        assert parent.stdout.read().strip() == "[]"


def test_a_key_is_wanted_and_shows_nowhere(keyed_server: LocalServer) -> None:
    assert ask(keyed_server).status_code == 401
    assert ask(keyed_server, headers={"Authorization": "Bearer secret-key"}).status_code == 200
    command = Path(f"/proc/{keyed_server.pid}/cmdline").read_text()
    environment = Path(f"/proc/{keyed_server.pid}/environ").read_text()
    assert "secret-key" not in command + environment + repr(keyed_server)


def test_a_prompt_above_the_context_is_refused(small_context_server: LocalServer) -> None:
    response = ask(small_context_server, messages=[{"role": "user", "content": "word " * 3000}])
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["type"] == "exceed_context_size_error"
    assert error["n_ctx"] == 1024


def test_a_template_without_tools_drops_them(no_tools_server: LocalServer) -> None:
    caps = httpx.get(f"{no_tools_server.base_url}/props").json()["chat_template_caps"]
    assert caps["supports_tools"] is False
    tool: dict[str, Any] = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}
    message = ask(no_tools_server, tools=[tool], tool_choice="required").json()["choices"][0]["message"]
    assert "tool_calls" not in message


def test_a_stream_breaks_off_with_an_error(broken_stream_server: LocalServer) -> None:
    response = ask(broken_stream_server, stream=True)
    assert response.status_code == 200
    events = [line for line in response.text.split("\n") if line]
    assert '"role":"assistant"' in events[0]
    assert '"error"' in events[-1]
    assert "[DONE]" not in response.text
    assert ask(broken_stream_server).status_code == 500


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServerStartError, match=r"absent\.gguf can't be read: No such file"):
        LocalServer(tmp_path / "absent.gguf").start()


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    file = tmp_path / "notes.gguf"
    file.write_text("not a model")
    with pytest.raises(ServerStartError, match=r"notes\.gguf is not a GGUF file"):
        LocalServer(file).start()


def test_a_cut_file_is_explained_by_what_the_server_wrote(tmp_path: Path) -> None:
    whole = demo_models.path("chat").read_bytes()
    file = tmp_path / "cut.gguf"
    file.write_bytes(whole[: len(whole) // 2])
    server = LocalServer(file)
    with pytest.raises(ServerStartError, match="corrupted or incomplete"):
        server.start()
    assert server.pid is None


def test_a_port_in_use_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ServerStartError, match="can't listen at 127"):
        LocalServer.demo(port=taken.getsockname()[1]).start()


def test_a_start_that_takes_too_long_is_ended() -> None:
    server = LocalServer.demo(start_timeout=0.001)
    with pytest.raises(ServerStartError, match="not ready within"):
        server.start()
    assert server.pid is None


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_found(_: str) -> None:
        return None

    monkeypatch.setattr("vessel_core.local.find_spec", nothing_found)
    with pytest.raises(ServerStartError, match=r"'xllamacpp'.*\n.*vessel-core\[server\]"):
        LocalServer.demo().start()


def test_a_library_that_the_system_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an image that is slim: the real module, which looks for a libgomp that there isn't."""
    spec = find_spec("xllamacpp")
    assert spec is not None
    assert spec.origin is not None
    package = shutil.copytree(Path(spec.origin).parent, tmp_path / "xllamacpp")
    (compiled,) = package.glob("*.so")
    compiled.write_bytes(compiled.read_bytes().replace(b"libgomp.so.1", b"libgomp.so.9"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ServerStartError, match=r"libgomp\.so\.9: cannot open.*\n.*apt-get install libgomp1"):
        LocalServer.demo().start()


def test_options_that_cannot_be_right_are_refused() -> None:
    with pytest.raises(InvalidConfig):
        LocalServer("model.gguf", context_length=0)
