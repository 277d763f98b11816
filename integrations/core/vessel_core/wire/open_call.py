"""A tool call whose pieces are still coming."""

from __future__ import annotations

from vessel_core.errors import ResponseTooLarge
from vessel_core.wire.arguments import RawBreaks, parse_arguments

MAX_ARGUMENTS = 512 * 1024
"""Characters that the arguments of a reply's calls may have together, if the tokens of an answer aren't bounded."""
LOOKS = 24
"""How many times the longest arguments may be looked at to find where the next call begins."""
PIECE = 4
"""Characters that take as long to look at as it takes to join a piece."""


class OpenCall:
    """A call whose pieces are still coming."""

    __slots__ = (
        *("announced", "arguments", "breaks", "escape", "held", "id"),
        *("index", "looked", "name", "said", "server_index"),
    )

    def __init__(self, index: int, server_index: int | None) -> None:
        self.index = index
        self.server_index = server_index
        self.id = ""
        self.name = ""
        self.announced = False
        self.breaks: RawBreaks | None = None
        self.held = False
        self.said = False
        self.arguments: list[str] = []
        self.looked = 0
        self.escape = ""  # the beginning of one, at the end of what has come

    def complete(self) -> bool:
        """Tell whether the arguments so far are a JSON document."""
        if not (self.arguments and self.arguments[-1].rstrip().endswith(("}", '"'))):
            return False
        text = "".join(self.arguments)
        self.looked += len(text) + PIECE * len(self.arguments)
        if self.looked > LOOKS * MAX_ARGUMENTS:
            raise ResponseTooLarge(
                f"The name of tool {self.name!r} comes again and again with its arguments.",
                hint="See the server's log.",
            )
        return parse_arguments(text) is not None
