"""How many calls hosts have in flight: never more than their limits, whoever makes them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from vessel_core import Client, Routing
from vessel_core.dispatch import DISPATCHER
from vessel_core.vetting import SAMPLE

from tests.core.driving import Connect
from tests.core.hosting import until, until_met
from tests.fake_server import (
    Request,
    Response,
    llamacpp_server,
    openai_embeddings,
)


class Counting:
    """Embeds, and holds each call but the first until `enough`; `most` is how many that ever were in flight."""

    def __init__(self, enough: Callable[[int], bool]) -> None:
        self.enough, self.now, self.most, self.asked = enough, 0, 0, 0
        self.lock = threading.Lock()

    def __call__(self, request: Request) -> Response:
        if request.json()["input"] == SAMPLE:  # a host that is vetted has no call in flight
            return openai_embeddings(request)
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.asked += 1
            first = self.asked == 1
        until(lambda: first or self.enough(self.most))
        with self.lock:
            self.now -= 1
        return openai_embeddings(request)


def test_a_host_is_never_asked_above_its_limit(connect: Connect) -> None:
    first, second = Counting(lambda most: most >= 3), Counting(lambda most: most >= 1)
    with (
        llamacpp_server(routes={("POST", "/v1/embeddings"): first}) as one,
        llamacpp_server(routes={("POST", "/v1/embeddings"): second}) as other,
    ):
        client = connect(base_url=[one.base_url, other.base_url], routing=Routing(slots=[3, 1], overcommit=1.0))
        until_met(client)
        client.embed([f"text {number}" for number in range(40)], batch_size=1, concurrency=12)
    assert [first.most, second.most] == [3, 1]


def test_clients_of_one_process_share_what_a_host_can_take(connect: Connect) -> None:
    all_wait = threading.Event()

    def enough(most: int) -> bool:
        if len(DISPATCHER.queueing) >= 2:  # an async client begins with a single call, which may have a place
            all_wait.set()
        return all_wait.is_set()

    counting = Counting(enough)
    with (
        llamacpp_server(routes={("POST", "/v1/embeddings"): counting}) as one,
        llamacpp_server(routes={("POST", "/v1/embeddings"): counting}) as other,
    ):
        urls, routing = [one.base_url, other.base_url], Routing(slots=1, overcommit=1.0)
        clients = [
            connect(base_url=urls, routing=routing),
            *(Client("llamacpp", base_url=urls, routing=routing) for _ in "ab"),
        ]
        for client in clients:
            until_met(client)

        def embed(client: Client) -> int:
            return len(client.embed([f"text {number}" for number in range(12)], batch_size=1, concurrency=6).vectors)

        with ThreadPoolExecutor(3) as threads:
            assert list(threads.map(embed, clients)) == [12, 12, 12]
        assert {host.in_flight for client in clients for host in client.hosts()} == {0}
    assert counting.most <= 2
