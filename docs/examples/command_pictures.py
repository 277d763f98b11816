"""Pictures of the `vessel` command, from real runs against embedded servers: `python docs/examples/command_pictures.py`."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text
from vessel_core import LocalServer

FOLDER = Path(__file__).resolve().parents[1] / "pictures"
WIDTH = 100
#: rich's own form, without the fonts that it fetches from elsewhere.
FORM = re.sub(r"(?s)@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT)
NOWHERE = dict.fromkeys(("LLAMACPP_URL", "LMSTUDIO_URL", "OLLAMA_URL"), "")


def ran(*command: str, url: str = "") -> str:
    """Run the command as in a terminal, and return what it printed."""
    environment = {**os.environ, **NOWHERE, "LLAMACPP_URL": url, "FORCE_COLOR": "1", "COLUMNS": str(WIDTH)}
    arguments = [sys.executable, "-m", "vessel_core.cli", *command]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False, input="")  # noqa: S603
    return re.sub(r"(system \w+)-\S+", r"\1", done.stdout)  # the machine's kernel is nobody's business


def draw(name: str, *screens: tuple[str, str]) -> None:
    """Write a picture of commands and what they printed."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for command, printed in screens:
        console.print(Text(f"$ {command}", style="bold"))
        console.print(Text.from_ansi(printed.rstrip()), soft_wrap=False)
    console.print()  # the last line is cut where letters end
    svg = console.export_svg(title="vessel", theme=MONOKAI, code_format=FORM, unique_id=name)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.svg").write_text(svg + "\n", encoding="utf-8")


def main() -> None:
    """Draw all of them."""
    with LocalServer.demo(port=8080) as server:
        draw("doctor", ("vessel doctor", ran("doctor", url=server.base_url)))
    with LocalServer.demo("assistant", port=8080) as server:
        url = server.base_url
        question = "What is Vessel?"
        draw(
            "chat",
            ("vessel models", ran("models", url=url)),
            (f"vessel chat {question!r}", ran("chat", question, url=url)),
        )
    with LocalServer.demo("thinking") as server:
        question = "Why is the sky blue?"
        draw("thoughts", (f"vessel chat {question!r}", ran("chat", question, url=server.base_url)))
    draw("nothing", ("vessel doctor", ran("doctor")))


if __name__ == "__main__":
    main()
