"""What the pages tell people to type is there: the command's options, make's targets, modules, extras, folders.

What it starts can't run here: it installs, downloads, waits for Ctrl-C, or is another's program.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from typer.main import get_command
from vessel_core.backends import find_backend
from vessel_core.cli.app import app
from vessel_core.cli.chatting import parse_options

from tests.docs.test_pages import PAGES, ROOT, blocks, name

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]


def with_shell() -> list[Path]:
    return [page for page in PAGES if any(language == "sh" for _, language, _ in blocks(page))]


def commands(code: str) -> list[list[str]]:
    """Return the words of each command of a block, without variables before it and what it reads from or writes to."""
    found: list[list[str]] = []
    for line in re.sub(r"\$\(.*?\)", "1", code.replace("\\\n", " ")).splitlines():
        words = shlex.split(line, comments=True)
        while words:
            end = next((place for place, word in enumerate(words) if word in ("|", "<", ">")), len(words))
            command, mark, words = words[:end], words[end : end + 1], words[end + 1 :]
            found.append([word for word in command if not re.match(r"[A-Z_]+=", word)])
            if mark in (["<"], [">"]):
                words = words[1:]
    return [command for command in found if command]


def check(command: list[str]) -> None:
    """Fail if one of our own can't be as it is written."""
    match command:
        case ["docker", *words] if "vessel" in words:
            check(words[words.index("vessel") :])
        case ["vessel", *words]:
            check_vessel(words)
        case ["make", *targets]:
            assert [target for target in targets if not re.search(rf"(?m)^{re.escape(target)}:", MAKEFILE)] == []
        case ["pip", "install", *things]:
            for thing in things:
                assert not thing.startswith(".") or (ROOT / thing.partition("[")[0] / "pyproject.toml").exists(), thing
                of_ours = re.fullmatch(r"(?:vessel-core|\.)\[([\w,]+)\]", thing)
                assert set(of_ours[1].split(",") if of_ours else ()) <= set(EXTRAS), thing
        case ["python", "-m", module, *words]:
            assert find_spec(module), module
            assert [word for word in words if "/" in word and not (ROOT / word).exists()] == []
        case _:
            assert command[0] in {"curl", "docker", "git", "jupyter", "llama-server", "lms", "mkdir", "ollama"}, command


def check_vessel(words: list[str]) -> None:
    """Read the words as the command does, up to where it would begin."""
    whole = get_command(app)
    if words[0].startswith("-"):
        assert words[0] in {flag for parameter in whole.params for flag in parameter.opts}
        return
    there = getattr(whole, "commands")  # noqa: B009 - a group has them, which the type of any command hasn't
    given = there[words[0]].make_context(words[0], words[1:]).params
    if (backend := given.get("backend", "auto")) not in ("auto", "parley"):  # which the page on adding a server adds
        find_backend(backend)
    parse_options(given.get("option") or ())


def check_block(code: str) -> None:
    read = subprocess.run(["sh", "-n"], input=code, text=True, capture_output=True)
    assert read.returncode == 0, read.stderr
    for command in commands(code):
        check(command)


@pytest.mark.parametrize("page", with_shell(), ids=name)
def test_what_a_page_says_to_type_is_understood(page: Path) -> None:
    for _, language, code in blocks(page):
        if language == "sh":
            check_block(code)


@pytest.mark.parametrize(
    "wrong",
    [
        *("vessel frob", "vessel chat --frob", "vessel chat -o frob", "vessel --frob", "vessel models -b frob"),
        *("git diff | vessel chat --frob", "docker compose exec jupyter vessel frob", "MODEL=x vessel chat < y --frob"),
        *("pip install '.[frob]'", "pip install ./integrations/frob", "python -m docs.examples.frob"),
        *("make frob", "frob", "echo 'frob"),
    ],
)
def test_what_is_not_there_is_found(wrong: str) -> None:
    with pytest.raises(Exception, match=r"frob|Unterminated"):
        check_block(wrong)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_block_of_code_has_its_fence(page: Path) -> None:
    """Without one it has no language, and would not be run: only what stands in a tab is indented."""
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    before = {place: tokens[place - 2].content for place in range(2, len(tokens))}
    loose = [
        token.content for place, token in enumerate(tokens) if token.type == "code_block" and before[place][:3] != "==="
    ]
    assert loose == []
