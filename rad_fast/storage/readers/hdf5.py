"""HDF5 files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .errors import library, reading
from .tensors import Arrays
from .wanted import Wanted, picked


class Hdf5(Arrays):
    """Data sets of an HDF5 file, in any of its groups. What lies in other files is not read."""

    expected = "an HDF5 file"

    def __init__(self, path: Path, wanted: Wanted) -> None:
        h5py = library("h5py", path)
        found: dict[str, Any] = {}

        def visit(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                found[name] = item

        with reading(path, self.expected):
            self.file = h5py.File(path, "r")
            self.file.visititems(visit)
            about = {
                name: (str(item.dtype.newbyteorder("=").name), tuple(item.shape or ())) for name, item in found.items()
            }
        arrays = []
        for name in picked(path, "data set", wanted, about):
            item = found[name]
            wanted.check(path, *about[name])
            with reading(path, self.expected):
                if item.external or item.is_virtual:
                    raise ValueError(f"{name} lies in other files")
                self.check_whole(name, item)
            arrays.append(item)
        super().__init__(path, arrays, wanted)
        if wanted.logits:
            self.say_unwritten()  # of the last chunk a part may never have been written

    def check_whole(self, name: str, item: Any) -> None:
        """What was never written would read as the fill value."""
        if item.chunks is None:
            there = item.id.get_storage_size()
            if there < item.size * item.dtype.itemsize:
                raise ValueError(f"{name} has {there} of {item.size * item.dtype.itemsize} bytes")
            return
        expected = 1
        for length, chunk in zip(item.shape, item.chunks, strict=True):
            expected *= -(-length // chunk)
        there = item.id.get_num_chunks()
        if there < expected:
            raise ValueError(f"{name} has {there} of {expected} chunks; those that are missing would read as zeros")
