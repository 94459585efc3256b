"""What a GPU would have to compile for the launches of a session without one: noted, by all that makes a kernel new."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

PLANNED: set[str] = set()


def write() -> None:
    """A line each, to the file that RAD_FAST_COUNT_KERNELS names, beside what is there."""
    to = Path(os.environ["RAD_FAST_COUNT_KERNELS"])
    before = set(to.read_text().splitlines()) if to.exists() else set()
    to.write_text("\n".join(sorted(before | PLANNED)))


def note(kernel: Any, given: tuple[Any, ...], options: dict[str, Any]) -> None:
    """Notes what an interpreted launch would have been compiled for."""
    launch = {name: value for name, value in options.items() if name not in ("grid", "warmup")}
    PLANNED.add(compiled_for(kernel, given, launch))


def compiled_for(kernel: Any, given: tuple[Any, ...], launch: dict[str, Any]) -> str:
    """Constants and options; of arguments the dtype and alignment, what is None, and of a whole number its type,
    whether it is 1 and whether 16 divides it, unless the kernel says otherwise."""
    plain, typed = kernel.kwargs.get("do_not_specialize") or (), kernel.fn.__annotations__
    anywhere = kernel.kwargs.get("do_not_specialize_on_alignment") or ()

    def kind(name: str, value: Any) -> object:
        if isinstance(value, torch.Tensor):
            return str(value.dtype), name not in anywhere and value.data_ptr() % 16 == 0
        if isinstance(value, int):
            size = typed.get(name) or ("i32" if -(2**31) <= value < 2**31 else "i64")
            return size if name in plain else (size, value == 1, value % 16 == 0)
        return type(value).__name__

    kinds = [kind(name, value) for name, value in zip(kernel.arg_names, given, strict=False)]
    return f"{kernel.__name__} {sorted(launch.items())} {kinds}"
