"""What people hand over in place of an array of logits: taken, or told what makes an array of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rad_fast

LOGITS = np.random.default_rng(0).normal(0, 4, (200, 5)).astype("f4")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Path("logits.npy"), "open_shards"),
        ((row for row in LOGITS), "generator: object, not numbers; for batches .* Selector.partial_fit"),
        (np.array([[1.0, None], [2.0, "x"]], dtype=object), r"ndarray: object, not numbers; numpy.stack\(rows\)"),
    ],
)
@pytest.mark.parametrize("argument", ["logits", "student_logits"])
def test_objects_are_told_what_makes_an_array_of_them(value, words, argument):
    given = {"logits": LOGITS} | {argument: value}
    with pytest.raises(TypeError, match=f"^{argument}: expected an array of numbers, got .*{words}"):
        rad_fast.select(given.pop("logits"), 5, **given)


def test_a_column_of_rows_is_taken_and_a_dataset_is_told_to_give_one():
    pandas = pytest.importorskip("pandas")
    np.testing.assert_array_equal(rad_fast.select(pandas.Series(list(LOGITS)), 5), rad_fast.select(LOGITS, 5))
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"logits": LOGITS})
    with pytest.raises(TypeError, match="give one of its columns, for a Hugging Face dataset as"):
        rad_fast.select(data, 5)
    np.testing.assert_array_equal(
        rad_fast.select(data.with_format("numpy")["logits"][:], 5), rad_fast.select(LOGITS, 5)
    )
