"""Lets `langchain_core.load` make a `ChatVessel` from JSON with `allowed_objects="all"`, as it does other chat models.

Either way the namespace is named as well: `load(…, allowed_objects="all", valid_namespaces=["langchain_vessel"])`.
"""

from __future__ import annotations

import sys
from typing import Any

CHAT = ("langchain_vessel", "chat", "ChatVessel")


def register() -> None:
    """Add `ChatVessel` to what may be loaded.

    LangChain's list is closed and private. Where a later version has none under this name, `load(…,
    allowed_objects=[ChatVessel], valid_namespaces=["langchain_vessel"])` still works.
    """

    loader: Any = sys.modules["langchain_core.load.load"]
    known: dict[tuple[str, ...], tuple[str, ...]] = getattr(loader, "ALL_SERIALIZABLE_MAPPINGS", {})
    known.setdefault(CHAT, CHAT)
