"""Log-probabilities in the forms that servers give them in, and what is no such form."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import rad_fast
from rad_fast import TopKLogits

ANSWERS = [{"yes": -0.1, "no": -2.5}, {"no": -0.05, "yes": -4.0}, {"yes": -0.6, "no": -0.9}]
LABELS = ["no", "yes"]


def chat(answer: dict[str, float]) -> dict[str, Any]:
    """The JSON of OpenAI's chat completions."""
    top = [{"token": token, "logprob": value, "bytes": None} for token, value in answer.items()]
    return {
        "choices": [
            {"index": 0, "logprobs": {"content": [{"token": top[0]["token"], "logprob": -0.1, "top_logprobs": top}]}}
        ]
    }


def completion(answer: dict[str, float]) -> dict[str, Any]:
    """The JSON of OpenAI's (and of vLLM's server's) completions."""
    return {"choices": [{"text": "", "logprobs": {"tokens": list(answer), "top_logprobs": [answer]}}]}


def objects(json: Any) -> Any:
    """JSON as a client's objects; dicts of tokens stay dicts."""
    if isinstance(json, list):
        return [objects(each) for each in json]
    if isinstance(json, dict) and not set(json) <= {"yes", "no"}:
        return SimpleNamespace(**{name: objects(value) for name, value in json.items()})
    return json


def vllm(answer: dict[str, float]) -> Any:
    """A vLLM RequestOutput: outputs[0].logprobs has a dict of token ids to Logprob for each token."""
    ids = {"yes": 9891, "no": 912}
    said = {
        ids[token]: SimpleNamespace(logprob=value, rank=1, decoded_token=f" {token}") for token, value in answer.items()
    }
    return SimpleNamespace(prompt="", outputs=[SimpleNamespace(text="", logprobs=[said])])


FORMS = {
    "dicts": lambda answer: answer,
    "dicts with spaces": lambda answer: {f" {token}\n": value for token, value in answer.items()},
    "OpenAI chat, JSON": chat,
    "OpenAI chat, objects": lambda answer: objects(chat(answer)),
    "OpenAI completion, JSON": completion,
    "OpenAI completion, objects": lambda answer: objects(completion(answer)),
    "vLLM": vllm,
    "vLLM, the first of its outputs": lambda answer: vllm(answer).outputs[0],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_classes(form: str) -> None:
    rows = [FORMS[form](answer) for answer in ANSWERS]
    kept = TopKLogits.from_logprobs(iter(rows), vocabulary=LABELS)
    assert kept.n_classes == 2
    assert kept.logsumexp is None, "of all tokens the labels are a part: their probabilities are rescaled"
    by_class = np.take_along_axis(kept.values, np.argsort(kept.indices, axis=1), axis=1)
    np.testing.assert_allclose(by_class, [[answer["no"], answer["yes"]] for answer in ANSWERS], rtol=1e-6)
    points = rad_fast.Selector(1, mistakes=0).fit(kept)
    np.testing.assert_array_equal(points.labels, [1, 0, 1])
    odds = np.exp(by_class.astype(float))
    np.testing.assert_allclose(points.correctness, odds.max(axis=1) / odds.sum(axis=1), rtol=1e-5)


def test_token_ids_are_classes_and_rows_may_have_any_length() -> None:
    rows = [{7: -0.2, 3: -2.0, 0: -4.0}, {"5": -0.01}, vllm(ANSWERS[0])]
    kept = TopKLogits.from_logprobs(rows, n_classes=10_000)
    assert kept.values.shape == (3, 3)
    assert np.all(kept.logsumexp == 0.0), "the probabilities of all tokens sum to 1"
    assert [sorted(row[values > -np.inf]) for row, values in zip(kept.indices, kept.values, strict=True)] == [
        [0, 3, 7],
        [5],
        [912, 9891],
    ]
    assert all(len(set(row)) == 3 for row in kept.indices.tolist())
    points = rad_fast.Selector(1, mistakes=0).fit(kept)
    np.testing.assert_array_equal(points.labels, [7, 5, 9891])
    np.testing.assert_allclose(points.correctness, np.exp([-0.2, -0.01, -0.1]), rtol=1e-5)


def test_tokens_of_one_class_are_added_up() -> None:
    kept = TopKLogits.from_logprobs([{"yes": np.log(0.5), "Yes": np.log(0.2), "no": np.log(0.1)}] * 2, 3, {
        "yes": 1, "Yes": 1, "no": 0,
    })  # fmt: skip
    values = {int(place): float(value) for place, value in zip(kept.indices[0], kept.values[0], strict=True)}
    assert values[1] == pytest.approx(np.log(0.7))
    assert kept.n_classes == 3


def test_a_row_without_a_known_token_is_left_out_like_any_invalid_row() -> None:
    rows = [*ANSWERS, {"perhaps": -0.1}]
    kept = TopKLogits.from_logprobs(rows, vocabulary=LABELS)
    with pytest.raises(ValueError, match="nothing finite, the first is row 3"):
        rad_fast.select(kept, 1)
    assert len(rad_fast.select(kept, 3, invalid="exclude", mistakes=0)) == 3


@pytest.mark.parametrize(
    ("rows", "settings", "words"),
    [
        ([{1: -0.5}], {}, "n_classes: expected the size of the teacher's vocabulary"),
        ([{"yes": -0.5}], {"n_classes": 9}, "row 0 has 'yes'; give vocabulary="),
        ([{1: -0.5}, {2: 0.7}], {"n_classes": 9}, "expected log-probabilities, at most 0; row 1 has 0.7"),
        ([{1: float("nan")}], {"n_classes": 9}, "row 0 has nan"),
        ([{1: -0.5, 2: -1.0, 3: -2.0}], {"n_classes": 2}, "n_classes: expected at least the 3 classes"),
        ([SimpleNamespace(text="yes")], {"vocabulary": LABELS}, "row 0 is a SimpleNamespace without; ask the server"),
        ([{"choices": [{"logprobs": None}]}], {"vocabulary": LABELS}, "ask the server"),
        ([{"choices": [{"logprobs": {"content": []}}]}], {"vocabulary": LABELS}, "row 0 has none; ask the server"),
        ([{"token": "yes", "top_logprobs": []}], {"vocabulary": LABELS}, "row 0 is a dict without; ask the server"),
        ([{"error": {"code": 429}}], {"vocabulary": LABELS}, "row 0 has a dict for 'error'; for a point without an"),
        (['{"yes": -0.5}'], {"vocabulary": LABELS}, "row 0 is text; read it first: json.loads(row)"),
        ([{"yes": 0.7}], {"vocabulary": LABELS}, "row 0 has 0.7 for 'yes'; of probabilities give the logarithm"),
        ([{"Ja": -0.5}], {"vocabulary": LABELS}, "the answers have 'Ja'; case matters"),
    ],
)
def test_what_is_no_log_probability_is_refused_by_row(rows: Any, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match="expected") as error:
        TopKLogits.from_logprobs(rows, **settings)
    assert words in str(error.value)


def test_one_answer_in_place_of_a_list_of_them_is_refused() -> None:
    with pytest.raises(TypeError, match=r"rows: expected a list with one element per point, got a dict; give \[row\]"):
        TopKLogits.from_logprobs({"yes": -0.5}, vocabulary=LABELS)


def test_none_is_a_point_without_an_answer() -> None:
    kept = TopKLogits.from_logprobs([*ANSWERS, None], vocabulary=LABELS)
    assert np.isneginf(kept.values[-1]).all()


@pytest.mark.parametrize("part", ["choice", "logprobs", "content", "likeliest"])
def test_parts_of_a_response_are_as_good_as_the_whole(part: str) -> None:
    rows = [chat(answer) for answer in ANSWERS]
    cut = {
        "choice": lambda row: row["choices"][0],
        "logprobs": lambda row: row["choices"][0]["logprobs"],
        "content": lambda row: row["choices"][0]["logprobs"]["content"],
        "likeliest": lambda row: row["choices"][0]["logprobs"]["content"][0]["top_logprobs"],
    }[part]
    whole = TopKLogits.from_logprobs(rows, vocabulary=LABELS)
    kept = TopKLogits.from_logprobs([cut(row) for row in rows], vocabulary=LABELS)
    np.testing.assert_array_equal(kept.values, whole.values)
    np.testing.assert_array_equal(kept.indices, whole.indices)


def test_a_vocabulary_is_a_mapping_or_a_list() -> None:
    with pytest.raises(TypeError, match="vocabulary: expected a mapping of tokens to classes, or a list"):
        TopKLogits.from_logprobs(ANSWERS, vocabulary="yes")


def test_one_number_is_the_logsumexp_of_every_row() -> None:
    rng = np.random.default_rng(0)
    values = np.log(0.9 * rng.dirichlet([0.3] * 4, 30)).astype("float32")
    indices = np.tile(np.arange(4), (30, 1))
    one = rad_fast.Selector(3, mistakes=0).fit(TopKLogits(values, indices, 50, 0))
    many = rad_fast.Selector(3, mistakes=0).fit(TopKLogits(values, indices, 50, np.zeros(30)))
    np.testing.assert_array_equal(one.correctness, many.correctness)
