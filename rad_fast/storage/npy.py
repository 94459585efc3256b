"""Files: .npy arrays opened without reading them, and outputs that appear whole or not at all."""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

Array = npt.NDArray[Any]

MAGIC = b"\x93NUMPY"
ZIP_MAGIC = b"PK"
READABLE = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}  # (3, 0) holds named fields only


def open_npy(path: Path, *, growing: bool = False) -> Array:
    """The array of a .npy file, mapped into memory read-only: what is never looked at is never read.

    Nothing in the file is ever executed. Two-byte void elements are how NumPy stores the bfloat16 of ml_dtypes: such an
    array comes back as bfloat16 where that package is installed. ``growing``: there may be more in it than its header
    says.

    Raises
    ------
    OSError : where there is no such file, or it cannot be read.
    ValueError : naming the file, what was expected and what it holds.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ValueError(f"{path}: expected a file that can be mapped into memory, got a pipe or a device")
    with open(path, "rb") as file:
        magic = file.read(len(MAGIC))
        if magic != MAGIC:
            raise ValueError(f"{path}: expected a .npy file as numpy.save writes it, got {described(magic)}")
        file.seek(0)
        try:
            shape, fortran, dtype = READABLE[npy.read_magic(file)](file)
        except Exception as error:  # whatever a broken header makes NumPy's parser raise
            raise ValueError(f"{path}: expected a .npy file, its header cannot be read ({error})") from error
        offset, size = file.tell(), os.fstat(file.fileno()).st_size
    if dtype.hasobject:
        raise ValueError(f"{path}: expected numbers, got Python objects (dtype {dtype}), which are never loaded")
    needed = offset + math.prod(shape) * dtype.itemsize
    if not growing and 0 <= needed < size and min(shape, default=0) >= 0:
        raise ValueError(
            f"{path}: expected {needed} bytes for shape {shape} of {dtype}, got {size}: the rest would be left out; "
            "if several arrays were saved one after the other, save them as one"
        )
    if min(shape, default=0) < 0 or size < needed:
        raise ValueError(f"{path}: expected {needed} bytes for shape {shape} of {dtype}, got {size}; is it complete?")
    try:
        array = np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape, order="F" if fortran else "C")
    except (OverflowError, ValueError) as error:  # an empty array with an impossible dimension
        raise ValueError(f"{path}: expected an array that fits into memory, got shape {shape} ({error})") from error
    return array.view(bfloat16(path)) if dtype == np.dtype("V2") else array


def described(magic: bytes) -> str:
    if not magic:
        return "an empty file"
    if magic.startswith(ZIP_MAGIC):
        return "a zip archive, perhaps .npz: save the one array with numpy.save"
    return f"one that begins with {magic!r}"


def bfloat16(path: Path) -> Any:
    try:
        return importlib.import_module("ml_dtypes").bfloat16
    except ImportError as error:
        raise ValueError(
            f"{path}: expected float64, float32 or float16, got two-byte void elements; if they are bfloat16, "
            "pip install ml_dtypes, or save float16 or float32"
        ) from error


def write_npy(array: Array) -> Callable[[IO[bytes]], None]:
    """What writes ``array`` as .npy, for ``write_together``."""

    def write(file: IO[bytes]) -> None:
        whole = np.ascontiguousarray(array)
        npy.write_array_header_1_0(file, npy.header_data_from_array_1_0(whole))
        # Not numpy.save: on a full disk it says how many elements were written, and not why no more were.
        file.write(whole.data.cast("B") if whole.size else b"")

    return write


def write_text(text: str) -> Callable[[IO[bytes]], None]:
    """What writes ``text`` as UTF-8, for ``write_together``."""

    def write(file: IO[bytes]) -> None:
        file.write(text.encode())

    return write


def check_writable(path: Path) -> None:
    """Raise OSError where a file could not be written: better before the work than after it."""
    if path.is_dir():
        raise IsADirectoryError(f"{path}: expected a place for a file, got a directory")
    parent = path.absolute().parent
    if not parent.is_dir():
        raise FileNotFoundError(f"{path}: expected an existing directory to write to, {path.parent} is not one")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise PermissionError(f"{path}: expected a writable directory, {path.parent} is not")


def write_together(writers: Mapping[Path, Callable[[IO[bytes]], None]]) -> None:
    """Write files that belong together: in the end all are new, or all are as they were.

    Each is written beside its place and flushed to the disk; only when all are whole are they renamed, one after the
    other. Where a renaming fails those before it are taken back.
    """
    beside: dict[Path, Path] = {}
    try:
        for path, write in writers.items():
            place = Path(os.path.realpath(path))  # a link stays one: its target is replaced
            beside[place] = unused(place)
            with naming(path), open(beside[place], "xb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
        rename_together(beside)
    finally:
        for leftover in beside.values():
            leftover.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """An error of writing, a full disk say, with the name of the file: the system tells none."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(path)):
            raise
        raise OSError(error.errno, error.strerror or os.strerror(error.errno), str(path)) from error


def rename_together(beside: Mapping[Path, Path]) -> None:
    """Rename every file to its place, or none."""
    before: dict[Path, Path | None] = {}
    try:
        for place, new in beside.items():
            old = kept(place)
            try:
                os.replace(new, place)
            except BaseException:
                discard(old)
                raise
            before[place] = old
    except BaseException:
        for place, old in before.items():
            if old is None:
                place.unlink()
            else:
                os.replace(old, place)
        raise
    for old in before.values():
        discard(old)


def kept(place: Path) -> Path | None:
    """A second name for the file at ``place``, if there is one: a link, or a copy where there are no links."""
    if not place.exists():
        return None
    old = unused(place)
    try:
        os.link(place, old)
    except OSError:
        try:
            shutil.copy2(place, old)
        except BaseException:
            discard(old)
            raise
    return old


def discard(path: Path | None) -> None:
    if path is not None:
        path.unlink(missing_ok=True)


def unused(place: Path) -> Path:
    """A name nobody uses, in the same directory: only within a file system is renaming one step."""
    return place.with_name(f".rad-fast-{secrets.token_hex(6)}.tmp")
