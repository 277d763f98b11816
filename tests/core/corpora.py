"""What tests of a whole corpus share."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from vessel_core import Client

from tests.fake_server import FakeServer

pa: Any = import_module("pyarrow")
parquet: Any = import_module("pyarrow.parquet")
"""They have no types."""

Rows = list[dict[str, Any]]


def written(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path) -> Rows:
    if path.suffix == ".parquet":
        return parquet.read_table(path).to_pylist()
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def corpus(path: Path, count: int = 20) -> Path:
    return written(path, [{"id": f"row-{number}", "text": f"text {number}", "page": number} for number in range(count)])


def asked(server: FakeServer) -> list[str]:
    return [text for request in server.asked("/v1/embeddings") if request.body for text in request.json()["input"]]


def alive(*servers: FakeServer) -> Client:
    urls = [server.base_url for server in servers]
    return Client("llamacpp", base_url=urls if len(urls) > 1 else urls.pop())
