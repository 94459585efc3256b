"""Archives of arrays by name: .npz of NumPy and .pt of torch."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from rad_fast.storage.npy import READABLE, bfloat16

from .errors import library, reading
from .tensors import Arrays
from .wanted import Wanted, picked

Array = npt.NDArray[Any]

LOCAL, LENGTHS = 30, 26  # bytes of a zip archive's local header, and where in it the lengths of name and extra stand


class Npz(Arrays):
    """Arrays of a .npz file: mapped into memory where they are stored as they are, else unpacked as they are read."""

    expected = "a .npz file"

    def __init__(self, path: Path, wanted: Wanted) -> None:
        with reading(path, self.expected):
            archive = zipfile.ZipFile(path)
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            heads = {name: Head(archive, info) for name, info in members.items() if info.filename.endswith(".npy")}
        about = {name: (head.named, head.shape) for name, head in heads.items()}
        arrays: list[Any] = []
        for name in picked(path, "array", wanted, about):
            head = heads[name]
            wanted.check(path, *about[name])
            if head.named == "bfloat16":
                head.dtype = np.dtype(bfloat16(path))
            stored = members[name].compress_type == zipfile.ZIP_STORED
            with reading(path, self.expected):
                arrays.append(head.mapped(path, members[name]) if stored and head.size else Packed(archive, name, head))
        super().__init__(path, arrays, wanted)


class Head:
    """The header of an array in the archive, checked against the bytes that are there."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        with archive.open(info) as file:
            start = file.read(min(info.file_size, 1 << 16))
        head = io.BytesIO(start)
        self.shape, self.fortran, self.dtype = READABLE[npy.read_magic(head)](head)
        self.offset = head.tell()
        self.size = int(np.prod([int(length) for length in self.shape], dtype=object)) * self.dtype.itemsize
        void = self.dtype == np.dtype("V2")  # how NumPy stores the bfloat16 of ml_dtypes
        self.named = "bfloat16" if void else self.dtype.newbyteorder("=").name
        if self.dtype.hasobject:
            raise ValueError("it holds Python objects, which are never loaded")
        if min(self.shape, default=0) < 0 or self.offset + self.size != info.file_size:
            raise ValueError(f"{info.filename} has {info.file_size} bytes, its header says {self.offset + self.size}")

    def mapped(self, path: Path, info: zipfile.ZipInfo) -> Array:
        with open(path, "rb") as file:
            file.seek(info.header_offset + LENGTHS)
            name, extra = (int.from_bytes(file.read(2), "little") for _ in range(2))
        offset = info.header_offset + LOCAL + name + extra + self.offset
        order: Any = "F" if self.fortran else "C"
        return np.memmap(path, self.dtype, "r", offset, self.shape, order)


class Packed:
    """A compressed array: unpacked from its beginning on, as rows are asked for one after the other."""

    def __init__(self, archive: zipfile.ZipFile, name: str, head: Head) -> None:
        self.archive, self.name, self.head = archive, name, head
        self.shape, self.dtype = head.shape, head.dtype
        self.row = head.size // head.shape[0] if head.shape[0] else 0
        self.file: Any = None
        self.at = 0
        self.whole: Array | None = None

    def __getitem__(self, part: slice) -> Array:
        begin, end = part.start, max(part.start, part.stop)
        if self.head.fortran and len(self.shape) > 1:
            if self.whole is None:
                self.whole = self.decoded(self.unpacked(0, self.head.size), order="F")
            return self.whole[begin:end]
        return self.decoded(self.unpacked(begin * self.row, (end - begin) * self.row), rows=end - begin)

    def decoded(self, data: bytes, rows: int | None = None, order: Any = "C") -> Array:
        shape = self.shape if rows is None else (rows, *self.shape[1:])
        return np.frombuffer(data, self.dtype).reshape(shape, order=order)

    def unpacked(self, begin: int, count: int) -> bytes:
        if self.file is None or begin < self.at:
            self.file, self.at = self.archive.open(f"{self.name}.npy"), 0
            self.file.read(self.head.offset)
        while self.at < begin:
            self.at += len(self.file.read(min(1 << 20, begin - self.at)) or self.missing())
        data: bytes = self.file.read(count)
        self.at += len(data)
        if len(data) != count:
            self.missing()
        return data

    def missing(self) -> bytes:
        raise ValueError(f"{self.name}.npy ends too early")


class Torch(Arrays):
    """A tensor, or a dictionary of tensors, that torch.save wrote; mapped into memory. No code in it is run."""

    expected = "tensors that torch.save wrote, and nothing else"

    def __init__(self, path: Path, wanted: Wanted) -> None:
        torch = library("torch", path)
        with reading(path, self.expected):
            try:
                held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            except RuntimeError:  # of an older form, which cannot be mapped
                held = torch.load(path, map_location="cpu", weights_only=True)
        if isinstance(held, torch.Tensor):
            held = {wanted.column or "": held}
        if not isinstance(held, dict):
            raise ValueError(f"{path}: expected a tensor or a dictionary of tensors, got {type(held).__name__}")
        tensors = {str(name): tensor for name, tensor in held.items() if isinstance(tensor, torch.Tensor)}
        about = {name: (str(t.dtype).removeprefix("torch."), tuple(t.shape)) for name, t in tensors.items()}
        arrays = []
        for name in picked(path, "tensor", wanted, about):
            wanted.check(path, *about[name])
            tensor = tensors[name].detach()
            bits = tensor.dtype == torch.bfloat16
            with reading(path, "dense tensors"):
                array = (tensor.view(torch.int16) if bits else tensor).numpy()
            arrays.append(array.view(bfloat16(path)) if bits else array)
        super().__init__(path, arrays, wanted)
