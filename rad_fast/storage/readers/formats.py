"""The formats that are read: how a file of each is told, and which class opens it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Format(NamedTuple):
    """How to open a kind of file: a module of this package, its class, and what tells such a file."""

    name: str
    module: str
    opener: str
    suffixes: tuple[str, ...]
    marks: tuple[str, ...] = ()  # of a folder that is one matrix: a file in it that tells so
    usual: bool = True  # whether such files in a folder are shards where others are, too: model.pt is not


FORMATS = (
    Format("NumPy", "tensors", "Npy", (".npy",)),
    Format("safetensors", "tensors", "SafeTensors", (".safetensors",)),
    Format("Parquet", "arrow", "Parquet", (".parquet", ".pq")),
    Format("Arrow", "arrow", "Arrow", (".arrow", ".feather", ".ipc")),
    Format("Zarr", "zarrays", "Zarr", (".zarr",), ("zarr.json", ".zarray", ".zgroup")),
    Format("Hugging Face dataset", "saved", "Saved", (), ("state.json", "dataset_dict.json")),
    Format("NumPy archive", "archives", "Npz", (".npz",), usual=False),
    Format("HDF5", "hdf5", "Hdf5", (".h5", ".hdf5"), usual=False),
    Format("torch", "archives", "Torch", (".pt", ".pth"), usual=False),
    Format("CSV", "text", "Csv", (".csv",), usual=False),
    Format("Zarr in a zip archive", "zarrays", "Zipped", (".zip",), usual=False),
)
SUFFIXES = ", ".join(suffix for form in FORMATS for suffix in form.suffixes)


def form_of(path: Path) -> Format | None:
    """The format of a path, if it is one: by its suffix, or by what is in the folder. Hidden files are none."""
    if path.name.startswith("."):
        return None
    if not path.is_dir():
        return by_suffix(path)
    for form in FORMATS:
        if any((path / mark).is_file() for mark in form.marks):
            return form
    return by_suffix(path) if path.suffix == ".zarr" else None


def by_suffix(path: Path) -> Format | None:
    return next((form for form in FORMATS if path.suffix.lower() in form.suffixes), None)


def by_magic(path: Path) -> Format | None:
    """The format of a file without a telling name, by its first bytes."""
    if not path.is_file():
        return FORMATS[0]
    with open(path, "rb") as file:
        head = file.read(8)
    named = {b"PAR1": "Parquet", b"ARRO": "Arrow", b"\x89HDF": "HDF5", b"\x93NUM": "NumPy"}.get(head[:4])
    return next((form for form in FORMATS if form.name == named), None)
