"""The Triton kernels against the reference, and what the compiler makes of them.

Triton reads TRITON_INTERPRET when it is imported, and a process that interprets kernels cannot compile them. The files
kernels_*.py are therefore not collected by a session of the whole suite, but run in processes of their own:
test_without_gpu.py has them interpreted, tests/gpu has the same files run on a GPU. By hand:

    TRITON_INTERPRET=1 pytest tests/triton_kernels/kernels_score.py      (without the variable: on the GPU)

The folder is not called triton, so that it never passes for the package where that is not installed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))


def patch_the_language_once() -> None:
    """The interpreter puts its own functions in the place of triton.language's at every launch and at every call of a
    function, and takes them away after a launch: a third of the time of these tests. Here they are put there once, and
    stay: a process that interprets kernels does nothing else with the language."""
    from triton.runtime import interpreter

    patch = interpreter._patch_lang
    seen: dict[int, Any] = {}  # by the module of the function, whose names say what of the language it reaches

    def once(function: Any) -> Any:
        if id(function.__globals__) not in seen:
            seen[id(function.__globals__)] = function
            patch(function)
        return interpreter._LangPatchScope()  # with nothing to restore

    interpreter._patch_lang = once


if os.environ.get("TRITON_INTERPRET") == "1":
    patch_the_language_once()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("TRITON_INTERPRET") == "1":
        for item in items:
            # The interpreter computes with NumPy, which warns of the NaN and the infinities that the tests are about.
            item.add_marker(pytest.mark.filterwarnings("ignore::RuntimeWarning"))


@pytest.fixture
def few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows are looked at for probabilities, the first and the last, where a test is about something else."""
    from rad_fast.kernels.triton import look

    monkeypatch.setattr(look, "LOOKED_AT", 2)


PLANNED: set[str] = set()


def pytest_sessionfinish() -> None:
    """What a GPU would have compiled, a line each, where RAD_FAST_COUNT_KERNELS names a file."""
    to = os.environ.get("RAD_FAST_COUNT_KERNELS")
    if to:
        Path(to).write_text("\n".join(sorted(PLANNED)))


@pytest.fixture(autouse=True)
def _planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes what each interpreted launch would have been compiled for."""
    if not os.environ.get("RAD_FAST_COUNT_KERNELS"):
        return
    from triton.runtime.interpreter import InterpretedFunction

    run = InterpretedFunction.run

    def noted(kernel: Any, *given: Any, **options: Any) -> Any:
        launch = {name: value for name, value in options.items() if name not in ("grid", "warmup")}
        PLANNED.add(compiled_for(kernel, given, launch))
        return run(kernel, *given, **options)

    monkeypatch.setattr(InterpretedFunction, "run", noted)


def compiled_for(kernel: Any, given: tuple[Any, ...], launch: dict[str, Any]) -> str:
    """Constants and options; of arguments the dtype and alignment, what is None, and of a whole number its type,
    whether it is 1 and whether 16 divides it, unless the kernel says otherwise."""
    import torch

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
