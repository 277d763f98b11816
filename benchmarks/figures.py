"""The table: what is measured against what, and the aims."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from benchmarks.apart import HTTPX_AND_PYDANTIC, LANGCHAIN, LLAMA_INDEX

MICROSECONDS = 1e6


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing that is measured: what a client does, or (without a client) a function of `apart`.

    `per` divides the figure `of`, such as CPU seconds by tokens; `fresh` asks for a process of its own each time.
    """

    client: str
    do: str
    arguments: tuple[tuple[str, Any], ...] = ()
    of: str = "cpu"
    per: float = 1.0
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: `aim` bounds the ratio ours / peer, or ours alone (in `unit`) without a peer."""

    figure: str
    what: str
    ours: Measure
    peer: Measure | None
    aim: float
    unit: str = "µs"
    least: bool = field(default=False)


def chat(client: str, do: str, model: str, tokens: float, times: int = 1) -> Measure:
    """Return CPU microseconds a token."""
    return Measure(client, do, (("model", model), ("times", times)), per=tokens * times / MICROSECONDS)


def per_token() -> list[Row]:
    """P1: a 2,000-token answer, its events coalesced on the wire: delivered token by token, and as they arrive."""
    pairs = [
        ("P1", "ChatVessel", "ChatOpenAI", (1 / 6, 1 / 7)),
        ("P1", "ChatVessel on Ollama", "ChatOllama", (0.6, 0.6)),
        ("P1b", "Vessel", "OpenAILike", (1 / 5, 1 / 5)),
        ("P1b", "Vessel on Ollama", "LlamaIndex Ollama", (0.6, 0.6)),
        ("P1d", "vessel_core", "httpx + orjson", (1.5, 1.5)),
        ("P1d", "vessel_core on Ollama", "httpx + orjson on Ollama", (1.5, 1.5)),
    ]
    return [
        Row(
            figure,
            f"µs a token, {do}",
            chat(client, do, "text-2000", 2000, 2),
            chat(peer, do, "text-2000", 2000, 2),
            aim,
        )
        for figure, ours, peer, aims in pairs
        for client in (f"{ours}, apart", ours)
        for do, aim in zip(("stream", "astream"), aims, strict=True)
    ]


def sharp() -> list[Row]:
    """P1c: what a token takes, against sharper aims."""
    pairs = [
        ("ChatVessel, apart", "ChatOpenAI", 1 / 9),
        ("ChatVessel", "ChatOpenAI", 1 / 30),
        ("Vessel, apart", "OpenAILike", 1 / 8),
        ("Vessel", "OpenAILike", 1 / 30),
        ("vessel_core", "httpx + orjson", 1),
    ]
    model = "text-2000"
    return [
        Row("P1c", f"µs a token, {do}", chat(ours, do, model, 2000, 2), chat(peer, do, model, 2000, 2), aim)
        for ours, peer, aim in pairs
        for do in ("stream", "astream")
    ]


def paced() -> list[Row]:
    """P1 at a GPU's rhythm: each event in its own segment, 1 ms apart; wake-ups are most of it. The aims are those of P1."""
    pairs = [
        ("ChatVessel", "ChatOpenAI", (1 / 6, 1 / 7)),
        ("langchain-core on a socket", "ChatOpenAI", (1 / 6, 1 / 7)),
        ("Vessel", "OpenAILike", (1 / 5, 1 / 5)),
        ("llama-index-core on a socket", "OpenAILike", (1 / 5, 1 / 5)),
        ("vessel_core", "httpx + orjson", (1.5, 1.5)),
        ("socket + orjson", "httpx + orjson", (1.5, 1.5)),
    ]
    return [
        Row(
            "P1'",
            f"µs a token, {do}, 1 ms apart",
            chat(ours, do, "text-500-1", 500),
            chat(peer, do, "text-500-1", 500),
            aim,
        )
        for ours, peer, aims in pairs
        for do, aim in zip(("stream", "astream"), aims, strict=True)
    ]


def per_call() -> list[Row]:
    """P2 and P3: the first token, and a whole short answer."""
    rows: list[Row] = []
    for figure, do, aim in (("P2", "first", 1 / 4), ("P3", "invoke", 1 / 3), ("P3", "ainvoke", 1 / 3)):
        pairs = [("ChatVessel", "ChatOpenAI"), ("Vessel", "OpenAILike")]
        pairs += [(floor, "ChatOpenAI") for floor in ("httpx + orjson", "httpx's transport + orjson", "langchain-core")]
        for ours, peer in pairs:
            mine, theirs = (chat(client, do, "text-8", 1, 40) for client in (ours, peer))
            rows.append(Row(figure, f"µs a call, {do}", mine, theirs, aim))
    return rows


def embeddings() -> list[Row]:
    """P4: 2,048 vectors of 1,024 numbers."""

    def embed(client: str, of: str) -> Measure:
        return Measure(client, "embed", (("model", "embed-1024"), ("count", 2048)), of, fresh=True)

    rows: list[Row] = []
    for of, unit, arrays in (("cpu", "s", 0.25), ("memory", "MB", 0.2)):
        rows += [
            Row("P4", of, embed("VesselEmbeddings", of), embed("OpenAIEmbeddings", of), 0.6, unit),
            Row("P4", of, embed("VesselEmbeddings on Ollama", of), embed("OllamaEmbeddings", of), 0.6, unit),
            Row("P4", of, embed("lists of floats", of), embed("OpenAIEmbeddings", of), 0.6, unit),
            Row("P4", f"{of}, arrays", embed("vessel_core arrays", of), embed("OpenAIEmbeddings", of), arrays, unit),
        ]
    return rows


def concurrent(streams: int) -> list[Row]:
    """P5: streams of 100 tokens at once on one loop, 20 ms between tokens."""

    def many(client: str, of: str, per: float = 1.0) -> Measure:
        return Measure(client, "many", (("model", "text-100-20"), ("streams", streams)), of, per, fresh=True)

    tokens = streams * 100 / MICROSECONDS
    peer = "ChatOpenAI"
    rows = [
        Row("P5", "µs a token", many("ChatVessel", "cpu", tokens), many(peer, "cpu", tokens), 1 / 8),
        Row("P5", "peak memory", many("ChatVessel", "memory"), many(peer, "memory"), 1, "MB"),
        Row("P5", "peak memory", many("vessel_core", "memory"), None, 100, "MB"),
        Row("P5", "peak memory", many("vessel_core, 2,000 at once", "memory"), None, 100, "MB"),
    ]
    done = f"answers that came whole, of {streams}"
    clients = ("ChatVessel", "Vessel", "vessel_core", "vessel_core, 2,000 at once", peer)
    return rows + [Row("P5", done, many(client, "done"), None, streams, "", least=True) for client in clients]


def grows(client: str, do: str, kind: str, sizes: tuple[int, int], aim: float, figure: str) -> Row:
    """Return CPU a token in a long answer over that in a short one, of which there are as many as are as long."""
    per = 1 if kind == "text" else 1 / 2  # a chunk holds two characters
    long, short = (chat(client, do, f"{kind}-{size}", size * per, sizes[1] // size) for size in (sizes[1], sizes[0]))
    return Row(figure, f"{client}, {do}: {sizes[1]:,} {kind} over {sizes[0]:,}", long, short, aim)


def growth(longest: int) -> list[Row]:
    """P6: what a token costs in a long answer, delivered token by token and together. P6b: the same for a call's arguments."""
    text, tool = (1000, longest), (8192, 65536)
    return [
        grows("langchain-core", "stream", "text", text, 2.7, "P6"),
        *(grows("ChatVessel, apart", do, "text", text, 2.7, "P6") for do in ("stream", "astream")),
        *(grows("llama-index-core", do, "text", text, 1.3, "P6") for do in ("stream", "astream")),
        *(grows("Vessel, apart", do, "text", text, 1.3, "P6") for do in ("stream", "astream")),
        *(
            grows(client, do, "text", text, 1.2, "P6")
            for client in ("ChatVessel", "Vessel")
            for do in ("stream", "astream")
        ),
        grows("langchain-core", "stream", "tool", tool, 1.5, "P6b"),
        grows("ChatVessel", "stream", "tool", tool, 1.5, "P6b"),
        grows("Vessel", "stream", "tool", tool, 1.5, "P6b"),
    ]


def adding() -> list[Row]:
    """P6b for callers that add the chunks of a call up."""
    tool = (8192, 65536)
    return [grows(client, "added", "tool", tool, 1.5, "P6b") for client in ("ChatVessel", "langchain-core", "Vessel")]


def start() -> list[Row]:
    """P7 to P9: importing, constructing, installing."""

    def imports(before: str, then: str) -> Measure:
        return Measure("", "importing", (("before", before), ("then", then)))

    def constructs(client: str) -> Measure:
        return Measure(client, "construct", (("model", "text-8"), ("times", 300)), per=300 / MICROSECONDS)

    names = "from vessel_core import AsyncClient, Client"
    face = "from langchain_vessel import ChatVessel"
    index = "from llama_index.llms.vessel import Vessel"
    return [
        # the aims are milliseconds over what the base takes on a quiet machine: 40 / 106, 60 / 454 and 60 / 1,060
        Row(
            "P7",
            "import vessel_core, over httpx + pydantic",
            imports(HTTPX_AND_PYDANTIC, names),
            imports("pass", HTTPX_AND_PYDANTIC),
            0.377,
            "ms",
        ),
        Row(
            "P7",
            "import ChatVessel, over langchain-core",
            imports(LANGCHAIN, face),
            imports("pass", LANGCHAIN),
            0.132,
            "ms",
        ),
        Row(
            "P7",
            "import Vessel, over llama_index.core",
            imports(LLAMA_INDEX, index),
            imports("pass", LLAMA_INDEX),
            0.0566,
            "ms",
        ),
        Row("P8", "construct ChatVessel", constructs("ChatVessel"), None, 100),
        Row("P8", "construct Vessel", constructs("Vessel"), None, 100),
        Row("P9", "core + LangChain face", Measure("", "size", (("face", "langchain"),)), None, 3, "MB"),
        Row("P9", "core + LlamaIndex face", Measure("", "size", (("face", "llama-index"),)), None, 3, "MB"),
    ]
