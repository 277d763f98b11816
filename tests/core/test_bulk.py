"""A whole corpus, from a file to a file: each row once, and what is wrong with one is its error."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from vessel_core import Client, LocalServer
from vessel_core.bulk import BulkProgress, bulk
from vessel_core.errors import AuthFailed, InvalidConfig, ServerBusy

from tests.core.corpora import Rows, asked, corpus, pa, parquet, read, written
from tests.core.hosting import until
from tests.fake_server import Request, Response, llamacpp_server, openai_embeddings, transcript, vector_of

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
        assert asked(server)[before:] == ["text 0", "text 6"]  # the first to see that the model is the same
        assert read(to)[6]["embedding"] == vector_of("text 6")


def test_what_is_too_long_is_said_of_its_row_and_not_of_a_place_in_a_request(tmp_path: Path) -> None:
    long = Response.json({"error": {"message": "input (900 tokens) is too large to process", "code": 500}}, 500)

    def answer(request: Request) -> Response:
        return long if "text 5" in request.json()["input"] else openai_embeddings(request)

    with llamacpp_server(routes={("POST", "/v1/embeddings"): answer}) as server:
        client = Client("llamacpp", base_url=server.base_url)
        assert bulk(corpus(tmp_path / "i.jsonl"), tmp_path / "o.jsonl", client=client, progress=False).errors == 1
    (wrong,) = [row for row in read(tmp_path / "o.jsonl") if row["error"]]
    assert wrong["id"] == "row-5"
    assert wrong["error"].startswith("The input is longer than the server's batch: input (900 tokens)")


def test_a_line_that_is_no_json_has_no_id(tmp_path: Path) -> None:
    source = tmp_path / "i.jsonl"
    source.write_text('{"id": 1, "text": "one"}\nno json\n{"text": "without an id"}\n')
    with llamacpp_server() as server:
        bulk(source, tmp_path / "o.jsonl", client=Client("llamacpp", base_url=server.base_url), progress=False)
    assert [(row["row"], row["id"]) for row in read(tmp_path / "o.jsonl")] == [(0, 1), (1, None), (2, 2)]


def test_hosts_that_say_their_slots_late_are_filled_all_the_same(tmp_path: Path) -> None:
    many, lock, count = threading.Event(), threading.Lock(), 0

    def answer(request: Request) -> Response:
        nonlocal count
        with lock:
            count += 1
            if count == 12 + 40:  # more at once than two hosts of unknown slots are taken for
                many.set()
        if count > 12:
            assert many.wait(20)
        else:
            until(lambda: {host.slots for host in client.hosts()} == {16})
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
        ("texts.jsonl", "o.jsonl", {"concurrency": 0}, "concurrency"),
        ("texts.jsonl", "nowhere/o.jsonl", {}, "no folder 'nowhere'"),
        ("texts.jsonl", "o.jsonl", {"column": "txt"}, "No row has a column 'txt': did you mean 'text'"),
        ("texts.jsonl", "o.jsonl", {"keep": ["pgae"]}, "column 'pgae': did you mean 'page'"),
        ("texts.jsonl", "o.jsonl", {"id_column": "pages"}, "column 'pages': did you mean 'page'"),
        ("texts.parquet", "o.jsonl", {"keep": ["pgae"]}, "column 'pgae': did you mean 'page'"),
        ("texts.jsonl", "o.jsonl", {"keep": ["key"]}, "of its own"),
    ],
)
def test_what_can_not_be_right_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, to: str, options: dict[str, Any], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    corpus(tmp_path / "texts.jsonl")
    parquet.write_table(pa.Table.from_pylist(read(tmp_path / "texts.jsonl")), tmp_path / "texts.parquet")
    with llamacpp_server() as server, pytest.raises(InvalidConfig, match=said):
        bulk(source, to, client=Client("llamacpp", base_url=server.base_url), **options)
    assert not Path("o.jsonl").exists()


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


def test_rows_are_taken_as_they_are_asked(tmp_path: Path) -> None:
    taken = 0
    ahead: list[int] = []

    def rows() -> Iterator[str]:
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield f"text {number}"

    def answer(request: Request) -> Response:
        ahead.append(taken - 10 * len(ahead))
        return openai_embeddings(request)

    with llamacpp_server(routes={("POST", "/v1/embeddings"): answer}) as server:
        client = Client("llamacpp", base_url=server.base_url)
        bulk(rows(), tmp_path / "o.jsonl", client=client, batch_size=10, concurrency=2, progress=False)
    assert len(ahead) == 100
    assert max(ahead) <= 100 + 2 * 10  # those looked at for their columns, and those under way
