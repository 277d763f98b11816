"""One request and its reply in HTTP/1.1 (RFC 9112), without any input or output.

What a server usually sends is read here: a head in lines that end as they should, a body of one length or in bare chunks. All
else (interim replies, HTTP/1.0, trailers, chunk extensions, two lengths, whatever is wrong) is given to h11, from the very bytes
that came, and means what h11 says. A usual head takes h11 five times as long, and of a token it would say each time that
nothing has changed.
"""

from __future__ import annotations

import re

import h11
import httpx

from vessel_core.transport.outgoing import Request

LONGEST_HEAD = 64 * 1024
"""Bytes that a head may take."""

MOST_INTERIM = 100
"""How many replies of the kind of `103 Early Hints` may come before the one that counts."""

LONGEST_FRAMING = 1024 * 1024
"""Bytes by which what frames a body may exceed the body: chunks of a byte make a million of them."""

LEAST = 16
MOST_UNUSUAL = 30_000
"""How many pieces h11 may make of a body beyond one for each `LEAST` bytes: each takes it as long as a read."""

MOST_READS = 8
"""How many reads a usual head may come in."""

_TOKEN = rb"[-!#$%&'*+.^_`|~0-9a-zA-Z]++"
_BEGINS = b"HTTP/1.1 "
_BLANK_LINE = re.compile(rb"\n\r?\n")
_HEAD = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9]{2})(?: [\t\x20-\x7e]*+)?\r\n((?:%s:[\t\x20-\x7e\x80-\xff]*+\r\n)*+)\r\n" % _TOKEN
)
_BARE = (b"204", b"304")
"""What has no body, whatever its head says."""
_FRAMING = (b"content-length", b"transfer-encoding", b"connection")
"""The headers that tell where a reply ends, and whether another may follow."""
_LENGTH = re.compile(rb"[0-9]{1,18}")
_CHUNK = re.compile(rb"\r\n([0-9a-fA-F]{1,16})\r\n")
"""The end of the chunk before and the size of the next."""
_PART_OF_IT = re.compile(rb"(?:\r(?:\n[0-9a-fA-F]{0,16}\r?)?)?")
_REQUEST = re.compile(
    rb"%s [\x21-\x7e]++ HTTP/1\.1\r\n(?:%s: (?:[^\x00\s]++(?:[ \t]++[^\x00\s]++)*+)?\r\n)*+\r\n" % (_TOKEN, _TOKEN)
)


class Exchange:
    """A request, and the reply as it comes.

    `outgoing` is what to send. `status` and `headers` are those of the reply once it has `begun`; `ended` tells that its body is
    whole, `reusable` that the connection may then serve another call. Raises `httpx.LocalProtocolError` for a request that can't
    be sent.
    """

    __slots__ = (
        "_chunked",
        "_fault",
        "_framing",
        "_h11",
        "_head",
        "_held",
        "_interim",
        "_keeps",
        "_left",
        "_method",
        "_pieces",
        "_reads",
        "_unusual",
        "ended",
        "headers",
        "outgoing",
        "reusable",
        "status",
    )

    def __init__(self, request: Request) -> None:
        self._method = request.method.encode()
        self.outgoing: bytes = _written(self._method, request)
        self.status: int = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.ended: bool = False
        self.reusable: bool = False
        self._held = b""  # what came and was not read yet
        self._reads = 0  # that it took so far
        self._head = b""  # once it was read; h11 must see it if it is to read on
        self._keeps = False  # whether the server keeps the connection
        self._chunked = False
        self._left = 0  # bytes to come of the body, or of a chunk
        self._pieces: list[bytes] = []
        self._framing = 0
        self._interim = 0
        self._unusual = 0
        self._h11: h11.Connection | None = None
        self._fault: httpx.RemoteProtocolError | None = None

    def receive(self, data: bytes) -> None:
        """Take what a read brought, nothing if the other end was closed."""
        if self.ended or self._fault is not None:
            self.reusable = False
            return
        before = len(self._pieces)
        if not (data or (self.status and self._h11)):
            self._cut()
        elif self._h11 is not None:
            self._ask(self._h11, data)
        elif self._head:
            self._read_body(self._held + data if self._held else data)
        else:
            self._read_head(self._held + data if self._held else data)
        came = sum(map(len, self._pieces[before:]))
        self._framing = max(0, self._framing + len(data) - 2 * came)
        if self._framing > LONGEST_FRAMING or self._unusual > MOST_UNUSUAL:
            self._fail("a body in chunks of next to nothing")

    def begun(self) -> bool:
        """Tell whether the reply has; raise `httpx.RemoteProtocolError` for what came in its place."""
        if not self.status and self._fault is not None:
            raise self._fault
        return self.status > 0

    def piece(self) -> bytes:
        """Return what came of the body since the last call; raise `httpx.RemoteProtocolError` for what came after that."""
        pieces = self._pieces
        if not pieces:
            if self._fault is not None:
                raise self._fault
            return b""
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        return data

    def _read_head(self, held: bytes) -> None:
        head = _HEAD.match(held, 0, LONGEST_HEAD)
        if head is not None and self._understood(head):
            self._head, self._held = head[0], b""
            self._read_body((b"\r\n" if self._chunked else b"") + held[head.end() :])
            return
        self._held = held
        self._reads += 1
        usual = held.startswith(_BEGINS) or _BEGINS.startswith(held)
        if not usual or self._reads == MOST_READS or len(held) > LONGEST_HEAD or _BLANK_LINE.search(held):
            self._leave_it_to_h11(held)

    def _understood(self, head: re.Match[bytes]) -> bool:
        """Take a head; tell whether it says nothing but what is usual."""
        headers, framing = list[tuple[bytes, bytes]](), dict[bytes, bytes]()
        for line in head[2].split(b"\r\n")[:-1]:
            name, _, value = line.partition(b":")
            value = value.strip(b" \t")
            if (key := name.lower()) in _FRAMING:
                said = value.lower()
                framing[key] = framing[key] + b", " + said if key in framing else said
                value = said if key == b"transfer-encoding" else value
            headers.append((name, value))
        length, coding = framing.get(b"content-length"), framing.get(b"transfer-encoding")
        chunked = coding == b"chunked" and length is None
        sized = coding is None and length is not None and _LENGTH.fullmatch(length)
        connection = framing.get(b"connection", b"keep-alive")
        if (
            not (chunked or sized)
            or connection not in (b"keep-alive", b"close")
            or head[1] in _BARE
            or self._method == b"HEAD"
        ):
            return False
        self.status, self.headers, self._keeps = int(head[1]), headers, connection == b"keep-alive"
        self._chunked, self._left = chunked, int(length or 0)
        return True

    def _read_body(self, held: bytes) -> None:
        if self._chunked:
            self._read_chunks(held)
            return
        if data := held[: self._left]:
            self._pieces.append(data)
            self._left -= len(data)
        if not self._left:
            self._end(held[len(data) :])

    def _read_chunks(self, held: bytes) -> None:
        """Read chunks; what is held begins with the end of the one before, or in its middle."""
        pieces, at, end, size = list[bytes](), 0, self._left, None
        while end <= len(held) and (size := _CHUNK.match(held, end)) and (left := int(size[1], 16)):
            pieces.append(held[at:end])
            at = size.end()
            end = at + left
        pieces.append(held[at:end])
        if data := b"".join(pieces):
            self._pieces.append(data)
        self._left, self._held = max(0, end - len(held)), held[end:]
        if self._left:
            return
        if size is None:
            if not _PART_OF_IT.fullmatch(held, end):
                self._leave_it_to_h11(held[end:])
            return
        rest = held[size.end() :]  # of the last chunk, which is empty
        if rest.startswith(b"\r\n"):
            self._end(rest[2:])
        elif not b"\r\n".startswith(rest):
            self._leave_it_to_h11(held[end:])

    def _leave_it_to_h11(self, held: bytes) -> None:
        """Have h11 read the reply from its beginning, or from its head and the chunk that begins here."""
        if self._head and not held.startswith(b"\r\n"):
            self._fail("a chunk of the body is longer than it says")
            return
        self._h11 = conn = h11.Connection(h11.CLIENT, max_incomplete_event_size=LONGEST_HEAD)
        # what was asked is its business only as far as it frames the reply: a secret would stand in its frames
        conn.send(h11.Request(method=self._method, target=b"/", headers=[(b"Host", b"server")]))
        conn.send(h11.EndOfMessage())
        self._ask(conn, self._head + held[2:] if self._head else held)

    def _ask(self, conn: h11.Connection, data: bytes) -> None:
        """Give h11 what came; take what it says of it."""
        conn.receive_data(data)
        before = len(self._pieces)
        try:
            while (event := conn.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Data):
                    self._pieces.append(bytes(event.data))
                elif isinstance(event, h11.InformationalResponse):
                    self._interim += 1
                    if self._interim > MOST_INTERIM:
                        self._fail(f"more than {MOST_INTERIM} interim replies")
                        return
                elif isinstance(event, h11.Response):
                    if sum(len(b": ".join(field)) + 2 for field in event.headers.raw_items()) > LONGEST_HEAD:
                        self._fail("a head that is too long")  # of what comes at once h11 takes any length
                        return
                    if not self.status:  # or it is known already
                        self.status, self.headers = event.status_code, list(event.headers.raw_items())
                else:
                    self._keeps = conn.our_state is h11.DONE
                    self._end(conn.trailing_data[0])
                    return
        except h11.RemoteProtocolError as error:
            self._fail(str(error))
        pieces = self._pieces[before:]
        self._unusual = max(0, self._unusual + len(pieces) - sum(map(len, pieces)) // LEAST)

    def _cut(self) -> None:
        """The other end was closed, and h11 doesn't know better."""
        if self.status:
            self._fail("the connection was closed in the middle of the body")
        elif self._reads or self._h11 is not None:
            self._fail("the connection was closed in the middle of a head")
        else:
            self._fail("Server disconnected without sending a response.")

    def _end(self, rest: bytes) -> None:
        """The body is whole. If more came, nobody asked for it: the next call would take it for its reply."""
        self.ended, self.reusable = True, self._keeps and not rest

    def _fail(self, why: str) -> None:
        self._fault = self._fault or httpx.RemoteProtocolError(why)


def _written(method: bytes, request: Request) -> bytes:
    fields = request.fields
    lines = [b"%s: %s\r\n" % field for field in fields]
    head = b"%s %s HTTP/1.1\r\n%s\r\n" % (method, request.url.raw_path, b"".join(lines))
    if head.count(b"\n") != len(fields) + 2 or not _REQUEST.fullmatch(head):
        raise httpx.LocalProtocolError("HTTP forbids it")  # and not what it was: that may be a key
    return head + request.content
