"""How readers tell files: formats, shards and gaps among them, names of arrays and columns."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from rad_fast.storage.readers import columns, finding, flat, formats, open_shards, wanted

Z = np.random.default_rng(5).normal(0, 3, (35, 3)).astype("f4")


# ------------------------------------------------------------------------------------------------------ names and files


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"PAR1xxxxxxxx", "Parquet"),
        (b"ARROW1\0\0xxx", "Arrow"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"PAR2xxxx", None),
        (b"\x93NUMPY\x01\0", "NumPy"),
        (b"PAR", None),
        (b"", None),
    ],
)
def test_a_file_without_a_telling_name_is_told_by_its_first_bytes(tmp_path, head, name):
    (tmp_path / "logits").write_bytes(head)
    found = formats.by_magic(tmp_path / "logits")
    assert (None if found is None else found.name) == name
    assert formats.by_magic(tmp_path).name == "NumPy"


def test_parquet_without_a_suffix_is_read(tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({f"class_{at}": Z[:, at] for at in range(3)}), tmp_path / "logits")
    np.testing.assert_array_equal(open_shards(tmp_path / "logits").read(0, 35), Z)


def test_formats_are_told_by_suffix_or_by_what_is_in_a_folder(tmp_path):
    assert formats.form_of(tmp_path / "x.NPY").name == "NumPy"
    assert formats.form_of(tmp_path / ".x.npy") is None
    assert formats.form_of(tmp_path / "x.txt") is None
    for name, inside, form in (
        ("a", "zarr.json", "Zarr"),
        ("b", ".zgroup", "Zarr"),
        ("c", "state.json", "Hugging Face dataset"),
        ("d.zarr", "x", "Zarr"),
        ("e", "x", None),
        ("f.parquet", "x", None),  # a folder of shards
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / inside).write_text("")
        found = formats.form_of(tmp_path / name)
        assert (None if found is None else found.name) == form, name


@pytest.mark.parametrize("there", [finding.SCORES, finding.SCORES[:2]])
def test_scores_among_shards_are_passed_over_where_all_of_them_are_there(tmp_path, there):
    for name in there:
        np.save(tmp_path / name, Z)
    np.save(tmp_path / "logits.npy", 2 * Z)
    if len(there) == 2:  # somebody else's files
        assert open_shards(tmp_path).rows == 35 * 3
        return
    with pytest.warns(UserWarning, match="skipped: rad-fast wrote it, it is not a shard") as said:
        opened = open_shards(tmp_path)
    assert [path.name for path in opened.paths] == ["logits.npy"]
    assert sorted(str(each.message).partition(": ")[0] for each in said) == sorted(str(tmp_path / n) for n in there)
    (tmp_path / "logits.npy").rename(tmp_path / "logits.txt")
    nothing = pytest.raises(ValueError, match=r"expected a folder with files of logits .* there is none in it")
    with pytest.warns(UserWarning, match="skipped"), nothing:
        open_shards(tmp_path)


@pytest.mark.parametrize(
    ("report", "skipped"),
    [
        ({"indices": "x.npy", "budget": 3}, True),
        ({"indices": "y.npy", "budget": 3}, False),
        ({"indices": "x.npy"}, False),
        (["indices", "budget"], False),
        (None, False),
    ],
)
def test_indices_are_told_by_the_report_beside_them(tmp_path, report, skipped):
    np.save(tmp_path / "x.npy", Z)
    (tmp_path / "x.json").write_text("{" if report is None else json.dumps(report))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert finding.passed_over(tmp_path / "x.npy") is skipped
    assert len(said) == skipped


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((1, 2, 3, 5), "numbered from 1 to 5, but 4 is missing: are they all there"),
        ((1, 2, 3, 4, 7, 8), "numbered from 1 to 8, but 5 and 1 more are missing"),
        ((1, 2, 3, 4, 8, 9), "numbered from 1 to 9, but 5 and 2 more are missing"),
        ((1, 2, 3, 7), None),  # as many are missing as would leave a doubt whether they are numbered one by one
        ((10, 20, 30), None),
        ((0, 1, 2), None),
        ((4,), None),
    ],
)
def test_one_that_may_be_missing_is_said_where_nearly_all_follow_upon_each_other(tmp_path, numbers, words):
    shards = [tmp_path / f"part-{number}.npy" for number in numbers]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        finding.say_gaps(tmp_path, shards)
    assert [words in str(each.message) for each in said] == ([] if words is None else [True])


def test_names_that_say_how_many_there_are(tmp_path):
    shards = [tmp_path / f"part-{number:05d}-of-00003.npy" for number in range(3)]
    finding.refuse_gaps(tmp_path, shards)
    with pytest.raises(ValueError, match=r"expected 3 shards part-\.\.\.-of-3 in .*, got 2: are they all there"):
        finding.refuse_gaps(tmp_path, shards[:2])
    with pytest.raises(ValueError, match="got 2"):
        finding.refuse_gaps(tmp_path, [shards[0], shards[1], shards[1]])
    finding.refuse_gaps(tmp_path, [*shards, *(tmp_path / "b" / path.name for path in shards)])


def test_links_to_folders_are_named_and_not_entered(tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    for place in ("in/a", "in/deep/b", "out/c"):
        (tmp_path / place).write_text("")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "out")
    assert [path.relative_to(tmp_path / "in").as_posix() for path in finding.files_of(tmp_path / "in")] == [
        *("a", "deep/b", "link")
    ]


def test_a_folder_that_links_to_itself_is_read_once(tmp_path):
    (tmp_path / "d" / "e").mkdir(parents=True)
    np.save(tmp_path / "d" / "e" / "x.npy", Z)
    (tmp_path / "d" / "e" / "again").symlink_to(tmp_path / "d")
    assert open_shards(tmp_path / "d", follow_links=True).rows == 35


# --------------------------------------------------------------------------------------------------- names in the files


def test_names_are_parted_from_the_number_at_their_end():
    assert wanted.stem("class_12") == ("class_", 12)
    assert wanted.stem("class") == ("class", None)
    assert wanted.stem("a1b2") == ("a1b", 2)
    assert wanted.stem("007") == ("", 7)
    assert wanted.bare("Logit_-. ") == "logit"
    assert wanted.listed([]) == "none"
    assert wanted.listed(["a"] * 20) == ", ".join(["'a'"] * 20)
    assert wanted.listed(["a"] * 23) == ", ".join(["'a'"] * 20) + " and 3 more"


@pytest.mark.parametrize(("first", "fine"), [(0, True), (1, True), (2, False)])
def test_numbered_names_begin_at_0_or_1(first, fine):
    names = [f"c{number}" for number in (first + 10, *range(first, first + 10))]
    if fine:
        assert wanted.consecutive(Path("x"), "column", names) == [f"c{n}" for n in range(first, first + 11)]
    else:
        with pytest.raises(ValueError, match="expected every column from 0 or 1 on, got 'c2', 'c3'"):
            wanted.consecutive(Path("x"), "column", names)
    with pytest.raises(ValueError, match="expected every column from 0 or 1 on"):
        wanted.consecutive(Path("x"), "column", [*names[:4], *names[5:]])


F4, MANY = ("float32", (5, 3)), ("float32", (9,))


@pytest.mark.parametrize(
    ("arrays", "asked", "found"),
    [
        ({"a": F4, "b": MANY}, {}, ["a"]),
        ({"a": F4, "b": ("int64", (5, 3))}, {}, ["a"]),
        ({"a": F4, "b": ("int64", (5, 3))}, {"numbers": "integers"}, ["b"]),
        ({"a": F4, "b": MANY}, {"flat": True}, ["b"]),
        ({"a": F4, "b": F4}, {"column": "b"}, ["b"]),
        ({"part_1": F4, "part_0": F4}, {}, ["part_0", "part_1"]),
        ({"x_1": F4, "x_0": F4}, {"column": "x_*"}, ["x_0", "x_1"]),
        ({"x_1": F4, "x_0": F4}, {}, "expected one array .* got 2: 'x_0', 'x_1'; name one with --column"),
        ({"part_0": F4, "chunk_0": F4}, {}, "got 2"),
        ({"part_0": F4, "part": F4}, {}, "got 2"),
        ({"Mask": MANY, "b": MANY}, {"flat": True, "names": ("mask",)}, ["Mask"]),
        ({"mask": MANY, "MASK": MANY}, {"flat": True, "names": ("mask",)}, "got 2: .*; name one as FILE:NAME"),
        ({"a": MANY}, {}, "got none among 'a'"),
        ({}, {}, "got none among nothing"),
        ({"a": F4}, {"column": "b"}, "expected an array 'b', got 'a'"),
        ({"embeddings": F4}, {}, "got 1: 'embeddings'"),
    ],
)
def test_which_array_is_meant(arrays, asked, found):
    if isinstance(found, list):
        assert wanted.picked(Path("x"), "array", wanted.Wanted(**asked), arrays) == found
    else:
        with pytest.raises(ValueError, match=found):
            wanted.picked(Path("x"), "array", wanted.Wanted(**asked), arrays)


def test_two_columns_are_two_classes_with_names(tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for number, names in enumerate((("no", "yes"), ("yes", "no"))):
        parquet.write_table(pa.table({name: Z[:, at] for at, name in enumerate(names)}), tmp_path / f"{number}.parquet")
    with pytest.raises(ValueError, match=r"1\.parquet: expected the columns 'no', 'yes' in this order as in .*0\.parq"):
        open_shards(tmp_path, column="*")
    assert open_shards(tmp_path / "0.parquet", column="*").columns == ("no", "yes")


def test_columns_of_nothing_but_text_are_no_classes_under_any_name(tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"a": ["x"] * 9, "b": ["y"] * 9}), tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=r"rows of floating-point numbers, got none among 'a', 'b'$"):
        open_shards(tmp_path / "t.parquet")
    parquet.write_table(pa.table({"a": Z[:, 0], "b": ["y"] * 35}), tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=r"got none among 'a', 'b'$"):
        open_shards(tmp_path / "t.parquet")


def test_lists_of_one_number_are_no_rows_of_logits(tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for kind in (pa.list_(pa.float32()), pa.list_(pa.float32(), 1)):
        parquet.write_table(pa.table({"z": pa.array(Z[:, :1].tolist(), kind)}), tmp_path / "one.parquet")
        with pytest.raises(ValueError, match="expected at least 2 columns, one per class, got lists of 1 in 'z'"):
            open_shards(tmp_path / "one.parquet")


def test_numbers_within_structs_are_found_by_their_path(tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    inner = pa.array([{"deep": {"z": row.tolist()}, "label": 7} for row in Z])
    parquet.write_table(pa.table({"said": inner}), tmp_path / "s.parquet")
    opened = open_shards(tmp_path / "s.parquet")
    np.testing.assert_array_equal(opened.read(3, 9), Z[3:9])
    np.testing.assert_array_equal(flat.open_flat([tmp_path / "s.parquet:said.label"]).values, [7] * 35)


def test_a_missing_integer_is_told_with_its_row(tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    kept = pa.array([True] * 12 + [None] + [True] * 7)
    parquet.write_table(pa.table({"mask": kept}), tmp_path / "m.parquet", row_group_size=5)
    with pytest.raises(ValueError, match="expected a value in every row of 'mask', row 12 has none"):
        flat.open_flat([tmp_path / "m.parquet"])


@pytest.mark.parametrize(
    ("given", "file", "column"),
    [
        ("x.npz:a", "x.npz", "a"),
        ("x.npz", "x.npz", None),
        ("x.npz:", "x.npz:", None),
        ("no.npz:a", "no.npz:a", None),
        ("*.npz:a", "*.npz", "a"),
        ("with:colon.npy", "with:colon.npy", None),
        ("d/:a", "d", "a"),
        ("x.npz:a:b", "x.npz:a:b", None),
    ],
)
def test_the_name_of_a_column_stands_behind_the_file_s(tmp_path, given, file, column):
    (tmp_path / "d").mkdir()
    for name in ("x.npz", "with:colon.npy"):
        (tmp_path / name).write_text("")
    given = tmp_path / "d" / ":a" if given == "d/:a" else tmp_path / given
    assert flat.without_column([tmp_path / "first", given]) == ([tmp_path / "first", tmp_path / file], column)


def test_a_shard_says_its_columns_only_where_they_are_classes(tmp_path):
    none = columns.Columns(("z",), "float32", True, 3)
    assert columns.names_of(type("S", (), {"columns": none})) == ()
    assert columns.names_of(type("S", (), {"columns": none._replace(lists=False)})) == ()
    assert columns.names_of(type("S", (), {"columns": none._replace(lists=False, names=("a", "b"))})) == ("a", "b")
    assert columns.names_of(object()) == ()
