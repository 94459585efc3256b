"""The sets of the study of streams: real teachers and students, and their points in a random order."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

Floats = npt.NDArray[np.float32]
Int64s = npt.NDArray[np.int64]
ROOT = Path(__file__).resolve().parents[2]


def shared(*names: str) -> Path | None:
    """A file of shared/data, inside the checkout or beside it; None where it is not."""
    for folder in (ROOT, ROOT.parent):
        path = folder.joinpath("shared", "data", *names)
        if path.exists():
            return path
    return None


class Two(NamedTuple):
    """What a small and a large model say to points in a random order, and the truth; first a labelled part."""

    name: str
    small: Floats
    large: Floats
    truth: Int64s
    labelled: int


@functools.lru_cache(maxsize=32)  # fitting them takes longer than a stream of their points
def both(name: str, seed: int) -> Two | None:
    """Small and large model of a set; None where the set is not there."""
    return {"digits": digits, "banking77": banking77}[name](seed)


def digits(seed: int) -> Two:
    """Logistic regressions on 60 and on 600 handwritten digits."""
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    x, y = pixels[order] / 16.0, labels[order].astype(np.int64)
    models = [LogisticRegression(max_iter=500).fit(x[:count], y[:count]) for count in (60, 600)]
    small, large = (spread(model, x[600:], 10) for model in models)
    return Two("digits", small, large, y[600:], 200)


def banking77(seed: int) -> Two | None:
    """MiniLM's similarity to the class names, without a label; a linear model on its embedding of 4,000 questions."""
    path = shared("real", "banking77.npz")
    if path is None:
        return None
    data = np.load(path)
    order = np.random.default_rng(seed).permutation(len(data["truth"]))
    x, y = data["minilm_embedding"][order], data["truth"][order].astype(np.int64)
    large = LogisticRegression(max_iter=60, C=10.0).fit(x[:4000], y[:4000])
    small = data["minilm_cosine"][order][4000:].astype(np.float32)
    return Two("banking77", small, spread(large, x[4000:], 77), y[4000:], 500)


def spread(model: LogisticRegression, x: npt.NDArray[np.float64], classes: int) -> Floats:
    """A model's logits of all classes; those it has never seen are ruled out."""
    logits = np.full((len(x), classes), -np.inf, np.float32)
    logits[:, model.classes_] = model.decision_function(x)
    return logits
