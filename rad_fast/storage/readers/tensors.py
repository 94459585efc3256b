"""Files that hold a matrix as it is: .npy and .safetensors, mapped into memory."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rad_fast import inputs
from rad_fast.storage.npy import bfloat16, open_npy

from .errors import chosen, library, reading

Array = npt.NDArray[Any]

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


class Mapped:
    """A matrix that is mapped into memory."""

    def __init__(self, path: Path, array: Array) -> None:
        checked = inputs.matrix(str(path), array.view(array.dtype.newbyteorder("=")), empty=True)
        self.array = array
        self.rows, self.classes, self.dtype = checked.rows, checked.classes, checked.dtype

    def read(self, begin: int, end: int) -> Array:
        return self.array[begin:end]


class Npy(Mapped):
    """A .npy file; it has one array, and no names."""

    def __init__(self, path: Path, column: str | None) -> None:
        if column is not None:
            raise ValueError(f"{path}: expected no --column (column=): a .npy file has one array without a name")
        super().__init__(path, open_npy(path))


class SafeTensors(Mapped):
    """A tensor of a .safetensors file. The library checks the header; the tensor is then mapped where it lies."""

    def __init__(self, path: Path, column: str | None) -> None:
        safetensors = library("safetensors", path)
        with reading(path, "a .safetensors file"):
            with safetensors.safe_open(path, framework="numpy") as file:
                every = sorted(file.keys())
            with open(path, "rb") as file:
                length = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(length))
        usable = [name for name in every if header[name]["dtype"] in DTYPES and len(header[name]["shape"]) == 2]
        entry = header[chosen(path, "tensor", column, usable, every)]
        if entry["dtype"] not in DTYPES:
            raise TypeError(f"{path}: {inputs.EXPECTED_DTYPE}, got {entry['dtype']}; convert the logits to float32")
        shape, dtype = tuple(entry["shape"]), np.dtype(DTYPES[entry["dtype"]])
        offset = 8 + length + entry["data_offsets"][0]
        array: Array = np.empty(shape, dtype)  # nothing of no size can be mapped
        if math.prod(shape):
            array = np.memmap(path, dtype, "r", offset, shape)
        super().__init__(path, array.view(bfloat16(path)) if entry["dtype"] == "BF16" else array)
