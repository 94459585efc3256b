"""Scores in memory: whatever the chunks, what was kept comes back in order and stays as it was."""

from __future__ import annotations

import numpy as np
import pytest

from rad_fast import Selector, select
from rad_fast.kernels.reference.score import Points
from rad_fast.storage import blocks
from rad_fast.storage.blocks import ScoreBlocks


def points(begin: int, rows: int) -> Points:
    at = np.arange(begin, begin + rows)
    return Points(at.astype(np.float32), -at.astype(np.float32), at.astype(np.int32), (at % 251).astype(np.uint8))


@pytest.mark.parametrize("most", [1, 7, 64, 1 << 24])
def test_kept_points_come_back_in_order_from_blocks_of_any_size(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", most)
    store, rng = ScoreBlocks(), np.random.default_rng(0)
    for turn in range(60):
        rows = int(rng.integers(0, 40))
        new = points(store.rows, rows)
        if turn % 5 == 4:  # scored elsewhere
            store.keep(new)
            continue
        place = store.room(rows + 3)  # of a chunk that fails
        place.gain[:] = np.nan
        place = store.room(rows)
        for field, values in zip(place, new, strict=True):
            field[:] = values
        store.keep(place)
    want = points(0, store.rows)
    pieces = store.settled().pieces
    for field, values in enumerate(want):
        np.testing.assert_array_equal(np.concatenate([piece[field] for piece in pieces]), values)
    joined = store.settled().joined()
    assert all(np.array_equal(*pair) for pair in zip(joined, want, strict=True))
    assert store.settled().joined().gain is joined.gain, "joined once"


def test_no_points_are_no_pieces() -> None:
    store = ScoreBlocks()
    store.keep(store.room(0))
    assert store.settled().pieces == []
    assert store.settled().joined().gain.shape == (0,)


def test_a_selection_stays_as_it_was_when_more_points_come() -> None:
    logits = np.random.default_rng(1).normal(0, 4, (500, 5))
    selector = Selector(20)
    first = selector.partial_fit(logits[:200]).partial_fit(logits[200:300]).finalize()
    before = first.gain.copy(), first.probabilities.copy()
    both = selector.partial_fit(logits[300:]).finalize()
    np.testing.assert_array_equal(first.gain, before[0])
    np.testing.assert_array_equal(first.probabilities, before[1])
    np.testing.assert_array_equal(both.indices, Selector(20).fit(logits).indices)


def test_a_block_that_nobody_holds_any_more_serves_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "SPARE", [])
    first = ScoreBlocks()
    gain = first.room(100).gain
    first.let_go()
    smaller, larger = ScoreBlocks(), ScoreBlocks()
    assert smaller.room(60).gain.base is gain.base
    assert larger.room(60).gain.base is not gain.base  # it is given to one alone
    smaller.let_go()
    assert larger.room(101).gain.base is not gain.base  # nor where it is too small


def test_what_select_leaves_changes_no_selection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "SPARE", [])
    logits = np.random.default_rng(1).normal(0, 4, (3, 500, 10)).astype(np.float32)
    kept = Selector(20).fit(logits[0])
    gain = kept.gain.copy()
    once = [select(some, 20, quotas=None) for some in logits]
    again = [select(some[:400], 20, quotas=None) for some in logits]
    assert blocks.SPARE, "select() left nothing: the test proves nothing"
    np.testing.assert_array_equal(kept.gain, gain)
    for some, indices, fewer in zip(logits, once, again, strict=True):
        np.testing.assert_array_equal(indices, Selector(20, quotas=None).fit(some).indices)
        np.testing.assert_array_equal(fewer, Selector(20, quotas=None).fit(some[:400]).indices)


def test_large_blocks_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "SPARE", [])
    monkeypatch.setattr(blocks, "MOST_SPARE", 13 * 99)
    store = ScoreBlocks()
    store.room(100)
    store.let_go()
    assert not blocks.SPARE
