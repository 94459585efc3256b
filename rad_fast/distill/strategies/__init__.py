"""Ways to choose the points of a round, behind one interface: RAD and what people would use instead.

A strategy is any callable that takes a ``Round`` and returns a ``Choice``. Those with a name:

>>> sorted(STRATEGIES)[:4]
['badge', 'balanced', 'balanced-greedy', 'balanced-top-confidence']
"""

from __future__ import annotations

from rad_fast.distill import inputs

from .classes import balanced, balanced_greedy, balanced_top_confidence
from .diverse import badge, cluster_margin, coreset, pcoreset
from .game import proportional, rad, rad_2026_11, rad_average, rad_both, rad_prior, rad_raw, rad_teacher
from .reliable import confident_learning, conformal, learnability, learnability_top, llkd
from .round import Choice, Round, Strategy
from .simple import entropy, least_confidence, m_raru, margin, top_confidence, uniform, unixkd

__all__ = ["STRATEGIES", "Choice", "Round", "Strategy", "strategy"]

STRATEGIES: dict[str, Strategy] = {
    "rad": rad,
    "uniform": uniform,
    "margin": margin,
    "entropy": entropy,
    "least-confidence": least_confidence,
    "top-confidence": top_confidence,
    "m-raru": m_raru,
    "balanced": balanced,
    "balanced-greedy": balanced_greedy,
    "balanced-top-confidence": balanced_top_confidence,
    "llkd": llkd,
    "learnability": learnability,
    "learnability-top": learnability_top,
    "conformal": conformal,
    "confident-learning": confident_learning,
    "coreset": coreset,
    "pcoreset": pcoreset,
    "cluster-margin": cluster_margin,
    "badge": badge,
    "unixkd": unixkd,
    "proportional": proportional,
    "rad-2026-11": rad_2026_11,
    "rad-average": rad_average,
    "rad-prior": rad_prior,
    "rad-teacher": rad_teacher,
    "rad-raw": rad_raw,
    "rad-both": rad_both,
}
"""The strategies that have a name: from the name to a function of a ``Round`` that returns a ``Choice``.

| name | what it chooses | source |
|---|---|---|
| `rad` | `rad_fast.select` calibrated on both models, with quotas; without pool logits `rad-prior` | docs/study.md |
| `rad-2026-11` | the default before quotas: one game for all classes | docs/study.md |
| `rad-both` | the game, correctness calibrated on both models, as `rad_fast.select` | |
| `rad-teacher` | the same, calibrated on the teacher's margin alone | |
| `rad-raw` | the same, correctness the teacher's confidence | |
| `rad-average` | the game as published: c = 1, mistakes from the average accuracy | Baykal et al., ICLR 2023 |
| `rad-prior` | the game before any answer of the teacher for the pool | |
| `proportional` | probability in proportion to effective gain, no game | |
| `uniform` | every point is as likely as every other | |
| `balanced` | uniform within each class | |
| `balanced-greedy` | the highest (2 c - 1) g of each class in turn | |
| `balanced-top-confidence` | the teacher's most confident of each class in turn | |
| `llkd` | teacher confident, student uncertain, thresholds by class | Li et al., NAACL 2025 |
| `learnability` | in proportion to p_teacher(y) / p_student(y) | Evans et al. 2024; Udandarao et al. 2024 |
| `learnability-top` | the highest of these | Mindermann et al., ICML 2022 |
| `conformal` | labels certified by conformal p-values, uniformly | Huang et al. 2025 |
| `confident-learning` | what confident learning calls no error, uniformly | Northcutt et al., JAIR 2021 |
| `margin` | least margin of the student | Scheffer, Decomain, Wrobel 2001 |
| `entropy` | largest entropy of the student | |
| `least-confidence` | least confidence of the student | Lewis, Gale 1994 |
| `top-confidence` | largest confidence of the student | Manjah et al., CVPR workshops 2023 |
| `m-raru` | accepted at random, by the student's uncertainty | Luccioli et al. 2025 |
| `coreset` | greedy k-center over the features | Sener, Savarese, ICLR 2018 |
| `pcoreset` | greedy k-center over the student's probabilities | Kang et al. 2025 |
| `cluster-margin` | least margins, one from each cluster in turn | Citovsky et al., NeurIPS 2021 |
| `badge` | k-means++ over gradients of the last layer | Ash et al., ICLR 2020 |
| `unixkd` | uncertainty, and mixing of the least uncertain; published with soft labels | Xu, Liu, Loy 2020 |
"""


def strategy(name: str | Strategy) -> Strategy:
    """The strategy of that name; a callable is taken as it is."""
    if callable(name):
        return name
    if name not in STRATEGIES:
        raise inputs.unknown_strategy(name, list(STRATEGIES))
    return STRATEGIES[name]
