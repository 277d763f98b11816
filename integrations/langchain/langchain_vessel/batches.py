"""Many conversations at once, in threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ContextThreadPoolExecutor, get_config_list
from vessel_core.abreast import Abreast

from langchain_vessel.settings import ChatSettings


class _Threads(Abreast, ContextThreadPoolExecutor):
    """Threads as LangChain has them: each call has its own copy of the context."""


class Batches(ChatSettings, BaseChatModel):
    """A chat model whose batches can be interrupted."""

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Answer each input, `max_concurrency` of the config at once, in order.

        An interrupt (Ctrl-C, a notebook's stop) ends the answers under way; LangChain's own waits for them.
        """
        if len(inputs) < 2:
            return super().batch(inputs, config, return_exceptions=return_exceptions, **kwargs)
        configs = get_config_list(config, len(inputs))

        def answer(asked: LanguageModelInput, config: RunnableConfig) -> AIMessage | Exception:
            try:
                return self.invoke(asked, config, **kwargs)
            except Exception as error:
                if return_exceptions:
                    return error
                raise

        with _Threads(configs[0].get("max_concurrency"), self._sync.hang_up) as threads:
            return cast("list[AIMessage]", list(threads.map(answer, cast("Sequence[Any]", inputs), configs)))
