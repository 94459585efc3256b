"""The CUDA kernels of rad_fast, on raw addresses in device memory; use the package's functions instead.

Work is queued on `stream` (a cudaStream_t as an int) of `device`; only copy_out waits. 0 stands for no address.
ValueError names the argument, what was expected and what came; RuntimeError is CUDA's, "no CUDA device" among them.
"""

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

architectures: str
findings_bytes: int
sums_bytes: int
solution_bytes: int
drawn_bytes: int

_Logits = tuple[int, int, int, int, int]  # address, dtype, classes, row stride, column stride, in elements
_Count = tuple[int, int]  # how many, and the first or -1
_Rule = tuple[
    int, float, int, int, int, int, tuple[float, float, float, float], tuple[float, float], int, int, tuple[float, ...]
]  # kind, constant, given, thresholds, levels, steps, weights, bounds, gain, gains, (weight, neighbours) of agreement

def score(
    logits: _Logits,
    rows: int,
    first_row: int,
    given: int,
    margin: int,
    confidence: int,
    label: int,
    probability: int,
    findings: int,
    device: int,
    stream: int,
) -> None:
    """Margin, confidence, label (and the given labels' probability) of every row.

    dtype: 0 float64, 1 float32, 2 float16, 3 bfloat16. given (int32) and probability (float32) are both addresses or
    both 0. Invalid rows get NaN and label -1, and are counted in `findings`.
    """

def appraise(
    teacher: _Logits,
    student: _Logits | None,
    rows: int,
    first_row: int,
    rule: _Rule,
    exclude: int,
    gain: int,
    correctness: int,
    label: int,
    other: int,
    findings: int,
    add: bool,
    look: int,
    off: float,
    device: int,
    stream: int,
) -> None:
    """Gain, correctness, the teacher's label and (where `other` is not 0) the likeliest other class of every point.

    rule: with addresses of float32 in device memory. exclude: the address of one byte a row, or 0. add: to what
    `findings` holds already. look: so many rows are looked at for probabilities, whose sum may be `off` from 1.
    """

_Looked = tuple[int, int, int]  # probabilities, those that are not 0 and 1 alone, others

def findings(bytes: bytes) -> tuple[_Count, _Count, _Count, _Count, int, _Looked, _Looked]:  # noqa: A002
    """Invalid rows of teacher and student, given correctness and gains outside [0, 1], rows invalid for either."""

def reduce(
    gain: int,
    correctness: int,
    points: int,
    box: tuple[float, float, float, float],
    sums: int,
    undecided_gain: int,
    undecided_correctness: int,
    capacity: int,
    device: int,
    stream: int,
) -> None:
    """Adds up the points that the box decides, into `sums`; writes the others, in any order, `capacity` at most."""

def sums(bytes: bytes) -> tuple[tuple[int, int, int, int, int, int, int], int]:  # noqa: A002
    """The fields of kernels.reference.game.Sums, and how many points are undecided."""

def solve_workspace(points: int) -> int:
    """Bytes of device memory that `solve` needs."""

def solve(
    gain: int,
    correctness: int,
    points: int,
    budget: int,
    mistakes: float,
    mistakes_each: float,
    workspace: int,
    workspace_bytes: int,
    solution: int,
    device: int,
    stream: int,
) -> None:
    """The equilibrium, written to `solution`, against mistakes + mistakes_each * (valid points)."""

def solution(bytes: bytes) -> tuple[tuple[float, float, float, float], str, int, int]:  # noqa: A002
    """((price, threshold, share, value), status, points that the last step solved, valid points)."""

def sample_workspace(points: int) -> int:
    """Bytes of device memory that `sample` needs."""

def sample(
    gain: int,
    correctness: int,
    points: int,
    equilibrium: tuple[float, float, float] | int,
    running: int,
    offset: int,
    indices: int,
    capacity: int,
    workspace: int,
    drawn: int,
    device: int,
    stream: int,
) -> None:
    """The indices that a scan from `running` takes, each plus `offset`; with indices 0 only the running sum after it.

    equilibrium: (price, threshold, share), or the address of what `solve` wrote.
    """

def drawn(bytes: bytes) -> tuple[int, int]:  # noqa: A002
    """(running sum after the scan, how many indices it takes)."""

def select(
    teacher: _Logits,
    student: _Logits | None,
    rows: int,
    rule: _Rule,
    exclude: int,
    gain: int,
    correctness: int,
    label: int,
    account: int,
    budget: int,
    running: int,
    mistakes: float,
    mistakes_each: float,
    workspace: int,
    workspace_bytes: int,
    indices: int,
    look: int,
    off: float,
    device: int,
    stream: int,
) -> None:
    """`appraise`, `solve` and `sample` in one call; account: room for findings, solution and drawn."""

def probabilities(
    gain: int,
    correctness: int,
    points: int,
    equilibrium: tuple[float, float, float],
    out: int,
    device: int,
    stream: int,
) -> None:
    """Inclusion probabilities, float64."""

_Labelled = tuple[int, int, int, int, int, int, int]  # gain, correctness, label, other or 0, points, classes, others

def count_classes(points: _Labelled, chosen: int, findings: int, tally: int, device: int, stream: int) -> None:
    """To `tally`: the findings; how many points of each class play, how many of these have a positive effective gain,
    and how many have a byte in `chosen`."""

class_games_direct: int

def appraise_classes(
    teacher: _Logits,
    student: _Logits | None,
    rows: int,
    rule: _Rule,
    exclude: int,
    gain: int,
    correctness: int,
    label: int,
    other: int,
    chosen: int,
    classes: int,
    tally: int,
    look: int,
    off: float,
    device: int,
    stream: int,
) -> None:
    """`appraise` and `count_classes` in one call."""

def class_counts(account: bytes, classes: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64] | None, int]:
    """What `count_classes` wrote: (2, classes) of points that play and of those with a positive effective gain.

    Then how many of each class were chosen before, None where the account ends before that, and how many play in all.
    """

def select_by_class_workspace(points: int, classes: int) -> int:
    """Bytes of device memory that `select_by_class` needs."""

def select_by_class(
    points: _Labelled,
    counts: npt.NDArray[np.int64],
    quotas: npt.NDArray[np.float64],
    mistakes: npt.NDArray[np.float64],
    running: int,
    indices: int,
    capacity: int,
    workspace: int,
    workspace_bytes: int,
    device: int,
    stream: int,
) -> npt.NDArray[np.int32] | None:
    """Each class's game, and the sample as in `sample_by_class`. To the workspace: what `class_answers` reads, of the
    classes that play, which are returned; None: all."""

def class_answers(
    account: bytes, classes: int, played: npt.NDArray[np.int32] | None = None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_], int]:
    """(4, classes) of price, threshold, share, value; which classes are settled; how many indices were passed.

    ``played``: what `select_by_class` returned.
    """

def sample_by_class_workspace(points: int, classes: int) -> int:
    """Bytes of device memory that `sample_by_class` needs."""

def sample_by_class(
    points: _Labelled,
    answers: int,
    running: int,
    indices: int,
    capacity: int,
    workspace: int,
    workspace_bytes: int,
    drawn: int,
    device: int,
    stream: int,
) -> None:
    """The indices that a scan along the keys takes from `running` on, ascending, `capacity` of them at most."""

class_rates_bytes: int

def class_probabilities(points: _Labelled, answers: int, rates: int, out: int, device: int, stream: int) -> None:
    """Inclusion probabilities, float64, each in the game of its class."""

def devices() -> list[tuple[str, tuple[int, int], int, int]]:
    """(name, compute capability, multiprocessors, bytes of memory) of every device."""

def device_of(memory: int) -> int:
    """The device whose memory an address lies in."""

def follow(stream: int, before: int, device: int) -> None:
    """Work queued on `stream` from now on comes after what is queued on `before`."""

def allocate(bytes: int, device: int, stream: int) -> int:  # noqa: A002
    """Device memory, in the stream's order: its address."""

def release(memory: int, device: int, stream: int) -> None:
    """Gives memory of `allocate` back, in the stream's order."""

def copy_in(to: int, buffer: Buffer, device: int, stream: int) -> None:
    """Copies a contiguous host buffer to device memory."""

def copy_out(from_: int, bytes: int, device: int, stream: int) -> bytes:  # noqa: A002 - its own name is a keyword
    """Copies device memory to the host, and waits for it."""

_Seen = tuple[int, str, tuple[int, ...], tuple[int, ...] | None, int, int, int | None]
_SeenApart = tuple[int, str, tuple[int, ...], tuple[int, ...] | None, int, int, int, bool]

def of_capsule(capsule: object) -> _Seen:
    """(address, dtype, shape, strides or None, device type, device, None) of what a DLPack capsule holds, not consumed.

    dtype is "code/bits" for one without a name here.
    """

def of_table(table: object, tensor: object) -> _Seen:
    """The same of a tensor, by its class's __dlpack_c_exchange_api__, and its library's current stream."""

def of_interface(interface: dict[str, object]) -> _SeenApart | str:
    """The same of a __cuda_array_interface__, with its stream, and whether it may be read alone.

    A string where that cannot be meant: the entry that is wrong, or "byte order".
    """

def capsule_of(
    owner: object,
    address: int,
    dtype: str,
    shape: tuple[int, ...],
    device_type: int,
    device: int,
    versioned: bool,
) -> object:
    """A DLPack capsule for memory that `owner` keeps."""

def held() -> int:
    """How many capsules, or arrays made of them, still hold an owner."""
