"""What is in the four wheels, and what they need to be imported."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from zipfile import ZipFile

import pytest
from vessel_core.version import VERSION

from tests.packaging.distributions import (
    CORE,
    CORE_SOURCES,
    DEMO_MODEL,
    FOLDERS,
    LANGCHAIN,
    LLAMA_INDEX,
    ROOT,
    project,
    run,
)

pytestmark = pytest.mark.timeout(600)  # the first install may have to download

LEAVES = ("llama_index/llms/vessel", "llama_index/embeddings/vessel", "llama_index/postprocessor/vessel")
FRAMEWORKS = ("langchain", "langchain_core", "llama_index", "numpy", "xllamacpp")


def contents(wheel: Path) -> set[str]:
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


def metadata(wheel: Path) -> str:
    with ZipFile(wheel) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("/METADATA"))).decode()


def tracked(folder: Path) -> set[str]:
    """The files git knows or would take, seen from `folder`."""
    listed = run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "."], folder).splitlines()
    return {name for name in listed if (folder / name).is_file()}


def test_the_core_wheel_holds_every_source_and_data_file_and_nothing_else(wheels: dict[str, Path]) -> None:
    files = {name for name in contents(wheels[CORE]) if ".dist-info/" not in name}
    assert files == {f"vessel_core/{name}" for name in tracked(CORE_SOURCES)}


PACKAGES = {LANGCHAIN: "langchain_vessel", LLAMA_INDEX: "llama_index", DEMO_MODEL: "vessel_demo_model"}


@pytest.mark.parametrize("distribution", PACKAGES)
def test_another_wheel_holds_its_package_and_nothing_else(wheels: dict[str, Path], distribution: str) -> None:
    files = {name for name in contents(wheels[distribution]) if ".dist-info/" not in name}
    package = PACKAGES[distribution]
    assert files == {f"{package}/{name}" for name in tracked(FOLDERS[distribution] / package)}


def test_every_package_is_marked_as_typed(wheels: dict[str, Path]) -> None:
    for wheel, leaf in (
        (CORE, "vessel_core"),
        (LANGCHAIN, "langchain_vessel"),
        *((LLAMA_INDEX, leaf) for leaf in LEAVES),
    ):
        assert {f"{leaf}/py.typed", f"{leaf}/__init__.py"} <= contents(wheels[wheel])


def test_the_llama_index_wheel_has_no_init_above_its_leaves(wheels: dict[str, Path]) -> None:
    inits = {
        name.removesuffix("/__init__.py") for name in contents(wheels[LLAMA_INDEX]) if name.endswith("__init__.py")
    }
    assert inits == set(LEAVES)


@pytest.mark.parametrize("distribution", FOLDERS)
def test_a_wheel_brings_the_licence_and_the_readme(wheels: dict[str, Path], distribution: str) -> None:
    licences = [name for name in contents(wheels[distribution]) if name.endswith("licenses/LICENSE")]
    with ZipFile(wheels[distribution]) as archive:
        assert archive.read(licences[0]) == (ROOT / "LICENSE").read_bytes()
    described = metadata(wheels[distribution])
    assert "License-Expression: MIT" in described
    assert (FOLDERS[distribution] / "README.md").read_text(encoding="utf-8").strip() in described


def test_the_four_versions_are_equal_and_pinned() -> None:
    version = project(CORE)["version"]
    assert version == VERSION
    for face in (LANGCHAIN, LLAMA_INDEX):
        assert project(face)["version"] == version
        assert f"{CORE}=={version}" in project(face)["dependencies"]
    assert project(DEMO_MODEL)["version"] == version
    assert f"{DEMO_MODEL}=={version}" in project(CORE)["optional-dependencies"]["demo"]


def test_nothing_but_the_demo_extra_asks_for_the_trained_model(wheels: dict[str, Path]) -> None:
    lines = [line for name in FOLDERS for line in metadata(wheels[name]).splitlines()]
    asking = [line for line in lines if line.startswith(f"Requires-Dist: {DEMO_MODEL}")]
    assert asking == [f"Requires-Dist: {DEMO_MODEL}=={VERSION}; extra == 'demo'"]


def installed(python: Path) -> set[str]:
    listing = run([python, "-c", "from importlib.metadata import distributions as all\nfor d in all(): print(d.name)"])
    return {name.lower() for name in listing.split()}


def found(python: Path, *modules: str) -> dict[str, bool]:
    """Which top-level modules the interpreter could import."""
    code = (
        f"import json, importlib.util as u; print(json.dumps({{m: u.find_spec(m) is not None for m in {modules!r}}}))"
    )
    return json.loads(run([python, "-P", "-c", code]))


def test_the_core_alone_imports_and_brings_neither_framework(environments: dict[str, Path]) -> None:
    run(
        [
            environments[CORE],
            "-P",
            "-W",
            "error",
            "-c",
            "import vessel_core; vessel_core.Client(base_url='http://localhost:1')",
        ]
    )
    assert found(environments[CORE], *FRAMEWORKS) == dict.fromkeys(FRAMEWORKS, False)


def test_the_core_alone_needs_httpx_and_pydantic_and_what_those_need(environments: dict[str, Path]) -> None:
    of_httpx = {"httpx", "httpcore", "h11", "anyio", "idna", "certifi", "sniffio"}
    of_pydantic = {
        "pydantic",
        "pydantic-core",
        "pydantic_core",
        "annotated-types",
        "typing-extensions",
        "typing_extensions",
    }
    assert installed(environments[CORE]) <= {CORE, *of_httpx, *of_pydantic, "typing-inspection", "annotated_types"}


def test_the_embedded_server_says_what_to_install_when_its_extra_is_missing(environments: dict[str, Path]) -> None:
    code = "from vessel_core.local import LocalServer; LocalServer.demo().start()"
    done = subprocess.run([environments[CORE], "-P", "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "pip install 'vessel-core[server]'" in done.stderr


def test_the_langchain_face_imports_without_llama_index(environments: dict[str, Path]) -> None:
    code = (
        "from langchain_vessel import ChatVessel, VesselEmbeddings, VesselRerank; "
        "ChatVessel(), VesselEmbeddings(), VesselRerank()"
    )
    run([environments[LANGCHAIN], "-P", "-c", code])
    assert not found(environments[LANGCHAIN], "llama_index")["llama_index"]


def test_the_llama_index_face_imports_without_langchain(environments: dict[str, Path]) -> None:
    code = (
        "from llama_index.llms.vessel import Vessel; from llama_index.embeddings.vessel import VesselEmbedding; "
        "from llama_index.postprocessor.vessel import VesselRerank; Vessel(), VesselEmbedding(), VesselRerank()"
    )
    run([environments[LLAMA_INDEX], "-P", "-c", code])
    assert not any(found(environments[LLAMA_INDEX], "langchain", "langchain_core").values())


def test_the_llama_index_face_leaves_llama_index_whole(environments: dict[str, Path]) -> None:
    code = "from llama_index.core import VectorStoreIndex, Settings; print(VectorStoreIndex.__module__)"
    assert run([environments[LLAMA_INDEX], "-P", "-c", code]).startswith("llama_index.core.")
