"""What the chat model, the embeddings and the reranker share: which server, and the clients that talk to it."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, ValidationError, model_validator
from vessel_core import AsyncClient, Client, Limits, Routing, Timeout
from vessel_core.address import without_logins
from vessel_core.errors import InvalidConfig, VesselError
from vessel_core.hiding import is_secret
from vessel_core.settings import make_target, warn_unverified

from langchain_vessel.options import plain_arguments

_SHARED = ("callbacks", "cache", "rate_limiter")
_KEPT = 16
"""How many objects that `configurable_fields` made of one are kept, with their connections; the oldest goes first."""


T = TypeVar("T")


class Connections:
    """The clients of one object, made at first use. A copy or a pickle of the object begins without any."""

    def __init__(self) -> None:
        self._made: tuple[tuple[object, ...], Client, AsyncClient] | None = None
        self.profile_wanted = False
        self._configured: list[Any] = []

    def of(self, server: ServerFields) -> tuple[Client, AsyncClient]:
        """Return the clients for what the fields say now; both know one server."""
        wanted = server.place()
        made = self._made
        if made is None or made[0] != wanted:
            client = server.client or Client(target=server.target())
            made = self._made = (wanted, client, client.to_async())
        return made[1], made[2]

    def configured(self, made: T) -> T:
        """Return the object that was made before with the same fields, else this one, and keep it."""
        kept: Any = next((each for each in self._configured if each == made), made)
        self._configured = [kept, *(each for each in self._configured if each is not kept)][:_KEPT]
        return kept

    def __eq__(self, other: object) -> bool:
        """Never make two objects differ: what they are is in their fields."""
        return isinstance(other, Connections)

    def __hash__(self) -> int:
        return id(self)

    def __deepcopy__(self, memo: object) -> Connections:
        return Connections()

    def __reduce__(self) -> tuple[Any, ...]:
        return (Connections, ())


class ServerFields(BaseModel):
    """Which server and model to use; construction checks it and does no I/O.

    - `backend`: `"auto"`, `"llamacpp"`, `"lmstudio"`, `"ollama"` or `"openai"` (any other `/v1` server)
    - `base_url`: where it is, or a list of hosts that serve the same model; without it a running one is found at first use
    - `routing`: how calls are spread over several hosts, a `vessel_core.Routing`
    - `model`: the model's name; without it the loaded one is used
    - `api_key`, `headers`: sent to that server only; never shown, and not pickled unless `pickle_secrets`
    - `timeout`: a `vessel_core.Timeout`, or the seconds an answer may take to begin; a call may have its own
    - `max_retries`: how often a request is sent again that never reached a model
    - `verify`: whether TLS certificates are checked, or a file of CA certificates
    - `together`: whether tokens that one network read brings become one chunk; nothing arrives later than it would
    - `fetch_image_urls`: fetch pictures given by URL here, from public hosts only, for servers that don't
    - `quirks`: what is switched by name of how the server differs, as `{"repair_arguments": True}` (`vessel_core.wire.Quirks`)
    - `limits`: a `vessel_core.Limits`, how much of a reply is taken in
    - `client`: a `vessel_core.Client` to use in place of all of these
    """

    # deferred: the schemas of the classes between this and the one that is used are never needed
    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid",
        arbitrary_types_allowed=True,
        protected_namespaces=(),
        defer_build=True,
        hide_input_in_errors=True,  # which may hold the key
    )

    backend: str = "auto"
    base_url: str | list[str] | None = None
    routing: Routing | None = None
    model: str | None = None
    api_key: SecretStr | None = None
    headers: dict[str, SecretStr] | None = Field(default=None, repr=False)
    timeout: Timeout | float | None = None
    max_retries: int = 2
    verify: bool | str = True
    together: bool = True
    fetch_image_urls: bool = False
    quirks: dict[str, Any] | None = None
    limits: Limits | None = None
    client: Client | None = Field(default=None, exclude=True, repr=False)
    pickle_secrets: bool = Field(default=False, exclude=True, repr=False)

    _connections: Connections = PrivateAttr(default_factory=Connections)

    if not TYPE_CHECKING:  # a checker makes a better signature from the fields

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            """Check the arguments; raise `InvalidConfig` for what can't be right, `ValidationError` for a wrong type."""
            try:
                super().__init__(*args, **kwargs)
            except ValidationError as error:
                if (ours := _own(error)) is None:
                    raise
                raise ours from None

    @model_validator(mode="before")
    @classmethod
    def _take_peers_names(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        plain = plain_arguments(cast("dict[str, Any]", values), cls.model_fields, cls.__name__)
        _take_login(plain)
        if callable(plain.get("api_key")):
            raise InvalidConfig("api_key is a function, not a key.", hint="Call it: `api_key=f()`.")
        return plain

    @model_validator(mode="after")
    def _check_server(self) -> ServerFields:
        self.target()
        warn_unverified(self.verify)
        return self

    def target(self) -> Any:
        """Return what the core talks to; raise `InvalidConfig` for what can't be right."""
        return make_target(
            self.backend,
            base_url=self.base_url,
            routing=self.routing,
            model=self.model,
            api_key=self.api_key,
            headers=self.headers,
            timeout=self.timeout,
            max_retries=self.max_retries,
            verify=self.verify,
            together=self.together,
            fetch_image_urls=self.fetch_image_urls,
            quirks=self.quirks,
            limits=self.limits,
        )

    def place(self) -> tuple[object, ...]:
        """Return what decides which clients are needed."""
        headers = tuple((self.headers or {}).items())
        rest = (
            self.routing,
            self.timeout,
            self.max_retries,
            self.verify,
            self.together,
            self.fetch_image_urls,
            repr(self.quirks),
            self.limits,
            id(self.client) if self.client else 0,
        )
        urls = tuple(self.base_url) if isinstance(self.base_url, list) else self.base_url
        return (self.backend, urls, self.api_key, headers, *rest)

    @property
    def model_name(self) -> str | None:
        """The model, by the name that other classes have for it."""
        return self.model

    @property
    def server(self) -> Client:
        """The server as the core knows it, a `vessel_core.Client`:

            chat.server.health()
            for progress in chat.server.pull("qwen3:8b"): print(progress)

        It lists models too, loads and unloads them.
        """
        return self._sync

    @property
    def aserver(self) -> AsyncClient:
        """The same server by a `vessel_core.AsyncClient`."""
        return self._async

    @property
    def _sync(self) -> Client:
        return self._clients[0]

    @property
    def _async(self) -> AsyncClient:
        return self._clients[1]

    @property
    def _clients(self) -> tuple[Client, AsyncClient]:
        private: Any = self.__pydantic_private__  # by its name it takes longer than all else here, several times a call
        return private["_connections"].of(self)

    def configured(self, made: T) -> T:
        """Return what was made of this before with the same fields as `made`, else that."""
        return self._connections.configured(made)

    def _where(self) -> dict[str, Any]:
        """Return the server and model as far as they are known, without a request."""
        target = self._sync.target
        known = target.known
        found = {
            "backend": known.backend.name if known else self.backend,
            "base_url": target.where,
            "model": self._known_model(),
        }
        return {name: value for name, value in found.items() if value}

    def _known_model(self) -> str | None:
        """Return the model as far as it is known, without a request."""
        if self.model:
            return self.model
        target = self._sync.target
        return target.model or target.chosen.get("chat")

    def _answering(self) -> dict[str, Any]:
        """Return what else changes an answer: the quirks, and key and headers (a proxy routes by them) as one digest."""
        target = self._sync.target
        secrets = {"api_key": target.api_key, **target.headers}
        plain = sorted((name.lower(), value.get_secret_value()) for name, value in secrets.items() if value)
        digest = sha256(json.dumps(plain).encode()).hexdigest() if plain else None
        quirks = json.dumps(target.switched, sort_keys=True, default=sorted) if target.switched else None
        found = {"quirks": quirks, "sent_as": digest}
        return {name: value for name, value in found.items() if value}

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        """Say what is talked to, and what was set; no key and no header."""
        shown: dict[str, Any] = dict(self._where())
        for name, field in type(self).model_fields.items():
            value = self.__dict__.get(name)
            said = value is not None and value != field.default
            if said and name not in shown and field.repr and not field.exclude and name != "api_key":
                shown[name] = value
        return list(shown.items())

    def __str__(self) -> str:
        return repr(self)

    def __copy__(self) -> Any:
        """Copy this, also for `model_copy`, without its clients: what they keep of one object is no matter of another's."""
        copied: Any = super().__copy__()
        copied.__pydantic_private__ = {**copied.__pydantic_private__, "_connections": Connections()}
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Any:
        """Copy this with all that is set; who listens to it, its cache and its limiter stay the same ones."""
        shared = (vars(self).get(name) for name in _SHARED)
        return super().__deepcopy__({**(memo or {}), **{id(value): value for value in shared if value is not None}})

    def __getstate__(self) -> dict[Any, Any]:
        """Return what is pickled: no key and no secret header, unless asked for, and of the many options those that are set."""
        from langchain_vessel.pickling import register  # only here: it imports what no chat needs

        register()
        state = super().__getstate__()
        if not self.pickle_secrets:
            fields = dict(state["__dict__"], api_key=None)
            if headers := fields.get("headers"):
                fields["headers"] = {name: value for name, value in headers.items() if not is_secret(name)}
            state = {**state, "__dict__": fields}
        chosen = _set_by_default(self)
        fields = {name: value for name, value in state["__dict__"].items() if value is not None or name in chosen}
        return {**state, "__dict__": fields}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Take what was pickled; what it leaves out is `None`."""
        super().__setstate__({**state, "__dict__": {**dict.fromkeys(type(self).model_fields), **state["__dict__"]}})


def _set_by_default(made: BaseModel) -> set[str]:
    """Return the fields that are something by default, so that `None` is a choice."""
    return {name for name, field in type(made).model_fields.items() if field.default is not None}


def _take_login(arguments: dict[str, Any]) -> None:
    """Move a user name and password out of the URL, which is shown and stored, into a header, which is not."""
    urls = arguments.get("base_url")
    if urls is None or not (isinstance(urls, str) or _is_texts(urls)):
        return  # pydantic refuses what else there may be
    arguments["base_url"], login = without_logins(urls)
    if login is not None and not arguments.get("api_key"):
        arguments["headers"] = {"Authorization": login, **(arguments.get("headers") or {})}


def _is_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, str) for each in cast("list[Any]", value))


def _own(error: ValidationError) -> VesselError | None:
    """Return our own error inside pydantic's."""
    contexts = (details.get("ctx", {}).get("error") for details in error.errors())
    return next((inner for inner in contexts if isinstance(inner, VesselError)), None)
