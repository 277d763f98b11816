"""`vessel chat`: one question or a conversation, streamed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, cast

import typer

from vessel_core.backends.base import same_model
from vessel_core.cli.reaching import reach
from vessel_core.cli.terminal import Terminal, complain, warn
from vessel_core.client import Client
from vessel_core.errors import InvalidRequest, VesselError
from vessel_core.harmless import harmless
from vessel_core.media import content, image_from_path
from vessel_core.options import OPTION_NAMES
from vessel_core.request import ChatFields, checked_options
from vessel_core.types import ChatReply, Delta, Message

MAX_FILE = 10_000_000
"""Bytes of a file, or of standard input, that are read."""
MANY = "vessel batch FROM TO, or vessel embed --from FROM --to TO"


def talk(
    client: Client,
    prompt: str | None,
    *,
    system: str | None,
    images: Sequence[Path],
    files: Sequence[Path],
    options: ChatFields,
    raw: bool,
) -> None:
    """Answer what was piped and asked, or line after line of a person at a terminal.

    Raises `typer.Exit` with 130, as a shell has it, where Ctrl-C stopped the answer to a single question.
    """
    history: list[Message] = [{"role": "system", "content": system}] if system else []
    console = Terminal(highlight=False)
    answer = partial(_answer, client, options=options, console=console, raw=raw or not console.is_terminal)
    at_terminal = sys.stdin.isatty()
    parts = [*map(_read, files), "" if at_terminal else read_input(), prompt or ""]
    text = "\n\n".join(part.strip("\n") for part in parts if part.strip())
    pictures = [image_from_path(one) for one in images]
    if not (text or pictures or at_terminal):
        raise InvalidRequest(
            "There is no question.", hint="vessel chat 'your question', or write it to standard input."
        )
    with Terminal(stderr=True).status("looking …"):
        reach(client)
    if text or pictures:
        history.append({"role": "user", "content": content(text, pictures) if pictures else text})
        finished = answer(history)
        if prompt is not None or not at_terminal:
            if not finished:
                raise typer.Exit(130)
            return
    _converse(history, console, answer)


def parse_options(given: Sequence[str]) -> ChatFields:
    """Read `name=value`, the value as JSON where it is; raise `InvalidRequest` for what has no `=` or is no option."""
    options: dict[str, Any] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals:
            raise InvalidRequest(f"The option {each!r} has no value.", hint="Write it so: -o temperature=0.2")
        try:
            options[name.strip()] = json.loads(value)
        except (ValueError, RecursionError):
            options[name.strip()] = value
    fields = ChatFields.__optional_keys__ - OPTION_NAMES
    checked_options({name: value for name, value in options.items() if name not in fields})
    return cast("ChatFields", options)  # the core checks the others


def read_input() -> str:
    """Return standard input as text; raise `InvalidRequest` where it isn't UTF-8, or is longer than a file may be."""
    return _text_of(sys.stdin.buffer, "Standard input")


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return f"--- {file.name} ---\n{_text_of(opened, str(file))}"
    except OSError as error:
        raise InvalidRequest(f"{file} can't be read as text: {error.strerror}.") from error


def _text_of(opened: BinaryIO, what: str) -> str:
    data = opened.read(MAX_FILE + 1)  # what is no plain file has no size, and may have no end
    if len(data) > MAX_FILE:
        raise InvalidRequest(f"{what} is longer than {MAX_FILE:,} bytes.", hint=f"For many texts: {MANY}.")
    try:
        return data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{what} can't be read as text: {error}.") from error


def _converse(history: list[Message], console: Terminal, answer: Callable[[list[Message]], bool]) -> None:
    with suppress(ImportError):
        import_module("readline")  # with it `input` takes long lines, and the keys edit
    console.print("Ctrl-D ends the conversation, Ctrl-C an answer.", style="dim")
    while True:
        try:
            line = input("> ")
        except EOFError:
            console.print()
            return
        except KeyboardInterrupt:  # meant for an answer that has just ended, or for the line
            console.print()
            continue
        if not line.strip():
            continue
        before = len(history)
        history.append({"role": "user", "content": line})
        try:
            answer(history)
        except VesselError as error:
            complain(error)
            del history[before:]


def _answer(client: Client, history: list[Message], *, options: ChatFields, console: Terminal, raw: bool) -> bool:
    """Print the answer as it comes, thoughts dimmed, and add it to the history; say whether it came to its end.

    Ctrl-C keeps what came. A pipe gets no thoughts, and the answer unchanged, as does a terminal with `raw`.
    """
    deltas = client.stream(history, **options)
    came: list[Delta] = []
    finished = False
    try:
        for delta in chain(_first(deltas), deltas):
            came.append(delta)
            if delta.reasoning and console.is_terminal:
                console.print(delta.reasoning, end="", style="dim italic", markup=False, soft_wrap=True)
            if delta.text:
                if console.is_terminal and came[:-1] and came[-2].reasoning:
                    console.print("\n")
                _write(delta.text, console, raw=raw)
        finished = True
    except KeyboardInterrupt:
        if console.is_terminal:
            console.print(" (stopped)", style="dim", end="")
    except VesselError:
        if came:
            console.print()
        raise
    finally:
        deltas.close()
    reply = ChatReply.gather(came)
    history.append(reply.message())
    console.print()
    if console.is_terminal:
        console.print(_facts(reply), style="dim", markup=False)
    _warn_of_another_model(client.target.model, reply.model, history)
    return finished


def _first(deltas: Iterator[Delta]) -> Iterator[Delta]:
    """Yield the first piece of an answer, and show meanwhile that it is waited for."""
    with Terminal(stderr=True).status("waiting …"):
        first = next(deltas, None)
    if first is not None:
        yield first


def _write(text: str, console: Terminal, *, raw: bool) -> None:
    if raw:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        console.print(text, end="", markup=False, soft_wrap=True)


def _warn_of_another_model(wanted: str | None, answered: str | None, history: Sequence[Message]) -> None:
    """Say, once in a conversation, that a server with one model answers with that, whichever was named."""
    first = sum(message["role"] == "assistant" for message in history) == 1
    if wanted and answered and first and not same_model(wanted, answered):
        said = f"{wanted} was asked for; {answered} answered. The models that are there: vessel models"
        warn(said)


def _facts(reply: ChatReply) -> str:
    facts = [reply.model or ""]
    if reply.usage:
        facts.append(f"{reply.usage.prompt_tokens} + {reply.usage.completion_tokens} tokens")
    if reply.timings and (speed := reply.timings.tokens_per_second):
        facts.append(f"{speed:.0f} tokens/s")
    if reply.timings and reply.timings.first_token_ms:
        facts.append(f"first after {reply.timings.first_token_ms:.0f} ms")
    if reply.finish == "length":
        facts.append("cut by the length limit")
    return harmless(" · ".join(fact for fact in facts if fact))
