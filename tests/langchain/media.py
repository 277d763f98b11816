"""Pictures and sound for the tests."""

from __future__ import annotations

import io
import wave

from PIL import Image


def picture(color: str) -> bytes:
    """Return a PNG of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (32, 32), color).save(file, format="PNG")
    return file.getvalue()


def silence() -> bytes:
    """Return a WAV of a tenth of a second."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(1600))
    return file.getvalue()
