"""Many ranks: the union of their indices is what one process selects, and a failing rank is heard by all."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import rad_fast
from rad_fast import selector
from rad_fast.game import solver

N, C, BUDGET = 120_000, 5, 900  # more points than are solved at once: samples and sums go over the group too
LOGITS = np.random.default_rng(11).normal(0, 4, size=(N, C)).astype(np.float32)
WHOLE = rad_fast.Selector(BUDGET).fit(LOGITS)


class Ranks:
    """Ranks as threads of this process: ``exchange`` meets at a barrier, as all_gather does."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size, timeout=20)
        self.board: list[Any] = [None] * size

    def group(self, rank: int) -> Group:
        return Group(self, rank)

    def run(self, work: Callable[[int], Any]) -> list[Any]:
        """What ``work(rank)`` returned or raised, by rank."""

        def caught(rank: int) -> Any:
            try:
                return work(rank)
            except Exception as error:  # noqa: BLE001 - the tests look at what every rank raises
                return error

        with ThreadPoolExecutor(len(self.board)) as pool:
            return list(pool.map(caught, range(len(self.board))))


class Group:
    def __init__(self, ranks: Ranks, rank: int) -> None:
        self.ranks, self.rank = ranks, rank
        self.bytes = 0

    def exchange(self, work: Callable[[], Any]) -> list[Any]:
        try:
            mine = (None, work())
        except Exception as error:  # noqa: BLE001 - as rad_fast.game.group.TorchGroup
            mine = (error, None)
        self.ranks.board[self.rank] = mine
        self.ranks.barrier.wait()
        everyone = list(self.ranks.board)
        self.ranks.barrier.wait()
        if mine[0] is not None:
            raise mine[0]
        for rank, (error, _) in enumerate(everyone):
            if error is not None:
                raise RuntimeError(f"rank {rank} failed: {error}")
        return [value for _, value in everyone]


def fit_on_ranks(monkeypatch, cuts, **settings):
    """Every rank's selection, or its error; rank r has the rows from cuts[r] to cuts[r + 1]."""
    ranks = Ranks(len(cuts) - 1)
    monkeypatch.setattr(selector, "group_of", lambda rank: ranks.group(rank))

    def work(rank: int) -> Any:
        mine = {name: value(rank) if callable(value) else value for name, value in settings.items()}
        rows = mine.pop("logits", LOGITS[cuts[rank] : cuts[rank + 1]])
        return rad_fast.Selector(mine.pop("budget", BUDGET), process_group=rank, **mine).fit(rows)

    return ranks.run(work)


@pytest.mark.parametrize(
    "cuts",
    [
        [0, N],  # one rank
        [0, N // 2, N],  # even
        [0, 1, N],  # a single point
        [0, 0, 50_000, 50_000, N],  # empty ranks, the first among them
        [0, 10, 500, 100_000, N, N],  # uneven, the last empty
    ],
)
def test_the_union_over_ranks_is_what_one_process_selects(monkeypatch, cuts):
    parts = fit_on_ranks(monkeypatch, cuts)
    union = np.concatenate([part.indices + cut for part, cut in zip(parts, cuts[:-1], strict=True)])
    np.testing.assert_array_equal(union, WHOLE.indices)
    assert {part.value for part in parts} == {WHOLE.value}
    assert {part.n_points for part in parts} == {N}


def test_points_with_a_positive_effective_gain_are_counted_over_all_ranks(monkeypatch):
    """Two classes are of little use: the teacher hesitates on most of their points."""
    logits = LOGITS[:6000].copy()
    flat = np.isin(logits.argmax(1), (0, 1)) & (np.arange(6000) % 30 > 0)
    logits[flat] *= 1e-3
    whole = rad_fast.Selector(BUDGET).fit(logits)
    positive = np.bincount(logits.argmax(1)[whole.correctness > 0.5], minlength=5)
    assert (whole.quotas[:2] == positive[:2]).all()
    cuts = [0, 1000, 6000]
    parts = fit_on_ranks(monkeypatch, cuts, logits=lambda rank: logits[cuts[rank] : cuts[rank + 1]])
    union = np.concatenate([part.indices + cut for part, cut in zip(parts, cuts[:-1], strict=True)])
    np.testing.assert_array_equal(union, whole.indices)


def test_points_that_are_alike_are_counted_over_all_ranks(monkeypatch):
    """Three distinct rows: no box narrows such points, they are counted instead."""
    rows = np.array([[0, 1, 2, 3, 9], [0, 0, 0, 0, 1.5], [4, 0, 0, 3, 0]], np.float32)
    logits = rows[np.random.default_rng(0).integers(0, 3, N)]
    whole = rad_fast.Selector(BUDGET, mistakes=40).fit(logits)
    cuts = [0, 30_000, N]
    parts = fit_on_ranks(monkeypatch, cuts, logits=lambda rank: logits[cuts[rank] : cuts[rank + 1]], mistakes=40)
    union = np.concatenate([part.indices + cut for part, cut in zip(parts, cuts[:-1], strict=True)])
    np.testing.assert_array_equal(union, whole.indices)


def test_what_needs_all_points_is_refused_by_a_rank_that_lacks_some_and_says_what_to_do(monkeypatch):
    labels = LOGITS[:200].argmax(1)
    labels[::9] = 0
    calibrator = rad_fast.Calibrator().fit(LOGITS[:200], labels)
    rows = LOGITS[200:700]
    cuts = [0, 300, 500]

    def fit(rank: int) -> rad_fast.Selection:
        mine = rows[cuts[rank] : cuts[rank + 1]]
        return rad_fast.Selector(20, process_group=rank).fit(mine, correctness=calibrator)

    ranks = Ranks(2)
    with monkeypatch.context() as patch:
        patch.setattr(selector, "group_of", ranks.group)
        parts = ranks.run(fit)
    for part in parts:
        for ask in (part.certificate, lambda part=part: part.extend(40)):
            with pytest.raises(
                ValueError, match=r"expected a selection of one process.*in one process, chunk by chunk"
            ):
                ask()
    chunks = rad_fast.Selector(20)  # what the message says
    for begin in range(0, 500, 125):
        chunks.partial_fit(rows[begin : begin + 125], correctness=calibrator)
    whole = chunks.finalize()
    union = np.concatenate([part.indices + cut for part, cut in zip(parts, cuts[:-1], strict=True)])
    np.testing.assert_array_equal(union, whole.indices)
    assert whole.certificate() < whole.value * 2
    lone = fit_on_ranks(monkeypatch, [0, 500, 500], logits=lambda rank: rows[: 500 * (rank == 0)], budget=20)[0]
    assert lone.extend(40).indices.size == 40  # a rank that has them all


def test_bad_input_on_one_rank_is_an_error_on_all(monkeypatch):
    def rows(rank: int) -> np.ndarray:
        mine = LOGITS[rank * 100 : (rank + 1) * 100].copy()
        if rank == 1:
            mine[7, 2] = np.nan
        return mine

    first, second, third = fit_on_ranks(monkeypatch, [0, 100, 200, 300], logits=rows, budget=5)
    assert isinstance(second, ValueError)
    assert "row 7" in str(second)
    for other in (first, third):
        assert isinstance(other, RuntimeError)
        assert "rank 1 failed" in str(other)


def test_a_rank_that_fails_in_the_game_is_an_error_on_all(monkeypatch):
    from rad_fast.game.pool import ArrayPool

    at = ArrayPool.at

    def fails_once(self, places):
        if self.size == 50_000:  # the second rank's
            raise MemoryError("no memory for the sample")
        return at(self, places)

    monkeypatch.setattr(ArrayPool, "at", fails_once)
    first, second = fit_on_ranks(monkeypatch, [0, 70_000, N], quotas=None)
    assert isinstance(second, MemoryError)
    assert "rank 1 failed: no memory" in str(first)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"budget": lambda rank: 5 + rank}, "settings"),
        ({"seed": lambda rank: rank}, "settings"),
        ({"logits": lambda rank: LOGITS[:100, : 5 - rank]}, "logits"),
    ],
)
def test_ranks_that_disagree_are_told_so(monkeypatch, settings, named):
    for error in fit_on_ranks(monkeypatch, [0, 100, 200], **settings):
        assert isinstance(error, ValueError)
        assert f"{named}" in str(error)
        assert "the same on every rank" in str(error)


def test_all_ranks_empty_says_that_there_is_no_row(monkeypatch):
    for error in fit_on_ranks(monkeypatch, [0, 0, 0], logits=LOGITS[:0]):
        assert isinstance(error, ValueError)
        assert "at least one row" in str(error)


def test_what_goes_over_the_group_does_not_grow_with_the_points(monkeypatch):
    """The largest message is a sample or what is left undecided: at most DIRECT points, whatever the pool."""
    seen = []
    exchange = Group.exchange

    def watched(self, work):
        results = exchange(self, work)
        answers = [answer for value in results if isinstance(value, list) for answer in value]  # of many games together
        tuples = [answer for answer in answers if isinstance(answer, tuple)]
        seen.extend(len(answer[0]) for answer in tuples if isinstance(answer[0], np.ndarray))
        return results

    monkeypatch.setattr(Group, "exchange", watched)
    fit_on_ranks(monkeypatch, [0, N // 3, N])
    assert seen, "samples went over the group"
    assert max(seen) <= solver.DIRECT


def test_a_step_of_all_classes_games_is_one_exchange(monkeypatch):
    """Not one a class: what ranks wait for each other for does not grow with the classes."""
    asked = []
    exchange = Group.exchange

    def counted(self, work):
        if self.rank == 0:
            asked[-1] += 1
        return exchange(self, work)

    monkeypatch.setattr(Group, "exchange", counted)
    pools = [np.random.default_rng(3).normal(0, 4, size=(20_000, classes)).astype(np.float32) for classes in (3, 40)]
    expected = [rad_fast.Selector(BUDGET).fit(logits).indices for logits in pools]
    for logits, whole in zip(pools, expected, strict=True):
        asked.append(0)
        cuts = [0, 9_000, 20_000]
        parts = fit_on_ranks(monkeypatch, cuts, logits=lambda rank: logits[cuts[rank] : cuts[rank + 1]])  # noqa: B023
        union = np.concatenate([part.indices + cut for part, cut in zip(parts, cuts[:-1], strict=True)])
        np.testing.assert_array_equal(union, whole)
    assert asked[0] == asked[1]


def test_many_games_are_played_in_batches(monkeypatch):
    monkeypatch.setattr("rad_fast.game.quotas.TOGETHER", 30_000)  # a class or two at a time
    parts = fit_on_ranks(monkeypatch, [0, N // 3, N])
    union = np.concatenate([part.indices + cut for part, cut in zip(parts, (0, N // 3), strict=True)])
    np.testing.assert_array_equal(union, WHOLE.indices)


PROGRAM = """
import datetime, sys
import numpy as np, torch.distributed as dist, rad_fast
rank, address = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2, timeout=datetime.timedelta(seconds=60))
logits = np.random.default_rng(11).normal(0, 4, size=(1000, 5)).astype(np.float32)
mine = logits[:300] if rank == 0 else logits[300:]
print(*(rad_fast.Selector(20, process_group=dist.group.WORLD).fit(mine).indices + 300 * rank))
if rank == 1:
    mine = mine.copy()
    mine[4] = np.nan
try:
    rad_fast.Selector(20, process_group=dist.group.WORLD).fit(mine)
except (ValueError, RuntimeError) as error:
    print(type(error).__name__, error)
dist.barrier()
dist.destroy_process_group()
"""


def outputs_of(program, tmp_path):
    """Exit status, output and errors of two processes of a gloo group."""
    pytest.importorskip("torch.distributed")
    address = f"file://{tmp_path / 'meeting'}"
    command = [sys.executable, "-c", program]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([*command, str(rank), address], **pipes) for rank in range(2)]
    outputs = [process.communicate(timeout=180) for process in processes]
    return [(process.returncode, *output) for process, output in zip(processes, outputs, strict=True)]


def test_two_processes_over_gloo_select_what_one_does(tmp_path):
    done = outputs_of(PROGRAM, tmp_path)
    for status, _, errors in done:
        assert status == 0, errors
    lines = [output.splitlines() for _, output, _ in done]
    union = [int(index) for first, *_ in lines for index in first.split()]
    np.testing.assert_array_equal(union, rad_fast.Selector(20).fit(LOGITS[:1000]).indices)
    assert lines[0][1].startswith("RuntimeError process_group: rank 1 failed: ValueError: logits")
    assert lines[1][1].startswith("ValueError logits")


ENDS = """
import datetime, os, sys
import numpy as np, torch.distributed as dist, rad_fast
rank, address = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2, timeout=datetime.timedelta(seconds=60))
selector = rad_fast.Selector(20, process_group=dist.group.WORLD)
logits = np.zeros((100, 5), np.float32)
logits[7, 1] = np.nan if rank == 1 else 0
try:
    selector.partial_fit(logits)
except ValueError as error:
    print(error, flush=True)
    os._exit(3)
try:
    selector.finalize()
except RuntimeError as error:
    print(error, flush=True)
    os._exit(4)
"""


def test_a_rank_that_ends_after_a_bad_chunk_is_an_error_on_the_others(tmp_path):
    (first, told, errors), (second, said, _) = outputs_of(ENDS, tmp_path)
    assert (first, second) == (4, 3), errors
    assert "row 7" in said
    assert "a rank ended or did not answer" in told


def test_every_rank_reports_the_numbers_of_all(monkeypatch):
    """A rank without points, and one of which none is selected, too: numbers of the whole, as JSON can hold them."""
    expected = WHOLE.report()
    for cuts in ([0, 0, 60_000, N], [0, 3, N]):
        for selection in fit_on_ranks(monkeypatch, cuts):
            report = selection.report()
            json.dumps(report, allow_nan=False)
            for name in ("points", "budget", "worth_querying", "selected_labels", "value"):
                assert report[name] == expected[name], name
            for name in ("selected_mean_gain", "selected_mean_correctness"):
                assert report[name] == pytest.approx(expected[name], rel=1e-12), name
