"""Models whose fields are said with each call (`configurable_fields`): equal fields are one object, with its connections."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.configurable import RunnableConfigurableFields
from langchain_core.runnables.utils import Input, Output
from vessel_core.address import parse_address
from vessel_core.errors import InvalidConfig
from vessel_core.hiding import is_secret

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
        said: dict[str, Any] = config.get("configurable", {})
        _keep_secrets(self.default, made, {name for name, spec in self.fields.items() if spec.id in said})
        return self.default.configured(made), config


def _keep_secrets(given: ServerFields, made: ServerFields, said: set[str]) -> None:
    """Refuse to send what was given for one server to another; what was `said` with the call is for that one."""
    if _origins(made) <= _origins(given):
        return
    secrets = ["api_key"] if given.api_key is not None and "api_key" not in said else []
    if "headers" not in said:
        secrets += [name for name in given.headers or {} if is_secret(name)]
    if secrets:
        raise InvalidConfig(
            f"base_url={made.base_url!r} is another server than the one that {', '.join(secrets)} was given for.",
            hint="Make it configurable too, and say it with the base_url; or make one object for each server.",
        )


def _origins(server: ServerFields) -> set[tuple[str, str] | None]:
    """Return scheme, host and port of each URL; `None` for a server that is still to be found."""
    urls = server.base_url if isinstance(server.base_url, list) else [server.base_url]
    return {None if url is None else urlsplit(parse_address(url).root)[:2] for url in urls}
