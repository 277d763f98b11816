"""Ask the model, served by the embedded llama.cpp, what it has never seen, and print how often it is right."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from vessel_core import LocalServer

from demo_model.corpus import remembering
from demo_model.dialogue import Call, Case, Turn
from demo_model.draw import Draw
from demo_model.facts import UNKNOWN, about_vessel
from demo_model.passages import reading, repeating
from demo_model.strange import off_topic
from demo_model.tools import calling, replied
from demo_model.unseen import LIBRARY, OFF_TOPIC, PARAPHRASED
from demo_model.values import extraction

__all__ = ["AIMS", "CARD", "MEANING", "SHIPPED", "Figure", "evaluate", "request"]

#: The least share that must be right.
AIMS = {
    "about Vessel": 0.98, "known tool": 0.98, "unseen tool": 0.85, "unknown": 0.95, "off topic": 0.95, "retrieved passage": 0.8,
}  # fmt: skip
GENERATED: tuple[tuple[Callable[[Draw], Case], tuple[str, ...]], ...] = (
    (about_vessel, ("about Vessel",)), (off_topic, ("unknown",)), (calling, ("known tool", "unseen tool", "two calls")), (replied, ("tool result",)),
    (reading, ("reading", "unanswerable")), (extraction, ("extraction",)), (repeating, ("repeat",)), (remembering, ("memory",)),
)  # fmt: skip
#: What each kind is, for the model card.
MEANING = {
    "about Vessel": "questions about Vessel, greetings", "unknown": "“I do not know.” to questions made from words it never saw",
    "known tool": "calls of the tools everybody writes, with names and places it never saw",
    "unseen tool": "calls of tools with names, parameters and values it never saw", "two calls": "two calls for a request of two things",
    "tool result": "the answer after one tool has replied, or two", "reading": "the sentence of a passage that answers a question, copied",
    "unanswerable": "“I do not know.” to a question that has nothing to do with its passage", "extraction": "JSON for a schema, every field right",
    "repeat": "repeating a text", "memory": "a name, remembered", "off topic": "“I do not know.” to questions people ask",
    "in other words": "questions about Vessel in words of which no pattern has been trained",
    "retrieved passage": "the answer from the passage that the lexical embedding model finds, of ordinary English",
}  # fmt: skip
ROOT = Path(__file__).resolve().parents[1]
#: The model card, as the docs show it, and as the distribution of the model has it.
CARD, SHIPPED = ROOT / "docs/demo-model.md", ROOT / "integrations/demo-model/README.md"
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"


@dataclass(slots=True)
class Figure:
    """How often it was right at one thing, and where it was wrong: what was asked, wanted and said."""

    kind: str
    right: int = 0
    wrong: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])

    @property
    def asked(self) -> int:
        """How many cases there were."""
        return self.right + len(self.wrong)

    @property
    def share(self) -> float:
        """The share that was right."""
        return self.right / self.asked

    @property
    def met(self) -> bool:
        """Whether this is what is aimed at."""
        return self.right >= AIMS.get(self.kind, 0.0) * self.asked

    def count(self, question: str, wanted: str, said: str, *, right: bool) -> None:
        """Add a case."""
        if right:
            self.right += 1
        else:
            self.wrong.append((question, wanted, said))

    def __str__(self) -> str:
        aim = f"  aim {AIMS[self.kind]:4.0%}{'' if self.met else '  MISSED'}" if self.kind in AIMS else ""
        return f"{self.kind:18} {self.right:4} of {self.asked:4}  {self.share:6.1%}{aim}"


def evaluate(
    server: LocalServer, embedding: LocalServer, *, count: int, kinds: Collection[str] = tuple(MEANING)
) -> Iterator[Figure]:
    """Yield a figure for each of the kinds of cases, of `count` unseen cases where they are generated."""
    for make, made in GENERATED:
        for kind in (kind for kind in made if kind in kinds):
            figure = Figure(kind)
            for case in cases(make, kind, count):
                said = written(ask(server, request(case)))
                wanted = written(case.turns[-1])
                figure.count(case.turns[-2].text, wanted, said, right=said == wanted)
            yield figure
    yield _told("off topic", server, ((question, UNKNOWN) for question in OFF_TOPIC))
    yield _told("in other words", server, PARAPHRASED)
    yield retrieved(server, embedding)


def cases(make: Callable[[Draw], Case], kind: str, count: int) -> Iterator[Case]:
    """Generate unseen cases of one kind. Each has a draw of its own: some hold sentences of the docs, and where these change
    the other cases stay as they are."""
    made = (make(Draw(f"{kind} {number}", unseen=True)) for number in itertools.count(1))
    yield from itertools.islice((case for case in made if case.kind == kind), count)


def written(turn: Turn) -> str:
    """Return a turn as it is compared: its text, or its calls, whatever the blanks."""
    if turn.calls:
        return " ".join(f"{call.name}({json.dumps(call.arguments)})" for call in turn.calls)
    return json.dumps(json.loads(turn.text)) if turn.text.startswith("{") else turn.text


def request(case: Case) -> dict[str, Any]:
    """Return the request for the last turn of a case."""
    body: dict[str, Any] = {"messages": list(map(_message, case.turns[:-1])), "max_tokens": 160}
    if case.tools:
        body |= {"tools": [tool.schema() for tool in case.tools], "parallel_tool_calls": True}
    if case.form:
        properties = {one.name: one.schema() for one in case.form}
        schema = {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "form", "strict": True, "schema": schema},
        }
    return body


@cache
def _http() -> httpx.Client:
    """Return one client for all requests: making one reads every certificate there is."""
    return httpx.Client()


def ask(server: LocalServer, body: dict[str, Any]) -> Turn:
    """Send a request for a chat and return the answer."""
    response = _http().post(f"{server.base_url}/v1/chat/completions", json=body, timeout=60)
    if response.status_code != 200:
        return Turn("assistant", f"error {response.status_code}: {response.text[:200]}")
    message = response.json()["choices"][0]["message"]
    try:
        calls = [
            Call(call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in message.get("tool_calls") or []
        ]
        if (text := message.get("content") or "").startswith("{"):
            json.loads(text)
    except ValueError:
        return Turn("assistant", f"cut: {message}")
    return Turn("assistant", text, tuple(calls))


def _message(turn: Turn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role, "content": turn.text}
    if turn.calls:
        functions = [{"name": call.name, "arguments": json.dumps(call.arguments)} for call in turn.calls]
        message["tool_calls"] = [
            {"id": f"call_{at}", "type": "function", "function": one} for at, one in enumerate(functions)
        ]
    if turn.role == "tool":
        message["tool_call_id"] = "call_0"
    return message


def _told(kind: str, server: LocalServer, asked: Iterable[tuple[str, str]]) -> Figure:
    figure = Figure(kind)
    for question, wanted in asked:
        said = ask(server, {"messages": [{"role": "user", "content": question}], "max_tokens": 100}).text
        figure.count(question, wanted, said, right=wanted in said)
    return figure


def retrieved(server: LocalServer, embedding: LocalServer) -> Figure:
    """Find the passage nearest to each question by the lexical embedding model, and let the answer be read from it."""
    figure = Figure("retrieved passage")
    passages = [passage for passage, _, _ in LIBRARY]
    vectors = _vectors(embedding, passages)
    for (_, question, wanted), vector in zip(
        LIBRARY, _vectors(embedding, [asked for _, asked, _ in LIBRARY]), strict=True
    ):
        near = [sum(map(float.__mul__, vector, other)) for other in vectors]
        prompt = f"Answer from this passage:\n\n{passages[near.index(max(near))]}"
        messages = [{"role": "system", "content": prompt}, {"role": "user", "content": question}]
        said = ask(server, {"messages": messages, "max_tokens": 100}).text
        figure.count(question, wanted, said, right=said == wanted)
    return figure


def _vectors(server: LocalServer, texts: Sequence[str]) -> list[list[float]]:
    response = _http().post(f"{server.base_url}/v1/embeddings", json={"input": texts}, timeout=30)
    response.raise_for_status()
    return [item["embedding"] for item in response.json()["data"]]


def table(figures: Iterable[Figure]) -> str:
    """Return the figures as the model card has them."""
    rows = ["| asked | right | of | share | aim |", "| --- | --- | --- | --- | --- |"]
    for figure in figures:
        aim = f"{AIMS[figure.kind]:.0%}" if figure.kind in AIMS else ""
        rows.append(f"| {MEANING[figure.kind]} | {figure.right} | {figure.asked} | {figure.share:.1%} | {aim} |")
    return "\n".join(rows)


def main() -> None:
    """Evaluate the model that the package holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="cases of each generated kind")
    parser.add_argument("--write", action="store_true", help="put the figures into the model card")
    parser.add_argument("--wrong", type=int, default=3, help="how many wrong answers of each kind to show")
    given = parser.parse_args()
    with LocalServer.demo("assistant") as server, LocalServer.demo("embedding") as embedding:
        figures: list[Figure] = []
        for figure in evaluate(server, embedding, count=given.count):
            figures.append(figure)
            print(figure, flush=True)
            for question, wanted, said in figure.wrong[: given.wrong]:
                print(f"      asked  {question!r}\n      wanted {wanted}\n      said   {said}")
    if given.write:
        page = CARD.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        _, end, after = rest.partition(END)
        if not end:
            raise ValueError(f"{CARD} has no {BEGIN} with an {END} after it.")
        for card in (CARD, SHIPPED):
            card.write_text(f"{before}{BEGIN}\n{table(figures)}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
