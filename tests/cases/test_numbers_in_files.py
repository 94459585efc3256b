"""Labels, masks, indices, correctness: in files of every kind that logits may be in, cut into shards as they are."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import rad_fast
from rad_fast import cli
from rad_fast.storage.readers.flat import open_flat

pytestmark = [
    pytest.mark.filterwarnings("default::UserWarning"),  # the command line tells them
    pytest.mark.usefixtures("short_curves"),
]

N, C = 240, 5
R = np.random.default_rng(0)
T = R.normal(0, 3, (N, C)).astype("f4")
LABELS = np.where(R.random(N) < 0.9, T.argmax(axis=1), R.integers(0, C, N))
MASK = R.random(N) < 0.3
CORRECTNESS = R.uniform(0.5, 1, N)
OF_ROWS = {"labels": LABELS, "exclude": MASK, "correctness": CORRECTNESS, "gain": R.uniform(0, 1, N)}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("t.npy", T)
    return tmp_path


def run(*arguments):
    return cli.main(["select", *map(str, arguments), "--budget", "20", "--out", "o.npy"])


def npy(values, folder):
    np.save(folder / "x.npy", values)
    return folder / "x.npy"


def shards(values, folder):
    (folder / "d").mkdir()
    for number, part in enumerate(np.array_split(values, 12)):
        np.save(folder / "d" / f"part-{number}.npy", part)
    return folder / "d"


def parquet(values, folder):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"n": values}), folder / "x.parquet", row_group_size=50)
    return folder / "x.parquet"


def arrow(values, folder):
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"n": values})
    with pa.ipc.new_file(str(folder / "x.arrow"), table.schema) as file:
        file.write_table(table, max_chunksize=70)
    return folder / "x.arrow"


def npz(values, folder):
    np.savez_compressed(folder / "x.npz", n=values, logits=T)
    return folder / "x.npz"


def safetensors(values, folder):
    pytest.importorskip("safetensors.numpy").save_file({"n": values, "logits": T}, folder / "x.safetensors")
    return folder / "x.safetensors"


def hdf5(values, folder):
    with pytest.importorskip("h5py").File(folder / "x.h5", "w") as file:
        file["n"], file["logits"] = values, T
    return folder / "x.h5"


def zarr(values, folder):
    pytest.importorskip("zarr").save(str(folder / "x.zarr"), values)
    return folder / "x.zarr"


def saved(values, folder):
    pytest.importorskip("datasets").Dataset.from_dict({"n": values}).save_to_disk(str(folder / "saved"))
    return folder / "saved"


def torch(values, folder):
    library = pytest.importorskip("torch")
    library.save({"n": library.from_numpy(values), "logits": library.from_numpy(T)}, folder / "x.pt")
    return folder / "x.pt"


def csv(values, folder):
    np.savetxt(folder / "x.csv", values, fmt="%d" if values.dtype.kind in "bi" else "%.17g")
    return folder / "x.csv"


WRITERS = (npy, shards, parquet, arrow, npz, safetensors, hdf5, zarr, saved, torch, csv)


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__)
@pytest.mark.parametrize("name", ["labels", "exclude", "correctness"])
def test_every_option_reads_every_format(here, capsys, writer, name):
    path = writer(OF_ROWS[name], here)
    beside = ["--labelled-logits", "t.npy"] if name == "labels" else []
    assert run("t.npy", *beside, f"--{name}", path) == 0, capsys.readouterr().err
    given = {name: OF_ROWS[name]}
    if name == "labels":
        given = {"correctness": rad_fast.Calibrator().fit(T, LABELS)}
    np.testing.assert_array_equal(np.load("o.npy"), rad_fast.select(T, 20, **given))
    said = capsys.readouterr().err
    assert writer is saved or said == ""  # datasets shows progress where it writes


def by_letters(folder):
    return [str(path) for path in sorted(folder.glob("part-*.npy"))]


@pytest.mark.parametrize("name", ["labels", "exclude", "correctness", "gain", "chosen"])
def test_shards_in_a_shell_s_order_are_paired_with_the_teacher_s(here, capsys, name):
    """part-10 before part-2 on one side and not on the other would be the numbers of other points."""
    teacher = shards(T, here).rename(here / "teacher")
    values = OF_ROWS.get(name, MASK)
    numbers = shards(values, here)
    given = {name: values} if name != "labels" else {"correctness": rad_fast.Calibrator().fit(T, LABELS)}
    expected = rad_fast.select(T, 20, **given)
    for ours, theirs in [
        ([teacher], by_letters(numbers)),
        (by_letters(teacher), [numbers]),
        (by_letters(teacher), by_letters(numbers)),
        (["teacher/*.npy"], ["d/part-*.npy"]),
    ]:
        beside = ["--labelled-logits", *ours] if name == "labels" else []
        assert run(*ours, *beside, f"--{name}", *theirs) == 0, capsys.readouterr().err
        np.testing.assert_array_equal(np.load("o.npy"), expected)
        capsys.readouterr()


def test_names_that_do_not_match_are_said_and_another_order_is_refused(here, capsys):
    shards(T, here).rename(here / "teacher")
    numbers = shards(CORRECTNESS, here)
    (numbers / "part-11.npy").rename(numbers / "part-12.npy")
    assert run("teacher", "--correctness", numbers) == 0
    assert "part-12.npy stands beside teacher/part-11.npy" in capsys.readouterr().err
    swapped = [f"d/part-{number}.npy" for number in (1, 0, *range(2, 11), 12)]
    (numbers / "part-12.npy").rename(numbers / "part-11.npy")
    swapped[-1] = "d/part-11.npy"
    assert run("teacher", "--correctness", *swapped) == 1
    assert "--correctness: expected shards in the order of the teacher's" in capsys.readouterr().err


def test_of_several_columns_the_one_that_is_called_as_the_option_or_named(here, capsys):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = {
        "id": np.arange(N),
        "label": LABELS,
        "other": T.argmax(axis=1),
        "correctness": CORRECTNESS,
        "p": CORRECTNESS,
    }
    pq.write_table(pa.table({**table, "logits": list(T)}), "x.parquet")
    held_out = ["--labelled-logits", "x.parquet", "--labels"]
    fitted = {name: rad_fast.Calibrator().fit(T, table[name]) for name in ("label", "other")}
    for options, correctness in [
        (["--correctness", "x.parquet"], CORRECTNESS),
        (["--correctness", "x.parquet:p"], CORRECTNESS),
        ([*held_out, "x.parquet"], fitted["label"]),
        ([*held_out, "x.parquet:other"], fitted["other"]),
    ]:
        assert run("x.parquet", *options) == 0, capsys.readouterr().err
        np.testing.assert_array_equal(np.load("o.npy"), rad_fast.select(T, 20, correctness=correctness))
    assert run("x.parquet", "--gain", "x.parquet") == 1
    assert "got 5: 'id', 'label', 'other', 'correctness', 'p'; name one as FILE:NAME" in capsys.readouterr().err
    assert run("x.parquet", "--correctness", "x.parquet:q") == 1
    assert "expected a column 'q'" in capsys.readouterr().err


def test_a_value_that_is_missing_is_said_with_its_row(here, capsys):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for name, words in (
        ("exclude", "x.parquet: expected a value in every row of 'n', row 7 has none"),
        ("labels", "1 is not, the first: -1 at index 7"),
        ("correctness", "1 is not, the first: nan at index 7"),
    ):
        values = OF_ROWS[name].tolist()
        values[7] = None
        pq.write_table(pa.table({"n": pa.array(values)}), "x.parquet")
        beside = ["--labelled-logits", "t.npy"] if name == "labels" else []
        assert run("t.npy", *beside, f"--{name}", "x.parquet") == 1
        assert words in capsys.readouterr().err


def test_masks_beside_indices_are_refused(here, capsys):
    folder = shards(MASK, here)
    np.save(folder / "part-12.npy", np.array([3, 7]))
    assert run("t.npy", "--exclude", folder) == 1
    assert "part-12.npy: expected bool as in d/part-0.npy, got int64" in capsys.readouterr().err.replace(f"{here}/", "")


def test_a_teacher_s_labels_in_shards(here, capsys):
    labels = np.where(MASK, -1, LABELS)
    shards(labels, here)
    parquet(CORRECTNESS, here)
    options = ["--teacher-labels", "--classes", C, "--teacher-confidence", "x.parquet"]
    assert run("d", *options) == 0, capsys.readouterr().err
    expected = rad_fast.select(rad_fast.TeacherLabels(labels, CORRECTNESS, n_classes=C), 20)
    np.testing.assert_array_equal(np.load("o.npy"), expected)


def test_the_labelled_points_of_a_teacher_of_probabilities(here, capsys):
    p = np.exp(T - T.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    np.save("p.npy", p)
    np.save("l.npy", LABELS)
    assert run("p.npy", "--probabilities", "--labelled-logits", "p.npy", "--labels", "l.npy") == 0
    given = rad_fast.Probabilities(p)
    expected = rad_fast.select(given, 20, correctness=rad_fast.Calibrator().fit(given, LABELS))
    np.testing.assert_array_equal(np.load("o.npy"), expected)
    assert run("t.npy", "--labelled-logits", "p.npy", "--labels", "l.npy") == 1
    assert "--labelled-logits p.npy: expected logits, got probabilities" in capsys.readouterr().err


def test_sums_of_the_largest_in_shards(here, capsys):
    ids = np.argsort(-T, axis=1)[:, :3].copy()
    values, sums = np.take_along_axis(T, ids, axis=1), np.log(np.exp(T.astype("f8")).sum(axis=1))
    np.save("v.npy", values)
    np.save("i.npy", ids)
    shards(sums, here)
    assert run("v.npy", "--top-k", "i.npy", "--classes", C, "--logsumexp", "d") == 0, capsys.readouterr().err
    np.testing.assert_array_equal(np.load("o.npy"), rad_fast.select(rad_fast.TopKLogits(values, ids, C, sums), 20))


def test_a_stream_s_labelled_points(here):
    labelled, labels = parquet(LABELS, here), ["--labelled-logits", "t.npy", "--labels", "x.parquet"]
    np.save("l.npy", LABELS)
    said = [
        subprocess.run(
            [sys.executable, "-m", "rad_fast.cli", "stream", "--rate", "5%", "--teacher", "t.npy", *options],
            capture_output=True,
            check=True,
        ).stdout
        for options in (labels, [*labels[:-1], "l.npy"])
    ]
    assert labelled.exists()
    assert said[0] == said[1]
    assert b"1" in said[0]


def test_one_npy_file_is_mapped_and_not_read(tmp_path):
    np.save(tmp_path / "x.npy", CORRECTNESS)
    values = open_flat([tmp_path / "x.npy"]).values
    assert np.may_share_memory(values, values.base) if values.base is not None else False
    base = values
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)


def test_a_number_beside_files_is_refused(here, capsys):
    np.save("c.npy", CORRECTNESS)
    with pytest.raises(SystemExit):
        cli.main(["select", "t.npy", "--budget", "5", "--correctness", "c.npy", "0.5"])
    assert "expected files, or 0.5 alone" in capsys.readouterr().err
