"""The command line through its real command line: results, messages, exit statuses, and what is left on the disk."""

import contextlib
import fcntl
import json
import os
import struct
import subprocess
import sys
import termios
import zipfile

import numpy as np
import pytest

import rad_fast
from rad_fast import cli
from rad_fast.device import backends
from rad_fast.storage import npy

from .calls import rad, refused
from .conftest import N

# ------------------------------------------------------------------------------------------------------------ results


def test_the_indices_are_those_of_select(data, tmp_path):
    done = rad("select", data / "logits.npy", "--budget", 50, "--out", "picked.npy", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # not a terminal: no progress bar
    assert "50 of 2,000 points selected" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["picked.json", "picked.npy"]
    indices = np.load(tmp_path / "picked.npy")
    assert indices.dtype == np.int64
    np.testing.assert_array_equal(indices, rad_fast.select(np.load(data / "logits.npy"), 50))


def test_the_indices_of_this_folder_go_beside_it(data, tmp_path):
    shards = tmp_path / "shards"
    shards.mkdir()
    np.save(shards / "a.npy", np.load(data / "logits.npy"))
    done = rad("select", ".", "--budget", 50, cwd=shards)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shards", "shards.selected.json", "shards.selected.npy"]


def test_labels_given_as_logits_are_told_the_option(tmp_path):
    np.save(tmp_path / "labels.npy", np.zeros(50, np.int64))
    error = refused("select", "labels.npy", "--budget", 5, cwd=tmp_path)
    assert "for a teacher that only names a class use --teacher-labels --classes C" in error


def test_an_array_of_a_file_is_named_as_a_column(tmp_path):
    np.savez(tmp_path / "both.npz", a=np.eye(5), b=np.eye(5))
    error = refused("select", "both.npz:a", "--budget", 2, cwd=tmp_path, status=2)
    assert "both.npz:a: expected files of logits; give --column a with both.npz" in error


def test_everything_at_once_equals_the_library(data, tmp_path):
    done = rad(
        *("select", data / "logits.npy", "--budget", "2.5%", "--student", data / "student.npy", "--seed", 3),
        *("--labelled-logits", data / "held_logits.npy", "--labels", data / "held_labels.npy"),
        *("--labelled-student", data / "held_student.npy", "--exclude", data / "exclude.npy"),
        *("--mistakes", "7", "--backend", "reference", "--invalid", "exclude", "--out", "all.npy"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr

    def load(name):
        return np.load(data / f"{name}.npy")

    calibrator = rad_fast.Calibrator(backend="reference").fit(
        load("held_logits"), load("held_labels"), load("held_student")
    )
    selector = rad_fast.Selector(0.025, mistakes=7, seed=3, backend="reference", invalid="exclude")
    expected = selector.fit(
        load("logits"), student_logits=load("student"), correctness=calibrator, exclude=load("exclude")
    )
    np.testing.assert_array_equal(np.load(tmp_path / "all.npy"), expected.indices)
    report = json.loads((tmp_path / "all.json").read_text())
    assert {name: report[name] for name in expected.report()} == expected.report()
    assert report["arguments"]["labels"] == "held_labels.npy"
    assert "both models, 300 labelled points" in report["correctness_from"]
    assert str(data) not in (tmp_path / "all.json").read_text(), "a report says nothing about the machine's directories"


def test_what_neighbours_agree_on_equals_the_library(data, tmp_path, monkeypatch):
    def load(name):
        return np.load(data / f"{name}.npy")

    monkeypatch.setattr(cli.select, "CHUNK_BYTES", 5000)
    rng = np.random.default_rng(4)
    near, held = (rng.random(len(load(name))).astype(np.float32) for name in ("logits", "held_logits"))
    near[load("exclude")] = np.nan
    np.save(tmp_path / "near.npy", near)
    np.save(tmp_path / "held.npy", held)
    given = ["select", data / "logits.npy", "--budget", 40, "--invalid", "exclude", "--exclude", data / "exclude.npy"]
    given += ["--labelled-logits", data / "held_logits.npy", "--labels", data / "held_labels.npy"]
    given += ["--agreement", tmp_path / "near.npy", "--labelled-agreement", tmp_path / "held.npy"]
    for more in ([], ["--workdir", tmp_path / "work"]):
        cli.main([*map(str, given), *map(str, more), "--out", str(tmp_path / "near-picked.npy")])
        calibrator = rad_fast.Calibrator().fit(load("held_logits"), load("held_labels"), agreement=held)
        of_points = {"correctness": calibrator, "agreement": near, "exclude": load("exclude")}
        expected = rad_fast.select(load("logits"), 40, **of_points, invalid="exclude")
        np.testing.assert_array_equal(np.load(tmp_path / "near-picked.npy"), expected)
    report = json.loads((tmp_path / "near-picked.json").read_text())
    assert "the teacher alone and the neighbours' agreement, 300 labelled points" in report["correctness_from"]


def test_chunks_do_not_matter(data, tmp_path, monkeypatch):
    monkeypatch.setattr(cli.select, "CHUNK_BYTES", 700)  # 35 rows of 20 bytes: uneven, and many
    arguments = ["--correctness", str(data / "correctness.npy"), "--exclude", str(data / "exclude.npy")]
    out = tmp_path / "chunks.npy"
    assert cli.main(["select", str(data / "logits.npy"), "--budget", "40", "--out", str(out), *arguments]) == 0
    expected = rad_fast.select(
        np.load(data / "logits.npy"),
        40,
        correctness=np.load(data / "correctness.npy"),
        exclude=np.load(data / "exclude.npy"),
    )
    np.testing.assert_array_equal(np.load(out), expected)


def test_default_names_stand_beside_the_logits(data, tmp_path):
    (tmp_path / "pool.npy").write_bytes((data / "logits.npy").read_bytes())
    assert rad("select", tmp_path / "pool.npy", "--budget", 5, cwd=data).returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "pool.npy",
        "pool.selected.json",
        "pool.selected.npy",
    ]


@pytest.mark.parametrize(
    ("text", "points"),
    # a count; fractions as a number and in percent; the whole; one point, which is not the fraction 1.0
    [("500", 500), ("0.05", 100), ("5%", 100), ("100%", N), ("1.0", N), ("1", 1)],
)
def test_budgets(data, tmp_path, text, points):
    out = tmp_path / "out.npy"
    assert cli.main(["select", str(data / "logits.npy"), "--budget", text, "--out", str(out)]) == 0
    assert len(np.load(out)) == points


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_layout_numpy_writes(data, tmp_path, dtype, order):
    logits = np.asarray(np.load(data / "logits.npy"), dtype=dtype, order=order)
    np.save(tmp_path / "in.npy", logits)
    assert cli.main(["select", str(tmp_path / "in.npy"), "--budget", "30"]) == 0
    expected = rad_fast.select(logits, 30)
    np.testing.assert_array_equal(np.load(tmp_path / "in.selected.npy"), expected)


def test_bfloat16_of_ml_dtypes_or_how_to_get_it(data, tmp_path):
    bits = (np.load(data / "logits.npy").view(np.uint32) >> 16).astype(np.uint16)
    np.save(tmp_path / "in.npy", bits.view("V2"))
    try:
        import ml_dtypes
    except ImportError:
        message = refused("select", "in.npy", "--budget", 5, cwd=tmp_path)
        assert "bfloat16" in message
        assert "pip install ml_dtypes" in message
    else:
        assert cli.main(["select", str(tmp_path / "in.npy"), "--budget", "5"]) == 0
        expected = rad_fast.select(bits.view(ml_dtypes.bfloat16), 5)
        np.testing.assert_array_equal(np.load(tmp_path / "in.selected.npy"), expected)


def test_a_warning_is_one_line(data, tmp_path):
    done = rad("select", data / "logits.npy", "--budget", 9, "--correctness", "0.1", "--out", "o.npy", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr.startswith("rad-fast: warning: the value of the game is ")
    assert done.stderr.count("\n") == 1


def test_info_version_and_help(tmp_path):
    info = rad("info", cwd=tmp_path)
    assert info.returncode == 0, info.stderr
    for word in (rad_fast.__version__, "NumPy", "threads", "SIMD", "GPU"):
        assert word in info.stdout
    named = {line[10:].split()[0] for line in info.stdout.splitlines() if "usable" in line}
    assert named == set(backends.NAMES) - {"auto"}
    assert rad("--version", cwd=tmp_path).stdout == f"rad-fast {rad_fast.__version__}\n"
    assert "--labelled-student" in rad("select", "--help", cwd=tmp_path).stdout


def test_a_reader_that_has_gone_is_no_error_message(data, tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "rad_fast.cli", "select", str(data / "logits.npy"), "--budget", "5"]
    done = subprocess.run(
        [*command, "--out", "o.npy"], cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, timeout=60
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")
    assert (tmp_path / "o.npy").exists()


def test_a_progress_bar_on_a_terminal(data, tmp_path):
    pytest.importorskip("tqdm")
    pty = pytest.importorskip("pty")
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))  # as new it has no columns to draw in
    os.set_blocking(controller, False)
    command = [sys.executable, "-m", "rad_fast.cli", "select", str(data / "logits.npy"), "--budget", "5"]
    with subprocess.Popen(
        [*command, "--out", "o.npy"], cwd=tmp_path, stderr=terminal, stdout=subprocess.DEVNULL
    ) as process:
        assert process.wait(timeout=60) == 0
    shown = os.read(controller, 10000).decode()
    os.close(terminal)
    os.close(controller)
    assert "scoring" in shown
    assert "rows/s" in shown


# ---------------------------------------------------------------------------------------------------------- bad input


def broken(data, tmp_path):
    """Files that are no logits, by name, with a part of the message each must get."""
    logits = np.load(data / "logits.npy")
    whole = (data / "logits.npy").read_bytes()
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "text.npy").write_text("0.1,0.9\n")
    (tmp_path / "truncated.npy").write_bytes(whole[:-1])
    (tmp_path / "header.npy").write_bytes(whole[:50])
    (tmp_path / "garbled.npy").write_bytes(whole.replace(b"descr", b"dascr"))
    (tmp_path / "directory.npy").mkdir()
    os.mkfifo(tmp_path / "pipe.npy")
    with zipfile.ZipFile(tmp_path / "archive.npy", "w") as archive:
        archive.writestr("a.npy", whole)
    np.save(tmp_path / "objects.npy", np.array([[{}, {}]], dtype=object), allow_pickle=True)
    np.save(tmp_path / "integers.npy", logits.astype(np.int32))
    np.save(tmp_path / "complex.npy", logits.astype(np.complex64))
    np.save(tmp_path / "named.npy", np.zeros(3, dtype=[("é", "f4")]))
    np.save(tmp_path / "flat.npy", logits[0])
    np.save(tmp_path / "scalar.npy", np.float32(1))
    np.save(tmp_path / "column.npy", logits[:, :1])
    np.save(tmp_path / "no_rows.npy", logits[:0])
    logits[[1500, 1600], 2] = np.nan
    np.save(tmp_path / "nan.npy", logits)
    return {
        "missing.npy": "missing.npy: No such file",
        "empty.npy": "an empty file",
        "text.npy": "begins with b'0.1,0.'",
        "truncated.npy": "expected 40128 bytes for shape (2000, 5) of float32, got 40127",
        "header.npy": "header cannot be read",
        "garbled.npy": "header cannot be read",
        "directory.npy": "expected a folder with files of logits",
        "pipe.npy": "a pipe",
        "archive.npy": "zip archive",
        "objects.npy": "Python objects",
        "integers.npy": "integers.npy: expected float64, float32, float16 or bfloat16, got int32",
        "complex.npy": "got complex64",
        "named.npy": "named.npy: ",
        "flat.npy": "expected 2 dimensions",
        "scalar.npy": "expected 2 dimensions",
        "column.npy": "at least 2 columns",
        "no_rows.npy": "at least one row",
        "nan.npy": "nan.npy: expected rows of finite numbers or -inf; 2 rows have NaN, +inf or nothing finite, "
        "the first is row 1500; fix them, or leave them out with --invalid exclude",
    }


def test_broken_files(data, tmp_path, capsys):
    """In this process, as there are many; one of them below through a process of its own."""
    for name, part in broken(data, tmp_path).items():
        before = sorted(tmp_path.iterdir())
        assert cli.main(["select", str(tmp_path / name), "--budget", "5"]) == 1, name
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.startswith("rad-fast: "), shown.err
        assert shown.err.count("\n") == 1, shown.err
        assert part in shown.err, (name, shown.err)
        assert sorted(tmp_path.iterdir()) == before, "something was left behind"


def test_objects_are_never_unpickled(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([[{}, {}]], dtype=object), allow_pickle=True)
    assert "never loaded" in refused("select", "objects.npy", "--budget", 1, cwd=tmp_path)


def test_a_header_with_any_byte_changed_gives_no_traceback(data, tmp_path):
    whole = (data / "held_logits.npy").read_bytes()
    rng = np.random.default_rng(1)
    path = tmp_path / "changed.npy"
    for _ in range(400):  # enough to have hit each of the header's 128 bytes
        changed = bytearray(whole)
        changed[rng.integers(128)] = rng.integers(256)
        path.write_bytes(changed)
        with contextlib.suppress(ValueError):  # anything else would be a traceback on the command line
            npy.open_npy(path)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--budget", "0"], "--budget: expected an int from 1"),
        (["--budget", "-3"], "--budget: expected an int from 1"),
        (["--budget", "1.5"], "--budget: "),
        (["--budget", "2001"], "--budget: expected at most 2000, the number of points; got 2001"),
        (["--budget", "1500", "--exclude", "exclude.npy"], "2000 points less 1000 left out"),
        (["--budget", "5", "--student", "held_logits.npy"], "--student held_logits.npy: expected a row for every row"),
        (["--budget", "5", "--correctness", "held_labels.npy"], "--correctness held_labels.npy: expected one number"),
        (["--budget", "5", "--correctness", "1.5"], "--correctness: expected the teacher's average accuracy"),
        (["--budget", "5", "--correctness", "nowhere.npy"], "nowhere.npy: No such file"),
        (["--budget", "5", "--mistakes", "-1"], "--mistakes: expected a finite number"),
        (["--budget", "5", "--seed", "-1"], "--seed: expected an int of at least 0"),
        (["--budget", "5", "--exclude", "correctness.npy"], "--exclude correctness.npy: expected a boolean mask"),
        (
            ["--budget", "5", "--labelled-logits", "logits.npy", "--labels", "held_labels.npy"],
            "--labels held_labels.npy: ",
        ),
        (["--budget", "5", "--out", "logits.npy"], "logits.npy: expected a place other than the inputs'"),
        (["--budget", "5", "--out", "./../{here}/logits.npy"], "expected a place other than the inputs'"),
        (["--budget", "5", "--out", "nowhere/o.npy"], "expected an existing directory"),
    ],
)
def test_bad_arguments(data, capsys, monkeypatch, arguments, part):
    monkeypatch.chdir(data)
    before = {path: path.stat().st_mtime_ns for path in data.iterdir()}
    assert cli.main(["select", "logits.npy", *(text.format(here=data.name) for text in arguments)]) == 1
    shown = capsys.readouterr()
    assert shown.err.startswith("rad-fast: ")
    assert shown.err.count("\n") == 1, shown.err
    assert part in shown.err
    assert {path: path.stat().st_mtime_ns for path in data.iterdir()} == before


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["choose"],
        ["select", "logits.npy"],
        ["select", "logits.npy", "--budget", "many"],
        ["select", "logits.npy", "--budget", "500%"],
        ["select", "logits.npy", "--budget", "5", "--labels", "held_labels.npy"],
        ["select", "logits.npy", "--budget", "5", "--labelled-student", "held_student.npy"],
        ["select", "logits.npy", "--budget", "5", "--agreement", "logits.npy"],
        ["select", "logits.npy", "--budget", "5", "--agreement", "a.npy", "--labelled-agreement", "b.npy"],
        ["select", "logits.npy", "--budget", "5", "--out", "picked.txt"],
        ["select", "logits.npy", "--budget", "5", "--backend", "abacus"],
        ["select", "logits.npy", "--budg", "5"],
        ["select", "logits.npy", "--budget", "5", "--quotas", "balanced"],
        ["select", "logits.npy", "--budget", "5", "--teacher-labels"],
        ["select", "logits.npy", "--budget", "5", "--labelled-confidence", "held_labels.npy"],
        [
            *("select", "held_labels.npy", "--teacher-labels", "--classes", "10", "--budget", "5"),
            *("--labelled-confidence", "held_labels.npy"),
        ],
        [
            *("select", "held_labels.npy", "--teacher-labels", "--classes", "10", "--budget", "5"),
            *("--labelled-logits", "held_labels.npy", "--labels", "held_labels.npy"),
            *("--teacher-confidence", "held_labels.npy"),
        ],
        ["select", "*.npy", "--budget", "5"],
        [
            *("select", "logits.npy", "--budget", "5", "--correctness", "0.9"),
            *("--labelled-logits", "held_logits.npy", "--labels", "held_labels.npy"),
        ],
    ],
    ids=" ".join,
)
def test_bad_usage_exits_with_2(data, capsys, monkeypatch, arguments):
    monkeypatch.chdir(data)
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2, "what is wrong, and where the options are"
    assert said[1].startswith("usage: rad-fast")


def test_a_folder_that_is_not_there_is_named_before_anything_else(data, capsys, monkeypatch):
    monkeypatch.chdir(data)
    assert cli.main(["select", "nowhere/", "--budget", "5"]) == 1
    assert capsys.readouterr().err == "rad-fast: nowhere: No such file or directory\n"


def test_labels_alone_are_refused_in_words_of_the_command_line(data, capsys, monkeypatch):
    monkeypatch.chdir(data)
    command = ["select", "held_labels.npy", "--teacher-labels", "--classes", "10", "--budget", "5"]
    assert cli.main([*command, "--out", "picks.npy"]) == 1
    assert "expected --teacher-confidence, or --student, or numbers as --gain" in capsys.readouterr().err


def test_columns_of_one_table_are_teacher_and_student(data, tmp_path, capsys):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    teacher, student = np.load(data / "logits.npy"), np.load(data / "student.npy")
    folder = tmp_path / "table"
    folder.mkdir()
    skipped = np.arange(len(teacher)) % 2 == 0
    columns = {"teacher": list(teacher), "student": list(student), "skipped": skipped}
    parquet.write_table(pa.table(columns), folder / "part-0.parquet")
    out = tmp_path / "picks.npy"
    command = ["select", str(folder), "--column", "teacher", "--student-column", "student", "--budget", "9"]
    assert cli.main([*command, "--exclude", f"{folder}/:skipped", "--out", str(out)]) == 0, capsys.readouterr().err
    wanted = rad_fast.select(teacher, 9, student_logits=student, exclude=skipped)
    np.testing.assert_array_equal(np.load(out), wanted)


def test_partitions_with_files_of_one_name_are_told_apart_in_the_report(data, tmp_path, capsys):
    for number, part in enumerate(np.array_split(np.load(data / "logits.npy"), 2)):
        folder = tmp_path / "answers" / f"day={number}"
        folder.mkdir(parents=True)
        np.save(folder / "part-0.npy", part)
    assert cli.main(["select", str(tmp_path / "answers"), "--budget", "9", "--out", str(tmp_path / "picks.npy")]) == 0
    shards = json.loads((tmp_path / "picks.json").read_text())["shards"]
    assert [shard["name"] for shard in shards] == ["day=0/part-0.npy", "day=1/part-0.npy"]


def test_exit_statuses_of_the_process(data):
    assert "missing.npy" in refused("select", "missing.npy", "--budget", 5, cwd=data)
    assert "usage:" in refused("select", "logits.npy", cwd=data, status=2)


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (MemoryError("Unable to allocate 1. TiB"), 1, "rad-fast: out of memory (Unable to allocate 1. TiB)\n"),
        (KeyboardInterrupt(), 130, "rad-fast: interrupted\n"),
        (TypeError("two\nlines"), 1, "rad-fast: two lines\n"),
        (OSError(28, "No space left on device", "x.npy"), 1, "rad-fast: x.npy: No space left on device\n"),
    ],
    ids=repr,
)
def test_what_goes_wrong_inside_is_one_line(data, tmp_path, capsys, monkeypatch, error, status, line):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(rad_fast.Selector, "partial_fit", fail)
    out = tmp_path / "o.npy"
    assert cli.main(["select", str(data / "logits.npy"), "--budget", "5", "--out", str(out)]) == status
    assert capsys.readouterr().err == line
    assert list(tmp_path.iterdir()) == []
