"""Shards of a teacher, a student and top-k classes stand side by side, whoever put their names in order."""

from __future__ import annotations

import numpy as np
import pytest

import rad_fast
from rad_fast import cli

pytestmark = [
    pytest.mark.filterwarnings("default::UserWarning"),  # the command line tells them
    pytest.mark.usefixtures("short_curves"),
]

R = np.random.default_rng(0)
T = R.normal(0, 4, (240, 6)).astype("f4")
S = (T + R.normal(0, 2, T.shape)).astype("f4")


@pytest.fixture
def here(tmp_path, monkeypatch):
    for name, logits in (("teacher", T), ("student", S)):
        (tmp_path / name).mkdir()
        for number in range(12):
            np.save(tmp_path / name / f"part-{number}.npy", logits[number * 20 : number * 20 + 20])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    return cli.main(["select", *map(str, arguments), "--budget", "20", "--out", "o.npy"])


def by_letters(folder):
    return [str(path) for path in sorted(folder.glob("part-*.npy"))]


def by_locale(folder):
    order = [0, 10, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9]  # "part-10.npy" before "part-1.npy" where points do not count
    return [str(folder / f"part-{number}.npy") for number in order]


@pytest.mark.parametrize("expanded", [by_letters, by_locale])
def test_a_pattern_that_a_shell_expanded_is_put_in_natural_order(here, capsys, expanded):
    expected = rad_fast.select(T, 20, student_logits=S)
    for arguments in (
        [*expanded(here / "teacher"), "--student", "student"],
        ["teacher", "--student", *expanded(here / "student")],
        [*expanded(here / "teacher"), "--student", *expanded(here / "student")],
        ["teacher/part-*.npy", "--student", "student/*.npy"],
    ):
        assert run(*arguments) == 0
        np.testing.assert_array_equal(np.load("o.npy"), expected)
        assert ("natural order, in which this one comes before" in capsys.readouterr().err) == (len(arguments) > 3)


def test_an_order_of_ones_own_is_kept(here, capsys):
    paths = [f"teacher/part-{number}.npy" for number in (3, 0, 7)]
    assert run(*paths) == 0
    rows = np.concatenate([T[number * 20 : number * 20 + 20] for number in (3, 0, 7)])
    np.testing.assert_array_equal(np.load("o.npy"), rad_fast.select(rows, 20))
    assert capsys.readouterr().err == ""


def test_an_order_that_differs_between_the_models_is_refused(here, capsys):
    paths = [f"part-{number}.npy" for number in (3, 0, 7)]
    students = [f"student/{paths[at]}" for at in (0, 2, 1)]
    assert run(*(f"teacher/{path}" for path in paths), "--student", *students) == 1
    said = capsys.readouterr().err
    assert "expected shards in the order of the teacher's, student/part-7.npy stands beside teacher/part-0.npy" in said


def test_a_shard_without_its_counterpart_is_said(here, capsys):
    (here / "student" / "part-11.npy").rename(here / "student" / "part-12.npy")
    assert run("teacher", "--student", "student") == 0
    said = capsys.readouterr().err
    assert "student/part-12.npy stands beside teacher/part-11.npy" in said
    assert "do they hold the same points?" in said


def test_shards_of_one_name_and_other_rows_are_said(here, capsys):
    np.save("student/part-1.npy", S[20:45])
    np.save("student/part-2.npy", S[45:60])
    assert run("teacher", "--student", "student") == 0
    assert "student/part-1.npy has 25 rows and teacher/part-1.npy has 20" in capsys.readouterr().err


def test_shards_that_are_cut_otherwise_are_paired_by_rows(here, capsys):
    np.save("s0.npy", S[:100])
    np.save("s1.npy", S[100:])
    assert run("teacher", "--student", "s0.npy", "s1.npy") == 0
    np.testing.assert_array_equal(np.load("o.npy"), rad_fast.select(T, 20, student_logits=S))
    assert capsys.readouterr().err == ""


def test_classes_of_the_largest_in_shards_and_beside_the_values(here, capsys):
    ids = np.argsort(-T, axis=1)[:, :3].copy()
    values = np.take_along_axis(T, ids, axis=1)
    expected = rad_fast.select(rad_fast.TopKLogits(values, ids, 6), 20)
    for name in ("v", "i"):
        (here / name).mkdir()
    for number in range(12):
        np.save(f"v/part-{number}.npy", values[number * 20 : number * 20 + 20])
        np.save(f"i/part-{number}.npy", ids[number * 20 : number * 20 + 20])
    given = [["v", "--top-k", "i"], [*by_letters(here / "v"), "--top-k", "i"]]
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"logits": list(values), "ids": list(ids)}), "both.parquet")
    parquet.write_table(pa.table({"row": range(240), "ids": list(ids.astype("i4"))}), "ids.parquet")
    np.savez_compressed("ids.npz", ids=ids)
    given += [["both.parquet", "--top-k", "both.parquet"], ["v", "--top-k", "ids.parquet"], ["v", "--top-k", "ids.npz"]]
    for arguments in given:
        assert run(*arguments, "--classes", "6") == 0, capsys.readouterr().err
        np.testing.assert_array_equal(np.load("o.npy"), expected)
    np.save("short.npy", ids[:7])
    capsys.readouterr()
    assert run("v", "--top-k", "short.npy", "--classes", "6") == 1
    assert "short.npy: expected a class for every value, shape (240, 3), got (7, 3)" in capsys.readouterr().err


def test_no_shard_of_a_pattern_is_overwritten(here, capsys):
    command = ["select", "teacher/*.npy", "--budget", "5", "--out", "teacher/part-3.npy"]
    assert cli.main(command) == 1
    assert "expected a place other than the inputs'" in capsys.readouterr().err
    np.testing.assert_array_equal(np.load("teacher/part-3.npy"), T[60:80])


def test_names_with_other_numbers_of_numbers_are_compared_whole(here, capsys):
    """What stands between tells a shard of one run from that of another, where the numbers alone do not."""
    names = ["run2-part1", "part1b", "last"]
    for folder, logits in (("teacher", T), ("student", S)):
        for path in (here / folder).iterdir():
            path.unlink()
        for name, part in zip(names, np.array_split(logits, 3), strict=True):
            np.save(here / folder / f"{name}.npy", part)
    ours, theirs = [[f"{folder}/{name}.npy" for name in names] for folder in ("teacher", "student")]
    assert run(*ours, "--student", *theirs) == 0
    assert capsys.readouterr().err == ""
    assert run(*ours, "--student", theirs[1], theirs[0], theirs[2]) == 1
    assert "student/part1b.npy stands beside teacher/run2-part1.npy" in capsys.readouterr().err
