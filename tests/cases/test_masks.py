"""What people give to leave points out: masks of 0 and 1 are masks, and what could be two things is refused."""

from __future__ import annotations

import numpy as np
import pytest

import rad_fast
from rad_fast import cli, inputs

pytestmark = pytest.mark.usefixtures("short_curves")

N = 400
LOGITS = np.random.default_rng(0).normal(0, 4, (N, 6)).astype("f4")
MASK = np.arange(N) < 300


def kinds():
    found = {"bool": MASK, "list of bool": MASK.tolist(), "list of 0 and 1": MASK.astype(int).tolist()}
    found |= {dtype: MASK.astype(dtype) for dtype in ("uint8", "int8", "int32", "int64", "uint64")}
    return [pytest.param(value, id=name) for name, value in found.items()]


@pytest.mark.parametrize("mask", kinds())
@pytest.mark.parametrize("argument", ["exclude", "chosen"])
def test_a_mask_is_a_mask_whatever_its_type(mask, argument):
    selection = rad_fast.Selector(50, quotas=None).fit(LOGITS, **{argument: mask})
    np.testing.assert_array_equal(
        selection.indices, rad_fast.Selector(50, quotas=None).fit(LOGITS, exclude=MASK).indices
    )
    assert selection.n_excluded == 300


def test_a_torch_mask_of_bytes_is_a_mask():
    torch = pytest.importorskip("torch")
    selection = rad_fast.Selector(50).fit(LOGITS, exclude=torch.from_numpy(MASK.astype("u1")))
    assert not MASK[selection.indices].any()


def test_a_mask_in_a_file_is_a_mask_on_the_command_line(tmp_path):
    np.save(tmp_path / "t.npy", LOGITS)
    np.save(tmp_path / "m.npy", MASK.astype("u1"))
    out = tmp_path / "o.npy"
    command = [
        "select",
        str(tmp_path / "t.npy"),
        "--budget",
        "50",
        "--exclude",
        str(tmp_path / "m.npy"),
        "--out",
        str(out),
    ]
    assert cli.main(command) == 0
    assert not MASK[np.load(out)].any()


@pytest.mark.parametrize("given", [[0], [1], [0, 1], [1, 0], [3, 1, 0], []])
def test_indices_are_indices(given):
    expected = np.zeros(N, bool)
    expected[given] = True
    found = inputs.exclude_mask(given, N)
    np.testing.assert_array_equal(np.zeros(N, bool) if found is None else found, expected)


def test_indices_of_several_rounds_may_name_a_point_twice():
    np.testing.assert_array_equal(np.flatnonzero(inputs.exclude_mask([5, 9, 5], N)), [5, 9])


@pytest.mark.parametrize(
    ("given", "points", "words"),
    [
        ([0, 1], 2, "could be a mask and could be indices"),
        ([1, 0], 2, "could be a mask and could be indices"),
        ([0], 1, "could be a mask and could be indices"),
        (MASK[:-1].astype(int), N, f"neither a mask of {N} points nor indices"),  # a mask that is one too short
        ([1, 1], N, "neither a mask"),
        (np.arange(N) % 7, N, "that repeat and are not all 0 or 1"),  # labels
        (MASK[:-1].astype("u1"), N, f"neither a mask of {N} points nor indices"),
        (255 * MASK[:-1].astype("u1"), N, "cannot hold the indices"),  # as images have masks
        (MASK[:-1].astype("i1") - 1, N, "cannot hold the indices"),
    ],
)
def test_what_could_be_either_or_neither_is_refused(given, points, words):
    with pytest.raises(ValueError, match=f"exclude: expected a boolean mask or distinct indices, got .*{words}"):
        inputs.exclude_mask(given, points)


def test_all_indices_in_any_order_exclude_everything():
    with pytest.raises(ValueError, match="no row is left"):
        rad_fast.select(LOGITS, 5, exclude=np.arange(N)[::-1])
