"""The k largest of a row, part by part: what is padding, what repeats, and what contradicts itself."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from rad_fast import TopKLogits
from rad_fast.inputs import logprobs, teachers


def test_a_class_that_is_there_twice_is_named_with_both_values() -> None:
    values = np.array([[5.0, 4.0, 3.0, 1.0], [7.0, 6.0, 2.0, 2.005]])
    for indices, row, number, two in (
        ([[0, 1, 9, 9], [0, 1, 2, 3]], 100, 9, "3 and 1"),
        ([[9, 1, 0, 9], [0, 1, 2, 3]], 100, 9, "5 and 1"),
        ([[0, 1, 2, 3], [4, 4, 2, 2]], 101, 4, "7 and 6"),
    ):
        logits = TopKLogits(values, np.array(indices), 10)
        words = f"logits.indices: row {row} has class {number} twice, with the values {two}; the first counts"
        with pytest.warns(UserWarning, match=words.replace(".", r"\.")):
            _, ids = teachers.without_padding(logits, "logits", 100)
        assert (ids[row - 100] == number).sum() == 1
    with warnings.catch_warnings():  # 2 and 2.005 are one value of two decimals
        warnings.simplefilter("error")
        found, ids = teachers.without_padding(TopKLogits(values, np.array([[0, 1, 2, 3], [0, 1, 2, 2]]), 10), "z", 0)
    assert ids.tolist() == [[0, 1, 2, 3], [0, 1, 2, -1]]
    assert found[1].tolist() == [7, 6, 2, -np.inf]


def test_repeats_are_the_second_and_further_times() -> None:
    ids = np.array([[3, 1, 3, 3, 1], [5, 4, 3, 2, 1]])
    assert teachers.repeats(ids).tolist() == [[False, False, True, True, True], [False] * 5]
    assert teachers.repeats(ids, both=True).tolist() == [[True] * 5, [False] * 5]


def test_where_nothing_is_to_be_said_nothing_is_copied() -> None:
    values, indices = np.zeros((3, 2)), np.array([[0, 1], [1, 9], [4, 3]])
    found = teachers.without_padding(TopKLogits(values, indices, 10), "z", 0)
    assert found[0] is values
    assert found[1] is indices


def test_a_class_outside_is_named_with_its_row() -> None:
    indices = np.array([[0, 1], [1, 10], [-1, 3]])
    with pytest.raises(
        ValueError, match=r"z\.indices: expected classes from 0 to 9, row 8 has 1 to 10; only where the"
    ):
        teachers.without_padding(TopKLogits(np.zeros((3, 2)), indices, 10), "z", 7)


def test_missing_classes_are_the_lowest_that_are_free() -> None:
    assert logprobs.padded([3, 0], 5) == [3, 0, 1, 2, 4]
    assert logprobs.padded([], 2) == [0, 1]
    assert logprobs.padded([7, 8], 2) == [7, 8]


def test_how_many_classes_there_can_be() -> None:
    assert [teachers.checked_classes(value, 2) for value in (2, np.int16(5), 2**31 - 1)] == [2, 5, 2**31 - 1]
    for value in (1, 2**31, -3):
        with pytest.raises(ValueError, match="n_classes: expected at least the 2 that are kept, and below 2"):
            teachers.checked_classes(value, 2)
    for value in (2.0, True, "2", None):
        with pytest.raises(TypeError, match="n_classes: expected an int, the number of all classes, got"):
            teachers.checked_classes(value, 2)


def test_what_is_kept_is_said():
    few = TopKLogits(np.zeros((7, 2), np.float32), np.tile([0, 1], (7, 1)), 1234)
    assert repr(few) == "TopKLogits(7 points, 2 of 1,234 classes, float32)"
