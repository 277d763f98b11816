"""The settings of a chat model, and what one call asks of the core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field
from vessel_core.merging import merged

from langchain_vessel.options import call_options
from langchain_vessel.sampling import OptionFields
from langchain_vessel.structured import to_response_format
from langchain_vessel.tools import to_allowed, to_tool_choice, to_tools


class ChatSettings(OptionFields):
    """How a chat model answers: the options, and

    - `response_format`: the form of each answer, a schema or OpenAI's dict
    - `extra_body`: merged into each request as it is
    - `streaming`: `True` makes `invoke` stream to callbacks, `False` makes `stream` come in one piece
    """

    response_format: Any = Field(default=None, repr=False)
    extra_body: dict[str, Any] | None = None
    streaming: bool = False

    def request_fields(self, stop: list[str] | None, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return what one call asks of the core: the settings, then what was bound or given with the call."""
        call = call_options(given)
        tools = to_tools(call.pop("tools", None), call.pop("strict", None))
        call.pop("validate", None)  # it is no matter of the server's
        fields: dict[str, Any] = {"model": self.model, **self.chosen_options(), **call}
        if stop:
            fields["stop"] = stop
        choice = call.get("tool_choice")
        fields["tools"] = tools = to_allowed(choice, tools)
        fields["tool_choice"] = to_tool_choice(choice, tools)
        fields["response_format"] = to_response_format(call.get("response_format", self.response_format))
        fields["extra_body"] = merged(self.extra_body or {}, call.get("extra_body") or {}) or None
        return fields

    def answer_settings(self) -> dict[str, Any]:
        """Return everything here that changes an answer: it is part of the key of LangChain's cache."""
        shown: dict[str, Any] = {**self._where(), **self.chosen_options()}
        for name in ("response_format", "extra_body"):
            if (value := vars(self).get(name)) is not None:
                shown[name] = value
        return shown
