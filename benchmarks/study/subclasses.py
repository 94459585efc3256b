"""LELP on a real encoder: Banking77 merged into two or three classes, MiniLM with a linear head as the teacher."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rad_fast.distill import SubclassDistillation

from . import real
from .nets import Networks
from .runs import SETTINGS

SIZES = (100, 300, 900)  # points that the teacher labels, in the places of the three rounds
TEACHER, TEST, HIDDEN = 2000, 3000, 64
SOFT, HARD, LELP = (
    "soft labels",
    "hard labels",
    {2: "LELP, 2 subclasses", 5: "LELP, 5 subclasses", 10: "LELP, 10 subclasses"},
)
MONEY = ("transfer", "top_up", "topping", "cash", "payment", "exchange", "refund", "charge", "fee", "balance")
KINDS = {"2 classes": 2, "3 classes": 3}


def merged(count: int) -> Tensor:
    """Of every row the class: about a card or not; or a card, moving money, and the rest."""
    a = real.file("banking77")
    names = [str(name).lower() for name in a["classes"]]
    kind = [0 if "card" in n else 1 if count == 2 or any(word in n for word in MONEY) else 2 for n in names]
    return torch.tensor(kind)[torch.from_numpy(a["truth"].astype(np.int64))]


def outcomes(kind: str, seed: int) -> tuple[list[tuple[str, list[float]]], float]:
    """(loss, accuracy before and at every size) and the teacher's accuracy on the test points."""
    classes = KINDS[kind]
    y = merged(classes)
    embedding, x = (torch.from_numpy(real.features("banking77", name)) for name in ("minilm-linear", "tfidf"))
    order = torch.from_numpy(np.random.default_rng((seed, 13)).permutation(len(y)))
    own, test, pool = order[:TEACHER], order[TEACHER : TEACHER + TEST], order[TEACHER + TEST :]
    teacher = Networks(embedding.shape[1], 0, classes, [seed])
    hot = torch.nn.functional.one_hot(y[own], classes).float()
    settings = {**SETTINGS, "steps": 1000}
    teacher.train(embedding[own][None], hot[None], torch.ones(1, len(own)), seed=0, **settings)
    weights = teacher.parameters[0][0].T
    said = teacher.logits(embedding[None])[0]
    found: dict[str, list[float]] = {}
    for loss, parts in ((HARD, 1), (SOFT, 1), *((name, s) for s, name in LELP.items())):
        accuracy = [float((y[test].bincount().max() / len(test)) * 100)]  # of the most frequent class, for scale
        for size in SIZES:
            at = pool[:size]
            target = (
                torch.nn.functional.one_hot(said[at].argmax(1), classes).float()
                if loss == HARD
                else said[at].softmax(1)
            )
            if parts > 1:  # directions from all that the teacher has embedded: it needs no labels for that
                split = SubclassDistillation(parts).fit(embedding[pool], said[pool].argmax(1), weights, classes=classes)
                target = split.targets(said[at], embedding[at])
            student = Networks(x.shape[1], HIDDEN, classes * parts, [seed])
            student.train(x[at][None], target[None], torch.ones(1, size), seed=1, **SETTINGS)
            p = student.logits(x[test][None])[0].softmax(1).reshape(len(test), classes, parts).sum(2)
            accuracy.append(float((p.argmax(1) == y[test]).double().mean() * 100))
        found[loss] = accuracy
    right: Any = (said[test].argmax(1) == y[test]).double().mean() * 100
    return list(found.items()), float(right)
