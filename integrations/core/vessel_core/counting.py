"""How many tokens a text or a chat is: an estimate, for servers that don't count over HTTP.

One token is taken for 3.5 bytes of UTF-8, which errs on the side of too many for English prose; a message adds 4, a picture
500. Counts by the server's own tokenizer are exact, template and tools included.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from vessel_core.types import ChatRequest, Message, TokenCount

BYTES_A_TOKEN = 3.5
TOKENS_A_MESSAGE = 4
TOKENS_A_PICTURE = 500
SHORT_PROMPT = 600
TOO_FEW = 8 / BYTES_A_TOKEN
"""No natural language has more than eight characters to a token."""


def estimate_text(text: str) -> TokenCount:
    """Estimate the tokens of a text."""
    return TokenCount(math.ceil(len(text.encode("utf-8", "replace")) / BYTES_A_TOKEN), exact=False)


def estimate_chat(request: ChatRequest) -> TokenCount:
    """Estimate the tokens of a chat with its tools."""
    tools = sum(estimate_text(json.dumps(tool["function"], default=str)) for tool in request.tools)
    return TokenCount(tools + _messages(request.messages), exact=False)


def was_cut(request: ChatRequest, prompt_tokens: int) -> bool:
    """Tell whether a server that counted so few tokens must have cut the prompt, as Ollama does without a word.

    Where the allocated context is known, a prompt is cut if it can't fit and far fewer tokens were read than it has, or as
    many as there is room for. Where it isn't, only a count that no language has is a sign of it.
    """
    if prompt_tokens <= 0:
        return False
    estimate, context = estimate_chat(request), request.context_length
    if context is None:
        return estimate > SHORT_PROMPT and prompt_tokens * TOO_FEW < estimate
    return estimate > context >= prompt_tokens and (prompt_tokens < 0.8 * estimate or prompt_tokens >= 0.97 * context)


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
