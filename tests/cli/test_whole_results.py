"""A command that fails leaves the older result as it was: results are whole, or not there."""

import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest

from rad_fast import cli

from .calls import refused


def older_result(directory):
    (directory / "o.npy").write_bytes(b"older indices")
    (directory / "o.json").write_bytes(b"older report")
    return directory


def unharmed(directory):
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == {
        "o.npy": b"older indices",
        "o.json": b"older report",
    }


def test_a_full_disk_leaves_the_older_result(data, tmp_path):
    older_result(tmp_path)

    def small_files_only():  # 8,000 bytes of indices do not fit, the report does
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    arguments = ("select", data / "logits.npy", "--budget", 1000, "--out", "o.npy")
    message = refused(*arguments, cwd=tmp_path, preexec_fn=small_files_only)
    assert "File too large" in message
    unharmed(tmp_path)


@pytest.mark.parametrize("failing", [1, 2])  # the report's renaming, and the indices' after it
@pytest.mark.parametrize("links", [True, False])  # some file systems have no hard links
def test_a_failing_rename_leaves_the_older_result(data, tmp_path, monkeypatch, capsys, failing, links):
    older_result(tmp_path)
    calls, replace = [], os.replace

    def fail(source, target):
        calls.append(target)
        if len(calls) == failing:
            raise PermissionError(1, "Operation not permitted", str(target))
        replace(source, target)

    def no_links(source, target):
        raise OSError(95, "Operation not supported", str(target))

    monkeypatch.setattr(os, "replace", fail)
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    out = tmp_path / "o.npy"
    assert cli.main(["select", str(data / "logits.npy"), "--budget", "5", "--out", str(out)]) == 1
    assert "Operation not permitted" in capsys.readouterr().err
    unharmed(tmp_path)


def test_a_failing_rename_leaves_nothing_where_there_was_nothing(data, tmp_path, monkeypatch):
    replace = os.replace

    def fail(source, target):
        if str(target).endswith(".npy"):
            raise PermissionError(1, "Operation not permitted", str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    out = tmp_path / "o.npy"
    assert cli.main(["select", str(data / "logits.npy"), "--budget", "5", "--out", str(out)]) == 1
    assert list(tmp_path.iterdir()) == []


def test_killed_while_writing_leaves_the_older_result(data, tmp_path):
    older_result(tmp_path)
    program = (
        "import os, signal, sys, rad_fast.cli\n"
        "os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)\n"
        "rad_fast.cli.main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", program, "select", str(data / "logits.npy"), "--budget", "5", "--out", "o.npy"]
    assert subprocess.run(command, cwd=tmp_path, timeout=60).returncode == -signal.SIGKILL
    for leftover in tmp_path.glob(".rad-fast-*.tmp"):  # nothing can remove it: it is hidden, and no result
        leftover.unlink()
    unharmed(tmp_path)


def test_a_new_result_replaces_the_older_one_through_a_link(data, tmp_path):
    place, link = tmp_path / "place", tmp_path / "link"
    place.mkdir()
    link.mkdir()
    older_result(place)
    (link / "o.npy").symlink_to(place / "o.npy")
    assert cli.main(["select", str(data / "logits.npy"), "--budget", "5", "--out", str(link / "o.npy")]) == 0
    assert (link / "o.npy").is_symlink()
    assert len(np.load(place / "o.npy")) == 5


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_may_not_be_written_to(data, tmp_path):
    tmp_path.chmod(0o500)
    message = refused("select", data / "logits.npy", "--budget", 5, "--out", "o.npy", cwd=tmp_path)
    assert "may be written to" in message
