"""Robust active distillation: choose the points that a student model should learn from its teacher.

>>> import numpy as np, rad_fast
>>> logits = np.random.default_rng(0).normal(0, 5, size=(1000, 10)).astype("float32")
>>> rad_fast.select(logits, 3)
array([ 49, 814, 983])
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from .calibration import Calibrator, agreement
from .inputs import UnreliableTeacherWarning
from .inputs.teachers import Probabilities, TeacherLabels, TopKLogits
from .select_once import select
from .selection import Selection
from .selector import Selector

if TYPE_CHECKING:
    from . import distill as distill
    from . import ray as ray
    from . import stream as stream

__all__ = [
    "Calibrator",
    "Probabilities",
    "Selection",
    "Selector",
    "TeacherLabels",
    "TopKLogits",
    "UnreliableTeacherWarning",
    "agreement",
    "select",
]


LAZY = {"distill": "torch", "ray": "ray", "stream": "numpy"}  # imported when first used, and what they need


def __getattr__(name: str) -> Any:
    if name in LAZY:
        return importlib.import_module(f"rad_fast.{name}")
    if name == "__version__":
        from importlib.metadata import version  # only when asked for: it costs as much as the rest of the import

        return version("rad_fast")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names; what is not installed is not among them."""
    there = [name for name, needed in LAZY.items() if importlib.util.find_spec(needed) is not None]
    return sorted([*__all__, *there, "__version__"])
