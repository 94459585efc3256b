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

import pytest

sys.path.append(str(Path(__file__).parent))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("TRITON_INTERPRET") == "1":
        for item in items:
            # The interpreter computes with NumPy, which warns of the NaN and the infinities that the tests are about.
            item.add_marker(pytest.mark.filterwarnings("ignore::RuntimeWarning"))


def pytest_sessionfinish() -> None:
    """How many kernels a GPU would have compiled for what was scored, where RAD_FAST_COUNT_KERNELS names a file."""
    to = os.environ.get("RAD_FAST_COUNT_KERNELS")
    if to:
        Path(to).write_text(str(len(PLANNED)))


PLANNED: set[object] = set()


@pytest.fixture(autouse=True)
def _planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes what each launch of a scoring kernel is compiled for: constants, dtypes, what is None, what 16 divides."""
    if not os.environ.get("RAD_FAST_COUNT_KERNELS"):
        return
    import torch

    from rad_fast.kernels.triton import score

    plan = score.plan

    def noted(*given: object) -> object:
        kernel, grid, arguments, options = plan(*given)

        def kind(value: object) -> object:
            if isinstance(value, torch.Tensor):
                return value.dtype
            return (value == 1, value % 16 == 0) if isinstance(value, int) else type(value)

        plain = ("points", "first_row", "step_count")  # what no kernel is specialised for, but packed_kernel for points
        names = kernel.arg_names
        kinds = tuple(None if name in plain else kind(value) for name, value in zip(names, arguments, strict=False))
        PLANNED.add((kernel.__name__, tuple(sorted(options.items())), kinds))
        return kernel, grid, arguments, options

    monkeypatch.setattr(score, "plan", noted)
