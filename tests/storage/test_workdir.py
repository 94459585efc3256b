"""Scores on the disk: the command goes on where it was stopped, refuses what has changed, and survives a full disk."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rad_fast
from rad_fast import cli
from rad_fast.kernels.reference.score import empty_points
from rad_fast.storage import workdir
from rad_fast.storage.workdir import ScoreFiles

pytestmark = pytest.mark.usefixtures("short_curves")

N, C, BUDGET, STEP = 1000, 5, 60, 100
LOGITS = np.random.default_rng(8).normal(0, 3, (N, C)).astype(np.float32)
ROW = C * 4


@pytest.fixture
def shards(tmp_path):
    folder = tmp_path / "logits"
    folder.mkdir()
    for number, part in enumerate(np.array_split(LOGITS, 3)):
        np.save(folder / f"part-{number}.npy", part)
    return folder


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(cli.select, "CHUNK_BYTES", STEP * ROW)


def command(shards, *more):
    return ["select", str(shards), "--budget", str(BUDGET), "--workdir", str(shards.parent / "w"), *map(str, more)]


def result(shards):
    return np.load(shards.parent / "w" / "selected.npy")


def stop_after(monkeypatch, chunks):
    """Let the command be interrupted when it asks to score one more chunk than these."""
    fit, seen = rad_fast.Selector.partial_fit, []

    def counted(self, logits, **settings):
        seen.append(len(logits))
        if len(seen) > chunks + 1:  # the first is empty: a check
            raise KeyboardInterrupt
        return fit(self, logits, **settings)

    monkeypatch.setattr(rad_fast.Selector, "partial_fit", counted)
    return seen


# ------------------------------------------------------------------------------------------------------------- resume


def test_it_goes_on_from_the_last_finished_chunk(shards, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        assert cli.main(command(shards)) == 130
    done = json.loads((shards.parent / "w" / "manifest.json").read_text())["done"]
    assert [rows for rows, *_ in done] == [STEP, 2 * STEP, 3 * STEP, 4 * STEP]
    with monkeypatch.context() as patch:
        seen = stop_after(patch, 100)
        assert cli.main(command(shards)) == 0
    assert seen == [0] + [STEP] * 6
    np.testing.assert_array_equal(result(shards), rad_fast.select(LOGITS, BUDGET))
    names = {path.name for path in (shards.parent / "w").iterdir()}
    assert names == {
        *("gain.npy", "correctness.npy", "label.npy", "other.npy", "manifest.json"),
        *("selected.npy", "selected.json"),
    }
    assert np.load(shards.parent / "w" / "gain.npy").shape == (N,)
    capsys.readouterr()


def test_another_budget_does_not_score_again(shards, monkeypatch):
    assert cli.main(command(shards)) == 0
    expected = rad_fast.select(LOGITS, 7, seed=3)
    seen = stop_after(monkeypatch, 0)
    again = ["select", str(shards), "--budget", "7", "--seed", "3", "--workdir", str(shards.parent / "w")]
    assert cli.main(again) == 0
    assert seen == [0]
    np.testing.assert_array_equal(result(shards), expected)


def test_excluded_and_invalid_rows_are_counted_over_both_runs(shards, monkeypatch, tmp_path):
    broken = LOGITS.copy()
    broken[[5, 450, 451, 990]] = np.nan
    for number, part in enumerate(np.array_split(broken, 3)):
        np.save(shards / f"part-{number}.npy", part)
    np.save(tmp_path / "exclude.npy", np.arange(0, N, 3))
    more = ("--exclude", tmp_path / "exclude.npy", "--invalid", "exclude", "--correctness", "0.9")
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        assert cli.main(command(shards, *more)) == 130
    assert cli.main(command(shards, *more)) == 0
    whole = rad_fast.Selector(BUDGET, invalid="exclude").fit(broken, exclude=np.arange(0, N, 3), correctness=0.9)
    np.testing.assert_array_equal(result(shards), whole.indices)
    report = json.loads((shards.parent / "w" / "selected.json").read_text())
    assert {name: report[name] for name in whole.report()} == whole.report()


KILLED = """
import os, signal, sys
import rad_fast.cli as cli
cli.select.CHUNK_BYTES = int(sys.argv[1])
left = [int(sys.argv[2])]

def counted(name):
    step = getattr(os, name)

    def call(*arguments, **settings):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(*arguments, **settings)

    return call

for name in ("fsync", "replace", "link", "unlink", "posix_fallocate"):  # every step of what reaches the disk
    if hasattr(os, name):
        setattr(os, name, counted(name))
sys.exit(cli.main(sys.argv[3:]))
"""


def test_killed_at_twenty_points_and_started_again(shards, tmp_path):
    """One run, killed again and again at seeded points of its progress, and none of the points is harmed."""
    expected = tmp_path / "expected.npy"
    assert cli.main(["select", str(shards), "--budget", str(BUDGET), "--out", str(expected)]) == 0
    rng = np.random.default_rng(20)
    kills = runs = 0
    while kills < 20:
        runs += 1
        assert runs < 60
        at = int(rng.integers(1, 45))
        arguments = [sys.executable, "-c", KILLED, str(STEP * ROW), str(at), *command(shards)]
        status = subprocess.run(arguments, cwd=tmp_path, timeout=60, capture_output=True, check=False).returncode
        assert status in (0, -signal.SIGKILL)
        kills += status != 0
        if status == 0:
            assert (tmp_path / "w" / "selected.npy").read_bytes() == expected.read_bytes()
            for path in (tmp_path / "w").iterdir():
                path.unlink()
    assert cli.main(command(shards)) == 0
    assert (tmp_path / "w" / "selected.npy").read_bytes() == expected.read_bytes()
    assert not list((tmp_path / "w").glob(".rad-fast-*"))


# ------------------------------------------------------------------------------------------------------------ refused


def refused(arguments, capsys):
    assert cli.main(arguments) == 1
    shown = capsys.readouterr()
    assert shown.err.startswith("rad-fast: "), shown.err
    assert shown.err.count("\n") == 1, shown.err
    return shown.err


@pytest.mark.filterwarnings("ignore:.*are they all there")  # one of them is taken away
def test_changed_inputs_are_refused(shards, capsys, tmp_path):
    assert cli.main(command(shards)) == 0
    before = result(shards)
    capsys.readouterr()
    part = shards / "part-1.npy"
    about = part.stat()
    os.utime(part, ns=(about.st_atime_ns, about.st_mtime_ns + 1))
    assert "file 1 part-1.npy has changed since" in refused(command(shards), capsys)
    os.utime(part, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert cli.main(command(shards)) == 0
    capsys.readouterr()
    np.save(shards / "part-3.npy", LOGITS[:9])
    assert "file 3 part-3.npy is a new input" in refused(command(shards), capsys)
    (shards / "part-3.npy").unlink()
    part.rename(tmp_path / "away.npy")
    assert "was" in refused(command(shards), capsys)
    np.testing.assert_array_equal(result(shards), before)


@pytest.mark.parametrize(
    ("more", "part"),
    [
        (("--correctness", "0.9"), "--correctness was None and is 0.9"),
        (("--backend", "reference"), "backend was"),
        (("--labelled-logits", "x.npy", "--labels", "y.npy"), "file 0 x.npy is a new input"),
    ],
)
def test_changed_arguments_are_refused(shards, capsys, monkeypatch, more, part):
    monkeypatch.chdir(shards.parent)
    np.save("x.npy", LOGITS[:50])
    np.save("y.npy", (LOGITS[:50].argmax(axis=1) + (np.arange(50) % 4 == 0)) % C)
    assert cli.main(command(shards, "--backend", "cpp" if backend_there("cpp") else "numba")) == 0
    capsys.readouterr()
    usual = () if more[0] == "--backend" else ("--backend", "cpp" if backend_there("cpp") else "numba")
    message = refused(command(shards, *usual, *more), capsys)
    assert part in message
    assert "choose another --workdir" in message


def backend_there(name):
    from rad_fast.device import backends

    return any(found.name == name and found.usable for found in backends.findings())


def test_inputs_that_change_while_they_are_read(shards, capsys, monkeypatch):
    fit = rad_fast.Selector.partial_fit

    def changing(self, logits, **settings):
        os.utime(shards / "part-2.npy")
        return fit(self, logits, **settings)

    monkeypatch.setattr(rad_fast.Selector, "partial_fit", changing)
    assert "part-2.npy has changed since" in refused(command(shards), capsys)


def test_folders_that_are_not_its_own(shards, capsys, tmp_path):
    folder = tmp_path / "w"
    folder.mkdir()
    (folder / "gain.npy").write_text("precious")
    (folder / "thesis.tex").write_text("precious")
    assert "it has thesis.tex; choose another" in refused(command(shards), capsys)
    assert sorted(path.read_text() for path in folder.iterdir()) == ["precious", "precious"]
    (folder / "thesis.tex").rename(folder / "manifest.json")
    assert "expected the state of an earlier run" in refused(command(shards), capsys)
    there = ["select", str(shards), "--budget", "5", "--workdir"]
    assert "nothing is there" in refused([*there, str(tmp_path / "no" / "where")], capsys)
    (tmp_path / "file").write_text("")
    assert "expected a folder, got a file" in refused([*there, str(tmp_path / "file")], capsys)
    assert "expected a place outside of" in refused([*there, str(shards / "w")], capsys)


def test_scores_that_were_cut_off_are_noticed(shards, capsys, tmp_path):
    assert cli.main(command(shards)) == 0
    capsys.readouterr()
    os.truncate(tmp_path / "w" / "gain.npy", 900)
    assert "expected the scores of 1000 points, there is room for 193" in refused(command(shards), capsys)


def test_two_at_once_are_refused(shards, capsys, tmp_path):
    files = ScoreFiles(tmp_path / "w")
    assert "another process is using it" in refused(command(shards), capsys)
    files.unlock()
    assert cli.main(command(shards)) == 0


def test_a_full_disk_keeps_the_old_result(shards, tmp_path):
    (tmp_path / "o.npy").write_bytes(b"older indices")
    (tmp_path / "o.json").write_bytes(b"older report")

    def small_files_only():
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

    arguments = [sys.executable, "-m", "rad_fast.cli", *command(shards, "--out", tmp_path / "o.npy")]
    done = subprocess.run(
        arguments, cwd=tmp_path, preexec_fn=small_files_only, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    place = tmp_path / "w" / "gain.npy"
    why = "no room for the scores of 1000 points, 4128 bytes (File too large)"
    assert done.stderr == f"rad-fast: {place}: {why}\n"
    assert (tmp_path / "o.npy").read_bytes() == b"older indices"
    assert cli.main(command(shards)) == 0, "with room again the same folder serves"
    np.testing.assert_array_equal(result(shards), rad_fast.select(LOGITS, BUDGET))


# ------------------------------------------------------------------------------------------------- Selector(scores=...)


@pytest.mark.parametrize("cuts", [[], [1], [100, 100, 700], list(range(7, N, 7))])
def test_scores_in_files_change_nothing(tmp_path, cuts):
    whole = rad_fast.Selector(BUDGET).fit(LOGITS)
    selector = rad_fast.Selector(BUDGET, scores=tmp_path / "scores")
    for part in np.split(LOGITS, cuts):
        selector.partial_fit(part)
    selection = selector.finalize()
    np.testing.assert_array_equal(selection.indices, whole.indices)
    for name, field in (("gain", "gain"), ("correctness", "correctness"), ("label", "labels")):
        np.testing.assert_array_equal(np.load(tmp_path / "scores" / f"{name}.npy"), getattr(whole, field))
        assert isinstance(getattr(selection, field), np.memmap)
    assert selection.report() == whole.report()
    selector.partial_fit(LOGITS[:10])  # and it can go on
    assert selector.finalize().n_points == N + 10
    np.testing.assert_array_equal(selection.gain, whole.gain)


def test_fit_begins_anew_and_older_selections_stay(tmp_path):
    selector = rad_fast.Selector(BUDGET, scores=str(tmp_path / "scores"))
    first = selector.fit(LOGITS)
    gain = first.gain.copy()
    second = selector.fit(LOGITS[::-1].copy())
    np.testing.assert_array_equal(first.gain, gain)
    np.testing.assert_array_equal(second.gain, gain[::-1])


def test_a_chunk_that_is_refused_leaves_no_scores(tmp_path):
    selector = rad_fast.Selector(BUDGET, scores=tmp_path / "scores").partial_fit(LOGITS[:500])
    broken = LOGITS[500:600].copy()
    broken[3] = np.inf
    with pytest.raises(ValueError, match="row 503"):
        selector.partial_fit(broken)
    selector.partial_fit(LOGITS[500:])
    np.testing.assert_array_equal(selector.finalize().indices, rad_fast.select(LOGITS, BUDGET))


def test_scores_of_what_is_no_folder(tmp_path):
    with pytest.raises(TypeError, match="scores: expected None or the path of a folder, got 3"):
        rad_fast.Selector(5, scores=3)
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(ValueError, match=r"it has mine.txt; choose another"):
        rad_fast.Selector(5, scores=tmp_path).fit(LOGITS)


def test_files_grow_and_other_programs_can_read_them(tmp_path):
    files = ScoreFiles(tmp_path / "s")
    for begin in range(0, 5000, 500):
        room = files.room(500)
        room.gain[:] = np.arange(begin, begin + 500)
        files.keep(room)
    elsewhere = empty_points(20)
    elsewhere.gain[:] = -1
    files.keep(elsewhere)
    assert files.settled().joined().gain.shape == (5020,)
    np.testing.assert_array_equal(np.load(tmp_path / "s" / "gain.npy"), [*range(5000), *[-1] * 20])
    assert Path(tmp_path / "s" / "gain.npy").stat().st_size == workdir.OFFSET + 20_080


# ------------------------------------------------------------------------------------------------ what a line decides


@pytest.mark.parametrize("name", list(workdir.DTYPES))
def test_a_file_that_lacks_one_row_is_noticed(shards, capsys, name):
    assert cli.main(command(shards)) == 0
    path = shards.parent / "w" / f"{name}.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    capsys.readouterr()
    assert "expected the scores of 1000 points, there is room for 999" in refused(command(shards), capsys)
    path.write_bytes(whole)
    assert cli.main(command(shards)) == 0  # of exactly its rows it is whole


def test_a_disk_that_is_full_while_files_grow_leaves_them_as_they_were(tmp_path, monkeypatch):
    files = ScoreFiles(tmp_path / "s")
    files.reserve(10)
    before = {path.name: path.stat().st_size for path in (tmp_path / "s").iterdir()}
    given = workdir.allocate

    def full(file, start, size):
        given(file, start, size)  # as where there is room for a part: the file has grown
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(workdir, "allocate", full)
    with pytest.raises(OSError, match="no room for the scores of 500 points"):
        files.reserve(500)
    assert {path.name: path.stat().st_size for path in (tmp_path / "s").iterdir()} == before


def test_scores_are_on_the_disk_before_the_manifest_says_so(shards, monkeypatch):
    steps = []
    flush, write = ScoreFiles.flush, workdir.Workdir.write
    monkeypatch.setattr(ScoreFiles, "flush", lambda self: (steps.append("flush"), flush(self))[1])
    monkeypatch.setattr(workdir.Workdir, "write", lambda self: (steps.append("write"), write(self))[1])
    assert cli.main(command(shards)) == 0
    assert steps == ["write"] + ["flush", "write"] * 10
