"""Robust active distillation: choose the points that a student model should learn from its teacher.

>>> import numpy as np, rad_fast
>>> logits = np.random.default_rng(0).normal(0, 5, size=(1000, 10)).astype("float32")
>>> rad_fast.select(logits, 3)
array([ 99, 424, 774])
"""

from __future__ import annotations

from .calibration import Calibrator
from .inputs import UnreliableTeacherWarning
from .inputs.teachers import TopKLogits
from .selection import Selection
from .selector import Selector, select

__all__ = ["Calibrator", "Selection", "Selector", "TopKLogits", "UnreliableTeacherWarning", "select"]


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version  # only when asked for: it costs as much as the rest of the import

        return version("rad_fast")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
