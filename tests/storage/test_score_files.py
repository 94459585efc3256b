"""The files and the folder of scores themselves: room, locks, manifests, and what is kept of them."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest

from rad_fast.kernels.reference.score import empty_points
from rad_fast.storage import workdir
from rad_fast.storage.workdir import ScoreFiles


@pytest.mark.parametrize("system", ["with posix_fallocate", "without it"])
@pytest.mark.parametrize(
    ("before", "size"), [(128, 129), (128, 5000), (4096, 4097), (300, (1 << 20) + 301), (128, 3 << 20)]
)
def test_room_is_made_to_the_last_byte_and_what_was_there_stays(tmp_path, monkeypatch, system, before, size):
    if system == "without it":
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    path = tmp_path / "x"
    path.write_bytes(b"7" * before)
    with open(path, "r+b") as file:
        workdir.allocate(file.fileno(), before, size)
    assert path.read_bytes() == b"7" * before + bytes(size - before)


def test_room_is_made_on_the_disk_for_every_file_before_it_is_mapped(tmp_path, monkeypatch):
    """A file with a hole is as long, and ends the process when the disk is full."""
    made, allocate = [], workdir.allocate

    def watched(file, before, size):
        made.append((before, size))
        allocate(file, before, size)

    monkeypatch.setattr(workdir, "allocate", watched)
    files = ScoreFiles(tmp_path / "w")
    files.reserve(1000)
    items = [dtype.itemsize for dtype in workdir.DTYPES.values()]
    assert made == [(workdir.OFFSET, workdir.OFFSET + 1000 * item) for item in items]
    files.reserve(1000)
    assert len(made) == len(items)
    files.reserve(1001)
    assert made[len(items) :] == [(workdir.OFFSET + 1000 * item, workdir.OFFSET + 1001 * item) for item in items]
    assert files.capacity == len(files.maps.gain) == 1001


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (errno.ENOLCK, "goes on"),
        (errno.ENOTSUP, "goes on"),
        (errno.ENOSYS, "goes on"),
        (errno.EWOULDBLOCK, "in use"),
        (errno.EACCES, "in use"),
        (errno.EIO, "fails"),
    ],
)
def test_a_file_system_without_locks_is_used_and_a_lock_that_fails_is_heard(tmp_path, monkeypatch, code, outcome):
    fcntl = pytest.importorskip("fcntl", reason="this system has no such locks")

    def flock(file, how):
        assert how == fcntl.LOCK_EX | fcntl.LOCK_NB
        raise OSError(code, "as this test wants it")

    monkeypatch.setattr(fcntl, "flock", flock)
    if outcome == "goes on":
        files = ScoreFiles(tmp_path / "w")
        files.keep(scored(3))
        assert files.rows == 3
    elif outcome == "in use":
        with pytest.raises(ValueError, match="expected a folder that is not in use, another process is using it; wait"):
            ScoreFiles(tmp_path / "w")
    else:
        with pytest.raises(OSError, match="as this test wants it"):
            ScoreFiles(tmp_path / "w")


def test_a_folder_that_was_refused_is_free_for_the_next(tmp_path):
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"it has notes\.txt; choose another"):
        ScoreFiles(tmp_path / "w")
    assert (tmp_path / "w" / "notes.txt").read_text() == "mine"
    (tmp_path / "w" / "notes.txt").unlink()
    ScoreFiles(tmp_path / "w").unlock()
    ScoreFiles(tmp_path / "w").unlock()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"job": {}}',
        '{"done": []}',
        '{"job": [], "done": []}',
        '{"job": {}, "done": [[3, 1, 2, 3]]}',
        '{"job": {}, "done": [[3, 1, 2, 3, 4, 5]]}',
        '{"job": {}, "done": [["x", 1, 2, 3, 4]]}',
        '{"job": {}, "done": 3}',
    ],
)
def test_a_manifest_that_is_none_is_refused_and_left(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=r"manifest\.json: expected the state of an earlier run, it cannot be read"):
        workdir.Workdir(tmp_path, {"rows": 3})
    assert (tmp_path / "manifest.json").read_text() == text
    assert len(list(tmp_path.iterdir())) == 1


def test_a_place_that_cannot_be_a_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotADirectoryError, match="expected a folder, got a file"):
        workdir.Workdir(tmp_path / "file", {"rows": 3})
    with pytest.raises(FileNotFoundError, match="expected a place for a folder, nothing is there"):
        workdir.Workdir(tmp_path / "no" / "folder", {"rows": 3})
    assert (tmp_path / "file").read_text() == "mine"


def test_scores_reach_the_disk_before_the_manifest_names_them(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(np.memmap, "flush", lambda field: done.append(field.dtype))
    monkeypatch.setattr(workdir.Workdir, "write", lambda folder: done.append("manifest"))
    folder = workdir.Workdir(tmp_path / "w", {"rows": 3})
    folder.files.keep(scored(3))
    done.clear()
    folder.finished(3)
    folder.files.unlock()
    assert done == [*workdir.DTYPES.values(), "manifest"]


def test_only_what_is_whole_is_kept_and_the_rest_is_scored_again(tmp_path):
    """Rows that came after the last finished chunk, and rows of a finished one that were changed."""
    job = {"rows": 9, "settings": {"seed": 1}}
    first = workdir.Workdir(tmp_path / "w", job)
    points = scored(9)
    for end in (3, 5):
        first.files.keep(type(points)(*(field[first.files.rows : end] for field in points)))
        first.finished(end)
    first.files.keep(type(points)(*(field[5:7] for field in points)))  # killed before these were finished
    first.files.unlock()
    again = workdir.Workdir(tmp_path / "w", job)
    assert again.rows == again.files.rows == 5
    np.testing.assert_array_equal(again.files.maps.gain[:5], points.gain[:5])
    again.files.maps.label[4] += 1
    again.files.flush()
    again.files.unlock()
    with pytest.warns(
        UserWarning, match="the scores of points 3 to 4 are not what was written there; they are computed"
    ):
        last = workdir.Workdir(tmp_path / "w", job)
    assert last.rows == last.files.rows == 3
    last.files.unlock()
    with pytest.raises(ValueError, match=r"seed was 1 and is 2\. Give the same again, or choose another --workdir"):
        workdir.Workdir(tmp_path / "w", {"rows": 9, "settings": {"seed": 2}})


def test_points_that_are_left_out_and_invalid_ones_are_counted_apart(tmp_path):
    files = workdir.Workdir(tmp_path / "w", {"rows": 6})
    points = scored(6)
    points.gain[[1, 2, 4]] = np.nan
    files.files.keep(points)
    files.finished(6)
    assert files.leave_out(None, refuse_invalid=None) == (0, 3)
    mask = np.array([0, 1, 0, 0, 0, 1], bool)
    assert files.leave_out(mask, refuse_invalid=None) == (2, 2)
    with pytest.raises(ValueError, match=r"logits: .*2 rows .*the first is row 2"):
        files.leave_out(mask, refuse_invalid="logits")
    assert files.leave_out(np.isnan(points.gain), refuse_invalid="logits") == (3, 0)


def scored(rows):
    """Scores of so many points, each another."""
    points = empty_points(rows, other=True)
    points.gain[:], points.correctness[:] = np.arange(rows) / rows, 0.5 + np.arange(rows) / (4 * rows)
    points.label[:], points.other[:] = np.arange(rows), np.arange(rows)[::-1]
    return points


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "the store is full"), "the store is full"),
        (OSError(errno.EDQUOT, None), os.strerror(errno.EDQUOT)),
        (OSError(), os.strerror(errno.ENOSPC)),
    ],
)
def test_why_there_is_no_room_is_said_as_the_system_says_it(tmp_path, monkeypatch, error, reason):
    files = ScoreFiles(tmp_path / "w")

    def full(file, before, size):
        raise error

    monkeypatch.setattr(workdir, "allocate", full)
    with pytest.raises(OSError, match="no room for the scores") as raised:
        files.reserve(10)
    assert raised.value.args == (
        error.errno, f"no room for the scores of 10 points, {workdir.OFFSET + 40} bytes ({reason})"
    )  # fmt: skip
    assert raised.value.filename == str(tmp_path / "w" / "gain.npy")
