"""Nested budgets: a larger selection that contains a smaller, with exact probabilities given the smaller."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

import rad_fast

N, C, FIRST, SECOND = 300, 4, 20, 60
QUOTAS = pytest.mark.parametrize("quotas", [None, "auto", [1.0, 5.0, 0.0, 2.0]], ids=["one game", "auto", "given"])


@pytest.fixture(scope="module")
def logits() -> np.ndarray:
    return np.random.default_rng(3).normal(0, 4, (N, C)).astype(np.float32)


def first_of(logits: Any, quotas: Any, seed: int = 0) -> rad_fast.Selection:
    return rad_fast.Selector(FIRST, mistakes=5, quotas=quotas, seed=seed).fit(logits, exclude=np.arange(10))


@QUOTAS
def test_the_larger_selection_contains_the_smaller_and_has_the_budget(logits: np.ndarray, quotas: Any) -> None:
    first = first_of(logits, quotas)
    second = first.extend(SECOND)
    third = second.extend("50%")
    for small, large, budget in ((first, second, SECOND), (second, third, 145)):  # half of 290
        assert large.budget == len(large.indices) == budget
        assert np.all(np.diff(large.indices) > 0)
        assert np.isin(small.indices, large.indices).all()
        assert not np.isin(np.arange(10), large.indices).any(), "what was excluded stays so"
        assert large.probabilities.sum() == pytest.approx(budget, rel=1e-12)
        assert np.all(large.probabilities[small.indices] == 1.0)
        np.testing.assert_array_equal(large.weights, 1.0 / large.probabilities[large.indices])
        assert sum(large.report()["selected_labels"].values()) == budget
        if quotas is not None:
            assert large.quotas.sum() == pytest.approx(budget)
            taken = np.bincount(large.labels[large.indices], minlength=C)
            assert np.all(np.abs(taken - large.quotas) < 1.0), "each class gets floor or ceil of its quota"
    np.testing.assert_array_equal(first_of(logits, quotas).extend(SECOND).indices, second.indices)
    assert not np.array_equal(first.extend(SECOND, seed=5).indices, second.indices)


@QUOTAS
def test_given_the_first_stage_the_second_takes_points_with_just_its_probabilities(
    logits: np.ndarray, quotas: Any
) -> None:
    """Each point's frequency over independent starts is binomial. Points are dealt into groups, of which the systematic
    sample takes nearly a fixed number: chi-square of all points at once would be too small, not too large."""
    first = first_of(logits, quotas)
    times, counts = 3000, np.zeros(N)
    for seed in range(times):
        second = first.extend(SECOND, seed=seed)
        counts[second.indices] += 1
    q = second.probabilities
    np.testing.assert_array_equal(counts[q == 1.0], times)
    np.testing.assert_array_equal(counts[q == 0.0], 0)
    chance = np.flatnonzero((q > 0) & (q < 1))
    assert len(chance) > 40, "the second stage must leave something to chance"
    p = [stats.binomtest(int(counts[i]), times, float(q[i])).pvalue for i in chance]
    assert min(p) > 1e-3 / len(chance)
    statistic = np.sum((counts[chance] - times * q[chance]) ** 2 / (times * q[chance] * (1.0 - q[chance])))
    assert stats.chi2.sf(statistic, len(chance)) > 1e-3, f"{statistic} with {len(chance)} degrees of freedom"


def test_weighted_sums_are_unbiased_given_the_first_stage(logits: np.ndarray) -> None:
    first = first_of(logits, None)
    estimates = []
    for seed in range(1000):
        second = first.extend(SECOND, seed=seed)
        estimates.append(float((second.weights * second.gain[second.indices]).sum()))
    truth = float(second.gain[second.probabilities > 0].sum(dtype=np.float64))
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) - truth) < 4 * error


def test_the_starts_of_the_stages_are_independent(logits: np.ndarray) -> None:
    """With the same start in both stages the second would be bound to the first, and its probabilities wrong."""
    from rad_fast.game.nested import stage_seed
    from rad_fast.kernels.reference.sample import drawn

    ours = np.array([drawn(seed) for seed in range(2000)], float)
    next_ones = np.array([drawn(stage_seed(seed, 20)) for seed in range(2000)], float)
    assert abs(stats.spearmanr(ours, next_ones).statistic) < 0.06
    assert stats.kstest(next_ones / 2.0**64, "uniform").pvalue > 1e-3


@QUOTAS
def test_the_promise_of_both_stages_is_kept_over_all_draws(logits: np.ndarray, quotas: Any) -> None:
    """Against any one choice of spoilt labels, here the dearest of the first stage or of both, on average."""
    selections = [first_of(logits, quotas, seed).extend(SECOND) for seed in range(200)]
    promised = np.mean([selection.value for selection in selections])
    first = first_of(logits, quotas)
    g, c = np.nan_to_num(first.gain.astype(float)), np.nan_to_num(first.correctness.astype(float))
    cost = np.mean([selection.probabilities for selection in selections], axis=0) * g
    for harm in (cost, first.probabilities * g):
        order = np.argsort(-harm)
        spoilt = np.zeros(N)
        spoilt[order] = np.clip(5.0 - np.concatenate([[0.0], np.cumsum(c[order])[:-1]]), 0.0, c[order])
        if quotas is not None:  # the adversary of a class has its part of the mistakes
            share = 5.0 * np.bincount(first.labels[10:], minlength=C) / (N - 10)
            for k in range(C):
                mine = order[first.labels[order] == k]
                spoilt[mine] = np.clip(share[k] - np.concatenate([[0.0], np.cumsum(c[mine])[:-1]]), 0.0, c[mine])
        gains = g * (2.0 * (c - spoilt) - 1.0)
        earned = [gains[selection.indices].sum() for selection in selections]
        assert np.mean(earned) > promised - 4.0 * np.std(earned) / np.sqrt(len(earned))
    if quotas is None:  # the game of the whole budget is the best that any design can promise
        whole = rad_fast.Selector(SECOND, mistakes=5).fit(logits, exclude=np.arange(10))
        assert 0.0 < promised <= whole.value


def test_a_table_says_which_points_were_there_before(logits: np.ndarray) -> None:
    first = first_of(logits, None)
    second = first.extend(SECOND)
    before = [words.startswith("selected before") for words in second._columns["why"]]
    np.testing.assert_array_equal(second.indices[before], first.indices)


def test_an_extended_selection_is_saved_and_drawn(logits: np.ndarray, tmp_path: Any) -> None:
    second = first_of(logits, "auto").extend(SECOND)
    second.save(tmp_path / "second.npz")
    back = rad_fast.Selection.load(tmp_path / "second.npz")
    np.testing.assert_array_equal(back.weights, second.weights)
    assert back._figures == second._figures
    np.testing.assert_array_equal(back.extend(100).indices, second.extend(100).indices)
    d = (2.0 * second.correctness.astype(float) - 1.0) * second.gain
    assert second._figures["expected"] == pytest.approx(np.nansum(second.probabilities * d))


def test_torch_in_torch_out(logits: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    second = first_of(torch.from_numpy(logits), None).extend(SECOND)
    assert isinstance(second.indices, torch.Tensor)
    assert isinstance(second.weights, torch.Tensor)
    np.testing.assert_array_equal(second.indices.numpy(), first_of(logits, None).extend(SECOND).indices)


def test_a_budget_that_is_not_larger_is_refused(logits: np.ndarray) -> None:
    first = first_of(logits, None)
    with pytest.raises(ValueError, match="budget: expected a total of more than the 20 points already selected"):
        first.extend(20)
    with pytest.raises(ValueError, match="budget: expected at most 290"):
        first.extend(291)
