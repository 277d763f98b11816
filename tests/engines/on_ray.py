"""Ray for real: the recipe with a worker and the driver killed, and what LlamaIndex and LangChain do there. `make test-ray`."""
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import ray
from langchain_vessel import ChatVessel
from llama_index.core.schema import Document
from llama_index.embeddings.vessel import VesselEmbedding
from llama_index.ingestion.ray import RayIngestionPipeline, RayTransformComponent
from ray import cloudpickle
from ray.data.llm import HttpRequestProcessorConfig, build_processor
from vessel_core.local import LocalServer
from vessel_core.ray import BatchWorker

from benchmarks.scale import Host

JOB = Path(__file__).parents[2] / "docs" / "examples" / "ray_corpus.py"
ROWS = 10_000
UNDER_WAY = 2 * 4 * 8
"""Texts that a host may be asked by two actors, four requests of eight each, when they are killed."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A Ray of this process, with more logical CPUs than the machine has: actors wait for servers, not for a CPU."""
    ray.init(num_cpus=6, include_dashboard=False, object_store_memory=200_000_000, log_to_driver=False)
    yield
    ray.shutdown()


def until(reached: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


def below(pid: int) -> dict[int, str]:
    """The descendants of a process, with how they call themselves."""
    found: dict[int, str] = {}
    todo = [pid]
    while todo:
        for task in Path(f"/proc/{todo.pop()}/task").glob("*/children"):
            for child in map(int, task.read_text().split()):
                found[child] = Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ")
                todo.append(child)
    return found


def kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_worker_and_the_driver_are_killed_and_each_row_is_there_once(tmp_path: Path) -> None:
    table = pa.table({"id": list(range(ROWS)), "text": [f"text {number}" for number in range(ROWS)]})
    (tmp_path / "in").mkdir()
    parquet.write_table(table, tmp_path / "in" / "texts.parquet")
    with Host(8, 60) as host:
        command = [sys.executable, str(JOB), host.url, str(tmp_path)]
        driver = subprocess.Popen(command)
        family: dict[int, str] = {}
        try:
            until(lambda: host.asked() > 1000, 200)
            workers = [pid for pid, name in below(driver.pid).items() if "ray::MapWorker" in name]
            assert workers
            kill(workers[:1])
            until(lambda: host.asked() > 4000 and len(list((tmp_path / "checkpoint").rglob("*.parquet"))) > 4, 120)
            family = below(driver.pid)
        finally:
            driver.kill()
            driver.wait()
            kill(list(family))
        before = host.asked()
        kept = sum(parquet.read_metadata(file).num_rows for file in (tmp_path / "checkpoint").rglob("*.parquet"))
        assert before < ROWS
        subprocess.run(command, check=True, timeout=200)
        often = host.counts()["texts"]
    rows = parquet.read_table(tmp_path / "out").to_pylist()
    assert sorted(row["id"] for row in rows) == list(range(ROWS))
    assert all(row["error"] is None and len(row["embedding"]) == 384 for row in rows)
    twice = sum(often.values()) - ROWS
    print(f"{ROWS} rows once each; {twice} texts were asked again ({twice / ROWS:.1%})")
    assert twice <= before - kept + UNDER_WAY  # what the checkpoint holds is never asked again


def test_one_actor_keeps_a_host_busy(cluster: None) -> None:
    with Host(16, 50) as host:
        rows = ray.data.from_items([{"text": f"text {number}"} for number in range(128)])
        arguments = {"backend": "llamacpp", "base_url": host.url, "batch_size": 1, "concurrency": 16}
        size = ray.data.ActorPoolStrategy(size=1)
        since = time.monotonic()
        found = rows.map_batches(BatchWorker, fn_constructor_kwargs=arguments, batch_size=128, compute=size).take_all()
        ours = host.counts()["most"], time.monotonic() - since
    assert len(found) == 128
    with Host(16, 50) as host:
        asking = HttpRequestProcessorConfig(url=f"{host.url}/v1/embeddings", batch_size=128, concurrency=1)
        ask = build_processor(
            asking, preprocess=lambda row: {"payload": {"input": [row["text"]]}}, postprocess=lambda row: row
        )
        since = time.monotonic()
        assert len(ask(rows).take_all()) == 128
        rays = host.counts()["most"], time.monotonic() - since
    print(f"in flight and seconds: BatchWorker {ours}, HttpRequestProcessor {rays}")
    assert ours[0] >= 10 * rays[0]  # it asks the rows of a batch one after the other


def test_rows_that_fail_are_errors_and_the_output_is_one_table(cluster: None, tmp_path: Path) -> None:
    """The first files have no errors, one has only errors, and one has an error beside vectors."""
    with Host(4, 5) as host:
        texts = ["" if number == 36 or number in range(16, 24) else f"text {number}" for number in range(40)]
        rows = ray.data.from_items([{"text": text} for text in texts], override_num_blocks=5)
        rows.map_batches(
            BatchWorker,
            fn_constructor_kwargs={"backend": "llamacpp", "base_url": host.url},
            batch_size=8,
            compute=ray.data.ActorPoolStrategy(size=1),
        ).write_parquet(str(tmp_path))
    assert len(list(tmp_path.glob("*.parquet"))) == 5
    found = parquet.read_table(tmp_path).to_pylist()
    assert len(pd.read_parquet(tmp_path)) == 40
    assert [row["text"] for row in found if row["error"]] == [""] * 9
    assert sum(row["embedding"] is not None for row in found) == 31


def test_everything_crosses_to_another_process_small() -> None:
    for made in (BatchWorker(base_url=["http://one", "http://two"]), ChatVessel(), VesselEmbedding()):
        assert len(cloudpickle.dumps(made)) <= 2048
        assert repr(pickle.loads(cloudpickle.dumps(made))) == repr(made)


def test_llamaindex_ingests_with_ray(cluster: None) -> None:
    with LocalServer.demo("embedding") as server:
        embed = RayTransformComponent(
            transform_class=VesselEmbedding,
            backend="llamacpp",
            base_url=server.base_url,
            map_batches_kwargs={"batch_size": 8, "compute": ray.data.ActorPoolStrategy(size=1)},
        )
        documents = [Document(text=f"word {number}") for number in range(24)]
        nodes = RayIngestionPipeline(transformations=[embed]).run(documents=documents)
    assert sorted(node.get_content() for node in nodes) == sorted(document.text for document in documents)
    assert all(node.embedding for node in nodes)


def test_langchain_batches_with_ray(cluster: None) -> None:
    with LocalServer.demo() as server:
        chat = ChatVessel(backend="llamacpp", base_url=server.base_url, max_tokens=8)

        def ask(batch: dict) -> dict:
            return {**batch, "answer": [reply.text for reply in chat.batch(list(batch["question"]))]}

        rows = ray.data.from_items([{"question": "Hello"}] * 6).map_batches(ask, batch_size=3).take_all()
    assert len(rows) == 6
    assert all(row["answer"] for row in rows)
