"""Logits in files and folders: one matrix, read in pieces, whatever it is stored as and however it is cut into shards.

A format is a class with the attributes of ``Stored``, in a file of this package that imports its library when a file of
that format is opened. ``open_shards`` finds the shards, in natural order, and joins them.
"""

from __future__ import annotations

import bisect
import glob
import hashlib
import importlib
import os
import re
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Stored(Protocol):
    """A matrix in a file; ``read`` gives consecutive rows, and is fastest where each call goes on from the last."""

    rows: int
    classes: int
    dtype: str

    def read(self, begin: int, end: int) -> Array: ...


class Format(NamedTuple):
    """How to open a kind of file: a module of this package, its class, and what tells such a file."""

    name: str
    module: str
    opener: str
    suffixes: tuple[str, ...]
    marks: tuple[str, ...] = ()  # of a folder that is one matrix: a file in it that tells so


FORMATS = (
    Format("NumPy", "tensors", "Npy", (".npy",)),
    Format("safetensors", "tensors", "SafeTensors", (".safetensors",)),
    Format("Parquet", "arrow", "Parquet", (".parquet", ".pq")),
    Format("Arrow", "arrow", "Arrow", (".arrow", ".feather", ".ipc")),
    Format("Zarr", "zarrays", "Zarr", (".zarr",), ("zarr.json", ".zarray", ".zgroup")),
    Format("Hugging Face dataset", "saved", "Saved", (), ("state.json", "dataset_dict.json")),
)
SUFFIXES = ", ".join(suffix for form in FORMATS for suffix in form.suffixes)


class Shards:
    """The rows of all shards, one after the other."""

    def __init__(self, paths: Sequence[Path], column: str | None = None) -> None:
        self.paths = tuple(paths)
        self.shards = [opened(path, column) for path in paths]
        first = self.shards[0]
        for path, shard in zip(paths, self.shards, strict=True):
            if shard.classes != first.classes:
                raise ValueError(f"{path}: expected {first.classes} columns as in {paths[0]}, got {shard.classes}")
            if shard.dtype != first.dtype:
                raise ValueError(f"{path}: expected {first.dtype} as in {paths[0]}, got {shard.dtype}")
        self.ends = list(accumulate(shard.rows for shard in self.shards))
        self.rows, self.classes, self.dtype = self.ends[-1], first.classes, first.dtype

    @property
    def row_bytes(self) -> int:
        return self.classes * (2 if self.dtype == "bfloat16" else np.dtype(self.dtype).itemsize)

    def read(self, begin: int, end: int) -> Array:
        """The rows from ``begin`` to ``end``; where they lie in one shard of a mapped file, nothing is copied."""
        parts: list[Array] = []
        number = bisect.bisect_right(self.ends, begin)
        while begin < end:
            start = self.ends[number] - self.shards[number].rows
            until = min(end, self.ends[number])
            if begin < until:
                parts.append(self.shards[number].read(begin - start, until - start))
                if len(parts[-1]) != until - begin:
                    raise ValueError(
                        f"{self.paths[number]}: expected {until - begin} rows from row {begin - start} on, got "
                        f"{len(parts[-1])}: is it whole?"
                    )
            begin, number = until, number + 1
        return parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else self.shards[0].read(0, 0)

    def described(self) -> list[dict[str, Any]]:
        """Every shard's name and rows, for a report: row i of the whole is in the first whose ``end`` is above i."""
        named = zip(self.paths, self.shards, self.ends, strict=True)
        return [{"name": path.name, "rows": shard.rows, "end": end} for path, shard, end in named]


def open_shards(given: Sequence[Path], *, column: str | None = None, follow_links: bool = False) -> Shards:
    """Open the matrix in files and folders, in the order given; a folder's and a pattern's shards in natural order.

    Parameters
    ----------
    given : files, folders that are one matrix (Zarr, a saved dataset), folders of shards, or patterns such as
        ``logits-*.npy``.
    column : which column, tensor or array of the files; needed where there are several.
    follow_links : whether symbolic links may lead out of a given folder.

    Raises
    ------
    ImportError : saying what installs the library that a format needs.
    OSError, ValueError : naming the file, what was expected and what it holds.
    """
    return Shards([shard for path in given for shard in found(Path(path), follow_links)], column)


def found(given: Path, follow_links: bool) -> list[Path]:
    """The shards that a path stands for."""
    if given.is_dir() and form_of(given) is None and given.suffix not in all_suffixes():
        inside = sorted((path for path in given.iterdir() if form_of(path) is not None), key=natural)
        if not inside:
            raise ValueError(f"{given}: expected a folder with files of logits ({SUFFIXES}), there is none in it")
        return of_one_format(given, [within(path, given, follow_links) for path in inside])
    if not given.exists() and not given.is_symlink() and glob.has_magic(str(given)):
        matched = sorted((Path(path) for path in glob.glob(str(given))), key=natural)
        if not matched:
            raise FileNotFoundError(f"{given}: expected files, nothing matches this pattern")
        return of_one_format(given, [within(path, path.parent, follow_links) for path in matched])
    return [within(given, None, follow_links)]


def of_one_format(given: Path, paths: list[Path]) -> list[Path]:
    names = {form.name: path for path in paths if (form := form_of(path)) is not None}
    if len(names) > 1:
        examples = " and ".join(path.name for path in names.values())
        raise ValueError(f"{given}: expected shards of one format, got {examples}; give a pattern such as DIR/*.npy")
    return paths


def within(path: Path, folder: Path | None, follow_links: bool) -> Path:
    """The path, if no link in it leads out of the folder that was given."""
    inner = list(files_of(path)) if path.is_dir() and form_of(path) is not None else []
    for candidate in [path, *inner] if folder is not None else inner:
        home = path if folder is None else folder
        if candidate.is_symlink() and not follow_links:
            target = Path(os.path.realpath(candidate))
            if not target.is_relative_to(os.path.realpath(home)):
                raise ValueError(
                    f"{candidate}: expected a file in {home}, got a symbolic link out of it; give the folder that it "
                    "leads to, or --follow-links (follow_links=True)"
                )
    return path


def files_of(folder: Path) -> list[Path]:
    """All files and links below a folder; links to folders are named and not entered."""
    result = []
    for base, folders, names in os.walk(folder):
        result += [Path(base, name) for name in names]
        result += [Path(base, name) for name in folders if os.path.islink(os.path.join(base, name))]
    return sorted(result)


def natural(path: Path) -> tuple[Any, ...]:
    """A key by which shard-2 comes before shard-10."""
    parts = re.split(r"(\d+)", str(path))
    return tuple((int(part), "") if at % 2 else (-1, part) for at, part in enumerate(parts)), str(path)


def all_suffixes() -> set[str]:
    return {suffix for form in FORMATS for suffix in form.suffixes}


def form_of(path: Path) -> Format | None:
    """The format of a path, if it is one: by its suffix, or by what is in the folder. Hidden files are none."""
    if path.name.startswith("."):
        return None
    for form in FORMATS:
        if path.is_dir() and any((path / mark).is_file() for mark in form.marks):
            return form
    return None if path.is_dir() and path.suffix != ".zarr" else by_suffix(path)


def by_suffix(path: Path) -> Format | None:
    return next((form for form in FORMATS if path.suffix.lower() in form.suffixes), None)


def opened(path: Path, column: str | None) -> Stored:
    """The matrix in one file, checked as far as it can be without reading it."""
    form = form_of(path) or FORMATS[0]  # of a file that says nothing the .npy reader says what it expected
    if not path.exists():
        raise FileNotFoundError(2, "No such file or directory", str(path))
    if by_suffix(path) is None and form is FORMATS[0] and not path.is_dir():
        form = by_magic(path)
    module = importlib.import_module(f"{__name__}.{form.module}")
    opener: Callable[[Path, str | None], Stored] = getattr(module, form.opener)
    return opener(path, column)


def by_magic(path: Path) -> Format:
    """The format of a file without a telling name, by its first bytes."""
    if not path.is_file():
        return FORMATS[0]
    with open(path, "rb") as file:
        head = file.read(6)
    return FORMATS[2] if head[:4] == b"PAR1" else FORMATS[3] if head == b"ARROW1" else FORMATS[0]


def fingerprint(path: Path) -> list[Any]:
    """What tells that a file or folder was changed: sizes and times of modification."""
    if not path.is_dir():
        about = path.stat()
        return [about.st_size, about.st_mtime_ns]
    digest, size = hashlib.blake2b(digest_size=16), 0
    for file in files_of(path):
        about = file.stat()
        size += about.st_size
        digest.update(f"{file.relative_to(path)}\0{about.st_size}\0{about.st_mtime_ns}\0".encode())
    return [size, digest.hexdigest()]
