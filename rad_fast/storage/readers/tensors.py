"""Files that hold matrices as they are: .npy and .safetensors, mapped into memory."""

from __future__ import annotations

import bisect
import json
import math
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rad_fast import inputs
from rad_fast.storage.npy import bfloat16, open_npy

from .errors import library, reading
from .wanted import Wanted, picked

Array = npt.NDArray[Any]

DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
}
NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


class Arrays:
    """Matrices of which rows can be taken, one after the other: batches of one matrix, or just the one."""

    expected = "a file of numbers"

    def __init__(self, path: Path, arrays: Sequence[Any], wanted: Wanted) -> None:
        self.path, self.flat = path, wanted.flat
        self.arrays = list(arrays)
        first = self.arrays[0]
        for array in self.arrays:
            wanted.check(path, named(array), tuple(array.shape))
            if array.shape[1:] != first.shape[1:] or named(array) != named(first):
                raise ValueError(
                    f"{path}: expected batches of one matrix, got {array.dtype} {tuple(array.shape)} beside "
                    f"{first.dtype} {tuple(first.shape)}"
                )
        self.ends = list(accumulate(int(array.shape[0]) for array in self.arrays))
        self.rows, self.dtype = self.ends[-1], named(first)
        self.classes = 1 if self.flat else int(first.shape[1])
        if wanted.logits and isinstance(self.arrays[-1], np.ndarray):
            self.say_unwritten()

    def say_unwritten(self) -> None:
        """Of arrays of which any row can be had at once."""
        with reading(self.path, self.expected):
            first = inputs.first_unwritten(self.arrays[-1])
        inputs.warn_unwritten(str(self.path), first)

    def read(self, begin: int, end: int) -> Array:
        parts: list[Array] = []
        number = min(bisect.bisect_right(self.ends, begin), len(self.arrays) - 1)
        while begin < end or not parts:
            start = self.ends[number] - self.arrays[number].shape[0]
            until = min(end, self.ends[number])
            with reading(self.path, self.expected):
                rows = self.arrays[number][begin - start : until - start]
            parts.append(rows.reshape(-1, 1) if self.flat else rows)
            if until >= end or number + 1 == len(self.arrays):
                break
            begin, number = until, number + 1
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def named(array: Any) -> str:
    return str(array.dtype.newbyteorder("=").name)


class Npy(Arrays):
    """A .npy file; it has one array, and no names."""

    def __init__(self, path: Path, wanted: Wanted) -> None:
        if wanted.column is not None:
            raise ValueError(f"{path}: expected no --column (column=): a .npy file has one array without a name")
        super().__init__(path, [open_npy(path)], wanted)


class SafeTensors(Arrays):
    """Tensors of a .safetensors file. The library checks the header; they are then mapped where they lie."""

    def __init__(self, path: Path, wanted: Wanted) -> None:
        safetensors = library("safetensors", path)
        with reading(path, "a .safetensors file"):
            with safetensors.safe_open(path, framework="numpy") as file:
                every = sorted(file.keys())
            with open(path, "rb") as file:
                length = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(length))
        about = {name: (name_of(header[name]["dtype"]), tuple(header[name]["shape"])) for name in every}
        arrays = []
        for name in picked(path, "tensor", wanted, about):
            entry, shape = header[name], about[name][1]
            wanted.check(path, about[name][0], shape)
            dtype = np.dtype(DTYPES[entry["dtype"]])
            array: Array = np.empty(shape, dtype)  # nothing of no size can be mapped
            if math.prod(shape):
                array = np.memmap(path, dtype, "r", 8 + length + entry["data_offsets"][0], shape)
            arrays.append(array.view(bfloat16(path)) if entry["dtype"] == "BF16" else array)
        super().__init__(path, arrays, wanted)


def name_of(kind: str) -> str:
    return NAMES.get(kind) or (np.dtype(DTYPES[kind]).name if kind in DTYPES else kind)
