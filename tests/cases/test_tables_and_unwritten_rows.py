"""Tables whose columns are not the classes one thinks, files that were not written to their end, shards that are there
twice or not at all: what would shift classes, rows or points is refused, what may is said."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest

import rad_fast
from rad_fast import cli
from rad_fast.readers import open_shards

pytestmark = [
    pytest.mark.filterwarnings("default::UserWarning"),  # the command line tells them
    pytest.mark.usefixtures("short_curves"),
]

N, C = 120, 4
R = np.random.default_rng(0)
T = R.normal(0, 3, (N, C)).astype("f4")
S = (T + R.normal(0, 2, T.shape)).astype("f4")
NAMES = ["cat", "dog", "emu", "fox"]
OTHER = [2, 0, 3, 1]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def frame(library, values, names):
    if library == "pandas":
        return pytest.importorskip("pandas").DataFrame(values, columns=names)
    if library == "polars":
        return pytest.importorskip("polars").DataFrame(values, schema=names)
    arrow = pytest.importorskip("pyarrow")
    return arrow.table({name: values[:, at] for at, name in enumerate(names)})


def parquet(path, values, names):
    pytest.importorskip("pyarrow.parquet").write_table(frame("pyarrow", values, names), path)


# ----------------------------------------------------------------------------------------------------- names of classes


@pytest.mark.parametrize("student", ["pandas", "polars", "pyarrow"])
@pytest.mark.parametrize("teacher", ["pandas", "polars", "pyarrow"])
def test_tables_with_the_same_classes_in_another_order_are_refused(teacher, student):
    logits = frame(teacher, T, NAMES)
    mixed = frame(student, S[:, OTHER], [NAMES[at] for at in OTHER])
    for call in (
        lambda: rad_fast.select(logits, 9, student_logits=mixed),
        lambda: rad_fast.Calibrator().fit(logits, T.argmax(1), mixed),
    ):
        with pytest.raises(ValueError, match=r"student_logits: expected the columns of \w+, got the same in another"):
            call()
    same = rad_fast.select(logits, 9, student_logits=frame(student, S, NAMES))
    np.testing.assert_array_equal(same, rad_fast.select(T, 9, student_logits=S))


def test_labels_and_confidence_or_values_and_classes_in_another_order_are_refused():
    pandas = pytest.importorskip("pandas")
    confidence = pandas.Series(R.uniform(0.5, 1, N))
    labels = pandas.Series(T.argmax(1))
    with pytest.raises(ValueError, match=r"confidence: expected the index of labels, got the same in another order"):
        rad_fast.TeacherLabels(labels, confidence.sample(frac=1.0, random_state=0), n_classes=C)
    assert len(rad_fast.TeacherLabels(labels, confidence, n_classes=C)) == N
    ids = pandas.DataFrame(np.argsort(-T, axis=1)[:, :2])
    values = pandas.DataFrame(np.take_along_axis(T, ids.to_numpy(), axis=1))
    sums = pandas.Series(np.log(np.exp(T.astype("f8")).sum(axis=1)))
    with pytest.raises(ValueError, match=r"indices: expected the index of values, got the same in another order"):
        rad_fast.TopKLogits(values, ids.iloc[::-1], C)
    with pytest.raises(ValueError, match=r"logsumexp: expected the index of values, got the same in another order"):
        rad_fast.TopKLogits(values, ids, C, sums.iloc[::-1])
    kept = rad_fast.TopKLogits(values, ids, C, sums)
    np.testing.assert_array_equal(rad_fast.select(kept, 9), rad_fast.select(T, 9))


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_a_column_of_integers_beside_logits_is_refused(library):
    """An id is no class."""
    logits = frame(library, T, NAMES)
    ids = np.arange(N)
    if library == "pandas":
        logits = logits.assign(id=ids)
    elif library == "polars":
        logits = logits.with_columns(id=ids)
    else:
        logits = logits.append_column("id", [ids])
    with pytest.raises(TypeError, match=r"logits: expected floats in all columns, or in none; integers.*column 'id'"):
        rad_fast.select(logits, 9)


def test_shards_and_models_have_the_classes_in_one_order(here, capsys):
    mixed = [NAMES[at] for at in OTHER]
    os.mkdir("d")
    parquet("d/0.parquet", T[:60], NAMES)
    parquet("d/1.parquet", T[60:][:, OTHER], mixed)
    with pytest.raises(
        ValueError, match=r"1\.parquet: expected the columns 'cat', 'dog', 'emu', 'fox' in this order as"
    ):
        open_shards("d", column="*")
    parquet("t.parquet", T, NAMES)
    parquet("s.parquet", S, NAMES)
    parquet("m.parquet", S[:, OTHER], mixed)
    select = ["select", "t.parquet", "--column", "*", "--budget", "9", "--out", "o.npy", "--student-column", "*"]
    assert cli.main([*select, "--student", "m.parquet"]) == 1
    assert (
        "expected the columns 'cat', 'dog', 'emu', 'fox' in this order, as the teacher's, got"
        in capsys.readouterr().err
    )
    assert cli.main([*select, "--student", "s.parquet"]) == 0
    np.testing.assert_array_equal(np.load("o.npy"), rad_fast.select(T, 9, student_logits=S))
    np.save("y.npy", T.argmax(1))
    parquet("u.parquet", T[:, OTHER], mixed)
    assert cli.main([*select, "--labels", "y.npy", "--labelled-logits", "u.parquet:*"]) == 1
    assert "in this order, as the teacher's" in capsys.readouterr().err


def test_the_names_of_columns_are_not_read_as_a_point(here):
    """A table whose columns have no names is written with 0, 1, 2 and so on above them."""
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame(T).to_csv("x.csv", index=False)
    with pytest.raises(ValueError, match=r"x\.csv: expected names of columns or a row of logits in the first line, it"):
        open_shards("x.csv")
    pandas.DataFrame(T).to_csv("y.csv", index=False, header=False)
    assert open_shards("y.csv").rows == N


@pytest.mark.parametrize("place", [0, 2, C])
def test_an_index_of_text_without_names_is_no_class(here, place):
    ids = R.permutation(N) * 10 + 1000
    np.savetxt("x.csv", np.insert(T.astype("f8"), place, ids, axis=1), delimiter=",", fmt="%.9g")
    with pytest.raises(ValueError, match=f"column {place + 1} holds whole numbers beside fractions, as an index does"):
        open_shards("x.csv")


def test_a_class_whose_logit_is_always_0_is_one(here):
    """As logistic regression has for the class that the others are measured against."""
    values = T.copy()
    values[:, 1] = 0
    np.savetxt("x.csv", values, delimiter=",", fmt="%.9g")
    np.testing.assert_allclose(open_shards("x.csv").read(0, N), values)


@pytest.mark.parametrize("name", ["embedding", "last_hidden_state", "image_features"])
def test_features_are_not_taken_for_logits_because_nothing_else_is_there(here, name):
    arrow = pytest.importorskip("pyarrow")
    rows = arrow.table({name: T.tolist(), "id": np.arange(N)})
    pytest.importorskip("pyarrow.parquet").write_table(rows, "x.parquet")
    np.savez("x.npz", **{name: T})
    for path in ("x.parquet", "x.npz"):
        with pytest.raises(ValueError, match=rf"expected one .* got 1: '{name}'; name one with --column"):
            open_shards(path)
        np.testing.assert_array_equal(open_shards(path, column=name).read(0, N), T)


# ----------------------------------------------------------------------------------------------------- rows at the end


def mapped(values):
    made = np.lib.format.open_memmap("x.npy", "w+", "f4", values.shape)
    made[:] = values
    made.flush()


def tensors(values):
    pytest.importorskip("safetensors.numpy").save_file({"logits": values}, "x.safetensors")


def hdf5(values):
    """One chunk, of which a part is written."""
    written = int(values.any(axis=1).sum())
    with pytest.importorskip("h5py").File("x.h5", "w") as file:
        made = file.create_dataset("logits", values.shape, "f4", chunks=(500, C), maxshape=(None, C))
        made[:written] = values[:written]


@pytest.mark.parametrize("written", [1, 2, 50, 63, 64, N - 8])
@pytest.mark.parametrize("write", [mapped, tensors, hdf5])
def test_a_file_that_was_not_written_to_its_end_is_said_with_its_row(here, write, written):
    values = T.copy()
    values[written:] = 0
    write(values)
    (path,) = here.iterdir()
    with pytest.warns(
        UserWarning, match=rf"{path.name}: its last rows, from row {written} on, are 0 in every class; was"
    ):
        open_shards(path)


def test_an_array_that_was_not_filled_is_said():
    values = T.copy()
    values[70:] = 0
    with pytest.warns(UserWarning, match="logits: its last rows, from row 70 on, are 0 in every class"):
        rad_fast.select(values, 9)


@pytest.mark.parametrize("zeros", [slice(0, N), slice(0, 60), slice(3, 9), slice(N - 7, N)])
def test_zeros_elsewhere_may_be_meant(here, zeros):
    values = T.copy()
    values[zeros] = 0
    mapped(values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_shards("x.npy")
        warnings.simplefilter("ignore", rad_fast.UnreliableTeacherWarning)
        rad_fast.select(values, 9)


# -------------------------------------------------------------------------------------------------------------- shards


def test_a_file_that_is_given_twice_is_refused(here):
    np.save("a.npy", T)
    np.save("b.npy", S)
    for given in (["a.npy", "b.npy", "a.npy"], ["a.npy", "./a.npy"], ["*.npy", str(here / "b.npy")]):
        with pytest.raises(ValueError, match=r"[ab]\.npy: expected each file once, it is given twice, as "):
            open_shards(given)
    assert open_shards(["a.npy", "b.npy"]).rows == 2 * N


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ([0, 1, 2, 4, 5], "numbered from 0 to 5, but 3 is missing"),
        ([7, 8, 10, 11, 13, 14], "numbered from 7 to 14, but 9 and 1 more are missing"),
        ([1, 2, 3], ""),
        ([0], ""),
        ([0, 100, 200, 300], ""),  # numbers of rows
        ([20240130, 20240131, 20240201], ""),
    ],
)
def test_a_shard_that_may_be_missing_is_said(here, there, said):
    (here / "d").mkdir()
    for number in there:
        np.save(f"d/part-{number:05}.npy", T[:3])
    for given in ("d", "d/part-*.npy"):
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            assert open_shards(given).rows == 3 * len(there)
        assert [said in str(warning.message) for warning in heard] == [True] * bool(said)
