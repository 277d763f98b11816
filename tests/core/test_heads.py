"""Heads of replies: as long as servers make them, and in whatever way their values are written."""

from __future__ import annotations

import pytest
from vessel_core.errors import BadRequest

from tests.core.driving import Connect
from tests.core.wire.play import HELLO
from tests.fake_server import Response, llamacpp_server, transcript


def test_a_head_may_be_as_large_as_with_httpx(connect: Connect) -> None:
    long = {"X-Long": "x" * 20_000} | {f"X-{number}": "x" for number in range(200)}
    answer = Response(200, {"content-type": "text/event-stream", **long}, transcript("llamacpp/text.sse"))
    with llamacpp_server(answer) as server:
        assert connect(base_url=server.base_url, model="m").chat([HELLO]).text == "Hello"


@pytest.mark.parametrize("written", ["utf-8", "latin-1"])
def test_a_header_that_comes_twice_has_both_values(connect: Connect, written: str) -> None:
    head = "HTTP/1.1 400 No\r\nX-Twice: café\r\nx-twice: b\r\nContent-Length: 2\r\n\r\n"
    with llamacpp_server(Response(raw=head.encode(written) + b"{}")) as server:
        with pytest.raises(BadRequest) as caught:
            connect(base_url=server.base_url, model="m").chat([HELLO])
    assert caught.value.response is not None
    assert caught.value.response.headers["x-twice"] == "café, b"
