"""What a row of the server table holds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import field, replace
from keyword import iskeyword
from typing import Any, TypeVar

from vessel_core.errors import (
    InvalidConfig,
    InvalidRequest,
    ResponseError,
    ResponseTooLarge,
    Unsupported,
    VesselError,
    did_you_mean,
)
from vessel_core.records import record
from vessel_core.types import ModelInfo
from vessel_core.wire import Call, Dialect, Quirks, Reply
from vessel_core.wire.failures import check_health, json_body
from vessel_core.wire.jsontext import loads
from vessel_core.wire.reading import mapping, mappings, string

MOST_ITEMS = 20_000
"""Models a server may list, or slots."""

MOST_EVIDENCE = 2 * 1024 * 1024
"""Bytes of replies that are looked at to know a server: they are kept, and a text may take four times as many in memory."""

DEAR = 4 * 1024 * 1024
"""Bytes of memory from which on the values of such a reply are too many to be kept beside others."""

T = TypeVar("T")
Y = TypeVar("Y")
S = TypeVar("S")

Flow = Generator[Call, Reply, T]
"""An operation of one or several requests: it yields calls, is sent replies, and returns its result. The shells drive it."""

Evidence = Mapping[str, Any]
"""The JSON documents a server answered, by path, `None` for what is no JSON; what it did not answer is absent. `""` holds
its `Server` header."""


@record
class Backend:
    """One kind of server.

    - `name`: how it is called in code; `title`: how people call it; `aliases`: other spellings
    - `env`: the environment variable with its URL; `urls`: its default addresses, where it is looked for if `probed`,
      else only when it is asked for by name
    - `start`: the command that starts one, if there is one; `then`: the one that gives it a model after that, for error messages
    - `dialect`, `quirks`: how it speaks
    - `health`: the path that answers 200 once a model can be used
    - `recognises`: whether the evidence is this server's
    - `models`: lists its models; `model`: describes one; `version`: asks for its version
    - `hands_on`: whether it hands on what other servers answer, so that an answer does not tell who it is
    - `tells_slots`: whether it says how many requests a model works on at once
    - `features`: what not every server has, by name (see `vessel_core.operations`)
    """

    name: str
    title: str
    dialect: Dialect
    models: Callable[[], Flow[list[ModelInfo]]]
    model: Callable[[str | None], Flow[ModelInfo]]
    version: Callable[[], Flow[str | None]]
    recognises: Callable[[Evidence], bool]
    start: str = ""
    then: str = ""
    quirks: Quirks = Quirks()
    aliases: tuple[str, ...] = ()
    env: str | None = None
    urls: tuple[str, ...] = ()
    probed: bool = False
    health: str = "/health"
    hands_on: bool = False
    tells_slots: bool = False
    features: Mapping[str, Callable[..., Any]] = field(default_factory=dict[str, Callable[..., Any]])

    def feature(self, name: str, needs: str) -> Callable[..., Any]:
        """Return an operation that not every server has; raise `Unsupported` naming what `needs` it."""
        if name not in self.features:
            raise Unsupported(f"{self.title} can't {needs}.", hint="Use a server that can; see the table of servers.")
        return self.features[name]

    @property
    def how_to_start(self) -> str:
        """The commands that start one, in a sentence."""
        return f"{self.start}, then {self.then}" if self.then else self.start

    @property
    def how_to_get_a_model(self) -> str:
        """What to do where one lists none, in a sentence."""
        if self.then:
            return f"Fetch one: {self.then}."
        return f"Start it with one: {self.start}." if self.start else "Start it with one, or see its log."

    def __repr__(self) -> str:
        return f"Backend({self.name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        from vessel_core.backends import find_backend

        return (find_backend, (self.name,))


def parse_backend(name: str, known: Sequence[Backend]) -> Backend:
    """Return the backend of that name or alias; raise `InvalidConfig` naming those there are."""
    wanted = _plain(name)
    for backend in known:
        if wanted in {_plain(spelling) for spelling in (backend.name, backend.title, *backend.aliases)}:
            return backend
    names = ", ".join(repr(backend.name) for backend in known)
    spellings = [spelling for backend in known for spelling in (backend.name, *backend.aliases)]
    raise InvalidConfig(
        f"There is no backend {name!r}{did_you_mean(name, spellings)}", hint=f"Backends are 'auto', {names}."
    )


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def owners(evidence: Evidence) -> set[str | None]:
    """Return who owns the models of the list, as it says."""
    return {string(item.get("owned_by")) for item in items(mapping(evidence.get("/v1/models")), "data")}


def unrecognised(_evidence: Evidence) -> bool:
    """Tell a server by its name only: nothing it says is known to be its own."""
    return False


def get_json(path: str, *, method: str = "GET", body: Mapping[str, Any] | None = None) -> Flow[Mapping[str, Any]]:
    """Ask for a JSON object (one around it for a list); raise what the server says went wrong."""
    document = json_body((yield Call(method, path, body)))
    return {"data": document} if isinstance(document, list) else mapping(document)


def try_json(path: str, *, method: str = "GET", body: Mapping[str, Any] | None = None) -> Flow[Mapping[str, Any]]:
    """Ask for a JSON object; return an empty one if the server hasn't got it. A key that is wrong is no such answer."""
    try:
        document = json_body((yield Call(method, path, body)))
    except (ResponseError, Unsupported) as error:
        if error.status_code == 401:
            raise
        return {}
    return mapping(document)


def ask_health(path: str) -> Flow[None]:
    """Ask a health route; raise what is wrong."""
    check_health((yield Call("GET", path)))


def tell(path: str, body: Mapping[str, Any] | Sequence[Any], *, method: str = "POST") -> Generator[Call, Any, None]:
    """Make a call whose reply says no more than that it went well; raise what went wrong, with status 200 too (quirk 22)."""
    reply = yield Call(method, path, body)
    if reply is not None and reply.body.strip():
        json_body(reply)


def refuse_other_than(taken: Collection[str], options: Mapping[str, Any], what: str) -> None:
    """Raise `InvalidRequest` naming an option that a server doesn't do something with, and those that it takes; `what` is such
    as "Ollama loads no model"."""
    for name in options:
        if name not in taken:
            known = [f"{each}_" if iskeyword(each) else each for each in sorted(taken)]
            hint = f"It takes {', '.join(known)}." if known else "Start the server with it."
            raise InvalidRequest(
                f"{what} with an option {name!r}{did_you_mean(name, known)}",
                hint=f"{hint} What else it knows goes into `extra_body={{…}}`.",
            )


def followed(flow: Flow[T], asked: Callable[[Call], Generator[Y, S, Reply]]) -> Generator[Y, S, T]:
    """Follow a flow whose calls are made by `asked`; what goes wrong with one is raised inside the flow."""
    try:
        call = next(flow)
        while True:
            try:
                reply = yield from asked(call)
            except VesselError as error:
                call = flow.throw(error)
            else:
                call = _read(flow, reply)
                del reply  # what it holds need not stay until the next one is read
    except StopIteration as stop:
        return stop.value


def _read(flow: Flow[Any], reply: Reply) -> Call:
    """Go on with a reply; what the flow raises about it names who sent it."""
    try:
        return flow.send(reply)
    except VesselError as error:
        error.url = error.url or (reply.url if reply is not None else None)  # pyright: ignore[reportUnnecessaryComparison]
        raise


def noting(flow: Flow[T], evidence: dict[str, Any]) -> Flow[T]:
    """Follow a flow, and note what was answered: who lists models has shown by that what it is."""

    def asked(call: Call) -> Flow[Reply]:
        reply = yield call
        evidence[""] = reply.headers.get("server", "")
        if len(reply.body) <= MOST_EVIDENCE:
            with suppress(ValueError, ResponseTooLarge):
                evidence[call.path] = document = loads(reply.body, most=DEAR)
                return replace(reply, document=document)  # it may be large, and is parsed once
        return reply

    return followed(flow, asked)


def items(document: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return the objects in a list field; `null` and a missing field are empty (quirk 84)."""
    found = mappings(document.get(name))
    if len(found) > MOST_ITEMS:
        raise ResponseTooLarge(
            f"The server lists {len(found):,} of its {name}; no more than {MOST_ITEMS:,} are taken in.",
            hint="This is no LLM server's answer: is the URL right, and the server to be trusted?",
        )
    return found


def find_model(models: Sequence[ModelInfo], name: str | None) -> ModelInfo:
    """Return the model of that name, the only or the first loaded one without a name, or one of which nothing is known."""
    if name is None:
        chosen = choose_model(models, "chat")
        return chosen or ModelInfo("")
    return next((model for model in models if same_model(model.id, name)), ModelInfo(name))


def same_model(one: str, other: str) -> bool:
    """Tell whether two names mean the same model; Ollama adds `:latest` and ignores case."""
    return plain_name(one) == plain_name(other)


def plain_name(model: str) -> str:
    """Return what the names of one model have in common."""
    return model.lower().removesuffix(":latest")


def choose_model(models: Sequence[ModelInfo], kind: str) -> ModelInfo | None:
    """Return the model to use when none was named, in the server's order: one of that kind, else one that may be of it, and
    of those one that is loaded."""
    known = [model for model in models if model.kind == kind]
    may_be = [
        model for model in models if model.kind is None and (model.capabilities.chat is False) != (kind == "chat")
    ]
    fitting = known or may_be or list(models)
    return next((model for model in fitting if model.state == "loaded"), next(iter(fitting), None))
