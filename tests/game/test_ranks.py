"""What ranks tell each other: the pools, the scan's places, and torch's group whatever its ranks do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rad_fast.device.backends import Backend
from rad_fast.game import group, quotas
from rad_fast.game.group import Alone, GroupPool
from rad_fast.game.pool import ArrayPool
from rad_fast.game.quotas import ClassPools, Shares
from rad_fast.kernels.reference.game import Box
from rad_fast.kernels.reference.score import Points

from ..oracle import exact, on_grid
from .test_group import Ranks


class Distributed:
    """torch.distributed as rank 1 of three sees it: what the others say is given, or the call fails."""

    def __init__(self, others: tuple[Any, Any] | None) -> None:
        self.others = others
        self.told: list[Any] = []

    def all_gather_object(self, everyone: list[Any], mine: Any, group: Any) -> None:
        assert group == "these"
        self.told.append(mine)
        if self.others is None:
            raise RuntimeError("Connection closed by peer")
        everyone[:] = [self.others[0], mine, self.others[1]]


def torch_group(others: tuple[Any, Any] | None) -> group.TorchGroup:
    made = object.__new__(group.TorchGroup)
    made.distributed, made.process_group, made.rank, made.size = Distributed(others), "these", 1, 3
    return made


def failing() -> Any:
    raise KeyError("mine")


def test_every_rank_gets_all_results_by_rank() -> None:
    ranks = torch_group(((None, 10), (None, 30)))
    assert ranks.exchange(lambda: 20) == [10, 20, 30]
    assert ranks.distributed.told == [(None, 20)]


def test_a_rank_that_fails_tells_the_others_and_raises_its_own_error() -> None:
    for others in (((None, 10), (None, 30)), (("ValueError: theirs", None), (None, 30)), None):
        ranks = torch_group(others)
        with pytest.raises(KeyError, match="mine"):
            ranks.exchange(failing)
        assert ranks.distributed.told == [("KeyError: 'mine'", None)]


def test_the_first_rank_that_failed_is_named() -> None:
    with pytest.raises(RuntimeError, match=r"^process_group: rank 2 failed: ValueError: theirs"):
        torch_group(((None, 10), ("ValueError: theirs", None))).exchange(lambda: 20)
    with pytest.raises(RuntimeError, match=r"^process_group: rank 0 failed: ValueError: a"):
        torch_group((("ValueError: a", None), ("ValueError: b", None))).exchange(lambda: 20)


def test_a_rank_that_is_gone_is_said() -> None:
    with pytest.raises(RuntimeError, match="process_group: a rank ended or did not answer within the group's timeout"):
        torch_group(None).exchange(lambda: 20)


def test_a_group_is_initialised_and_this_process_belongs_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("torch.distributed")
    assert isinstance(group.group_of(None), Alone)
    for available, initialised in ((True, False), (False, True), (False, False)):
        monkeypatch.setattr(distributed, "is_available", lambda there=available: there)
        monkeypatch.setattr(distributed, "is_initialized", lambda there=initialised: there)
        with pytest.raises(ValueError, match="process_group: expected an initialised group; call"):
            group.group_of("these")
    monkeypatch.setattr(distributed, "is_available", lambda: True)
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda these: 3)
    for rank in (-1, 0, 2):
        monkeypatch.setattr(distributed, "get_rank", lambda these, rank=rank: rank)
        if rank < 0:
            with pytest.raises(ValueError, match="process_group: expected a group that this process belongs to"):
                group.group_of("these")
        else:
            made = group.group_of("these")
            assert (made.rank, made.size, made.process_group) == (rank, 3, "these")  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------------------------------ the pools


def points_of(size: int, seed: int = 0, values: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    gain, correctness = rng.random((2, size))
    if values:
        gain, correctness = np.floor(gain * values) / values, np.floor(correctness * values) / values
    return on_grid(gain), exact(correctness)


def on_ranks(cuts: list[int], work: Callable[[Any, int], Any]) -> list[Any]:
    ranks = Ranks(len(cuts) - 1)
    results = ranks.run(lambda rank: work(ranks.group(rank), rank))
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


@pytest.mark.parametrize("cuts", [[0, 500], [0, 100, 500], [0, 0, 7, 7, 500], [0, 250, 500, 500]])
def test_a_pool_of_many_ranks_answers_as_one_of_all_their_points(reference: Backend, cuts: list[int]) -> None:
    gain, correctness = points_of(500, values=5)
    whole = ArrayPool([(gain, correctness)], reference)
    box = Box(0.2, 0.6, -0.1, 0.3)
    sums, undecided = whole.reduce(box)

    def work(ranks: Any, rank: int) -> Any:
        mine = ArrayPool([(gain[cuts[rank] : cuts[rank + 1]], correctness[cuts[rank] : cuts[rank + 1]])], reference)
        pool = GroupPool(mine, ranks)
        assert pool.size == 500
        total, left = pool.reduce(box)
        return pool.peek(50), pool.peek(600), total, left.size, left.peek(30), left.distinct(), pool.distinct()

    for few, every, total, size, left, left_pairs, pairs in on_ranks(cuts, work):
        np.testing.assert_array_equal(few, whole.peek(50))
        np.testing.assert_array_equal(every, whole.peek(600))
        assert (total, size) == (sums, undecided.size)
        np.testing.assert_array_equal(left, undecided.peek(30))
        for ours, theirs in zip((*left_pairs, *pairs), (*undecided.distinct(), *whole.distinct()), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_scan_goes_on_where_the_ranks_before_end_modulo_2_to_64() -> None:
    masses = [2**63, 5, 2**63 + 7]
    found = on_ranks([0, 1, 2, 3], lambda ranks, rank: group.place(ranks, lambda: masses[rank], 11))
    assert found == [11, 2**63 + 11, 2**63 + 16]


def test_counts_are_added_up_and_settings_are_compared() -> None:
    assert group.totals(Alone(), (1, 2)) == (1, 2)
    assert on_ranks([0, 1, 2], lambda ranks, rank: group.totals(ranks, (2**62 + rank, 2**62, rank))) == [
        *[(2**63 + 1, 2**63, 1)] * 2
    ]
    assert on_ranks([0, 1, 2], lambda ranks, rank: group.common(ranks, "budget", 5)) == [None, None]
    with pytest.raises(ValueError, match=r"^budget: expected the same on every rank; rank 0 has 5, rank 2 6$"):
        on_ranks([0, 1, 2, 3], lambda ranks, rank: group.common(ranks, "budget", 5 + (rank == 2)))


# ---------------------------------------------------------------------------------------------------------- the classes


def test_what_a_class_weighs() -> None:
    points = np.array([100, 25, 0, 4])
    assert quotas.weights_of("equal", points, None).tolist() == [1, 1, 1, 1]
    assert quotas.weights_of("proportional", points, 9).tolist() == [100, 25, 0, 4]
    assert quotas.weights_of("auto", points, None).tolist() == [10, 5, 0, 2]
    assert quotas.weights_of({1: 2.5, 3: 1.0}, points, 9).tolist() == [0, 2.5, 0, 1]
    assert quotas.weights_of([3, 2, 1, 0], points, 9).tolist() == [3, 2, 1, 0]
    labelled = quotas.weights_of("auto", points, 258)
    np.testing.assert_allclose(labelled, quotas.shared_out.sample_weights(2.0 * points))
    assert np.isfinite(quotas.weights_of("auto", 0 * points, 258)).all()


def test_how_a_budget_is_shared_out_is_kept_with_what_it_came_from() -> None:
    counts, chosen = np.array([[100, 25, 0, 4], [60, 25, 0, 1]]), np.array([3, 0, 0, 0])
    found = quotas.shares("equal", counts, chosen, None, 12)
    np.testing.assert_array_equal(found.positive, counts[1])
    np.testing.assert_array_equal(found.quotas, found.of(12))
    np.testing.assert_array_equal(found.of(20), quotas.shared_out.quotas(np.ones(4), counts[0], chosen, 20, counts[1]))
    mine = quotas.shares(np.array([1.0, 0, 0, 0]), counts, chosen, None, 12)
    assert mine.positive is None
    assert mine.quotas.tolist() == [12, 0, 0, 0]
    nobody = quotas.shares(np.array([0.0, 0, 1, 0]), counts, 0 * chosen, None, 12)  # a class that has no points
    assert nobody.weights.tolist() == [1, 1, 1, 1]
    assert nobody.quotas.sum() == 12
    each = quotas.shares_of_mistakes(found, 12.9)
    np.testing.assert_allclose(each, 12.9 * counts[0] / 129, atol=2.0**-25)
    assert (each * 2.0**25 % 1 == 0).all()


def classed(seed: int = 1) -> Points:
    gain, correctness = points_of(600, seed)
    label = np.random.default_rng(seed).choice(4, 600, p=[0.5, 0.0, 0.2, 0.3]).astype(np.int32)
    gain[::7] = np.nan
    return Points(gain, correctness, label, np.zeros(600, np.uint8))


def test_the_points_of_each_class_are_brought_together(reference: Backend) -> None:
    some = classed()
    chunks = [Points(*fields) for fields in zip(*(np.array_split(field, 3) for field in some), strict=True)]
    counts = quotas.class_counts(chunks, 4, reference)
    there = ~np.isnan(some.gain)
    np.testing.assert_array_equal(counts[0], np.bincount(some.label[there], minlength=4))
    worth = there & (some.correctness > 0.5) & (some.gain > 0)
    np.testing.assert_array_equal(counts[1], np.bincount(some.label[worth], minlength=4))
    for known in (None, counts[0]):
        pools = ClassPools(chunks, 4, reference, known)
        for k in range(4):
            (gain, correctness), = pools.of(k).chunks  # fmt: skip
            mine = there & (some.label == k)
            np.testing.assert_array_equal(gain, some.gain[mine])
            np.testing.assert_array_equal(correctness, some.correctness[mine])


def test_where_one_class_has_all_points_nothing_is_copied(reference: Backend) -> None:
    some = classed()
    one = some._replace(label=np.full(600, 2, np.int32))
    pools = ClassPools([one], 4, reference)
    assert pools.of(2).chunks[0][0] is one.gain
    assert [pools.of(k).size for k in (0, 1, 3)] == [0, 0, 0]
    assert len(pools.gain) == 0


@pytest.mark.parametrize(("together", "batches"), [(1 << 20, [3]), (400, [2, 1]), (1, [1, 1, 1]), (311, [1, 2])])
def test_games_of_classes_are_played_in_batches_on_many_ranks(
    reference: Backend, monkeypatch: pytest.MonkeyPatch, together: int, batches: list[int]
) -> None:
    monkeypatch.setattr(quotas, "TOGETHER", together)
    some, cuts = classed(), [0, 250, 600]
    counts = quotas.class_counts([some], 4, reference)
    found = quotas.shares("auto", counts, np.zeros(4, np.int64), None, 60)
    expected = quotas.solve_by_class(ClassPools([some], 4, reference), found, 20.0)
    played: list[int] = []
    solve_together = quotas.solve_together

    def counted(pools: list[Any], *others: Any) -> Any:
        if pools[0].group.rank == 0:
            played.append(len(pools))
        return solve_together(pools, *others)

    monkeypatch.setattr(quotas, "solve_together", counted)

    def work(ranks: Any, rank: int) -> Any:
        mine = [Points(*(field[cuts[rank] : cuts[rank + 1]] for field in some))]
        pools = ClassPools(mine, 4, reference)
        sizes = quotas.class_counts(mine, 4, reference)[0]
        return quotas.solve_by_class(quotas.GroupPools(pools, sizes, ranks), found, 20.0)

    for answers in on_ranks(cuts, work):
        for mine, theirs in zip(answers, expected, strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert played == batches, counts[0]
    assert isinstance(found, Shares)
