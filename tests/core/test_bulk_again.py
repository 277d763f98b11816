"""A whole corpus, gone on with where it was stopped: each row once, whatever was killed in between."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections import Counter
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import pytest
from vessel_core import AsyncClient, Client, Timeout
from vessel_core.bulk import abulk, bulk
from vessel_core.errors import AuthFailed, InvalidConfig

from tests.core.corpora import alive, asked, corpus, read
from tests.core.hosting import until_met
from tests.fake_server import Request, Response, llamacpp_server, openai_embeddings, vector_of

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


@pytest.mark.parametrize("change", [{"model": "another"}, {"dimensions": 4}, {"column": "id"}], ids=str)
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


COLUMNS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"keep": ["page"]}, "it has not kept page"),
    ({"keep": ["page"]}, {}, "it has page of the source too"),
    ({}, {"id_column": "page"}, "it has not kept page and it has id of the source too"),
]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
@pytest.mark.parametrize(("before", "change", "said"), COLUMNS, ids=str)
def test_an_output_with_other_columns_is_left_alone(
    tmp_path: Path, before: dict[str, Any], change: dict[str, Any], said: str, ending: str, *, whole: bool
) -> None:
    source, to = corpus(tmp_path / "texts.jsonl"), tmp_path / f"o.{ending}"

    def refusing(request: Request) -> Response:
        wrong = {"error": {"message": "Invalid API Key", "type": "authentication_error", "code": 401}}
        return Response.json(wrong, 401) if "text 7" in request.json()["input"] else openai_embeddings(request)

    with llamacpp_server(routes={("POST", "/v1/embeddings"): openai_embeddings if whole else refusing}) as server:
        with nullcontext() if whole else pytest.raises(AuthFailed):
            bulk(source, to, client=alive(server), batch_size=1, concurrency=1, progress=False, **before)
        files = {path: path.read_bytes() for path in tmp_path.iterdir()}
        texts = len(asked(server))
        for retry in (False, True):
            with pytest.raises(InvalidConfig, match=said):
                bulk(source, to, client=alive(server), progress=False, retry_errors=retry, **change)
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == files
        assert len(asked(server)) == texts
        server.routes["POST", "/v1/embeddings"] = openai_embeddings
        assert bulk(source, to, client=alive(server), progress=False, **before).skipped == (20 if whole else 7)


def test_what_changes_no_answer_may_change_from_run_to_run(tmp_path: Path) -> None:
    to = tmp_path / "o.jsonl"
    with llamacpp_server() as server:
        bulk(["one"], to, client=alive(server), progress=False, timeout=5)
        changes: list[dict[str, Any]] = [{}, {"timeout": 60}, {"timeout": Timeout(request=7)}, {"dimensions": None}]
        for options in changes:
            assert bulk(["one"], to, client=alive(server), progress=False, **options).skipped == 1


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
        refused.wait(10)
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


def test_it_goes_on_whichever_host_is_asked_for_its_model(tmp_path: Path) -> None:
    source, to = corpus(tmp_path / "i.jsonl"), tmp_path / "o.jsonl"
    with llamacpp_server(model="a.gguf") as one, llamacpp_server(model="copy-of-a.gguf") as other:
        bulk(source, to, client=alive(one, other), progress=False)
        whole = to.read_bytes()
        for servers in ((other, one), (one,), (other,)):
            to.write_bytes(whole[:-100])
            assert bulk(source, to, client=alive(*servers), progress=False).skipped == 19
            assert to.read_bytes() == whole


def test_another_model_of_the_same_size_does_not_go_on(tmp_path: Path) -> None:
    def otherwise(request: Request) -> Response:
        return Response.json(
            {
                "data": [
                    {"index": at, "embedding": [1.0, -9.0, 1.0, 5.0]} for at, _ in enumerate(request.json()["input"])
                ]
            }
        )

    source, to = corpus(tmp_path / "i.jsonl"), tmp_path / "o.jsonl"
    with llamacpp_server(model="a.gguf") as server:
        bulk(source, to, client=alive(server), progress=False)
        to.write_bytes(whole := to.read_bytes()[:-100])
        server.routes["POST", "/v1/embeddings"] = otherwise
        with pytest.raises(InvalidConfig, match="Another model wrote this output"):
            bulk(source, to, client=alive(server), progress=False)
        assert to.read_bytes().startswith(whole.rpartition(b"\n")[0])
        assert len(read(to)) == 19


def test_what_may_be_asked_again_after_a_kill_is_a_hundredth_of_the_rows(tmp_path: Path) -> None:
    sizes: list[set[int]] = []
    for rows, concurrency in ((400, 4), (400, 16), (9600, 16)):
        source, to = corpus(tmp_path / "i.jsonl", rows), tmp_path / f"o-{rows}-{concurrency}.jsonl"
        with llamacpp_server() as server:
            bulk(source, to, client=alive(server), concurrency=concurrency, progress=False)
            sizes.append({len(request.json()["input"]) for request in server.asked("/v1/embeddings")})
    assert sizes == [{16}, {4}, {6}]  # 64 rows, or a hundredth


def test_a_run_goes_on_if_one_of_many_hosts_takes_the_key(tmp_path: Path) -> None:
    wrong = Response.json({"error": {"message": "Invalid API Key", "type": "authentication_error", "code": 401}}, 401)
    with ExitStack() as stack:
        servers = [stack.enter_context(llamacpp_server()) for _ in range(5)]
        client = alive(*servers)
        until_met(client)
        for server in servers[1:]:  # equals take their turns from the last one on: a call meets three of these first
            server.routes["POST", "/v1/embeddings"] = wrong
        report = bulk(corpus(tmp_path / "i.jsonl"), tmp_path / "o.jsonl", client=client, concurrency=1, progress=False)
        assert report.errors == 0
        servers[0].routes["POST", "/v1/embeddings"] = wrong
        with pytest.raises(AuthFailed):
            bulk(["text"], tmp_path / "p.jsonl", client=client, progress=False)
