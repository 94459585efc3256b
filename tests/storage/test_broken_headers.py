"""Files with broken headers, of every format: one clear error that names the file, in little time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES, SECONDS, MEMORY = 40, 10, 2 << 30  # a writer; for each file; beyond what the libraries took

BREAK = """
import json, resource, shutil, signal, sys, warnings
from pathlib import Path
import numpy as np

sys.path.insert(0, sys.argv[1])
from tests.storage import writers
from rad_fast.storage.readers import open_shards

warnings.simplefilter("ignore")
work, files, seconds, memory = Path(sys.argv[2]), *map(int, sys.argv[3:])


def broken(writer, whole):
    rng = np.random.default_rng(7)
    found = {"read": 0, "told": 0, "other": []}
    for number in range(files):
        path = whole.parent / str(number) / whole.name  # its own name: libraries remember files by it
        copy = shutil.copytree if whole.is_dir() else shutil.copy
        path.parent.mkdir()
        copy(whole, path)
        pieces = sorted(piece for piece in path.rglob("*") if piece.is_file()) if path.is_dir() else [path]
        piece = pieces[rng.integers(len(pieces))]
        data = bytearray(piece.read_bytes())
        if number % 5 == 0:
            data = data[: rng.integers(len(data))]
        else:
            for _ in range(3):  # mostly where headers are, at either end
                at = rng.integers(min(len(data), 400))
                at = at if rng.random() < 0.6 else len(data) - 1 - at if rng.random() < 0.7 else rng.integers(len(data))
                data[at] = rng.integers(256) if rng.random() < 0.5 else rng.choice([0, 255, 57])
        piece.write_bytes(data)
        signal.alarm(seconds)  # ends the process where nothing answers
        try:
            opened = open_shards([path])
            opened.read(0, min(opened.rows, 1000))
            found["read"] += 1
        except (ValueError, TypeError, OSError, MemoryError) as error:
            if str(path) in str(error):
                found["told"] += 1
            else:
                found["other"].append(f"{number}: {type(error).__name__}: {error}"[:300])
        except Exception as error:
            found["other"].append(f"{number}: {type(error).__name__}: {error}"[:300])
        signal.alarm(0)
    return found


written = {}
for writer in writers.WRITERS:
    (work / writer.__name__).mkdir()
    try:
        path = writer(work / writer.__name__ / "x", writers.LOGITS[:40])
    except BaseException as missing:  # pytest's own, where a library is not installed
        if type(missing).__name__ != "Skipped":
            raise
        continue
    opened = open_shards([path])
    opened.read(0, opened.rows)  # what its library needs is there
    written[writer] = path
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + memory, resource.RLIM_INFINITY))
for writer, path in written.items():
    print(writer.__name__, flush=True)
    print(json.dumps(broken(writer, path)), flush=True)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's record of a process's memory")
def test_broken_files_of_every_format_are_told_in_little_time_and_memory(tmp_path):
    command = [sys.executable, "-c", BREAK, ROOT, tmp_path, FILES, SECONDS, MEMORY]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, (done.stdout[-200:], done.stderr[-600:])
    lines = done.stdout.splitlines()
    for name, line in zip(lines[::2], lines[1::2], strict=True):
        found = json.loads(line)
        assert found["other"] == [], name
        assert found["told"] > 3, name
        assert found["read"] + found["told"] == FILES, name
    assert "write_npy" in lines
