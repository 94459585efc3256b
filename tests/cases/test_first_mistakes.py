"""What strangers try first: settings that are assigned to, columns whose index says the class, numbers too large."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest

import rad_fast
from rad_fast.readers import open_shards
from rad_fast.stream import Cascade, StreamSelector

LOGITS = np.random.default_rng(0).normal(0, 4, (60, 5)).astype(np.float32)
ANSWERS = rad_fast.TeacherLabels(LOGITS.argmax(1), n_classes=5)
HUGE = 10**400  # no float64


def test_a_setting_that_is_assigned_to_counts():
    selector = rad_fast.Selector(5)
    selector.quotas, selector.seed, selector.backend = None, 4, "reference"
    selection = selector.fit(LOGITS)
    assert (selection.quotas, selection.seed, selection.backend) == (None, 4, "reference")
    assert np.array_equal(selection.indices, rad_fast.select(LOGITS, 5, quotas=None, seed=4, backend="reference"))


@pytest.mark.parametrize(
    ("name", "value"), [("budget", -1), ("invalid", "drop"), ("mistakes", -1), ("quotas", "even"), ("seed", 0.5)]
)
def test_a_setting_that_is_assigned_to_is_checked(name, value):
    selector = rad_fast.Selector(5)
    with pytest.raises((TypeError, ValueError), match=f"{name}: expected"):
        setattr(selector, name, value)
    assert repr(selector) == "Selector(budget=5)"


def test_weights_whose_index_says_the_class_are_not_taken_by_position():
    pandas = pytest.importorskip("pandas")
    by_count = pandas.Series(LOGITS.argmax(1)).value_counts()
    with pytest.raises(ValueError, match=r"quotas: expected a mapping .* give dict\(quotas\)"):
        rad_fast.select(LOGITS, 5, quotas=by_count)
    by_class = by_count.sort_index()
    expected = rad_fast.select(LOGITS, 5, quotas=by_class.to_numpy())
    assert np.array_equal(rad_fast.select(LOGITS, 5, quotas=dict(by_count)), expected)
    assert np.array_equal(rad_fast.select(LOGITS, 5, quotas=by_class), expected)


def test_counts_of_classes_are_not_taken_for_indices():
    pandas = pytest.importorskip("pandas")
    counts = pandas.Series(LOGITS.argmax(1)).value_counts()
    with pytest.raises(ValueError, match=r"chosen: expected a mapping .* give dict\(chosen\)"):
        rad_fast.select(LOGITS, 5, chosen=counts)
    assert len(rad_fast.select(LOGITS, 5, chosen=dict(counts))) == 5
    assert len(rad_fast.select(LOGITS, 5, chosen=pandas.Series([3, 8]))) == 5


def test_labels_of_an_index_are_not_taken_for_positions():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(LOGITS, index=np.arange(60)[::-1])
    with pytest.raises(ValueError, match=r"exclude: expected positions of rows.*logits\.index\.isin\(exclude\)"):
        rad_fast.select(table, 5, exclude=table.index[:5])
    assert len(rad_fast.select(table, 5, exclude=table.index.isin(table.index[:5]))) == 5
    assert len(rad_fast.select(pandas.DataFrame(LOGITS), 5, exclude=pandas.Index([1, 2]))) == 5


@pytest.mark.parametrize("counts", [{0: 2**62, 1: 2**62}, {0: 10**30}])
def test_counts_that_no_64_bits_hold_are_refused(counts):
    with pytest.raises(ValueError, match=r"chosen: expected counts of fewer than 2\^51 points in all, got \d+"):
        rad_fast.select(LOGITS, 5, chosen=counts)


@pytest.mark.parametrize(
    ("name", "value"), [("mistakes", HUGE), ("correctness", HUGE), ("quotas", {0: HUGE}), ("mistakes", -HUGE)]
)
def test_numbers_that_no_float_holds_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"{name}: expected"):
        rad_fast.select(LOGITS, 5, **{name: value})


@pytest.mark.parametrize("name", ["rate", "slack", "mistakes", "correctness"])
def test_a_stream_refuses_such_numbers_too(name):
    with pytest.raises(ValueError, match=f"{name}: expected"):
        StreamSelector(**{"rate": 0.1, name: HUGE})


def test_labels_alone_are_no_student():
    message = "student_logits: expected the student's logits, .* got TeacherLabels"
    with pytest.raises(TypeError, match=message):
        rad_fast.select(LOGITS, 5, student_logits=ANSWERS)
    with pytest.raises(TypeError, match=message):
        rad_fast.Calibrator().fit(LOGITS, LOGITS.argmax(1), ANSWERS)
    with pytest.raises(TypeError, match=message):
        StreamSelector(0.1).offer(LOGITS, ANSWERS)


@pytest.mark.parametrize("rows", [0, np.int64(3), None, (0, 1)])
def test_points_of_a_teacher_are_taken_as_rows(rows):
    top = np.argsort(-LOGITS, axis=1)[:, :3]
    kept = rad_fast.TopKLogits(np.take_along_axis(LOGITS, top, 1), top, 5)
    for whole in (ANSWERS, rad_fast.Probabilities(np.full((60, 5), 0.2)), kept):
        with pytest.raises(TypeError, match=f"{type(whole).__name__}: expected a slice, a mask or an array"):
            whole[rows]
        assert len(whole[[0, 3]]) == len(whole[np.array([0, 3])]) == len(whole[2:4]) == 2
        assert len(whole[np.arange(60) < 2]) == 2


def test_rows_of_0_and_1_as_integers_are_labels():
    with pytest.raises(TypeError, match=r"p: expected floats in \[0, 1\], got int64; .*TeacherLabels\(p\.argmax"):
        rad_fast.Probabilities(np.eye(5, dtype=np.int64))


def test_tensors_of_other_kinds_are_read_or_refused():
    pyarrow = pytest.importorskip("pyarrow")
    assert np.array_equal(rad_fast.select(pyarrow.Tensor.from_numpy(LOGITS), 5), rad_fast.select(LOGITS, 5))


def test_a_share_above_all_is_not_advised_to_be_a_count():
    with pytest.raises(ValueError, match=r"got 200%$"):
        rad_fast.select(LOGITS, "200%")


def test_rows_that_are_not_there_are_told_from_a_file_that_is_cut(tmp_path):
    np.save(tmp_path / "a.npy", LOGITS)
    shards = open_shards(tmp_path / "a.npy")
    for begin, end in ((-1, 5), (0, 61), (0.0, 5), (100, 200)):
        with pytest.raises(ValueError, match="rows: expected begin and end from 0 to 60, got"):
            shards.read(begin, end)
    assert shards.read(60, 60).shape == (0, 5)
    with pytest.raises(ValueError, match="numbers: expected one of 'floats', 'integers', 'any', got 'text'"):
        open_shards(tmp_path / "a.npy", numbers="text")


def test_arrays_saved_one_after_the_other_are_not_read_as_the_first(tmp_path):
    held = io.BytesIO()
    np.save(held, LOGITS)
    (tmp_path / "a.npy").write_bytes(held.getvalue() * 2)
    with pytest.raises(ValueError, match="got 2656: the rest would be left out; if several arrays were saved"):
        open_shards(tmp_path / "a.npy")


def test_a_file_of_no_known_kind_is_told_what_kinds_there_are(tmp_path):
    (tmp_path / "logits.txt").write_text("1.5 2.5\n")
    with pytest.raises(ValueError, match=r"logits.txt: expected a file of numbers \(\.npy, .*numpy\.save writes one"):
        open_shards(tmp_path / "logits.txt")
    np.save(tmp_path / "a.npy", LOGITS)
    (tmp_path / "a.npy").rename(tmp_path / "logits")
    assert open_shards(tmp_path / "logits").rows == 60


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_bfloat16_in_an_archive_is_read(tmp_path, save, order):
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    logits = np.asarray(LOGITS.astype(bfloat16), order=order)
    save(tmp_path / "a.npz", logits=logits)
    shards = open_shards(tmp_path / "a.npz")
    assert shards.dtype == "bfloat16"
    assert np.array_equal(shards.read(3, 60), logits[3:])


def test_a_state_goes_on_with_the_calibrator_that_it_was_taken_with():
    truth = LOGITS.argmax(1)
    known, other = (rad_fast.Calibrator().fit(LOGITS, labels) for labels in (truth, np.roll(truth, 1)))
    stream = StreamSelector(0.1, correctness=known)
    stream.offer(LOGITS)
    state = stream.state_dict()
    StreamSelector(0.1, correctness=pickle.loads(pickle.dumps(known))).load_state_dict(state)
    for correctness in (other, None, 0.9):
        with pytest.raises(ValueError, match="state: expected one of a stream with correctness="):
            StreamSelector(0.1, correctness=correctness).load_state_dict(state)
    with pytest.raises(ValueError, match=r"state: expected what state_dict\(\) returned"):
        StreamSelector(0.1).load_state_dict({**state, "settings": "none"})


@pytest.mark.parametrize("name", ["rate", "quotas", "correctness", "seed"])
def test_a_stream_does_not_take_a_setting_that_it_would_not_use(name):
    stream = StreamSelector(0.1)
    with pytest.raises(AttributeError, match=f"{name}: a setting of a StreamSelector stays as it is"):
        setattr(stream, name, 0.5)
    assert repr(pickle.loads(pickle.dumps(stream))) == repr(StreamSelector(0.1))


@pytest.mark.filterwarnings("ignore::rad_fast.UnreliableTeacherWarning")  # with much that was not kept
@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "u4", "u8", ">i4"])
@pytest.mark.parametrize("logsumexp", [None, 12.0])
def test_classes_of_the_largest_logits_mean_the_same_in_integers_of_any_width(kind, logsumexp):
    rng = np.random.default_rng(3)
    logits = np.round(rng.normal(0, 2, (400, 100)))  # equal ones, too
    indices = np.argsort(-logits, axis=1, kind="stable")[:, :6][:, ::-1]
    values = np.take_along_axis(logits, indices, axis=1)
    values[::3, 0] = -np.inf  # padding, whose class says nothing
    indices[::3, 0] = 127
    student = rng.normal(0, 2, (400, 100))

    def scored(classes, of_student):
        kept = rad_fast.TopKLogits(values, indices.astype(classes), 65_536, logsumexp)
        given = kept if of_student else student
        return rad_fast.Selector(20).fit(kept, student_logits=given)

    for of_student in (True, False):
        found, expected = scored(kind, of_student), scored(np.int64, of_student)
        for name in ("indices", "gain", "correctness", "labels"):
            assert np.array_equal(getattr(found, name), getattr(expected, name)), name


@pytest.mark.parametrize(
    ("vocabulary", "words"),
    [
        (["yes", " yes"], "'yes' is of class 0 and of class 1"),
        ({"yes": 1.7}, "expected classes from 0 on, ints, got 1.7 for 'yes'"),
        ({"yes": None}, "expected classes from 0 on, ints, got None for 'yes'"),
        ({"yes": -1, "no": 0}, "expected classes from 0 on, ints, got -1 for 'yes'"),
    ],
)
def test_a_vocabulary_says_one_class_for_each_token(vocabulary, words):
    with pytest.raises(ValueError, match=words):
        rad_fast.TopKLogits.from_logprobs([{"yes": -0.1}], vocabulary=vocabulary)


def test_tokens_beyond_the_vocabulary_are_told_by_their_row():
    for token in (7, 10**12):
        with pytest.raises(
            ValueError, match=f"n_classes: expected more than the class of every token, {token} in row 1"
        ):
            rad_fast.TopKLogits.from_logprobs([{3: -1.0}, {token: -1.0}], n_classes=5)
    with pytest.raises(TypeError, match="rows: expected a list with one element per point, got a NoneType"):
        rad_fast.TopKLogits.from_logprobs(None, n_classes=5)


@pytest.mark.parametrize("scale", [2.0**100, 2.0**-100])
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_what_neighbours_agree_on_does_not_depend_on_the_size_of_features(scale, library):
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(200, 4)).astype(np.float32), rng.integers(0, 3, 200)

    def share(x):
        given = x if library == "numpy" else pytest.importorskip("torch").from_numpy(x)
        return np.asarray(rad_fast.agreement(given, labels))

    assert np.array_equal(share(features * np.float32(scale)), share(features))


def test_features_and_labels_of_one_index_have_one_order():
    pandas = pytest.importorskip("pandas")
    features = pandas.DataFrame(LOGITS[:, :3], index=np.arange(60)[::-1])
    with pytest.raises(ValueError, match="labels: expected the index of features, got the same in another order"):
        rad_fast.agreement(features, pandas.Series(LOGITS.argmax(1)))


def test_places_of_files_and_figures_are_checked_by_name(tmp_path):
    selection = rad_fast.Selector(5).fit(LOGITS)
    for call in (selection.save, selection.save_report):
        for place in (None, 5, b"selection.npz", io.BytesIO()):
            with pytest.raises(TypeError, match="path: expected the path of a file, got"):
                call(place)
    selection.save(tmp_path / "selection.npz")
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match=r"path: expected a name such as report\.html"):
        selection.save_report(tmp_path / "selection.npz")
    assert rad_fast.Selection.load(tmp_path / "selection.npz").budget == 5
    with pytest.raises(TypeError, match="ax: expected the Axes of matplotlib, got int"):
        selection.plot(5)


def test_the_folder_of_scores_is_the_one_that_a_selector_says(tmp_path):
    selector = rad_fast.Selector(5, scores=tmp_path / "a").partial_fit(LOGITS)
    for other in (tmp_path / "b", None):
        selector.scores = other
        for call in (selector.partial_fit, selector.fit):
            with pytest.raises(ValueError, match=r"scores: expected .*a, where the points so far are, got"):
                call(LOGITS)
    selector.scores = str(tmp_path / "a")
    assert np.array_equal(selector.fit(LOGITS).indices, rad_fast.select(LOGITS, 5))
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="expected a folder, got a file"):
        rad_fast.Selector(5, scores=tmp_path / "file").fit(LOGITS)


@pytest.mark.parametrize("kind", ["uint8", "int8", "uint16", "uint64", "int64"])
def test_classes_in_arrow_lists_are_read_in_any_width_with_what_is_missing(tmp_path, kind):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    of_kind = pyarrow.list_(getattr(pyarrow, kind)())
    parquet.write_table(pyarrow.table({"k": pyarrow.array([[1, 2], None, [3, None]], of_kind)}), tmp_path / "k.parquet")
    assert open_shards(tmp_path / "k.parquet", numbers="integers").read(0, 3).tolist() == [[1, 2], [-1, -1], [3, -1]]

    top = np.argsort(-LOGITS, axis=1)[:, :3]
    values = np.take_along_axis(LOGITS, top, axis=1)
    in_memory = rad_fast.TopKLogits(pyarrow.array(values.tolist()), pyarrow.array(top.tolist(), of_kind), 5)
    assert np.array_equal(rad_fast.select(in_memory, 5), rad_fast.select(rad_fast.TopKLogits(values, top, 5), 5))
    with pytest.raises(TypeError, match="logits: expected float64, float32, float16 or bfloat16, got int64"):
        rad_fast.select(pyarrow.array(top.tolist()), 5)


def test_a_calibrator_that_is_fitted_again_changes_nothing_that_was_decided():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 4, (500, 6)).astype(np.float32)
    truth = logits.argmax(1)
    spoilt = np.where(rng.random(500) < 0.5, 0, truth)
    calibrator = rad_fast.Calibrator().fit(logits[:200], spoilt[:200])
    selection = rad_fast.Selector(9).fit(logits, correctness=calibrator)
    chunks = rad_fast.Selector(9).partial_fit(logits[:100], correctness=calibrator)
    stream, expected = (StreamSelector(0.1, correctness=calibrator, backend="reference") for _ in range(2))
    promise, whole = selection.certificate(), expected.offer(logits)
    first = stream.offer(logits[:250])
    calibrator.fit(logits[:200], truth[:200])
    assert selection.certificate() == promise
    assert np.array_equal(np.concatenate([first, stream.offer(logits[250:])]), whole)
    with pytest.raises(
        ValueError, match=r"correctness: expected a Calibrator as .* got a Calibrator that was fitted otherw"
    ):
        chunks.partial_fit(logits[100:], correctness=calibrator)


def test_chunks_go_on_with_a_calibrator_after_they_were_pickled():
    calibrator = rad_fast.Calibrator().fit(LOGITS, LOGITS.argmax(1))
    selector = rad_fast.Selector(5).partial_fit(LOGITS[:20], correctness=calibrator)
    again = pickle.loads(pickle.dumps(selector)).partial_fit(LOGITS[20:], correctness=calibrator).finalize()
    assert np.array_equal(again.indices, rad_fast.select(LOGITS, 5, correctness=calibrator))


def test_what_is_done_to_the_arrays_of_a_selection_does_not_change_it(tmp_path):
    selection = rad_fast.Selector(5).fit(LOGITS, exclude=[3])
    for name in ("gain", "correctness", "labels"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(selection, name)[3] = 0
    expected = rad_fast.Selector(5).fit(LOGITS, exclude=[3]).weights
    selection.save(tmp_path / "selection.npz")
    for made in (selection, rad_fast.Selection.load(tmp_path / "selection.npz")):
        indices = made.indices
        indices += 100  # as of a later shard
        assert np.array_equal(made.weights, expected)
    larger = selection.extend(9)
    larger.indices[:] = 0
    assert len(set(larger.extend(12).indices.tolist())) == 12


def asked_about(rows: np.ndarray) -> np.ndarray:
    return LOGITS[rows]


def test_a_cascade_answers_each_query_or_says_who_did_not():
    queries = np.arange(60)
    with pytest.raises(ValueError, match="small: expected an answer for each of 60 queries, got 3"):
        Cascade(lambda rows: LOGITS[:3], asked_about, 0.1)(queries)
    with pytest.raises(TypeError, match=r"large: expected an answer for each of \d+ queries, got NoneType"):
        Cascade(asked_about, lambda rows: None, 0.9)(queries)
    with pytest.raises(ValueError, match="the first is row 0; fix them, or leave these queries out"):
        Cascade(lambda rows: LOGITS[rows] * np.nan, asked_about, 0.1)(queries)


@pytest.mark.parametrize(
    ("small", "large", "expected"),
    [
        (np.array(["no"] * 60), np.array(["perhaps"] * 60), {"no", "perhaps"}),
        (np.zeros(60, int), np.full(60, 0.5), {0.0, 0.5}),
        (np.zeros(60, int), np.array(["perhaps"] * 60), {0, "perhaps"}),
    ],
)
def test_a_cascade_keeps_the_answers_of_both_models_whole(small, large, expected):
    cascade = Cascade(lambda rows: (small[rows], LOGITS[rows]), lambda rows: large[rows], 0.5)
    assert set(cascade(np.arange(60)).answers) == expected


def test_a_cascade_has_one_calibrator_and_its_classes():
    truth = LOGITS.argmax(1)
    calibrator = rad_fast.Calibrator().fit(LOGITS, truth)
    cascade = Cascade(asked_about, asked_about, 0.1, calibrator)
    with pytest.raises(ValueError, match="logits: expected 5 classes, as the labelled points of the Calibrator have"):
        cascade.route(LOGITS[:, :4])
    state = cascade.state_dict()
    with pytest.raises(ValueError, match="state: expected one of a stream with calibrator="):
        Cascade(asked_about, asked_about, 0.1).load_state_dict(state)
    calibrator.fit(LOGITS, np.roll(truth, 1))
    cascade.load_state_dict(state)
