"""Strategies that spread their choice over the space of features."""

from __future__ import annotations

import numpy as np

from rad_fast.distill import inputs
from rad_fast.distill.geometry import clusters, k_center, k_means_seeds

from .round import Choice, Round, chosen
from .scores import softmax


def coreset(r: Round) -> Choice:
    """Greedy k-center over the features (Sener, Savarese: CoreSet, ICLR 2018), around what is known already."""
    if r.features is None:
        raise inputs.needs("coreset", "features", "give features=")
    return chosen(r.left[k_center(r.features[r.left], r.known_features, r.budget, r.rng)])


def pcoreset(r: Round) -> Choice:
    """Greedy k-center over the student's probabilities (Kang et al.: PCoreSet, 2025)."""
    known = None if r.known_logits is None else softmax(r.known_logits).astype(np.float32)
    return chosen(r.left[k_center(r.student[r.left].astype(np.float32), known, r.budget, r.rng)])


CANDIDATES = 10  # Cluster-Margin looks at so many times the budget, as in the paper's largest study


def cluster_margin(r: Round) -> Choice:
    """Cluster-Margin (Citovsky et al., NeurIPS 2021): of the points of smallest student margin, ten times the budget
    but at most half of those left, one from each cluster in turn, the smallest clusters first."""
    if r.features is None:
        raise inputs.needs("cluster-margin", "features", "give features=")
    if "clusters" not in r.memory:  # once, at the first round, as in the paper
        r.memory["clusters"] = clusters(r.features, np.random.default_rng(r.seed))
    few = max(r.budget, min(CANDIDATES * r.budget, len(r.left) // 2))
    near = r.left[np.argsort(r.student_margin[r.left], kind="stable")[:few]]
    names, members, sizes = np.unique(r.memory["clusters"][near], return_inverse=True, return_counts=True)
    order = np.argsort(sizes + r.rng.random(len(names)), kind="stable")
    place = np.empty(len(names), np.int64)
    place[order] = np.arange(len(names))
    turn = place[members]
    shuffled = r.rng.permutation(len(near))
    by_turn = shuffled[np.argsort(turn[shuffled], kind="stable")]
    rank = np.arange(len(near)) - np.searchsorted(turn[by_turn], turn[by_turn])
    return chosen(near[by_turn[np.lexsort((turn[by_turn], rank))[: r.budget]]])


def badge(r: Round) -> Choice:
    """BADGE (Ash et al., ICLR 2020): k-means++ over the gradients that the student's likeliest class would give its
    last layer, (p - onehot) times the features."""
    if r.features is None:
        raise inputs.needs("badge", "features", "give features=")
    slope = r.student[r.left].astype(np.float32)
    slope[np.arange(len(slope)), slope.argmax(1)] -= 1.0
    return chosen(r.left[k_means_seeds(slope, r.features[r.left], r.budget, r.rng)])
