"""Whatever holds the points, point i is the i-th from the top: pandas and others, wherever an index meets data."""

from __future__ import annotations

import numpy as np
import pytest

import rad_fast

torch = pytest.importorskip("torch", reason="rad_fast.distill needs torch")

from torch.utils.data import DataLoader, IterableDataset, TensorDataset  # noqa: E402

from rad_fast.distill import ActiveDistiller, Fit, SelectionSampler, SoftLabelDataset, predict, soft_targets  # noqa: E402
from rad_fast.distill.pairs import Mixed, Pairs, Rows  # noqa: E402
from rad_fast.distill.rows import batches, by_position, items  # noqa: E402

X = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)
SHUFFLED = np.random.default_rng(1).permutation(60)


def shuffled_series() -> object:
    pandas = pytest.importorskip("pandas")
    return pandas.Series(list(X), index=SHUFFLED)


def shuffled_frame() -> object:
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(X, columns=["a", "b"], index=SHUFFLED)


def polars_frame() -> object:
    return pytest.importorskip("polars").DataFrame({"a": X[:, 0], "b": X[:, 1]})


def sparse() -> object:
    return pytest.importorskip("scipy.sparse").csr_matrix(X)


def hugging_face(form: str) -> object:
    made = pytest.importorskip("datasets").Dataset.from_dict({"x": X.tolist()}).with_format(form)
    return made["x"]


CONTAINERS = {
    "tensor": lambda: torch.from_numpy(X),
    "array": lambda: X,
    "list of arrays": lambda: list(X),
    "TensorDataset": lambda: TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)),
    "Series with a shuffled index": shuffled_series,
    "DataFrame with a shuffled index": shuffled_frame,
    "polars DataFrame": polars_frame,
    "sparse matrix": sparse,
    "column of a Hugging Face data set": lambda: hugging_face("numpy"),
    "column of tensors": lambda: hugging_face("torch"),
}


@pytest.fixture(params=CONTAINERS)
def container(request):
    return CONTAINERS[request.param]()


def test_an_item_is_the_one_at_that_place(container):
    rows = by_position("pool", container)
    assert len(rows) == 60
    for at in (0, 7, 59):
        given = rows[at][0] if isinstance(rows, TensorDataset) else rows[at]
        assert np.array_equal(np.asarray(given).ravel(), X[at])
    found = [item[0] if isinstance(item, tuple) else item for item in items(rows, [59, 0, 7])]
    assert np.array_equal(np.stack([np.asarray(item).ravel() for item in found]), X[[59, 0, 7]])


def test_predict_keeps_the_order(container):
    said = predict(torch.nn.Identity(), container, batch_size=7)
    assert np.array_equal(said, X)


def test_a_data_set_pairs_inputs_with_their_targets(container):
    chosen = [50, 3, 17]
    data = SoftLabelDataset(container, torch.from_numpy(Y[chosen]), indices=chosen, n_classes=2)
    for at, place in enumerate(chosen):
        x, target, _ = data[at]
        assert np.array_equal(np.asarray(x).ravel(), X[place])
        assert int(target.argmax()) == Y[place]
    x, target, weight = next(iter(DataLoader(data, batch_size=3)))
    assert np.array_equal(np.asarray(x).reshape(3, 2), X[chosen])
    assert target.argmax(1).tolist() == Y[chosen].tolist()
    assert weight.tolist() == [1.0, 1.0, 1.0]


def test_labels_weights_and_indices_of_pandas_go_by_position():
    pandas = pytest.importorskip("pandas")
    labels, weights = pandas.Series(Y, index=SHUFFLED), pandas.Series(np.arange(60.0), index=SHUFFLED)
    data = SoftLabelDataset(X, labels, weights=weights, n_classes=2)
    assert [int(data[at][1].argmax()) for at in range(60)] == Y.tolist()
    assert [float(data[at][2]) for at in range(60)] == list(range(60))
    soft = SoftLabelDataset(X, pandas.DataFrame(np.eye(2)[Y], index=SHUFFLED))
    assert [int(soft[at][1].argmax()) for at in range(60)] == Y.tolist()
    places = pandas.Series([4, 1, 9], index=[2, 0, 1])
    assert list(SelectionSampler(places, shuffle=False)) == [4, 1, 9]
    assert np.array_equal(SoftLabelDataset(X, Y[[4, 1, 9]], indices=places, n_classes=2)[0][0], X[4])


def test_a_labelled_set_pairs_inputs_with_their_labels(container):
    pairs = Pairs("labelled", container if isinstance(container, TensorDataset) else (container, Y))
    assert pairs.labels.tolist() == Y.tolist()
    for at in (0, 31, 59):
        assert np.array_equal(np.asarray(pairs[at][0]).ravel(), X[at])
        assert pairs[at][1] == Y[at]
    part = pairs.part(np.array([5, 40]))
    assert [np.asarray(x).ravel().tolist() for x, _ in part.__getitems__([1, 0])] == X[[40, 5]].tolist()


def test_a_pool_and_rows_of_it_go_by_position(container):
    pool = Mixed(container)
    pool.mix([3], [8], [0.25])
    assert np.allclose(np.asarray(pool[3]).ravel(), 0.75 * X[3] + 0.25 * X[8])
    rows = Rows(pool, np.array([8, 3, 11]))
    got = np.stack([np.asarray(item).ravel() for item in rows.__getitems__([0, 2])])
    assert np.array_equal(got, X[[8, 11]])
    assert np.array_equal(np.asarray(rows[2]).ravel(), X[11])


def test_a_shuffled_frame_trains_the_same_student():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": list(X), "y": Y}).sample(frac=1, random_state=0)

    def trained(frame: object) -> np.ndarray:
        torch.manual_seed(0)
        made = ActiveDistiller(
            torch.nn.Linear(2, 2),
            lambda batch: torch.stack([-9 * batch[:, 0], 9 * batch[:, 0]], 1),
            labelled=(frame["x"], frame["y"]),
            holdout=(frame["x"][:20], frame["y"][:20]),
            pool=frame["x"][20:],
            budget=5,
            train=Fit(epochs=3),
            progress=False,
        )
        weights = made.run().weight.detach().numpy()
        return np.append(weights, made.selected)

    assert np.array_equal(trained(frame), trained(frame.reset_index(drop=True)))


class Stream(IterableDataset):
    def __iter__(self):
        return iter(X)


def arrow() -> object:
    return pytest.importorskip("pyarrow").table({"a": X[:, 0], "b": X[:, 1]})


def words_and_numbers() -> object:
    return pytest.importorskip("pandas").DataFrame({"text": ["a"] * 60, "b": X[:, 1]})


REFUSED = {
    "generator": lambda: (row for row in X),
    "stream": Stream,
    "dictionary": lambda: {"x": X},
    "string": lambda: "pool.npy",
    "None": lambda: None,
    "number": lambda: 7,
    "Arrow table": arrow,
    "Arrow column": lambda: arrow()["a"],
    "table with words": words_and_numbers,
    "masked array": lambda: np.ma.masked_array(X, X > 2),
    "sparse tensor": lambda: torch.from_numpy(X).to_sparse(),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("where", ["pool", "labelled", "holdout", "data"])
def test_what_has_no_rows_is_refused_by_the_argument_s_name(kind, where):
    given = REFUSED[kind]()
    taking = {"pool": Mixed, "data": lambda data: SoftLabelDataset(data, Y, n_classes=2)}
    take = taking.get(where, lambda inputs: Pairs(where, (inputs, Y)))
    with pytest.raises(TypeError, match=f"^{where}: expected"):
        take(given)


def test_one_index_in_two_orders_is_not_paired_by_position():
    pandas = pytest.importorskip("pandas")
    inputs = pandas.Series(list(X), index=SHUFFLED)
    labels = pandas.Series(Y[np.argsort(SHUFFLED)])  # by label these belong together; by position they do not
    with pytest.raises(ValueError, match="labelled: inputs and labels have the same index in another order"):
        Pairs("labelled", (inputs, labels))
    assert Pairs("labelled", (inputs, labels.loc[inputs.index])).labels.tolist() == labels.loc[SHUFFLED].tolist()
    assert Pairs("labelled", (inputs, Y)).labels.tolist() == Y.tolist()


@pytest.mark.parametrize("mask", [[0, 1, 1, 0, 1], np.array([1, 0, 0], np.uint8), torch.tensor([0, 0, 1])])
def test_a_mask_of_zeros_and_ones_is_not_taken_for_indices(mask):
    with pytest.raises(ValueError, match=r"expected indices, got . numbers that are all 0 or 1, as a mask"):
        SelectionSampler(mask)
    with pytest.raises(ValueError, match="indices: expected indices"):
        SoftLabelDataset(X, torch.zeros(len(mask), dtype=torch.int64), indices=mask, n_classes=2)


def test_a_boolean_mask_says_what_to_give():
    with pytest.raises(TypeError, match=r"got a boolean mask; give np.flatnonzero\(mask\)"):
        SelectionSampler(Y > 0)
    assert sorted(SelectionSampler([0, 1])) == [0, 1]  # two points, which are no mask


def test_batches_are_what_torch_collates():
    from torch.utils.data import default_collate

    for data in (torch.from_numpy(X), X, X[::-1], torch.arange(60), np.arange(60), X.astype(">f4"), list(X)):
        rows = [np.asarray(data[at], np.float32) for at in range(60)]
        got = (
            list(batches(data, 13, default_collate))
            if not (isinstance(data, np.ndarray) and data.dtype == ">f4")
            else []
        )
        if got:
            assert [len(batch) for batch in got] == [13, 13, 13, 13, 8]
            assert np.array_equal(torch.cat(got).float().numpy(), np.stack(rows))
            assert got[0].dtype == default_collate([data[0], data[1]]).dtype


class Once:
    """A data set whose items are read together, and that counts how often it is asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __len__(self) -> int:
        return 60

    def __getitem__(self, at: int) -> object:
        raise AssertionError("read one by one")

    def __getitems__(self, at: list[int]) -> list[object]:
        self.calls += 1
        return [torch.from_numpy(X[place]) for place in at]


def test_items_are_read_together_where_they_can_be():
    data = Once()
    assert np.array_equal(predict(torch.nn.Identity(), data, batch_size=30), X)
    assert data.calls == 2
    selected = SoftLabelDataset(data, torch.from_numpy(Y), n_classes=2)
    assert len(next(iter(DataLoader(selected, batch_size=60)))[0]) == 60
    assert data.calls == 3


def test_a_subclass_that_makes_its_own_items_is_heard():
    class Doubled(SoftLabelDataset):
        def __getitem__(self, at):
            x, target, weight = super().__getitem__(at)
            return 2 * x, target, weight

    data = Doubled(torch.from_numpy(X), torch.from_numpy(Y), n_classes=2)
    assert np.array_equal(next(iter(DataLoader(data, batch_size=60)))[0].numpy(), 2 * X)


@pytest.mark.parametrize("form", ["backwards", "read-only", "other byte order", "column of rows"])
def test_arrays_that_torch_cannot_share_are_copied(form):
    logits = np.ones((1, 3), np.float32)
    if form == "backwards":
        logits = logits[::-1]
    elif form == "read-only":
        logits.flags.writeable = False
    elif form == "other byte order":
        logits = logits.astype(">f4")
    else:
        logits = pytest.importorskip("pandas").Series(list(logits), index=[9])
    assert torch.allclose(soft_targets(logits), torch.full((1, 3), 1 / 3))
    values = np.asarray(list(logits), np.float32) / 3
    assert SoftLabelDataset(X[:1], values[::-1])[0][1].sum() == 1
    weights = np.ones(1)[::-1]
    assert float(SoftLabelDataset(X[:1], np.ones(1, np.int64)[::-1], n_classes=2, weights=weights)[0][2]) == 1.0


def test_tables_of_one_index_in_two_orders_are_refused_in_selections_and_calibrators():
    """Of which point a row is, and of which class a column, is known by position alone."""
    pandas = pytest.importorskip("pandas")
    z = np.random.default_rng(0).normal(0, 4, (60, 4))
    teacher = pandas.DataFrame(z, index=[f"p{at}" for at in range(60)], columns=list("abcd"))
    column = pandas.Series(np.linspace(0.5, 1, 60), index=teacher.index)
    labels = pandas.Series(z.argmax(1), index=teacher.index)
    words = "expected the index of .*, got the same in another order"
    for given in (
        {"student_logits": teacher[::-1]},
        {"correctness": column[::-1]},
        {"gain": column[::-1]},
        {"exclude": (column > 0.9)[::-1]},
    ):
        with pytest.raises(ValueError, match=f"{next(iter(given))}: {words}"):
            rad_fast.select(teacher, 5, **given)
        with pytest.raises(ValueError, match=words):
            rad_fast.Selector(5).partial_fit(teacher, **given)
    with pytest.raises(ValueError, match="student_logits: expected the columns of logits, got the same in another"):
        rad_fast.select(teacher, 5, student_logits=teacher[list("dcba")])
    with pytest.raises(ValueError, match=f"labels: {words}"):
        rad_fast.Calibrator().fit(teacher, labels[::-1])
    calibrator = rad_fast.Calibrator().fit(teacher, labels, teacher)
    with pytest.raises(ValueError, match=f"student_logits: {words}"):
        calibrator.predict(teacher, teacher[::-1])
    other = pandas.Series(column.to_numpy(), index=range(60))  # of another index nothing is known
    expected = rad_fast.select(z, 5, correctness=column.to_numpy())
    np.testing.assert_array_equal(rad_fast.select(teacher, 5, correctness=other), expected)
    np.testing.assert_array_equal(rad_fast.select(teacher, 5, correctness=column), expected)
