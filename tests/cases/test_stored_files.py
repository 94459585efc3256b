"""Logits as programs leave them on a disk: folders in folders, empty parts, missing rows, lost pieces."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

import rad_fast
from rad_fast import cli
from rad_fast.storage.readers import open_shards

from ..storage import writers

pytestmark = pytest.mark.usefixtures("short_curves")

Z = writers.LOGITS[:60]
CODED = {writers.write_zarr_zip, writers.write_csv, writers.write_npz, writers.write_npz_packed}


def shards(folder, writer, parts):
    folder.mkdir(parents=True, exist_ok=True)
    return [writer(folder / f"part-{number}", part) for number, part in enumerate(parts)]


def read(*given, **settings):
    opened = open_shards(list(given), **settings)
    return np.asarray(opened.read(0, opened.rows))


# ------------------------------------------------------------------------------------------------------------ folders


@pytest.mark.parametrize("pattern", ["", "**/*.npy", "**"])
def test_folders_in_folders_are_read_whole(tmp_path, pattern):
    for place, part in (("a/b", Z[:10]), ("a", Z[10:15]), ("b-2", Z[15:20]), ("b-10", Z[20:30])):
        (tmp_path / "d" / place).mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "d" / place / "x.npy", part)
    opened = open_shards([tmp_path / "d" / pattern])
    names = [str(path.relative_to(tmp_path / "d")) for path in opened.paths]
    assert names == ["a/b/x.npy", "a/x.npy", "b-2/x.npy", "b-10/x.npy"]  # natural order, folders among it
    np.testing.assert_array_equal(opened.read(0, opened.rows), Z[:30])


@pytest.mark.parametrize(
    "writer", [writers.write_npy, writers.write_parquet, writers.write_arrow, writers.write_safetensors]
)
def test_a_folder_called_like_a_file_as_spark_and_dask_write_it(tmp_path, writer):
    suffix = writer(tmp_path / "x", Z).suffix
    folder = tmp_path / f"logits{suffix}"
    shards(folder, writer, [Z[:20], Z[20:]])
    for name in ("_SUCCESS", "._SUCCESS.crc", ".part-0.crc", "_metadata"):
        (folder / name).touch()
    np.testing.assert_array_equal(read(folder), Z)


def test_one_path_is_as_good_as_a_list_of_one_and_none_is_refused(tmp_path):
    np.save(tmp_path / "one.npy", Z)
    for given in (str(tmp_path / "one.npy"), tmp_path / "one.npy", [str(tmp_path / "one.npy")], (tmp_path,), tmp_path):
        opened = open_shards(given)
        np.testing.assert_array_equal(opened.read(0, opened.rows), Z)
    with pytest.raises(ValueError, match="given: expected at least one path, got an empty list"):
        open_shards([])
    for wrong in (None, 7, [None], b"one.npy", {"one.npy"}):
        with pytest.raises(TypeError, match="given: expected a path, a folder, a pattern, or a list of them, got"):
            open_shards(wrong)


def test_hive_partitions(tmp_path):
    shards(tmp_path / "t" / "day=2", writers.write_parquet, [Z[:20]])
    shards(tmp_path / "t" / "day=10", writers.write_parquet, [Z[20:]])
    np.testing.assert_array_equal(read(tmp_path / "t"), Z)


@pytest.mark.parametrize(
    ("mark", "name"),
    [
        ("_delta_log/00000000000000000000.json", "Delta"),
        (".hoodie/hoodie.properties", "Hudi"),
        ("metadata/version-hint.text", "Iceberg"),
        ("metadata/00002-9c12d441-03fe-4693-9a96-a0705ddf69c1.metadata.json", "Iceberg"),  # whose catalog knows which
    ],
)
def test_a_table_with_a_log_is_refused(tmp_path, mark, name):
    shards(tmp_path / "t" / "data", writers.write_parquet, [Z])
    (tmp_path / "t" / mark).parent.mkdir()
    (tmp_path / "t" / mark).touch()
    with pytest.raises(ValueError, match=f"expected plain files, got a {name} table"):
        open_shards([tmp_path / "t"])


@pytest.mark.parametrize("name", ["part-3.npy.gz", "part-3.npy.tmp", "part-3.npy.crdownload"])
def test_unfinished_and_packed_files_are_told(tmp_path, name):
    shards(tmp_path / "t", writers.write_npy, [Z])
    (tmp_path / "t" / name).touch()
    with pytest.raises(ValueError, match=f"{name}: expected a complete file"):
        open_shards([tmp_path / "t"])


def test_a_shard_that_is_missing_from_a_numbered_set(tmp_path):
    (tmp_path / "t").mkdir()
    for number in (0, 1, 3):
        np.save(tmp_path / "t" / f"logits-{number:05}-of-00004.npy", Z[:5])
    with pytest.raises(ValueError, match=r"expected 4 shards logits-\.\.\.-of-4 .* got 3: are they all there"):
        open_shards([tmp_path / "t"])
    np.save(tmp_path / "t" / "logits-00002-of-00004.npy", Z[:5])
    assert open_shards([tmp_path / "t"]).rows == 20


def test_shards_of_two_formats_are_refused_and_other_files_are_no_shards(tmp_path):
    shards(tmp_path / "t", writers.write_npy, [Z[:20], Z[20:]])
    (tmp_path / "t" / "model.pt").write_bytes(b"no logits")
    (tmp_path / "t" / "labels.csv").write_text("label\n1\n")
    np.testing.assert_array_equal(read(tmp_path / "t"), Z)
    np.savez(tmp_path / "t" / "part-2.npz", Z)
    with pytest.raises(ValueError, match=r"expected shards of one format, got part-1.npy and part-2.npz"):
        open_shards([tmp_path / "t"])


def test_what_rad_fast_wrote_is_no_shard(tmp_path, capsys):
    folder = tmp_path / "t"
    (path,) = shards(folder, writers.write_npy, [Z])
    assert cli.main(["select", str(path), "--budget", "5", "--backend", "reference"]) == 0
    assert cli.main(["select", str(path), "--budget", "5", "--workdir", str(folder / "scores")]) == 0
    capsys.readouterr()
    with pytest.warns(UserWarning, match="skipped: rad-fast wrote it, it is not a shard") as said:
        opened = open_shards([folder])
    assert opened.paths == (path,)
    assert {Path(str(each.message).partition(":")[0]).name for each in said} == {"part-0.selected.npy", "scores"}
    with pytest.warns(UserWarning, match="skipped: rad-fast wrote it"):
        assert open_shards([folder / "*.npy"]).paths == (path,)


def test_a_saved_selection_is_no_shard(tmp_path):
    np.savez(tmp_path / "a.npz", logits=Z)
    rad_fast.Selector(5).fit(Z).save(tmp_path / "b.npz")
    with pytest.warns(UserWarning, match=r"b\.npz: skipped: rad-fast wrote it, it is not a shard"):
        opened = open_shards(tmp_path)
    np.testing.assert_array_equal(opened.read(0, opened.rows), Z)


def test_text_as_excel_writes_it(tmp_path):
    """With a mark of its byte order in front, which is no part of the first name."""
    lines = [",".join(f"class_{at}" for at in range(6)), *(",".join(map(repr, row)) for row in Z.tolist())]
    (tmp_path / "x.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    np.testing.assert_array_equal(read(tmp_path / "x.csv"), Z)


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")  # of torch 2.11, when it loads one
def test_a_sparse_tensor_in_a_file_is_refused_with_its_name(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"logits": torch.from_numpy(Z).to_sparse()}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"x\.pt: expected dense tensors, .*to_dense"):
        open_shards(tmp_path / "x.pt")


# ------------------------------------------------------------------------------------------------ rows that are missing


@pytest.mark.parametrize("writer", writers.WRITERS, ids=writers.name_of)
def test_shards_without_rows_are_shards(tmp_path, writer):
    if writer is writers.write_zarr_zip or writer is writers.write_csv:
        suffix = writer(tmp_path / "x", Z).suffix
        paths = shards(tmp_path / "d", writer, [Z[:20], Z[20:]])
        if suffix == ".csv":
            (tmp_path / "d" / "part-3.csv").write_text(",".join(f"class_{at}" for at in range(6)) + "\n")
            paths.append(tmp_path / "d" / "part-3.csv")
        np.testing.assert_array_equal(read(*paths), Z)
        return
    shards(tmp_path / "d", writer, [Z[:0], Z[:20], Z[:0], Z[20:], Z[:0]])
    np.testing.assert_array_equal(read(tmp_path / "d"), Z)


def test_a_column_of_no_rows_has_no_type(tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    shards(tmp_path / "d", writers.write_parquet, [Z])
    parquet.write_table(pa.table({"logits": pa.array([], pa.null())}), tmp_path / "d" / "part-1.parquet")
    np.testing.assert_array_equal(read(tmp_path / "d"), Z)


def test_nothing_but_empty_shards(tmp_path, capsys):
    shards(tmp_path / "d", writers.write_parquet_lists, [Z[:0], Z[:0]])
    assert cli.main(["select", str(tmp_path / "d"), "--budget", "5", "--out", str(tmp_path / "o.npy")]) == 1
    assert "expected at least one row" in capsys.readouterr().err


def lists_with(rows):
    pa = pytest.importorskip("pyarrow")
    return pa.array(rows, pa.list_(pa.float32()))


def with_nulls(kind, tmp_path, rows):
    """A file in which some of the rows, or numbers in them, are missing."""
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    size = len(next(row for row in rows if row is not None))
    if kind == "columns":
        columns = [[None if row is None else row[at] for row in rows] for at in range(size)]
        table = pa.table({f"class_{at}": pa.array(column, pa.float32()) for at, column in enumerate(columns)})
    elif kind == "fixed":
        table = pa.table({"logits": pa.array(rows, pa.list_(pa.float32(), size))})
    else:
        table = pa.table({"logits": lists_with(rows)})
    path = tmp_path / f"{kind}.parquet"
    if kind == "saved":
        datasets = pytest.importorskip("datasets")
        datasets.Dataset(table).save_to_disk(str(tmp_path / "saved"))
        return tmp_path / "saved"
    if kind == "arrow":
        with pa.ipc.new_file(str(tmp_path / "n.arrow"), table.schema) as file:
            file.write_table(table, max_chunksize=7)
        return tmp_path / "n.arrow"
    parquet.write_table(table, path, row_group_size=7)
    return path


@pytest.mark.parametrize("kind", ["lists", "fixed", "columns", "arrow", "saved"])
def test_a_row_that_is_missing_is_a_row_of_nan(tmp_path, kind, capsys):
    rows = [None, None, *Z[2:40].tolist(), None, *Z[41:].tolist()]
    rows[50] = [1.0, None, *rows[50][2:]]  # a number that is missing
    path = with_nulls(kind, tmp_path, rows)
    expected = np.where(np.isin(np.arange(60), [0, 1, 40])[:, None], np.nan, Z)
    expected[50, :2] = [1.0, np.nan]
    for step in (60, 9, 1):
        opened = open_shards([path])
        found = np.concatenate([np.asarray(opened.read(at, min(60, at + step))) for at in range(0, 60, step)])
        np.testing.assert_array_equal(found, expected.astype("f4"))
    out = tmp_path / "o.npy"
    command = ["select", str(path), "--budget", "5", "--out", str(out), "--mistakes", "0"]
    assert cli.main(command) == 1
    assert "4 rows have NaN, +inf or nothing finite, the first is row 0" in capsys.readouterr().err
    assert cli.main([*command, "--invalid", "exclude"]) == 0
    np.testing.assert_array_equal(
        np.load(out), rad_fast.select(expected.astype("f4"), 5, invalid="exclude", mistakes=0)
    )


def test_the_row_that_is_told_is_that_of_all_shards(tmp_path, capsys):
    folder = tmp_path / "d"
    folder.mkdir()
    for number, rows in enumerate((Z[:20].tolist(), [*Z[20:27].tolist(), None])):
        with_nulls("lists", tmp_path, rows).rename(folder / f"part-{number}.parquet")
    assert cli.main(["select", str(folder), "--budget", "5", "--out", str(tmp_path / "o.npy")]) == 1
    assert "the first is row 27" in capsys.readouterr().err


# --------------------------------------------------------------------------------------------------------- lost pieces


def zarr_array(path, shape, chunks, sharded=None):
    zarr = pytest.importorskip("zarr")
    data = np.random.default_rng(0).normal(1, 1, shape).astype("f4")
    zarr.create_array(str(path), shape=shape, chunks=chunks, shards=sharded, dtype="f4")[:] = data
    return data


@pytest.mark.parametrize("sharded", [None, (20, 6), (40, 12)])
def test_a_chunk_or_shard_of_zarr_that_is_lost(tmp_path, sharded):
    data = zarr_array(tmp_path / "z.zarr", (50, 15), (10, 3), sharded)  # shards that reach beyond both ends
    np.testing.assert_array_equal(read(tmp_path / "z.zarr"), data)
    chunks = sorted(path for path in (tmp_path / "z.zarr" / "c").rglob("*") if path.is_file())
    for chunk in (chunks[0], chunks[len(chunks) // 2], chunks[-1]):
        held = chunk.read_bytes()
        chunk.unlink()
        with pytest.raises(ValueError, match="those that are missing would read as the fill value"):
            open_shards([tmp_path / "z.zarr"])
        chunk.write_bytes(held)
    assert open_shards([tmp_path / "z.zarr"]).rows == 50


def test_a_chunk_beyond_the_array_does_not_stand_in_for_one_that_is_lost(tmp_path):
    """Of an array that was made shorter files are left over."""
    zarr_array(tmp_path / "z.zarr", (50, 15), (10, 15))
    about = json.loads((tmp_path / "z.zarr" / "zarr.json").read_text())
    (tmp_path / "z.zarr" / "zarr.json").write_text(json.dumps(about | {"shape": [30, 15]}))
    assert open_shards([tmp_path / "z.zarr"]).rows == 30
    (tmp_path / "z.zarr" / "c" / "1" / "0").unlink()
    with pytest.raises(ValueError, match="expected 3 chunks, got 2: those that are missing would read as the fill"):
        open_shards([tmp_path / "z.zarr"])


@pytest.mark.parametrize("dtypes", [("f2", "f4"), ("f4", "f2"), ("f4", "f8")])
def test_shards_of_two_types_are_refused(tmp_path, dtypes):
    for number, dtype in enumerate(dtypes):
        np.save(tmp_path / f"{number}.npy", Z.astype(dtype))
    with pytest.raises(ValueError, match=r"1\.npy: expected float\d+ as in .*0\.npy, got float"):
        open_shards([tmp_path])


@pytest.mark.parametrize("writer", writers.WRITERS, ids=writers.name_of)
def test_no_rows_behind_the_last_one(tmp_path, writer):
    opened = open_shards([writer(tmp_path / "x", Z)])
    opened.read(0, opened.rows)
    for at in (opened.rows, 0, 17):
        assert opened.read(at, at).shape[0] == 0


@pytest.mark.parametrize("rows", [slice(0, 10), slice(10, 20), slice(40, 50)])
@pytest.mark.parametrize("columns", [slice(0, 3), slice(12, 15)])
def test_a_chunk_within_a_shard_that_was_never_written(tmp_path, rows, columns):
    zarr = pytest.importorskip("zarr")
    data = np.random.default_rng(0).normal(1, 1, (50, 15)).astype("f4")
    data[rows, columns] = 0.0
    zarr.create_array(str(tmp_path / "z.zarr"), shape=(50, 15), chunks=(10, 3), shards=(20, 6), dtype="f4")[:] = data
    with pytest.raises(ValueError, match="those that are missing would read as the fill value"):
        open_shards([tmp_path / "z.zarr"])


def test_a_chunk_of_hdf5_that_was_never_written(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        data = file.create_dataset("logits", (60, 6), "f4", chunks=(10, 6))
        data[:50] = Z[:50]
    with pytest.raises(ValueError, match="5 of 6 chunks; those that are missing would read as zeros"):
        open_shards([tmp_path / "x.h5"])
    with h5py.File(tmp_path / "y.h5", "w") as file:
        file.create_dataset("logits", (60, 6), "f4")
    with pytest.raises(ValueError, match="logits has 0 of 1440 bytes"):
        open_shards([tmp_path / "y.h5"])


def test_a_member_of_an_archive_that_is_cut_off(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", logits=Z)
    with zipfile.ZipFile(tmp_path / "x.npz") as archive:
        whole = archive.read("logits.npy")
    with zipfile.ZipFile(tmp_path / "y.npz", "w") as archive:
        archive.writestr("logits.npy", whole[:-8])
    with pytest.raises(ValueError, match=r"y\.npz: expected a \.npz file, .*its header says"):
        open_shards([tmp_path / "y.npz"])


# -------------------------------------------------------------------------------------------------------------- layouts


def test_columns_are_in_the_order_of_their_numbers(tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = np.random.default_rng(0).normal(0, 3, (40, 12)).astype("f4")
    names = [f"class_{at}" for at in range(12)]
    parquet.write_table(pa.table({name: rows[:, names.index(name)] for name in sorted(names)}), tmp_path / "w.parquet")
    np.testing.assert_array_equal(read(tmp_path / "w.parquet"), rows)  # class_10 is not after class_1
    parquet.write_table(
        pa.table({name: rows[:, names.index(name)] for name in names if name != "class_4"}), tmp_path / "w.parquet"
    )
    with pytest.raises(ValueError, match="expected every column from 0 or 1 on"):
        open_shards([tmp_path / "w.parquet"])


def test_columns_of_other_names_are_named(tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = {"id": range(60), "cat": Z[:, 0], "dog": Z[:, 1], "loss_1": Z[:, 2], "loss_2": Z[:, 3]}
    parquet.write_table(pa.table(table), tmp_path / "w.parquet")
    with pytest.raises(
        ValueError, match=r"for one column per class give 'class_\*', the start of their names, or '\*'"
    ):
        open_shards([tmp_path / "w.parquet"])  # two losses are no two classes
    np.testing.assert_array_equal(read(tmp_path / "w.parquet", column="*"), Z[:, :4])
    np.testing.assert_array_equal(read(tmp_path / "w.parquet", column="loss_*"), Z[:, 2:4])
    with pytest.raises(ValueError, match=r"expected a column 'gain_\*', got 'id', 'cat'"):
        open_shards([tmp_path / "w.parquet"], column="gain_*")
    parquet.write_table(pa.table({"loss_": Z[:, 0], **table}), tmp_path / "w.parquet")  # a sum, say, and no class
    np.testing.assert_array_equal(read(tmp_path / "w.parquet", column="loss_*"), Z[:, 2:4])


def test_batches_in_one_file_are_one_matrix_and_two_models_are_not(tmp_path):
    parts = {f"batch.{number}": Z[number * 5 : number * 5 + 5] for number in range(12)}
    safetensors = pytest.importorskip("safetensors.numpy")
    safetensors.save_file(parts, tmp_path / "b.safetensors")
    np.savez(tmp_path / "b.npz", **parts)
    for name in ("b.safetensors", "b.npz"):
        opened = open_shards([tmp_path / name])
        for step in (60, 7, 5):
            found = np.concatenate([opened.read(at, min(60, at + step)) for at in range(0, 60, step)])
            np.testing.assert_array_equal(found, Z)
    np.savez(tmp_path / "t.npz", teacher1=Z, teacher2=Z)
    with pytest.raises(ValueError, match=r"expected one array .*got 2: 'teacher1', 'teacher2'; name one"):
        open_shards([tmp_path / "t.npz"])


def test_the_second_tensor_of_a_file_is_read_from_its_own_place(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    safetensors.save_file({"a": 2 * Z, "b": Z, "c": np.arange(9)}, tmp_path / "s.safetensors")
    np.testing.assert_array_equal(read(tmp_path / "s.safetensors", column="b"), Z)
    np.testing.assert_array_equal(read(tmp_path / "s.safetensors", column="a"), 2 * Z)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("order", ["C", "F"])
def test_archives_forwards_and_back(tmp_path, packed, order):
    (np.savez_compressed if packed else np.savez)(tmp_path / "x.npz", logits=np.asarray(Z, order=order))
    opened = open_shards([tmp_path / "x.npz"])
    for begin, end in [(0, 9), (9, 30), (5, 12), (50, 60), (0, 60), (7, 7)]:
        np.testing.assert_array_equal(opened.read(begin, end), Z[begin:end])


def test_text_with_and_without_names_and_never_an_index(tmp_path):
    np.savetxt(tmp_path / "x.csv", Z, delimiter=",")
    np.testing.assert_allclose(read(tmp_path / "x.csv"), Z)
    for first in (0, 1):
        np.savetxt(tmp_path / "y.csv", np.c_[np.arange(first, 60 + first), Z], delimiter=",")
        with pytest.raises(ValueError, match="the first column counts the rows"):
            open_shards([tmp_path / "y.csv"])
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame(Z).to_csv(tmp_path / "p.csv")  # with its index, in a column without a name
    np.testing.assert_allclose(read(tmp_path / "p.csv"), Z)


def test_a_list_of_lists_of_one(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"logits": datasets.Array2D((1, 6), "float32")})
    datasets.Dataset.from_dict({"logits": Z.reshape(60, 1, 6)}, features=features).save_to_disk(str(tmp_path / "d"))
    np.testing.assert_array_equal(read(tmp_path / "d"), Z)
    features = datasets.Features({"logits": datasets.Array2D((2, 3), "float32")})
    datasets.Dataset.from_dict({"logits": Z.reshape(60, 2, 3)}, features=features).save_to_disk(str(tmp_path / "e"))
    with pytest.raises(ValueError, match="expected lists of numbers, or lists of one such list"):
        read(tmp_path / "e")


def test_nothing_in_a_file_of_torch_is_run(tmp_path):
    torch = pytest.importorskip("torch")

    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    torch.save({"logits": Bomb()}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"expected tensors that torch.save wrote, and nothing else"):
        open_shards([tmp_path / "x.pt"])
    assert not (tmp_path / "exploded").exists()


def test_hdf5_that_leads_to_other_files_is_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    np.save(tmp_path / "secret.npy", Z)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("logits", (60, 6), "f4", external=[(str(tmp_path / "secret.npy"), 128, 1440)])
    with pytest.raises(ValueError, match="logits lies in other files"):
        open_shards([tmp_path / "x.h5"])


def test_a_shape_that_nothing_is_there_for_is_told_at_once(tmp_path):
    """What is walked is what is there: 10^10 chunks of Zarr that a header promises are not looked for."""
    zarr_array(tmp_path / "z.zarr", (50, 15), (10, 3))
    about = json.loads((tmp_path / "z.zarr" / "zarr.json").read_text())
    (tmp_path / "z.zarr" / "zarr.json").write_text(json.dumps(about | {"shape": [10**11, 15]}))
    with pytest.raises(ValueError, match="expected 50000000000 chunks, got 25"):
        open_shards([tmp_path / "z.zarr"])


@pytest.mark.parametrize("shape", [(-3, 6), (3, -6), (-3, -6), (-3,)])
def test_a_shape_below_0_is_no_shape(tmp_path, shape):
    with open(tmp_path / "x.npy", "wb") as file:
        about = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, about)
        file.write(bytes(4 * 18))
    with pytest.raises(ValueError, match=r"x\.npy: expected -?\d+ bytes for shape"):
        open_shards([tmp_path / "x.npy"])
