"""What looks like logits and labels and is none: percentages, tables in another order, and flags of what is right."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

import rad_fast
from rad_fast import cli, inputs
from rad_fast.stream import Cascade, StreamSelector

N, C = 120, 5
RNG = np.random.default_rng(7)
LOGITS = RNG.normal(0, 3, (N, C))
P = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
TRUTH = np.where(RNG.random(N) < 0.7, LOGITS.argmax(1), RNG.integers(0, C, N))
PERCENT = {
    "float64": 100 * P,
    "float32": (100 * P).astype("f4"),
    "float16": (100 * P).astype("f2"),
    "two decimals": (100 * P).round(2),
    "whole numbers": (100 * P).round(),
}
SAID = r"expected logits, got percentages: the rows are in \[0, 100\] and sum to 100; give rad_fast.Probabilities\(p / "


# ---------------------------------------------------------------------------------------------------------- percentages


@pytest.mark.parametrize("kept", PERCENT)
def test_percentages_are_refused_however_they_are_rounded(kept):
    with pytest.raises(ValueError, match="^logits: " + SAID):
        rad_fast.select(PERCENT[kept], 10)
    with pytest.raises(ValueError, match="^student_logits: " + SAID):
        rad_fast.select(LOGITS, 10, student_logits=PERCENT[kept])
    with pytest.raises(ValueError, match="^teacher_logits: " + SAID):
        rad_fast.Calibrator().fit(PERCENT[kept], TRUTH)


@pytest.mark.parametrize("step", [1, 3, N])
def test_in_chunks_of_any_size_and_few_as_they_are(step):
    selector = rad_fast.Selector(10)

    def fit():
        for begin in range(0, N, step):
            selector.partial_fit(PERCENT["whole numbers"][begin : begin + step])

    with pytest.raises(ValueError, match=SAID):
        fit()
    with pytest.raises(ValueError, match=SAID):
        rad_fast.select(PERCENT["two decimals"][:2], 1)
    with pytest.raises(ValueError, match=SAID):
        rad_fast.Selector(1).partial_fit(PERCENT["float64"][:1]).partial_fit(PERCENT["float64"][1:2]).finalize()


def test_the_largest_of_each_row_and_streams():
    ids = np.argsort(-P, axis=1)[:, :4].copy()
    with pytest.raises(ValueError, match=SAID):
        rad_fast.select(rad_fast.TopKLogits(np.take_along_axis(100 * P, ids, axis=1), ids, C), 10)
    stream = StreamSelector(0.1)
    for row in PERCENT["whole numbers"][:7]:
        stream.offer(row)
    with pytest.raises(ValueError, match=SAID):
        stream.offer(PERCENT["whole numbers"][7])
    with pytest.raises(ValueError, match=SAID):
        Cascade(None, None, 0.2).route(PERCENT["float32"])


def test_of_teachers_and_soft_targets_in_training():
    torch = pytest.importorskip("torch")
    from rad_fast.distill import ActiveDistiller, soft_targets

    with pytest.raises(ValueError, match="^logits: " + SAID):
        soft_targets(PERCENT["whole numbers"])
    x = torch.from_numpy(LOGITS).float()
    with pytest.raises(ValueError, match="^pool_logits: " + SAID):
        ActiveDistiller(
            torch.nn.Linear(C, C),
            None,
            (x[:20], torch.from_numpy(TRUTH[:20])),
            x[20:],
            budget=5,
            pool_logits=PERCENT["float32"][20:],
        )


def test_on_the_command_line(tmp_path, capsys):
    np.save(tmp_path / "p.npy", PERCENT["float32"])
    assert cli.main(["select", str(tmp_path / "p.npy"), "--budget", "9", "--out", str(tmp_path / "o.npy")]) == 1
    assert "p.npy: expected logits, got percentages" in capsys.readouterr().err


def test_what_the_message_says_to_give_serves():
    p = PERCENT["whole numbers"]
    found = rad_fast.select(rad_fast.Probabilities(p / p.sum(axis=1, keepdims=True)), 10)
    assert len(found) == 10


@pytest.mark.parametrize(
    "logits",
    [
        100 * np.eye(C)[TRUTH],  # of what is certain both are the same
        np.full((N, C), 20.0),
        np.abs(LOGITS) * 10,
        RNG.uniform(0, 40, (N, C)),
        np.r_[PERCENT["float64"][:7], LOGITS],
        np.r_[LOGITS[:1], PERCENT["float64"][:5], LOGITS],
        100 * P + 0.5,
        100 * P + np.eye(C)[0] * 9 - np.eye(C)[1] * 9,
    ],
    ids=["certain", "alike", "not negative", "uniform", "first rows", "some rows", "another sum", "below 0"],
)
def test_logits_are_never_taken_for_percentages(logits):
    given = inputs.matrix("logits", logits)
    inputs.refuse_probabilities(given)
    for begin in range(0, len(logits), 3):
        inputs.Seen().after(inputs.matrix("logits", logits[begin : begin + 3]), None)
    assert inputs.Seen().after(given, None).percent < 16


def test_the_numbers_of_what_was_seen_go_over_ray_in_one_order():
    seen = inputs.Seen(1, 2, True, 3)
    assert json.loads(json.dumps(seen.counts)) == [1, 2, 1, 3]
    assert inputs.Seen(4, 0, False, 1).and_also(seen) == inputs.Seen(5, 2, True, 4)
    assert inputs.looked_at(PERCENT["float64"], None) == inputs.Seen(percent=16)


# ---------------------------------------------------------------------------------------------------------------- votes

VOTES = RNG.multinomial(10, P).astype("f4")


def test_counts_of_votes_are_said_to_be_no_logits():
    words = r"the rows are whole numbers with the sum 10; if they count votes, .* give rad_fast.Probabilities\(p / 10\)"
    with pytest.warns(UserWarning, match="^logits: " + words) as said:
        rad_fast.select(VOTES, 9)
    assert said[0].filename == __file__
    with pytest.warns(UserWarning, match="^student_logits: " + words):
        rad_fast.select(LOGITS, 9, student_logits=VOTES)
    with pytest.warns(UserWarning, match="^teacher_logits: " + words):
        rad_fast.Calibrator().fit(VOTES, TRUTH)
    assert len(rad_fast.select(rad_fast.Probabilities(VOTES / 10), 9)) == 9


@pytest.mark.parametrize(
    "logits",
    [
        5 * np.eye(C)[TRUTH],  # of one class each
        VOTES + RNG.integers(0, 2, (N, 1)),  # of several sums
        VOTES - 1,
        VOTES / 2,
        np.tile(VOTES[:2], (60, 1)),
        np.ones((N, C)),
        VOTES[:7],
        np.round(LOGITS),
        np.where(VOTES > 3, np.inf, VOTES),
        np.where(np.arange(N)[:, None] == 0, np.nan, VOTES),
    ],
    ids=[
        "one-hot",
        "several sums",
        "below 0",
        "halves",
        "two rows alone",
        "all alike",
        "few",
        "rounded logits",
        "inf",
        "NaN",
    ],
)
def test_logits_are_never_taken_for_votes(logits):
    assert inputs.looked_at(logits, None).votes == 0


# -------------------------------------------------------------------------------------------------------------- columns

NAMES = ["a", "b", "c", "d", "e"]
BACK = NAMES[::-1]


def tables(library):
    """The logits, and the same in another order of columns."""
    loaded = pytest.importorskip(library)
    make = loaded.table if library == "pyarrow" else loaded.DataFrame
    columns = dict(zip(NAMES, LOGITS.T, strict=True))
    return make({name: columns[name] for name in NAMES}), make({name: columns[name] for name in BACK})


ORDER = (
    "expected columns 'a', 'b', 'c', 'd', 'e' in this order, as .*, got columns 'e', 'd', 'c', 'b', 'a': classes are"
)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_a_calibrator_has_its_classes_in_one_order(library):
    table, other = tables(library)
    calibrator = pickle.loads(pickle.dumps(rad_fast.Calibrator().fit(table, TRUTH)))
    assert calibrator.columns_ == tuple(NAMES)
    for given in (table, LOGITS):
        assert len(calibrator.predict(given)) == len(rad_fast.Selector(9).fit(given, correctness=calibrator).gain) == N
    with pytest.raises(ValueError, match="^teacher_logits: " + ORDER):
        calibrator.predict(other)
    with pytest.raises(ValueError, match="^logits: " + ORDER):
        rad_fast.select(other, 9, correctness=calibrator)
    with pytest.raises(ValueError, match="^logits: " + ORDER):
        StreamSelector(0.1, correctness=calibrator).offer(other)
    with pytest.raises(ValueError, match="^teacher_logits: " + ORDER):
        rad_fast.Calibrator().fit(LOGITS, TRUTH, table).predict(other, LOGITS)
    assert rad_fast.Calibrator().fit(LOGITS, TRUTH).columns_ == ()


def test_chunks_have_their_classes_in_one_order():
    table, other = tables("pandas")
    words = "^logits: " + ORDER.replace("as .*", "as in the calls before")
    selector = rad_fast.Selector(9).partial_fit(table[:50]).partial_fit(LOGITS[50:60])
    with pytest.raises(ValueError, match=words):
        selector.partial_fit(other[60:])
    found = selector.partial_fit(table[60:]).finalize()
    np.testing.assert_array_equal(found.indices, rad_fast.select(LOGITS, 9))
    stream = StreamSelector(0.1, backend="reference")
    stream.offer(table[:50])
    stream.offer(LOGITS[50:60])
    again = StreamSelector(0.1, backend="reference")
    again.load_state_dict(stream.state_dict())
    for each in (stream, again, pickle.loads(pickle.dumps(stream))):
        with pytest.raises(ValueError, match=words):
            each.offer(other[60:])


def test_other_names_are_other_names():
    table, _ = tables("pandas")
    calibrator = rad_fast.Calibrator().fit(table, TRUTH)
    assert len(calibrator.predict(table.add_prefix("class "))) == N


# ---------------------------------------------------------------------------------------------------------------- flags


@pytest.mark.parametrize("kind", [bool, np.bool_])
def test_truth_values_are_no_classes(kind):
    flags = [kind(right) for right in LOGITS.argmax(1) == TRUTH]
    with pytest.raises(TypeError, match="got dtype bool; not whether the teacher is right, but the true class of each"):
        rad_fast.Calibrator().fit(LOGITS, flags)


def test_flags_of_what_is_right_are_said_to_be_no_classes():
    flags = (LOGITS.argmax(1) == TRUTH).astype(int)
    others = int((LOGITS.argmax(1) > 1).sum())
    with pytest.warns(
        UserWarning, match=f"names another class for {others} of 120 points; if they say whether"
    ) as said:
        rad_fast.Calibrator().fit(LOGITS, flags)
    assert said[0].filename == __file__


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (LOGITS, TRUTH),
        (LOGITS[:, :2], np.minimum(TRUTH, 1)),
        (LOGITS[:30], np.minimum(TRUTH[:30], 1)),  # few points
        (LOGITS, 0 * TRUTH),
        (LOGITS, 0 * TRUTH + 1),
        (LOGITS + np.array([6, 6, 0, 0, 0]), np.minimum(TRUTH, 1)),  # classes 0 and 1 are what the teacher names, too
    ],
    ids=["classes", "two classes", "few", "one class", "another", "of two classes alone"],
)
def test_classes_are_never_taken_for_flags(logits, labels):
    rad_fast.Calibrator().fit(logits, labels)
