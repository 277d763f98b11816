"""What the server says of itself: the model's profile, and how many tokens a text or a conversation is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from langchain_core.language_models import BaseChatModel, ModelProfile
from langchain_core.messages import BaseMessage
from pydantic import model_validator
from vessel_core import ModelInfo, Timeout, VesselError

from langchain_vessel.counting import TokenCounts
from langchain_vessel.errors import langchain_errors
from langchain_vessel.messages import to_messages
from langchain_vessel.settings import ChatSettings
from langchain_vessel.tools import ToolLike, to_tools


class ServerLimits(TokenCounts, ChatSettings, BaseChatModel):
    """A chat model that knows its limits from the server, not from a list of names.

    `profile` is read from the server when somebody looks at it, unless one was given.
    """

    @model_validator(mode="after")
    def _set_model_profile(self) -> ServerLimits:
        """Take the place of the base class's validator, which would ask the server at construction.

        A profile that was not given is no attribute at all, so that `__getattr__` is asked for it when somebody looks.
        """
        self._leave_profile_open()
        return self

    def _leave_profile_open(self) -> None:
        if vars(self).get("profile") is None:
            vars(self).pop("profile", None)

    @model_validator(mode="after")
    def _check_profile_keys(self) -> ServerLimits:
        """Take the place of the base class's validator, which would read the profile at construction."""
        return self

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Take what was pickled; a profile that was not given is asked for, as of a new object."""
        super().__setstate__(state)
        self._leave_profile_open()

    if not TYPE_CHECKING:  # a checker knows the fields, and finds misspelt ones

        def __getattr__(self, name: str) -> Any:
            """Return the profile as the server gives it; every other attribute is where pydantic looks."""
            return self._server_profile() if name == "profile" else super().__getattr__(name)

    def _server_profile(self) -> ModelProfile | None:
        """Return what the model can do, as the server says: asked at the first look, remembered, `None` if nobody answers.

        `max_input_tokens` is the context that is really allocated, or will be by `num_ctx`; it is left out while the model is
        not loaded, and asked for anew. `structured_output` makes agents use the server's grammar.
        """
        try:
            return to_profile(self._sync.model_info(self.model), self.num_ctx)
        except VesselError:
            return None
        except Exception as error:
            if type(error).__name__ != "BlockingError":
                raise
            # LangGraph's server lets nothing block its event loop (blockbuster): the next asynchronous call asks
            self._connections.profile_wanted = True
            return None

    async def _learn(self, timeout: Timeout | float | None) -> None:
        """Ask for what a profile is made of if somebody looked at it where that could not be asked for."""
        if self._connections.profile_wanted:
            self._connections.profile_wanted = False
            with suppress(VesselError):
                await self._async.model_info(self.model, timeout=timeout)

    async def aprofile(self) -> ModelProfile | None:
        """Return `profile` without blocking the event loop; a look at `profile` after that takes no request."""
        given: ModelProfile | None = vars(self).get("profile")
        if given is not None:
            return given
        try:
            return to_profile(await self._async.model_info(self.model), self.num_ctx)
        except VesselError:
            return None

    def get_num_tokens_from_messages(
        self, messages: Sequence[BaseMessage], tools: Sequence[ToolLike] | None = None
    ) -> int:
        """Count the tokens of a conversation as the model sees it: with its template, its pictures and the tools.

        What the server does not count is estimated, on the high side. Nothing, as `trim_messages` may leave, is no token.
        """
        if not messages and not tools:
            return 0
        with langchain_errors():
            fields: dict[str, Any] = {"model": self.model, "tools": to_tools(tools)}
            return self._sync.count_chat_tokens(to_messages(messages), **fields)


def to_profile(info: ModelInfo, num_ctx: int | None = None) -> ModelProfile:
    """Return LangChain's profile of a model, which may be loaded with `num_ctx`; what the server doesn't say is left out.

    Of a model that is not loaded nobody knows how much context it will get: what it could take is none to plan with.
    """
    can = info.capabilities
    most = info.max_context_length
    said: Mapping[str, Any] = {
        "name": info.id or None,
        "max_input_tokens": min(num_ctx, most or num_ctx) if num_ctx else info.context_length,
        "text_inputs": True,
        "image_inputs": can.vision,
        "image_url_inputs": can.vision and can.image_urls,
        "image_tool_message": can.vision,
        "audio_inputs": can.audio,
        "pdf_inputs": False,
        "video_inputs": False,
        "reasoning_output": can.reasoning,
        "text_outputs": True,
        "tool_calling": can.tools,
        "tool_choice": can.tools,
        "tool_call_streaming": can.tools,
        "structured_output": can.structured_output,
    }
    return cast("ModelProfile", {name: value for name, value in said.items() if value is not None})
