"""Who imports what, and what a constructor may do."""

from __future__ import annotations

import ast
import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.packaging.distributions import CORE_SOURCES, FACE_SOURCES, ROOT, run, sources

FRAMEWORKS = {"langchain", "langchain_core", "langgraph", "llama_index", "llama_index_instrumentation", "workflows"}
#: What only an extra brings. (rich is not among them: frameworks import httpx, which imports it where it is installed.)
EXTRAS = {"xllamacpp", "numpy", "gguf", "tokenizers", "platformdirs", "typer", "ray", "pyarrow", "distributed", "PIL"}


def imported_by(statement: str, *, whole: bool = False) -> set[str]:
    """The modules that a fresh interpreter has after a statement: their `whole` names, or the first part of each."""
    code = f"import sys, json\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    names: list[str] = json.loads(run([sys.executable, "-c", code]).splitlines()[-1])
    return set(names if whole else [name.partition(".")[0] for name in names])


def names_imported(file: Path) -> set[str]:
    """The modules a source file imports, wherever in it, whole and by their first name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name for alias in node.names for name in (alias.name.partition(".")[0], alias.name)}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {
                node.module.partition(".")[0],
                node.module,
                *(f"{node.module}.{each.name}" for each in node.names),
            }
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            found |= {str(part.value).partition(".")[0] for part in node.args if isinstance(part, ast.Constant)}
    return found


def test_importing_the_core_imports_no_framework_and_no_extra() -> None:
    modules = imported_by("import vessel_core")
    assert "vessel_core" in modules
    assert not modules & (FRAMEWORKS | EXTRAS)


def test_importing_the_core_and_making_a_client_loads_no_http_client() -> None:
    modules = imported_by("from vessel_core import AsyncClient, Client; Client(), AsyncClient()")
    assert not modules & {"httpx", "httpcore"}


def test_only_what_users_are_handed_is_a_whole_dataclass() -> None:
    """Python compiles its methods when it is imported; `record` makes the others."""
    code = """
import sys, vessel_core
from dataclasses import is_dataclass
modules = [module for name, module in sys.modules.items() if name.partition(".")[0] == "vessel_core"]
classes = {each for module in modules for each in vars(module).values() if isinstance(each, type) and is_dataclass(each)}
print(*(each.__name__ for each in classes if "__eq__" in vars(each) and each.__module__.startswith("vessel_core")))
"""
    import vessel_core

    whole = set(run([sys.executable, "-c", code]).splitlines()[-1].split())
    assert "ServerInfo" in whole
    assert whole - set(vessel_core.__all__) == {"Address", "FailedResponse", "InvalidToolCall", "ToolCallDelta"}


def test_importing_a_face_does_not_import_the_other_framework_or_an_extra() -> None:
    langchain = imported_by("import langchain_vessel")
    assert "langchain_vessel" in langchain
    assert not langchain & {"llama_index", "xllamacpp", "gguf"}
    llama_index = imported_by(
        "import llama_index.llms.vessel, llama_index.embeddings.vessel, llama_index.postprocessor.vessel"
    )
    assert "llama_index" in llama_index
    assert not llama_index & {"langchain", "langchain_core", "langgraph", "xllamacpp", "gguf"}


def test_importing_the_chat_model_does_not_import_what_others_of_the_face_need() -> None:
    assert "tenacity" not in imported_by("from langchain_vessel import ChatVessel")
    assert "tenacity" in imported_by("from langchain_vessel import VesselLLM")


def test_importing_loads_nothing_that_only_some_calls_need() -> None:
    loaded = imported_by("from vessel_core import AsyncClient, Client", whole=True)
    assert not loaded & {"difflib", "vessel_core.local", "vessel_core.diagnosis", "vessel_core.transport.sync_shell"}
    assert "langchain_core.tools.base" not in imported_by("from langchain_vessel import ChatVessel", whole=True)


def test_every_public_name_of_the_langchain_face_is_there() -> None:
    import langchain_vessel

    assert all(getattr(langchain_vessel, name) is not None for name in langchain_vessel.__all__)
    assert set(langchain_vessel.__all__) <= set(dir(langchain_vessel))
    with pytest.raises(AttributeError, match="no attribute 'VesselChat'"):
        getattr(langchain_vessel, "VesselChat")  # noqa: B009 - a checker knows that it isn't there


@pytest.mark.parametrize("file", sources(CORE_SOURCES), ids=lambda file: str(file.relative_to(CORE_SOURCES)))
def test_no_source_of_the_core_names_a_framework(file: Path) -> None:
    assert not names_imported(file) & FRAMEWORKS


def test_only_the_transport_of_the_core_names_httpx() -> None:
    naming = {
        file.relative_to(CORE_SOURCES).parts[0] for file in sources(CORE_SOURCES) if "httpx" in names_imported(file)
    }
    assert naming == {"transport"}


def test_no_face_speaks_http() -> None:
    network = {
        "httpx",
        "httpx2",
        "httpcore",
        "requests",
        "aiohttp",
        "urllib.request",
        "urllib3",
        "http",
        "socket",
        "openai",
    }
    speaking = {str(file.relative_to(ROOT)): names_imported(file) & network for file in sources(*FACE_SOURCES)}
    assert speaking
    assert not any(speaking.values()), speaking


def test_only_the_command_starts_a_server_for_its_user() -> None:
    embedded = {"vessel_core.local", "vessel_core.LocalServer", "vessel_core.demo_models", "vessel_demo_model"}
    starting = {file for file in sources(CORE_SOURCES, *FACE_SOURCES) if names_imported(file) & embedded}
    theirs = ("__init__.py", "demo_models.py", "local.py", "cli/app.py", "cli/serving.py")
    assert starting == {CORE_SOURCES / name for name in theirs}


def test_no_face_names_the_other_framework() -> None:
    langchain, llama_index = FACE_SOURCES
    assert not any("llama_index" in names_imported(file) for file in sources(langchain))
    assert not any(names_imported(file) & {"langchain", "langchain_core"} for file in sources(llama_index))


def constructors() -> dict[str, Callable[..., Any]]:
    from langchain_vessel import ChatVessel, VesselEmbeddings, VesselRerank
    from llama_index.embeddings.vessel import VesselEmbedding
    from llama_index.llms.vessel import Vessel
    from llama_index.postprocessor.vessel import VesselRerank as LlamaIndexRerank
    from vessel_core import AsyncClient, Client

    return {
        "Client": Client,
        "AsyncClient": AsyncClient,
        "ChatVessel": ChatVessel,
        "VesselEmbeddings": VesselEmbeddings,
        "langchain VesselRerank": VesselRerank,
        "Vessel": Vessel,
        "VesselEmbedding": VesselEmbedding,
        "llama_index VesselRerank": LlamaIndexRerank,
    }


@pytest.mark.parametrize("arguments", [{}, {"backend": "ollama", "model": "m"}, {"base_url": "http://gpu-box:8080"}])
def test_construction_does_no_network_io(arguments: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    classes = constructors()

    def explode(*_: object, **__: object) -> None:
        raise AssertionError("A constructor reached for the network")

    for name in ("connect", "connect_ex", "bind", "sendto"):
        monkeypatch.setattr(socket.socket, name, explode)
    for name in ("create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, explode)
    for construct in classes.values():
        assert repr(construct(**arguments))
    with pytest.raises(AssertionError):
        classes["Client"](base_url="http://127.0.0.1:9").info()


def test_constructing_the_embedded_server_starts_and_reads_nothing() -> None:
    from vessel_core.local import LocalServer

    assert LocalServer("/there/is/no/such.gguf").pid is None
    assert LocalServer.demo().pid is None
