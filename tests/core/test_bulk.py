"""A whole corpus, from a file to a file: each row once, whatever is killed in between."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet  # pyright: ignore[reportMissingTypeStubs]
import pytest
from vessel_core import AsyncClient, Client, LocalServer
from vessel_core.bulk import BulkProgress, abulk, bulk
from vessel_core.errors import AuthFailed, InvalidConfig, ServerBusy

from tests.fake_server import FakeServer, Request, Response, llamacpp_server, openai_embeddings, transcript, vector_of

Rows = list[dict[str, Any]]


def written(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path) -> Rows:
    if path.suffix == ".parquet":
        return parquet.read_table(path).to_pylist()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def corpus(path: Path, count: int = 20) -> Path:
    return written(path, [{"id": f"row-{number}", "text": f"text {number}", "page": number} for number in range(count)])


def asked(server: FakeServer) -> list[str]:
    return [text for request in server.asked("/v1/embeddings") if request.body for text in request.json()["input"]]


# ------------------------------------------------------------ what comes out


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_texts_become_vectors_with_their_ids(embedding_server: LocalServer, tmp_path: Path, ending: str) -> None:
    source, to = corpus(tmp_path / "texts.jsonl"), tmp_path / f"vectors.{ending}"
    client = Client("llamacpp", base_url=embedding_server.base_url)
    report = bulk(source, to, client=client, batch_size=3, keep=["page"], progress=False)
    assert (report.rows, report.skipped, report.errors) == (20, 0, 0)
    rows = read(to)
    assert [(row["row"], row["id"], row["page"], row["error"], row["attempts"]) for row in rows] == [
        (number, f"row-{number}", number, None, 1) for number in range(20)
    ]
    expected = client.embed([f"text {number}" for number in range(20)]).vectors
    assert [row["embedding"] for row in rows] == [pytest.approx(vector, abs=1e-4) for vector in expected]
    assert [path.name for path in tmp_path.iterdir()] == ["texts.jsonl", to.name]


def test_questions_become_answers(chat_server: LocalServer, tmp_path: Path) -> None:
    bulk(
        [{"id": 1, "text": "Hello"}],
        tmp_path / "one.parquet",
        client=Client(base_url=chat_server.base_url),
        task="chat",
    )
    again = tmp_path / "again.jsonl"
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Yes?"}]
    rows: Rows = [{"ask": "Hello"}, {"ask": [*turns, {"role": "user", "content": "Again"}]}]
    client = Client(base_url=chat_server.base_url)
    bulk(
        written(tmp_path / "q.jsonl", rows),
        again,
        client=client,
        task="chat",
        column="ask",
        system="Be brief.",
        max_tokens=9,
    )
    found = [*read(tmp_path / "one.parquet"), *read(again)]
    assert [row["id"] for row in found] == [1, 0, 1]  # without an id it is the number of the row
    assert all(row["text"] and row["finish"] in ("stop", "length") and row["completion_tokens"] for row in found)


def test_a_system_message_is_put_before_each_question(tmp_path: Path) -> None:
    with llamacpp_server(transcript("llamacpp/text.sse")) as server:
        client = Client("llamacpp", base_url=server.base_url)
        bulk(["Hello"], tmp_path / "o.jsonl", client=client, task="chat", system="Be brief.", temperature=0)
        (sent,) = [request.json() for request in server.asked("/v1/chat/completions")]
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert sent["temperature"] == 0


def test_parquet_is_read_by_columns(tmp_path: Path) -> None:
    with llamacpp_server() as server:
        client = Client("llamacpp", base_url=server.base_url)
        bulk(corpus(tmp_path / "a.jsonl"), tmp_path / "b.parquet", client=client, keep=["page"], progress=False)
        report = bulk(tmp_path / "b.parquet", tmp_path / "c.jsonl", client=client, column="id", id_column="page")
        assert report.rows == 20
        assert read(tmp_path / "c.jsonl")[7]["embedding"] == vector_of("row-7")


# ------------------------------------------------------------ going on


RUN = """
import sys
from vessel_core import Client
from vessel_core.bulk import bulk
url, source, to = sys.argv[1:]
bulk(source, to, client=Client("llamacpp", base_url=url), batch_size=4, concurrency=4, progress=False)
"""


def test_a_run_that_is_killed_goes_on_and_no_row_is_lost_or_there_twice(tmp_path: Path) -> None:
    source, to = corpus(tmp_path / "texts.jsonl", 240), tmp_path / "vectors.jsonl"
    gates = [(at, threading.Event()) for at in (80, 160)]
    texts = 0
    lock = threading.Lock()

    def answer(request: Request) -> Response:
        nonlocal texts
        if not request.body:  # of one who was killed while he asked
            return Response()
        with lock:
            texts += 4
            for at, gate in gates:
                if texts == at:
                    gate.set()
        return openai_embeddings(request)

    with llamacpp_server(routes={("POST", "/v1/embeddings"): answer}) as server:
        command = [sys.executable, "-c", RUN, server.base_url, str(source), str(to)]
        for _, gate in gates:
            child = subprocess.Popen(command)
            assert gate.wait(30)
            child.send_signal(signal.SIGKILL)
            child.wait()
        subprocess.run(command, check=True)
        often = Counter(asked(server))
    rows = read(to)
    assert [row["id"] for row in rows] == [f"row-{number}" for number in range(240)]
    assert all(row["embedding"] == vector_of(f"text {number}") for number, row in enumerate(rows))
    assert sum(often.values()) - 240 <= 2 * 5 * 4  # two kills: what was under way, and one batch


def test_a_torn_last_line_is_written_again(tmp_path: Path) -> None:
    source, to = corpus(tmp_path / "texts.jsonl", 6), tmp_path / "vectors.jsonl"
    with llamacpp_server() as server:
        client = Client("llamacpp", base_url=server.base_url)
        bulk(source, to, client=client, progress=False)
        whole = to.read_bytes()
        to.write_bytes(whole[:-20])
        report = bulk(source, to, client=client, progress=False)
    assert (report.rows, report.skipped) == (6, 5)
    assert to.read_bytes() == whole


def test_what_was_done_out_of_order_is_put_into_order(tmp_path: Path) -> None:
    first = threading.Event()
    answered = 0

    def answer(request: Request) -> Response:
        nonlocal answered
        if request.json()["input"] == ["text 0"]:
            return Response(
                body=openai_embeddings(request).body, headers={"content-type": "application/json"}, wait=first
            )
        answered += 1
        if answered == 9:
            first.set()
        return openai_embeddings(request)

    with llamacpp_server(routes={("POST", "/v1/embeddings"): answer}) as server:
        client = Client("llamacpp", base_url=server.base_url)
        to = tmp_path / "o.jsonl"
        bulk(corpus(tmp_path / "i.jsonl", 10), to, client=client, batch_size=1, concurrency=2, progress=False)
    assert [row["row"] for row in read(to)] == list(range(10))


@pytest.mark.parametrize(
    "change", [{"model": "another"}, {"dimensions": 4}, {"column": "id"}, {"id_column": "page"}], ids=str
)
def test_an_output_of_something_else_is_left_alone(tmp_path: Path, change: dict[str, Any]) -> None:
    source, to = corpus(tmp_path / "texts.jsonl"), tmp_path / "vectors.jsonl"
    with llamacpp_server() as server:
        client = Client("llamacpp", base_url=server.base_url)
        bulk(source, to, client=client, progress=False)
        before = to.read_bytes()
        with pytest.raises(InvalidConfig, match="not the one"):
            bulk(source, to, client=client, progress=False, **change)
        assert to.read_bytes() == before
        assert bulk(source, to, client=client, progress=False, overwrite=True, column="id").skipped == 0
        assert read(to)[3]["embedding"] == vector_of("row-3")


def test_a_file_that_no_run_wrote_is_left_alone(tmp_path: Path) -> None:
    source = corpus(tmp_path / "texts.jsonl")
    before = source.read_bytes()
    to = corpus(tmp_path / "notes.jsonl")
    with llamacpp_server() as server, pytest.raises(InvalidConfig, match="no bulk run wrote"):
        bulk(source, to, client=Client("llamacpp", base_url=server.base_url), progress=False)
    assert to.read_bytes() == before


@pytest.mark.parametrize("text", ["a note without an end", '{"row":"of my own"}', "\n"], ids=repr)
def test_a_line_without_an_end_that_is_no_torn_one_is_left_alone(tmp_path: Path, text: str) -> None:
    to = tmp_path / "notes.jsonl"
    to.write_text(text)
    with llamacpp_server() as server, pytest.raises(InvalidConfig, match="no bulk run wrote"):
        bulk(["text"], to, client=Client("llamacpp", base_url=server.base_url), progress=False)
    assert to.read_text() == text


@pytest.mark.parametrize("left", [1, 7, 12, 40, 60, 79], ids=str)
def test_a_line_may_be_torn_anywhere(tmp_path: Path, left: int) -> None:
    to = tmp_path / "o.jsonl"
    with llamacpp_server() as server:
        client = Client("llamacpp", base_url=server.base_url)
        bulk(["text"], to, client=client, progress=False)
        whole = to.read_bytes()
        to.write_bytes(whole[:left])
        assert bulk(["text"], to, client=client, progress=False).skipped == 0
    assert to.read_bytes() == whole


def test_the_source_is_no_output(tmp_path: Path) -> None:
    source = corpus(tmp_path / "texts.jsonl")
    before = source.read_bytes()
    (tmp_path / "link.jsonl").symlink_to(source)
    with pytest.raises(InvalidConfig, match="its own source"):
        bulk(source, tmp_path / "link.jsonl", client=Client("llamacpp"), overwrite=True, progress=False)
    assert source.read_bytes() == before


def test_a_shorter_source_is_another_one(tmp_path: Path) -> None:
    to = tmp_path / "o.jsonl"
    with llamacpp_server() as server:
        client = Client("llamacpp", base_url=server.base_url)
        bulk(corpus(tmp_path / "a.jsonl", 5), to, client=client, progress=False)
        with pytest.raises(InvalidConfig, match="has 3 rows"):
            bulk(corpus(tmp_path / "b.jsonl", 3), to, client=client, progress=False)


def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    refused = threading.Event()
    source, to = corpus(tmp_path / "i.jsonl"), tmp_path / "o.jsonl"

    def answer(request: Request) -> Response:
        assert refused.wait(20)
        return openai_embeddings(request)

    async def both(client: AsyncClient) -> list[Any]:
        runs = [asyncio.ensure_future(abulk(source, to, client=client, progress=False)) for _ in "ab"]
        await asyncio.wait(runs, return_when=asyncio.FIRST_COMPLETED)
        refused.set()
        return await asyncio.gather(*runs, return_exceptions=True)

    with llamacpp_server(routes={("POST", "/v1/embeddings"): answer}) as server:
        results = asyncio.run(both(AsyncClient("llamacpp", base_url=server.base_url)))
    assert sorted(type(result).__name__ for result in results) == ["BulkReport", "InvalidConfig"]
    assert len(read(to)) == 20


# ------------------------------------------------------------ what goes wrong


def refusing(*bad: str) -> Callable[[Request], Response]:
    refused = Response.json({"error": {"message": "no", "type": "invalid_request_error", "code": 400}}, 400)
    return lambda request: refused if set(bad) & set(request.json()["input"]) else openai_embeddings(request)


def test_what_is_wrong_with_a_row_is_its_error_and_can_be_tried_again(tmp_path: Path) -> None:
    rows: Rows = [{"text": f"text {number}"} for number in range(8)]
    rows[2], rows[5] = {"text": ""}, {"other": 1}
    source, to = written(tmp_path / "texts.jsonl", rows), tmp_path / "vectors.jsonl"
    with source.open("a") as file:
        file.write("no json\n\n")
    with llamacpp_server(routes={("POST", "/v1/embeddings"): refusing("text 6")}) as server:
        client = Client("llamacpp", base_url=server.base_url)
        report = bulk(source, to, client=client, progress=False)
        found = read(to)
        assert (report.rows, report.errors) == (9, 4)
        assert [row["row"] for row in found if row["error"]] == [2, 5, 6, 8]
        assert "nothing in its column 'text'" in found[2]["error"]
        assert "no JSON object" in found[8]["error"]
        assert "refused the request" in found[6]["error"]
        assert found[6]["attempts"] > 1  # in its batch, then by halves
        assert found[7]["embedding"] == vector_of("text 7")

        server.routes[("POST", "/v1/embeddings")] = openai_embeddings
        before = len(asked(server))
        report = bulk(source, to, client=client, progress=False, retry_errors=True)
        assert (report.skipped, report.errors) == (5, 3)
        assert asked(server)[before:] == ["text 6"]
        assert read(to)[6]["embedding"] == vector_of("text 6")


def test_hosts_that_say_their_slots_late_are_filled_all_the_same(tmp_path: Path) -> None:
    many, lock, count = threading.Event(), threading.Lock(), 0

    def answer(request: Request) -> Response:
        nonlocal count
        with lock:
            count += 1
            if count == 12 + 40:  # more at once than two hosts of unknown slots are taken for
                many.set()
        assert count <= 12 or many.wait(20)
        return openai_embeddings(request)

    props = Response.json({"total_slots": 16, "model_path": "plain.gguf", "build_info": "b1"})
    routes: dict[tuple[str, str], Any] = {("GET", "/props"): props, ("POST", "/v1/embeddings"): answer}
    with llamacpp_server(routes=routes) as one, llamacpp_server(routes=routes) as other:
        client = Client("llamacpp", base_url=[one.base_url, other.base_url], model="plain.gguf", max_retries=0)
        source, to = corpus(tmp_path / "i.jsonl", 60), tmp_path / "o.jsonl"
        assert bulk(source, to, client=client, batch_size=1, progress=False).errors == 0
    assert many.is_set()


def test_a_server_that_is_busy_is_waited_for(tmp_path: Path) -> None:
    busy = Response.json({"error": {"message": "server busy", "code": 503}}, 503)
    routes: dict[tuple[str, str], Any] = {("POST", "/v1/embeddings"): [busy, busy, openai_embeddings]}
    with llamacpp_server(routes=routes) as server:
        client = Client("llamacpp", base_url=server.base_url, max_retries=0)
        report = bulk(corpus(tmp_path / "i.jsonl", 3), tmp_path / "o.jsonl", client=client, progress=False)
    assert report.errors == 0
    assert {row["attempts"] for row in read(tmp_path / "o.jsonl")} == {3}


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_after_a_while_it_is_waited_for_no_longer_and_what_is_done_stays(tmp_path: Path, ending: str) -> None:
    busy = Response.json({"error": {"message": "server busy", "code": 503}}, 503)
    routes: dict[tuple[str, str], Any] = {("POST", "/v1/embeddings"): [openai_embeddings, busy]}
    source, to = corpus(tmp_path / "i.jsonl", 4), tmp_path / f"o.{ending}"
    with llamacpp_server(routes=routes) as server:
        client = Client("llamacpp", base_url=server.base_url, max_retries=0)
        with pytest.raises(ServerBusy):
            bulk(source, to, client=client, batch_size=2, concurrency=1, patience=0.2, progress=False)
        server.routes[("POST", "/v1/embeddings")] = openai_embeddings
        assert bulk(source, to, client=client, batch_size=2, progress=False).skipped == 2
        assert [row["embedding"] for row in read(to)] == [vector_of(f"text {number}") for number in range(4)]
        if ending == "parquet":
            with pytest.raises(InvalidConfig, match="complete"):
                bulk(source, to, client=client, progress=False)


def test_what_was_found_before_an_error_that_ends_the_run_is_kept(tmp_path: Path) -> None:
    wrong = Response.json({"error": {"message": "Invalid API Key", "type": "authentication_error", "code": 401}}, 401)
    refused = Response.json({"error": {"message": "no", "type": "invalid_request_error", "code": 400}}, 400)
    answers: list[Any] = [refused, openai_embeddings, wrong]  # a batch, its first half, its second
    to = tmp_path / "o.jsonl"
    with llamacpp_server(routes={("POST", "/v1/embeddings"): answers}) as server:
        client = Client("llamacpp", base_url=server.base_url)
        with pytest.raises(AuthFailed):
            bulk(corpus(tmp_path / "i.jsonl", 4), to, client=client, progress=False)
    assert [row["id"] for row in read(to)] == ["row-0", "row-1"]


def test_a_wrong_key_ends_the_run(tmp_path: Path) -> None:
    wrong = Response.json({"error": {"message": "Invalid API Key", "type": "authentication_error", "code": 401}}, 401)
    with llamacpp_server(routes={("POST", "/v1/embeddings"): wrong}) as server, pytest.raises(AuthFailed):
        bulk(corpus(tmp_path / "i.jsonl"), tmp_path / "o.jsonl", client=Client("llamacpp", base_url=server.base_url))


def test_an_answer_that_breaks_off_is_an_error_after_three_tries(tmp_path: Path) -> None:
    text = transcript("llamacpp/text.sse")
    with llamacpp_server(Response.stream(text[: len(text) // 2], cut="rst")) as server:
        client = Client("llamacpp", base_url=server.base_url)
        report = bulk(["Hello"], tmp_path / "o.jsonl", client=client, task="chat", progress=False)
    (row,) = read(tmp_path / "o.jsonl")
    assert (report.errors, row["attempts"]) == (1, 3)
    assert "broke in the middle" in row["error"]


@pytest.mark.parametrize(
    ("source", "to", "options", "said"),
    [
        ("no-such.jsonl", "o.jsonl", {}, "no file"),
        ("texts.csv", "o.jsonl", {}, "neither"),
        ("texts.jsonl", "o.csv", {}, "neither"),
        ("texts.jsonl", "o.jsonl", {"task": "sing"}, "task"),
        ("texts.jsonl", "o.jsonl", {"batch_size": 0}, "batch_size"),
        ("texts.jsonl", "o.jsonl", {"keep": ["key"]}, "of its own"),
    ],
)
def test_what_can_not_be_right_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, to: str, options: dict[str, Any], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    corpus(tmp_path / "texts.jsonl")
    with llamacpp_server() as server, pytest.raises(InvalidConfig, match=said):
        bulk(source, to, client=Client("llamacpp", base_url=server.base_url), **options)


def test_in_an_event_loop_it_says_what_to_await(tmp_path: Path) -> None:
    async def main() -> None:
        bulk([], tmp_path / "o.jsonl")

    with pytest.raises(InvalidConfig, match="event loop"):
        asyncio.run(main())


# ------------------------------------------------------------ how far it is


def test_progress_is_told_with_rate_and_time_left(tmp_path: Path) -> None:
    told: list[BulkProgress] = []
    with llamacpp_server() as server:
        client = Client("llamacpp", base_url=server.base_url)
        bulk(corpus(tmp_path / "i.jsonl"), tmp_path / "o.jsonl", client=client, batch_size=2, progress=told.append)
    assert (told[-1].done, told[-1].total, told[-1].errors, told[-1].left) == (20, 20, 0, 0)
    assert told[-1].rate > 0
    assert str(told[-1]).startswith("20 of 20 rows, ")


def test_an_empty_source_makes_an_empty_output(tmp_path: Path) -> None:
    with llamacpp_server() as server:
        client = Client("llamacpp", base_url=server.base_url)
        for ending in ("jsonl", "parquet"):
            report = bulk([], tmp_path / f"o.{ending}", client=client, progress=False)
            assert report.rows == len(read(tmp_path / f"o.{ending}")) == 0
