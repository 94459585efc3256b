"""A digest tells points from other points, also those that are augmented at random, by a bounded sample of them."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="rad_fast.distill needs torch")

from torch.utils.data import Dataset  # noqa: E402

from rad_fast.distill.identity import SAMPLE, digest_of, digest_of_array  # noqa: E402

X = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))


class Augmented(Dataset):
    """The same points, each time with other noise."""

    def __init__(self, points: torch.Tensor, draw) -> None:
        self.points, self.draw = points, draw

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, at: int) -> torch.Tensor:
        return self.points[at] + float(self.draw())


@pytest.mark.parametrize(
    "draw",
    [lambda: torch.rand(()), lambda: np.random.rand(), lambda: __import__("random").random()],  # noqa: NPY002
)
def test_points_that_are_augmented_at_random_are_known_again(draw):
    data = Augmented(X, draw)
    state = torch.random.get_rng_state()
    assert digest_of(data) == digest_of(Augmented(X, draw))
    assert torch.equal(torch.random.get_rng_state(), state)  # nothing that follows is drawn otherwise
    assert digest_of(data) != digest_of(Augmented(X[:-1], draw))


def test_digests_tell_contents_apart():
    array = X.numpy()
    assert digest_of(X) == digest_of(array) == digest_of(list(array))
    others = [X.flip(0), X.double(), X[:50], X + 1, X[:, :1], [str(row) for row in X], [{"x": row} for row in X]]
    others += [[None] * 100, [object()] * 100, list(range(100))]
    found = {digest_of(other) for other in (X, *others)}
    assert len(found) == len(others) + 1
    assert digest_of([(row, 1) for row in X]) == digest_of(X)  # labels beside the inputs of a pool do not count
    assert digest_of([{"a": 1, "b": 2}]) == digest_of([{"b": 2, "a": 1}])
    assert digest_of_array(np.array([1, 2])) != digest_of_array(np.array([2, 1]))


def test_a_digest_reads_a_bounded_sample():
    class Counting(Dataset):
        read = 0

        def __len__(self) -> int:
            return 10**9

        def __getitem__(self, at: int) -> int:
            Counting.read += 1
            return at

    digest_of(Counting())
    assert Counting.read == 2 * SAMPLE
