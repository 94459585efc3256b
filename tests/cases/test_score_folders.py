"""Folders of scores: used again in the next round, told from other inputs, and never believed when damaged."""

from __future__ import annotations

import gc
import json
import os
import resource
import subprocess
import sys

import numpy as np
import pytest

import rad_fast
from rad_fast import cli
from rad_fast.storage import npy, workdir
from rad_fast.storage.readers import fingerprint

pytestmark = pytest.mark.usefixtures("short_curves")

N, C, STEP = 2000, 5, 250
LOGITS = np.random.default_rng(8).normal(0, 3, (N, C)).astype("f4")


@pytest.fixture
def here(tmp_path, monkeypatch):
    np.save(tmp_path / "t.npy", LOGITS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.select, "CHUNK_BYTES", STEP * C * 4)
    return tmp_path


def run(*more, out="o.npy"):
    return cli.main(["select", "t.npy", "--budget", "50", "--workdir", "w", "--out", out, *map(str, more)])


@pytest.fixture
def scored(monkeypatch):
    """How many rows are scored from now on."""
    rows = []
    fit = rad_fast.Selector.partial_fit

    def counted(self, logits, **settings):
        rows.append(len(logits))
        return fit(self, logits, **settings)

    monkeypatch.setattr(rad_fast.Selector, "partial_fit", counted)
    return rows


# -------------------------------------------------------------------------------------------------------------- rounds


def test_every_round_uses_the_scores_of_the_first(here, scored):
    taken = np.empty(0, np.int64)
    for number in range(3):
        np.save("taken.npy", taken)
        more = ("--exclude", "taken.npy") if number else ()
        assert run(*more, out=f"r{number}.npy") == 0
        expected = rad_fast.Selector(50).fit(LOGITS, exclude=taken)
        np.testing.assert_array_equal(np.load(f"r{number}.npy"), expected.indices)
        report = json.loads((here / f"r{number}.json").read_text())
        assert {name: report[name] for name in expected.report()} == expected.report()
        taken = np.union1d(taken, expected.indices)
    assert sum(scored) == N
    assert len(taken) == 150
    assert not np.isnan(np.load("w/gain.npy")).any()  # who was excluded keeps the score


def test_a_mask_that_grows_while_the_run_is_interrupted(here, scored, monkeypatch):
    mask = np.arange(N) % 3 == 0
    np.save("mask.npy", mask)

    def stop(self, rows):
        finished(self, rows)
        if rows == 3 * STEP:
            raise KeyboardInterrupt

    finished = workdir.Workdir.finished
    with monkeypatch.context() as patch:
        patch.setattr(workdir.Workdir, "finished", stop)
        assert run() == 130
    assert run("--exclude", "mask.npy") == 0
    np.testing.assert_array_equal(np.load("o.npy"), rad_fast.select(LOGITS, 50, exclude=mask))
    assert sum(scored) == N


def test_rows_that_are_invalid_are_judged_anew_in_every_round(here, capsys):
    broken = LOGITS.copy()
    broken[[7, 1500]] = np.nan
    np.save("t.npy", broken)
    np.save("both.npy", np.array([7, 1500]))
    np.save("one.npy", np.array([7]))
    assert run("--exclude", "both.npy") == 0
    np.testing.assert_array_equal(np.load("o.npy"), rad_fast.select(broken, 50, exclude=[7, 1500]))
    capsys.readouterr()
    assert run("--exclude", "one.npy") == 1
    assert "1 row has NaN, +inf or nothing finite, the first is row 1500" in capsys.readouterr().err
    assert run("--exclude", "one.npy", "--invalid", "exclude") == 0
    report = json.loads((here / "o.json").read_text())
    assert (report["excluded"], report["invalid"]) == (1, 1)
    assert run() == 1
    assert "2 rows have NaN" in capsys.readouterr().err


def test_a_run_that_failed_locks_nothing(here):
    """Even as long as nothing collects what its error holds, which on Python 3.12 refers to itself."""
    broken = LOGITS.copy()
    broken[7] = np.nan
    np.save("t.npy", broken)
    gc.disable()
    try:
        assert run() == 1
        assert run("--invalid", "exclude") == 0
    finally:
        gc.enable()


def test_given_correctness_of_what_was_excluded_is_checked_when_it_no_longer_is(here, capsys):
    correctness = np.linspace(0.5, 1, N)
    correctness[11] = np.nan
    np.save("c.npy", correctness)
    np.save("x.npy", np.array([11]))
    assert run("--correctness", "c.npy", "--exclude", "x.npy") == 0
    expected = rad_fast.select(LOGITS, 50, correctness=np.nan_to_num(correctness, nan=0.5), exclude=[11])
    np.testing.assert_array_equal(np.load("o.npy"), expected)
    capsys.readouterr()
    assert run("--correctness", "c.npy") == 1
    assert "1 is not, the first: nan at index 11" in capsys.readouterr().err


def test_results_do_not_land_among_the_scores(here, capsys):
    assert run(out="w/first.npy") == 1
    assert "expected a place outside of --workdir w" in capsys.readouterr().err
    assert run(out="w/selected.npy") == 0


# ------------------------------------------------------------------------------------------------------------- damaged


@pytest.mark.filterwarnings("default::UserWarning")
@pytest.mark.parametrize("field", ["gain", "correctness", "label", "other"])
@pytest.mark.parametrize("finished", [False, True])
def test_scores_that_were_damaged_are_computed_again_and_that_is_said(
    here, capsys, scored, monkeypatch, field, finished
):
    if finished:
        assert run() == 0
    else:
        with monkeypatch.context() as patch:
            done = workdir.Workdir.finished

            def stop(self, rows):
                done(self, rows)
                if rows == 6 * STEP:
                    raise KeyboardInterrupt

            patch.setattr(workdir.Workdir, "finished", stop)
            assert run() == 130
    scored.clear()
    path = here / "w" / f"{field}.npy"
    whole = bytearray(path.read_bytes())
    item = workdir.DTYPES[field].itemsize
    at = workdir.OFFSET + item * (3 * STEP + 9)
    whole[at : at + 16] = bytes(byte ^ 0xFF for byte in whole[at : at + 16])
    path.write_bytes(whole)
    capsys.readouterr()
    assert run() == 0
    last = N if finished else 6 * STEP
    assert f"w: the scores of points {3 * STEP} to {last - 1} are not what was written there" in capsys.readouterr().err
    np.testing.assert_array_equal(np.load("o.npy"), rad_fast.select(LOGITS, 50))
    assert sum(scored) == N - 3 * STEP  # what is whole before the damage is kept
    assert run() == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("dtype", ["f4", "i4", "u1"])
def test_checksums_are_the_same_however_rows_are_cut_and_tell_what_happens_to_files(monkeypatch, dtype):
    monkeypatch.setattr(workdir, "SUMMED", 16)
    values = np.random.default_rng(0).integers(1, 200, 1000).astype(dtype)
    whole = workdir.checksum(values, 0)
    before = 0
    for part in np.array_split(values, [1, 16, 17, 500, 500, 999]):
        before = workdir.checksum(part, before)
    assert before == whole
    assert 0 < whole < 2**64
    for place in (0, 7, 999):
        for bit in range(8 * values.itemsize):  # one that flipped
            changed = values.copy()
            changed.view("u1")[place * values.itemsize + bit // 8] ^= 1 << bit % 8
            assert workdir.checksum(changed, 0) != whole
    changed = values.copy()
    changed[100:164] = 0  # a block that reads as zeros
    assert workdir.checksum(changed, 0) != whole
    assert workdir.checksum(values[:-1], 0) != whole
    assert workdir.checksum(values[:0], whole) == whole


def test_a_manifest_does_not_grow_with_the_number_of_chunks(here, monkeypatch):
    monkeypatch.setattr(workdir, "MOST_SUMS", 4)
    monkeypatch.setattr(cli.select, "CHUNK_BYTES", 20 * C * 4)
    assert run() == 0
    sums = json.loads((here / "w" / "manifest.json").read_text())["done"]
    assert len(sums) <= 4
    assert sums[-1][0] == N
    assert run() == 0  # and it is believed
    np.testing.assert_array_equal(np.load("o.npy"), rad_fast.select(LOGITS, 50))


def test_room_is_made_for_what_is_asked_and_no_more(tmp_path, monkeypatch):
    for number in range(2):
        files = workdir.ScoreFiles(tmp_path / f"{number}")
        files.reserve(1000)
        files.reserve(3000)
        for name, dtype in workdir.DTYPES.items():
            assert files.path(name).stat().st_size == workdir.OFFSET + 3000 * dtype.itemsize
        files.unlock()
        monkeypatch.delattr(os, "posix_fallocate", raising=False)  # a system that makes room otherwise


def test_a_run_that_was_killed_while_it_made_room_goes_on(tmp_path):
    """One file had grown, further than is asked for now; the others had not."""
    workdir.ScoreFiles(tmp_path / "w").unlock()
    with open(tmp_path / "w" / "gain.npy", "r+b") as file:
        file.truncate(workdir.OFFSET + 4 * 5000)
    files = workdir.ScoreFiles(tmp_path / "w", rows=lambda: 0)
    files.reserve(1000)
    sizes = {name: files.path(name).stat().st_size - workdir.OFFSET for name in workdir.DTYPES}
    assert sizes == {"gain": 20000, "correctness": 4000, "label": 4000, "other": 1000}
    files.unlock()


# ------------------------------------------------------------------------------------------------------------ identity


def rewritten(path, rows):
    """Other content under the same size and time."""
    about = path.stat()
    logits = np.load(path)
    logits[rows] = -logits[rows]
    np.save(path, logits)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert path.stat().st_size == about.st_size


def test_other_content_under_the_same_size_and_time_is_noticed(here, capsys):
    assert run() == 0
    rewritten(here / "t.npy", slice(900, 901))  # a small file is looked at whole
    capsys.readouterr()
    assert run() == 1
    assert "t.npy has changed since then, judging by its size, its time or a sample" in capsys.readouterr().err


def test_of_a_large_file_a_bounded_sample_is_read(tmp_path, monkeypatch):
    np.save(tmp_path / "large.npy", np.zeros((4 << 20,), "f4"))
    read, pread = [], os.pread

    def counted(file, size, place):
        read.append((place, size))
        return pread(file, size, place)

    monkeypatch.setattr(os, "pread", counted)
    before = fingerprint(tmp_path / "large.npy")
    assert sum(size for _, size in read) <= 256 << 10
    assert min(place for place, _ in read) == 0
    assert max(place + size for place, size in read) == (16 << 20) + 128
    assert np.diff(np.sort([place for place, _ in read])).max() < (16 << 20) / 30  # everywhere in it
    rewritten_rows = slice(0, None)
    logits = np.load(tmp_path / "large.npy")
    logits[rewritten_rows] = 1
    about = (tmp_path / "large.npy").stat()
    np.save(tmp_path / "large.npy", logits)
    os.utime(tmp_path / "large.npy", ns=(about.st_atime_ns, about.st_mtime_ns))
    assert fingerprint(tmp_path / "large.npy") != before


def test_of_a_folder_names_sizes_times_and_contents_count(tmp_path):
    folder = tmp_path / "z"
    (folder / "c").mkdir(parents=True)
    for name in ("a", "c/b"):
        (folder / name).write_bytes(b"12345")
        os.utime(folder / name, ns=(10, 10))
    seen = [fingerprint(folder)]
    for change in (
        lambda: (folder / "a").rename(folder / "d"),
        lambda: os.utime(folder / "d", ns=(10, 11)),
        lambda: ((folder / "d").write_bytes(b"123456"), os.utime(folder / "d", ns=(10, 11))),
        lambda: ((folder / "d").write_bytes(b"12345x"), os.utime(folder / "d", ns=(10, 11))),
    ):
        change()
        seen.append(fingerprint(folder))
    assert len({json.dumps(each) for each in seen}) == 5


# --------------------------------------------------------------------------------------------------------- two at once


def test_the_folder_is_locked_until_the_results_are_in_place(here, monkeypatch, capsys):
    seen = []

    def writing(writers):
        with pytest.raises(ValueError, match="another process is using it"):
            workdir.ScoreFiles(here / "w", also=lambda: frozenset({"manifest.json", "selected.npy", "selected.json"}))
        seen.append(sorted(path.name for path in (here / "w").iterdir()))
        npy.write_together(writers)

    monkeypatch.setattr(cli.select, "write_together", writing)
    assert run(out="w/selected.npy") == 0
    assert len(seen) == 1
    workdir.ScoreFiles(here / "w", also=lambda: frozenset({"manifest.json", "selected.npy", "selected.json"})).unlock()


def test_who_waited_for_the_lock_sees_what_was_done_meanwhile(here, monkeypatch, scored):
    """Between the look at the manifest and the lock another process may have scored everything."""
    lock = workdir.locked

    def late(folder):
        monkeypatch.setattr(workdir, "locked", lock)
        assert run() == 0
        return lock(folder)

    monkeypatch.setattr(workdir, "locked", late)
    assert run() == 0
    assert sum(scored) == N
    np.testing.assert_array_equal(np.load("o.npy"), rad_fast.select(LOGITS, 50))


# ----------------------------------------------------------------------------------------------------------- full disks

FULL = """
import resource, signal, sys
import rad_fast.cli as cli
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
sys.exit(cli.main(sys.argv[2:]))
"""


@pytest.mark.parametrize(("room", "name"), [(100, "o.json"), (3000, "gain.npy")])
def test_a_full_disk_names_the_file(here, room, name):
    where = ["--workdir", "w"] if name == "gain.npy" else []
    command = ["select", "t.npy", "--budget", "50", "--out", "o.npy", *where]
    done = subprocess.run([sys.executable, "-c", FULL, str(room), *command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("rad-fast: "), done.stderr
    assert f"{name}: " in done.stderr
    assert not (here / "o.npy").exists()
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != room
