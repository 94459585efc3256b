"""The first minutes on a GPU, rehearsed: the parts, their seconds, and what comes back."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from benchmarks.gpu import drill


def test_the_parts_fit_into_what_is_given(tmp_path: Path) -> None:
    planned = drill.parts("cuda", tmp_path)
    assert [part.name for part in planned] == list(drill.PARTS)
    batches = {part.together or part.name: part.least for part in planned}
    assert sum(batches.values()) + drill.BUILD <= drill.SECONDS <= 570
    assert [part.name for part in planned if part.together] == ["tests compiled", "tests Triton", "kernels"]
    assert all(part.least <= part.most for part in planned)


def test_nothing_is_written_but_where_one_says(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        drill.arguments().parse_args([])
    assert "--out" in capsys.readouterr().err


def test_the_memory_checker_follows_no_compiler(tmp_path: Path) -> None:
    planned = {part.name: list(part.command) for part in drill.parts("cuda", tmp_path)}
    for tool in ("memcheck", "racecheck"):
        assert planned[tool][planned[tool].index("--target-processes") + 1] == "application-only"
        assert planned[tool][planned[tool].index("--backend") + 1] == "cuda"
    assert all("-v" in planned[name] for name in ("tests compiled", "tests Triton", "kernels"))


def test_a_rehearsal_leaves_out_what_needs_a_device(tmp_path: Path) -> None:
    absent = {part.name for part in drill.parts("cpu", tmp_path) if part.absent}
    assert absent == {"memcheck", "racecheck", "counters"}


def test_the_checkout_is_no_place_to_import_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rad_fast has no kernels beside it; an installed one, or the one that was put together, has."""
    monkeypatch.setattr(sys, "path", ["", str(drill.ROOT), *sys.path])
    monkeypatch.chdir(drill.ROOT)
    assert drill.main(["--device", "cpu", "--out", str(tmp_path / "out"), "--only", "machine"]) == 0
    assert not {"", str(drill.ROOT)} & set(sys.path)
    assert Path(sys.path[0]).name == "tree"


def test_one_part_rehearsed_comes_back_in_few_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert drill.main(["--device", "cpu", "--out", str(tmp_path / "out"), "--only", "machine"]) == 0
    found = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert {"summary.txt", "drill.json", "gpu.json", "gpu.md", "logs.tgz"} <= set(found)
    assert len(found) <= drill.FILES
