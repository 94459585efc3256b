"""A journal goes on for the same points alone, is written by one run at a time, and loses nothing that was paid for."""

from __future__ import annotations

import errno
import json
import os
import pickle
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="rad_fast.distill needs torch")

from rad_fast.distill import ActiveDistiller, Fit  # noqa: E402
from rad_fast.distill.journal import Journal, packed, unpacked  # noqa: E402

X = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


class Teacher:
    def __init__(self) -> None:
        self.points = 0

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        self.points += len(batch)
        return torch.stack([-9 * batch[:, 0], 9 * batch[:, 0]], 1)


class Killed(BaseException):
    """As if the process ended here."""


def settings(path: Path, **others) -> dict[str, object]:
    torch.manual_seed(0)
    return {
        "student": torch.nn.Linear(2, 2),
        "teacher": Teacher(),
        "labelled": (X[:10], Y[:10]),
        "holdout": (X[10:30], Y[10:30]),
        "pool": X[30:],
        "budget": 8,
        "train": Fit(epochs=1),
        "progress": False,
        "journal": path,
        **others,
    }


@pytest.fixture
def path(tmp_path) -> Path:
    """The journal of a run that is done."""
    made = tmp_path / "journal"
    ActiveDistiller(**settings(made)).run()
    return made


# Whose journal it is.


@pytest.mark.parametrize(
    ("others", "what"),
    [
        ({"pool": X[30:].flip(0)}, "points of the pool"),
        ({"pool": X[30:] + 1.0}, "points of the pool"),
        ({"holdout": (X[10:30].flip(0), Y[10:30].flip(0))}, "points of the hold-out"),
        ({"holdout": (X[10:30], 1 - Y[10:30])}, "points of the hold-out"),
        ({"labelled": (X[:10].flip(0), Y[:10].flip(0))}, "labelled points"),
        ({"labelled": (X[:10], 1 - Y[:10])}, "labelled points"),
        ({"labelled": (X[:9], Y[:9])}, "labelled points"),
    ],
)
def test_other_points_or_the_same_in_another_order_are_refused(path, others, what):
    teacher, before = Teacher(), path.read_bytes()
    with pytest.raises(ValueError, match=f"belongs to another run: its {what} differ from those given here"):
        ActiveDistiller(**settings(path, teacher=teacher, rounds=2, **others))
    assert path.read_bytes() == before
    assert teacher.points == 0


def test_the_same_points_in_another_container_go_on(path):
    teacher = Teacher()
    ActiveDistiller(**settings(path, teacher=teacher, rounds=2, pool=X[30:].numpy().copy())).run()
    assert teacher.points == 8


def test_other_known_logits_are_refused(tmp_path):
    known = torch.stack([-9 * X[30:, 0], 9 * X[30:, 0]], 1)
    ActiveDistiller(**settings(tmp_path / "journal", pool_logits=known)).run()
    with pytest.raises(ValueError, match="its pool_logits differ from those given here"):
        ActiveDistiller(**settings(tmp_path / "journal", pool_logits=known.flip(0)))


def test_a_journal_from_before_digests_goes_on_with_a_word(path):
    first, *rest = path.read_bytes().splitlines(keepends=True)
    record = json.loads(first.partition(b" ")[2])
    old = {name: value for name, value in record.items() if " " not in name and not name.endswith("_logits")}
    old["version"], _ = 1, old.pop("id")
    rewritten = Journal(path.with_name("old"))
    rewritten.append(**old)
    rewritten.release()
    path.write_bytes(path.with_name("old").read_bytes() + b"".join(rest))
    path.with_name("journal.student").unlink()
    teacher = Teacher()
    with pytest.warns(UserWarning, match="did not record its points"):
        made = ActiveDistiller(**settings(path, teacher=teacher, rounds=2))
    made.run()
    assert teacher.points == 8


# What is no journal.


@pytest.mark.parametrize(
    "content",
    [
        b'{"results": [1, 2]}\n',
        b'{"results": [1, 2]}',
        b"a,b\n1,2\n",
        b"deadbeef",
        b"\x00" * 64,
        b"\n",
        b'{"kind":"run"}\n',
    ],
)
def test_another_file_is_refused_and_left_as_it_is(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="exists and is not a journal; it is left unchanged"):
        ActiveDistiller(**settings(path))
    assert path.read_bytes() == content


def test_a_folder_or_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("", "pipe"):
        with pytest.raises(ValueError, match="journal: expected the path of a file"):
            ActiveDistiller(**settings(tmp_path / name))


@pytest.mark.parametrize("kind", ["answers", "weights"])  # before and after "run" by the alphabet
def test_records_that_begin_with_no_run_are_no_journal(tmp_path, kind):
    text = json.dumps({"kind": kind}).encode()
    (tmp_path / "journal").write_bytes(b"%08x %s\n" % (zlib.crc32(text), text))
    before = (tmp_path / "journal").read_bytes()
    with pytest.raises(ValueError, match="not a journal"):
        ActiveDistiller(**settings(tmp_path / "journal"))
    assert (tmp_path / "journal").read_bytes() == before


@pytest.mark.parametrize("content", [b"0123abcd is no record", b'xxxxxxxxx{"kind":"run","version":2'])
def test_a_first_line_without_an_end_must_look_like_one_of_a_journal(tmp_path, content):
    (tmp_path / "journal").write_bytes(content)
    with pytest.raises(ValueError, match="not a journal"):
        ActiveDistiller(**settings(tmp_path / "journal"))
    assert (tmp_path / "journal").read_bytes() == content


@pytest.mark.parametrize("line", [2, 3, 4])
@pytest.mark.parametrize("whole", [True, False])
def test_the_line_that_is_damaged_is_named(path, line, whole):
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) > 4
    damaged = b"0" * 8 + lines[line - 1][8:]
    kept = [*lines[: line - 1], damaged] if whole else [*lines[: line - 1], b"#" + damaged.rstrip(b"\n")]
    path.write_bytes(b"".join(kept))
    with pytest.raises(ValueError, match=rf"line {line}\b"):
        ActiveDistiller(**settings(path))


@pytest.mark.parametrize(("code", "goes_on"), [(errno.ENOLCK, True), (errno.ENOTSUP, True), (errno.EIO, False)])
def test_a_file_system_without_locks_is_used_without(tmp_path, monkeypatch, code, goes_on):
    fcntl = pytest.importorskip("fcntl")

    def flock(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    if goes_on:
        Journal(tmp_path / "journal").release()
        return
    with pytest.raises(OSError, match=os.strerror(code)):
        Journal(tmp_path / "journal")


def test_an_empty_file_becomes_a_journal(tmp_path):
    (tmp_path / "journal").touch()
    ActiveDistiller(**settings(tmp_path / "journal")).run()
    assert (tmp_path / "journal").stat().st_size > 0


# Damage.


def test_a_flipped_bit_costs_nothing_wherever_it_is(path):
    """Of whole lines none is ever cut off, the last as little as the others."""
    raw = path.read_bytes()
    for at in [*range(0, len(raw) - 1, 101), len(raw) - 3]:
        damaged = bytearray(raw)
        damaged[at] ^= 1
        if damaged.count(b"\n") != raw.count(b"\n"):
            continue
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"is damaged after line|is not a journal"):
            Journal(path)
        assert path.read_bytes() == damaged


def test_cut_at_any_byte_it_keeps_every_whole_record(path):
    raw = path.read_bytes()
    whole = Journal(path)
    whole.release()
    ends = [at for at, byte in enumerate(raw) if byte == ord("\n")]
    for cut in [*range(ends[0] + 1, len(raw), 37), *(end for end in ends), len(raw)]:
        path.write_bytes(raw[:cut])
        journal = Journal(path)
        kept = sum(end <= cut for end in ends)  # a line that lacks its end alone is whole
        assert journal.records == whole.records[:kept]
        journal.append("choice", points=[1])
        journal.release()
        again = Journal(path)
        assert again.records == [*whole.records[:kept], {"kind": "choice", "points": [1]}]
        again.release()


def test_a_line_cut_in_its_check_sum_is_not_mistaken_for_another_file(path):
    """So many bytes of the next line were written when the process was killed."""
    raw = path.read_bytes()
    for begun in (b"0", b"01234567", b"01234567 ", b'01234567 {"ki', b'01234567 {"kind":"ans'):
        path.write_bytes(raw + begun)
        Journal(path).release()
        assert path.read_bytes() == raw
    path.write_bytes(raw + b"written by hand")
    with pytest.raises(ValueError, match="is damaged after line"):
        Journal(path)
    assert path.read_bytes() == raw + b"written by hand"


@pytest.mark.parametrize("length", [22, 23, 40])
def test_killed_in_the_first_line_it_begins_again(path, length):
    """As much as tells a journal from any other file was written; of less nobody knows what it is."""
    first = path.read_bytes().splitlines(keepends=True)[0]
    assert first[9:22] == b'{"kind":"run"'
    path.write_bytes(first[:length])
    journal = Journal(path)
    journal.release()
    assert journal.records == []
    assert path.read_bytes() == b""
    path.write_bytes(first[:21])
    with pytest.raises(ValueError, match="is not a journal; it is left unchanged"):
        Journal(path)
    assert path.read_bytes() == first[:21]


def test_an_old_journal_without_digests_is_still_of_one_run_alone():
    """What it does not know is passed over, and nothing else."""
    journal = Journal(None)
    journal.begin({"seed": 1, "budget": 5})
    journal.begin({"points of the pool": "a digest", "seed": 1, "budget": 5})
    with pytest.raises(ValueError, match="its budget is 5, here it is 6"):
        journal.begin({"points of the pool": "a digest", "seed": 1, "budget": 6})


def test_its_folders_are_made(tmp_path):
    Journal(tmp_path / "of" / "many" / "runs").release()
    assert (tmp_path / "of" / "many" / "runs").read_bytes() == b""


# A full disk.

FULL = """
import resource, signal, sys
from pathlib import Path
from rad_fast.distill.journal import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
journal = Journal(path)
journal.append("run", points=[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, resource.RLIM_INFINITY))
try:
    journal.append("answers", points=list(range(100)))
except OSError as error:
    print(error.filename == str(path), "could not be written" in str(error), len(journal.records))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.append("answers", points=[2])
journal.release()
again = Journal(path)
print(again.records == journal.records, len(again.records))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of a file's size, as Linux has them")
def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "journal")],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stdout.split() == ["True", "True", "1", "True", "2"], done.stderr


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_write_leaves_no_half_line(tmp_path, monkeypatch, error):
    journal = Journal(tmp_path / "journal")
    journal.append("run", points=[1])
    before = (tmp_path / "journal").read_bytes()

    def half(file: int, data: object) -> int:
        real(file, bytes(data)[: len(data) // 2])
        raise error

    real = os.write
    monkeypatch.setattr(os, "write", half)
    with pytest.raises(type(error)):
        journal.append("answers", points=[2])
    monkeypatch.undo()
    assert (tmp_path / "journal").read_bytes() == before
    assert len(journal.records) == 1
    journal.append("answers", points=[3])
    journal.release()
    assert [record["points"] for record in Journal(tmp_path / "journal").records] == [[1], [3]]


def test_every_record_is_on_the_disk_before_the_run_goes_on(tmp_path, monkeypatch):
    forced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: forced.append(os.fstat(file).st_size) or real(file))
    journal = Journal(tmp_path / "journal")
    for at in range(3):
        journal.append("choice", points=[at])
        assert forced[-1] == (tmp_path / "journal").stat().st_size
    assert len(forced) == 3


def test_arrays_survive_to_the_last_bit():
    values = np.array([[np.pi, -np.inf, np.nan]], np.float32)
    again = unpacked(json.loads(json.dumps(packed(values))))
    assert again.tobytes() == values.tobytes()
    again[0, 0] = 1.0  # it can be written to


# Two runs.


def test_a_second_run_does_not_start_while_one_is_on(tmp_path):
    path, heard = tmp_path / "journal", []

    def teacher(batch: torch.Tensor) -> torch.Tensor:
        if not heard:
            command = [sys.executable, "-c", OTHER, str(path)]
            heard.append(subprocess.run(command, capture_output=True, text=True, timeout=100, check=False).stdout)
        return Teacher()(batch)

    ActiveDistiller(**settings(path, teacher=teacher)).run()
    assert "is in use by another run" in heard[0]


OTHER = """
import sys
from rad_fast.distill.journal import Journal
try:
    Journal(sys.argv[1])
except ValueError as error:
    print(error)
"""


def test_a_run_that_another_one_overtook_is_refused(tmp_path):
    path, teacher = tmp_path / "journal", Teacher()
    one = ActiveDistiller(**settings(path))
    other = ActiveDistiller(**settings(path, teacher=teacher))
    one.run()
    with pytest.raises(ValueError, match="has changed since it was read, probably by another run"):
        other.run()
    assert teacher.points == 0
    again = ActiveDistiller(**settings(path, teacher=teacher, rounds=2))
    again.run()
    assert teacher.points == 8


@pytest.mark.parametrize("kept", [True, False])
def test_one_distiller_runs_in_one_thread_at_a_time(tmp_path, kept):
    heard: list[BaseException] = []

    def teacher(batch: torch.Tensor) -> torch.Tensor:
        if not heard:
            thread = threading.Thread(target=second)
            thread.start()
            thread.join()
        return Teacher()(batch)

    def second() -> None:
        try:
            made.run()
        except RuntimeError as error:
            heard.append(error)

    made = ActiveDistiller(**settings(tmp_path / "journal" if kept else None, teacher=teacher))
    made.run()
    assert "is already running in another thread" in str(heard[0])


def test_after_an_error_the_journal_is_free(tmp_path):
    def teacher(batch: torch.Tensor) -> torch.Tensor:
        raise Killed

    path = tmp_path / "journal"
    made = ActiveDistiller(**settings(path, teacher=teacher))
    with pytest.raises(Killed):
        made.run()
    ActiveDistiller(**settings(path)).run()
    with pytest.raises(ValueError, match="belongs to another run"):
        ActiveDistiller(**settings(path, seed=3))
    ActiveDistiller(**settings(path, rounds=2)).run()


def test_a_distiller_can_be_pickled(path):
    with pytest.warns(UserWarning, match="pool_logits was not given then; holdout_logits was not given then"):
        made = ActiveDistiller(**settings(path, teacher=None, pool_logits=X[30:], holdout_logits=X[10:30]))
    again = pickle.loads(pickle.dumps(made))
    assert again.selected.tolist() == made.selected.tolist()
    with again._ledger.journal.held():
        pass


# The student beside it.


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:100]), "Error"),
        (lambda file: file.write_bytes(b""), "Error"),
        (lambda file: rewrite(file, lambda state: state.pop("weights")), "KeyError"),
        (lambda file: rewrite(file, lambda state: state["report"].update(number=7)), "it is of round 7, and the"),
        (lambda file: rewrite(file, lambda state: state["report"].update(number=0)), "it is of round 0, and the"),
        (lambda file: rewrite(file, lambda state: state.update(run="other")), "it is of another run"),
    ],
)
def test_a_student_that_cannot_be_used_is_trained_again(tmp_path, spoil, why):
    path, teacher = tmp_path / "journal", Teacher()
    first = ActiveDistiller(**settings(path, rounds=2)).run()
    spoil(tmp_path / "journal.student")
    with pytest.warns(UserWarning, match=f"journal.student is not used .*{why}.*trained again"):
        made = ActiveDistiller(**settings(path, rounds=2, teacher=teacher))
    assert torch.equal(made.run().weight, first.weight)
    assert teacher.points == 0


def rewrite(file: Path, change) -> None:
    state = torch.load(file, weights_only=True)
    change(state)
    torch.save(state, file)


def test_a_student_of_a_deleted_journal_is_not_taken_for_this_run_s(tmp_path):
    path = tmp_path / "journal"
    ActiveDistiller(**settings(path)).run()
    rewrite(tmp_path / "journal.student", lambda state: state["report"].update(number=0))
    path.unlink()
    with pytest.warns(UserWarning, match="it is of another run"):
        assert ActiveDistiller(**settings(path)).history == []


def test_a_student_that_was_kept_before_the_journal_said_so_is_used(tmp_path):
    path = tmp_path / "journal"
    student = ActiveDistiller(**settings(path)).run()
    lines = path.read_bytes().splitlines(keepends=True)
    assert b'"trained"' in lines[-1]
    path.write_bytes(b"".join(lines[:-1]))

    def train(student: object, dataset: object) -> object:
        raise AssertionError("trained again")

    with pytest.warns(UserWarning, match=r"begun otherwise: train was Fit\(.*\), here it is train"):
        made = ActiveDistiller(**settings(path, train=train))
    assert torch.equal(made.run().weight, student.weight)
    assert len(made.history) == 2
