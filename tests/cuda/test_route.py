"""select(backend="cuda") from arrays in CUDA memory to arrays there: the specification's selection, the same errors.

The kernels run on the emulator, so that "CUDA memory" is the host's; arrays are rad_fast's own and foreign ones.
"""

from __future__ import annotations

import ctypes
import pickle
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import rad_fast
from rad_fast.device import arrays, backends, cuda_classes
from rad_fast.device.arrays import Memory
from rad_fast.device.on_cuda import Kernels

from ..triton_kernels.public_cases import (
    ARGUMENTS,
    BUDGET,
    GIVEN,
    MARGIN,
    RULE,
    STUDENT,
    TEACHER,
    TRUTH,
    WRONG,
    C,
    N,
    called,
)

pytestmark = pytest.mark.usefixtures("on_emulator")


class Foreign:
    """An array of a library that has the CUDA array interface and nothing else."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array  # keeps the memory
        self.__cuda_array_interface__ = {
            "shape": array.shape, "typestr": array.dtype.str, "strides": array.strides, "version": 3,
            "data": (array.ctypes.data, True),
        }  # fmt: skip


def there(value: Any) -> Any:
    return Memory.of(value) if isinstance(value, np.ndarray) else value


def host(value: Any) -> np.ndarray:
    assert isinstance(value, Memory)
    return value.numpy()


def select(logits: Any, budget: int, **more: Any) -> Any:
    return rad_fast.select(logits, budget, quotas=None, **MARGIN, **more)


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=called)
@pytest.mark.parametrize("where", ["device", "host"])
def test_selects_as_the_specification_does(arguments: dict[str, Any], where: str) -> None:
    wanted = rad_fast.Selector(BUDGET, quotas=None, backend="reference").fit(TEACHER, **MARGIN, **arguments)
    apart = ("correctness", "exclude") if where == "host" else ()
    given = {name: value if name in apart else there(value) for name, value in arguments.items()}
    chosen = rad_fast.Selector(BUDGET, quotas=None).fit(there(TEACHER), **MARGIN, **given)
    assert chosen.backend == "cuda"
    indices = host(chosen.indices)
    assert indices.dtype == np.int64
    # Scores differ by roundings: at most a point or two fall on the other side of a whole number.
    assert len(np.intersect1d(indices, wanted.indices)) >= BUDGET - 2
    assert chosen.value == pytest.approx(wanted.value, rel=1e-5)
    assert (chosen.mistakes, chosen.n_excluded) == (wanted.mistakes, wanted.n_excluded)
    q = host(chosen.probabilities)
    np.testing.assert_array_equal(host(chosen.weights), 1 / q[indices])
    assert q.sum() == pytest.approx(BUDGET, rel=1e-12)
    assert chosen.report()["budget"] == BUDGET
    assert "100 of 3,000" in chosen.summary()


@pytest.mark.parametrize("backend", ["auto", "cuda"])
def test_arrays_of_any_library_and_layout_serve(backend: str) -> None:
    wanted = host(select(there(TEACHER), BUDGET, backend=backend))
    wide = np.zeros((N, 2 * C), np.float32)
    wide[:, ::2] = TEACHER
    for logits in (Foreign(TEACHER), Foreign(wide[:, ::2]), Foreign(np.asfortranarray(TEACHER))):
        np.testing.assert_array_equal(host(select(logits, BUDGET, backend=backend)), wanted)
    mask = np.zeros(2 * N, bool)
    mask[10:20] = mask[-5:] = True
    some = host(select(there(TEACHER), BUDGET, exclude=mask[::2]))
    for exclude in (Foreign(mask[::2]), Foreign(np.flatnonzero(mask[::2]))):
        np.testing.assert_array_equal(host(select(Foreign(TEACHER), BUDGET, exclude=exclude)), some)
    turned = Foreign(GIVEN[::-1].copy()[::-1])  # strides below zero
    np.testing.assert_array_equal(
        host(select(Foreign(TEACHER), BUDGET, correctness=turned)),
        host(select(there(TEACHER), BUDGET, correctness=GIVEN)),
    )


@pytest.fixture
def waits(on_emulator: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of each copy to the host from now on: nothing else waits for the device."""
    sizes: list[int] = []

    class Counted:
        def __getattr__(self, name: str) -> Any:
            return getattr(on_emulator, name)

        def copy_out(self, address: int, size: int, *where: int) -> bytes:
            sizes.append(size)
            out: bytes = on_emulator.copy_out(address, size, *where)
            return out

    monkeypatch.setattr(arrays, "MODULE", [Counted()])
    return sizes


@pytest.mark.parametrize("where", ["device", "host"])
@pytest.mark.parametrize("arguments", ARGUMENTS, ids=called)
def test_the_device_is_waited_for_once(arguments: dict[str, Any], where: str, waits: list[int]) -> None:
    """And once more where indices, or float64, are given on the device: the host looks at them."""
    apart = ("correctness", "exclude") if where == "host" else ()
    given = {name: value if name in apart else there(value) for name, value in arguments.items()}
    checked = [value for value in given.values() if isinstance(value, Memory) and value.dtype in ("int64", "float64")]
    select(there(TEACHER), BUDGET, **given)
    assert len(waits) == 1 + len(checked), waits


def test_chunks_select_as_the_whole() -> None:
    selector = rad_fast.Selector(BUDGET, quotas=None)
    for begin in range(0, N, 1300):
        selector.partial_fit(there(TEACHER[begin : begin + 1300]), **MARGIN)
    chunked = selector.finalize()
    np.testing.assert_array_equal(host(chunked.indices), host(select(there(TEACHER), BUDGET)))
    assert host(chunked.gain).dtype == np.float32


@pytest.mark.parametrize("budget", [50, 0.1])  # a count is known at once, a fraction once the valid rows are counted
def test_invalid_rows_are_left_out_when_asked(budget: float) -> None:
    poisoned = TEACHER.copy()
    poisoned[[5, 70]] = np.nan
    exclude = np.zeros(N, bool)
    exclude[[9, 70]] = True
    chosen = rad_fast.Selector(budget, quotas=None, invalid="exclude").fit(there(poisoned), exclude=there(exclude))
    assert (chosen.n_invalid, chosen.n_excluded) == (1, 2)
    assert len(chosen.indices) == (50 if budget == 50 else 300)
    assert not set(host(chosen.indices).tolist()) & {5, 9, 70}


@pytest.mark.parametrize("quotas", ["auto", "equal", {0: 2.0, 3: 1.0}, None], ids=str)
@pytest.mark.parametrize("arguments", RULE, ids=called)
def test_the_rule_selects_as_the_specification_does(arguments: dict[str, Any], quotas: Any) -> None:
    given = {name: there(value) for name, value in arguments.items()}
    got = rad_fast.Selector(BUDGET, quotas=quotas).fit(there(TEACHER), **given)
    wanted = rad_fast.Selector(BUDGET, quotas=quotas, backend="reference").fit(TEACHER, **arguments)
    # Scores differ by roundings, and so do probabilities in the last digits: few running sums pass at another point.
    assert len(np.intersect1d(host(got.indices), wanted.indices)) >= BUDGET - 2
    assert got.value == pytest.approx(wanted.value, rel=1e-5)
    assert (got.mistakes, got.n_excluded, got.n_invalid) == (wanted.mistakes, wanted.n_excluded, wanted.n_invalid)
    if quotas is not None:
        np.testing.assert_array_equal(got.quotas, wanted.quotas)
    np.testing.assert_allclose(host(got.gain), wanted.gain, atol=1e-6, rtol=0)
    np.testing.assert_allclose(host(got.correctness), wanted.correctness, atol=2e-4, rtol=0)


def test_with_quotas_points_stay_on_the_device_too(waits: list[int]) -> None:
    """Waited for twice: numbers of each class come to the host, the classes' points and their equilibria."""
    for rows in (400, 4000):
        waits.clear()
        wide = np.random.default_rng(0).normal(0, 5, (rows, 20)).astype(np.float32)
        before = there(np.arange(rows) % 9 == 0)
        rad_fast.select(there(wide), 40, student_logits=there(wide[::-1].copy()), chosen=before)
        assert len(waits) == 2
        assert sum(waits) <= 20 * (3 + 6) * 8 + 200, waits


@pytest.mark.parametrize("rows", [3, 400])  # fewer than are looked at for probabilities, and more
def test_a_small_selection_is_few_launches(rows: int, on_emulator: ModuleType) -> None:
    """No memory is filled: what comes first clears what the others count in."""
    library = ctypes.CDLL(str(on_emulator.__file__))
    queued = [ctypes.c_long.in_dll(library, f"emulated_{kind}") for kind in ("launches", "fills")]

    def launched(**how: Any) -> list[int]:
        before = [count.value for count in queued]
        rad_fast.select(there(TEACHER[:rows]), 2, **how)
        return [count.value - old for count, old in zip(queued, before, strict=True)]

    student = there(STUDENT[:rows])
    assert launched(quotas=None) == [4, 0]  # a look, scores, the game, the sample
    assert launched(quotas=None, student_logits=student) == [6, 0]  # a look and scores more
    assert launched() == [6, 0]  # a look, scores, counts; points by class, the games, the sample
    assert launched(student_logits=student, exclude=there(np.arange(rows) == 0)) == [8, 0]


def test_of_a_chunk_its_scores_alone_come_to_host_memory(waits: list[int]) -> None:
    wide = np.random.default_rng(0).normal(0, 5, (400, 200)).astype(np.float32)
    given = {"student_logits": there(wide[::-1].copy()), "chosen": there(np.arange(400) % 9 == 0)}
    selector = rad_fast.Selector(40).partial_fit(there(wide), **given)
    assert sum(waits) <= 14 * 400 + 200, waits
    wanted = rad_fast.select(there(wide), 40, **given)
    np.testing.assert_array_equal(host(selector.finalize().indices), host(wanted))


def test_a_selection_by_class_tells_of_itself() -> None:
    mine = rad_fast.Selector(BUDGET).fit(there(TEACHER), student_logits=there(STUDENT))
    assert mine.backend == "cuda"
    q, at = host(mine.probabilities), host(mine.indices)
    assert q.sum() == pytest.approx(BUDGET, rel=1e-12)
    np.testing.assert_array_equal(host(mine.weights), 1 / q[at])
    np.testing.assert_allclose(np.bincount(host(mine.labels), q, minlength=C), mine.quotas, atol=1e-9)
    again = pickle.loads(pickle.dumps(mine))
    for name in ("indices", "probabilities", "weights", "gain"):
        np.testing.assert_array_equal(getattr(again, name), host(getattr(mine, name)))
    assert again.report() == mine.report()
    assert np.isin(at, mine.extend(2 * BUDGET).indices).all()


def test_a_selection_there_has_a_table() -> None:
    pytest.importorskip("pandas")
    assert len(rad_fast.Selector(BUDGET).fit(there(TEACHER)).table("pandas")) == BUDGET


def test_a_class_that_does_not_settle_is_solved_by_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = rad_fast.Selector(BUDGET).fit(there(TEACHER))
    found, settled, count = [], np.ones(C, bool), 3

    def answered(drawn: Any) -> Any:
        found[:] = cuda_classes.read_by_class(drawn)
        for k in np.flatnonzero(~settled):
            found[0].price[k] = found[0].threshold[k] = 0.0
        return found[0], settled, count

    monkeypatch.setattr(Kernels, "stages", Kernels.stages._replace(read_by_class=answered))
    with pytest.raises(RuntimeError, match="the sample has 3 points, not 100"):
        rad_fast.select(there(TEACHER), BUDGET)
    settled[[1, 7]] = False
    got = rad_fast.Selector(BUDGET).fit(there(TEACHER))
    np.testing.assert_array_equal(host(got.indices), host(wanted.indices))
    np.testing.assert_array_equal(got.price, wanted.price)


@pytest.mark.parametrize("budget", [1, N, 0.3])
@pytest.mark.parametrize("classes", [2, 3, C])
def test_every_budget_by_class(budget: float, classes: int) -> None:
    z = TEACHER[:, :classes].copy()
    z[:, 0] += 6  # the other classes have few points
    got = rad_fast.Selector(budget).fit(there(z))
    wanted = rad_fast.Selector(budget).fit(z)
    np.testing.assert_array_equal(got.quotas, wanted.quotas)
    assert got.value == pytest.approx(wanted.value, rel=1e-5)
    assert len(np.unique(host(got.indices))) == got.budget == wanted.budget
    assert len(np.intersect1d(host(got.indices), wanted.indices)) >= got.budget - 2 - got.budget // 100


def test_too_few_rows_and_wrong_quotas_are_said() -> None:
    with pytest.raises(ValueError, match="no row is left"):
        rad_fast.select(there(TEACHER), 5, exclude=there(np.ones(N, bool)))
    with pytest.raises(ValueError, match="at most 2999"):
        rad_fast.select(there(TEACHER), N, exclude=there(np.arange(N) == 4))
    with pytest.raises(ValueError, match="quotas: expected a weight for each of 10 classes"):
        rad_fast.select(there(TEACHER), 5, quotas=[1.0, 2.0])


@pytest.mark.parametrize("with_student", [False, True])
def test_agreement_of_neighbours_serves_there_too(with_student: bool) -> None:
    share = np.random.default_rng(3).integers(0, 11, N) / 10
    fitted = (TEACHER[:500], TRUTH[:500], *([STUDENT[:500]] if with_student else []))
    learned = rad_fast.Calibrator().fit(*fitted, agreement=share[:500])
    beside = {"student_logits": STUDENT} if with_student else {}
    wanted = rad_fast.Selector(BUDGET).fit(TEACHER, correctness=learned, agreement=share, **beside)
    for given in (share, there(share.astype(np.float32)), there(share)):
        on_device = {name: there(value) for name, value in beside.items()}
        got = rad_fast.Selector(BUDGET).fit(there(TEACHER), correctness=learned, agreement=given, **on_device)
        assert got.backend == "cuda"
        np.testing.assert_allclose(host(got.correctness), wanted.correctness, atol=2e-4, rtol=0)
        assert len(np.intersect1d(host(got.indices), wanted.indices)) >= BUDGET - 4
    wrong = np.where(np.arange(N) == 7, 2, share).astype(np.float32)
    with pytest.raises(ValueError, match=r"agreement: expected numbers in \[0, 1\], 1 is not, the first at index 7"):
        rad_fast.select(there(TEACHER), BUDGET, correctness=learned, agreement=there(wrong), **on_device)
    with pytest.raises(ValueError, match="agreement: expected the share of each point's neighbours"):
        rad_fast.select(there(TEACHER), BUDGET, correctness=learned, **on_device)


@pytest.mark.parametrize("way", ["chunks", "scores in a folder"])
def test_the_indices_are_the_same_whichever_way(way: str, tmp_path: Path) -> None:
    given = {"student_logits": STUDENT, "exclude": np.arange(N) % 7 == 0}
    whole = rad_fast.select(there(TEACHER), BUDGET, **{name: there(value) for name, value in given.items()})
    if way == "chunks":
        selector = rad_fast.Selector(BUDGET)
        for part in np.array_split(np.arange(N), 3):
            some = {name: there(value[part]) for name, value in given.items()}
            selector.partial_fit(there(TEACHER[part]), **some)
        got = selector.finalize()
    else:
        selector = rad_fast.Selector(BUDGET, scores=tmp_path / "scores")
        got = selector.fit(there(TEACHER), **{name: there(value) for name, value in given.items()})
    np.testing.assert_array_equal(host(got.indices), host(whole))


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("quotas", ["auto", None])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_probabilities_for_logits_are_refused(quotas: Any, dtype: str) -> None:
    p, z = there(softmax(TEACHER).astype(dtype)), there(TEACHER)
    with pytest.raises(ValueError, match=r"^logits: expected logits, got probabilities.*Probabilities\(p\)"):
        rad_fast.select(p, BUDGET, quotas=quotas)
    with pytest.raises(ValueError, match=r"^student_logits: expected logits, got probabilities"):
        rad_fast.select(z, BUDGET, student_logits=p, quotas=quotas)
    selector = rad_fast.Selector(BUDGET, quotas=quotas).partial_fit(z)
    with pytest.raises(ValueError, match=r"^logits: expected logits, got probabilities"):
        selector.partial_fit(p)
    assert len(selector.finalize().indices) == BUDGET


@pytest.mark.filterwarnings("ignore::rad_fast.UnreliableTeacherWarning")
def test_few_rows_of_zeros_and_ones_can_be_logits() -> None:
    """As in host memory: rows of 0 and 1 alone, a few of them, and rows that are left out, tell nothing."""
    rows = np.eye(4, dtype=np.float32)
    for given in (rows, np.vstack([rows, rows + 0.5]), np.vstack([softmax(TEACHER), TEACHER[:1]])):
        np.testing.assert_array_equal(host(rad_fast.select(there(given), 2)), rad_fast.select(given, 2))
    mixed = np.vstack([softmax(TEACHER[:50]), TEACHER[50:]])
    out = np.arange(N) >= 50
    for where in (there, np.asarray):
        with pytest.raises(ValueError, match="got probabilities"):
            rad_fast.select(where(mixed), 5, exclude=where(out))


def test_wrong_gains_are_named_wherever_they_lie() -> None:
    wrong = GIVEN.copy()
    wrong[[7, 9]] = [1.5, np.nan]
    for gain in (wrong, there(wrong), there(wrong.astype(np.float64))):
        with pytest.raises(ValueError, match=r"gain: expected numbers in \[0, 1\], 2 are not, the first.* at index 7"):
            rad_fast.select(there(TEACHER), BUDGET, gain=gain)
    with pytest.raises(ValueError, match=r"gain: expected one number per point, shape \(3000,\)"):
        rad_fast.select(there(TEACHER), BUDGET, gain=there(GIVEN[:5]))


HERE_TOO: list[tuple[dict[str, Any], list[str]]] = [
    ({"exclude": np.array([1, N])}, ["exclude", "2999", "3000 at index 1"]),
    ({"backend": "cuda", "logits": None}, ["backend", "'cuda'", "CUDA device"]),
]


@pytest.mark.parametrize(("arguments", "fragments"), [*WRONG, *HERE_TOO])
def test_wrong_input_is_named(arguments: dict[str, Any], fragments: list[str]) -> None:
    given = {"logits": TEACHER, "budget": BUDGET, **arguments}
    given = {name: there(value) for name, value in given.items()}
    if given["logits"] is None:
        given["logits"] = TEACHER  # in host memory
    with pytest.raises(ValueError, match=r"\S") as raised:
        select(**given)
    missing = [fragment for fragment in fragments if fragment not in str(raised.value)]
    assert not missing, f"{missing} not in: {raised.value}"


def test_a_search_that_does_not_settle_is_driven_from_the_host() -> None:
    """Five levels of gain: no box makes such a pool smaller."""
    rng = np.random.default_rng(3)
    levels = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [4.0, 0.0]], np.float32)
    logits = levels[rng.integers(0, 5, 60_000)]
    budget = 30_000
    got = rad_fast.Selector(budget, quotas=None, mistakes=0.05).fit(there(logits))
    wanted = rad_fast.Selector(budget, quotas=None, mistakes=0.05).fit(logits)
    assert got.value == pytest.approx(wanted.value, rel=1e-6)
    assert len(np.unique(host(got.indices))) == budget


def test_without_the_compiled_kernels_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "MODULE", [])
    monkeypatch.setitem(__import__("sys").modules, "rad_fast._cuda", None)
    with pytest.raises(ValueError, match=r"there are no kernels here for a .*Foreign.*from_dlpack.*host memory"):
        select(Foreign(TEACHER), BUDGET)
    finding = next(found for found in backends.findings() if found.name == "cuda")
    assert not finding.usable
    assert "not installed" in finding.why
