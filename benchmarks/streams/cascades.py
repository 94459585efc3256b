"""Cascades on two real classifiers, beside sending at random and beside the margins in hindsight."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import rad_fast
from rad_fast.stream import Cascade

from .sets import Two, both

RATES = (0.05, 0.1, 0.2, 0.5)


def table(seeds: int) -> Iterator[str]:
    """Accuracy in percent, a column a rate: means over seeds."""
    yield "| set | routing | " + " | ".join(f"{rate:.0%} asked" for rate in RATES) + " |"
    yield "|---|---|" + "---:|" * len(RATES)
    for name in ("digits", "banking77"):
        found = [arms(two) for seed in range(seeds) if (two := both(name, seed)) is not None]
        for arm in found[0] if found else ():
            means = np.mean([each[arm] for each in found], axis=0)
            yield f"| {name} | {arm} | " + " | ".join(f"{100 * mean:.1f}" for mean in means) + " |"


def arms(two: Two) -> dict[str, list[float]]:
    """Accuracy at each rate of every way to route."""
    held, rest = slice(0, two.labelled), slice(two.labelled, None)
    truth, small, large = two.truth[rest], two.small[rest], two.large[rest]
    right = [logits.argmax(1) == truth for logits in (small, large)]
    curve = Cascade(None, None, 0.5).table(small, large, truth, rates=RATES)
    calibrator = rad_fast.Calibrator().fit(two.small[held], two.truth[held])

    def routed(**settings: object) -> list[float]:
        found = []
        for rate in RATES:
            cascade = Cascade(None, None, rate, **settings).watch(two.small[held])  # type: ignore[arg-type]
            mask = cascade.route(small)
            found.append(float(np.where(mask, right[1], right[0]).mean()))
        return found

    return {
        "at random": curve.random.tolist(),
        "margin, in hindsight": curve.accuracy.tolist(),
        "**Cascade**, margin": routed(),
        "Cascade, calibrated": routed(calibrator=calibrator),
        "Cascade, margin, slack 1": routed(slack=1.0),
        "best that could be": curve.best.tolist(),
    }
