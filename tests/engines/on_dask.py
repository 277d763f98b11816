"""Dask for real, with the same callable. `make test-ray`."""
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import pandas as pd
from dask import delayed
from distributed import Client, LocalCluster
from vessel_core.ray import BatchWorker

from benchmarks.scale import Host


def test_batches_are_spread_over_dasks_workers() -> None:
    frame = pd.DataFrame({"id": range(400), "text": [f"text {number}" for number in range(400)]})
    with (
        Host(8, 20) as host,
        LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        worker = BatchWorker("llamacpp", base_url=host.url, batch_size=8)
        parts = [delayed(worker)(frame[at : at + 100].to_dict("list")) for at in range(0, 400, 100)]
        found = pd.concat([pd.DataFrame(part.result()) for part in client.compute(parts)])
        often = host.counts()["texts"]
    assert sorted(found["id"]) == list(range(400))
    assert found["error"].isna().all()
    assert all(len(vector) == 384 for vector in found["embedding"])
    assert set(often.values()) == {1}
