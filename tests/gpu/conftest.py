"""DESIGN section 4 on a CUDA device, for all GPU backends: pytest -m gpu; skipped where there is none."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

# JAX would take three quarters of the memory for itself, which other tests, in other processes too, have to share.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

BACKENDS = ("triton", "cuda", "triton+cuda")  # by the names that rad_fast.select takes; a further one joins here
HERE = Path(__file__).parent


def missing() -> str:
    """Why the suite cannot run here, or nothing."""
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed"
    import torch

    return "" if torch.cuda.is_available() else "torch sees no CUDA device"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mine = [item for item in items if HERE in item.path.parents]
    why = missing() if mine else ""
    for item in mine:
        item.add_marker(pytest.mark.gpu)
        if why:
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    from rad_fast.device import backends

    name: str = request.param
    finding = next(found for found in backends.findings() if found.name == name)
    if not finding.usable:
        pytest.skip(finding.why)
    return name
