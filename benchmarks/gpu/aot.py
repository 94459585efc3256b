"""Compiles kernels ahead of time, as the launcher would specialise them, and reads the machine code. Needs no GPU.

Run in a process of its own: a process that interprets Triton cannot compile it.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from benchmarks.gpu.sass import Kernel, read

TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"

POINTERS = {
    torch.float64: "*fp64",
    torch.float32: "*fp32",
    torch.float16: "*fp16",
    torch.bfloat16: "*bf16",
    torch.int32: "*i32",
    torch.int64: "*i64",
    torch.uint8: "*u8",
}


class Report(NamedTuple):
    registers: int
    stack: int  # bytes of local memory: arrays and spilled registers
    shared: int
    loads: dict[str, int]  # global loads by width in bits
    stores: dict[str, int]
    spills: int  # loads from and stores to local memory
    fused: int  # multiplications fused with an addition that the source does not ask for
    instructions: int


def source(kernel: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[ASTSource, dict[str, Any]]:
    """What a launch with these arguments compiles: pointers on 16 bytes, ints equal to 1 and None as constants, but
    where the kernel names a type."""
    names = kernel.arg_names
    constants: dict[str, Any] = {name: value for name, value in options.items() if name in names}
    signature: dict[str, str] = {}
    attributes: dict[tuple[int, ...], list[list[Any]]] = {}
    for at, (name, value) in enumerate(zip(names, arguments, strict=False)):
        plain = kernel.params[at].do_not_specialize
        if isinstance(value, torch.Tensor):
            signature[name] = POINTERS[value.dtype]
            attributes[(at,)] = [["tt.divisibility", 16]]
        elif value is None or value is True or (isinstance(value, int) and value == 1 and not plain):
            signature[name], constants[name] = "constexpr", value
        elif isinstance(value, int):
            fitting = "i32" if -(2**31) <= value < 2**31 else "i64"
            signature[name] = kernel.params[at].annotation_type or fitting
            if value % 16 == 0 and not plain:
                attributes[(at,)] = [["tt.divisibility", 16]]
        elif isinstance(value, float):
            signature[name] = "fp32"
        else:
            raise TypeError(f"{name}: no signature for {value!r}")
    for name in names:
        signature.setdefault(name, "constexpr")
    left = {name: value for name, value in options.items() if name not in names}
    return ASTSource(kernel, {name: signature[name] for name in names}, constants, attributes), left


def kernel(kernel: Any, arguments: tuple[Any, ...], options: dict[str, Any], capability: int) -> tuple[Kernel, int]:
    """The machine code, and the bytes of shared memory that a launch asks for."""
    result = built(kernel, arguments, options, capability)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(result.asm["cubin"])
        file.flush()
        (code,) = read(Path(file.name)).values()
    return code, result.metadata.shared


def built(kernel: Any, arguments: tuple[Any, ...], options: dict[str, Any], capability: int) -> Any:
    what, rest = source(kernel, arguments, options)
    return triton.compile(what, target=GPUTarget("cuda", capability, 32), options={"enable_fp_fusion": False, **rest})


def compiled(kernel: Any, arguments: tuple[Any, ...], options: dict[str, Any], capability: int) -> Report:
    result = built(kernel, arguments, options, capability)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(result.asm["cubin"])
        file.flush()
        usage = run("cuobjdump", "-res-usage", file.name)
        code = run("cuobjdump", "-sass", file.name)
    numbers = {key: int(value) for key, value in re.findall(r"(REG|STACK|SHARED|LOCAL):(\d+)", usage)}
    lines = [line for line in code.splitlines() if re.match(r"\s+/\*[0-9a-f]{4,}\*/", line)]
    return Report(
        numbers["REG"],
        numbers["STACK"] + numbers["LOCAL"],
        result.metadata.shared,
        widths(code, "LDG"),
        widths(code, "STG"),
        len(re.findall(r"\b(?:LDL|STL)\b", code)),
        len(re.findall(r"\bfma\.rn\.f64\b", result.asm["ptx"])),
        len(lines),
    )


def widths(code: str, instruction: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for modifiers in re.findall(rf"\b{instruction}\.([A-Z0-9.]+)", code):
        width = next((part for part in modifiers.split(".") if part in ("128", "64", "U8", "U16", "S8", "S16")), "32")
        found[width] = found.get(width, 0) + 1
    return found


def run(tool: str, *arguments: str) -> str:
    return subprocess.run([str(TOOLS / tool), *arguments], check=True, capture_output=True, text=True).stdout
