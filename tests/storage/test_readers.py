"""Logits in files: every format gives the rows that were written, and what is broken is told in one clear line."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest

from rad_fast import cli
from rad_fast.storage import npy, readers
from rad_fast.storage.readers.ahead import read_ahead

from .writers import (
    LOGITS,
    WRITERS,
    C,
    N,
    fixed,
    name_of,
    write_arrow,
    write_arrow_stream,
    write_arrow_zstd,
    write_csv,
    write_dataset,
    write_npy,
    write_parquet,
    write_parquet_lists,
    write_safetensors,
    write_zarr,
    write_zarr_2,
)

pytestmark = pytest.mark.usefixtures("short_curves")


def read_all(opened, step):
    parts = [opened.read(at, min(opened.rows, at + step)) for at in range(0, opened.rows, step)]
    return np.concatenate([np.asarray(part) for part in parts])


# ------------------------------------------------------------------------------------------------------------ formats


@pytest.mark.parametrize("writer", WRITERS, ids=name_of)
def test_every_format_gives_what_was_written(tmp_path, writer):
    opened = readers.open_shards([writer(tmp_path / "logits", LOGITS)])
    assert (opened.rows, opened.classes, opened.dtype) == (N, C, "float64" if writer is write_csv else "float32")
    for step in (7, 130, 333, N):  # on, within and across the borders of what is stored together
        np.testing.assert_array_equal(read_all(opened, step), LOGITS)
    for begin, end in [(500, 700), (0, 3), (3, 900), (990, 1000), (7, 7)]:  # back and ahead
        np.testing.assert_array_equal(opened.read(begin, end), LOGITS[begin:end])


@pytest.mark.parametrize("writer", WRITERS, ids=name_of)
@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_every_format_keeps_the_dtype(tmp_path, writer, dtype):
    if writer in (write_dataset, write_csv):
        pytest.skip("it knows one dtype")
    opened = readers.open_shards([writer(tmp_path / "logits", LOGITS.astype(dtype))])
    assert opened.dtype == dtype
    np.testing.assert_array_equal(opened.read(0, N), LOGITS.astype(dtype))


def test_bfloat16_in_safetensors_or_how_to_get_it(tmp_path):
    torch = pytest.importorskip("torch")
    save_file = pytest.importorskip("safetensors.torch").save_file
    rows = torch.from_numpy(LOGITS).bfloat16()
    save_file({"logits": rows}, tmp_path / "b.safetensors")
    try:
        import ml_dtypes  # noqa: F401
    except ImportError:
        with pytest.raises(ValueError, match="pip install ml_dtypes"):
            readers.open_shards([tmp_path / "b.safetensors"])
    else:
        opened = readers.open_shards([tmp_path / "b.safetensors"])
        assert opened.dtype == "bfloat16"
        np.testing.assert_array_equal(opened.read(3, 9).astype(np.float32), rows[3:9].float().numpy())


def test_a_tensor_column_of_arrow(tmp_path):
    pa = pytest.importorskip("pyarrow")
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(LOGITS)
    whole = pa.table({"t": tensors})
    with pa.ipc.new_file(str(tmp_path / "t.arrow"), whole.schema) as file:
        file.write_table(whole)
    np.testing.assert_array_equal(readers.open_shards([tmp_path / "t.arrow"]).read(10, 20), LOGITS[10:20])


def test_a_column_is_named_where_there_are_several(tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"a": fixed(LOGITS), "b": fixed(2 * LOGITS), "c": range(N)}), tmp_path / "ab.parquet")
    with pytest.raises(ValueError, match=r"expected one column .* got 2: 'a', 'b'; name one with --column"):
        readers.open_shards([tmp_path / "ab.parquet"])
    with pytest.raises(ValueError, match="expected a column 'z', got 'a', 'b', 'c'"):
        readers.open_shards([tmp_path / "ab.parquet"], column="z")
    with pytest.raises(TypeError, match="column 'c', one list per row, got int64"):
        readers.open_shards([tmp_path / "ab.parquet"], column="c")
    np.testing.assert_array_equal(readers.open_shards([tmp_path / "ab.parquet"], column="b").read(0, N), 2 * LOGITS)


def test_rows_taken_out_of_a_dataset(tmp_path):
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"logits": LOGITS.tolist()}).select([5, 3, 900])  # an index over the rows
    data.save_to_disk(str(tmp_path / "d"))
    np.testing.assert_array_equal(readers.open_shards([tmp_path / "d"]).read(0, 3), LOGITS[[5, 3, 900]])


# ------------------------------------------------------------------------------------------------------------- shards


def shards_in(folder, cuts=(0, 10, 10, 300, 301, N)):
    folder.mkdir()
    for number, (begin, end) in enumerate(itertools.pairwise(cuts)):
        np.save(folder / f"logits-{number * 7}.npy", LOGITS[begin:end])  # 0, 7, 14, 21: not in the alphabet's order
    (folder / "README.md").write_text("no logits")
    (folder / ".hidden.npy").write_text("nor these")
    return folder


@pytest.mark.parametrize("given", ["logits", "logits/*.npy"])
def test_folders_and_patterns_in_natural_order(tmp_path, given):
    shards_in(tmp_path / "logits")
    opened = readers.open_shards([tmp_path / given])
    assert [path.name for path in opened.paths] == [f"logits-{n}.npy" for n in (0, 7, 14, 21, 28)]
    for step in (3, 299, 2000):
        np.testing.assert_array_equal(read_all(opened, step), LOGITS)
    assert opened.described()[3] == {"name": "logits-21.npy", "rows": 1, "end": 301}


def test_files_given_one_by_one_stay_in_their_order(tmp_path):
    shards_in(tmp_path / "logits", (0, 10, 30))
    opened = readers.open_shards([tmp_path / "logits" / "logits-7.npy", tmp_path / "logits" / "logits-0.npy"])
    np.testing.assert_array_equal(opened.read(0, 30), np.concatenate([LOGITS[10:30], LOGITS[:10]]))


def test_the_order_is_natural():
    names = ["a-10", "a-9", "a-010", "b", "a", "10", "9", "a-9-b"]
    ordered = [str(path) for path in sorted(map(Path, names), key=readers.natural)]
    assert ordered == ["9", "10", "a", "a-9", "a-9-b", "a-010", "a-10", "b"]


def test_links_out_of_a_folder_are_followed_on_demand_alone(tmp_path):
    shards_in(tmp_path / "logits")
    np.save(tmp_path / "elsewhere.npy", LOGITS[:5])
    (tmp_path / "logits" / "logits-99.npy").symlink_to(tmp_path / "elsewhere.npy")
    with pytest.raises(ValueError, match="got a symbolic link out of it"):
        readers.open_shards([tmp_path / "logits"])
    with pytest.raises(ValueError, match="got a symbolic link out of it"):
        readers.open_shards([tmp_path / "logits" / "*.npy"])
    assert readers.open_shards([tmp_path / "logits"], follow_links=True).rows == N + 5
    (tmp_path / "logits" / "logits-99.npy").unlink()
    (tmp_path / "logits" / "logits-99.npy").symlink_to("logits-0.npy")  # within the folder: as good as a file
    assert readers.open_shards([tmp_path / "logits"]).rows == N + 10


def test_links_out_of_a_zarr_array(tmp_path):
    path = write_zarr(tmp_path / "z", LOGITS)
    chunk = path / "c" / "0" / "0"
    chunk.rename(tmp_path / "moved")
    chunk.symlink_to(tmp_path / "moved")
    with pytest.raises(ValueError, match="got a symbolic link out of it"):
        readers.open_shards([path])
    np.testing.assert_array_equal(readers.open_shards([path], follow_links=True).read(0, 9), LOGITS[:9])


# ------------------------------------------------------------------------------------------------------------- broken


def test_shards_that_disagree(tmp_path):
    shards_in(tmp_path / "logits")
    np.save(tmp_path / "logits" / "logits-30.npy", LOGITS[:, :4])
    with pytest.raises(ValueError, match=r"logits-30.npy: expected 6 columns as in .*logits-0.npy, got 4"):
        readers.open_shards([tmp_path / "logits"])
    np.save(tmp_path / "logits" / "logits-30.npy", LOGITS.astype(np.float16))
    with pytest.raises(ValueError, match=r"logits-30.npy: expected float32 as in .*logits-0.npy, got float16"):
        readers.open_shards([tmp_path / "logits"])


def test_folders_of_nothing_or_of_everything(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="expected a folder with files of logits"):
        readers.open_shards([tmp_path / "empty"])
    with pytest.raises(FileNotFoundError, match="nothing matches"):
        readers.open_shards([tmp_path / "empty" / "*.npy"])
    shards_in(tmp_path / "both")
    write_safetensors(tmp_path / "both" / "x", LOGITS)
    with pytest.raises(ValueError, match="expected shards of one format, got"):
        readers.open_shards([tmp_path / "both"])


BINARY = [write_safetensors, write_parquet, write_arrow, write_arrow_stream]


@pytest.mark.parametrize("writer", BINARY, ids=name_of)
def test_truncated_files_are_one_line(tmp_path, capsys, writer):
    path = writer(tmp_path / "logits", LOGITS)
    whole = path.read_bytes()
    for size in (0, 5, 60, len(whole) // 2, len(whole) - 9):
        path.write_bytes(whole[:size])
        assert cli.main(["select", str(path), "--budget", "5", "--out", str(tmp_path / "o.npy")]) == 1, size
        shown = capsys.readouterr()
        assert shown.err.startswith(f"rad-fast: {path}: expected "), shown.err
        assert shown.err.count("\n") == 1
        assert shown.out == ""
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("writer", [*BINARY, write_parquet_lists, write_arrow_zstd], ids=name_of)
def test_any_byte_changed_gives_no_traceback(tmp_path, writer):
    """Most changes are to numbers, and give other logits; none may raise what the command line would not tell."""
    path = writer(tmp_path / "logits", LOGITS[:40])
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    seen = 0
    for _ in range(150):
        changed = bytearray(whole)
        places = rng.integers(len(whole), size=3)
        places[0] = rng.integers(200)
        for place in places:
            changed[place] = rng.integers(256)
        path.write_bytes(changed)
        try:
            opened = readers.open_shards([path])
            opened.read(0, opened.rows)
        except (ValueError, TypeError, OSError):
            seen += 1
    assert seen > 10


def test_a_header_that_promises_more(tmp_path):
    path = write_safetensors(tmp_path / "s", LOGITS)
    path.write_bytes(path.read_bytes().replace(b"[1000,6]", b"[9000,6]"))
    with pytest.raises(ValueError, match=r"expected a \.safetensors file, it cannot be read"):
        readers.open_shards([path])
    path = write_zarr(tmp_path / "z", LOGITS)
    about = json.loads((path / "zarr.json").read_text())
    (path / "zarr.json").write_text(json.dumps(about | {"shape": [5000, C]}))
    with pytest.raises(ValueError, match="those that are missing would read as the fill value"):
        readers.open_shards([path])
    path = write_npy(tmp_path / "n", LOGITS)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match="is it complete"):
        readers.open_shards([path])


def test_a_broken_chunk_of_zarr(tmp_path):
    path = write_zarr(tmp_path / "z", LOGITS)
    chunk = path / "c" / "3" / "1"
    chunk.write_bytes(chunk.read_bytes()[:20])
    opened = readers.open_shards([path])
    with pytest.raises(ValueError, match="cannot be read"):
        opened.read(0, N)


def test_lists_that_are_uneven(tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = LOGITS[:20].tolist()
    lists = pa.array([*rows[:11], rows[11][:3], *rows[12:]], pa.list_(pa.float32()))
    parquet.write_table(pa.table({"logits": lists}), tmp_path / "u.parquet")
    with pytest.raises(ValueError, match="expected lists of equal length, 6, got 3 in row 11"):
        readers.open_shards([tmp_path / "u.parquet"]).read(0, 20)


class Bomb:
    """Unpickling it makes a file: nothing here may."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_nothing_in_a_file_is_ever_run(tmp_path):
    bomb = pickle.dumps(Bomb(tmp_path / "exploded"))
    np.save(tmp_path / "o.npy", np.array([[Bomb(tmp_path / "exploded")] * 2], object), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects"):
        readers.open_shards([tmp_path / "o.npy"])
    pytest.importorskip("zarr")
    path = write_zarr_2(tmp_path / "z", LOGITS)
    about = json.loads((path / ".zarray").read_text())
    (path / ".zarray").write_text(json.dumps(about | {"filters": [{"id": "pickle"}], "compressor": None}))
    for file in path.iterdir():
        if file.name[0].isdigit():
            file.write_bytes(bomb)
    with pytest.raises(ValueError, match="the codec 'pickle': never run"):
        readers.open_shards([path]).read(0, N)
    assert not (tmp_path / "exploded").exists()


def test_a_dataset_that_points_elsewhere_or_is_several(tmp_path):
    datasets = pytest.importorskip("datasets")
    path = write_dataset(tmp_path / "d", LOGITS)
    state = json.loads((path / "state.json").read_text())
    state["_data_files"][0]["filename"] = "../elsewhere.arrow"
    (path / "state.json").write_text(json.dumps(state))
    with pytest.raises(ValueError, match=r"names a file outside of it, \.\./elsewhere"):
        readers.open_shards([path])
    both = datasets.DatasetDict({"train": datasets.Dataset.from_dict({"logits": LOGITS.tolist()})})
    both.save_to_disk(str(tmp_path / "both"))
    with pytest.raises(ValueError, match="expected one split of the dataset, got train; give"):
        readers.open_shards([tmp_path / "both"])
    assert readers.open_shards([tmp_path / "both" / "train"]).rows == N


@pytest.mark.parametrize(
    ("writer", "module"),
    [(write_safetensors, "safetensors"), (write_parquet, "pyarrow.parquet"), (write_zarr, "zarr")],
    ids=["safetensors", "pyarrow", "zarr"],
)
def test_a_library_that_is_missing_is_named(tmp_path, monkeypatch, writer, module):
    import sys

    path = writer(tmp_path / "x", LOGITS)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r'pip install "rad_fast\[files\]"'):
        readers.open_shards([path])


# --------------------------------------------------------------------------------------------------------- read ahead


def test_one_chunk_is_read_ahead_and_no_more():
    read, next_one, one_more = [], threading.Event(), threading.Event()

    def reader(plan):
        read.append(plan)
        if plan == 1:
            next_one.set()
        if plan == 2:
            one_more.set()
        return plan * 10

    chunks = read_ahead(range(100), reader)
    assert next(chunks) == (0, 0)
    assert next_one.wait(5), "the next was not read while the first one was in use"
    assert not one_more.wait(0.1), "and no more than the next: chunks are as large as memory allows"
    assert next(chunks) == (1, 10)
    assert one_more.wait(5)
    chunks.close()
    assert read == [0, 1, 2]
    assert not any(thread.name == "rad_fast-read-ahead" for thread in threading.enumerate())


def test_an_error_while_reading_comes_where_its_chunk_would():
    def reader(plan):
        if plan == 3:
            raise OSError(5, "Input/output error", "shard")
        return plan

    chunks = read_ahead(range(10), reader)
    assert [next(chunks)[0] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="Input/output"):
        next(chunks)


def test_the_command_reads_all_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(cli.select, "CHUNK_BYTES", 24 * 37)
    shards_in(tmp_path / "logits")
    students = write_parquet(tmp_path / "students", LOGITS[::-1].copy())
    out = tmp_path / "o.npy"
    command = ["select", str(tmp_path / "logits"), "--student", str(students), "--budget", "30", "--out", str(out)]
    assert cli.main(command) == 0
    import rad_fast

    np.testing.assert_array_equal(np.load(out), rad_fast.select(LOGITS, 30, student_logits=LOGITS[::-1].copy()))
    report = json.loads(out.with_suffix(".json").read_text())
    assert [shard["rows"] for shard in report["shards"]] == [10, 0, 290, 1, 699]


def test_results_do_not_land_among_the_shards(tmp_path, capsys):
    folder = shards_in(tmp_path / "logits")
    before = sorted(os.listdir(folder))
    assert cli.main(["select", str(folder), "--budget", "5", "--out", str(folder / "o.npy")]) == 1
    assert "expected a place outside of" in capsys.readouterr().err
    assert sorted(os.listdir(folder)) == before
    assert npy.open_npy(folder / "logits-0.npy").shape == (10, C)


# ------------------------------------------------------------------------------------------------ what a line decides


def test_codecs_are_told_by_the_last_part_of_their_names(tmp_path):
    path = write_zarr(tmp_path / "z", LOGITS)
    about = json.loads((path / "zarr.json").read_text())

    def codecs(*names):
        first = [codec for codec in about["codecs"] if codec["name"] == "bytes"]
        (path / "zarr.json").write_text(json.dumps(about | {"codecs": [*first, *({"name": name} for name in names)]}))

    for name in ("pickle", "numcodecs.pickle", "zlib.pickle"):
        codecs(name)
        with pytest.raises(ValueError, match=f"the codec '{name}': never run"):
            readers.open_shards([path])
    codecs("numcodecs.zlib")  # known; what is stored here is of another codec, which is told as such
    with pytest.raises(ValueError, match=r"^(?!.*never run)"):
        readers.open_shards([path]).read(0, 5)


def test_lists_of_another_declared_length_are_refused():
    from rad_fast.inputs.lists import matrix_of

    with pytest.raises(ValueError, match="column: expected lists of equal length, 5, got 6 in row 30"):
        matrix_of("column", fixed(LOGITS[:4]), 5, 30)
    assert matrix_of("column", fixed(LOGITS[:4]), 6, 30).shape == (4, 6)


def test_a_file_of_exactly_its_bytes_is_whole_and_of_one_less_is_not(tmp_path):
    path = write_npy(tmp_path / "x", LOGITS[:3])
    np.testing.assert_array_equal(npy.open_npy(path), LOGITS[:3])
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match=rf"expected {len(whole)} bytes .* got {len(whole) - 1}; is it complete"):
        npy.open_npy(path)
    path.write_bytes(whole.replace(b"(3, 6)", b"(-3,6)"))
    with pytest.raises(ValueError, match="expected"):
        npy.open_npy(path)
