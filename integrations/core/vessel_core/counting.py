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


def estimate_text(text: str) -> TokenCount:
    """Estimate the tokens of a text."""
    return TokenCount(math.ceil(len(text.encode("utf-8", "replace")) / BYTES_A_TOKEN), exact=False)


def estimate_chat(request: ChatRequest) -> TokenCount:
    """Estimate the tokens of a chat with its tools."""
    tools = sum(estimate_text(json.dumps(tool["function"], default=str)) for tool in request.tools)
    return TokenCount(tools + _messages(request.messages), exact=False)


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
