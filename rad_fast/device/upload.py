"""Chunks on their way to a GPU: through pinned memory, on a stream of their own, while the last one is scored."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from rad_fast import inputs

from . import backends
from .arrays import Memory

Array = npt.NDArray[Any]


class Upload(Protocol):
    """``send`` is called where a chunk was read, ``received`` where it is scored."""

    def send(self, chunk: Array) -> Any: ...

    def received(self, sent: Any) -> Any: ...


def upload_for(backend: str) -> Upload | None:
    """How chunks get to the device that a backend serves; None for backends in host memory.

    Raises
    ------
    ValueError : the backend cannot be used here.
    """
    if backend not in inputs.ON_DEVICE:
        return None
    finding = next(found for found in backends.findings() if found.name == backend)
    if not finding.usable:
        raise inputs.unusable(backend, finding.why)
    try:
        torch: Any = importlib.import_module("torch")
    except ImportError:
        return Copied()
    return Pinned(torch) if torch.cuda.is_available() else Copied()


class Copied:
    """By a copy that the host waits for: what there is without torch."""

    def send(self, chunk: Array) -> Memory:
        bits, dtype = bits_of(chunk)
        return Memory.of(bits, dtype=dtype)

    def received(self, sent: Memory) -> Memory:
        return sent


class Sent(NamedTuple):
    """A chunk on the device once the event has come."""

    tensor: Any
    event: Any


class Pinned:
    """By torch: a chunk goes to pinned memory, and from there to the device while the host does something else.

    Two places in pinned memory suffice: while one is copied from, the next chunk is written to the other.
    """

    def __init__(self, torch: Any, device: Any = None, *, pin: bool = True) -> None:
        self.torch, self.pin = torch, pin
        self.device = torch.device("cuda", torch.cuda.current_device()) if device is None else device
        self.stream = torch.cuda.Stream(self.device)
        self.places: list[Any] = [None, None]
        self.events: list[Any] = [None, None]
        self.turn = 0

    def send(self, chunk: Array) -> Sent:
        torch, turn = self.torch, self.turn
        bits, dtype = bits_of(chunk)
        kind = getattr(torch, dtype)
        if self.events[turn] is not None:
            self.events[turn].synchronize()
        place = self.places[turn]
        if place is None or len(place) < bits.nbytes:
            place = self.places[turn] = torch.empty(bits.nbytes, dtype=torch.uint8, pin_memory=self.pin)
        np.copyto(place.numpy()[: bits.nbytes].view(bits.dtype).reshape(bits.shape), bits)
        staged = place[: bits.nbytes].view(kind).view(bits.shape)
        with torch.cuda.stream(self.stream):
            tensor = torch.empty(bits.shape, dtype=kind, device=self.device)
            tensor.copy_(staged, non_blocking=True)
            event = torch.cuda.Event()
            event.record(self.stream)
        self.events[turn], self.turn = event, 1 - turn
        return Sent(tensor, event)

    def received(self, sent: Sent) -> Any:
        stream = self.torch.cuda.current_stream(self.device)
        stream.wait_event(sent.event)
        sent.tensor.record_stream(stream)  # it was allocated on the other one, which would give it to the next chunk
        return sent.tensor


def bits_of(chunk: Array) -> tuple[Array, str]:
    """The chunk in this machine's byte order, bfloat16 as its bits, and what the numbers are called."""
    name = chunk.dtype.name
    bits = chunk.view(np.uint16) if name == "bfloat16" else backends.native(chunk)
    return bits, name
