"""Parts in processes of their own: what fails is said, and the rest runs."""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path

import pytest

from benchmarks.gpu.parts import ABSENT, DONE, DROPPED, FAILED, Budget, Part, run_all

LONG = 60.0


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


def run(tmp_path: Path, *parts: Part, seconds: float = 600.0) -> list:
    return run_all(parts, Budget(seconds, now=lambda: 0.0), tmp_path, tmp_path, say=lambda _: None)


def test_what_fails_says_why_and_the_rest_runs(tmp_path: Path) -> None:
    first, second, third = run(
        tmp_path,
        Part("first", python("print('working'); print('no such thing'); raise SystemExit(3)"), 0, LONG),
        Part("second", python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"), 0, LONG),
        Part("third", python("print('fine')"), 0, LONG, say=str.strip),
    )
    assert (first.status, first.reason) == (FAILED, "exit status 3: no such thing")
    assert first.last_lines == ["working", "no such thing"]
    assert (second.status, second.reason) == (FAILED, "killed by SIGSEGV")
    assert (third.status, third.said, third.last_lines) == (DONE, "fine", [])


def test_what_takes_too_long_is_stopped_and_what_it_wrote_is_kept(tmp_path: Path) -> None:
    script = f"echo '[1]' > {tmp_path}/out.json; sleep 1000 & echo $! > {tmp_path}/child; wait"
    outcome = run(tmp_path, Part("slow", ["sh", "-c", script], 0, 1.0, tmp_path / "out.json"))[0]
    assert (outcome.status, outcome.data) == (FAILED, [1])
    assert outcome.reason == "stopped at its limit of 1 s"
    assert ended(int((tmp_path / "child").read_text()))


def test_parts_of_one_batch_run_at_once_and_need_the_longest(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "between")  # opening it for one side waits for the other
    meet = [python(f"open('between', '{mode}').close()") for mode in "rw"]
    first, second = (Part(mode, command, 7.0, LONG, together="met") for mode, command in zip("rw", meet, strict=True))
    last = Part("last", python(""), 1.0, LONG)
    outcomes = run(tmp_path, first, second, last, seconds=8.0)
    assert [outcome.status for outcome in outcomes] == [DONE] * 3
    assert [outcome.status for outcome in run(tmp_path, first, second, last, seconds=7.5)] == [DROPPED, DROPPED, DONE]


def ended(process: int) -> bool:
    """Waits for the end of a process that has been killed."""
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    watch = select.poll()
    watch.register(handle, select.POLLIN)
    found = bool(watch.poll(20_000))
    os.close(handle)
    return found


def test_later_parts_keep_what_they_need(tmp_path: Path) -> None:
    given = [python("import sys; print(sys.argv[2])")] * 3
    outcomes = run(
        tmp_path,
        Part("first", given[0], 10, LONG, say=str.strip, timed=True),
        Part("second", given[1], 50, LONG, say=str.strip, timed=True),
        Part("third", given[2], 1000, LONG, absent="not installed"),
        seconds=100.0,
    )
    assert [outcome.said for outcome in outcomes] == ["40", "50", ""]  # each less ten for its start
    assert outcomes[2].status == ABSENT


def test_no_time_is_a_reason(tmp_path: Path) -> None:
    outcome = run(tmp_path, Part("late", python(""), 20, LONG), seconds=5.0)[0]
    assert (outcome.status, outcome.reason) == (DROPPED, "it needs 20 s, 5 s were left for it")


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    outcome = run(tmp_path, Part("gone", [str(tmp_path / "none")], 0, LONG))[0]
    assert outcome.status == FAILED
    assert "does not start" in outcome.reason


@pytest.mark.parametrize("code", ["", "open('out.json', 'w').write('[1')"])
def test_an_earlier_result_is_not_this_runs(tmp_path: Path, code: str) -> None:
    (tmp_path / "out.json").write_text("[1]")
    outcome = run(tmp_path, Part("silent", python(code), 0, LONG, tmp_path / "out.json"))[0]
    assert (outcome.status, outcome.data) == (FAILED, None)


def test_environment_reaches_the_part(tmp_path: Path) -> None:
    command = python("import os; print(os.environ['HOW'], 'PATH' in os.environ)")
    outcome = run(tmp_path, Part("one", command, 0, LONG, say=str.strip, environment={"HOW": "so"}))[0]
    assert outcome.said == f"so {'PATH' in os.environ}"
