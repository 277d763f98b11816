"""How many tokens a text is, and which, by the server's tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from langchain_vessel.connection import ServerFields
from langchain_vessel.errors import langchain_errors


class TokenCounts(ServerFields):
    """A model whose texts the server counts, unless it was given a counter."""

    if TYPE_CHECKING:  # LangChain's field, which its own classes declare
        custom_get_token_ids: Callable[[str], list[int]] | None = None

    def get_token_ids(self, text: str) -> list[int]:
        """Return the token ids of a text by the server's tokenizer (llama.cpp); `Unsupported` where it has none."""
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        with langchain_errors():
            return self._sync.tokenize(text, model=self.model)

    def get_num_tokens(self, text: str) -> int:
        """Count the tokens of a text by the server's tokenizer; an estimate where the server doesn't count."""
        if self.custom_get_token_ids is not None:
            return len(self.custom_get_token_ids(text))
        with langchain_errors():
            return self._sync.count_tokens(text, model=self.model)
