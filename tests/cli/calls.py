"""Calls of the command line in a process of their own."""

import subprocess
import sys
from pathlib import Path


def rad(*arguments, cwd, **options):
    """Run the command line as a shell would; the exit status, stdout and stderr."""
    command = [sys.executable, "-m", "rad_fast.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, **options)


def refused(*arguments, cwd, status=1, **options):
    """The one line on stderr of a call that must fail and leave nothing behind."""
    before = sorted(path.name for path in Path(cwd).iterdir())
    done = rad(*arguments, cwd=cwd, **options)
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    assert sorted(path.name for path in Path(cwd).iterdir()) == before
    assert "Traceback" not in done.stderr
    if status == 1:
        assert done.stderr.startswith("rad-fast: ")
        assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr
