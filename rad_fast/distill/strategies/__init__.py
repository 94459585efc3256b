"""Ways to choose the points of a round, behind one interface: RAD and what people would use instead.

A strategy is any callable that takes a ``Round`` and returns a ``Choice``. Those with a name:

>>> sorted(STRATEGIES)[:4]
['balanced', 'cluster-margin', 'coreset', 'entropy']
"""

from __future__ import annotations

from rad_fast.distill import inputs

from .diverse import cluster_margin, coreset, pcoreset
from .game import proportional, rad, rad_average, rad_both, rad_prior, rad_raw, rad_teacher
from .round import Choice, Round, Strategy
from .simple import balanced, entropy, least_confidence, margin, uniform, unixkd

__all__ = ["STRATEGIES", "Choice", "Round", "Strategy", "strategy"]

STRATEGIES: dict[str, Strategy] = {
    "rad": rad,
    "uniform": uniform,
    "margin": margin,
    "entropy": entropy,
    "least-confidence": least_confidence,
    "balanced": balanced,
    "coreset": coreset,
    "pcoreset": pcoreset,
    "cluster-margin": cluster_margin,
    "unixkd": unixkd,
    "proportional": proportional,
    "rad-average": rad_average,
    "rad-prior": rad_prior,
    "rad-teacher": rad_teacher,
    "rad-raw": rad_raw,
    "rad-both": rad_both,
}
"""The strategies that have a name: from the name to a function of a ``Round`` that returns a ``Choice``.

| name | what it chooses | source |
|---|---|---|
| `rad` | the game on both models, gain of the label, spread; without pool logits `rad-prior` | docs/study.md |
| `rad-both` | the game, correctness calibrated on both models, as `rad_fast.select` | |
| `rad-teacher` | the same, calibrated on the teacher's margin alone | |
| `rad-raw` | the same, correctness the teacher's confidence | |
| `rad-average` | the game as published: c = 1, mistakes from the average accuracy | Baykal et al., ICLR 2023 |
| `rad-prior` | the game before any answer of the teacher for the pool | |
| `proportional` | probability in proportion to effective gain, no game | |
| `uniform` | every point is as likely as every other | |
| `balanced` | uniform within each class | |
| `margin` | least margin of the student | Scheffer, Decomain, Wrobel 2001 |
| `entropy` | largest entropy of the student | |
| `least-confidence` | least confidence of the student | Lewis, Gale 1994 |
| `coreset` | greedy k-center over the features | Sener, Savarese, ICLR 2018 |
| `pcoreset` | greedy k-center over the student's probabilities | Kang et al. 2025 |
| `cluster-margin` | least margins, one from each cluster in turn | Citovsky et al., NeurIPS 2021 |
| `unixkd` | uncertainty, and mixing of the least uncertain | Xu, Liu, Loy 2020 |
"""


def strategy(name: str | Strategy) -> Strategy:
    """The strategy of that name; a callable is taken as it is."""
    if callable(name):
        return name
    if name not in STRATEGIES:
        raise inputs.unknown_strategy(name, list(STRATEGIES))
    return STRATEGIES[name]
