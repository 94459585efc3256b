"""Device arrays of other libraries, in and out, without any of those libraries and without a GPU.

The emulator's device memory is host memory, so that NumPy can stand in for the other side of DLPack.
"""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from rad_fast.device import arrays, cuda
from rad_fast.device.arrays import Memory

pytestmark = pytest.mark.usefixtures("on_emulator")


class Exporter:
    """An array that says it lies in CUDA memory, and exports what NumPy exports."""

    def __init__(self, array: np.ndarray, index: int = 0) -> None:
        self.array, self.index = array, index

    def __dlpack_device__(self) -> tuple[int, int]:
        return arrays.CUDA, self.index

    def __dlpack__(self, *, stream: int) -> object:
        assert stream == arrays.LEGACY_STREAM
        return self.array.__dlpack__()


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int32", "uint8", "bool"])
def test_dlpack_in(dtype: str) -> None:
    array = np.arange(60).reshape(6, 10).astype(dtype)
    for view in (array, array[1::2, ::3], array.T, array[:, 3]):
        seen = arrays.described("logits", Exporter(view))
        assert (seen.address, seen.dtype, seen.shape) == (view.ctypes.data, dtype, view.shape)
        assert seen.strides == tuple(stride // array.itemsize for stride in view.strides)
        assert seen.contiguous == view.flags.c_contiguous
    with pytest.raises(TypeError, match="logits: expected numbers of 8 to 64 bits"):
        arrays.described("logits", Exporter(np.zeros(3, np.complex64)))


def test_dlpack_in_keeps_the_memory_as_long_as_it_is_needed() -> None:
    array = np.zeros(5)
    before = sys.getrefcount(array)
    seen = arrays.described("logits", Exporter(array))
    assert sys.getrefcount(array) > before
    del seen
    gc.collect()
    assert sys.getrefcount(array) == before


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int32", "uint8", "bool"])
def test_dlpack_out(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "CUDA", 1)  # kDLCPU: NumPy takes no other
    array = np.arange(12).reshape(3, 4).astype(dtype)
    memory = Memory.of(array)
    taken = np.from_dlpack(memory)
    np.testing.assert_array_equal(taken, array)
    assert taken.ctypes.data == memory.address
    address = memory.address
    del memory
    gc.collect()
    assert arrays.kernels().held() == 1
    np.testing.assert_array_equal(taken, array)
    assert taken.ctypes.data == address
    del taken
    gc.collect()
    assert arrays.kernels().held() == 0


def test_a_capsule_that_nobody_takes_lets_go() -> None:
    capsule = Memory.of(np.zeros(4)).__dlpack__()
    assert arrays.kernels().held() == 1
    del capsule
    gc.collect()
    assert arrays.kernels().held() == 0


@pytest.mark.parametrize("version", [None, (0, 8), (1, 1)])
def test_a_capsule_is_of_the_version_that_is_asked_for(version: tuple[int, int] | None) -> None:
    memory = Memory.of(np.zeros((3, 2), np.float32))
    capsule = memory.__dlpack__(max_version=version)
    assert ("dltensor_versioned" in repr(capsule)) == (version == (1, 1))
    address, dtype, shape, strides, kind, device, _ = arrays.kernels().of_capsule(capsule)
    assert (address, dtype, shape, strides, kind, device) == (memory.address, "float32", (3, 2), (2, 1), 2, 0)
    with pytest.raises(TypeError, match="capsule: expected one named dltensor"):
        arrays.kernels().of_capsule(object())
    with pytest.raises(ValueError, match="dtype: expected one that DLPack has"):
        arrays.kernels().capsule_of(memory, memory.address, "int3", (1,), 2, 0, False)


def test_a_tensor_is_seen_through_its_class_table() -> None:
    torch = pytest.importorskip("torch")
    table = getattr(torch.Tensor, "__dlpack_c_exchange_api__", None)
    if table is None:
        pytest.skip("this torch has no table of DLPack functions (2.10 has)")
    tensor = torch.arange(24, dtype=torch.bfloat16).reshape(4, 6)[1:, ::2]
    address, dtype, shape, strides, kind, _, stream = arrays.kernels().of_table(table, tensor)
    assert (address, dtype, shape, strides) == (tensor.data_ptr(), "bfloat16", (3, 3), (6, 2))
    assert (kind, stream) == (1, 0)  # on the CPU: no stream
    assert arrays.kernels().of_table(table, torch.zeros(2, dtype=torch.complex64))[1] == "5/64"


def test_bfloat16_goes_through_dlpack() -> None:
    memory = Memory.of(np.array([0x3F80, 0x4000], np.uint16), dtype="bfloat16")
    foreign = type("Foreign", (), {
        "__dlpack__": lambda self, stream: memory.__dlpack__(stream=stream),
        "__dlpack_device__": lambda self: memory.__dlpack_device__(),
    })  # fmt: skip
    assert arrays.described("logits", foreign()).dtype == "bfloat16"
    with pytest.raises(AttributeError, match="no bfloat16"):
        memory.__cuda_array_interface__  # noqa: B018


def interface(array: np.ndarray, **changes: object) -> SimpleNamespace:
    given = {"shape": array.shape, "typestr": array.dtype.str, "data": (array.ctypes.data, True), "version": 3}
    return SimpleNamespace(__cuda_array_interface__={**given, **changes})


def test_cuda_array_interface_in() -> None:
    array = np.arange(20, dtype=np.float32).reshape(4, 5)
    seen = arrays.described("logits", interface(array))
    assert (seen.address, seen.dtype, seen.shape, seen.strides) == (array.ctypes.data, "float32", (4, 5), (5, 1))
    assert seen.stream == arrays.LEGACY_STREAM
    assert arrays.described("logits", interface(array, strides=None, stream=2)).stream == 2
    assert arrays.described("logits", interface(array.T, strides=array.T.strides)).strides == (1, 5)
    with pytest.raises(TypeError, match="logits: expected a plain array, got one with a mask"):
        arrays.described("logits", interface(array, mask=object()))
    with pytest.raises(TypeError, match="byte order"):
        arrays.described("logits", interface(array, typestr=">f4"))
    with pytest.raises(ValueError, match="strides of whole elements"):
        arrays.described("logits", interface(array, strides=(20, 3)))


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "i4", "i2", "u8", "u1", "b1", "c8", "V2"])
def test_the_interface_has_every_dtype_of_numpy(dtype: str) -> None:
    array = np.zeros((3, 2), dtype)
    seen = arrays.described("logits", interface(array))
    assert (seen.dtype, seen.shape, seen.strides) == (array.dtype.name, (3, 2), (2, 1))


def test_the_interface_is_read_as_its_versions_have_it() -> None:
    array = np.zeros((4, 5), np.float32)
    for version in (0, 1, 2, 3, np.int64(3), None):
        assert arrays.described("logits", interface(array, version=version)).shape == (4, 5)
    numbers = interface(
        array, shape=[np.int64(4), 5], strides=[20, np.int32(4)], data=(np.uint64(array.ctypes.data), 0)
    )
    seen = arrays.described("logits", numbers)
    assert (seen.address, seen.shape, seen.strides, seen.read_only) == (array.ctypes.data, (4, 5), (5, 1), False)
    assert arrays.described("logits", interface(array)).read_only
    assert arrays.described("logits", interface(array[::-1], strides=array[::-1].strides)).strides == (-5, 1)
    nothing = arrays.described("logits", interface(array, shape=(0, 5), data=(0, False)))
    assert (nothing.address, nothing.device, nothing.shape) == (0, 0, (0, 5))
    handle = 0x7F00_1234_5678_9ABC
    assert arrays.described("logits", interface(array, stream=handle)).stream == handle


@pytest.mark.parametrize(("changes", "error", "message"), [
    ({"version": 4}, ValueError, "expected version 0 to 3 of the CUDA array interface, got 4"),
    ({"version": -1}, ValueError, "version 0 to 3"),
    ({"version": "3"}, ValueError, "version 0 to 3"),
    ({"stream": 0}, ValueError, r"expected None, 1 .*, 2 .* or a handle as stream.*, got 0; 0 could be either default"),
    ({"stream": -2}, ValueError, "or a handle as stream"),
    ({"stream": 1.0}, ValueError, "or a handle as stream"),
    ({"shape": None}, ValueError, "expected a tuple of lengths as shape"),
    ({"shape": (4, -5)}, ValueError, r"tuple of lengths as shape.*got \(4, -5\)"),
    ({"shape": (4, 5.0)}, ValueError, "tuple of lengths as shape"),
    ({"shape": (4, 2**70)}, ValueError, "tuple of lengths as shape"),
    ({"shape": 4}, ValueError, "tuple of lengths as shape"),
    ({"strides": (4,)}, ValueError, r"strides of whole elements, one for each of 2 dimensions, got \(4,\) bytes"),
    ({"strides": 4}, ValueError, "strides of whole elements"),
    ({"strides": (20.0, 4)}, ValueError, "strides of whole elements"),
    ({"data": None}, ValueError, "expected \\(address, whether it is read-only\\) as data"),
    ({"data": (0, False)}, ValueError, "as data in its CUDA array interface, got \\(0, False\\)"),
    ({"data": (-8, False)}, ValueError, "as data"),
    ({"data": (8,)}, ValueError, "as data"),
    ({"typestr": None}, TypeError, "expected a typestr"),
    ({"typestr": np.float32}, TypeError, "expected a typestr"),
    ({"typestr": "<f3"}, TypeError, "not understood"),
])  # fmt: skip
def test_what_an_interface_cannot_mean_is_refused(changes: dict[str, object], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        arrays.described("logits", interface(np.zeros((4, 5), np.float32), **changes))


def test_nothing_is_written_to_a_read_only_array() -> None:
    z = np.random.default_rng(0).normal(size=(20, 7)).astype(np.float32)
    names = {"gain": np.float32, "correctness": np.float32, "label": np.int32}
    made = {name: np.zeros(20, dtype) for name, dtype in names.items()}
    status = cuda.new_account(arrays.described("logits", Memory.of(z)))
    for wrong in names:
        given = {name: interface(array, data=(array.ctypes.data, name == wrong)) for name, array in made.items()}
        with pytest.raises(ValueError, match=f"out.{wrong}: expected an array that can be written to"):
            cuda.appraise(Memory.of(z), out=cuda.Points(**given, other=None, status=status))
        assert not made["gain"].any()
    given = {name: interface(array, data=(array.ctypes.data, False)) for name, array in made.items()}
    cuda.appraise(Memory.of(z), out=cuda.Points(**given, other=None, status=status))
    np.testing.assert_array_equal(made["label"], z.argmax(axis=1))


def test_cuda_array_interface_out() -> None:
    memory = Memory((3, 2), "int32")
    assert memory.__cuda_array_interface__ == {
        "shape": (3, 2), "typestr": "<i4", "data": (memory.address, False), "strides": None, "stream": 1, "version": 3,
    }  # fmt: skip
    assert memory.address % 256 == 0


def test_what_is_no_cuda_array_is_refused() -> None:
    torch = pytest.importorskip("torch")
    assert not arrays.is_cuda(np.zeros(3))
    assert not arrays.is_cuda(torch.zeros(3))
    assert not arrays.is_cuda([1.0])
    with pytest.raises(TypeError, match="logits: expected an array in CUDA memory, got list"):
        cuda.score([[1.0, 2.0]])
    with pytest.raises(TypeError, match="logits: expected a tensor in CUDA memory, got one on cpu"):
        cuda.score(torch.zeros(3, 3))
    with pytest.raises(TypeError, match="logits: expected float64, float32, float16 or bfloat16, got int32"):
        cuda.score(Memory.of(np.zeros((3, 3), np.int32)))
    with pytest.raises(ValueError, match=r"logits: expected an array of shape \(points, classes\), got shape \(3,\)"):
        cuda.score(Memory.of(np.zeros(3, np.float32)))
    with pytest.raises(ValueError, match="correctness: expected float32 of shape"):
        cuda.appraise(
            Memory.of(np.zeros((3, 3), np.float32)),
            rule=cuda.Rule(cuda.Kind.GIVEN),
            given=Memory.of(np.zeros(4, np.float32)),
        )


def test_a_foreign_array_is_scored() -> None:
    z = np.random.default_rng(0).normal(size=(20, 7)).astype(np.float32)
    expected = cuda.score(Memory.of(z)).margin.bytes()
    assert cuda.score(Exporter(z)).margin.bytes() == expected
    assert cuda.score(interface(z)).margin.bytes() == expected


def test_torch_is_not_imported(tmp_path: Path) -> None:
    code = "import sys, rad_fast.device.cuda as _; "
    code += "sys.exit(any(name in sys.modules for name in ('torch', 'cupy', 'jax', 'numba')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0
