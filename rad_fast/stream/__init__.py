"""Decide on arrival: points of a stream, and which of two models answers a query.

The equilibrium of the game is two numbers, and they decide a point by itself. So a point can be decided the moment it
comes, in microseconds, by the thresholds of the points before it.
"""

from __future__ import annotations

from .cascade import Cascade, CascadeAnswer
from .curve import Curve
from .inputs import BudgetUsedWarning
from .selector import StreamSelector, Thresholds

__all__ = ["BudgetUsedWarning", "Cascade", "CascadeAnswer", "Curve", "StreamSelector", "Thresholds"]
