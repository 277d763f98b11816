"""Vectors of several requests as one float32 matrix: it holds what the lists do, and no batch is kept beside it."""

from __future__ import annotations

import base64
import pickle
import random
import subprocess
import sys
import weakref
from array import array
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from vessel_core import Client, Embeddings
from vessel_core.embedding import Joining
from vessel_core.errors import ProtocolError
from vessel_core.matrix import Matrix

from tests.core.driving import Connect
from tests.fake_server import FakeServer, Request, Response, llamacpp_server, ollama_server

TEXTS = [f"text {number}" for number in range(50)]
WIDTH = 48


def vector_of(text: str) -> array[float]:
    """Return float32 numbers with all their digits."""
    chance = random.Random(text)
    return array("f", [chance.uniform(-1, 1) for _ in range(WIDTH)])


def openai(request: Request, *, packed: bool = True, width: int = WIDTH) -> Response:
    """Answer `/v1/embeddings`, the last text first."""
    vectors = [vector_of(text)[:width] for text in request.json()["input"]]
    sent = [base64.b64encode(vector.tobytes()).decode() if packed else vector.tolist() for vector in vectors]
    items = [{"embedding": vector, "index": at} for at, vector in enumerate(sent)]
    return Response.json({"data": items[::-1], "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1}})


def ollama(request: Request) -> Response:
    """Answer `/api/embed`."""
    return Response.json({"model": "m", "embeddings": [vector_of(text).tolist() for text in request.json()["input"]]})


def serving(wire: str) -> FakeServer:
    """Return a server that embeds over a wire."""
    if wire == "ollama":
        return ollama_server(routes={("POST", "/api/embed"): ollama})
    packed = wire == "base64"
    return llamacpp_server(routes={("POST", "/v1/embeddings"): lambda request: openai(request, packed=packed)})


def connected(connect: Connect, wire: str, server: FakeServer) -> Client:
    return connect("ollama" if wire == "ollama" else "llamacpp", base_url=server.base_url, model="m")


@pytest.mark.parametrize("wire", ["base64", "floats", "ollama"])
@pytest.mark.parametrize(("size", "at_once"), [(7, 1), (7, 3), (50, 1), (1, 4)])
def test_the_matrix_and_the_lists_hold_the_same_numbers_in_the_order_of_the_texts(
    connect: Connect, wire: str, size: int, at_once: int
) -> None:
    with serving(wire) as server:
        client = connected(connect, wire, server)
        made = client.embed(TEXTS, batch_size=size, concurrency=at_once)
    matrix = made.array()
    assert (matrix.dtype, matrix.shape, matrix.flags.writeable) == (np.float32, (len(TEXTS), WIDTH), True)
    assert matrix.tobytes() == b"".join(vector_of(text).tobytes() for text in TEXTS)
    assert made.vectors == matrix.tolist()
    assert made.array().tobytes() == matrix.tobytes()


def test_what_comes_as_float32_is_the_memory_of_the_matrix(connect: Connect) -> None:
    with serving("base64") as server:
        made = connected(connect, "base64", server).embed(TEXTS, batch_size=9)
    matrix = made.array()
    assert np.shares_memory(matrix, made.array())
    assert list(made.rows) == [vector_of(text) for text in TEXTS]
    lists = made.vectors
    assert made.vectors is lists
    matrix[:] = 0
    assert lists[0] == vector_of(TEXTS[0]).tolist()


@pytest.mark.parametrize("at_once", [1, 3])
def test_no_batch_is_kept_beside_the_matrix(connect: Connect, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    came: list[weakref.ref[array[float]]] = []
    alive: list[int] = []
    add = Joining.add

    def watched(joining: Joining, part: Embeddings) -> None:
        assert isinstance(part.rows, Matrix)
        alive.append(sum(one() is not None for one in came[:-1]))
        came.append(weakref.ref(part.rows.numbers))
        add(joining, part)

    monkeypatch.setattr(Joining, "add", watched)
    with serving("base64") as server:
        client = connected(connect, "base64", server)
        made = client.embed(TEXTS, batch_size=2, concurrency=at_once)
    assert (len(made.rows), len(alive)) == (len(TEXTS), 25)
    assert alive[-1] <= 1 + at_once  # the first, which grew; a thread may not have let go of its own yet


def test_batches_of_which_one_came_as_floats_become_doubles(connect: Connect) -> None:
    def embed(request: Request) -> Response:
        return openai(request, packed="text 20" not in request.json()["input"])

    with llamacpp_server(routes={("POST", "/v1/embeddings"): embed}) as server:
        made = connect(base_url=server.base_url, model="m").embed(TEXTS, batch_size=10)
    assert {row.typecode for row in made.rows if isinstance(row, array)} == {"d"}
    assert made.array().tobytes() == b"".join(vector_of(text).tobytes() for text in TEXTS)
    assert made.vectors == [vector_of(text).tolist() for text in TEXTS]


@pytest.mark.parametrize("packed", [True, False])
def test_batches_of_another_length_are_of_another_model(connect: Connect, packed: bool) -> None:
    def embed(request: Request) -> Response:
        return openai(request, packed=packed, width=WIDTH if "text 0" in request.json()["input"] else 3)

    with llamacpp_server(routes={("POST", "/v1/embeddings"): embed}) as server:
        client = connect(base_url=server.base_url, model="m")
        with pytest.raises(ProtocolError, match=f"more than one model: they have 3 and {WIDTH} numbers"):
            client.embed(TEXTS, batch_size=10)


def test_a_matrix_is_a_sequence_of_its_vectors() -> None:
    rows: list[Any] = [array("f", [at, at + 0.5]) for at in range(4)]
    matrix = Matrix(array("f", [number for row in rows for number in row]), 2)
    assert (len(matrix), list(matrix), matrix[-1]) == (4, rows, rows[3])
    assert (matrix[1:3], matrix[::-2]) == (rows[1:3], rows[::-2])
    assert pickle.loads(pickle.dumps(Embeddings(matrix))) == Embeddings(matrix)
    assert repr(matrix) == "Matrix(4 × 2)"
    for at in (4, -5):
        with pytest.raises(IndexError):
            matrix[at]


def test_reading_vectors_as_lists_changes_nothing_of_what_they_equal() -> None:
    numbers = array("f", [0.5, 1.0, 2.0, 4.0])
    one, other = Embeddings(Matrix(numbers, 2), "m"), Embeddings(Matrix(numbers, 2), "m")
    assert one == other
    assert one.vectors == [[0.5, 1.0], [2.0, 4.0]]
    assert one == other
    assert other == one
    assert asdict(other)["rows"] == one.vectors
    assert Matrix(numbers, 2) not in (Matrix(numbers, 4), [[0.5, 1.0]], [[0.5, 1.0], [2.0, 3.0]], 7)
    assert Matrix(numbers, 2) not in ([None, None], [1, 2], "ab", [[0.5, 1.0], None])


def test_no_vectors_are_a_matrix_without_rows() -> None:
    assert Embeddings([]).array().shape == (0, 0)


RACE = """
import sys, threading
from vessel_core.wire import openai

reply = b'{"data": [{"index": 0, "embedding": [' + b", ".join([b"0.5"] * 768) + b"]}]}"
assert "numpy" not in sys.modules
loaded, failed = threading.Event(), []

def read():
    try:
        while not loaded.is_set():
            openai.decode_embed(reply, 1, None)
    except BaseException as error:
        failed.append(repr(error))

threads = [threading.Thread(target=read) for _ in range(3)]
[thread.start() for thread in threads]
import numpy
loaded.set()
[thread.join() for thread in threads]
sys.exit("\\n".join(failed) or None)
"""


def test_threads_read_vectors_while_one_of_them_loads_numpy() -> None:
    done = subprocess.run([sys.executable, "-c", RACE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
