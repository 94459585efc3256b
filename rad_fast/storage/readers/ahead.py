"""Reading ahead: the next chunk is read in a thread while the last one is scored."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Plan = TypeVar("Plan")
Chunk = TypeVar("Chunk")

PAGE = 4096


def read_ahead(plans: Iterable[Plan], read: Callable[[Plan], Chunk]) -> Generator[tuple[Plan, Chunk], None, None]:
    """``(plan, read(plan))`` for every plan, in order, at most one read ahead of the one that is asked for.

    An error of ``read`` is raised where its chunk would come. Closing the generator ends the thread.
    """
    done: queue.SimpleQueue[tuple[Plan, Chunk] | BaseException | None] = queue.SimpleQueue()
    room = threading.Semaphore(1)  # a chunk is read when the one before it was taken
    stop = threading.Event()

    def work() -> None:
        try:
            for plan in plans:
                room.acquire()
                if stop.is_set():
                    return
                done.put((plan, read(plan)))
        except BaseException as error:  # noqa: BLE001 - raised again by whoever asks for the chunk
            done.put(error)
        else:
            done.put(None)

    thread = threading.Thread(target=work, name="rad_fast-read-ahead", daemon=True)
    thread.start()
    try:
        while (item := done.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            room.release()
            yield item
            del item
    finally:
        stop.set()
        room.release()
        thread.join()


def touched(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """The array, with its pages read: of a file that is mapped into memory this thread waits for the disk, no other."""
    if isinstance(array, np.memmap) and array.size and array.flags.c_contiguous:
        array.view(np.ndarray).reshape(-1).view(np.uint8)[::PAGE].max()
    return array
