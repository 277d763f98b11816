"""Writing one GGUF file: settings and tensors in, a file that appears whole or not at all."""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import gguf
    import numpy as np
    from numpy.typing import NDArray

    #: Bytes are rows that `eight_bit` packed.
    Tensor: TypeAlias = NDArray[np.float16] | NDArray[np.float32] | NDArray[np.uint8]

__all__ = ["Setting", "Tensor", "eight_bit", "unpack", "write"]

#: A whole number is written as an unsigned 32-bit one, which is what llama.cpp expects of every key used here.
Setting: TypeAlias = "str | bool | int | float | Sequence[str] | Sequence[int] | Sequence[float]"


def write(
    path: Path,
    architecture: str,
    settings: Mapping[str, Setting],
    tensors: Mapping[str, Tensor],
) -> None:
    """Write a GGUF file at `path`.

    It is written beside its place and moved there at the end, so that two processes can build it at once and nobody
    sees half a file. Raises `OSError` if the folder can't be written.
    """
    with _appearing(path) as temporary:
        _write(temporary, architecture, settings, tensors)


def unpack(packed: Path, path: Path) -> None:
    """Write the file that a gzip file holds to `path`, as `write` does."""
    with _appearing(path) as temporary:
        temporary.write_bytes(gzip.decompress(packed.read_bytes()))


@contextmanager
def _appearing(path: Path) -> Generator[Path]:
    """Give the path of a file that takes its place at the end, if nothing goes wrong."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def eight_bit(rows: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Pack rows into llama.cpp's Q8_0 (one scale per 32 values), about half the size of f16."""
    from gguf import GGMLQuantizationType
    from gguf.quants import quantize

    return quantize(rows, GGMLQuantizationType.Q8_0)


def _write(
    path: Path,
    architecture: str,
    settings: Mapping[str, Setting],
    tensors: Mapping[str, Tensor],
) -> None:
    from gguf import GGMLQuantizationType, GGUFWriter

    writer = GGUFWriter(path, architecture)
    try:
        for key, value in settings.items():
            _add(writer, key, value)
        for name, tensor in tensors.items():
            writer.add_tensor(name, tensor, raw_dtype=GGMLQuantizationType.Q8_0 if tensor.dtype == "uint8" else None)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _add(writer: gguf.GGUFWriter, key: str, value: Setting) -> None:
    match value:
        case bool():
            writer.add_bool(key, value)
        case str():
            writer.add_string(key, value)
        case int():
            writer.add_uint32(key, value)
        case float():
            writer.add_float32(key, value)
        case _:
            writer.add_array(key, value)
