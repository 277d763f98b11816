"""HTTP/1.1 without a network: whatever comes, cut anywhere, means what h11 says of it."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from vessel_core.transport import http1
from vessel_core.transport.http1 import Exchange
from vessel_core.transport.outgoing import Request

from tests.fuzz.targets import read_by_exchange, replies

REQUEST = Request("POST", httpx.URL("http://here/v1"), [(b"Host", b"here")], b"{}")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

STATUS = [b"HTTP/1.1 200 OK", b"HTTP/1.1 200", b"HTTP/1.0 200 OK", b"HTTP/1.1 503 Busy", b"HTTP/1.1 204 No Content"]
INTERIM = [b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 101 Other\r\n\r\n"]
FIELDS = [
    *(
        b"Transfer-Encoding: chunked",
        b"transfer-encoding: Chunked",
        b"Transfer-Encoding: 5",
        b"Content-Length: chunked",
    ),
    *(b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: identity"),
    *(b"Content-Length: 5", b"Content-Length:5", b"Content-Length: 05 ", b"Content-Length: -1", b"Content-Length: 6"),
    *(b"Connection: close", b"Connection: Keep-Alive", b"Connection: keep-alive, close", b"Connection: "),
    *(b"Keep-Alive: timeout=5", b"X: \tx y\t", b"X: \xc3\xa9", b"X : y", b"X:", b" folded", b"X: \x00", b": y"),
]
BODY = [
    *(b"5\r\nhello\r\n", b"1\r\nx\r\n", b"0005\r\nhello\r\n", b"a\r\n0123456789\r\n", b"2;name=value\r\nab\r\n"),
    *(b"3 \r\nabc\r\n", b"3\r\nabcd\r\n", b"3\nabc\n", b"\r\n", b"hello", b"g\r\n", b"11111111111111111\r\n"),
    *(b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\n", b"0\r\nTrailer: x\r\n\r\n", b"00\r\n\r\n"),
]
ENDS = st.sampled_from([b"\r\n"] * 9 + [b"\n"])


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """Return a head that is usual in most ways, and sometimes not at all."""
    lines = [draw(st.sampled_from(STATUS)), *draw(st.lists(st.sampled_from(FIELDS), max_size=4))]
    return b"".join(line + draw(ENDS) for line in lines) + draw(ENDS)


REPLIES = st.tuples(
    st.lists(st.sampled_from(INTERIM), max_size=1).map(b"".join),
    heads(),
    st.lists(st.sampled_from(BODY), max_size=6).map(b"".join),
    st.sampled_from([b"", b"", b"HTTP/1.1 200 OK\r\n\r\n", b"\x16\x03"]),
).map(b"".join)


@settings(max_examples=1500, deadline=None)
@given(reply=REPLIES, step=st.integers(0, 63))
@example(reply=CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", step=0)
@example(reply=CHUNKED + b"5\r\nhello\r\n1;a\r\nx\r\n0\r\n\r\n", step=4)
@example(reply=HEAD + b"Content-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n", step=6)
def test_a_reply_means_what_h11_says_however_it_is_cut(reply: bytes, step: int) -> None:
    replies(reply + bytes([step]))  # the claim is the fuzz target's, which asserts it of the whole and of pieces


@pytest.mark.parametrize(
    ("reply", "usual"),
    [
        (CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", True),
        (HEAD + b"Content-Length: 5\r\n\r\nhello", True),
        (HEAD + b"Content-Length: 5\r\nConnection: keep-alive\r\n\r\nhello", True),
        (HEAD + b"Content-Length: 5\r\nConnection: Keep-Alive\r\n\r\nhello", True),
        (CHUNKED.replace(b"chunked", b"Chunked") + b"5\r\nhello\r\n0\r\n\r\n", True),
        (CHUNKED + b"5;a=b\r\nhello\r\n0\r\n\r\n", False),
        (HEAD.replace(b"1.1", b"1.0") + b"\r\nhello", False),
    ],
)
def test_what_servers_usually_send_is_read_without_h11(
    reply: bytes, usual: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []
    ask = Exchange._ask  # pyright: ignore[reportPrivateUsage]

    def noting(self: Exchange, conn: object, data: bytes) -> None:
        asked.append(data)
        ask(self, conn, data)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(Exchange, "_ask", noting)
    assert read_by_exchange([reply]).body == b"hello"
    assert bool(asked) is not usual


@pytest.mark.parametrize(
    ("came", "said"),
    [
        ([], "Server disconnected without sending a response."),
        ([b"H"], "in the middle of a head"),
        ([b"HTTP/1.1 103 Early\r\n\r\n"], "in the middle of a head"),
        ([HEAD + b"Content-Length: 5\r\n\r\nhell"], "in the middle of the body"),
        ([CHUNKED + b"5\r\nhello\r\n"], "in the middle of the body"),
        ([CHUNKED + b"5\r\nhello, world\r\n"], "longer than it says"),
        ([b"HTTP/1.1 103 Early\r\n\r\n" * (http1.MOST_INTERIM + 1)], "interim"),
        ([HEAD + b"X: " + b"x" * http1.LONGEST_HEAD], "too long"),
        ([b"H", b"T", b"T", b"P", b"/", b"1", b".", b"1", b" 200", b"x" * http1.LONGEST_HEAD], "too long"),
    ],
)
def test_what_is_wrong_is_said(came: list[bytes], said: str) -> None:
    assert said in read_by_exchange(came).fault


@pytest.mark.parametrize("begins", [HEAD, b"HTTP/1.0 200 OK\r\n"], ids=["usual", "for h11"])
@pytest.mark.parametrize("read", [1000, 16_000, 65_536, 1_000_000])
def test_how_long_a_head_may_be_does_not_depend_on_how_it_comes(begins: bytes, read: int) -> None:
    """One header or many; the body comes at once with the end of the head."""
    rest = b"Content-Length: 5\r\n\r\nhello"
    most = http1.LONGEST_HEAD
    for field, taken, refused in ((b"x", most - 200, most), (b"\r\nX: x", most // 6 - 50, most // 6)):
        for times, fault in ((taken, ""), (refused, "too long"), (most, "too long")):
            reply = begins + b"X: " + field * times + b"\r\n" + rest
            got = read_by_exchange([reply[at : at + read] for at in range(0, len(reply), read)])
            assert fault in got.fault
            assert got.body == (b"" if fault else b"hello")


def test_a_head_that_comes_with_much_of_its_body_is_no_long_one() -> None:
    whole = b"x" * 3 * http1.LONGEST_HEAD
    reply = HEAD + b"Content-Length: %d\r\n\r\n" % len(whole) + whole
    assert read_by_exchange([reply[:5], reply[5:]]).body == whole


@pytest.mark.parametrize(("form", "limit"), [(b"1;a\r\nx\r\n", "MOST_UNUSUAL"), (b"1\r\nx\r\n", "LONGEST_FRAMING")])
def test_a_body_in_chunks_of_next_to_nothing_is_given_up(
    form: bytes, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http1, limit, 200)
    assert read_by_exchange([CHUNKED, *[form * 10] * 2, b"0\r\n\r\n"])[1:4] == (b"x" * 20, "", True)
    assert "next to nothing" in read_by_exchange([CHUNKED, *[form * 10] * 50]).fault


def test_a_long_answer_that_h11_reads_is_no_chunks_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1, "MOST_UNUSUAL", 50)
    token = b"20\r\n" + 32 * b"x" + b"\r\n"
    read = read_by_exchange([b"HTTP/1.1 103 Early\r\n\r\n", CHUNKED, *[token * 50] * 10, b"0\r\n\r\n"])
    assert read[1:4] == (32 * 500 * b"x", "", True)


def test_what_came_before_a_fault_is_there() -> None:
    read = read_by_exchange([CHUNKED + b"5\r\nhello\r\nno size\r\n"])
    assert (read.status, read.body, bool(read.fault)) == (200, b"hello", True)


@pytest.mark.parametrize(
    "after", [[b"HTTP/1.1 200 OK\r\n\r\n"], [b""]], ids=["a reply nobody asked for", "the end of the connection"]
)
def test_a_connection_on_which_more_came_serves_no_other_call(after: list[bytes]) -> None:
    whole = HEAD + b"Content-Length: 5\r\n\r\nhello"
    assert read_by_exchange([whole]).reusable
    assert not read_by_exchange([whole, *after]).reusable
    assert not read_by_exchange([whole + after[0] + b"x"]).reusable


@pytest.mark.parametrize(
    ("url", "fields"),
    [
        ("http://here/v1", [(b"Authorization", b"Bearer secret\r\nX: y")]),
        ("http://here/v1", [(b"Authorization", b"secret\n")]),
        ("http://here/v1", [(b"Authorization", b"secret ")]),
        ("http://here/v1", [(b"Authorization", b"secret\x00")]),
        ("http://here/v1", [(b"A b", b"secret")]),
        ("http://here/v1", [(b"", b"secret")]),
    ],
)
def test_a_request_that_http_forbids_is_not_written_and_its_error_shows_no_secret(
    url: str, fields: list[tuple[bytes, bytes]]
) -> None:
    with pytest.raises(httpx.LocalProtocolError) as caught:
        Exchange(Request("POST", httpx.URL(url), fields))
    assert "secret" not in repr(caught.value)


def test_a_request_is_written_as_it_is() -> None:
    fields = [(b"Host", b"here"), (b"X", b""), (b"Authorization", b"Bearer \xc3\xa9 x"), (b"Content-Length", b"2")]
    request = Request("POST", httpx.URL("http://here/v1/x?y=%20z"), fields, b"{}")
    assert Exchange(request).outgoing == (
        b"POST /v1/x?y=%20z HTTP/1.1\r\nHost: here\r\nX: \r\nAuthorization: Bearer \xc3\xa9 x\r\nContent-Length: 2\r\n\r\n{}"
    )
