"""How pictures and sound become message parts, and what is refused."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from vessel_core import media
from vessel_core.errors import InvalidMedia
from vessel_core.media import audio_part, content, data_url_parts, image_from_path, image_part

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PNG_URL = "data:image/png;base64," + base64.b64encode(PNG).decode()
HEADS = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff\xe0",
    "image/gif": b"GIF89a",
    "image/webp": b"RIFF\x24\x00\x00\x00WEBPVP8 ",
    "image/bmp": b"BM\x46\x00\x00\x00\x00\x00\x00\x00",
    "image/tiff": b"II*\x00",
    "image/avif": b"\x00\x00\x00\x20ftypavif",
    "image/heic": b"\x00\x00\x00\x18ftypheic",
}
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt "
MP3 = b"ID3\x04\x00"


def url(source: Any) -> str:
    return image_part(source)["image_url"]["url"]


@pytest.mark.parametrize("kind", HEADS)
def test_what_a_picture_is_is_read_from_its_first_bytes(kind: str) -> None:
    assert data_url_parts(url(HEADS[kind])) == (kind, base64.b64encode(HEADS[kind]).decode())


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, io.BytesIO])
def test_a_picture_may_come_as_bytes_of_any_sort(make: Any) -> None:
    assert url(make(PNG)) == PNG_URL


def test_an_open_file_is_read_from_where_it_stands_each_time() -> None:
    file = io.BytesIO(b"head" + PNG)
    file.seek(4)
    assert url(file) == url(file) == PNG_URL


def test_what_can_only_be_read_once_is_read() -> None:
    read, write = os.pipe()
    os.write(write, PNG)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        assert url(file) == PNG_URL


@pytest.mark.parametrize(
    "address", ["https://example.com/a.png", "http://localhost:8000/a?b=c", "HTTPS://EXAMPLE.COM/A"]
)
def test_an_address_is_passed_on(address: str) -> None:
    assert url(address) == address


@pytest.mark.parametrize(
    "text",
    [
        PNG_URL,
        "DATA:image/png;base64," + base64.b64encode(PNG).decode(),
        "data:image/png;charset=utf-8;base64," + base64.b64encode(PNG).decode(),
        base64.b64encode(PNG).decode(),
        base64.b64encode(PNG).decode().rstrip("="),
        base64.encodebytes(PNG).decode(),
        "  " + base64.b64encode(PNG).decode() + "\n",
    ],
)
def test_a_data_url_and_base64_are_read_as_they_are_written(text: str) -> None:
    assert url(text) == PNG_URL


def test_what_a_data_url_says_it_is_counts_for_nothing() -> None:
    assert url("data:image/jpeg;base64," + base64.b64encode(PNG).decode()) == PNG_URL


@pytest.mark.parametrize(
    "text",
    [
        "picture.png",
        "/etc/passwd",
        "file:///etc/passwd",
        "~/a.png",
        "",
        "ftp://example.com/a.png",
        "http://",
        "aGVsbG8gd29ybGQ=",
        "data:image/png,raw",
        "data:image/png;base64,???",
        "data:image/png;base64,",
        "data:image/svg+xml;base64,PHN2Zz4=",
        "data:",
    ],
)
def test_a_text_that_is_no_picture_is_refused(text: str) -> None:
    with pytest.raises(InvalidMedia):
        image_part(text)


def test_a_text_is_never_opened_as_a_file(tmp_path: Path) -> None:
    file = tmp_path / "abcd"  # also a base64 text
    file.write_bytes(PNG)
    for name in (str(file), os.path.relpath(file)):
        with pytest.raises(InvalidMedia, match=r"pathlib\.Path"):
            image_part(name)
    assert url(file) == PNG_URL


@pytest.mark.parametrize("source", [b"", b"hello", b"<svg/>", b"%PDF-1.7", WAV])
def test_bytes_that_are_no_picture_are_refused(source: bytes) -> None:
    with pytest.raises(InvalidMedia, match="is no picture"):
        image_part(source)


@pytest.mark.parametrize("source", [7, None, object(), ["a"]])
def test_anything_else_is_refused(source: Any) -> None:
    with pytest.raises(InvalidMedia, match="is no picture and no sound"):
        image_part(source)


def test_a_file_opened_as_text_is_refused() -> None:
    with pytest.raises(InvalidMedia, match="binary mode"):
        image_part(io.StringIO("a"))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1", "CMYK", "YCbCr", "F"])
def test_a_pil_image_becomes_png(mode: str) -> None:
    data = base64.b64decode(data_url_parts(url(Image.new(mode, (2, 3))))[1])
    with Image.open(io.BytesIO(data)) as read:
        assert (read.format, read.size) == ("PNG", (2, 3))


def test_a_long_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "MAX_FILE", len(PNG))
    file = tmp_path / "a.png"
    file.write_bytes(PNG)
    assert url(file) == PNG_URL
    file.write_bytes(PNG + b"x")
    for source in (file, io.BytesIO(PNG + b"x")):
        with pytest.raises(InvalidMedia, match="larger than"):
            image_part(source)


def test_what_is_no_readable_file_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "a.png"
    text.write_text("no picture")
    for path in (tmp_path, tmp_path / "none.png", text, Path("a\0b")):
        with pytest.raises(InvalidMedia):
            image_part(path)


def test_a_path_as_text_is_opened_only_by_the_function_that_says_so(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(PNG)
    assert image_from_path(str(file))["image_url"]["url"] == PNG_URL


def test_a_file_must_lie_below_the_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (inside := root / "a.png").write_bytes(PNG)
    (outside := tmp_path / "b.png").write_bytes(PNG)
    (link := root / "link.png").symlink_to(outside)
    assert image_from_path(inside, root=root)["image_url"]["url"] == PNG_URL
    for path in (outside, link, root / ".." / "b.png"):
        with pytest.raises(InvalidMedia, match="not below"):
            image_from_path(path, root=root)


def test_detail_is_kept() -> None:
    assert image_part(PNG, detail="low") == {"type": "image_url", "image_url": {"url": PNG_URL, "detail": "low"}}


@pytest.mark.parametrize(("data", "kind"), [(WAV, "wav"), (MP3, "mp3"), (b"\xff\xfb\x90\x00", "mp3")])
def test_what_a_sound_is_is_read_from_its_first_bytes(data: bytes, kind: str) -> None:
    encoded = base64.b64encode(data).decode()
    for source in (data, encoded, f"data:audio/x;base64,{encoded}", io.BytesIO(data)):
        assert audio_part(source) == {"type": "input_audio", "input_audio": {"data": encoded, "format": kind}}


@pytest.mark.parametrize(
    "source", [PNG, b"", "https://example.com/a.wav", "a.wav", "fLaC", base64.b64encode(PNG).decode()]
)
def test_what_is_no_sound_is_refused(source: str | bytes) -> None:
    with pytest.raises(InvalidMedia):
        audio_part(source)


def test_a_sound_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(WAV)
    assert audio_part(file)["input_audio"]["format"] == "wav"
    file.write_bytes(b"no")
    with pytest.raises(InvalidMedia, match=r"a\.wav"):
        audio_part(file)


def test_content_is_the_text_and_then_the_pictures() -> None:
    picture = image_part(PNG)
    assert content("Look", [PNG, picture]) == [{"type": "text", "text": "Look"}, picture, picture]
    assert content("", [PNG]) == [picture]
    assert content("Hi") == [{"type": "text", "text": "Hi"}]


@pytest.mark.parametrize("text", ["data:image/png,x", "data:image/png;base64", "data:"])
def test_a_data_url_that_is_not_base64_is_refused(text: str) -> None:
    with pytest.raises(InvalidMedia, match="not base64"):
        data_url_parts(text)


def test_a_refusal_shows_little_of_what_it_refuses() -> None:
    with pytest.raises(InvalidMedia) as caught:
        image_part("x" * 100_000)
    assert len(str(caught.value)) < 400


@given(st.text() | st.binary())
def test_any_text_or_bytes_is_a_picture_or_refused(source: str | bytes) -> None:
    for make in (image_part, audio_part):
        try:
            assert make(source)["type"]
        except InvalidMedia:
            continue
