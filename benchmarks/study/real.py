"""Sets whose teachers are models that nobody here made: LLMs' labels, votes, and similarities to the classes' names.

Sources and licences are in shared/data/real/README.md. The files are not part of the package; sets that are not there
are skipped by name.
"""

from __future__ import annotations

import gzip
import json
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from .data import ROOT, shared
from .problem import Float32s, Problem, scaled

Int64s = npt.NDArray[np.int64]
COMPONENTS = 200  # of TF-IDF
POOL, TEST, LABELLED = 4000, 2000, 3  # at most; points; points a class
HIDDEN = {"tfidf": 64, "minilm-linear": 0, "minilm-128": 128}
UNKNOWN = 0.9  # the confidence that stands for a label without one: it is the same for all points, and says nothing
POLICY = {
    "gpt-4o": "gpt-4o-2024-11-20",
    "llama3.1-70b": "llama3.1_70b",
    "claude-3.5-haiku": "claude-3-5-haiku-20241022",
    "gemma3-12b": "gemma3_12b",
}
BANKING = {"qwen3-8b": "qwen3_8b_zs", "gemma3-4b": "gemma3_4b_zs", "mistral-7b": "mistral_7b_zs", "gpt-4": "gpt4"}
TEACHERS = (
    *(("banking77", name) for name in (*BANKING, "minilm")),
    *(("policy-en", name) for name in (*POLICY, "74 votes")),
    *(("policy-da", name) for name in (*POLICY, "74 votes")),
    ("clinc150", "word vectors"),
)
SOFT = (("banking77", "minilm"), ("policy-en", "74 votes"), ("policy-da", "74 votes"), ("clinc150", "word vectors"))


def is_there(source: str) -> bool:
    return all(shared(f"real/{stem(source)}{end}") is not None for end in (".npz", ".texts.jsonl.gz"))


def stem(source: str) -> str:
    """The policy texts are two sets, one a language, in one file."""
    return source.partition("-")[0]


@cache
def all_texts(name: str) -> list[str]:
    with gzip.open(shared(f"real/{name}.texts.jsonl.gz"), "rt", encoding="utf-8") as lines:  # type: ignore[type-var]
        return [json.loads(line) for line in lines]


def words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def first_of_equals(texts: list[str]) -> npt.NDArray[np.bool_]:
    """Of texts with the same words, in any case and punctuation, the first."""
    found = np.zeros(len(texts), bool)
    found[np.unique([words(text) for text in texts], return_index=True)[1]] = True
    return found


@dataclass(frozen=True)
class Answers:
    """A teacher's logits (N, C) beside the truth; ``rows`` of the set are kept, ``answered`` says where it spoke.
    ``spare`` rows were never asked: they serve as labelled and test points."""

    rows: Int64s
    truth: Int64s
    logits: Float32s
    answered: npt.NDArray[np.bool_]
    spare: npt.NDArray[np.bool_]


@cache
def file(source: str) -> dict[str, npt.NDArray[np.generic]]:
    with np.load(shared(f"real/{stem(source)}.npz"), allow_pickle=False) as arrays:  # type: ignore[arg-type]
        found = {name: arrays[name] for name in arrays.files}
    if stem(source) != source:
        asked = found["has_teacher"].astype(bool)
        # Danish titles recur, up to some fifty times: a test point must not be one that the student has learned.
        mine = (found["language"] == source[-2:].upper()) & first_of_equals(all_texts(stem(source)))
        found |= {name: found[name][mine[asked]] for name in ("label", "votes")}
        found |= {name: found[name][mine] for name in ("truth", "language", "has_teacher")} | {
            "rows": np.flatnonzero(mine)
        }
    return found


@cache
def answers(source: str, teacher: str) -> Answers:
    a = file(source)
    truth = a["truth"].astype(np.int64)
    everywhere, nowhere = np.ones(len(truth), bool), np.zeros(len(truth), bool)
    rows = np.arange(len(truth))
    if teacher in ("minilm", "word vectors"):
        cosine = a["minilm_cosine" if teacher == "minilm" else "cosine"].astype(np.float32)
        return Answers(rows, truth, 20.0 * cosine, everywhere, nowhere)
    if stem(source) == "policy":
        asked = a["has_teacher"].astype(bool)
        logits = np.zeros((len(truth), len(a["classes"])), np.float32)
        answered = asked.copy()
        if teacher == "74 votes":
            votes = a["votes"].astype(np.float64)
            logits[asked] = np.log((votes + 0.5) / (votes + 0.5).sum(1, keepdims=True))
        else:
            label = a["label"][:, list(a["llms"]).index(POLICY[teacher])].astype(np.int64)
            logits[asked] = spoken(label, np.full(len(label), UNKNOWN), logits.shape[1])
            answered[asked] = label >= 0
        return Answers(rows, truth, logits, answered, ~asked)
    at = list(a["llms"]).index(BANKING[teacher])
    label = a["label"][:, at].astype(np.int64)
    if teacher == "gpt-4":
        logits = spoken(label, np.full(len(label), UNKNOWN), len(a["classes"]))
        return Answers(rows, truth, logits, label >= 0, label < 0)
    # The others chose among 58 of the 77 classes: the rest is not part of their problem.
    known = a["known"].astype(bool)
    place = np.cumsum(known) - 1
    rows = np.flatnonzero(known[truth])
    label = np.where(label >= 0, place[label], -1)[rows]
    sure = np.nan_to_num(a["confidence"][rows, at].astype(np.float64), nan=UNKNOWN)
    logits = spoken(label, sure, int(known.sum()))
    return Answers(rows, place[truth[rows]], logits, label >= 0, np.zeros(len(rows), bool))


def spoken(label: Int64s, confidence: npt.NDArray[np.float64], classes: int) -> Float32s:
    """Logits of a label and a confidence: the other classes share the rest alike."""
    sure = np.clip(confidence, 1.0 / classes + 1e-3, 0.999)
    logits = np.repeat(np.log((1.0 - sure) / (classes - 1))[:, None], classes, axis=1)
    logits[np.arange(len(label)), np.maximum(label, 0)] = np.log(sure)
    return logits.astype(np.float32)


@cache
def features(source: str, student: str) -> Float32s:
    """What a student sees of all texts: components of TF-IDF (no labels used), or the frozen encoder's embedding."""
    if student != "tfidf":
        return scaled(file(source)["minilm_embedding"].astype(np.float32))
    texts = texts_of(source)
    name = f"{source}-{len(texts)}-tfidf{COMPONENTS}.npy"
    kept = Path(os.environ.get("RAD_FAST_STUDY", ROOT / "build" / "study")) / name
    if kept.exists():
        return np.load(kept)
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    counts = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2, max_features=30_000, dtype=np.float32)
    z = TruncatedSVD(COMPONENTS, n_iter=4, random_state=0).fit_transform(counts.fit_transform(texts))
    found = scaled(z - z.mean(0))
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(f".{os.getpid()}.npy")
    np.save(part, found)
    part.replace(kept)
    return found


def texts_of(source: str) -> list[str]:
    texts = all_texts(stem(source))
    return [texts[row] for row in file(source).get("rows", range(len(texts)))]


def problem(source: str, teacher: str, seed: int, student: str = "tfidf") -> Problem:
    return cut(answers(source, teacher), features(source, student), source, teacher, seed, HIDDEN[student])


def cut(a: Answers, x: Float32s, source: str, teacher: str, seed: int, hidden: int) -> Problem:
    """Test points, 3 labelled a class, a hold-out of max(2 C, 120) and a pool of at most 4,000, all drawn at random;
    hold-out and pool from what the teacher answered, the others from what it was never asked where there is such."""
    classes = a.logits.shape[1]
    order = np.random.default_rng((seed, 11)).permutation(len(a.rows))
    outside = order[a.spare[order]] if a.spare.any() else order
    test, rest = outside[:TEST], outside[TEST:]
    labelled = np.concatenate([rest[a.truth[rest] == k][:LABELLED] for k in range(classes)])
    left = order[~np.isin(order, np.concatenate([test, labelled])) & a.answered[order]]
    held = max(2 * classes, 120)
    # The labelled points are the first of their classes. What comes next in the order lacks these, and is no random
    # sample; far behind them it is one.
    begin = 0 if a.spare.any() else held + POOL
    parts = {"labelled": labelled, "holdout": left[begin:][:held], "pool": left[held : held + POOL], "test": test}
    return Problem(
        source,
        teacher,
        classes,
        hidden,
        seed,
        {name: torch.from_numpy(x[a.rows[at]]) for name, at in parts.items()},
        {name: torch.from_numpy(a.truth[at]) for name, at in parts.items()},
        {name: torch.from_numpy(a.logits[parts[name]]) for name in ("holdout", "pool")},
    )
