"""The table of quirks: what servers do, and what the tests named after each number say a caller gets.

`python -m docs.examples.quirk_table` prints it; with `--write` it takes its place in docs/quirks.md.
"""

from __future__ import annotations

import re

from docs.examples.generated import ROOT, Part, run

TESTS = re.compile(r"^(?:async )?def test_quirk_(\d\d)_(\w+)\(", re.MULTILINE)

GROUPS: dict[str, dict[int, tuple[str, str]]] = {
    "Framing": {
        1: ("`data:` without the space after it", "some proxies"),
        2: ("lines that end in CRLF or CR", "KoboldCpp, sse-starlette"),
        3: ("a byte order mark first", "the standard allows it"),
        4: ("several `data:` lines in one event", "the standard"),
        5: ("events that no blank line parts", "not seen; guarded against"),
        6: ("comments as keep-alives", "llama.cpp, vLLM, mlx-lm"),
        7: ("fields beside `data:`; `event: error`", "LM Studio"),
        8: ("a field named `error:`", "old llama.cpp"),
        9: ("no `[DONE]`", "mlx-lm, many gateways"),
        10: ("`[DONE]` without a line end", "old KoboldCpp"),
        11: ("`[DONE]` twice, or frames after it", "proxies"),
        12: ("a stream that just ends", "any"),
        13: ("a body without a length, ended by the connection", "mlx-lm"),
        14: ("a character split over two packets", "any"),
        15: ("raw U+2028 and U+0085 inside JSON", "llama.cpp, measured"),
        16: ("events larger than any line limit", "llama.cpp, measured"),
        17: ("lines of JSON cut anywhere", "Ollama"),
        18: ("plain text in a `data:` line", "mistral.rs"),
        19: ("a web page in place of a reply", "proxies, gin"),
        20: ("one JSON document in place of a stream", "gateways"),
        21: ("a compressed stream", "proxies"),
    },
    "Errors": {
        22: ("status 200 with an error", "LM Studio"),
        23: ("an error as text, object, nested JSON, `detail`, …", "all of them differ"),
        24: ("`code` as number, text or null", "llama.cpp, OpenAI, LiteLLM"),
        25: ("an error in the middle of a stream", "llama.cpp (measured), LocalAI, Ollama"),
        26: ("an error that becomes an empty chunk", "Ollama's `/v1`"),
        27: ("client mistakes as 500, exceptions as 404", "llama.cpp (measured), mlx-lm"),
        28: ("503 for loading and for busy", "llama.cpp, Ollama"),
        29: ("an error with an empty body", "llama.cpp, Ollama"),
        30: ("ten ways to say that the prompt is too long", "all of them differ"),
        31: ("another model answers", "LM Studio, llama.cpp"),
        32: ("an empty stream with status 200", "LM Studio"),
    },
    "Chunks": {
        33: ("no `choices`, or none in it", "usage chunks, Azure"),
        34: ("`delta: null`, or `message` in its place", "gateways"),
        35: ("`content: null` or empty", "llama.cpp (measured), Ollama"),
        36: ("`role` in each chunk, null or missing", "mlx-lm, LM Studio, SGLang"),
        37: ("prompt progress in chunks without text", "llama.cpp, measured"),
        38: ("`finish_reason` empty or unknown", "Ollama, SGLang"),
        39: ("text or whole calls in the finish chunk", "vLLM, text-generation-webui"),
        40: ("two finish chunks", "SGLang"),
        41: ("`stop` though tools were called, and the reverse", "vLLM, Ollama"),
        42: ("usage early, late, null, in each chunk, twice", "llama.cpp (measured), vLLM"),
        43: ("usage missing, zero or without its zeros", "LM Studio, Ollama"),
        44: ("text as a list of parts", "gateways"),
        45: ("NaN, Infinity, lone surrogates in JSON", "llama.cpp, measured"),
        46: ("`created` and `id` of any type", "Ollama"),
        47: ("an id that changes within a stream", "LiteLLM"),
        48: ("a proxy's own words as reasoning", "llama-swap"),
    },
    "Tool calls": {
        49: ("no index", "old Ollama, SGLang, mistral.rs"),
        50: ("index 0 for every call", "Ollama"),
        51: ("the same id and index for two calls", "OpenRouter"),
        52: ("an empty id in later chunks", "LM Studio"),
        53: ("the id in every chunk", "old SGLang"),
        54: ("no id at all", "old Ollama"),
        55: ("the same id twice, or a number", "several"),
        56: ("the name again, or empty, in later chunks", "old llama.cpp"),
        57: ("the name in pieces", "LM Studio"),
        58: ("arguments whole, or in pieces of any size", "Ollama, llama.cpp, LM Studio"),
        59: ("arguments as an object, or as JSON in a JSON string", "Ollama, gateways"),
        60: ("no arguments", "several"),
        61: ("each piece of the arguments repeats those before it", "not seen; a switch"),
        62: ("arguments cut off", "llama.cpp, measured"),
        63: ("single quotes, trailing commas and raw line breaks in arguments", "small models; a switch"),
        64: ("calls left in the text", "llama.cpp without tools (measured), LM Studio; a switch"),
        65: ("a call of a tool nobody declared", "any model"),
        66: ("no `type`", "vLLM"),
        67: ("`function_call`", "old LocalAI"),
        68: ("more calls than one, though only one is allowed", "llama.cpp (measured), Ollama"),
        69: ("a changed tool name", "LM Studio 0.3.23"),
    },
    "Reasoning": {
        70: ("four names for it", "all of them differ"),
        71: ("`<think>` in the text, cut in two", "LM Studio, llama.cpp"),
        72: ("`</think>` without its opening tag", "Qwen3 and DeepSeek-R1 templates; a switch"),
        73: ("thinking that is on by default, and uses up the answer", "Ollama"),
        74: ("an object or a list in its place", "envoy, OpenRouter"),
    },
    "Embeddings": {
        75: ("vectors out of order", "gateways"),
        76: ("fewer or more vectors than texts", "any"),
        77: ("nested vectors, one for each token", "llama.cpp, measured"),
        78: ("base64 for floats, and the reverse", "LM Studio"),
        79: ("an empty text", "llama.cpp (measured), Ollama"),
        80: ("NaN or zeros in a vector", "Ollama, llama.cpp"),
        81: ("`dimensions` ignored", "llama.cpp, measured"),
        82: ("a text that is too long: refused, or cut in silence", "llama.cpp (measured), Ollama"),
        83: ("token numbers in place of texts mean nothing", "llama.cpp (measured), vLLM"),
    },
    "Lists and connections": {
        84: ("`null` for an empty list", "Ollama"),
        85: ("a list of everything on the disk", "LM Studio"),
        86: ("slashes, colons and blanks in a model's name", "all"),
        87: ("idle connections closed after five seconds", "llama.cpp (measured), LM Studio"),
    },
}
"""What can come and where it was seen, by number."""


def sentences() -> dict[int, list[str]]:
    """Return what the tests named after each quirk say, in the order of the files."""
    found: dict[int, list[str]] = {}
    for file in sorted((ROOT / "tests/core").rglob("test_*.py")):
        for number, name in TESTS.findall(file.read_text(encoding="utf-8")):
            found.setdefault(int(number), []).append(name.replace("_", " "))
    return found


def table() -> str:
    """Return the tables of all groups as Markdown."""
    said = sentences()
    lines: list[str] = []
    for group, quirks in GROUPS.items():
        lines += [
            "",
            f"## {group}",
            "",
            "| | what comes | seen with | what the tests hold |",
            "| --- | --- | --- | --- |",
        ]
        for number, (what, where) in quirks.items():
            lines.append(f"| {number} | {what} | {where} | {'; '.join(said.get(number, ['–']))} |")
    return "\n".join(lines).strip()


PART = Part("quirks", table, (ROOT / "docs/quirks.md",))

if __name__ == "__main__":
    run(PART)
