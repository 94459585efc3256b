"""Arrays in CUDA memory brought to host memory: whole, or block by block what no kernels on the device serve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from rad_fast import inputs
from rad_fast.inputs import is_cuda
from rad_fast.inputs.typed import Given

from . import arrays

BLOCK_ELEMENTS = 16 << 20  # logits that come to host memory at a time


def host_blocks(given: Given) -> Iterator[Given]:
    """What is given of points on a device, in blocks of rows that are small in host memory; the logits stay yet."""
    logits, student_logits = cut("logits", given.logits), cut("student_logits", given.student_logits)
    rows, classes = int(logits.shape[0]), int(logits.shape[1])
    if student_logits is not None and int(student_logits.shape[0]) != rows:
        raise ValueError(
            f"student_logits: expected a row for every row of logits, {rows}, got {int(student_logits.shape[0])}"
        )
    gain, correctness, chosen, exclude, agreement = map(fetched, given[2:])
    masks = {
        "chosen": chosen if isinstance(chosen, Mapping) else inputs.exclude_mask(chosen, rows, "chosen"),
        "exclude": inputs.exclude_mask(exclude, rows),
    }

    def part_of(value: Any, part: slice) -> Any:
        return value[part] if getattr(value, "shape", None) == (rows,) else value

    step = max(1, BLOCK_ELEMENTS // max(1, classes))
    for begin in range(0, max(rows, 1), step):
        part = slice(begin, begin + step)
        before, out = (part_of(mask, part) for mask in masks.values())
        if begin and isinstance(before, Mapping):  # counted once
            before = None
        beside = None if student_logits is None else rows_of(student_logits, part)
        numbers, agreed = (part_of(gain, part), part_of(correctness, part)), part_of(agreement, part)
        yield Given(rows_of(logits, part), beside, *numbers, before, out, agreed)


def cut(name: str, value: Any) -> Any:
    """An array that rows can be taken of: where its library offers none, the place where it lies."""
    if not is_cuda(value) or (hasattr(value, "__getitem__") and not isinstance(value, arrays.Memory)):
        return value
    return arrays.described(name, value)


def rows_of(value: Any, part: slice) -> Any:
    """Some rows of an array, not copied."""
    if not isinstance(value, arrays.CudaArray):
        return value[part]
    begin, end, _ = part.indices(value.shape[0])
    at = value.address + begin * value.strides[0] * arrays.BYTES[value.dtype]
    return value._replace(address=at, shape=(end - begin, *value.shape[1:]))


def fetched(value: Any) -> Any:
    """An array of any library in host memory; what lies there, or is no array, as it is. Waits for the device."""
    if isinstance(value, (arrays.Memory, arrays.CudaArray)):
        host: Any = arrays.on_host(arrays.described("array", value))
        if value.dtype == "bfloat16":  # its bits, for which NumPy has no name
            return (host.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return host
    if not is_cuda(value):
        return value
    if inputs.is_torch(value):
        return value.detach().cpu()
    for name in ("get", "copy_to_host"):  # CuPy, numba
        if hasattr(value, name):
            return getattr(value, name)()
    return np.asarray(value)
