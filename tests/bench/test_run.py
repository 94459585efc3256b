"""rad-fast bench from the command line, on tiny inputs: what it says, what it writes, what it does without."""

import json

import pytest

from rad_fast import cli
from rad_fast.bench import cpu, peers, roofline, run

TINY = run.Size(8000, 8000, (2, 10), ("float32", "bfloat16"), (1000,), (1000,), (10,), 3, 1, flushed=0)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Tiny inputs, no GPU, and a torch.compile that fails as it does where there is no compiler."""

    def compiled(work):
        def call(*_):
            raise RuntimeError("no C++ compiler\nfound on this machine")

        return call

    monkeypatch.setattr(run, "QUICK", TINY)
    monkeypatch.setattr(run, "gpu", dict)
    monkeypatch.setattr(peers, "compiled", compiled)


def bench(capsys, *arguments):
    status = cli.main(["bench", "--quick", *map(str, arguments)])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_tables_record_and_figure(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    out = tmp_path / "new" / "directory"
    status, said, progress = bench(capsys, "--out", out)
    assert status == 0
    assert said.index("Scoring, CPU") < said.index("select, from the logits") < said.index("Times and bandwidths")
    assert sorted(path.name for path in out.iterdir()) == ["bench.json", "bench.png"]
    assert (out / "bench.png").read_bytes().startswith(b"\x89PNG")
    names = [case["name"] for case in json.loads((out / "bench.json").read_text())["cases"]]
    assert progress.splitlines() == names
    assert len(names) == 1 + 4 + 1
    assert f"figure: {out / 'bench.png'}" in said


def test_the_record_holds_every_turn(tmp_path, capsys):
    bench(capsys, "--out", tmp_path)
    found = json.loads((tmp_path / "bench.json").read_text())
    assert found["machine"]["threads"] >= 1
    for case in found["cases"]:
        assert len(case["seconds"]["rad_fast"]) == TINY.rounds
        assert set(case["traffic"]) == set(case["seconds"])
        assert cpu.SCORED not in case["seconds"]


def test_what_fails_is_left_out_and_said_once(tmp_path, capsys):
    pytest.importorskip("torch")
    _, said, _ = bench(capsys, "--out", tmp_path)
    (line,) = [line for line in said.splitlines() if line.startswith("left out")]
    assert line.startswith("left out: torch compiled in ")
    assert line.endswith("and 5 more: RuntimeError: no C++ compiler")
    assert "x torch eager" in said
    assert "x torch compiled" not in said


def test_a_case_that_cannot_be_made_is_left_out_and_said(tmp_path, capsys, monkeypatch):
    def game(points):
        raise MemoryError("no room")

    monkeypatch.setattr(cpu, "game", game)
    monkeypatch.setattr(game, "__module__", "rad_fast.bench.cpu")
    status, said, _ = bench(capsys, "--out", tmp_path)
    assert status == 0
    assert "left out: cpu.game(1000,): MemoryError: no room" in said
    assert "Scoring, CPU" in said


def test_without_torch_a_line_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(peers, "torch", lambda: None)
    status, said, _ = bench(capsys, "--out", tmp_path)
    assert status == 0
    assert "torch is not installed" in said
    assert "x torch" not in said


def test_without_matplotlib_a_line_says_so(tmp_path, capsys, monkeypatch):
    def figure(record):
        raise ImportError("no matplotlib")

    monkeypatch.setattr(roofline, "figure", figure)
    status, said, _ = bench(capsys, "--out", tmp_path)
    assert status == 0
    assert 'no figure: matplotlib is not installed; pip install "rad_fast[report]"' in said
    assert [path.name for path in tmp_path.iterdir()] == ["bench.json"]


def test_against_an_earlier_run(tmp_path, capsys):
    bench(capsys, "--out", tmp_path)
    path = tmp_path / "bench.json"
    status, said, _ = bench(capsys, "--out", tmp_path, "--against", path)  # which it then writes anew
    assert status == 0
    compared = said[said.index(f"Against {path}") :]
    assert "not the same machine" not in compared
    assert "scoring, 10 classes, bfloat16" in compared
    changed = json.loads(path.read_text())
    changed["machine"]["threads"] = 1000
    (tmp_path / "other.json").write_text(json.dumps(changed))
    _, said, _ = bench(capsys, "--out", tmp_path, "--against", tmp_path / "other.json")
    assert "not the same machine or software: threads" in said


@pytest.mark.parametrize("content", ["", "{}", "[1, 2]", '{"format": "rad_fast bench", "version": 1}'])
def test_a_broken_earlier_run_is_refused_before_anything_is_measured(tmp_path, capsys, monkeypatch, content):
    monkeypatch.setattr(run, "collect", lambda *_: pytest.fail("measured"))
    path = tmp_path / "earlier.json"
    path.write_text(content)
    status, said, error = bench(capsys, "--out", tmp_path / "new", "--against", path)
    assert status == 1
    assert said == ""
    assert error.startswith(f"rad-fast: {path}: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_an_earlier_run_that_is_not_there_is_refused(tmp_path, capsys):
    status, _, error = bench(capsys, "--out", tmp_path, "--against", tmp_path / "none.json")
    assert (status, error) == (1, f"rad-fast: {tmp_path / 'none.json'}: No such file or directory\n")


def test_a_place_that_cannot_be_written_to_is_refused_before_anything_is_measured(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(run, "collect", lambda *_: pytest.fail("measured"))
    (tmp_path / "bench.json").mkdir()
    status, _, error = bench(capsys, "--out", tmp_path)
    assert status == 1
    assert "expected a place for a file, got a directory" in error


def test_the_plan_of_a_machine_with_a_gpu(monkeypatch):
    """What would be measured there; making a case needs the GPU, planning it does not."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(run, "gpu", lambda: {"GPU": "a GPU"})
    monkeypatch.setattr(run.cuda, "clock", lambda: run.wall)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (0, 24 * 5000))
    calls = [run.called(make) for _, make in run.planned(TINY)]
    assert "cuda.bandwidth(5000,)" in calls
    assert "cuda.scoring(10, 'bfloat16', 5000)" in calls
    assert "cuda.game(1000,)" in calls
    assert "cuda.whole(10, 'float32', 5000)" in calls
    assert calls[-1] == "cuda.small_call()"


def test_both_sizes_cover_the_range_of_classes():
    assert set(run.QUICK.dtypes) <= set(run.FULL.dtypes) == set(cpu.DTYPES)
    assert run.FULL.classes == cpu.CLASSES
