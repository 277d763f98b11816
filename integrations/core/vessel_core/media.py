"""Makes message parts of pictures and sound: from a URL, data URL, base64, bytes, path object, binary file or PIL image.

A text is never opened as a file: it may come from a model or a user, who would read `/etc/passwd` with it. What a file
is called, or what a caller says it is, counts for nothing: its first bytes tell what it is.
"""

from __future__ import annotations

import base64
import binascii
import io
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Protocol, cast, runtime_checkable

from vessel_core.errors import InvalidMedia
from vessel_core.types import AudioPart, ContentPart, ImagePart, ImageURL

MAX_FILE = 20 * 1024 * 1024
"""The longest file that is read, in bytes."""

PASS_A_PATH = "A text is never opened as a file: pass pathlib.Path(…) for a file, bytes for its content."  # noqa: S105


@runtime_checkable
class Picture(Protocol):
    """What `PIL.Image.Image` is, as far as needed here."""

    @property
    def mode(self) -> str:
        """How its colours are kept, such as `RGB`."""
        ...

    def save(self, fp: Any, format: str) -> Any:  # noqa: A002 - PIL's name
        """Write the picture to a file object."""
        ...

    def convert(self, mode: str) -> Any:
        """Return the picture with other colours."""
        ...


@runtime_checkable
class BinaryFile(Protocol):
    """A file object opened in binary mode."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes."""
        ...


Media = str | bytes | bytearray | memoryview | os.PathLike[str] | BinaryFile
ImageSource = Media | Picture
Detail = Literal["auto", "low", "high"]

# ------------------------------------------------------------------------------------------------------------ pictures

_IMAGES: tuple[tuple[re.Pattern[bytes], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), kind)
    for pattern, kind in (
        (rb"\x89PNG\r\n\x1a\n", "image/png"),
        (rb"\xff\xd8\xff", "image/jpeg"),
        (rb"GIF8[79]a", "image/gif"),
        (rb"RIFF.{4}WEBP", "image/webp"),
        (rb"BM.{4}\0\0\0\0", "image/bmp"),
        (rb"II\*\0|MM\0\*", "image/tiff"),
        (rb".{4}ftypavi[fs]", "image/avif"),
        (rb".{4}ftyp(hei[cx]|mif1)", "image/heic"),
    )
)
_AUDIO: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"RIFF.{4}WAVE", re.DOTALL), "wav"),
    (re.compile(rb"ID3|\xff[\xe2\xe3\xf2\xf3\xfa\xfb]"), "mp3"),
)


def image_part(source: ImageSource, *, detail: Detail | None = None) -> ImagePart:
    """Return the message part of a picture.

    A text is an http(s) URL, which is passed on to the server, a `data:` URL, or base64. Raises `InvalidMedia` for
    what is no picture. `detail` goes to servers that know it.
    """
    image: ImageURL = {"url": _image_url(source)}
    if detail is not None:
        image["detail"] = detail
    return {"type": "image_url", "image_url": image}


def image_from_path(path: str | os.PathLike[str], *, root: str | os.PathLike[str] | None = None) -> ImagePart:
    """Return the message part of a picture in a file, which must lie below `root` if that is given.

    Links are followed before that is checked. Raises `InvalidMedia` for what is no picture, or above 20 MB.
    """
    return {"type": "image_url", "image_url": {"url": _image_url_of(_read_file(path, root), f"The file {path}")}}


def content(text: str, images: Iterable[ImageSource | ImagePart] = ()) -> list[ContentPart]:
    """Return the content of a message: the text first, if there is any, then the pictures."""
    parts: list[ContentPart] = [{"type": "text", "text": text}] if text else []
    parts.extend(image if isinstance(image, dict) else image_part(image) for image in images)
    return parts


def data_url_parts(url: str) -> tuple[str, str]:
    """Return the MIME type and the base64 of a `data:` URL, or of bare base64 of a picture."""
    if url[:5].lower() != "data:" and (url := _image_url(url))[:5] != "data:":
        raise InvalidMedia(f"{url[:60]!r} is the address of a picture, not its data.", hint="Fetch it, pass its bytes.")
    head, comma, data = url[5:].partition(",")
    kind, *rest = head.lower().split(";")
    if not comma or "base64" not in rest:
        raise InvalidMedia(
            f"The data URL {url[:60]!r} is not base64.", hint="It looks like data:image/png;base64,iVBO…"
        )
    return kind.strip(), data


def _image_url(source: ImageSource) -> str:
    if isinstance(source, str):
        return _image_url_of_text(source.strip())
    if isinstance(source, Picture):
        return _image_url_of(_saved(source), "The picture")
    return _image_url_of(_bytes_of(source), _name(source))


def _image_url_of_text(text: str) -> str:
    if re.match(r"https?://[^\s/]", text, re.IGNORECASE):
        return text
    if text[:5].lower() == "data:":
        return _image_url_of(_decoded(data_url_parts(text)[1], text), "The data URL")
    data = _decoded(text, text)
    if sniff_image(data) is None:
        raise InvalidMedia(f"{text[:60]!r} is no URL, data URL or base64 of a picture.", hint=PASS_A_PATH)
    return _image_url_of(data, "The text")


def _image_url_of(data: bytes, what: str) -> str:
    kind = sniff_image(data)
    if kind is None:
        raise InvalidMedia(
            f"{what} is no picture: it begins with {data[:12]!r}.", hint="Pass a PNG, JPEG, WebP or GIF."
        )
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def sniff_image(data: bytes) -> str | None:
    """Return the MIME type of a picture by its first bytes, `None` if they are no picture's."""
    return next((kind for pattern, kind in _IMAGES if pattern.match(data)), None)


def _saved(picture: Picture) -> bytes:
    """Return a PIL image as PNG; colours that PNG hasn't got are converted."""
    if picture.mode not in ("1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA"):
        picture = picture.convert("RGB")
    file = io.BytesIO()
    picture.save(file, format="PNG")
    return file.getvalue()


# --------------------------------------------------------------------------------------------------------------- sound


def audio_part(source: Media) -> AudioPart:
    """Return the message part of a sound, WAV or MP3: a `data:` URL, base64, bytes, a path object or a binary file."""
    data = _audio_of_text(source.strip()) if isinstance(source, str) else _bytes_of(source)
    kind = sniff_audio(data)
    if kind is None:
        what = "The text" if isinstance(source, str) else _name(source)
        raise InvalidMedia(f"{what} is no WAV or MP3: it begins with {data[:12]!r}.", hint="Convert it to WAV or MP3.")
    return {"type": "input_audio", "input_audio": {"data": base64.b64encode(data).decode(), "format": kind}}


def sniff_audio(data: bytes) -> str | None:
    """Return `wav` or `mp3` by the first bytes, `None` for anything else."""
    return next((kind for pattern, kind in _AUDIO if pattern.match(data)), None)


def _audio_of_text(text: str) -> bytes:
    if re.match(r"https?://", text, re.IGNORECASE):
        raise InvalidMedia(
            f"Sound can't be passed as a URL: {text[:60]!r}.", hint="Fetch it yourself and pass its bytes."
        )
    return _decoded(data_url_parts(text)[1] if text[:5].lower() == "data:" else text, text)


# --------------------------------------------------------------------------------------------------------------- bytes


def _decoded(data: str, text: str) -> bytes:
    """Return what base64 stands for; line breaks in it are taken, padding may be missing."""
    data = "".join(data.split())
    try:
        decoded = binascii.a2b_base64(data + "=" * (-len(data) % 4), strict_mode=True)
    except ValueError:
        decoded = b""
    if not decoded:
        raise InvalidMedia(f"{text[:60]!r} is no URL, data URL or base64.", hint=PASS_A_PATH)
    return decoded


def _bytes_of(source: Any) -> bytes:
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(cast("bytes", source))
    if isinstance(source, os.PathLike):
        return _read_file(cast("os.PathLike[str]", source), None)
    if isinstance(source, BinaryFile):
        return _within_limit(_read_from_here(source), _name(source))
    raise InvalidMedia(
        f"A {type(source).__name__} is no picture and no sound.",
        hint="Pass a URL, a data URL, base64, bytes, pathlib.Path(…), a binary file or a PIL image.",
    )


def _read_from_here(file: Any) -> Any:
    """Return what an open file still holds, and go back to where it was if it can: a message may be sent again."""
    if not getattr(file, "seekable", bool)():
        return file.read(MAX_FILE + 1)
    at = file.tell()
    data = file.read(MAX_FILE + 1)
    file.seek(at)
    return data


def _read_file(path: str | os.PathLike[str], root: str | os.PathLike[str] | None) -> bytes:
    try:
        real = Path(path).resolve(strict=True)
        if root is not None and not real.is_relative_to(Path(root).resolve(strict=True)):
            raise InvalidMedia(f"The file {path} is not below {root}.")
        if not real.is_file():
            raise InvalidMedia(f"{path} is no file.")
        with real.open("rb") as file:
            return _within_limit(file.read(MAX_FILE + 1), f"The file {path}")
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, InvalidMedia):
            raise
        raise InvalidMedia(f"The file {path} can't be read: {error}.") from error


def _within_limit(data: Any, what: str) -> bytes:
    if not isinstance(data, bytes):
        raise InvalidMedia(f"{what} gives text, not bytes.", hint='Open it in binary mode: open(path, "rb").')
    if len(data) > MAX_FILE:
        raise InvalidMedia(f"{what} is larger than {MAX_FILE // 1024 // 1024} MB.")
    return data


def _name(source: Any) -> str:
    if isinstance(source, os.PathLike):
        return f"The file {os.fspath(cast('os.PathLike[str]', source))}"
    return f"The {type(source).__name__}"
