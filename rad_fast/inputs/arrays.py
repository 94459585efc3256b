"""What is accepted as an array of logits, and how it is seen: in host memory, or known to lie on a CUDA device.

A message names the argument, what was expected, what came, and what to do. Nothing given is ever modified.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .frames import as_array, is_frame

Array = npt.NDArray[Any]
FLOATS = ("float64", "float32", "float16", "bfloat16")
CUDA, CUDA_MANAGED = 2, 13  # DLPack's device types
EXPECTED_DTYPE = "expected float64, float32, float16 or bfloat16"


class Matrix(NamedTuple):
    """A checked (rows, classes) array of logits in host memory; ``data`` is uint16 where the dtype is bfloat16."""

    name: str
    data: Array
    dtype: str
    wrap: Callable[[Array], Any]
    columns: tuple[str, ...] = ()  # the classes' names, of a table

    @property
    def rows(self) -> int:
        return int(self.data.shape[0])

    @property
    def classes(self) -> int:
        return int(self.data.shape[1])


def same(array: Array) -> Array:
    return array


def is_torch(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def as_torch(array: Array) -> Any:
    import torch

    return torch.from_numpy(array)


def portable(wrap: Callable[[Array], Any]) -> bool:
    """Whether what hands arrays back can be pickled: it knows no address of this process."""
    named = wrap.func if isinstance(wrap, functools.partial) else wrap
    return "<" not in getattr(named, "__qualname__", "<")


def is_cuda(value: Any) -> bool:
    """Whether a value is an array in CUDA memory; nothing is copied or imported to find out."""
    if isinstance(value, np.ndarray):
        return False
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return bool(value.is_cuda)
    if hasattr(value, "__dlpack_device__"):
        try:
            return int(value.__dlpack_device__()[0]) in (CUDA, CUDA_MANAGED)
        except (BufferError, NotImplementedError, RuntimeError, TypeError, ValueError):
            pass  # numba and others have the method for some arrays only
    return hasattr(value, "__cuda_array_interface__")


def unreadable(name: str, what: str, interface: dict[str, Any]) -> Exception:
    """The error for an array whose ``__cuda_array_interface__`` cannot be meant; ``what``: the entry that is wrong, or
    "byte order", as the compiled kernels name it."""
    got = interface.get(what)
    dimensions = len(interface["shape"]) if what == "strides" else 0
    errors: dict[str, Exception] = {
        "version": ValueError(f"{name}: expected version 0 to 3 of the CUDA array interface, got {got!r}"),
        "mask": TypeError(
            f"{name}: expected a plain array, got one with a mask; give the rows to leave out as exclude="
        ),
        "typestr": TypeError(f"{name}: expected a typestr in its CUDA array interface, such as '<f4', got {got!r}"),
        "byte order": TypeError(
            f"{name}: expected numbers in this machine's byte order, got {interface.get('typestr')}"
        ),
        "shape": ValueError(f"{name}: expected a tuple of lengths as shape in its CUDA array interface, got {got!r}"),
        "strides": ValueError(
            f"{name}: expected strides of whole elements, one for each of {dimensions} dimensions, got {got} bytes"
        ),
        "data": ValueError(
            f"{name}: expected (address, whether it is read-only) as data in its CUDA array interface, got {got!r}"
        ),
        "stream": ValueError(
            f"{name}: expected None, 1 (the legacy default stream), 2 (the thread's) or a handle as stream in its CUDA "
            f"array interface, got {got!r}; 0 could be either default, and is ruled out there"
        ),
    }
    return errors[what]


def host_array(name: str, value: Any) -> tuple[Array, str, Callable[[Array], Any]]:
    """The value as a NumPy array that shares its memory, its dtype's name, and how to hand arrays back."""
    if is_torch(value):
        return torch_array(name, value)
    if is_frame(value):
        value = as_array(name, value)
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{name}: expected a plain array, got a masked array, whose mask would be lost; "
            "give the data, and the rows to leave out as exclude= (to a stream: only the rows that count)"
        )
    if not isinstance(value, np.ndarray) and hasattr(value, "__cuda_array_interface__"):
        raise ValueError(f"{name}: expected an array in host memory, got one on a CUDA device; {NO_CUDA}")
    if type(value).__module__.startswith("datasets.") and type(value).__name__ == "Column":
        return host_array(
            name, value[:]
        )  # read in one go: row by row, as NumPy would, it takes a hundred times as long
    back = library_of(value)
    if not isinstance(value, np.ndarray) and hasattr(value, "__dlpack__"):
        # bfloat16, or a device NumPy cannot see, is refused here; np.asarray copies it, or says why not.
        with contextlib.suppress(BufferError, RuntimeError, TypeError, ValueError):
            value = np.from_dlpack(value)
    if isinstance(value, (str, bytes, dict, set)) or value is None:
        raise TypeError(f"{name}: expected an array, got {type(value).__name__}{holder(value)}")
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"{name}: expected an array, got {type(value).__name__}{holder(value) or f' ({error})'}"
        ) from error
    dtype = dtype_name(array.dtype)
    if dtype == "bfloat16":  # of the package ml_dtypes
        array = array.view(np.uint16)
    return array, dtype, back


def rows_alone(kind: str, rows: Any) -> None:
    """Refuse an index of a teacher's points that is not of rows, or of one row, which would be something else."""
    if isinstance(rows, (slice, list)) or getattr(rows, "ndim", 0) == 1:
        return
    hint = f"; for one row give [{rows}]" if isinstance(rows, (int, np.integer)) else ""
    raise TypeError(f"{kind}: expected a slice, a mask or an array of indices of points, got {rows!r:.100}{hint}")


def holder(value: Any) -> str:
    """Of an object that holds logits, such as what a model of transformers or its Trainer returns: where they are."""
    for place in ("logits", "predictions"):
        if hasattr(value, place):
            return f"; give its .{place}"
    if isinstance(value, (str, bytes)):
        return "; for files use rad_fast.readers.open_shards or `rad-fast select`"
    return ""


def library_of(value: Any) -> Callable[[Array], Any]:
    """How to hand arrays back in the library of an array that follows the array API, such as JAX's."""
    if isinstance(value, np.ndarray) or not hasattr(value, "__array_namespace__"):
        return same
    return functools.partial(in_library, value.__array_namespace__().__name__)


def in_library(library: str, array: Array) -> Any:
    made = importlib.import_module(library).asarray(array)
    if array.dtype.kind == "i" and array.size and int(array.max()) > np.iinfo(np.asarray(made[:0]).dtype).max:
        raise ValueError(
            f"logits: expected at most 2**31 points of {library} where it holds integers in 32 bits; allow it 64 (in "
            "JAX jax_enable_x64), or give the logits as a NumPy array"
        )
    return made


@functools.lru_cache(maxsize=64)
def dtype_name(dtype: np.dtype[Any]) -> str:
    """Kept: NumPy puts the name together at every look."""
    return "text" if dtype.kind in "US" else dtype.name


NO_CUDA = "all arrays of a call must be on one device; .cpu() or .get() copies one to host memory"


def torch_array(name: str, tensor: Any) -> tuple[Array, str, Callable[[Array], Any]]:
    dtype = str(tensor.dtype).removeprefix("torch.")
    if tensor.is_nested:
        raise TypeError(f"{name}: expected a dense tensor, got a nested one, of rows of different lengths; pad them")
    if tensor.device.type != "cpu":
        raise ValueError(f"{name}: expected a tensor in host memory, got one on {tensor.device}; {NO_CUDA}")
    if str(tensor.layout) != "torch.strided":
        raise TypeError(f"{name}: expected a dense tensor, got layout {tensor.layout}; call .to_dense()")
    tensor = tensor.detach()
    if dtype == "bfloat16":
        import torch

        return tensor.view(torch.int16).numpy().view(np.uint16), dtype, as_torch
    if tensor.is_conj() or tensor.is_neg():
        tensor = tensor.resolve_conj().resolve_neg()
    try:
        return tensor.numpy(), dtype, as_torch
    except TypeError as error:  # float8, say, which NumPy does not have
        raise TypeError(f"{name}: {EXPECTED_DTYPE}, got {dtype}") from error
    except RuntimeError as error:  # MaskedTensor, say
        raise TypeError(f"{name}: expected a plain tensor, got {type(tensor).__name__} ({error})") from error


def check_logits(name: str, dtype: str, shape: tuple[int, ...], *, empty: bool) -> None:
    if dtype not in FLOATS:
        raise TypeError(f"{name}: {EXPECTED_DTYPE}, got {dtype}; {no_floats(name, dtype, shape)}")
    if len(shape) != 2:
        raise ValueError(f"{name}: expected 2 dimensions, (points, classes), got shape {shape}")
    rows, classes = shape
    if rows == 0 and not empty:
        raise ValueError(f"{name}: expected at least one row, got shape {shape}")
    if classes < 2:
        raise ValueError(
            f"{name}: expected at least 2 columns, one per class, got shape {shape}; "
            "for a single logit z of a binary model give [0, z]"
        )
    if classes >= 2**31 or rows >= 2**40:
        raise ValueError(f"{name}: expected fewer than 2**31 classes and 2**40 rows, got shape {shape}")


def no_floats(name: str, dtype: str, shape: tuple[int, ...]) -> str:
    """What to do with an array of other numbers, or of text, given as logits."""
    if len(shape) != 1:
        return "logits are real numbers: convert them to float32"
    if "student" in name:
        return "expected the student's logits, a row for each point"
    names = "; give names as their places in the list of classes" if dtype == "text" else ""
    return f"for a teacher that only names a class use rad_fast.TeacherLabels(labels, n_classes=...){names}"


def of_objects(name: str, value: Any) -> TypeError:
    """The error for what is no array of numbers, with what makes one of it."""
    kind = f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}"
    if isinstance(value, (str, os.PathLike)):
        hint = "for files use rad_fast.readers.open_shards or `rad-fast select`"
    elif isinstance(value, Iterator):
        hint = "for batches that come one after the other use Selector.partial_fit"
    elif holder(value):
        hint = holder(value).removeprefix("; ")
    elif hasattr(value, "predict_proba"):
        hint = "give what it predicts: rad_fast.Probabilities(model.predict_proba(inputs))"
    elif hasattr(value, "column_names") or hasattr(value, "select_columns"):
        hint = "give one of its columns, for a Hugging Face dataset as dataset.with_format('numpy')['logits'][:]"
    else:
        hint = "numpy.stack(rows) makes an array of rows of equal length"
    return TypeError(
        f"{name}: expected an array of numbers, got {kind.removeprefix('builtins.')}: object, not numbers; {hint}"
    )


def same_rows(teacher: Matrix, student: Matrix) -> None:
    """Refuse what is not the student's logits for the teacher's rows."""
    if student.dtype == "labels":
        raise TypeError(
            f"{student.name}: expected the student's logits, or its probabilities as rad_fast.Probabilities, got "
            "TeacherLabels: labels alone do not say what the student knows"
        )
    if teacher.rows != student.rows:
        raise ValueError(
            f"{student.name}: expected a row for every row of {teacher.name}, {teacher.rows}, got {student.rows}"
        )


def same_classes(teacher: Matrix, student: Matrix) -> None:
    if teacher.classes != student.classes:
        raise ValueError(
            f"{student.name}: expected {teacher.classes} classes as in {teacher.name}, got {student.classes}: a "
            "calibrator on both models looks up the teacher's label in the student's probabilities"
        )


def needed_student(teacher: Matrix, student: Matrix | None) -> Matrix:
    if student is None:
        raise ValueError("student_logits: expected the student's logits: the calibrator was fitted with them")
    same_rows(teacher, student)
    same_classes(teacher, student)
    return student
