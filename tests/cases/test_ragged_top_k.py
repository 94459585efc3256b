"""The largest logits as servers give them: fewer in a row, a sampled token in front, half precision, decimals."""

from __future__ import annotations

import numpy as np
import pytest

import rad_fast
from rad_fast.device import topk
from rad_fast.kernels.reference.score import score_top_k

N, C, K = 300, 50, 8
Z = np.random.default_rng(0).normal(0, 3, (N, C))
LP = Z - np.log(np.exp(Z).sum(axis=1, keepdims=True))
IDS = np.argsort(-LP, axis=1)[:, :K].copy()
VALUES = np.take_along_axis(LP, IDS, axis=1)
SUMS = np.zeros(N)
LABELS = np.random.default_rng(1).integers(0, C, N).astype(np.int32)


def scores(kernels, values, ids, sums=SUMS, given=LABELS):
    return topk.score(kernels, rad_fast.TopKLogits(values, ids, C, sums), given)


def assert_alike(found, expected):
    np.testing.assert_array_equal(found.label, expected.label)
    for name in ("margin", "confidence", "given_probability"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-6, err_msg=name)


@pytest.mark.parametrize("nothing", [-np.inf, np.nan])
@pytest.mark.parametrize("padding", [-1, 0, C, 2**31 - 1])
def test_a_row_that_has_fewer_is_padded(kernels, padding, nothing):
    values, ids = VALUES.copy(), IDS.copy()
    values[::3, 5:], ids[::3, 5:] = nothing, padding
    found = scores(kernels, values, ids)
    short = scores(kernels, VALUES[::3, :5], IDS[::3, :5], SUMS[::3], LABELS[::3])  # the rows as they are without it
    assert_alike(topk.Scores(*(field[::3] for field in found)), short)
    assert_alike(found, score_top_k(values, ids, C, SUMS, LABELS))


def test_a_class_that_has_a_value_is_not_hidden_by_padding_before_it(kernels):
    values, ids = np.c_[np.full(N, -np.inf), VALUES], np.c_[IDS[:, 0], IDS]
    assert_alike(scores(kernels, values, ids), scores(kernels, VALUES, IDS))


def test_a_class_of_its_own_that_is_nan_is_no_padding():
    values, ids = VALUES.copy(), IDS.copy()
    values[7, 3], ids[9, 3], values[9, 3] = np.nan, -1, np.nan
    with pytest.raises(ValueError, match=r"1 row has NaN.* the first is row 7"):
        rad_fast.select(rad_fast.TopKLogits(values, ids, C, SUMS), 10)


def test_a_sampled_token_in_front_counts_once(kernels):
    values, ids = np.c_[VALUES[:, 2], VALUES], np.c_[IDS[:, 2], IDS]
    for sums in (SUMS, None):
        found = scores(kernels, values, ids, sums)
        assert_alike(found, scores(kernels, VALUES, IDS, sums))
        assert_alike(found, score_top_k(values, ids, C, sums, LABELS))


def test_of_two_values_of_one_class_the_first_counts_and_that_is_said(kernels):
    values, ids = VALUES.copy(), IDS.copy()
    ids[7, 3] = ids[7, 1]
    with pytest.warns(UserWarning, match=r"logits.indices: row 7 has class .* twice, with .*; the first counts"):
        found = scores(kernels, values, ids)
    first = values.copy()
    first[7, 3] = -np.inf
    assert_alike(found, scores(kernels, first, ids))
    assert_alike(found, score_top_k(values, ids, C, SUMS, LABELS))
    with pytest.warns(UserWarning, match="the first counts"):
        picked = rad_fast.select(rad_fast.TopKLogits(values, ids, C, SUMS), 10, backend=kernels.name)
    np.testing.assert_array_equal(picked, rad_fast.select(rad_fast.TopKLogits(first, ids, C, SUMS), 10))


def test_a_class_outside_needs_the_value_of_padding():
    ids = IDS.copy()
    ids[7, 3] = -1
    with pytest.raises(ValueError, match=r"row 7 has -1 to .*only where the value is -inf may the class be another"):
        rad_fast.select(rad_fast.TopKLogits(VALUES, ids, C, SUMS), 10)


def test_a_row_without_any_is_invalid_whatever_fills_it():
    for nothing in (-np.inf, np.nan):
        values, ids = VALUES.copy(), IDS.copy()
        values[4], ids[4] = nothing, -1
        stored = rad_fast.TopKLogits(values, ids, C, SUMS)
        assert rad_fast.Selector(10, invalid="exclude").fit(stored).n_invalid == 1
        assert len(rad_fast.select(stored, 10, exclude=[4])) == 10
        with pytest.raises(ValueError, match="the first is row 4"):
            rad_fast.select(stored, 10)


@pytest.mark.parametrize("k", [4, 20])
@pytest.mark.parametrize("kept", ["float16", "bfloat16", "4 decimals", "2 decimals"])
def test_log_probabilities_of_any_precision(k, kept):
    rng = np.random.default_rng(0)
    z = rng.normal(0, 1.5, (500, 4 if k == 4 else 4000))
    z[np.arange(500), rng.integers(0, z.shape[1], 500)] += 12
    lp = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    ids = np.argsort(-lp, axis=1)[:, :k].copy()
    values = np.take_along_axis(lp, ids, axis=1)
    if kept == "bfloat16":
        rounded = values.astype(pytest.importorskip("ml_dtypes").bfloat16)
    else:
        rounded = values.astype("f2") if kept == "float16" else values.round(int(kept[0]))
    stored = rad_fast.TopKLogits(rounded, ids, z.shape[1], np.zeros(500))
    found = rad_fast.Selector(50, mistakes=0).fit(stored)
    assert np.abs(found.correctness - np.exp(lp.max(axis=1))).max() < 0.02


@pytest.mark.parametrize(("excess", "refused"), [(0.009, False), (0.02, True)])
def test_sums_of_another_model_are_refused_and_rounded_ones_are_not(excess, refused):
    values, ids = np.array([[0.0, -0.5, -1.0]]), np.array([[3, 1, 2]])
    stored = rad_fast.TopKLogits(values, ids, 10, np.log(np.exp(values).sum(axis=1)) - excess)
    if refused:
        with pytest.raises(ValueError, match="do they come from one model"):
            rad_fast.select(stored, 1, correctness=1.0, mistakes=0)
    else:
        assert len(rad_fast.select(stored, 1, correctness=1.0, mistakes=0)) == 1


def test_what_is_not_kept_is_shared_among_all_that_are_not_kept():
    values, ids = np.log([[0.5, 0.3], [0.5, 0.05]]), np.array([[0, 1], [0, 1]])
    given = np.array([9, 9], np.int32)
    stored = rad_fast.TopKLogits(values, ids, 10, np.zeros(2))
    from rad_fast.device.backends import load

    found = topk.score(load("reference"), stored, given).given_probability
    np.testing.assert_allclose(found, [0.2 / 8, 0.05])  # eight share a fifth; never more than the smallest that is kept


def test_the_first_invalid_row_is_found_in_a_later_block(monkeypatch):
    monkeypatch.setattr(topk, "BLOCK", K * 10)
    values = VALUES.copy()
    values[[57, 111, 112]] = np.nan
    with pytest.raises(ValueError, match=r"3 rows have NaN.* the first is row 57"):
        rad_fast.select(rad_fast.TopKLogits(values, IDS, C, SUMS), 10)


def test_rows_are_named_by_their_number_among_all_points():
    """In chunks, and so in shards on the command line, as well."""
    ids = IDS.copy()
    ids[157, 3] = C
    selector = rad_fast.Selector(10).partial_fit(rad_fast.TopKLogits(VALUES[:100], ids[:100], C, SUMS[:100]))
    with pytest.raises(ValueError, match="row 157 has"):
        selector.partial_fit(rad_fast.TopKLogits(VALUES[100:], ids[100:], C, SUMS[100:]))
