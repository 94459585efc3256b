"""The game's kernels against the reference and the host-driven solver."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from cases import DEVICE, GAMES, game, host, on_device, points, some

from rad_fast.device.backends import Kernels
from rad_fast.game import solver
from rad_fast.game.pool import ArrayPool
from rad_fast.kernels.reference import game as reference
from rad_fast.kernels.reference.game import Box, Equilibrium
from rad_fast.kernels.triton import equilibrium as device
from rad_fast.kernels.triton import game as kernels
from rad_fast.kernels.triton.solver import not_negative

# One for few points; on a GPU by default the usual one, which is compiled anyway.
SMALL = device.Shape(sample=64, fan=16, prices=16, block=128, rows=64, against=64, shrinks=2)
SMALL = some([SMALL], [device.usual_shape()])[0]


def solved(gain: np.ndarray, correctness: np.ndarray, budget: int, mistakes: float) -> Equilibrium:
    return solver.solve(ArrayPool([(gain, correctness)], Kernels("reference")), budget, mistakes)


def tensors(*arrays: np.ndarray) -> tuple[torch.Tensor, ...]:
    return tuple(on_device(array) for array in arrays)


def test_sums_and_undecided_points_equal_the_references() -> None:
    random = np.random.default_rng(0)
    for turn in range(40):
        count = int(random.choice([1, 100, 16383, 16384, 16385, 70000]))
        gain, correctness = points(random, count)
        gain[random.random(count) < 0.05] = np.nan
        gain[random.random(count) < 0.05] = 2.0**-24  # the widest
        low, high = np.sort(random.integers(0, 2**24 + 1, 2)) * 2.0**-24
        box = Box(low, high, *np.sort(random.random(2) * 2 - 1))
        if turn % 4 == 0:
            box = Box(low, high, low - 1, low - 1)
        if turn % 8 == 0:
            box = Box()
        sums, *undecided = reference.reduce(gain, correctness, box)
        mine, pool = kernels.DevicePool(*tensors(gain, correctness)).reduce(box)
        assert mine == sums, box
        assert pool.size == len(undecided[0])
        if pool.size <= len(pool.gain):
            theirs = np.sort(undecided[0].astype(np.float64) * 4 + undecided[1])
            ours = np.sort(host(pool.gain).astype(np.float64) * 4 + host(pool.correctness))
            assert np.array_equal(ours, theirs)


def test_box_ends_off_the_grid_compare_as_the_reference_does() -> None:
    random = np.random.default_rng(1)
    gain, correctness = points(random, 3000)
    terms = reference.terms(gain, correctness)
    for _ in range(20):
        ends = np.nextafter(random.choice(terms.effective, 2), random.choice([-2, 2], 2))
        box = Box(float(random.choice(gain)) * (1 - 2**-50), 0.9, *np.sort(ends))
        sums, undecided, _ = reference.reduce(gain, correctness, box)
        mine, pool = kernels.DevicePool(*tensors(gain, correctness)).reduce(box)
        assert mine == sums
        assert pool.size == len(undecided)


def test_the_host_driven_solver_gets_the_same_bits_from_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver, "DIRECT", 200)
    monkeypatch.setattr(solver, "SAMPLE", 150)
    random = np.random.default_rng(2)
    for _ in range(30):
        gain, correctness, budget, mistakes = game(random, 5000, 200)
        pool = kernels.DevicePool(*tensors(gain, correctness))
        assert solver.solve(pool, budget, mistakes) == solved(gain, correctness, budget, mistakes)


def test_distinct_points_are_counted_across_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "DISTINCT_CHUNK", 1000)
    random = np.random.default_rng(3)
    gain, correctness = points(random, 5500)
    gain, correctness = np.round(gain * 8) / np.float32(8), np.round(correctness * 4) / np.float32(4)
    gain[::7] = np.nan
    got = kernels.DevicePool(*tensors(gain, correctness)).distinct()
    want = ArrayPool([(gain[~np.isnan(gain)], correctness[~np.isnan(gain)])], Kernels("reference")).distinct()
    for mine, theirs in zip(got, want, strict=True):
        assert np.array_equal(mine, theirs)


def test_probabilities_have_the_references_bits() -> None:
    random = np.random.default_rng(4)
    for _ in range(20):
        gain, correctness, budget, mistakes = game(random, 3000)
        answer = solved(gain, correctness, budget, mistakes)
        q = reference.probabilities(gain, correctness, answer)
        mine = tensors(gain, correctness)
        assert np.array_equal(host(kernels.probabilities(*mine, answer)), q)


# ------------------------------------------------------------------------------------------------- solved on the device


@triton.jit
def not_negative_kernel(advantage, slope, high, low, out, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    answer = not_negative(tl.load(advantage + at), tl.load(slope + at), tl.load(high + at), tl.load(low + at))
    tl.store(out + at, answer.to(tl.int32))


def test_the_sign_of_a_slope_is_exact() -> None:
    random = np.random.default_rng(5)
    advantage, slope, high, low, want = [], [], [], [], []
    for _ in range(1024):
        t = int(random.integers(-(2**48), 2**48 + 1)) >> int(random.integers(0, 48))
        width = int(random.integers(0, 2**62)) * int(random.integers(1, 2**20)) >> int(random.integers(0, 60))
        width = min(width, (1 << 110) // max(1, abs(t)))
        near = (t * width) >> 62  # on the edge, where a rounded product would err
        a = near + int(random.integers(-1, 3))
        if random.random() < 0.1:  # exact zeros
            t, width, a = t >> 24 << 24, width >> 38 << 38, 0
            a = (t * width) >> 62 if (t * width) % (1 << 62) == 0 else 0
        advantage.append(a)
        slope.append(t)
        high.append(width >> 31)
        low.append(width & (2**31 - 1))
        want.append(a * 2**62 - t * width >= 0)
    out = torch.empty(1024, dtype=torch.int32, device=DEVICE)
    numbers = [on_device(column, torch.int64) for column in (advantage, slope, high, low)]
    not_negative_kernel[(1,)](*numbers, out, BLOCK=1024)
    assert out.bool().tolist() == want


def assert_same_answer(answer: Equilibrium, want: Equilibrium, what: str) -> None:
    """Equal up to the last bits of the final divisions, which the host takes from exact fractions."""
    for mine, theirs in zip(answer, want, strict=True):
        assert abs(mine - theirs) <= 1e-13 * max(1.0, abs(theirs)), f"{answer}, not {want} in {what}"


def test_small_games_have_the_hosts_answer() -> None:
    random = np.random.default_rng(10)
    for turn in range(GAMES):
        gain, correctness, budget, mistakes = game(random, 64, turn=turn)
        got = device.read(device.solve(*tensors(gain, correctness), budget, mistakes, shape=SMALL))
        what = f"gain {gain}, correctness {correctness}, budget {budget}, mistakes {mistakes}"
        assert got is not None, what
        want = solved(gain, correctness, budget, mistakes)
        # Where the points fill the budget just so, other prices and thresholds describe the same probabilities; the
        # host's search, which decides by whole numbers, and the device's may then end at different ones.
        q, wanted = (reference.probabilities(gain, correctness, answer) for answer in (got, want))
        if np.isin(wanted, (0.0, 1.0)).all():
            assert abs(got.value - want.value) <= 1e-11 * len(gain), what
            np.testing.assert_allclose(q, wanted, rtol=0, atol=1e-11)
        else:
            assert_same_answer(got, want, what)


def test_a_game_of_few_points_by_one_program_has_the_hosts_bits() -> None:
    random = np.random.default_rng(30)
    for turn in range(0, GAMES, 9):  # the same function plays the games by class
        gain, correctness, budget, mistakes = game(random, 200, turn=turn)
        got = device.read(device.solve(*tensors(gain, correctness), budget, mistakes))
        want = solved(gain, correctness, budget, mistakes)
        assert got is not None
        assert got[:3] == want[:3]
        assert got.value == pytest.approx(want.value, rel=1e-12, abs=1e-11)


def test_many_points_are_narrowed_to_the_hosts_answer() -> None:
    random = np.random.default_rng(20)
    found = 0
    for turn in range(0, GAMES, 5):  # all kinds of points
        gain, correctness, budget, mistakes = game(random, 8000, 2500, turn)
        solution = device.solve(*tensors(gain, correctness), budget, mistakes, shape=device.usual_shape())
        got = device.read(solution)
        if got is not None:  # where many points are alike the device may say that it found nothing
            found += 1
            assert_same_answer(got, solved(gain, correctness, budget, mistakes), f"{budget}, {mistakes}")
    assert found >= 4, f"only {found} games solved on the device: the test proves nothing"


def test_mistakes_for_each_valid_point_are_counted_on_the_device() -> None:
    random = np.random.default_rng(21)
    gain = random.integers(1, 2**24, 6000).astype(np.float32) * np.float32(2**-24)
    correctness = (0.5 + 0.5 * random.random(6000)).astype(np.float32)
    gain[::5] = np.nan
    for count, shape in ((50, None), (50, SMALL), (6000, device.usual_shape())):
        part = tensors(gain[:count], correctness[:count])
        valid = int(np.count_nonzero(~np.isnan(gain[:count])))
        solution = device.solve(*part, valid // 4, 0.0, 0.05, shape)
        assert solution.outcome.tolist() == [1, valid]
        mistakes = np.floor(0.05 * valid * 2**25 + 0.5) / 2**25
        want = solved(gain[:count], correctness[:count], valid // 4, mistakes)
        answer = device.read(solution)
        assert answer is not None
        assert_same_answer(answer, want, f"{count} points")


def test_too_few_valid_points_are_reported() -> None:
    for count, shape in ((30, None), (30, SMALL), (3000, device.usual_shape())):
        gain, correctness = torch.rand(count, device=DEVICE), torch.rand(count, device=DEVICE)
        gain[count // 2 :] = float("nan")
        solution = device.solve(gain, correctness, count // 2 + 1, 1.0, shape=shape)
        assert device.read(solution) is None
        assert solution.outcome.tolist() == [3, count // 2]


def test_points_alike_on_the_threshold_are_left_to_the_host() -> None:
    solution = device.solve(*tensors(np.full(50000, 0.5, np.float32), np.full(50000, 0.75, np.float32)), 100, 0.0)
    assert device.read(solution) is None
    assert solution.outcome[0] in (0, 2)
