"""Kernels counted from their machine code: how a path is found, what the model makes of it, and the bounds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.gpu import compiled, counted, sass, whole
from benchmarks.gpu.model import GPUS, Cost, resident
from benchmarks.gpu.sass import Instruction

from ...cuda import wheel

# Two loads and a loop of three instructions around two ways, one of which an atomic makes rare; then a store.
CODE = [
    Instruction(0x00, "", "LDG.E.128", "R0, [R2.64]"),
    Instruction(0x10, "", "MOV", "R4, RZ"),
    Instruction(0x20, "@P0", "BRA", "0x50"),
    Instruction(0x30, "", "RED.E.ADD", "[R2.64], R4"),
    Instruction(0x40, "", "MUFU.EX2", "R5, R5"),
    Instruction(0x50, "", "IADD3", "R4, R4, 0x1, RZ"),
    Instruction(0x60, "@!P1", "BRA", "0x20"),
    Instruction(0x70, "", "STG.E", "[R2.64], R4"),
    Instruction(0x80, "", "EXIT", ""),
]


def test_the_usual_path_leaves_out_what_is_rare_and_counts_loops_apart() -> None:
    tree = sass.tree(CODE, sass.WORK, sass.RARE)
    assert dict(tree.path.opcodes) == {"LDG.E.128": 1, "MOV": 1, "STG.E": 1, "EXIT": 1}
    (loop,) = tree.inner
    assert dict(loop.path.opcodes) == {"BRA": 2, "IADD3": 1}
    assert tree.with_stores(1).opcodes == tree.path.opcodes
    assert not tree.with_stores(3).opcodes


@pytest.mark.parametrize(
    ("opcode", "unit"),
    [
        ("FMNMX", "alu"), ("FFMA", "fma"), ("IMAD.WIDE", "imad"), ("IMAD.MOV.U32", "fma"), ("MUFU.EX2", "xu"),
        ("SHFL.BFLY", "lsu"), ("LDS.U16", "lsu"), ("DFMA", "fp64"), ("HMNMX2.BF16_V2", "alu"), ("BRA", "control"),
    ],
)  # fmt: skip
def test_the_unit_of_an_instruction(opcode: str, unit: str) -> None:
    assert sass.unit(opcode) == unit


def test_the_model_is_bound_by_the_busiest_unit() -> None:
    cost = Cost({"alu": 8.0, "fma": 1.0, "xu": 1.0}, 100.0)
    assert cost.clocks() == ("alu", 4.0)
    h200 = next(gpu for gpu in GPUS if gpu.name == "H200")
    assert cost.share(h200) == pytest.approx(min(0.92, 0.87 * 100 / h200.bytes_a_clock / 4.0))
    assert Cost({"alu": 80.0}, 100.0).share(h200) == pytest.approx(0.087 * 100 / h200.bytes_a_clock / 4.0)


def test_blocks_that_fit_a_multiprocessor() -> None:
    assert resident(64, 256, 0) == 4
    assert resident(128, 256, 0) == 2
    assert resident(32, 128, 100 << 10) == 2


def test_a_whole_selection_is_its_scores_and_the_compiled_game() -> None:
    light, heavy = Cost({"alu": 0.1}, 52.0), Cost({"alu": 100.0}, 52.0)

    def line(backend: str, what: str, cost: Cost) -> counted.Row:
        return counted.Row(backend, what, "kernel", 32, 0, 1.0, cost)

    rows = [
        line("cuda", "10 float32", heavy),
        line("triton", "10 float32", light),
        line("cuda", "20 float32", light),
        line("triton", "20 float32", light),
        line("cuda", "reduce_points", light),
    ]
    table = whole.table(rows, lambda gpu, points: {"passes": 1e-3, "sample": points * 1e-11}, 12).splitlines()
    assert table[0].startswith("| classes, dtype | points | cuda, H100 | triton+cuda, H100 | cuda, H200 |")
    mixed, same = (line.split(" | ")[1:] for line in table[2:])
    slow, fast = (1e3 * cost.seconds(GPUS[0], 1e8) + 2.0 for cost in (heavy, light))
    assert mixed[:3] == ["100,000,000", f"{slow:.2f}", f"**{fast:.2f}**"]
    assert same[1:3] == [f"{fast:.2f}"] * 2
    assert "Triton's kernels were not counted" in whole.table(rows[:1], lambda *_: {}, 12)


@pytest.mark.slow  # where it is the first that wants the CUDA build
def test_no_kernel_has_more_instructions_than_it_may(capsys: pytest.CaptureFixture[str]) -> None:
    if sass.tools() is None:
        pytest.skip("no cuobjdump: nothing can be counted")
    assert counted.main(["--check", "--objects", str(wheel.built().objects)]) == 0, capsys.readouterr().out
    assert "within their bounds" in capsys.readouterr().out


def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert counted.main([]) == 1
    assert "no nvcc on the path" in capsys.readouterr().err


def test_the_facts_page_has_the_counted_table() -> None:
    page = (Path(compiled.ROOT) / "benchmarks" / "FACTS.md").read_text(encoding="utf-8")
    assert counted.HEAD in page
    assert all(f"| {gpu.name} |" in page for gpu in GPUS)
