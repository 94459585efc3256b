"""Zarr arrays, version 2 and 3, in a folder or in a zip archive."""

from __future__ import annotations

import itertools
import json
import math
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import library, reading
from .tensors import Arrays
from .wanted import Wanted, native, picked

Array = npt.NDArray[Any]
Files = dict[str, Callable[[int, int], bytes]]  # those below an array; how to read so many bytes from a place on
Grid = tuple[int, ...]

# Those that only rearrange and compress numbers. Others (pickle among them) can run code that the file brings along.
CODECS = frozenset(
    {
        *("blosc", "bytes", "endian", "gzip", "sharding_indexed", "transpose", "zstd", "bz2", "lz4", "lzma", "zlib"),
        *("shuffle", "delta", "fixedscaleoffset", "quantize", "bitround"),
        *("crc32c", "adler32", "crc32", "fletcher32", "jenkins_lookup3"),
    }
)
METADATA = ("zarr.json", ".zarray")
MOST = 1 << 28  # bytes of a shard's index: 16 million chunks in one file
MISSING = 2**64 - 1  # offset and size of a chunk that is not in its shard


class Zarr(Arrays):
    """A Zarr array, or the one array of a group."""

    expected = "a Zarr array or group"

    def __init__(self, path: Path, wanted: Wanted) -> None:
        self.zarr = library("zarr", path)
        with reading(path, self.expected):
            self.files = self.listed(path)
            arrays = dict(self.described())
            about = {name: (dtype_of(entry), tuple(entry.get("shape", ()))) for name, entry in arrays.items()}
        wanted = wanted if "" not in arrays else wanted._replace(column=None)
        opened = []
        for name in picked(path, "array", wanted, about):
            for codec in codecs(arrays[name]):
                if codec.rpartition(".")[2] not in CODECS:
                    raise ValueError(
                        f"{path}: expected numbers, plain or compressed, got the codec {codec!r}: never run"
                    )
            wanted.check(path, *about[name])
            with reading(path, self.expected):
                self.check_whole(path, name, arrays[name])
                array = self.zarr.open_array(store=self.store(path), path=name, mode="r")
                if native(np.dtype(array.dtype)) != about[name][0] or tuple(array.shape) != about[name][1]:
                    raise ValueError(f"got {array.dtype} {array.shape}")
            opened.append(array)
        super().__init__(path, opened, wanted)

    def read(self, begin: int, end: int) -> Array:
        return np.asarray(super().read(begin, end))

    def store(self, path: Path) -> Any:
        return str(path)

    def listed(self, path: Path) -> Files:
        """Every file below, by its name with slashes."""
        found: Files = {}
        for base, _, names in os.walk(path, followlinks=True):
            for name in names:
                place = Path(base, name)
                found[place.relative_to(path).as_posix()] = bytes_of(place)
        return found

    def described(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The metadata of the array itself, named "", or of the arrays right below it."""
        for file in sorted(self.files):
            folder, _, name = file.rpartition("/")
            if name in METADATA and "/" not in folder:
                about = json.loads(self.files[file](0, -1))
                if about.get("node_type", "array") == "array":
                    yield folder, about

    def check_whole(self, path: Path, name: str, about: dict[str, Any]) -> None:
        """Every chunk must be there: what is not would read as the fill value. Only what is there is walked."""
        shape = [int(length) for length in about["shape"]]
        outer, inner = chunks_of(about)
        if len(outer) != len(shape) or min([*outer, *(inner or outer)]) < 1 or min(shape) < 0:
            raise ValueError("its chunks do not fit its shape")
        grid = [-(-length // chunk) for length, chunk in zip(shape, outer, strict=True)]
        start = f"{name}/" if name else ""
        keys = {
            key: file for file in self.files if file.startswith(start) and (key := place_of(file[len(start) :], about))
        }
        inside = {key: file for key, file in keys.items() if all(at < n for at, n in zip(key, grid, strict=False))}
        there, expected = len(inside), math.prod(grid)
        if there == expected and inner is not None:
            there, expected = 0, math.prod(-(-length // chunk) for length, chunk in zip(shape, inner, strict=True))
            codec = sharding(about)
            for key, file in inside.items():
                there += chunks_in_shard(self.files[file], key, shape, outer, inner, codec)
        if there < expected:
            raise ValueError(
                f"expected {expected} chunks, got {there}: those that are missing would read as the fill value; "
                "write_empty_chunks=True writes chunks of nothing but the fill value, too"
            )


class Zipped(Zarr):
    """The same in a zip archive."""

    expected = "a zip archive of a Zarr array or group"

    def store(self, path: Path) -> Any:
        return self.zarr.storage.ZipStore(path, mode="r")

    def listed(self, path: Path) -> Files:
        archive = zipfile.ZipFile(path)

        def member(name: str) -> Callable[[int, int], bytes]:
            def read(begin: int, size: int) -> bytes:
                with archive.open(name) as file:
                    file.seek(begin, os.SEEK_SET if begin >= 0 else os.SEEK_END)
                    return file.read(size)

            return read

        return {name: member(name) for name in archive.namelist() if not name.endswith("/")}


def bytes_of(path: Path) -> Callable[[int, int], bytes]:
    def read(begin: int, size: int) -> bytes:
        with open(path, "rb") as file:
            if begin < 0 and -begin > os.fstat(file.fileno()).st_size:
                return b""
            file.seek(begin, os.SEEK_SET if begin >= 0 else os.SEEK_END)
            return file.read(size)

    return read


def dtype_of(about: dict[str, Any]) -> str:
    kind = about.get("data_type", about.get("dtype"))
    try:
        return native(np.dtype(kind))
    except TypeError:
        return str(kind)


def sharding(about: dict[str, Any]) -> dict[str, Any] | None:
    for codec in about.get("codecs", ()):
        if codec.get("name") == "sharding_indexed":
            configuration: dict[str, Any] = codec["configuration"]
            return configuration
    return None


def chunks_of(about: dict[str, Any]) -> tuple[list[int], list[int] | None]:
    """The shape of what is a file, and of the chunks within it where there are several."""
    if "chunks" in about:
        return [int(length) for length in about["chunks"]], None
    outer = [int(length) for length in about["chunk_grid"]["configuration"]["chunk_shape"]]
    codec = sharding(about)
    return outer, None if codec is None else [int(length) for length in codec["chunk_shape"]]


def place_of(file: str, about: dict[str, Any]) -> Grid | None:
    """Where in the grid the chunk in a file is; None for files that are none."""
    encoding = about.get("chunk_key_encoding", {"name": "v2"})
    if encoding["name"] == "default":
        separator = encoding.get("configuration", {}).get("separator", "/")
        if not file.startswith(f"c{separator}"):
            return None
        file = file[2:]
    else:
        separator = encoding.get("configuration", {}).get("separator", about.get("dimension_separator", "."))
    parts = file.split(separator)
    if len(parts) != len(about["shape"]) or not all(part.isdecimal() and part.isascii() for part in parts):
        return None
    return tuple(int(part) for part in parts)


def chunks_in_shard(
    read: Callable[[int, int], bytes],
    key: Grid,
    shape: Sequence[int],
    outer: Sequence[int],
    inner: Sequence[int],
    codec: Any,
) -> int:
    """How many chunks within the array are in a shard, by its index: offset and size of each, as 64-bit integers."""
    names = [entry["name"] for entry in codec.get("index_codecs", ())]
    if not set(names) <= {"bytes", "crc32c"} or any(
        entry["name"] == "bytes" and entry.get("configuration", {}).get("endian") != "little"
        for entry in codec.get("index_codecs", ())
    ):
        raise ValueError(f"the index of its shards is stored by {', '.join(names)}: it cannot be checked")
    counts = [a // b for a, b in zip(outer, inner, strict=True)]
    size = 16 * math.prod(counts)
    begin = 0 if codec.get("index_location", "end") == "start" else -(size + 4 * names.count("crc32c"))
    data = read(begin, min(size, MOST))
    if len(data) < size:
        raise ValueError(f"a shard has no room for its index of {size} bytes")
    index = np.frombuffer(data, "<u8").reshape(*counts, 2)
    within = tuple(
        slice(0, min(count, max(0, -(-(length - at * whole) // part))))
        for count, length, at, whole, part in zip(counts, shape, key, outer, inner, strict=True)
    )
    return int(np.count_nonzero((index[within] != MISSING).any(axis=-1)))


def codecs(about: Any) -> Iterator[str]:
    """The names of all codecs in an array's metadata, those within others too."""
    if isinstance(about, list):
        yield from itertools.chain.from_iterable(codecs(item) for item in about)
        return
    if not isinstance(about, dict):
        return
    named = about.get("id", about.get("name"))
    if isinstance(named, str):
        yield named
    nested = (about.get(key) for key in ("codecs", "index_codecs", "filters", "compressor", "configuration"))
    for inner in nested:
        yield from codecs(inner)
