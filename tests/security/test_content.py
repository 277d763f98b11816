"""S2: what a message holds makes this machine read no file and open no connection, unless its owner asked for that.

The content comes from anybody: a user, a web page an agent has read, a model. It is given to the core and to both faces
in the place where a picture stands, for a server that fetches pictures (llama.cpp) and one that doesn't (Ollama).
"""

from __future__ import annotations

import base64
import socket
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from llama_index.core.base.llms.types import ChatMessage, ImageBlock
from vessel_core.errors import InvalidMedia, VesselError
from vessel_core.media import MAX_FILE
from vessel_core.transport import pictures
from vessel_core.transport.pictures import fetch_picture, is_public

from tests.fake_server import FakeServer, Response, llamacpp_server, ollama_server, transcript
from tests.security.faces import FACES, PNG, Face, LangChain, LlamaIndex, opened


class Watched:
    """What this process did while it was watched: files opened, names looked up, connections begun."""

    def __init__(self) -> None:
        self.on = False
        self.files: list[str] = []
        self.connections: list[Any] = []
        self.lookups: list[str] = []

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.on and event == "open" and isinstance(arguments[0], str | bytes):
            self.files.append(str(arguments[0]))
        elif self.on and event in ("socket.connect", "socket.sendto"):
            self.connections.append(arguments[1])
        elif self.on and event == "socket.getaddrinfo":
            self.lookups.append(arguments[0].decode() if isinstance(arguments[0], bytes) else str(arguments[0]))


WATCHED = Watched()
sys.addaudithook(WATCHED.hear)  # which can't be taken back, only be switched off


@contextmanager
def watched() -> Generator[Watched]:
    """Watch this process, all threads of it."""
    WATCHED.files, WATCHED.connections, WATCHED.lookups, WATCHED.on = [], [], [], True
    try:
        yield WATCHED
    finally:
        WATCHED.on = False


class Trap(FakeServer):
    """A server on this machine that nobody has any business with; it gives a picture to whoever asks."""

    def __init__(self) -> None:
        super().__init__(otherwise=Response(headers={"content-type": "image/png"}, body=PNG))


@pytest.fixture
def trap() -> Iterator[Trap]:
    """An internal service."""
    with Trap() as server:
        yield server


#: `{file}` is a picture that can be read, `{link}` a symlink to it, `{port}` an internal service's.
PAYLOADS: dict[str, str] = {
    "a path": "{file}",
    "a path from here": "../../../../../../../../{file}",
    "a path below the home folder": "~/{file}",
    "a password file": "/etc/passwd",
    "a link": "{link}",
    "a process's environment": "/proc/self/environ",
    "a file URL": "file://{file}",
    "a file URL with a host": "file://localhost{file}#x.jpg",
    "a file URL in capitals": "FILE://{file}",
    "a file URL, quoted": "file:%2F%2F{file}",
    "a UNC path": "\\\\127.0.0.1\\share\\a.png",
    "a UNC path with slashes": "//127.0.0.1:{port}/a.png",
    "an internal service": "http://127.0.0.1:{port}/a.png",
    "localhost": "http://localhost:{port}/a.png",
    "an IPv4 address in IPv6": "http://[::ffff:127.0.0.1]:{port}/a.png",
    "an address as a number": "http://2130706433:{port}/a.png",
    "an address in hexadecimal": "http://0x7f.0.0.1:{port}/a.png",
    "no address": "http://0.0.0.0:{port}/a.png",
    "a cloud's metadata": "http://169.254.169.254/latest/meta-data/",
    "a user name that looks like a host": "http://example.com@127.0.0.1:{port}/a.png",
    "a host that looks like a user name": "http://127.0.0.1:{port}\\@example.com/a.png",
    "a name that is rebound": "http://rebound.example:{port}/a.png",
    "a data URL with a file": "data:image/png,{file}",
    "a data URL that lies": "data:image/png;base64," + base64.b64encode(b"root:x:0:0:root:/root:/bin/sh").decode(),
    "another scheme": "ftp://127.0.0.1:{port}/a.png",
    "a jar": "jar:http://127.0.0.1:{port}/a.png!/b",
}
SERVERS: dict[str, Callable[[], FakeServer]] = {
    "llamacpp": lambda: llamacpp_server(transcript("llamacpp/text.sse"), vision=True),
    "ollama": lambda: ollama_server(transcript("ollama/text.ndjson"), capabilities=("completion", "vision")),
}


def payload(name: str, folder: Path, trap: Trap) -> str:
    (file := folder / "canary.png").write_bytes(PNG)
    if not (link := folder / "link.png").exists():
        link.symlink_to(file)
    return PAYLOADS[name].replace("{file}", str(file)).replace("{link}", str(link)).replace("{port}", str(trap.port))


def shown(face: Face, made: Any, text: str) -> object:
    """Send a message; return what came of it, an error too."""
    try:
        return face.show(made, text)
    except VesselError as error:
        return error


@pytest.mark.parametrize("backend", SERVERS)
@pytest.mark.parametrize("name", PAYLOADS)
def test_content_makes_this_machine_read_and_ask_nothing(
    face: Face, backend: str, name: str, tmp_path: Path, trap: Trap
) -> None:
    text = payload(name, tmp_path, trap)
    with SERVERS[backend]() as server:
        with opened(face, backend, base_url=server.base_url, model="qwen3:8b", max_retries=0) as made:
            assert face.ask(made) is not None  # what is loaded at first use, is
            with watched() as seen:
                shown(face, made, text)
    assert seen.files == []
    assert set(seen.connections) <= {("127.0.0.1", server.port)}
    assert set(seen.lookups) <= {"127.0.0.1"}
    assert (trap.connections, trap.requests) == (0, [])
    for request in server.requests:
        assert base64.b64encode(PNG)[:24] not in request.body  # the file's bytes go nowhere


def test_the_three_faces_meet_at_least_twenty_payloads() -> None:
    assert len(PAYLOADS) >= 20
    assert len(FACES) == 3


@pytest.mark.parametrize("name", PAYLOADS)
def test_no_other_form_of_a_picture_reads_a_file_that_a_text_names(name: str, tmp_path: Path, trap: Trap) -> None:
    text = payload(name, tmp_path, trap)
    blocks: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": text},
        {"type": "image", "url": text},
        {"type": "image", "base64": text, "mime_type": "image/png"},
        {"type": "image", "source_type": "url", "url": text},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": text}},
        {"type": "image", "path": text},
        {"type": "image", "image": text},
        {"type": "file", "mime_type": "image/png", "base64": text},
        {"type": "file", "mime_type": "text/plain", "base64": text},
        {"type": "audio", "url": text},
        {"type": "input_audio", "input_audio": {"data": text, "format": "wav"}},
    ]
    chat, index = LangChain(), LlamaIndex()
    with SERVERS["llamacpp"]() as server, opened(chat, base_url=server.base_url, model="m") as model:
        with opened(index, base_url=server.base_url, model="m") as llm, watched() as seen:
            for block in blocks:
                outcome(model.invoke, [HumanMessage(content=[block])])
            outcome(llm.chat, [ChatMessage(role="user", blocks=[ImageBlock.model_construct(image=text.encode())])])
    assert [
        file for file in seen.files if "canary" in file or "link" in file or file.startswith(("/etc", "/proc"))
    ] == []
    assert set(seen.connections) <= {("127.0.0.1", server.port)}
    assert set(seen.lookups) <= {"127.0.0.1"}
    assert trap.connections == 0


def outcome(call: Callable[..., Any], *arguments: Any) -> object:
    """Return what a call returns or raises."""
    try:
        return call(*arguments)
    except VesselError as error:
        return error


# ------------------------------------------------------------------------------------------- pictures that are asked for


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Addresses of made-up hosts, one list a look-up, the last again and again; `looked` counts the look-ups."""
    known: dict[str, list[str]] = {}
    real = socket.getaddrinfo

    def look(host: Any, port: Any, *rest: Any, **named: Any) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if name not in known:
            return real(host, port, *rest, **named)
        address = known[name].pop(0) if len(known[name]) > 1 else known[name][0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", look)
    return known


@pytest.fixture
def web(names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """A server of the public internet, as far as `vessel_core` knows: `pictures.example`."""
    names["pictures.example"] = ["127.0.0.1"]
    monkeypatch.setattr(pictures, "is_public", "127.0.0.1".__eq__)
    with FakeServer({("GET", "/a.png"): Response(headers={"content-type": "text/plain"}, body=PNG)}) as server:
        yield server


def at(web: FakeServer, path: str = "/a.png") -> str:
    return f"http://pictures.example:{web.port}{path}"


@pytest.mark.parametrize("backend", SERVERS)
def test_a_picture_is_fetched_for_who_asked_for_that(face: Face, backend: str, web: FakeServer) -> None:
    with SERVERS[backend]() as server:
        options: dict[str, Any] = {"base_url": server.base_url, "model": "qwen3:8b", "api_key": "k-secret"}
        with opened(face, backend, fetch_image_urls=True, **options) as made:
            face.show(made, at(web))
        assert base64.b64encode(PNG) in b"".join(request.body for request in server.requests)
    (asked,) = web.requests
    assert (asked.method, asked.path, asked.headers["host"]) == ("GET", "/a.png", f"pictures.example:{web.port}")
    assert set(asked.headers) == {"host", "accept", "accept-encoding", "user-agent"}


async def test_a_picture_is_fetched_beside_a_running_loop(web: FakeServer) -> None:
    chat = LangChain()
    with SERVERS["llamacpp"]() as server:
        made = chat.make("llamacpp", base_url=server.base_url, model="m", fetch_image_urls=True)
        await made.ainvoke([HumanMessage(content=[{"type": "image", "url": at(web)}])])
        assert base64.b64encode(PNG) in server.requests[-1].body
        await made._async.aclose()  # pyright: ignore[reportPrivateUsage] - LangChain's classes have no close


@pytest.mark.parametrize(
    "name", [name for name, text in PAYLOADS.items() if text.lower().startswith("http") and "rebound" not in name]
)
def test_what_is_not_public_is_not_fetched_for_anybody(face: Face, name: str, tmp_path: Path, trap: Trap) -> None:
    text = payload(name, tmp_path, trap)
    with SERVERS["llamacpp"]() as server:
        with opened(face, base_url=server.base_url, model="m", fetch_image_urls=True) as made:
            assert isinstance(shown(face, made, text), InvalidMedia)
        assert server.asked("/v1/chat/completions") == []
    assert trap.connections == 0


def test_a_name_that_says_another_address_a_moment_later_gains_nothing(
    names: dict[str, list[str]], trap: Trap, monkeypatch: pytest.MonkeyPatch
) -> None:
    names["rebound.example"] = ["192.0.2.1", "127.0.0.1"]
    monkeypatch.setattr(pictures, "SECONDS", 0.2)
    monkeypatch.setattr(pictures, "is_public", "192.0.2.1".__eq__)
    with watched() as seen, pytest.raises(InvalidMedia):
        fetch_picture(f"http://rebound.example:{trap.port}/a.png")
    assert seen.connections == [("192.0.2.1", trap.port)]
    assert names["rebound.example"] == ["127.0.0.1"]  # it was looked up once
    assert trap.connections == 0


def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("93.184.216.34", "10.0.0.1")]

    def look(*_: Any, **__: Any) -> list[Any]:
        return both

    monkeypatch.setattr(socket, "getaddrinfo", look)
    with watched() as seen, pytest.raises(InvalidMedia, match="public internet"):
        fetch_picture("http://mixed.example/a.png")
    assert seen.connections == []


def test_a_redirect_on_the_same_host_is_followed_and_any_other_is_not(web: FakeServer, trap: Trap) -> None:
    def away(to: str) -> Response:
        return Response(302, {"location": to})

    web.routes[("GET", "/near")] = away("/a.png")
    assert fetch_picture(at(web, "/near")).body == PNG
    elsewhere = [
        f"http://127.0.0.1:{trap.port}/a.png",
        f"http://pictures.example:{trap.port}/a.png",
        f"http://other.example:{web.port}/a.png",
        f"https://pictures.example:{web.port}/a.png",
        "file:///etc/passwd",
        "https://pictures.example/a.png",
        "http://[",
        "",
    ]
    for to in elsewhere:
        web.routes[("GET", "/far")] = away(to)
        with pytest.raises(InvalidMedia, match="redirected"):
            fetch_picture(at(web, "/far"))
    assert trap.connections == 0
    web.routes[("GET", "/round")] = away("/round")
    with pytest.raises(InvalidMedia, match="redirected more than 3 times"):
        fetch_picture(at(web, "/round"))
    assert len(web.asked("/round")) == 4


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (Response.text("<svg/>", content_type="image/png"), "no picture"),
        (Response(headers={"content-encoding": "gzip"}, body=b"\x1f\x8b\x08"), "no picture"),
        (Response(body=b""), "no picture"),
        (Response(404, body=PNG), "answers 404"),
        (Response.hang_up("rst"), "can't be reached"),
        (Response(raw=b"SSH-2.0\r\n"), "can't be reached"),
        (Response(pieces=[PNG, *[bytes(1024 * 1024)] * 21]), f"larger than {MAX_FILE // 1024 // 1024} MB"),
    ],
)
def test_what_is_no_picture_is_refused_and_the_server_hears_nothing_of_it(
    web: FakeServer, response: Response, words: str
) -> None:
    web.otherwise = response
    with pytest.raises(InvalidMedia, match=words):
        fetch_picture(at(web, "/b"))


@pytest.mark.parametrize("response", [Response(keep_open=True, raw=b""), Response(pieces=[PNG], keep_open=True)])
def test_a_picture_that_takes_too_long_is_given_up(
    web: FakeServer, response: Response, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "SECONDS", 0.2)
    web.otherwise = response
    with pytest.raises(InvalidMedia, match="within"):
        fetch_picture(at(web, "/slow"))


def test_a_look_up_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def look(*_: Any, **__: Any) -> list[Any]:
        answered.wait(60)
        return []

    monkeypatch.setattr(pictures, "SECONDS", 0.1)
    monkeypatch.setattr(socket, "getaddrinfo", look)
    with pytest.raises(InvalidMedia, match="within"):
        fetch_picture("http://slow.example/a.png")
    answered.set()


def test_tls_is_asked_for_the_name_and_not_the_address(web: FakeServer) -> None:
    heard = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            connection, _ = listener.accept()
            with connection:
                heard.extend(connection.recv(4096))

        thread = threading.Thread(target=listen)
        thread.start()
        with pytest.raises(InvalidMedia, match="can't be reached"):
            fetch_picture(f"https://pictures.example:{listener.getsockname()[1]}/a.png")
        thread.join(5)
    assert b"pictures.example" in heard


def test_no_proxy_is_asked_for_a_picture(web: FakeServer, trap: Trap, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, trap.base_url)
    assert fetch_picture(at(web)).body == PNG
    assert trap.connections == 0


@pytest.mark.parametrize(
    "url",
    ["http://", "http://[", "ftp://pictures.example/", "http://ann:pw@pictures.example/", "http://a b/", "x" * 9999],
)
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    with watched() as seen, pytest.raises(InvalidMedia):
        fetch_picture(url)
    assert (seen.connections, seen.lookups) == ([], [])


NOT_PUBLIC = (
    *("127.0.0.1", "127.9.9.9", "0.0.0.0", "::1", "::"),
    *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "198.18.0.1", "fc00::1"),
    *(
        "169.254.169.254",
        "169.254.170.2",
        "fe80::1",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
    ),
    *("224.0.0.1", "239.255.255.250", "255.255.255.255", "240.0.0.1", "ff02::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1"),
    *("fec0::1", "3fff::1", "192.88.99.1", "2606:4700::5efe:7f00:1", "2606:4700::200:5efe:a00:1"),
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:0:7f00:1::1"),
)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_of_no_public_host_is_known_as_such(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_an_address_of_a_public_host_is_known_as_such(address: str) -> None:
    assert is_public(address)
