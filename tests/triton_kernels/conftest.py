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
