"""The functions that csrc/cuda shares between host and device, on the CPU, against NumPy and the reference."""

from __future__ import annotations

from fractions import Fraction
from types import ModuleType

import numpy as np
import pytest

from rad_fast.game import solver
from rad_fast.kernels.reference import game as reference

ULP = 2.0**-24


def test_exponential_errs_by_a_unit_and_keeps_nan(shared: ModuleType) -> None:
    x = -np.random.default_rng(0).exponential(4.0, 200_000).astype(np.float32)
    x[:4] = [0.0, -np.inf, np.nan, -1e30]
    got = shared.exponential(x).astype(np.float64)
    assert got[:2].tolist() == [1.0, 0.0]
    assert np.isnan(got[2])
    assert got[3] == 0.0
    # The rounding of the argument weighs |x| exp(x) <= 0.37 of what the polynomial errs by.
    assert np.nanmax(np.abs(got - np.exp(x.astype(np.float64)))) <= 1.4 * ULP
    y = -np.random.default_rng(1).exponential(4.0, 200_000)
    assert np.abs(shared.exp_difference(y) - np.exp(y)).max() <= 1.4 * ULP


def test_logarithm_logit_and_sigmoid(shared: ModuleType) -> None:
    p = np.random.default_rng(2).random(100_000).astype(np.float32)
    exact = p.astype(np.float64)
    np.testing.assert_allclose(shared.logarithm(p[p > 0]), np.log(exact[p > 0]), rtol=3e-7, atol=1e-7)
    clipped = np.clip(exact, 2.0**-20, 1 - 2.0**-20)
    np.testing.assert_allclose(shared.logit(p), np.log(clipped) - np.log1p(-clipped), rtol=1e-6, atol=3e-7)
    u = np.linspace(-80, 80, 4001).astype(np.float32)
    np.testing.assert_allclose(shared.sigmoid(u), 1 / (1 + np.exp(-u.astype(np.float64))), rtol=0, atol=2 * ULP)


def test_half_floats_of_every_bit_pattern(shared: ModuleType) -> None:
    bits = np.arange(1 << 16, dtype=np.uint16)
    np.testing.assert_array_equal(shared.half(bits), bits.view(np.float16).astype(np.float32))


def test_two_largest_of_two_halves(shared: ModuleType) -> None:
    rng = np.random.default_rng(3)
    for _ in range(300):
        x = rng.integers(-3, 4, rng.integers(2, 9)).astype(np.float64)
        x[rng.random(len(x)) < 0.1] = -np.inf
        expected = np.sort(x)[::-1][:2]
        for cut in range(len(x) + 1):
            assert shared.top_two(x, cut) == tuple(expected)


def test_step_function_is_searchsorted(shared: ModuleType) -> None:
    rng = np.random.default_rng(4)
    for steps in (0, 1, 2, 7, 64):
        thresholds = np.sort(rng.random(steps)).astype(np.float32)
        levels = rng.random(steps + 1).astype(np.float32)
        for margin in [*rng.random(50).astype(np.float32), *thresholds, np.float32(0), np.float32(1)]:
            at = np.searchsorted(thresholds, margin, side="right")
            assert shared.level(thresholds, levels, float(margin)) == levels[at]


def test_width_classes(shared: ModuleType) -> None:
    """A thread, lanes, a warp, a block, a cluster; only between the last two does the number of rows count."""
    cases = {
        (10, 4): 0, (64, 4): 0, (65, 4): 1, (128, 4): 1, (129, 4): 2, (256, 4): 2, (257, 4): 3, (512, 4): 3,
        (513, 4): 4,
        (1000, 4): 4, (2048, 4): 4, (2049, 4): 5, (128, 2): 0, (129, 2): 1, (1000, 2): 3, (4096, 2): 4, (4097, 2): 5,
        (10, 8): 0, (33, 8): 1, (16384, 4): 5,
    }  # fmt: skip
    for (classes, size), expected in cases.items():
        assert shared.width_class(classes, size, 10**6, 1056, True) == expected, (classes, size)
    assert shared.width_class(128_256, 2, 64, 1056, True) == 6
    assert shared.width_class(128_256, 2, 5000, 1056, True) == 5
    assert shared.width_class(128_256, 2, 64, 1056, False) == 5
    assert shared.width_class(65_528, 2, 64, 1056, True) == 5


def test_widths_round_as_the_reference(shared: ModuleType) -> None:
    rng = np.random.default_rng(5)
    gain = np.concatenate([np.arange(5000), rng.integers(1, (1 << 24) + 1, 500_000), [1 << 24]]).astype(np.int32)
    g = gain.astype(np.float32) * np.float32(2.0**-24)
    expected = (reference.terms(g, g).width * 2.0**38).astype(np.uint64)
    np.testing.assert_array_equal(shared.width(gain), expected)


def test_comparison_of_long_products(shared: ModuleType) -> None:
    rng = np.random.default_rng(6)
    for _ in range(2000):
        w = int(rng.integers(0, 2**62)) << int(rng.integers(0, 40))
        t = int(rng.integers(-(2**48) - 1, 2**48 + 1)) >> int(rng.integers(0, 48))
        near = t * w >> 24
        for x in (near, near + 1, near - 1, int(rng.integers(-(2**62), 2**62)), 0):
            if abs(x) < 2**126:
                assert shared.not_less(x, t, w) == (x * 2**24 >= t * w)


def test_ratios_are_rounded_as_fractions_are(shared: ModuleType) -> None:
    rng = np.random.default_rng(7)
    for _ in range(3000):
        n = int(rng.integers(-(2**62), 2**62)) * int(rng.integers(1, 2**62)) >> int(rng.integers(0, 120))
        d = (int(rng.integers(1, 2**62)) * int(rng.integers(1, 2**62)) >> int(rng.integers(0, 120))) or 1
        assert shared.ratio(n, d, 0) == float(Fraction(n, d))
    for n in (2**53 + 1, 2**54 + 2, 2**54 + 6, 3 * 2**53 + 1):  # ties
        assert shared.ratio(n, 1, 0) == float(n)


def points(kind: int, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Gains on the grid of 2^-24 and correctness, of several kinds; the last two have many points alike."""
    margin, correctness = {
        0: lambda: (rng.random(size), rng.random(size)),
        1: lambda: (rng.random(size) ** 4, np.clip(rng.normal(0.9, 0.1, size), 0, 1)),
        2: lambda: (rng.random(size), np.ones(size)),
        3: lambda: (1 - rng.random(size) ** 3, rng.beta(8, 2, size)),
        4: lambda: (rng.random(size), rng.random(size) * 0.4),
        5: lambda: (np.round(rng.random(size) * 4) / 4, np.round(rng.random(size) * 4) / 4),
        6: lambda: (np.full(size, 0.5), np.full(size, 0.75)),
    }[kind]()
    return np.float32(1) - margin.astype(np.float32), correctness.astype(np.float32)


@pytest.mark.parametrize("kind", range(7))
def test_sums_and_probabilities_have_the_references_bits(shared: ModuleType, kind: int) -> None:
    rng = np.random.default_rng(kind)
    gain, correctness = points(kind, 3000, rng)
    gain[::17] = np.nan
    for box in ((0, 1, -1, 1), (0.2, 0.4, -0.3, 0.1), (0.5, 0.5, 0.1, 0.2), (0.1, 0.2, -0.4, -0.2), (1, 1, 0.25, 0.25)):
        sums, left, _ = reference.reduce(gain, correctness, reference.Box(*map(float, box)))
        got, undecided = shared.sums(gain, correctness, *map(float, box))
        assert reference.Sums(*got) == sums
        assert undecided == len(left)
    for three in ((0.3, 0.1, 0.0), (1.0, 0.25, 0.5), (0.25, -0.25, 0.75), (0.1, -0.5, 0.1), (0.0, 0.0, 1.0)):
        expected = reference.probabilities(gain, correctness, reference.Equilibrium(*three, 0.0))
        np.testing.assert_array_equal(shared.probabilities(gain, correctness, *three), expected)


class Arrays:
    """A pool of few points, for the solver on the host."""

    def __init__(self, gain: np.ndarray, correctness: np.ndarray) -> None:
        self.both = gain, correctness
        self.size = len(gain)

    def peek(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        return self.both


@pytest.mark.parametrize("kind", range(7))
def test_search_finds_the_hosts_equilibrium(shared: ModuleType, kind: int) -> None:
    """Price, threshold and share are the host's, bit for bit; where the fill is exact, the probabilities are."""
    rng = np.random.default_rng(100 + kind)
    alike = 0
    for trial in range(60):
        size = int(rng.choice([1, 2, 3, 7, 40, 300, 3000]))
        gain, correctness = points(kind, size, rng)
        if trial % 3 == 0:
            gain[rng.random(size) < 0.2] = np.nan
        valid = int((~np.isnan(gain)).sum())
        if valid == 0:
            continue
        budget = int(rng.integers(1, valid + 1)) if trial % 2 else max(1, valid // 20)
        mistakes = float(rng.choice([0.0, 0.01, 0.05, 0.3, rng.random()])) * valid
        host = solver.solve(Arrays(gain, correctness), budget, mistakes)
        four, good, _, probes, _ = shared.solve(gain, correctness, budget, mistakes)
        assert good, (kind, trial)
        assert probes <= 200
        got = reference.Equilibrium(*four)
        assert got.value == pytest.approx(host.value, rel=1e-9, abs=1e-9)
        if got[:3] == host[:3]:
            alike += 1
            continue
        q = reference.probabilities(gain, correctness, got)
        # 2^-39, relative, is what rounding the widths makes of a price.
        np.testing.assert_allclose(q, reference.probabilities(gain, correctness, host), rtol=2.0**-37, atol=2.0**-37)
        assert q.sum() == pytest.approx(budget, rel=1e-12)
    assert alike >= 40


@pytest.mark.parametrize("share", [0.005, 0.05])
def test_the_iteration_in_float64_leaves_one_probe_to_prove(shared: ModuleType, share: float) -> None:
    rng = np.random.default_rng(5)
    gain = np.float32(1) - (rng.random(12_000) ** 4).astype(np.float32)
    correctness = np.clip(rng.normal(0.9, 0.1, 12_000), 0, 1).astype(np.float32)
    _, good, _, probes, approached = shared.solve(gain, correctness, int(share * 12_000), 240.0)
    assert good
    assert probes - approached == 1
    assert approached <= 10
