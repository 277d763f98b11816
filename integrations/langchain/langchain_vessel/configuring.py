"""Models whose fields are said with each call (`configurable_fields`): equal fields are one object, with its connections."""

from __future__ import annotations

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.configurable import RunnableConfigurableFields
from langchain_core.runnables.utils import Input, Output

from langchain_vessel.connection import ServerFields


class Configured(RunnableConfigurableFields[Input, Output]):
    """LangChain's own makes an object for each call. Here one that equals an earlier one in every field is that one."""

    @classmethod
    def lc_id(cls) -> list[str]:
        """Write this as LangChain's own, which it can load."""
        return RunnableConfigurableFields.lc_id()

    def _prepare(self, config: RunnableConfig | None = None) -> tuple[Runnable[Input, Output], RunnableConfig]:
        made, config = super()._prepare(config)
        if made is self.default or not (isinstance(made, ServerFields) and isinstance(self.default, ServerFields)):
            return made, config
        return self.default.configured(made), config
