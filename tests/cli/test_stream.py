"""rad-fast stream through its real command line: decisions line by line, resuming, Ctrl-C, a closed pipe, bad rows."""

from __future__ import annotations

import io
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rad_fast
from rad_fast import cli
from rad_fast.stream import StreamSelector

ROWS = np.random.default_rng(0).normal(0, 3, (900, 5)).astype(np.float32)
STUDENT = np.random.default_rng(1).normal(0, 3, (900, 5)).astype(np.float32)


def npy(*arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    for array in arrays:
        np.save(file, array)
    return file.getvalue()


def lines_of(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def started(*arguments: object, cwd: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "rad_fast.cli", "stream", *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=cwd, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0)


def ended(process: subprocess.Popen[bytes], given: bytes = b"") -> tuple[int, list[str], str]:
    out, error = process.communicate(given, timeout=60)
    assert b"Traceback" not in error, error
    return process.returncode, out.decode().split(), error.decode()


def run(*arguments: object, given: bytes, cwd: Path) -> tuple[int, list[str], str]:
    return ended(started(*arguments, cwd=cwd), given)


@pytest.fixture
def inside(capsys, monkeypatch, tmp_path):
    """Run the command in this process, which is as good for what is refused, and twenty times as fast."""

    def call(*arguments: object, given: bytes) -> tuple[int, list[str], str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        try:
            status = cli.main(["stream", *map(str, arguments)])
        except SystemExit as error:
            status = int(error.code or 0)
        said = capsys.readouterr()
        return status, said.out.split(), said.err

    return call


def decisions(mask: np.ndarray) -> list[str]:
    return [str(int(taken)) for taken in mask]


@pytest.mark.parametrize(
    "given",
    [
        npy(ROWS),
        npy(*ROWS[:40], ROWS[40:]),
        lines_of(*ROWS.tolist()),
        lines_of(*ROWS.tolist()).rstrip(b"\n"),
        lines_of(*({"teacher": row} for row in ROWS.tolist())),
    ],
    ids=["one array", "arrays one after the other", "lines", "no last newline", "objects"],
)
def test_rows_in_any_form_are_decided_line_by_line(given, tmp_path):
    status, out, error = run("--rate", "5%", "--teacher", "-", given=given, cwd=tmp_path)
    whole = StreamSelector(0.05).offer(ROWS)
    assert (status, out) == (0, decisions(whole))
    assert error == f"rad-fast: {whole.sum()} of 900 rows taken\n"


def test_a_student_labelled_points_and_a_budget(tmp_path):
    labels = np.where(np.arange(300) % 4, ROWS[:300].argmax(1), 0)
    np.save(tmp_path / "few.npy", ROWS[:300])
    np.save(tmp_path / "labels.npy", labels)
    given = lines_of(*({"teacher": t, "student": s} for t, s in zip(ROWS.tolist(), STUDENT.tolist(), strict=True)))
    settings = {"gain": "label", "quotas": "equal", "slack": 4.0, "window": 100, "seed": 3}
    options = [word for name, value in settings.items() for word in (f"--{name}", value)]
    held_out = ["--labelled-logits", "few.npy", "--labels", "labels.npy"]
    status, out, _ = run("--budget", 60, "--of", 900, "--taken", *options, *held_out, given=given, cwd=tmp_path)
    calibrator = rad_fast.Calibrator().fit(ROWS[:300], labels)
    stream = StreamSelector(budget=60, of=900, correctness=calibrator, **settings)
    whole = stream.offer(ROWS.astype(np.float64), STUDENT.astype(np.float64))
    assert status == 0
    assert out == [str(at) for at in np.flatnonzero(whole)]
    assert len(out) == 60


def test_a_row_is_answered_before_the_next_one_comes(tmp_path):
    process = started("--rate", 0.5, "--window", 16, cwd=tmp_path)
    for row in ROWS[:5].tolist():
        process.stdin.write(lines_of(row))
        ready, _, _ = select.select([process.stdout], [], [], 60)
        assert ready
        assert os.read(process.stdout.fileno(), 100) in (b"0\n", b"1\n")
    assert ended(process)[0] == 0


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_stream_ends_cleanly_and_goes_on(how, tmp_path):
    process = started("--rate", 0.1, "--window", 64, "--state", "state.npz", cwd=tmp_path)
    process.stdin.write(npy(ROWS)[: 128 + 500 * 20 + 7])  # 500 rows and a part of one
    head = b""
    while head.count(b"\n") < 500:
        head += os.read(process.stdout.fileno(), 1000)
    while not (tmp_path / "state.npz").exists():
        select.select([], [], [], 0.01)
    process.send_signal(how)
    process.wait(60)  # its input stays open: an end in the middle of a row is another error
    status, out, error = ended(process)
    assert (status, out, error) == (130, [], "rad-fast: interrupted\n")
    whole = StreamSelector(0.1, window=64).offer(ROWS)
    common = ["--rate", 0.1, "--window", 64, "--state", "state.npz"]
    before = (tmp_path / "state.npz").read_bytes()
    _, rest, _ = run(*common, given=npy(ROWS[500:]), cwd=tmp_path)
    assert head.decode().split() + rest == decisions(whole)
    (tmp_path / "state.npz").write_bytes(before)
    _, rest, error = run(*common, "--again", given=npy(ROWS), cwd=tmp_path)
    assert head.decode().split() + rest == decisions(whole)
    assert f"{whole.sum()} of 900 rows taken" in error


def test_a_closed_pipe_ends_it_cleanly(tmp_path):
    process = started("--rate", 0.1, cwd=tmp_path)
    process.stdout.close()
    process.stdin.write(npy(ROWS))
    process.stdin.close()
    assert process.wait(60) == 1
    assert process.stderr.read() == b""
    process.stderr.close()


def test_no_rows_are_no_lines(inside):
    assert inside("--rate", 0.1, given=b"") == (0, [], "rad-fast: 0 of 0 rows taken\n")
    assert inside("--rate", 0.1, given=b"\n\n")[:2] == (0, [])


def test_lines_before_a_bad_one_are_decided(inside):
    status, out, error = inside("--rate", 0.1, given=lines_of(*ROWS[:5].tolist()) + b"hello\n")
    assert (status, len(out)) == (1, 5)
    assert "standard input, line 6: expected JSON" in error


def test_rows_may_come_from_a_file(tmp_path):
    np.save(tmp_path / "rows.npy", ROWS)
    status, out, _ = run("--rate", 0.1, "--teacher", "rows.npy", given=b"", cwd=tmp_path)
    assert (status, out) == (0, decisions(StreamSelector(0.1).offer(ROWS)))
    status, _, error = run("--rate", 0.1, "--teacher", "none.npy", given=b"", cwd=tmp_path)
    assert (status, error) == (1, "rad-fast: none.npy: No such file or directory\n")


def test_rows_before_a_bad_one_are_decided(tmp_path):
    rows = ROWS.copy()
    rows[7, 2] = np.nan
    status, out, error = run("--rate", 0.1, "--state", "state.npz", given=npy(rows), cwd=tmp_path)
    assert (status, len(out)) == (1, 7)
    assert "standard input, row 7: logits: expected rows of finite numbers" in error
    _, rest, _ = run("--rate", 0.1, "--state", "state.npz", given=npy(ROWS[7:]), cwd=tmp_path)
    assert out + rest == decisions(StreamSelector(0.1).offer(ROWS))
    status, out, _ = run("--rate", 0.1, "--invalid", "exclude", given=npy(rows), cwd=tmp_path)
    assert (status, len(out)) == (0, 900)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lines_of([1.0, 2], [1.0, 2, 3]), "row 1: logits: expected 2 classes as in"),
        (b"[1, 2]\nhello\n", "standard input, line 2: expected JSON, such as a list of logits"),
        (lines_of({"logits": [1]}), "got keys ['logits']"),
        (lines_of([1, "two"]), "line 1: expected a list of numbers, the logits of one point"),
        (lines_of([]), "line 1: expected a list of numbers"),
        (lines_of([True, False]), "line 1: expected a list of numbers"),
        (lines_of([1.0]), "row 0: logits: expected at least 2 columns"),
        (npy(ROWS)[:150], "expected 20 bytes for row 1, got 2; is it complete?"),
        (npy(ROWS)[:50], "expected a .npy array at row 0, its header ends too early"),
        (npy(ROWS[:2]) + b"hello...", "expected a .npy array at row 2, as numpy.save writes it, got b'hello.'"),
        (npy(np.arange(6).reshape(2, 3)), "expected floating numbers, shape (classes,) or (rows, classes)"),
        (npy(np.asfortranarray(ROWS)), "got float32 of shape (900, 5), column by column"),
        (npy(ROWS[None]), "got float32 of shape (1, 900, 5)"),
        (npy(np.array([{}])), "got object of shape (1,)"),
    ],
)
def test_what_is_no_row_is_refused_with_its_place(given, message, inside):
    status, _, error = inside("--rate", 0.1, given=given)
    assert status == 1
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 1, "--rate: expected a number in (0, 1]; or give --budget and --of, such"),
        (["--rate", 2], 1, "rate: expected the share of the points to take"),
        (["--rate", 0.1, "--window", 3], 1, "window: expected at least 16 points"),
        (["--rate", 0.1, "--again"], 2, "--again: expected with --state"),
        (["--rate", 0.1, "--labels", "labels.npy"], 2, "--labelled-logits and --labels: expected both or neither"),
        (["--rate", 0.1, "--state", "no/state.npz"], 1, "expected an existing directory to write to"),
    ],
)
def test_bad_usage_is_said_before_a_row_is_read(arguments, status, message, inside):
    got, out, error = inside(*arguments, given=b"")
    assert (got, out) == (status, [])
    assert message in error


def test_a_state_of_another_stream_or_another_file_is_refused(inside, tmp_path):
    inside("--rate", 0.1, "--state", "state.npz", given=npy(ROWS))
    status, _, error = inside("--rate", 0.2, "--state", "state.npz", given=npy(ROWS))
    assert status == 1
    assert "state: expected one of a stream with rate=0.2, got rate=0.1" in error
    for content in (b"hello", npy(ROWS), npy(np.array([{}], object))):
        (tmp_path / "state.npz").write_bytes(content)
        status, _, error = inside("--rate", 0.1, "--state", "state.npz", given=b"")
        assert status == 1
        assert "state.npz: expected the state of a stream, as rad-fast stream --state writes it" in error


def test_a_row_that_is_no_distribution_is_told_with_its_number_and_the_option(inside):
    got, out, error = inside("--rate", 0.5, given=b"[1.5, 2.5]\n[NaN, 2.0]\n[1.0, 2.0]\n")
    assert (got, len(out)) == (1, 1)
    assert "row 1: logits: expected rows of finite numbers" in error
    assert "nothing finite; fix them, or leave them out with --invalid exclude" in error
