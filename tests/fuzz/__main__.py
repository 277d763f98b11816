"""Fuzz: `python -m tests.fuzz [--seconds 60 | --runs 1000000] [TARGET…]`, each target in a process of its own.

It begins with the transcripts and `tests/fuzz/corpus`; what it finds new is kept outside of the tree, in the folder of
`VESSEL_FUZZ_CORPUS` (a temporary one without it). A crash prints the input and ends with an error.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NAMES = [
    "events",
    "lines",
    "openai_chat",
    "ollama_chat",
    "documents",
    "listings",
    "arguments",
    "media",
    "addresses",
    "replies",
]
SEEDS = (HERE / "corpus", HERE.parent / "transcripts")


def fuzz(name: str, until: str, folder: Path) -> bool:
    """Fuzz one target until a limit of libFuzzer's; tell whether nothing was found."""
    (found := folder / name).mkdir(parents=True, exist_ok=True)
    arguments = [
        until,
        "-max_len=512",
        "-timeout=10",
        "-rss_limit_mb=1024",
        "-print_final_stats=1",
    ]
    sources = str(HERE.parents[1] / "integrations" / "core")  # the fuzzers' own environment doesn't have the core
    environment = {**os.environ, "PYTHONPATH": sources}
    command = [sys.executable, "-m", "tests.fuzz", "--one", name, str(found), *arguments, f"-artifact_prefix={folder}/"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
    covered = re.findall(r"cov: (\d+)", done.stderr)
    print(f"{name:12} {int(runs[1]) if runs else 0:>12,} runs  coverage {covered[-1] if covered else '?':>5}  ", end="")
    print("ok" if done.returncode == 0 else f"FAILED\n{done.stdout[-2000:]}{done.stderr[-500:]}", flush=True)
    return done.returncode == 0


def one(name: str, arguments: list[str]) -> None:
    """Run one target in this process, under atheris."""
    atheris: Any = importlib.import_module("atheris")  # only in the fuzzers' own environment
    with atheris.instrument_imports(include=["vessel_core"]):
        from tests.fuzz.targets import TARGETS

    atheris.Setup([sys.argv[0], *arguments, *map(str, SEEDS)], TARGETS[name])
    atheris.Fuzz()


def main() -> None:
    """Fuzz the targets named, or all."""
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], sys.argv[3:])
        return
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--runs", type=int, help="of each target, in place of seconds")
    parser.add_argument("names", nargs="*", metavar="TARGET", help=f"{', '.join(NAMES)}; all without")
    given = parser.parse_args()
    until = f"-runs={given.runs}" if given.runs else f"-max_total_time={given.seconds}"
    folder = Path(os.environ.get("VESSEL_FUZZ_CORPUS") or tempfile.mkdtemp(prefix="vessel-fuzz-"))
    good = [fuzz(name, until, folder) for name in given.names or NAMES]  # all of them, whatever the first finds
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
