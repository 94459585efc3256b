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


def pytest_sessionfinish() -> None:
    if os.environ.get("RAD_FAST_COUNT_KERNELS"):
        import planned

        planned.write()


@pytest.fixture(autouse=True)
def _planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes what each interpreted launch would have been compiled for, where RAD_FAST_COUNT_KERNELS names a file."""
    if not os.environ.get("RAD_FAST_COUNT_KERNELS"):
        return
    import planned
    from triton.runtime.interpreter import InterpretedFunction

    run = InterpretedFunction.run

    def noted(kernel: Any, *given: Any, **options: Any) -> Any:
        planned.note(kernel, given, options)
        return run(kernel, *given, **options)

    monkeypatch.setattr(InterpretedFunction, "run", noted)
