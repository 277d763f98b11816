"""What a server says drives no terminal and forges nothing, also where nobody prints it through the command."""

from __future__ import annotations

import logging
import traceback

import pytest
from vessel_core import Client, doctor
from vessel_core.errors import InvalidConfig

from tests.cli.test_terminal import ESCAPES
from tests.fake_server import FakeServer, Response, llamacpp_server
from tests.security.faces import FACES, Face, opened

SAID = "it broke " + "".join(ESCAPES).encode("utf-8", "replace").decode()
CONTROLS = {chr(code) for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
HELLO = [{"role": "user", "content": "Hello"}]


def controls(text: str) -> set[str]:
    return CONTROLS & set(text) | {each for each in text if each in "\u202e\u2066\u200b"}


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.name)
@pytest.mark.parametrize(
    "answer",
    [Response.json({"error": {"message": SAID}}, 400), Response.text(SAID, 500), Response.text(f"<p>{SAID}</p>")],
    ids=["JSON", "text", "a web page"],
)
def test_an_error_in_a_traceback_or_a_log_holds_no_command_of_a_terminal(
    face: Face, answer: Response, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        llamacpp_server(answer) as server,
        opened(face, base_url=server.base_url, model="m", max_retries=0) as made,
        caplog.at_level(logging.DEBUG),
        pytest.raises(Exception, match="it broke") as caught,
    ):
        face.ask(made)
    logging.getLogger("vessel_core").error("it failed", exc_info=caught.value)
    assert controls("".join(traceback.format_exception(caught.value))) == set()
    assert controls(caplog.text) == set()


def test_what_a_model_is_called_is_shown_without_them() -> None:
    models = Response.json({"object": "list", "data": [{"id": SAID, "object": "model", "owned_by": "llamacpp"}]})
    with FakeServer({("GET", "/v1/models"): models}) as server, Client("openai", base_url=server.base_url) as client:
        info = client.info()
        assert info.models[0].id == SAID  # it is asked for by this name
        for shown in (repr(info), info._repr_html_()):  # pyright: ignore[reportPrivateUsage] - what a notebook calls
            assert "it broke" in shown
            assert controls(shown) == set()


def test_a_report_shows_what_is_wrong_without_them() -> None:
    with FakeServer(otherwise=Response.json({"error": {"message": SAID}}, 500)) as server:
        shown = repr(doctor("llamacpp", base_url=server.base_url))
    assert "it broke" in shown
    assert controls(shown) == set()


@pytest.mark.parametrize("host", ["\u212aey.example", "ann:pw@\u212aey.example", "e\u0301.example", "127.0.0.1\u2060"])
def test_a_host_is_written_with_the_characters_it_has(host: str) -> None:
    with pytest.raises(InvalidConfig, match="its host holds characters"):
        Client("openai", base_url=f"http://{host}")
