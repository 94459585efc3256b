"""Kernels counted from their machine code: how a path is found, what the model makes of it, and the bounds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.gpu import counted, sass
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
    page = (Path(counted.ROOT) / "benchmarks" / "FACTS.md").read_text(encoding="utf-8")
    assert counted.HEAD in page
    assert all(f"| {gpu.name} |" in page for gpu in GPUS)
