"""Zarr arrays, version 2 and 3, in a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rad_fast import inputs

from .errors import chosen, library, reading

Array = npt.NDArray[Any]

# Those that only rearrange and compress numbers. Others (pickle among them) can run code that the file brings along.
CODECS = frozenset(
    {
        *("blosc", "bytes", "endian", "gzip", "sharding_indexed", "transpose", "zstd", "bz2", "lz4", "lzma", "zlib"),
        *("shuffle", "delta", "fixedscaleoffset", "quantize", "bitround"),
        *("crc32c", "adler32", "crc32", "fletcher32", "jenkins_lookup3"),
    }
)


class Zarr:
    """A Zarr array, or the one array of a group."""

    def __init__(self, path: Path, column: str | None) -> None:
        zarr = library("zarr", path)
        self.path = path
        with reading(path, "a Zarr array or group"):
            arrays = dict(described(path))
        usable = [name for name, about in arrays.items() if len(about.get("shape", ())) == 2]
        name = "" if column is None and "" in arrays else chosen(path, "array", column, usable, sorted(arrays))
        for codec in codecs(arrays[name]):
            if codec.rpartition(".")[2] not in CODECS:
                raise ValueError(f"{path}: expected numbers, plain or compressed, got the codec {codec!r}: never run")
        with reading(path, "a Zarr array or group"):
            self.array = zarr.open_array(store=str(path / name), mode="r")
            shape, dtype = self.array.shape, np.dtype(self.array.dtype)
        checked = inputs.matrix(str(path), np.empty((0, *shape[1:]), dtype.newbyteorder("=")), empty=True)
        self.rows, self.classes, self.dtype = int(shape[0]), checked.classes, checked.dtype
        with reading(path, "a Zarr array or group"):
            there, expected = self.array.nchunks_initialized, self.array.nchunks
        if there < expected:
            raise ValueError(
                f"{path}: expected {expected} chunks, got {there}: those that are missing would read as the fill "
                "value. Is it whole? (write_empty_chunks=True writes chunks of nothing but the fill value, too)"
            )

    def read(self, begin: int, end: int) -> Array:
        with reading(self.path, "a Zarr array or group"):
            rows: Array = np.asarray(self.array[begin:end])
        return rows


def described(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The metadata of the array at a path, named "", or of the arrays right below it."""
    for name, folder in [("", path), *((child.name, child) for child in sorted(path.iterdir()) if child.is_dir())]:
        for file in (folder / "zarr.json", folder / ".zarray"):
            if file.is_file():
                about = json.loads(file.read_text())
                if about.get("node_type", "array") == "array":
                    yield name, about
                break


def codecs(about: Any) -> Iterator[str]:
    """The names of all codecs in an array's metadata, those within others too."""
    if isinstance(about, list):
        for item in about:
            yield from codecs(item)
        return
    if not isinstance(about, dict):
        return
    named = about.get("id", about.get("name"))
    if isinstance(named, str):
        yield named
    nested = (about.get(key) for key in ("codecs", "index_codecs", "filters", "compressor", "configuration"))
    for inner in nested:
        yield from codecs(inner)
