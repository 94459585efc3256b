"""What a cascade costs and how often it is right, for a choice of rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Float64s = npt.NDArray[np.float64]

RATES = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)


@dataclass(frozen=True, eq=False)
class Curve:
    """Accuracy at each rate of calls to the large model: (rates,) float64 arrays.

    rate : the share of queries that the large model answers.
    cost : of a query, on average.
    accuracy : where the least certain queries are sent.
    random : where as many are sent at random.
    best : where those are sent that the small model gets wrong and the large one right, as far as the rate reaches.

    Examples
    --------
    >>> import numpy as np
    >>> from rad_fast.stream import Cascade
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.integers(0, 5, 1000)
    >>> small, large = (rng.normal(size=(1000, 5)) + k * np.eye(5)[truth] for k in (1.5, 4.0))
    >>> print(Cascade(None, None, 0.2).table(small, large, truth, rates=(0, 0.2, 1)))
      rate    cost  accuracy  random    best
      0.0%   0.000     64.3%   64.3%   64.3%
     20.0%   0.200     76.4%   71.3%   84.3%
    100.0%   1.000     99.3%   99.3%   99.3%
    """

    rate: Float64s
    cost: Float64s
    accuracy: Float64s
    random: Float64s
    best: Float64s

    def __str__(self) -> str:
        lines = ["  rate    cost  accuracy  random    best"]
        columns = (self.rate, self.cost, self.accuracy, self.random, self.best)
        for rate, cost, *right in zip(*columns, strict=True):
            lines.append(f"{rate:6.1%} {cost:7.3f}   {right[0]:7.1%} {right[1]:7.1%} {right[2]:7.1%}")
        return "\n".join(lines)

    def plot(self, ax: Any = None) -> Any:
        """Draw accuracy against cost; needs matplotlib. Returns the matplotlib Figure."""
        if ax is None:
            try:
                from matplotlib.figure import Figure
            except ImportError as error:
                raise ImportError('plot() needs matplotlib: pip install "rad_fast[report]"') from error
            ax = Figure(figsize=(5.6, 3.8), layout="constrained").subplots()
        for name, style in (("best", ":"), ("accuracy", "-"), ("random", "--")):
            label = "least certain first" if name == "accuracy" else name
            ax.plot(self.cost, 100.0 * getattr(self, name), style, marker="o", markersize=3.0, label=label)
        ax.set(xlabel="cost of a query", ylabel="right, %")
        ax.legend(frameon=False)
        return ax.figure


def measured(
    certainty: npt.NDArray[np.float32],
    small: npt.NDArray[np.bool_],
    large: npt.NDArray[np.bool_],
    rates: Float64s,
    cost: tuple[float, float],
) -> Curve:
    """The curve of labelled queries: how certain the small model is of each, and which model is right on it."""
    count = len(certainty)
    sent = np.floor(rates * count + 0.5).astype(np.int64)
    gained = large.astype(np.float64) - small
    least = np.concatenate([[0.0], np.cumsum(gained[np.argsort(certainty, kind="stable")])])
    helped = float((gained > 0).sum())
    # Beyond those that it helps, sending a query changes nothing, and then harms.
    most = np.minimum(sent, helped) - np.maximum(0.0, sent - (count - float((gained < 0).sum())))
    base = float(small.sum())
    return Curve(
        rates,
        cost[0] + rates * cost[1],
        (base + least[sent]) / count,
        (base + rates * float(gained.sum())) / count,
        (base + most) / count,
    )
