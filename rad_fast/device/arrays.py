"""Arrays in CUDA memory of any library: torch, CuPy, JAX, numba, whatever has DLPack or the CUDA array interface.

``described`` says where an array lies and on which stream its library works; ``empty_like`` makes a new one in the
same library, or, where that has none to write to (JAX), in memory of our own, which any library takes over DLPack.
Nothing is imported that the caller has not imported; torch is not needed. Addresses go to ``rad_fast._cuda``.
"""

from __future__ import annotations

import importlib
import math
import sys
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rad_fast import inputs
from rad_fast.inputs.arrays import CUDA, is_cuda

Address = int

KINDS = {"float64": 0, "float32": 1, "float16": 2, "bfloat16": 3}  # as rad_fast._cuda numbers them
BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "uint8": 1, "bool": 1}
LEGACY_STREAM = 1  # the default stream, by the number that DLPack and the CUDA array interface give it
MODULE: list[Any] = []  # rad_fast._cuda, once imported


def kernels() -> Any:
    """The compiled extension; ImportError where it was not built."""
    if not MODULE:
        MODULE.append(importlib.import_module("rad_fast._cuda"))
    return MODULE[0]


class CudaArray(NamedTuple):
    """Where an array lies: strides in elements, a stream as CUDA's handle; ``owner`` keeps the memory alive."""

    address: Address
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    device: int
    stream: int
    owner: Any
    read_only: bool = False

    def __dlpack_device__(self) -> tuple[int, int]:
        return CUDA, self.device

    @property
    def contiguous(self) -> bool:
        return self.strides == strides_of(self.shape) or 0 in self.shape


def strides_of(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of a C-contiguous array, in elements."""
    if len(shape) == 1:  # one and two dimensions at once: a selection of few points spends its time here
        return (1,)
    if len(shape) == 2:
        return shape[1], 1
    return tuple(math.prod(shape[k + 1 :]) for k in range(len(shape)))


def described(name: str, value: Any) -> CudaArray:
    """Where an array lies. TypeError, naming the argument, for anything that is not an array in CUDA memory."""
    if isinstance(value, CudaArray):
        return value
    if isinstance(value, Memory):
        return CudaArray(
            value.address, value.dtype, value.shape, strides_of(value.shape), value.device, value.stream, value
        )
    torch, cupy = sys.modules.get("torch"), sys.modules.get("cupy")
    if torch is not None and isinstance(value, torch.Tensor):
        return of_torch(name, value.detach(), torch)
    if cupy is not None and isinstance(value, cupy.ndarray):
        strides = tuple(stride // value.itemsize for stride in value.strides)
        stream = cupy.cuda.get_current_stream(value.device.id).ptr
        return CudaArray(value.data.ptr, value.dtype.name, value.shape, strides, value.device.id, stream, value)
    if not hasattr(value, "__dlpack_device__"):
        interface = getattr(value, "__cuda_array_interface__", None)  # made anew at every look
        if interface is not None:
            return of_interface(name, value, interface)
    if not is_cuda(value):
        raise TypeError(f"{name}: expected an array in CUDA memory, got {type(value).__name__}")
    if hasattr(value, "__dlpack__") and hasattr(value, "__dlpack_device__"):
        try:
            return of_dlpack(name, value)
        except (BufferError, NotImplementedError):
            if not hasattr(value, "__cuda_array_interface__"):
                raise
    return of_interface(name, value, value.__cuda_array_interface__)


def of_torch(name: str, tensor: Any, torch: Any) -> CudaArray:
    if not tensor.is_cuda:
        raise TypeError(f"{name}: expected a tensor in CUDA memory, got one on {tensor.device}")
    if tensor.layout is not torch.strided:
        raise TypeError(f"{name}: expected a dense tensor, got layout {tensor.layout}; call .to_dense()")
    if tensor.is_conj() or tensor.is_neg():
        tensor = tensor.resolve_conj().resolve_neg()
    table = getattr(type(tensor), "__dlpack_c_exchange_api__", None)
    if table is not None:
        address, dtype, shape, strides, _, device, stream = kernels().of_table(table, tensor)
        if "/" not in dtype:
            return CudaArray(address, dtype, shape, strides or strides_of(shape), device, stream, tensor)
    device = tensor.device.index
    stream = torch.cuda.current_stream(device).cuda_stream
    dtype = str(tensor.dtype).removeprefix("torch.")
    return CudaArray(tensor.data_ptr(), dtype, tuple(tensor.shape), tensor.stride(), device, stream, tensor)


def of_interface(name: str, value: Any, interface: dict[str, Any]) -> CudaArray:
    """The CUDA array interface; it names no device, so that CUDA is asked whose the address is."""
    found = kernels().of_interface(interface)
    if isinstance(found, str):
        raise inputs.unreadable(name, found, interface)
    address, dtype, shape, strides, _, device, stream, read_only = found
    return CudaArray(address, dtype, shape, strides or strides_of(shape), device, stream, value, read_only)


# --------------------------------------------------------------------------------------------------------------- DLPack


def of_dlpack(name: str, value: Any) -> CudaArray:
    """An array seen through DLPack, ready for work on the default stream.

    The capsule is not consumed but kept: as long as it lives the producer keeps the memory, and frees what belongs to
    the capsule when it goes.
    """
    capsule = value.__dlpack__(stream=LEGACY_STREAM)
    address, dtype, shape, strides, _, device, _ = kernels().of_capsule(capsule)
    return CudaArray(
        address, known(name, dtype), shape, strides or strides_of(shape), device, LEGACY_STREAM, (value, capsule)
    )


def known(name: str, dtype: str) -> str:
    """The dtype; TypeError for one that DLPack has and rad_fast has no use for."""
    code, slash, bits = dtype.partition("/")
    if slash:
        raise TypeError(f"{name}: expected numbers of 8 to 64 bits, got DLPack type {code} of {bits} bits")
    return dtype


# ---------------------------------------------------------------------------------------------------- memory of our own


class Memory:
    """An array in CUDA memory that belongs to rad_fast; libraries take it over DLPack or the CUDA array interface."""

    whole: Memory | None = None  # of which this is a part

    def __init__(self, shape: tuple[int, ...], dtype: str, device: int = 0, stream: int = LEGACY_STREAM) -> None:
        self.shape, self.dtype, self.device, self.stream = shape, dtype, device, stream
        self.nbytes = math.prod(shape) * BYTES[dtype]
        self.address: Address = 0
        self.kernels = kernels()  # those that allocate are those that release
        self.address = self.kernels.allocate(max(self.nbytes, 1), device, stream)

    @classmethod
    def of(cls, array: npt.NDArray[Any], device: int = 0, stream: int = LEGACY_STREAM, dtype: str = "") -> Memory:
        """A copy of a host array; ``dtype``: what its bits mean, where NumPy has no name for it."""
        array = np.ascontiguousarray(array)
        memory = cls(array.shape, dtype or array.dtype.name, device, stream)
        kernels().copy_in(memory.address, array.view(np.uint8).reshape(-1), device, stream)
        return memory

    def part(self, begin: int, length: int, dtype: str) -> Memory:
        """Some of its bytes, ``begin`` and on, as an array of their own."""
        part = object.__new__(Memory)
        part.shape, part.dtype, part.device, part.stream = (length,), dtype, self.device, self.stream
        part.nbytes, part.address, part.whole = length * BYTES[dtype], self.address + begin, self
        return part

    def __del__(self) -> None:
        if self.address and self.whole is None and not sys.is_finalizing():
            self.kernels.release(self.address, self.device, self.stream)

    def __len__(self) -> int:
        return self.shape[0]

    def bytes(self) -> bytes:
        """Its bytes on the host. Waits for the device."""
        out: bytes = kernels().copy_out(self.address, self.nbytes, self.device, self.stream)
        return out

    def numpy(self) -> npt.NDArray[Any]:
        """A copy on the host, uint16 where the dtype is bfloat16. Waits for the device."""
        dtype = np.uint16 if self.dtype == "bfloat16" else np.dtype(self.dtype)
        return np.frombuffer(bytearray(self.bytes()), dtype).reshape(self.shape)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        if self.dtype == "bfloat16":
            raise AttributeError("the CUDA array interface has no bfloat16; DLPack has")
        return {
            "shape": self.shape,
            "typestr": np.dtype(self.dtype).str,
            "data": (self.address, False),
            "strides": None,
            "stream": self.stream,
            "version": 3,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        return CUDA, self.device

    def __dlpack__(self, *, stream: int | None = None, max_version: tuple[int, int] | None = None, **_: Any) -> Any:
        """A DLPack capsule; work on the consumer's stream comes after what is queued on ours."""
        if stream != -1:
            kernels().follow(LEGACY_STREAM if stream is None else stream, self.stream, self.device)
        versioned = max_version is not None and max_version[0] >= 1
        return kernels().capsule_of(self, self.address, self.dtype, self.shape, CUDA, self.device, versioned)


def empty_like(like: CudaArray, shape: tuple[int, ...], dtype: str) -> Any:
    """A new array on the device of ``like``, of its library where that gives out memory to write to."""
    if isinstance(like.owner, Memory):
        return Memory(shape, dtype, like.device, like.stream)
    torch, cupy = sys.modules.get("torch"), sys.modules.get("cupy")
    if torch is not None and isinstance(like.owner, torch.Tensor):
        return torch.empty(shape, dtype=getattr(torch, dtype), device=like.owner.device)
    if cupy is not None and isinstance(like.owner, cupy.ndarray):
        with cupy.cuda.Device(like.device):
            return cupy.empty(shape, dtype=dtype)
    return Memory(shape, dtype, like.device, like.stream)


def new_vector(like: CudaArray, length: int, dtype: str) -> CudaArray:
    """A new array as ``empty_like`` makes it, and where it lies."""
    owner = empty_like(like, (length,), dtype)
    return CudaArray(address_in(owner), dtype, (length,), (1,), like.device, like.stream, owner)


def address_in(new: Any) -> Address:
    """Where an array of ``empty_like`` begins."""
    if isinstance(new, Memory):
        return new.address
    at: Address = new.data_ptr() if hasattr(new, "data_ptr") else new.data.ptr
    return at


def copied_like(like: CudaArray, array: npt.NDArray[Any]) -> Any:
    """A copy of a host array on the device of ``like``, of its library where that gives out memory to write to."""
    array = np.ascontiguousarray(array)
    new = empty_like(like, array.shape, array.dtype.name)
    at = new.address if isinstance(new, Memory) else described("new", new).address
    kernels().copy_in(at, array.view(np.uint8).reshape(-1), like.device, like.stream)
    return new


def on_host(array: CudaArray) -> npt.NDArray[Any]:
    """A copy in host memory, uint16 where the dtype is bfloat16. Waits for the device.

    Of an array with gaps all that lies between its ends is copied.
    """
    size = BYTES[array.dtype]
    dtype = np.dtype(np.uint16 if array.dtype == "bfloat16" else array.dtype)
    if math.prod(array.shape) == 0:
        return np.empty(array.shape, dtype)
    ends = [(length - 1) * stride for length, stride in zip(array.shape, array.strides, strict=True)]
    low, high = sum(min(end, 0) for end in ends), sum(max(end, 0) for end in ends)
    between = kernels().copy_out(array.address + low * size, (high - low + 1) * size, array.device, array.stream)
    whole = np.frombuffer(between, dtype)
    strides = tuple(stride * size for stride in array.strides)
    return np.lib.stride_tricks.as_strided(whole[-low:], array.shape, strides).copy()


class Room(NamedTuple):
    """Scratch memory, or a few numbers on the device."""

    address: Address
    nbytes: int
    device: int
    stream: int
    owner: Any

    def bytes(self) -> bytes:
        """What it holds, on the host. Waits for the device: for its own stream and for the one current in its library.

        They differ where a CUDA graph was captured on one stream and is replayed on another.
        """
        now = self.owner.stream if isinstance(self.owner, Memory) else described("room", self.owner).stream
        if (now or LEGACY_STREAM) != (self.stream or LEGACY_STREAM):  # 0 in CUDA's own numbers
            kernels().follow(now, self.stream, self.device)
        out: bytes = kernels().copy_out(self.address, self.nbytes, self.device, now)
        return out


def room_like(like: CudaArray, nbytes: int) -> Room:
    """Memory from the allocator of the array's library: torch's and CuPy's keep what they were given back."""
    memory = new_vector(like, max(nbytes, 1), "uint8")
    return Room(memory.address, nbytes, like.device, like.stream, memory.owner)


def part_of(memory: Any, begin: int, length: int, dtype: str) -> Any:
    """Some bytes of what ``empty_like`` made, as an array of their own, of the same library."""
    if isinstance(memory, Memory):
        return memory.part(begin, length, dtype)
    library: Any = sys.modules[type(memory).__module__.partition(".")[0]]
    return memory[begin : begin + length * BYTES[dtype]].view(getattr(library, dtype))


def library_of(like: CudaArray) -> str:
    """The name of the library that an array came from; empty where it is memory of ours."""
    owner = like.owner[0] if isinstance(like.owner, tuple) else like.owner
    return "" if isinstance(owner, Memory) else type(owner).__module__.partition(".")[0]


def handed_back(like: CudaArray, array: Any) -> Any:
    """An array in the library of ``like``."""
    return in_library(library_of(like), array) if isinstance(array, Memory) else array


def in_library(library: str, array: Any) -> Any:
    """An array of ours in a library: JAX and numba take it without a copy; others, and arrays of others, as it is."""
    if not isinstance(array, Memory):
        return array
    if library in ("jax", "jaxlib"):
        return sys.modules["jax"].dlpack.from_dlpack(array)
    if library == "numba":
        return sys.modules["numba"].cuda.as_cuda_array(array)
    return array
