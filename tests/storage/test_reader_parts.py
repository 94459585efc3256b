"""The parts that readers are made of: places of chunks, samples of content, and what is read when."""

from __future__ import annotations

import io
import os
import re
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from rad_fast.storage.readers import ahead, errors, identity, open_shards, pairing, saved, text, zarrays

from .writers import write_dataset

Z = np.random.default_rng(5).normal(0, 3, (35, 3)).astype("f4")


# ---------------------------------------------------------------------------------------------------- pairs and samples


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["a-1.npy", "a-02.npy"], [("1",), ("2",)]),
        (["m3-1.npy", "m3-2.npy"], [("1",), ("2",)]),
        (["1-1.npy", "2-2.npy"], [("1", "1"), ("2", "2")]),
        (["a-1.npy", "b-1.npy"], [("a-1",), ("b-1",)]),
        (["a-1.npy", "a-1-2.npy"], [("a-1",), ("a-1-2",)]),
        (["a.npy", "b.npy"], [("a",), ("b",)]),
    ],
)
def test_shards_are_told_apart_by_the_numbers_that_differ(names, found):
    assert pairing.keys([Path(name) for name in names]) == found


@pytest.mark.parametrize(
    ("given", "order"),
    [
        (["p-1", "p-10", "p-2"], ["p-1", "p-2", "p-10"]),
        (["p-10", "p-1", "p-2"], None),
        (["p-1", "p-2", "p-10"], None),
        (["p-1", "p-1", "p-10", "p-2"], None),
        (["A-1", "a-10", "A-2"], ["A-1", "A-2", "a-10"]),
    ],
)
def test_only_a_shell_s_order_is_changed(given, order):
    paths = [Path(name) for name in given]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = pairing.in_order(paths)
    if order is None:
        assert (found, said) == (paths, [])
    else:
        assert [path.name for path in found] == order
        assert f"{order[1]}: shards are read in natural order" in str(said[0].message)
        assert f"comes before {given[1]};" in str(said[0].message)


@pytest.mark.parametrize(("files", "read"), [(1, 8), (3, 15), (16, 16), (40, 16)])
def test_of_a_folder_of_many_files_a_bounded_sample_is_read(tmp_path, monkeypatch, files, read):
    monkeypatch.setattr(identity, "PIECE", 4)
    monkeypatch.setattr(identity, "PIECES", 8)
    monkeypatch.setattr(identity, "MOST", 16)
    for number in range(files):
        (tmp_path / f"{number:02d}").write_bytes(bytes(100))
    places, pread = [], os.pread

    def counted(file, size, place):
        places.append(place)
        assert size == 4
        return pread(file, size, place)

    monkeypatch.setattr(os, "pread", counted)
    size, digest = identity.fingerprint(tmp_path)
    assert size == 100 * files
    assert len(places) == read
    assert max(places) == (96 if files < 16 else 0)
    (tmp_path / "00").write_bytes(b"x" + bytes(99))
    os.utime(tmp_path / "00", ns=(os.stat(tmp_path / "00").st_atime_ns, os.stat(tmp_path / "00").st_mtime_ns))
    assert identity.fingerprint(tmp_path)[1] != digest


def test_a_small_file_is_looked_at_whole_and_of_a_larger_one_both_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(identity, "PIECE", 4)
    seen = {}
    for size in (32, 33):
        for change in (None, *range(size)):
            content = bytearray(size)
            if change is not None:
                content[change] = 1
            (tmp_path / "x").write_bytes(content)
            seen[size, change] = identity.sample(tmp_path / "x", size, 8)
    assert len({seen[32, change] for change in (None, *range(32))}) == 33
    noticed = [change for change in range(33) if seen[33, change] != seen[33, None]]
    assert {0, 1, 2, 3, 29, 30, 31, 32} <= set(noticed)
    assert len(noticed) > 20  # 8 pieces of 4 bytes, few of which overlap


# ---------------------------------------------------------------------------------------------------- what is read when


@pytest.mark.parametrize("kind", ["parquet", "arrow", "stream"])
def test_reading_begins_at_the_group_that_holds_the_row_and_goes_on_from_there(tmp_path, kind):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pa.table({f"class_{at}": Z[:, at] for at in range(3)})
    path = tmp_path / ("x.parquet" if kind == "parquet" else "x.arrow")
    if kind == "parquet":
        parquet.write_table(table, path, row_group_size=10)
    else:
        with (pa.ipc.new_file if kind == "arrow" else pa.ipc.new_stream)(str(path), table.schema) as file:
            file.write_table(table, max_chunksize=10)
    (shard,) = open_shards(path).shards
    assert [shard.batches(row)[0] for row in (0, 9, 10, 19, 20, 34)] == [0, 0, 10, 10, 20, 30]
    begun, batches = [], shard.batches

    def counted(row):
        begun.append(row)
        return batches(row)

    shard.batches = counted
    for begin in range(0, 35, 7):
        np.testing.assert_array_equal(shard.read(begin, begin + 7), Z[begin : begin + 7])
    assert begun == []  # opened, it stands at the first row
    np.testing.assert_array_equal(shard.read(12, 31), Z[12:31])
    np.testing.assert_array_equal(shard.read(31, 35), Z[31:35])
    assert begun == [12]


def test_a_packed_array_is_unpacked_once_from_one_end_to_the_other(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "x.npz", logits=Z)
    (shard,) = open_shards(tmp_path / "x.npz").shards
    opened, given = [], zipfile.ZipFile.open

    def counted(self, *arguments):
        opened.append(arguments[0])
        return given(self, *arguments)

    monkeypatch.setattr(zipfile.ZipFile, "open", counted)
    for begin, end in ((0, 5), (5, 6), (9, 35)):
        np.testing.assert_array_equal(shard.read(begin, end), Z[begin:end])
    assert opened == []
    np.testing.assert_array_equal(shard.read(8, 9), Z[8:9])
    assert opened == ["logits.npy"]


@pytest.mark.parametrize("missing", [1, 2, 3, 5])
def test_a_saved_dataset_that_begins_with_missing_lists(tmp_path, monkeypatch, missing):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(saved, "AT_ONCE", 2)
    rows = [None] * missing + Z[missing:].tolist()
    features = datasets.Features({"logits": datasets.Sequence(datasets.Value("float32"))})
    datasets.Dataset.from_dict({"logits": rows}, features=features).save_to_disk(str(tmp_path / "d"))
    opened = open_shards(tmp_path / "d")
    assert opened.classes == 3
    found = opened.read(0, 35)
    assert np.isnan(found[:missing]).all()
    np.testing.assert_array_equal(found[missing:], Z[missing:])


def test_pages_are_read_of_what_is_mapped_in_one_piece(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3000, 3), "f4"))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for array in (mapped, mapped[:0], mapped[:, ::2], np.zeros(3)):
        assert ahead.touched(array) is array


# --------------------------------------------------------------------------------------------------------- whole or not


def test_three_hundred_chunks_are_as_whole_as_three(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("logits", data=np.tile(Z, (9, 1))[:300], chunks=(1, 3))
    assert open_shards(tmp_path / "x.h5").rows == 300
    with h5py.File(tmp_path / "y.h5", "w") as file:  # the last chunks reach beyond both ends
        file.create_dataset("logits", data=Z, chunks=(8, 2))
    np.testing.assert_array_equal(open_shards(tmp_path / "y.h5").read(0, 35), Z)
    zarr = pytest.importorskip("zarr")
    zarr.create_array(str(tmp_path / "z.zarr"), shape=(300, 3), chunks=(1, 3), dtype="f4")[:] = 1.0
    (tmp_path / "z.zarr" / "c" / "299" / "0").rename(tmp_path / "away")
    with pytest.raises(ValueError, match="expected 300 chunks, got 299"):
        open_shards(tmp_path / "z.zarr")
    (tmp_path / "away").rename(tmp_path / "z.zarr" / "c" / "299" / "0")
    assert open_shards(tmp_path / "z.zarr").rows == 300


DEFAULT = {"name": "default", "configuration": {"separator": "/"}}
DOTS = {"name": "default", "configuration": {"separator": "."}}


@pytest.mark.parametrize(
    ("file", "about", "place"),
    [
        ("c/1/20", {"chunk_key_encoding": DEFAULT}, (1, 20)),
        ("c/1/20", {"chunk_key_encoding": {"name": "default"}}, (1, 20)),
        ("c.1.20", {"chunk_key_encoding": DOTS}, (1, 20)),
        ("c.1.20", {"chunk_key_encoding": DEFAULT}, None),
        ("1.20", {}, (1, 20)),
        ("1/20", {"dimension_separator": "/"}, (1, 20)),
        ("1/20", {"chunk_key_encoding": {"name": "v2", "configuration": {"separator": "/"}}}, (1, 20)),
        ("1/20", {}, None),
        ("1.20.3", {}, None),
        ("1.-2", {}, None),
        ("1.\u0663", {}, None),  # a digit, and none that Zarr writes
        (".zarray", {}, None),
        ("zarr.json", {"chunk_key_encoding": DEFAULT}, None),
    ],
)
def test_where_a_chunk_lies_is_in_its_file_s_name(file, about, place):
    assert zarrays.place_of(file, {"shape": [100, 100], **about}) == place


INDEX = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]


@pytest.mark.parametrize("location", ["start", "end"])
@pytest.mark.parametrize("checked", [False, True])
@pytest.mark.parametrize(
    ("key", "shape", "lost", "there"),
    [
        ((0, 0), (8, 12), [], 4),
        ((0, 0), (8, 12), [2], 3),
        ((1, 0), (5, 12), [2, 3], 2),  # of the second row of shards one row of chunks is within the array
        ((1, 1), (5, 7), [1, 2, 3], 1),
        ((1, 1), (5, 7), [0], 0),
        ((0, 1), (8, 12), [0, 1, 2, 3], 0),
        ((2, 0), (8, 12), [], 0),
    ],
)
def test_the_chunks_of_a_shard_are_counted_by_its_index(location, checked, key, shape, lost, there):
    index = np.arange(8, dtype="<u8").reshape(4, 2)
    index[lost] = zarrays.MISSING
    data = index.tobytes() + b"sums" * checked
    content = data + b"chunks" if location == "start" else b"chunks" + data

    def read(begin, size):
        file = io.BytesIO(content)
        file.seek(begin, os.SEEK_SET if begin >= 0 else os.SEEK_END)
        return file.read(size)

    codec = {"index_codecs": INDEX if checked else INDEX[:1], "index_location": location}
    if location == "end":
        del codec["index_location"]  # where none is given
    assert zarrays.chunks_in_shard(read, key, shape, (4, 6), (2, 3), codec) == there
    with pytest.raises(ValueError, match="a shard has no room for its index of 64 bytes"):
        zarrays.chunks_in_shard(lambda begin, size: data[:63], key, shape, (4, 6), (2, 3), codec)
    for other in ([{"name": "bytes"}], [*INDEX, {"name": "gzip"}]):
        with pytest.raises(ValueError, match=r"the index of its shards is stored by bytes.*: it cannot be checked"):
            zarrays.chunks_in_shard(read, key, shape, (4, 6), (2, 3), {"index_codecs": other})


def test_bytes_from_either_end_of_a_file(tmp_path):
    (tmp_path / "x").write_bytes(b"0123456789")
    read = zarrays.bytes_of(tmp_path / "x")
    assert [read(0, 3), read(2, 4), read(-3, 2), read(-10, 99), read(-11, 4), read(0, -1)] == [
        *(b"012", b"2345", b"78", b"0123456789", b"", b"0123456789")
    ]


def test_all_codecs_are_seen_those_within_others_too():
    inner = {"name": "sharding_indexed", "configuration": {"codecs": [{"name": "a"}], "index_codecs": [{"name": "b"}]}}
    about = {"codecs": [inner], "filters": [{"id": "c"}], "compressor": {"id": "d"}, "attributes": {"name": "no"}}
    assert sorted(zarrays.codecs(about)) == ["a", "b", "c", "d", "sharding_indexed"]
    assert list(zarrays.codecs(None)) == []


def test_a_member_of_an_archive_is_mapped_where_it_is_stored_as_it_is(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.arange(7), logits=Z)
    (shard,) = open_shards(tmp_path / "x.npz", column="logits").shards
    assert isinstance(shard.arrays[0], np.memmap)
    np.testing.assert_array_equal(shard.read(0, 35), Z)
    np.savez(tmp_path / "y.npz", logits=np.array([[None, 1]]))
    with pytest.raises(ValueError, match="it holds Python objects, which are never loaded"):
        open_shards(tmp_path / "y.npz")
    for more in (b"", b"\0"):
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": (2, 3)})
        with zipfile.ZipFile(tmp_path / "z.npz", "w") as archive:
            archive.writestr("logits.npy", head.getvalue() + bytes(24) + more)
        if more:
            with pytest.raises(ValueError, match=r"logits\.npy has 153 bytes, its header says 152"):
                open_shards(tmp_path / "z.npz")
        else:
            assert open_shards(tmp_path / "z.npz").rows == 2


# --------------------------------------------------------------------------------------------------------- text, errors


@pytest.mark.parametrize(
    ("texts", "counts"),
    [
        (["0", "1", "2"], True),
        (["1", " 2", "3 "], True),
        (["2", "3", "4"], False),
        (["0", "2", "4"], False),
        (["0.0", "1.0", "2.0"], False),
    ],
)
def test_a_line_of_numbers_that_counts_the_columns(tmp_path, texts, counts):
    assert text.counted(texts) is counts
    pytest.importorskip("pyarrow")
    (tmp_path / "x.csv").write_text(",".join(texts) + "\n" + "\n".join(",".join(f"{z:.3f}" for z in row) for row in Z))
    if counts:
        with pytest.raises(ValueError, match="in the first line, it counts the columns; name them class_0"):
            open_shards(tmp_path / "x.csv")
    else:
        assert open_shards(tmp_path / "x.csv").rows == 36


@pytest.mark.parametrize(
    ("place", "column", "said"),
    [
        (0, np.arange(35), "the first column counts the rows"),
        (0, np.arange(1, 36), "the first column counts the rows"),
        (2, 1000 - 3 * np.arange(35), "column 3 holds whole numbers beside fractions"),
        (2, np.r_[5, np.arange(34)], None),  # two alike
        (0, np.r_[0, 2, np.arange(3, 36)] + 0.5, None),
    ],
)
def test_an_index_beside_logits_is_no_class(tmp_path, place, column, said):
    pytest.importorskip("pyarrow")
    np.savetxt(tmp_path / "x.csv", np.insert(Z, place, column, axis=1), delimiter=",", fmt="%.7g")
    if said is None:
        assert open_shards(tmp_path / "x.csv").classes == 4
    else:
        with pytest.raises(ValueError, match=said):
            open_shards(tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("raised", "error", "words"),
    [
        (RuntimeError("a\n  b"), ValueError, r"^x: expected words, it cannot be read \(a b\); is it complete\?$"),
        (LookupError(), ValueError, r"\(LookupError\); is"),
        (RuntimeError("a" * 999), ValueError, r"read \(a{300}\); is"),
        (MemoryError("no"), MemoryError, r"^x: expected words that fits into memory \(no\)"),
        (FileNotFoundError("gone"), FileNotFoundError, "^gone$"),
        (PermissionError("closed"), PermissionError, "^closed$"),
    ],
)
def test_what_a_library_says_of_a_file_is_one_line_and_short(raised, error, words):
    with pytest.raises(error, match=words), errors.reading(Path("x"), "words"):
        raise raised


def test_a_library_that_is_not_there_is_named_by_its_package():
    with pytest.raises(ImportError, match=r"^x: reading it needs no_such, which cannot be imported .*pip install"):
        errors.library("no_such.thing", Path("x"))


def test_a_split_is_asked_for_and_named(tmp_path):
    pytest.importorskip("datasets")
    write_dataset(tmp_path / "d" / "train", Z)
    (tmp_path / "d" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(ValueError, match=r"expected one split of the dataset, got train, test; give .*/SPLIT"):
        open_shards(tmp_path / "d")


# --------------------------------------------------------------------------------------------------------------- shards


def test_rows_are_counted_over_shards_and_taken_from_where_they_are(tmp_path):
    for number, (begin, end) in enumerate(((0, 0), (0, 10), (10, 10), (10, 11), (11, 35), (35, 35))):
        np.save(tmp_path / f"{number}.npy", Z[begin:end])
    opened = open_shards(tmp_path)
    assert (opened.rows, opened.ends, opened.row_bytes) == (35, [0, 10, 10, 11, 35, 35], 12)
    for begin in range(36):
        for end in {begin, begin + 1, 10, 11, 35} - {36}:
            np.testing.assert_array_equal(opened.read(begin, end), Z[begin:end])
    assert isinstance(opened.read(11, 30), np.memmap)  # of one shard nothing is copied
    assert [each["rows"] for each in opened.described()] == [0, 10, 0, 1, 24, 0]


def test_a_row_s_size_is_that_of_its_numbers(tmp_path):
    for kind, size in (("f8", 8), ("f4", 4), ("f2", 2)):
        np.save(tmp_path / f"{kind}.npy", Z.astype(kind))
        assert open_shards(tmp_path / f"{kind}.npy").row_bytes == 3 * size
    opened = open_shards(tmp_path / "f4.npy")
    opened.dtype = "bfloat16"
    assert opened.row_bytes == 6


def test_a_shard_that_gives_fewer_rows_than_it_said_is_named(tmp_path):
    for number in range(2):
        np.save(tmp_path / f"{number}.npy", Z)
    opened = open_shards(tmp_path)
    short = opened.shards[1]
    opened.shards[1] = type("Short", (), {"rows": 35, "read": lambda self, begin, end: short.read(begin, end - 1)})()
    with pytest.raises(ValueError, match=r"1\.npy: expected 6 rows from row 4 on, got 5; is it complete\?"):
        opened.read(39, 45)
    np.testing.assert_array_equal(opened.read(3, 35), Z[3:])


def test_shards_of_one_name_are_told_apart_by_their_folders(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "x.npy", Z)
    names = [each["name"] for each in open_shards(tmp_path).described()]
    assert names == [os.path.join("a", "x.npy"), os.path.join("b", "x.npy")]
    np.save(tmp_path / "b" / "y.npy", Z)
    assert [each["name"] for each in open_shards([tmp_path / "a" / "x.npy", tmp_path / "b" / "y.npy"]).described()] == [
        *("x.npy", "y.npy")
    ]


@pytest.mark.parametrize("given", [3, None, [3], {"a": 1}, ["a", None]])
def test_what_is_no_path_is_refused(given):
    with pytest.raises(TypeError, match="given: expected a path, a folder, a pattern, or a list of them, got "):
        open_shards(given)


@pytest.mark.parametrize("parts", [[5, 5], [1, 0, 34], [35], [0, 35], [12, 12, 11]])
def test_batches_in_one_file_are_read_across_their_borders(tmp_path, parts):
    ends = np.cumsum(parts)
    np.savez(
        tmp_path / "x.npz",
        **{f"part_{n}": Z[end - size : end] for n, (size, end) in enumerate(zip(parts, ends, strict=True))},
    )
    opened = open_shards(tmp_path / "x.npz")
    assert opened.rows == ends[-1]
    for begin in range(ends[-1] + 1):
        for end in {begin, min(begin + 1, ends[-1]), min(begin + 7, ends[-1]), ends[-1]}:
            np.testing.assert_array_equal(opened.read(begin, end), Z[begin:end])


@pytest.mark.parametrize(
    ("first", "second", "got"),
    [
        (Z[:, :2], Z, "got float32 (35, 3) beside float32 (35, 2)"),
        (Z, Z[:, :2], "got float32 (35, 2) beside float32 (35, 3)"),
        (Z, Z.astype("f8"), "got float64 (35, 3) beside float32 (35, 3)"),
    ],
)
def test_batches_of_other_widths_or_types_are_no_matrix(tmp_path, first, second, got):
    np.savez(tmp_path / "x.npz", part_0=first, part_1=second)
    with pytest.raises(ValueError, match="expected batches of one matrix, " + re.escape(got)):
        open_shards(tmp_path / "x.npz")


def test_classes_in_another_order_than_the_teacher_s_are_refused():
    def model(names, paths=("a-1.npy", "a-2.npy"), rows=(3, 4)):
        shards = [type("S", (), {"rows": each}) for each in rows]
        return type("M", (), {"columns": names, "paths": [Path(path) for path in paths], "shards": shards})

    pairing.check_paired(model(("a", "b")), model(("a", "b")), "student")
    pairing.check_paired(model(("a", "b")), model(("c", "d"), ("b-1.npy", "b-2.npy")), "student")
    pairing.check_paired(model(("a", "b")), model((), ("b-2.npy", "b-1.npy", "b-3.npy"), (3, 4, 5)), "student")
    with pytest.raises(
        ValueError, match="student: expected the columns 'a', 'b' in this order, as the teacher's, got 'b'"
    ):
        pairing.check_paired(model(("a", "b")), model(("b", "a")), "student")
    with pytest.raises(
        ValueError, match=r"student: expected shards in the order of the teacher's, b-2\.npy stands besi"
    ):
        pairing.check_paired(model(()), model((), ("b-2.npy", "b-1.npy")), "student")
    with pytest.warns(UserWarning, match=r"b-2\.npy has 5 rows and a-2\.npy has 4; rows are paired by their number"):
        pairing.check_paired(model(()), model((), ("b-1.npy", "b-2.npy"), (3, 5)), "student")
    with pytest.warns(UserWarning, match=r"b-3\.npy stands beside a-2\.npy, and other shards have the same name"):
        pairing.check_paired(model(()), model((), ("b-1.npy", "b-3.npy")), "student")
    pairing.check_paired(
        model(()), model((), ("b-3.npy", "b-4.npy")), "student"
    )  # of no name in common nothing is said
    pairing.check_paired(model((), ("a.npy",), (3,)), model((), ("b.npy",), (5,)), "student")
