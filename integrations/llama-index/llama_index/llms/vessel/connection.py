"""What `Vessel`, `VesselEmbedding` and `VesselRerank` share: where the server is, and the client that talks to it."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Mapping, Set
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, field_serializer
from vessel_core import AsyncClient, Client, Limits, Routing, Timeout
from vessel_core.address import without_logins
from vessel_core.errors import InvalidConfig, did_you_mean
from vessel_core.hiding import is_secret
from vessel_core.merging import joined

#: What other classes for local servers call these arguments.
CONNECTION_ALIASES = {
    "api_base": "base_url",
    "host": "base_url",
    "request_timeout": "timeout",
    "default_headers": "headers",
    "extra_headers": "headers",
}

#: Arguments of other classes that have no meaning here: what they switch is always so, or is the core's own business.
WITHOUT_MEANING = frozenset({"api_version", "client_kwargs", "reuse_client"})

#: Clients of other libraries, which can't be used; what they were made for can be said in another way.
CLIENTS = re.compile(r"(async_)?(http_|openai_)?client")

#: Not pickled: secrets, and what carries connections.
_LEFT_OUT = frozenset({"api_key", "headers", "http_transport", "async_http_transport"})


class ServerConnection(BaseModel):
    """Where the server is and how to reach it; every field may be set again later, and counts from the next call on.

    Keys and headers that look like one are left out of `to_dict()`, pickles and `repr`. For a process pool, name the
    environment variable that holds the key (`api_key_env`): the name travels, the key doesn't.
    """

    # deferred: the schemas of the classes between this and the one that is used are never needed
    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True, hide_input_in_errors=True)

    aliases: ClassVar[Mapping[str, str]] = CONNECTION_ALIASES
    without_meaning: ClassVar[Set[str]] = WITHOUT_MEANING

    backend: str = Field(default="auto", description='"auto", "llamacpp", "lmstudio", "ollama" or "openai".')
    base_url: str | list[str] | None = Field(
        default=None, description="The server's address, or those of several; found if it is left out."
    )
    routing: Routing | None = Field(default=None, description="How calls are spread over several servers.")
    api_key: str | SecretStr | None = Field(
        default=None, exclude=True, repr=False, description="Sent to this server only."
    )
    api_key_env: str | None = Field(default=None, description="An environment variable with the key, read at use.")
    headers: dict[str, str | SecretStr] = Field(
        default_factory=dict[str, "str | SecretStr"], repr=False, description="Sent to this server only."
    )
    timeout: Timeout | float | None = Field(
        default=None, description="A `Timeout`, or the seconds an answer may take to begin."
    )
    max_retries: int = Field(default=2, ge=0, description="How often to try again where that can help.")
    verify: bool | str = Field(default=True, description="Check TLS certificates; or a file of CA certificates.")
    together: bool = Field(default=True, description="Let tokens that one network read brings be one chunk.")
    fetch_image_urls: bool = Field(default=False, description="Fetch pictures given by URL here, from public hosts.")
    quirks: dict[str, Any] | None = Field(
        default=None, description="What is switched by name of how the server differs (`vessel_core.wire.Quirks`)."
    )
    limits: Limits | None = Field(default=None, description="How much of a reply is taken in, in bytes.")
    http_transport: Any = Field(default=None, exclude=True, repr=False, description="Carries sync requests.")
    async_http_transport: Any = Field(default=None, exclude=True, repr=False, description="Carries async requests.")

    _made_for: tuple[Any, ...] = PrivateAttr(default=())
    _client: Client | None = PrivateAttr(default=None)
    _async_client: AsyncClient | None = PrivateAttr(default=None)

    def __init__(self, /, *args: Any, **arguments: Any) -> None:
        if len(args) > 1 or not all(isinstance(arg, str) for arg in args) or (args and "model" in arguments):
            raise InvalidConfig(
                f"{type(self).__name__} takes its arguments by name, but for the model's.",
                hint=f"{type(self).__name__}('qwen3', base_url=…)",
            )
        given = self._known({**arguments, "model": args[0]} if args else arguments)
        super().__init__(**given)
        self.client  # noqa: B018 - made here, without I/O, so that a wrong backend or URL is refused here

    @classmethod
    def _known(cls, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments by our own names; raise `InvalidConfig` for one that there isn't. `None` is left out."""
        known: dict[str, Any] = {}
        of_client: Mapping[str, Any] = arguments.get("client_kwargs") or {}  # what OllamaEmbedding hands to its client
        for name, value in (*arguments.items(), *of_client.items()):
            if name in cls.without_meaning:
                continue
            ours = name if name in cls.model_fields else cls.aliases.get(name, name)
            if ours not in cls.model_fields:
                close = did_you_mean(name, [*cls.model_fields, *cls.aliases])
                raise InvalidConfig(f"{cls.__name__} has no argument {name!r}{close}", hint=cls._hint(name))
            if value is None:
                continue
            known[ours] = joined(known.get(ours), value, f"{ours!r} of {cls.__name__}")
        return known

    @classmethod
    def _hint(cls, name: str) -> str | None:
        if CLIENTS.fullmatch(name):
            return (
                "Vessel has its own. Say timeout=, headers=, verify=; or bring http_transport=, async_http_transport=."
            )
        return None

    @property
    def api_base(self) -> str | list[str] | None:
        """`base_url`, by the name it has in other classes."""
        return self.base_url

    @api_base.setter
    def api_base(self, url: str | list[str] | None) -> None:
        self.base_url = url

    @property
    def request_timeout(self) -> Timeout | float | None:
        """`timeout`, by the name it has in other classes."""
        return self.timeout

    @request_timeout.setter
    def request_timeout(self, timeout: Timeout | float | None) -> None:
        self.timeout = timeout

    @property
    def client(self) -> Client:
        """The core's client, which the sync methods use."""
        return cast("Client", self._settled()["_client"])

    @property
    def async_client(self) -> AsyncClient:
        """The core's async client; what one of the two has found out of the server, the other knows."""
        made = self._settled()
        if made["_async_client"] is None:
            self._async_client = AsyncClient(
                target=cast("Client", made["_client"]).target, http_transport=self.async_http_transport
            )
        return cast("AsyncClient", made["_async_client"])

    def close(self) -> None:
        """Close the connections of the sync methods; everything may be used again."""
        if self._client is not None:
            self._client.close()

    async def aclose(self) -> None:
        """Close the connections of the async methods in the running event loop."""
        if self._async_client is not None:
            await self._async_client.aclose()

    def _settled(self) -> dict[str, Any]:
        """Return the private attributes, with the clients made anew if a field they were made of has changed."""
        private: Any = self.__pydantic_private__  # by its name each takes longer than all else here
        if private["_made_for"] == self._wanted():
            return private
        self._hide()
        wanted = self._wanted()
        if private["_made_for"] != wanted:
            client = Client(
                self.backend,
                base_url=self.base_url,
                routing=self.routing,
                api_key=self._key(),
                headers=self.headers,
                timeout=self.timeout,
                max_retries=self.max_retries,
                verify=self.verify,
                together=self.together,
                fetch_image_urls=self.fetch_image_urls,
                quirks=self.quirks,
                limits=self.limits,
                http_transport=self.http_transport,
            )
            self._client, self._async_client, self._made_for = client, None, wanted
        return private

    def _wanted(self) -> tuple[Any, ...]:
        """Return what decides which clients are needed."""
        urls = tuple(self.base_url) if isinstance(self.base_url, list) else self.base_url
        return (
            *(self.backend, urls, self.routing, self._key(), tuple(self.headers.items())),
            *(self.timeout, self.max_retries, self.verify, self.together, self.fetch_image_urls),
            *(repr(self.quirks), self.limits, id(self.http_transport), id(self.async_http_transport)),
        )

    def _key(self) -> str | SecretStr | None:
        if self.api_key is None and self.api_key_env:
            return SecretStr(os.environ.get(self.api_key_env, ""))
        return self.api_key

    def _hide(self) -> None:
        """Make secrets of what was set as plain text, and a header of a login in the URL, which is shown and stored."""
        if self.base_url is not None:
            self.base_url, login = _without_logins(self.base_url)
            if login is not None and not self.api_key:
                self.headers = {"Authorization": login, **self.headers}
        if isinstance(self.api_key, str):
            self.api_key = SecretStr(self.api_key)
        if any(isinstance(value, str) for value in self.headers.values()):
            self.headers = {name: _secret(value) for name, value in self.headers.items()}

    @field_serializer("headers")
    def _open_headers(self, headers: dict[str, str | SecretStr]) -> dict[str, str]:
        return {name: _secret(value).get_secret_value() for name, value in headers.items() if not is_secret(name)}

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        """Say what is talked to, and what was set; no key, no header, none of core's own machinery."""
        known = self.client.target.known
        shown: dict[str, Any] = {"backend": known.backend.name if known else self.backend}
        if (where := self.client.target.where) is not None:
            shown["base_url"] = where
        for name, field in type(self).model_fields.items():
            value = self.__dict__.get(name)
            plain = isinstance(value, str | int | float | Timeout | Limits) or (
                type(value) in (list, dict) and value not in ([], {})
            )
            if plain and value != field.default and field.repr and not field.exclude and name not in shown:
                shown[name] = value
        return list(shown.items())

    def __str__(self) -> str:
        return repr(self)

    def __getstate__(self) -> dict[Any, Any]:
        """Return the constructor's arguments, without what is secret, connections, and what can't be pickled."""
        kept = {name: value for name, value in self.__dict__.items() if name not in _LEFT_OUT and _pickles(value)}
        return {**kept, "headers": self._open_headers(self.headers)}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        self.__init__(**state)

    def __copy__(self) -> Self:
        """Copy this, also for `model_copy`, without its clients: what they keep of one object is no matter of another's."""
        copied = super().__copy__()
        copied._client, copied._async_client, copied._made_for = None, None, ()  # noqa: SLF001 - of the same class
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Copy this, with the same handlers, caches and transports: they hold what can't be copied."""
        return self.model_copy()


def _pickles(value: Any) -> bool:
    try:
        pickle.dumps(value)
    except Exception:  # noqa: BLE001 - whatever a callback, a cache or a parser of somebody's raises
        return False
    return True


def _without_logins(urls: str | list[str]) -> tuple[str | list[str], SecretStr | None]:
    try:
        return without_logins(urls)
    except InvalidConfig as error:
        raise InvalidConfig(error.message, hint="Give all hosts one login, or make an object for each.") from None


def _secret(value: str | SecretStr) -> SecretStr:
    return value if isinstance(value, SecretStr) else SecretStr(value)
