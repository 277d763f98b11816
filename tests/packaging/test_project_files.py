"""What a project needs around its code: the release, the forms for issues, the citation."""

from __future__ import annotations

import importlib
import re
import tomllib
from typing import Any

import pytest
import yaml

from tests.packaging.distributions import CORE, FACE_SOURCES, FOLDERS, LLAMA_INDEX, ROOT, project, sources
from tests.packaging.test_repository import text, tracked

RELEASE = ROOT / ".github/workflows/release.yml"
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml"))


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_only_the_job_that_publishes_may_prove_who_it_is() -> None:
    workflow = read(".github/workflows/release.yml")
    assert workflow["permissions"] == {}
    assert workflow["jobs"]["build"]["permissions"] == {"contents": "read"}
    publish = workflow["jobs"]["publish"]
    assert (publish["permissions"], publish["environment"]) == ({"id-token": "write"}, "release")
    assert not [step for step in publish["steps"] if "run" in step]
    assert "secrets." not in RELEASE.read_text(encoding="utf-8")


def test_every_step_from_elsewhere_is_pinned_by_commit() -> None:
    used = re.findall(r"uses: (\S+)", RELEASE.read_text(encoding="utf-8"))
    assert len(used) == 5
    assert [step for step in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step)] == []


def test_the_release_builds_the_four_distributions() -> None:
    (folders,) = re.findall(r"for folder in (.*); do", RELEASE.read_text(encoding="utf-8"))
    assert [(ROOT / folder).resolve() for folder in folders.split()] == list(FOLDERS.values())


def test_no_line_for_a_checkout_asks_the_index_for_the_trained_model() -> None:
    lines = [line for file in tracked() if "tests" not in file.parts for line in text(file).splitlines()]
    by_name = re.compile(r"pip install.*('\.\[[\w,]*demo|\bvessel-demo-model)")
    assert [line for line in lines if by_name.search(line)] == []


def test_the_hub_of_llama_index_is_told_every_class_and_where_the_model_is() -> None:
    described = tomllib.loads((FOLDERS[LLAMA_INDEX] / "pyproject.toml").read_text(encoding="utf-8"))
    hub: dict[str, Any] = described["tool"]["llamahub"]
    leaves = [
        path.parent.relative_to(FOLDERS[LLAMA_INDEX]) for path in sources(FACE_SOURCES[1]) if path.stem == "__init__"
    ]
    names = [name for leaf in leaves for name in importlib.import_module(".".join(leaf.parts)).__all__]
    assert sorted(hub["class_authors"]) == sorted(names)
    assert hasattr(importlib.import_module(hub["import_path"]), "Vessel")


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_a_form_for_issues_is_one(form: Any) -> None:
    read_form = read(str(form.relative_to(ROOT)))
    assert {"name", "description", "body"} <= set(read_form)
    assert {field["type"] for field in read_form["body"]} <= {"input", "textarea"}
    assert all(field["attributes"]["label"] for field in read_form["body"])
    ids = [field["id"] for field in read_form["body"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", ["bug", "server"])
def test_who_reports_is_asked_for_what_the_doctor_says(name: str) -> None:
    (doctor,) = [field for field in read(f".github/ISSUE_TEMPLATE/{name}.yml")["body"] if field["id"] == "doctor"]
    assert "vessel doctor --json" in doctor["attributes"]["label"]
    assert doctor["validations"]["required"]


def test_the_citation_names_this_version_and_licence() -> None:
    citation = read("CITATION.cff")
    assert (citation["version"], citation["license"]) == (project(CORE)["version"], project(CORE)["license"])
