"""Inputs of every kind, for the tests of the command line."""

import numpy as np
import pytest

# Large enough for the points of a game to differ, small enough for the reference backend.
N, CLASSES, LABELLED = 2000, 5, 300


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A directory with every kind of input, made once; tests write elsewhere."""
    here = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (N, CLASSES)).astype(np.float32)
    student = (logits + rng.normal(0, 3, logits.shape)).astype(np.float32)
    p = np.exp(logits[:LABELLED] - logits[:LABELLED].max(axis=1, keepdims=True))
    labels = np.array([rng.choice(CLASSES, p=row / row.sum()) for row in p])
    np.save(here / "logits.npy", logits)
    np.save(here / "student.npy", student)
    np.save(here / "held_logits.npy", logits[:LABELLED])
    np.save(here / "held_student.npy", student[:LABELLED])
    np.save(here / "held_labels.npy", labels)
    np.save(here / "correctness.npy", rng.uniform(0.5, 1, N))
    np.save(here / "exclude.npy", np.arange(0, N, 2))
    return here
