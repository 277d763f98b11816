"""docker-compose.yml says what Compose knows, and its variables lead discovery to the host."""

from __future__ import annotations

import re
import shlex

import pytest
import yaml
from typer.testing import CliRunner
from vessel_core.backends import BACKENDS
from vessel_core.cli.app import app
from vessel_core.discovery import candidates

from tests.containers.compose import FILE, compose, services
from tests.docs.test_pages import ROOT, blocks

#: What the Compose specification calls the things that the file has; Compose refuses any other name.
TOP = {"name", "services", "x-image"}
SERVICE = {
    *("image", "build", "command", "ports", "extra_hosts", "environment", "volumes", "profiles", "healthcheck"),
}
BUILD = {"context", "dockerfile_inline"}
HEALTH = {"test", "interval", "start_period"}


def test_the_file_has_only_what_compose_knows() -> None:
    whole = compose({})
    assert set(whole) == TOP
    for name, service in whole["services"].items():
        assert set(service) <= SERVICE, name
        assert set(service["build"]) <= BUILD
        assert set(service.get("healthcheck", {})) <= HEALTH
        for volume in service["volumes"]:
            assert re.fullmatch(r"\./\w+:/[\w/]+(:ro)?", volume)


def test_jupyter_is_for_this_machine_and_reaches_the_host() -> None:
    jupyter = services()["jupyter"]
    assert jupyter["ports"] == ["127.0.0.1:8888:8888"]
    assert jupyter["extra_hosts"] == ["host.docker.internal:host-gateway"]
    assert "profiles" not in jupyter


def test_the_variables_of_the_file_lead_discovery_to_the_host() -> None:
    environ = services()["jupyter"]["environment"]
    places = candidates(environ)
    assert [(place.backend.name, place.source) for place in places] == [
        ("llamacpp", "LLAMACPP_URL"),
        ("lmstudio", "LMSTUDIO_URL"),
        ("ollama", "OLLAMA_URL"),
    ]
    usual = {backend.name: backend.urls[0].rpartition(":")[2] for backend in BACKENDS if backend.probed}
    assert [place.address.root for place in places] == [
        f"http://host.docker.internal:{usual[place.backend.name]}" for place in places
    ]


def test_the_page_shows_the_lines_of_the_file() -> None:
    (shown,) = (code for _, language, code in blocks(ROOT / "docs/tasks/containers.md") if language == "yaml")
    jupyter = services()["jupyter"]
    assert yaml.safe_load(shown)["services"]["app"] == {key: jupyter[key] for key in ("extra_hosts", "environment")}


@pytest.mark.parametrize("name", ["LLAMACPP_URL", "LMSTUDIO_URL", "OLLAMA_URL"])
def test_a_variable_of_its_own_takes_the_place_of_the_default_and_the_hosts_does_not(name: str) -> None:
    environ = services({f"VESSEL_{name}": "http://gpu-box:9999", name: "http://localhost:1"})["jupyter"]["environment"]
    (place,) = [place for place in candidates(environ) if place.source == name]
    assert place.address.root == "http://gpu-box:9999"


def test_llamacpp_is_only_there_when_asked_for_and_its_command_is_one() -> None:
    llamacpp = services({"MODEL": "phi.gguf", "CONTEXT": "1024"})["llamacpp"]
    assert llamacpp["profiles"] == ["llamacpp"]
    assert "ports" not in llamacpp
    command = shlex.split(llamacpp["command"])
    assert command == [
        "vessel",
        "serve",
        "/models/phi.gguf",
        "--host",
        "0.0.0.0",
        "--port",
        "8080",
        "--context",
        "1024",
    ]
    ran = CliRunner().invoke(app, command[1:])
    assert ran.exit_code == 1
    assert "/models/phi.gguf can't be read" in ran.output  # everything before the file was understood


def test_the_image_installs_what_the_project_is() -> None:
    recipe = services()["jupyter"]["build"]["dockerfile_inline"]
    for path in re.findall(r"\./([\w/-]+)", recipe):
        assert (ROOT / path / "pyproject.toml").exists()
    assert "[cli,server]" in recipe
    assert "libgomp1" in recipe  # which the base image lacks and the embedded server needs


def test_the_image_has_a_user_of_its_own_whose_number_is_the_one_asked_for() -> None:
    recipes = [services(environ)["jupyter"]["build"]["dockerfile_inline"] for environ in ({}, {"VESSEL_UID": "1234"})]
    assert [re.findall(r"useradd .*--uid (\d+) vessel", recipe) for recipe in recipes] == [["1000"], ["1234"]]
    assert all(recipe.splitlines()[-1] == "USER vessel" for recipe in recipes)


def test_the_file_holds_no_secret() -> None:
    assert not re.search(r"(?i)password|token|api_key", FILE.read_text(encoding="utf-8"))
