"""Counts how many requests are under way at once."""

from __future__ import annotations

import threading

from tests.fake_server import Request, Response, openai_embeddings


class Meter:
    """Answers embeddings, and knows how many were asked at once. All wait until so many have come, or none comes."""

    def __init__(self, expected: int) -> None:
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()
        self._all = threading.Barrier(expected)

    def __call__(self, request: Request) -> Response:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        self._all.wait(5)
        with self._lock:
            self._now -= 1
        return openai_embeddings(request)
