"""Finds a local LLM server, or starts the embedded one, and shows what Vessel does with it.

    make demo

Each step is done first through LangChain, then through LlamaIndex, and checks its own result. The program ends with 0
if every step did what it says, else with 1.
"""

from __future__ import annotations

import sys
import time
import warnings
from contextlib import ExitStack

from rich.text import Text
from tour.places import find_places
from tour.report import Report
from vessel_core import VesselError


def main() -> int:
    """Run the demo and return its exit code."""
    started = time.perf_counter()
    report = Report()
    report.heading("Vessel")
    with ExitStack() as stack:
        try:
            places = find_places(report, stack)
        except VesselError as error:
            report.line(f"{type(error).__name__}: {error}", "bold red")
            return 1
        report.strict = places.embedded
        jobs = {
            "chat": places.chat,
            "pictures": places.seeing,
            "embeddings": places.embedding,
            "reasoning": places.thinking,
        }
        for job, place in jobs.items():
            report.note(job, str(place))
        with report.waiting("Importing LangChain…"):
            from tour.through_langchain import ThroughLangChain
        report.play(ThroughLangChain.name, ThroughLangChain(places, report).steps())
        with report.waiting("Importing LlamaIndex…"):
            from tour.through_llamaindex import ThroughLlamaIndex
        report.play(ThroughLlamaIndex.name, ThroughLlamaIndex(places, report).steps())
    good = report.summary()
    report.console.print(Text(f"{time.perf_counter() - started:.1f} s", style="dim"))
    return 0 if good else 1


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # the frameworks' own
    sys.exit(main())
