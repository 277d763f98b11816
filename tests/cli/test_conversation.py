"""`vessel chat` as a person at a terminal has it: a conversation, thoughts, Ctrl-C."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from vessel_core import Client
from vessel_core.cli.chatting import talk

from tests.fake_server import FakeServer, Response, llamacpp_server, transcript

FIRST = b'data: {"choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": null}]}\n\n'


@dataclass
class Person:
    """Who types at a terminal and reads what it shows."""

    terminal: int
    process: subprocess.Popen[bytes]
    shown: bytearray = field(default_factory=bytearray)

    def types(self, text: str) -> None:
        typed = text.encode()
        while typed:
            typed = typed[os.write(self.terminal, typed) :]

    def reads_until(self, text: str) -> str:
        """Return what came up to a text, which is then behind."""
        while text.encode() not in self.shown:
            assert select.select([self.terminal], [], [], 30)[0], f"{text!r} never came: {self.shown.decode()!r}"
            try:
                self.shown += os.read(self.terminal, 65_536)
            except OSError as error:  # how Linux says that the other side is closed
                raise AssertionError(f"{text!r} never came: {self.shown.decode()!r}") from error
        came, _, rest = self.shown.decode().partition(text)
        self.shown = bytearray(rest.encode())
        return came


@contextmanager
def conversation(server: FakeServer, terminal: str = "dumb") -> Generator[Person]:
    """Run `vessel chat` at a terminal, of those that know no colours without a name."""
    with at_terminal("chat", "-b", "llamacpp", "-u", server.base_url, TERM=terminal) as person:
        yield person


@contextmanager
def at_terminal(*arguments: str, **env: str) -> Generator[Person]:
    """Run the command at a terminal."""
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "vessel_core.cli", *arguments]
    process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env={**os.environ, **env})
    os.close(its)
    try:
        yield Person(ours, process)
    finally:
        process.kill()
        process.wait()
        with suppress(OSError):
            os.close(ours)


def test_ctrl_c_stops_the_answer_and_the_server_and_the_conversation_goes_on() -> None:
    answers = [Response.stream(FIRST, keep_open=True), Response.stream(transcript("llamacpp/reasoning.sse"))]
    with (
        llamacpp_server(routes={("POST", "/v1/chat/completions"): list(answers)}) as server,
        conversation(server) as person,
    ):
        person.reads_until("> ")
        person.types("Hi.\n")
        person.reads_until("Hel")
        assert not server.disconnected.is_set()
        person.process.send_signal(signal.SIGINT)
        person.reads_until("(stopped)")
        assert server.disconnected.wait(20)
        person.reads_until("> ")
        person.types("Why?\n")
        answer = person.reads_until("tokens/s")
        person.reads_until("> ")
        person.types("\x04")
        assert person.process.wait(20) == 0
        sent = server.asked("/v1/chat/completions")[1].json()["messages"]
    assert [(one["role"], one["content"]) for one in sent] == [("user", "Hi."), ("assistant", "Hel"), ("user", "Why?")]
    assert "Okay\r\n\r\nThe" in answer


def test_ctrl_c_at_the_prompt_ends_no_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    typed: list[str | type[BaseException]] = [KeyboardInterrupt, "Even?", EOFError]

    def types(_: str) -> str:
        if isinstance(line := typed.pop(0), str):
            return line
        raise line

    monkeypatch.setattr("builtins.input", types)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    with (
        llamacpp_server(transcript("llamacpp/text.sse")) as server,
        Client("llamacpp", base_url=server.base_url) as client,
    ):
        talk(client, None, system=None, images=(), files=(), options={}, raw=False)
        (sent,) = server.asked("/v1/chat/completions")[0].json()["messages"]
    assert (sent["content"], typed) == ("Even?", [])


def test_an_answer_that_has_not_begun_is_shown_to_be_waited_for() -> None:
    begun = threading.Event()
    answer = Response.stream(begun, transcript("llamacpp/text.sse"))
    with llamacpp_server(answer) as server, conversation(server, "xterm") as person:
        person.reads_until("> ")
        person.types("Hi.\n")
        person.reads_until("waiting …")
        begun.set()
        shown = person.reads_until("tokens")
    assert "Hello" in shown


def test_a_long_question_is_sent_whole() -> None:
    question = "word " * 2000 + "end"
    with llamacpp_server(transcript("llamacpp/text.sse")) as server, conversation(server) as person:
        person.reads_until("> ")
        person.types(f"{question}\n")
        person.reads_until("tokens")
        (sent,) = server.asked("/v1/chat/completions")[0].json()["messages"]
    assert sent["content"] == question


def test_an_error_of_one_turn_is_shown_and_the_conversation_goes_on_without_its_question() -> None:
    refused = Response.json({"error": {"message": "the prompt is too odd", "code": 400}}, 400)
    answers = [refused, Response.stream(transcript("llamacpp/text.sse"))]
    with (
        llamacpp_server(routes={("POST", "/v1/chat/completions"): list(answers)}) as server,
        conversation(server) as person,
    ):
        person.reads_until("> ")
        person.types("Odd?\n")
        person.reads_until("the prompt is too odd")
        person.reads_until("> ")
        person.types("Even?\n")
        person.reads_until("tokens")
        (sent,) = server.asked("/v1/chat/completions")[1].json()["messages"]
    assert sent["content"] == "Even?"


def test_ctrl_c_in_a_pipe_ends_with_what_came_and_says_so_by_its_exit_code() -> None:
    with llamacpp_server(Response.stream(FIRST, keep_open=True)) as server:
        command = [sys.executable, "-m", "vessel_core.cli", "chat", "Hi.", "-b", "llamacpp", "-u", server.base_url]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            first = process.stdout.read(3)
            process.send_signal(signal.SIGINT)
            rest = process.stdout.read()
    assert (first, rest, process.returncode) == (b"Hel", b"\n", 130)


def test_without_a_server_a_conversation_is_not_begun() -> None:
    with at_terminal("chat", "-b", "llamacpp", "-u", "http://127.0.0.1:9", TERM="dumb") as person:
        assert "> " not in person.reads_until("Start it: llama-server")
        assert person.process.wait(20) == 1


def test_a_server_that_is_down_is_told_of_on_a_line_of_its_own() -> None:
    with (
        llamacpp_server() as server,
        at_terminal(
            "models", LLAMACPP_URL=server.base_url, OLLAMA_URL="http://127.0.0.1:9", TERM="xterm", COLUMNS="80"
        ) as person,
    ):
        looked = person.reads_until("http://127.0.0.1:9 (OLLAMA_URL): Nothing listens")
    (_, after) = looked.rsplit("looking", 1)
    assert "\x1b[2K" in after  # the line of what is waited for is taken away first
