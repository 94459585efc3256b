"""What a selection returns: the indices, what they rest on, and what they promise."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from .backends import Backend
from .kernels.reference.game import Equilibrium
from .kernels.reference.score import Points
from .on_device import Route

PLOTTED = 200_000  # points in the density; more cost time and change nothing that is seen


@dataclass(frozen=True, eq=False)
class Selection:
    """The points chosen for the student, and the game behind the choice.

    Arrays are of the library of the logits that were given.

    Attributes
    ----------
    indices : (budget,) int64, ascending and distinct.
    probabilities : (N,) float64, every point's inclusion probability; they sum to ``budget``. Computed when asked for.
    gain : (N,) float32 in [0, 1], 1 - margin of the student; NaN where a point was excluded or invalid.
    correctness : (N,) float32 in [0, 1], the probability that the teacher's label is right.
    labels : (N,) int32, the teacher's; -1 where a row is invalid.
    weights : (budget,) float64, 1 / inclusion probability of the selected points: a sum over them weighted so is an
        unbiased estimate of the sum over all points that can be selected.
    value : the value of the game, a certificate: whichever ``mistakes`` labels are wrong beyond what correctness
        admits, the expected gain of the selection, right labels less wrong ones, is at least this.
    mistakes : how many labels the adversary may spoil beyond that.
    price, threshold, share : the equilibrium. A point is taken with probability min(1, price / gain) where its
        effective gain (2 correctness - 1) gain exceeds the threshold, which is the value of the game per query.
    """

    indices: Any
    gain: Any
    correctness: Any
    labels: Any
    budget: int
    value: float
    mistakes: float
    price: float
    threshold: float
    share: float
    seed: int
    backend: str
    n_points: int
    n_excluded: int
    n_invalid: int
    # As the backend has them: NumPy arrays, or torch tensors on the device.
    _indices: Any = field(repr=False)
    _points: Any = field(repr=False)
    _kernels: Backend | Route = field(repr=False)
    _wrap: Callable[[Any], Any] = field(repr=False)

    @property
    def equilibrium(self) -> Equilibrium:
        return Equilibrium(self.price, self.threshold, self.share, self.value)

    @cached_property
    def probabilities(self) -> Any:
        return self._wrap(self._kernels.probabilities(self._points.gain, self._points.correctness, self.equilibrium))

    @cached_property
    def weights(self) -> Any:
        if isinstance(self._kernels, Route):
            return self._wrap(self._kernels.weights(self._points, self._indices, self.equilibrium))
        gain, correctness = self._points.gain[self._indices], self._points.correctness[self._indices]
        return self._wrap(1.0 / self._kernels.probabilities(gain, correctness, self.equilibrium))

    def _on_host(self) -> tuple[npt.NDArray[np.int64], Any]:
        """Indices and points as NumPy arrays."""
        if isinstance(self._indices, np.ndarray) or not isinstance(self._kernels, Route):
            return self._indices, self._points
        there = self._kernels.on_host
        return there(self._indices), Points(*(there(field) for field in self._points[:3]))

    def report(self) -> dict[str, Any]:
        """The numbers of the selection, as JSON can hold them."""
        at, points = self._on_host()
        worth = int(np.count_nonzero(effective(points.gain, points.correctness) > self.threshold))
        classes, counts = np.unique(points.label[at], return_counts=True)
        return {
            "points": self.n_points,
            "excluded": self.n_excluded,
            "invalid": self.n_invalid,
            "budget": self.budget,
            "mistakes": self.mistakes,
            "value": self.value,
            "value_per_query": self.value / self.budget,
            "price": self.price,
            "threshold": self.threshold,
            "share": self.share,
            "worth_querying": worth,
            "selected_mean_gain": float(points.gain[at].mean(dtype=np.float64)),
            "selected_mean_correctness": float(points.correctness[at].mean(dtype=np.float64)),
            "selected_labels": {str(label): int(count) for label, count in zip(classes, counts, strict=True)},
            "seed": self.seed,
            "backend": self.backend,
        }

    def summary(self) -> str:
        """The numbers in words, for a terminal."""
        r = self.report()
        left_out = r["excluded"] + r["invalid"]
        excluded = f" ({left_out:,} left out: {r['excluded']:,} excluded, {r['invalid']:,} invalid)" if left_out else ""
        classes = len(r["selected_labels"])
        gain, correctness = r["selected_mean_gain"], r["selected_mean_correctness"]
        wrong, value = f"{r['mistakes']:,.6g}", f"{r['value']:,.6g} ({r['value_per_query']:.4g} per query)"
        lines = [
            f"{r['budget']:,} of {r['points']:,} points selected{excluded}",
            f"{r['worth_querying']:,} points are worth a query: their effective gain exceeds {r['threshold']:.4g}",
            f"selected: mean gain {gain:.3f}, mean correctness {correctness:.3f}, {classes:,} different labels",
            f"if {wrong} more labels are wrong than correctness admits, the expected gain is at least {value}",
        ]
        if self.value <= 0:
            lines.append("that is no promise: the teacher is too unreliable for this budget and so many mistakes")
        return "\n".join(lines)

    def plot(self, ax: Any = None) -> Any:
        """Draw the points in the gain x correctness plane, the equilibrium over them, and the selected points.

        Needs matplotlib (``pip install "rad_fast[report]"``). Returns the matplotlib Axes, a new one where ``ax`` is
        None.
        """
        try:
            from matplotlib import pyplot
        except ImportError as error:
            raise ImportError('plot() needs matplotlib: pip install "rad_fast[report]"') from error
        if ax is None:
            _, ax = pyplot.subplots(figsize=(7.0, 5.0), layout="constrained")
        at, (gain, correctness, _) = self._on_host()
        shown = slice(None, None, max(1, math.ceil(len(gain) / PLOTTED)))
        kept = ~np.isnan(gain[shown])
        # Down to all that is selected, and to all points but the least correct: a few would flatten the rest.
        lowest = np.quantile(correctness[shown][kept], 0.01) if kept.any() else 1.0
        low = 0.95 * min(0.9, float(lowest), float(correctness[at].min()))
        ax.hexbin(
            gain[shown][kept],
            correctness[shown][kept],
            gridsize=60,
            bins="log",
            mincnt=1,
            cmap="Greys",
            alpha=0.6,
            linewidths=0,
            extent=(0.0, 1.0, low, 1.0),
        )
        some = at[:: max(1, math.ceil(len(at) / 2000))]
        ax.scatter(gain[some], correctness[some], s=9, color="#d1495b", linewidths=0, label="selected", zorder=3)
        g = np.linspace(max(abs(self.threshold), 1e-3), 1.0, 400)
        ax.plot(
            g,
            (self.threshold / g + 1.0) / 2.0,
            color="#00798c",
            linewidth=2,
            label=f"worth a query: effective gain > {self.threshold:.3g}",
        )
        if 0.0 < self.price <= self.threshold:  # no point that is worth a query has so little gain
            ax.plot([], [], " ", label=f"taken with probability {self.price:.3g} / gain")
        elif self.price < 1.0:
            ax.axvline(
                self.price,
                color="#edae49",
                linewidth=2,
                linestyle="--",
                label=f"taken for sure below gain {self.price:.3g}, with {self.price:.3g} / gain above",
            )
        ax.set(xlim=(0.0, 1.0), ylim=(low, 1.0 + 0.02 * (1.0 - low)), xlabel="gain: 1 - margin of the student")
        ax.set(ylabel="correctness: probability that the label is right")
        ax.set_title(f"{self.budget:,} of {self.n_points:,} points", loc="left")
        ax.legend(loc="lower left", framealpha=0.9)
        return ax


def effective(gain: npt.NDArray[np.float32], correctness: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The effective gain d = (2c - 1) g."""
    return (2.0 * correctness.astype(np.float64) - 1.0) * gain
