"""S8: JSON that somebody else wrote makes LangChain and LlamaIndex load our classes without a secret and without harm.

What is loaded may name a server, as a saved chain does; it never gets a key: not one of the environment, not one in the
JSON. So a foreign address and our key don't meet.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.load import load
from langchain_vessel import ChatVessel
from llama_index.llms.vessel import Vessel

from tests.fake_server import openai_server, transcript

CANARY = "sk-canary-0815"
NAMES = ("OPENAI_API_KEY", "VESSEL_API_KEY", "LLAMACPP_API_KEY", "OLLAMA_API_KEY", "LMSTUDIO_API_KEY", "CANARY")
IDS = (["langchain_vessel", "chat", "ChatVessel"], ["langchain_vessel", "chat_models", "ChatVessel"])


def secret(name: str) -> dict[str, Any]:
    """Return what LangChain reads as a secret of the environment."""
    return {"lc": 1, "type": "secret", "id": [name]}


def constructor(identifier: list[str], **kwargs: Any) -> dict[str, Any]:
    return {"lc": 1, "type": "constructor", "id": identifier, "kwargs": kwargs}


#: Each holds a place for the attacker's server, and asks for a key in some way.
PAYLOADS: dict[str, Callable[[str], dict[str, Any]]] = {
    **{f"api_key is {name}": lambda url, name=name: {"base_url": url, "api_key": secret(name)} for name in NAMES},
    **{
        f"a header is {name}": lambda url, name=name: {"base_url": url, "headers": {"X-Api-Key": secret(name)}}
        for name in NAMES[:3]
    },
    "openai_api_key": lambda url: {"base_url": url, "openai_api_key": secret("CANARY")},
    "default_headers": lambda url: {"base_url": url, "default_headers": {"Authorization": secret("CANARY")}},
    "client_kwargs": lambda url: {"base_url": url, "client_kwargs": {"headers": {"Authorization": secret("CANARY")}}},
    "extra_body": lambda url: {"base_url": url, "extra_body": {"key": secret("CANARY")}},
    "the model's name": lambda url: {"base_url": url, "model": secret("CANARY")},
    "the URL's path": lambda url: {"base_url": f"{url}/$CANARY/${{CANARY}}/%CANARY%", "api_key": "$CANARY"},
    "the URL's login": lambda url: {"base_url": url.replace("//", "//$CANARY:${CANARY}@")},
    "stop": lambda url: {"base_url": url, "stop": [secret("CANARY")]},
    "pickle_secrets": lambda url: {"base_url": url, "pickle_secrets": True, "api_key": secret("CANARY")},
    "no server": lambda _: {"api_key": secret("CANARY")},
    "another object inside": lambda url: {
        "base_url": url,
        "client": constructor(["vessel_core", "client", "Client"], base_url=url, api_key=secret("CANARY")),
    },
}


def test_there_are_at_least_twenty() -> None:
    assert len(PAYLOADS) >= 20


@pytest.mark.parametrize("identifier", IDS, ids=lambda one: one[1])
@pytest.mark.parametrize("name", PAYLOADS)
def test_what_langchain_loads_reads_no_secret_of_the_environment(
    name: str, identifier: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in NAMES:
        monkeypatch.setenv(variable, CANARY)
    with openai_server(transcript("llamacpp/text.sse")) as server:
        loaded = outcome(constructor(identifier, backend="openai", **PAYLOADS[name](server.base_url)))
        if isinstance(loaded, ChatVessel) and loaded.base_url:
            outcome_of(lambda: loaded.invoke("Hello"))
        sent = repr([(request.path, request.headers, request.body) for request in server.requests])
    assert CANARY not in sent
    assert CANARY not in repr(loaded)
    assert (
        not isinstance(loaded, ChatVessel) or loaded.api_key is None or CANARY not in loaded.api_key.get_secret_value()
    )


def outcome(payload: dict[str, Any]) -> object:
    """Load, with the widest permission that LangChain gives; return what comes or the error."""

    def loading() -> object:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # LangChain's own warning that loading is dangerous
            return load(json.loads(json.dumps(payload)), allowed_objects="all", valid_namespaces=["langchain_vessel"])

    return outcome_of(loading)


def outcome_of(call: Callable[[], object]) -> object:
    try:
        return call()
    except Exception as error:  # of LangChain's, pydantic's or ours: what matters is what was sent
        return error


@pytest.mark.parametrize("name", PAYLOADS)
def test_what_llama_index_loads_reads_no_secret_of_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in NAMES:
        monkeypatch.setenv(variable, CANARY)
    with openai_server(transcript("llamacpp/text.sse")) as server:
        loaded = outcome_of(lambda: Vessel.from_dict({"backend": "openai", **PAYLOADS[name](server.base_url)}))
        if isinstance(loaded, Vessel) and loaded.base_url:
            outcome_of(lambda: loaded.complete("Hello"))
            loaded.close()
        sent = repr([(request.path, request.headers, request.body) for request in server.requests])
    assert CANARY not in sent


def test_what_is_written_and_loaded_again_has_no_key_and_the_same_server() -> None:
    from langchain_core.load import dumpd

    with openai_server() as server:
        written = dumpd(ChatVessel(backend="openai", base_url=server.base_url, api_key=CANARY, model="m"))  # pyright: ignore[reportArgumentType]
    loaded = outcome(written)
    assert isinstance(loaded, ChatVessel)
    assert (loaded.base_url, loaded.api_key) == (server.base_url, None)
