"""`vessel chat`, as a person or a script calls it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from vessel_core.local import LocalServer

from tests.cli.running import run
from tests.fake_server import llamacpp_server, transcript


def test_chat_answers_one_question(chat_server: LocalServer) -> None:
    result = run("chat", "Hello.", "--url", chat_server.base_url)
    assert result.exit_code == 0
    assert result.output.strip().endswith(".")


def test_chat_says_which_model_answers_where_the_server_has_but_one(chat_server: LocalServer) -> None:
    result = run("chat", "Hello.", "-m", "nonsense", "--url", chat_server.base_url)
    assert result.exit_code == 0
    assert "nonsense was asked for; demo-chat answered." in " ".join(result.stderr.split())
    assert "demo-chat" not in result.stdout
    for named in (("-m", "demo-chat"), ()):
        assert run("chat", "Hello.", *named, "--url", chat_server.base_url).stderr == ""


def test_chat_reads_its_question_from_standard_input(chat_server: LocalServer) -> None:
    result = run("chat", "--url", chat_server.base_url, stdin="Hello.")
    assert result.exit_code == 0
    assert result.output.strip()


def test_chat_puts_what_is_piped_between_files_and_the_question(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("Ada lives in Lisbon.\n")
    with llamacpp_server(transcript("llamacpp/text.sse")) as server:
        run("chat", "Where?", "-f", str(notes), "--url", server.base_url, stdin="Bob in Rome.\n")
        (sent,) = server.asked("/v1/chat/completions")[0].json()["messages"]
    assert sent["content"] == "--- notes.txt ---\nAda lives in Lisbon.\n\nBob in Rome.\n\nWhere?"


@pytest.mark.parametrize("command", ["chat", "embed"])
def test_standard_input_that_is_no_text_is_refused(command: str) -> None:
    result = run(command, "--url", "http://127.0.0.1:9", stdin=b"caf\xe9")
    assert result.exit_code == 1
    assert "Standard input can't be read as text" in result.output


def test_only_the_answer_goes_into_a_pipe() -> None:
    with llamacpp_server(transcript("llamacpp/reasoning.sse")) as server:
        result = run("chat", "Why?", "--url", server.base_url)
    assert result.output == "The\n"  # the thought was "Okay"


def test_chat_sees_a_picture(chat_server: LocalServer, tmp_path: Path) -> None:
    from vessel_core.checkup import red_square

    picture = tmp_path / "square.png"
    picture.write_bytes(red_square())
    result = run("chat", "What colour is it?", "--image", str(picture), "--url", chat_server.base_url)
    assert "red" in result.output


def test_chat_puts_files_before_the_question_and_takes_options(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("Ada lives in Lisbon.")
    with llamacpp_server(transcript("llamacpp/text.sse")) as server:
        arguments = ("Where?", "-f", str(notes), "-s", "Be brief.", "-o", "temperature=0", "-o", "stop=END")
        result = run("chat", *arguments, "--url", server.base_url)
        sent = server.asked("/v1/chat/completions")[0].json()
    assert (result.exit_code, result.output.strip()) == (0, "Hello")
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert sent["messages"][1]["content"] == "--- notes.txt ---\nAda lives in Lisbon.\n\nWhere?"
    assert (sent["temperature"], sent["stop"]) == (0, "END")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("temperature", "has no value"),
        ("temprature=1", "temperature"),
        ("temperature=" + "[" * 100_000, "temperature"),
        ("messages=[]", "There is no option 'messages'"),
        ("temprature=1", """-o 'extra_body={…}'"""),
    ],
    ids=range(5),
)
def test_chat_says_what_is_wrong_with_an_option(option: str, said: str) -> None:
    result = run("chat", "Hello.", "-o", option, "--url", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert said in result.output


def test_chat_with_a_file_that_is_no_picture_says_so(chat_server: LocalServer, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("not a picture")
    result = run("chat", "What is it?", "--image", str(notes), "--url", chat_server.base_url)
    assert result.exit_code == 1
    assert "notes.txt" in result.output


def test_chat_takes_no_file_that_no_model_could_read(tmp_path: Path) -> None:
    huge = tmp_path / "huge.txt"
    with huge.open("wb") as file:
        file.truncate(10_000_001)
    result = run("chat", "Sum it up.", "--file", str(huge), "--url", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "is longer than 10,000,000 bytes" in " ".join(result.output.split())


@pytest.mark.parametrize("command", [["chat", "Hi."], ["embed"]], ids=" ".join)
def test_no_more_is_read_from_standard_input_than_from_a_file(command: list[str]) -> None:
    result = run(*command, "--url", "http://127.0.0.1:9", stdin="a" * 10_000_001)
    assert result.exit_code == 1
    assert "Standard input is longer than 10,000,000 bytes." in result.output
    assert "vessel embed --from" in result.output


def test_chat_reads_what_another_command_writes_and_no_more_than_of_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "notes.txt"
    os.mkfifo(pipe)
    threading.Thread(target=pipe.write_text, args=["Ada lives in Lisbon."]).start()
    with llamacpp_server(transcript("llamacpp/text.sse")) as server:
        run("chat", "Where?", "-f", str(pipe), "--url", server.base_url)
        (sent,) = server.asked("/v1/chat/completions")[0].json()["messages"]
    assert sent["content"] == "--- notes.txt ---\nAda lives in Lisbon.\n\nWhere?"
    endless = run("chat", "Sum it up.", "-f", "/dev/zero", "--url", "http://127.0.0.1:9")
    assert "/dev/zero is longer than" in endless.output
