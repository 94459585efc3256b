"""Points that are in two data sets of a run are spoken of, where they are looked for."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="rad_fast.distill needs torch")

from rad_fast.distill import overlap  # noqa: E402
from rad_fast.distill.pairs import Mixed, Pairs  # noqa: E402

from .distill_problem import plane, said_of  # noqa: E402

X, Y = plane()
TEXTS = [f"{a} {b}" for a, b in X.tolist()]


@pytest.mark.parametrize(
    ("others", "says"),
    [
        ({}, []),
        ({"holdout": (X[:20], Y[:20])}, ["holdout: 20 of 20 points are in labelled as well: a student is surer"]),
        ({"holdout": (X[9:29], Y[9:29])}, ["holdout: 11 of 20 points are in labelled as well"]),
        ({"holdout": (X[10:30], Y[10:30])}, []),  # half of them
        ({"pool": X[20:]}, ["holdout: 40 of 40 points are in the pool as well: once chosen they are learned"]),
        (
            {"pool": X[:20].flip(0)},
            ["labelled: 20 of 20 points are in the pool as well: the teacher may be asked about"],
        ),
        ({"pool": X.numpy()[20:], "labelled": (X[:20].numpy(), Y[:20])}, ["holdout: 40 of 40 points are in the pool"]),
        ({"pool": X}, ["holdout: 40 of 40 points are in the pool", "labelled: 20 of 20 points are in the pool"]),
        ({"holdout": (X[:9], Y[:9])}, []),  # too few to tell
        ({"holdout": None, "labelled": (X[:60], Y[:60])}, []),
        ({"holdout": None, "labelled": (X[:60], Y[:60]), "pool": X}, ["holdout: 12 of 12 p", "labelled: 48 of 48 p"]),
    ],
)
def test_points_in_two_places_are_spoken_of(others, says):
    found = said_of(**others)
    assert len(found) == len(says), found
    for one, begins in zip(found, says, strict=True):
        assert one.startswith(begins)


def of(data) -> Pairs:
    return Pairs("labelled", (data, np.zeros(len(data), np.int64)))


@pytest.mark.parametrize(
    ("few", "many", "found"),
    [
        (TEXTS[:20], TEXTS[10:], (20, 10)),
        (["yes", "no"] * 10, ["yes", "no"] * 50, (0, 0)),  # equal texts abound
        (torch.eye(4)[torch.arange(20) % 4], torch.eye(4)[torch.arange(50) % 4], (0, 0)),
        (TEXTS[:20], X, (0, 0)),  # nobody compares these
        (X[:20], X.double(), (0, 0)),
        (X[:20], torch.cat([X, X], 1), (0, 0)),
        (X[:20].bfloat16(), X.bfloat16(), (0, 0)),
        (X[:20].half(), X.half(), (20, 20)),
        (list(X[:20]), X, (0, 0)),
        (np.arange(20), np.arange(15), (20, 15)),
        (np.zeros((20, 0)), np.zeros((20, 0)), (0, 0)),
        (
            torch.randn(20, 3, 5, 5, generator=torch.Generator().manual_seed(0)).transpose(2, 3),
            torch.zeros(9, 3, 5, 5),
            (20, 0),
        ),
    ],
)
def test_what_is_compared(few, many, found):
    assert overlap.shared(of(few), Mixed(many)) == found


def test_rows_that_differ_in_one_number_are_others():
    rows = np.random.default_rng(0).normal(size=(50, 200)).astype(np.float32)
    other = rows.copy()
    other[:30, 101] += 1.0
    assert overlap.shared(of(rows), Mixed(other)) == (50, 20)


def test_of_very_many_points_some_are_looked_for():
    many = np.arange(40_000.0)[:, None]
    assert overlap.shared(of(many[::4]), Mixed(many)) == (1024, 1024)
    assert overlap.shared(of(many[::4] + 0.5), Mixed(many)) == (1024, 0)
