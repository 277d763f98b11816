"""How many tokens a text or a chat is: an estimate, for servers that don't count over HTTP.

One token is taken for 3.5 bytes of UTF-8, which errs on the side of too many for English prose, or for two digits; a message
adds 4, a picture 500. Counts by the server's own tokenizer are exact, template and tools included.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence

from vessel_core.errors import ContextOverflow
from vessel_core.types import ChatRequest, Message, TokenCount

BYTES_A_TOKEN = 3.5
DIGITS_A_TOKEN = 2
TOKENS_A_MESSAGE = 4
TOKENS_A_PICTURE = 500
SHORT_PROMPT = 600
# Both are compiled when they are first used: that takes a twelfth of the time in which all of the core is imported.
WORD = r"[A-Za-z\u00c0-\u1fff\u3040-\ud7ff][\w'\u0080-\U0010ffff]*"
"""A word as no tokenizer joins two: all that is not ASCII belongs to it, signs of a script without spaces too."""

SIGN = r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u9fff]"
"""A sign of a script that sets no spaces between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""

SIGNS_A_TOKEN = 8

FULL = 0.99
"""The share of a context from which on it is full: a prompt was cut to fit it."""


def estimate_text(text: str) -> TokenCount:
    """Estimate the tokens of a text."""
    digits = sum(map(text.count, "0123456789"))
    others = len(text.encode("utf-8", "replace")) - digits
    return TokenCount(math.ceil(others / BYTES_A_TOKEN + digits / DIGITS_A_TOKEN), exact=False)


def estimate_chat(request: ChatRequest) -> TokenCount:
    """Estimate the tokens of a chat with its tools."""
    tools = sum(estimate_text(json.dumps(tool["function"], default=str)) for tool in request.tools)
    return TokenCount(tools + _messages(request.messages), exact=False)


def fewest_tokens(texts: Iterable[str]) -> int:
    """Return how many tokens these texts have at least, whatever the tokenizer: one a word, one for eight signs."""
    words = signs = 0
    for text in texts:
        words += sum(1 for _ in re.finditer(WORD, text))
        signs += sum(1 for _ in re.finditer(SIGN, text))
    return max(words, signs // SIGNS_A_TOKEN)


def certain_texts(request: ChatRequest) -> Iterator[str]:
    """Yield what every template shows of a chat: it may leave thoughts, calls and tools out. What a picture takes isn't known."""
    for message in request.messages:
        content = message.get("content") or ""
        for part in [content] if isinstance(content, str) else content:
            text = part if isinstance(part, str) else part["text"] if part["type"] == "text" else ""
            yield text.rpartition("</think>")[2]


def was_cut(texts: Iterable[str], estimate: int, read: int, context: int | None, *, strict: bool = False) -> bool:
    """Tell whether a server that read so few tokens must have cut the prompt, as Ollama does without a word.

    It did if fewer tokens were read than these `texts` of the prompt have words. Where the allocated context is known, it
    did too if the prompt may not fit and as much was read as there is room for; not if the server was asked to be `strict`,
    and to refuse what does not fit: one that is too old to know that cuts it all the same.
    """
    if read <= 0 or estimate <= (context or SHORT_PROMPT):
        return False
    if context is not None and not strict and FULL * context <= read <= context:
        return True
    return read < fewest_tokens(texts)


def overflow(estimate: int, read: int, context: int | None) -> ContextOverflow:
    """Return the error of a prompt that was cut and must not be."""
    error = ContextOverflow(
        f"Ollama cut the prompt of about {estimate:d} tokens to fit the context, and read {read} of it.",
        hint="Send less, or give `num_ctx=…`. Without `strict` the answer comes, marked as `truncated`.",
    )
    error.prompt_tokens, error.context_length = int(estimate), context
    return error


def gap_overflow(tokens: int, read: int) -> ContextOverflow:
    """Return the error of a gap whose surroundings were cut and must not be."""
    error = ContextOverflow(
        f"llama.cpp cut the {tokens} tokens around the gap to fit its batch, and read {read}.",
        hint="Send less, or start it with a larger batch (`-b`). Without `strict` the answer comes, marked as `truncated`.",
    )
    error.prompt_tokens = tokens
    return error


def _messages(messages: Sequence[Message]) -> int:
    tokens = 0
    for message in messages:
        tokens += TOKENS_A_MESSAGE + estimate_text(message.get("reasoning", ""))
        content = message.get("content") or ""
        for part in [content] if isinstance(content, str) else content:
            if isinstance(part, str):
                tokens += estimate_text(part)
            elif part["type"] == "text":
                tokens += estimate_text(part["text"])
            else:
                tokens += TOKENS_A_PICTURE
        for call in message.get("tool_calls", ()):
            tokens += estimate_text(call["function"]["name"] + call["function"]["arguments"])
    return tokens
