"""Ray Data: the rows selected from a dataset are those that one call on the whole array selects."""

from __future__ import annotations

import logging

import numpy as np
import pytest

import rad_fast
import rad_fast.ray

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own, of what it imports

N, C, BUDGET = 3000, 6, 90
LOGITS = np.random.default_rng(6).normal(0, 3, (N, C)).astype(np.float32)
STUDENT = (LOGITS + np.random.default_rng(7).normal(0, 2, (N, C))).astype(np.float32)


@pytest.fixture(scope="module")
def ray():
    """A local Ray with two CPUs."""
    ray = pytest.importorskip("ray", reason='Ray is not installed: pip install "rad_fast[ray]"')
    pytest.importorskip("ray.data")
    pytest.importorskip("pyarrow")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    yield ray
    ray.shutdown()


def dataset(ray, rows=N, blocks=5, **columns):
    """A dataset of uneven blocks."""
    import pyarrow as pa

    cuts = (np.linspace(0, 1, blocks + 1) ** 2 * rows).astype(int)

    def column(values):
        values = np.asarray(values)
        return pa.array(values) if values.ndim == 1 else pa.array(list(values))

    tables = [
        pa.table({"id": np.arange(begin, end), **{name: column(all_of[begin:end]) for name, all_of in columns.items()}})
        for begin, end in zip(cuts[:-1], cuts[1:], strict=True)  # noqa: RUF007
    ]
    return ray.data.from_arrow(tables)


def ids(selected):
    return np.array([row["id"] for row in selected.take_all()])


def test_the_rows_are_those_of_select_with_all_their_columns(ray):
    selected = rad_fast.ray.select(dataset(ray, logits=LOGITS), BUDGET)
    np.testing.assert_array_equal(ids(selected), rad_fast.select(LOGITS, BUDGET))
    assert selected.columns() == ["id", "logits"]
    np.testing.assert_array_equal(np.array([row["logits"] for row in selected.take(3)]), LOGITS[ids(selected)[:3]])


def test_tensors_that_map_batches_made(ray):
    """Whose teacher runs as batch inference gets tensors of it; the order is that of the dataset."""
    whole = ray.data.range(N, override_num_blocks=7).map_batches(
        lambda batch: {"id": batch["id"], "said": LOGITS[batch["id"]]}, batch_size=100
    )
    selected = rad_fast.ray.select(whole, 0.03, logits="said", seed=4)
    np.testing.assert_array_equal(ids(selected), rad_fast.select(LOGITS, 0.03, seed=4))


def test_everything_at_once(ray):
    rng = np.random.default_rng(1)
    labels = np.where(rng.random(400) < 0.8, LOGITS[:400].argmax(axis=1), rng.integers(0, C, 400))
    calibrator = rad_fast.Calibrator().fit(LOGITS[:400], labels, STUDENT[:400])
    broken, skip = LOGITS.copy(), rng.random(N) < 0.3
    broken[[3, 2000]] = np.nan
    data = dataset(ray, t=broken, s=STUDENT, skip=skip)
    settings = {"mistakes": 20, "seed": 2, "invalid": "exclude"}
    found = rad_fast.ray.select(
        data, BUDGET, logits="t", student_logits="s", correctness=calibrator, exclude="skip", **settings
    )
    expected = rad_fast.select(broken, BUDGET, student_logits=STUDENT, correctness=calibrator, exclude=skip, **settings)
    np.testing.assert_array_equal(ids(found), expected)
    given = rng.random(N)
    found = rad_fast.ray.select(dataset(ray, t=LOGITS, c=given), BUDGET, logits="t", correctness="c")
    np.testing.assert_array_equal(ids(found), rad_fast.select(LOGITS, BUDGET, correctness=given))


def test_messages(ray):
    data = dataset(ray, logits=LOGITS)
    with pytest.raises(ValueError, match=r"logits: expected the name of a column .*'id', 'logits'.*got 'said'"):
        rad_fast.ray.select(data, 5, logits="said")
    with pytest.raises(ValueError, match="column 'id': expected lists of double"):
        rad_fast.ray.select(data, 5, logits="id")
    with pytest.raises(TypeError, match="correctness: expected None, a Calibrator, a number or the name"):
        rad_fast.ray.select(data, 5, correctness=[1])
    with pytest.raises(TypeError, match=r"dataset: expected a ray.data.Dataset, got ndarray"):
        rad_fast.ray.select(LOGITS, 5)
    with pytest.raises(ValueError, match="budget: expected at most 3000"):
        rad_fast.ray.select(data, 5000)
    broken = LOGITS.copy()
    broken[[1700, 2900], 1] = np.inf
    with pytest.raises(ValueError, match=r"column 'logits': .*1 row has NaN.* the first is row 1700"):
        rad_fast.ray.select(dataset(ray, logits=broken), 5)
    uneven = dataset(ray, 100, logits=LOGITS[:100]).union(dataset(ray, 100, logits=LOGITS[:100, :4]))
    with pytest.raises(ValueError, match="column 'logits': expected rows of equal length, got 4 and 6"):
        rad_fast.ray.select(uneven, 5)


def test_probabilities_in_blocks_of_few_rows_are_told_by_all_of_them(ray):
    """Three rows of 0 and 1 could be logits; those of twenty such blocks are none."""
    p = np.eye(C, dtype=np.float32)[LOGITS[:60].argmax(axis=1)]
    with pytest.raises(ValueError, match=r"^logits: expected logits, got probabilities"):
        rad_fast.ray.select(dataset(ray, 60, 20, logits=p), 5)
    with pytest.raises(ValueError, match=r"^student_logits: expected logits, got probabilities"):
        rad_fast.ray.select(dataset(ray, 60, 20, logits=LOGITS[:60], s=p), 5, student_logits="s")


def test_what_a_block_is_refused_for_names_where_it_begins(ray):
    given = np.full(N, 0.9)
    given[2000] = np.nan
    with pytest.raises(ValueError, match=r"correctness: .* \(in the block that begins with row \d+\)"):
        rad_fast.ray.select(dataset(ray, logits=LOGITS, c=given), 5, correctness="c")


def test_blocks_of_which_nothing_is_left(ray):
    data = ray.data.range(600, override_num_blocks=4).map_batches(lambda b: {"id": b["id"], "logits": LOGITS[b["id"]]})
    selected = rad_fast.ray.select(data.filter(lambda row: row["id"] >= 300), 30)
    np.testing.assert_array_equal(ids(selected), 300 + rad_fast.select(LOGITS[300:600], 30))
    with pytest.raises(ValueError, match="expected at least one row, got none"):
        rad_fast.ray.select(data.filter(lambda row: row["id"] < 0), 30)


def test_masks_of_0_and_1_missing_rows_and_probabilities(ray):
    mask = np.arange(N) % 3 == 0
    selected = rad_fast.ray.select(dataset(ray, logits=LOGITS, out=mask.astype(np.int8)), BUDGET, exclude="out")
    np.testing.assert_array_equal(ids(selected), rad_fast.select(LOGITS, BUDGET, exclude=mask))
    with pytest.raises(ValueError, match="column 'out': expected truth values"):
        rad_fast.ray.select(dataset(ray, logits=LOGITS, out=np.arange(N)), BUDGET, exclude="out")
    import pyarrow as pa

    rows = LOGITS[:200].tolist()
    rows[7], rows[150] = None, None
    holes = ray.data.from_arrow([pa.table({"id": range(100), "logits": rows[at : at + 100]}) for at in (0, 100)])
    with pytest.raises(ValueError, match=r"2 rows have NaN|1 row has NaN.* row 7"):
        rad_fast.ray.select(holes, 10)
    expected = rad_fast.select(LOGITS[:200].astype(np.float64), 10, exclude=[7, 150])
    np.testing.assert_array_equal(
        [row % 100 for row in expected], ids(rad_fast.ray.select(holes, 10, invalid="exclude"))
    )
    p = np.exp(LOGITS.astype(np.float64))
    p /= p.sum(axis=1, keepdims=True)
    with pytest.raises(ValueError, match="expected logits, got probabilities"):
        rad_fast.ray.select(dataset(ray, logits=p), BUDGET)
    with pytest.raises(ValueError, match="expected logits, got probabilities"):
        rad_fast.ray.select(dataset(ray, logits=LOGITS, student=p), BUDGET, student_logits="student")


def test_labels_alone_with_what_neighbours_agree_on(ray):
    rng = np.random.default_rng(2)
    label = np.where(rng.random(N) < 0.05, -1, LOGITS.argmax(1)).astype(np.int64)
    sure = np.where(label < 0, np.nan, rng.uniform(0.4, 1.0, N))
    said = rad_fast.TeacherLabels(label, sure, n_classes=C)
    truth = np.where(rng.random(400) < 0.8, LOGITS[:400].argmax(1), 0)
    near = rad_fast.agreement(LOGITS, said)
    calibrator = rad_fast.Calibrator().fit(said[:400], truth, STUDENT[:400], agreement=near[:400])
    near = np.nan_to_num(near)
    data = dataset(ray, answer=label, sure=sure, s=STUDENT, near=near)
    columns = {"teacher_labels": "answer", "teacher_confidence": "sure", "n_classes": C, "student_logits": "s"}
    found = rad_fast.ray.select(data, BUDGET, **columns, correctness=calibrator, agreement="near")
    given = {"student_logits": STUDENT, "correctness": calibrator, "agreement": near}
    expected = rad_fast.select(said, BUDGET, **given)
    np.testing.assert_array_equal(ids(found), expected)
    assert (label[expected] >= 0).all()


def test_probabilities_in_the_columns(ray):
    p, s = (np.exp(z - z.max(1, keepdims=True)) for z in (LOGITS, STUDENT))
    p, s = p / p.sum(1, keepdims=True), s / s.sum(1, keepdims=True)
    both = {"probabilities": True, "student_probabilities": True}
    found = rad_fast.ray.select(dataset(ray, logits=p, s=s), BUDGET, student_logits="s", **both)
    given = rad_fast.Probabilities(p), rad_fast.Probabilities(s)
    np.testing.assert_array_equal(ids(found), rad_fast.select(given[0], BUDGET, student_logits=given[1]))
    with pytest.raises(ValueError, match=r"column 'logits': expected rows of probabilities, in .*; .* are not"):
        rad_fast.ray.select(dataset(ray, logits=LOGITS), BUDGET, probabilities=True)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"n_classes": C}, "teacher_confidence and n_classes: expected teacher_labels with them, got none"),
        ({"teacher_labels": "no", "n_classes": C}, "teacher_labels: expected the name of a column"),
        ({"teacher_labels": "id", "n_classes": 2, "student_logits": "s"}, "columns 'id' and None: labels: expected cl"),
        ({"logits": "s", "agreement": "near"}, "agreement: expected the name of a column"),
        ({"logits": "s", "agreement": "id"}, "agreement: expected None, or a Calibrator as correctness"),
    ],
)
def test_columns_that_cannot_be_meant_are_refused(ray, columns, words):
    with pytest.raises(ValueError, match=words):
        rad_fast.ray.select(dataset(ray, s=STUDENT), BUDGET, **columns)
