"""Quotas, weights and mistakes of the classes in one call: each backend's are the specification's, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rad_fast.device.backends import Backend, Compiled, load
from rad_fast.game.quotas import Shares, shares, shares_and_mistakes, shares_of_mistakes
from rad_fast.kernels.reference import quotas as specification

WORDS = ("equal", "proportional", "root")


def drawn(rng: np.random.Generator, classes: int, most: int) -> dict[str, Any]:
    """What ``shares`` is given, with classes that have no points, none worth choosing, or none chosen before."""
    points = rng.integers(0, most + 1, classes) * (rng.random(classes) < rng.choice([0.3, 1.0]))
    points[0] += points.sum() == 0
    positive = np.minimum(points, rng.integers(0, most + 1, classes)) * (rng.random(classes) < rng.choice([0.2, 1.0]))
    own = rng.random(classes) ** 4 * 10.0 ** rng.integers(-5, 9) * (rng.random(classes) < rng.choice([0.1, 1.0]))
    own = own if rng.random() < 0.7 else np.round(own)  # ties, of fractions too
    return {
        "weights": [*WORDS, own][rng.integers(4)],
        "counts": np.stack([points, positive]).astype(np.int64),
        "chosen": (rng.integers(0, most + 1, classes) * rng.choice([0, 1])).astype(np.int64),
        "budget": int(rng.integers(1, points.sum() + 1)) if rng.random() < 0.7 else max(1, int(points.sum()) // 100),
        "bounded": bool(rng.integers(2)),
        "mistakes": float(rng.random() * points.sum() * rng.choice([0.0, 0.02, 1.0])),
    }


@pytest.mark.parametrize("classes", [1, 2, 10, 32, 33, 1000])  # 32: up to there the specification counts in a loop
@pytest.mark.parametrize("most", [1, 20, 10**8])
def test_shares_are_the_specifications(kernels: Backend, classes: int, most: int) -> None:
    rng = np.random.default_rng([classes, most])
    for _ in range(20):
        given = drawn(rng, classes, most)
        for got, wanted in zip(kernels.shares(**given), specification.shares(**given), strict=True):
            assert got.dtype == np.float64
            np.testing.assert_array_equal(got, wanted)


def test_many_rare_classes_are_shared_out_alike(kernels: Backend) -> None:
    points = np.random.default_rng(0).geometric(0.2, 70_000) - 1
    counts = np.stack([points, points // 2]).astype(np.int64)
    for budget in (100, 40_000, int(points.sum())):
        given = ("root", counts, np.zeros(len(points), np.int64), budget, True, 12.5)
        for got, wanted in zip(kernels.shares(*given), specification.shares(*given), strict=True):
            np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("asked", ["auto", "equal", "proportional", {1: 2.5, 3: 1.0}, [3, 2, 1, 0], {2: 1.0}])
@pytest.mark.parametrize("labelled", [None, 258])
def test_what_is_asked_gives_the_same_shares_on_every_backend(
    kernels: Backend, asked: Any, labelled: int | None
) -> None:
    counts, before = np.array([[100, 25, 0, 4], [3, 20, 0, 0]]), np.array([0, 7, 1, 0])
    wanted = shares(asked, counts, before, labelled, 20)
    got, each = shares_and_mistakes(asked, counts, before, labelled, 20, 2.58, kernels)
    for name in Shares._fields:
        np.testing.assert_array_equal(getattr(got, name), getattr(wanted, name))
    assert got.positive is None or isinstance(asked, str)
    np.testing.assert_array_equal(each, shares_of_mistakes(wanted, 2.58))
    assert each.tolist() == [2.0, 0.5, 0.0, np.floor(0.08 * 2**25 + 0.5) / 2**25]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"counts": np.ones(4, np.int64)}, r"counts: expected \(2, classes\) numbers, got 4 numbers"),
        ({"chosen": np.zeros(3, np.int64)}, "chosen: expected 2 contiguous numbers of int64, got 3"),
        ({"chosen": np.zeros(2)}, "chosen: expected 2 contiguous numbers of int64"),
        ({"chosen": np.array([2**52, 0])}, r"chosen: expected fewer than 2\^52 points"),
        ({"budget": 0}, "budget: expected 1 to the number of points, got 0"),
        ({"budget": 9}, "budget: expected 1 to the number of points, got 9"),
        ({"weights": "cubic"}, "weights: expected numbers, equal, proportional or root, got cubic"),
        ({"weights": np.ones(3)}, "weights: expected 2 contiguous numbers of float64, got 3"),
        ({"weights": np.array([1.0, -1.0])}, "weights: expected finite numbers from 0 on"),
        ({"weights": np.array([1.0, np.nan])}, "weights: expected finite numbers from 0 on"),
    ],
)
def test_the_compiled_kernels_refuse_what_cannot_be_shared_out(changes: dict[str, Any], message: str) -> None:
    try:
        compiled = load("cpp")
    except ImportError as error:
        pytest.skip(str(error))
    assert isinstance(compiled, Compiled)
    usual = {"weights": "root", "counts": np.array([[4, 4], [1, 1]]), "chosen": np.zeros(2, np.int64), "budget": 3}
    with pytest.raises(ValueError, match=message):
        compiled.shares(**{**usual, "bounded": True, "mistakes": 0.5, **changes})


def test_the_compiled_constants_are_those_of_the_specification() -> None:
    try:
        constants = load("cpp").module.constants()  # type: ignore[attr-defined]
    except ImportError as error:
        pytest.skip(str(error))
    found = [constants[f"quota_{name}"] for name in ("bits", "part_bits", "surely")]
    assert found == [specification.QUOTA_BITS, specification.PART_BITS, specification.SURELY]
