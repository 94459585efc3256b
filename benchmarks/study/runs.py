"""One configuration of the study: a task, a budget and a kind of label; all seeds and all arms side by side."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rad_fast import Calibrator, UnreliableTeacherWarning
from rad_fast.distill import DebiasingWeights, MixingEstimator, Round, student_label_mixing
from rad_fast.distill.strategies import Strategy

from .data import Task
from .nets import Networks

STEPS, BATCH, LR, DECAY = 200, 64, 1e-2, 1e-2
PLAIN, WEIGHTED, DEBIASED, SLAM, SLAM_RAW = "plain", "weighted", "debiased", "slam", "slam-unnormalised"
LOSSES = (PLAIN, WEIGHTED, DEBIASED, SLAM, SLAM_RAW)


@dataclass(frozen=True)
class Arm:
    """A strategy and a loss."""

    strategy: str
    choose: Strategy
    loss: str = PLAIN

    @property
    def name(self) -> str:
        return f"{self.strategy} / {self.loss}"


@dataclass
class Outcome:
    """Of one arm, per seed and round (round 0: the labelled set alone)."""

    arm: Arm
    accuracy: npt.NDArray[np.float64]
    right: npt.NDArray[np.float64]  # share of the selected labels that are right
    seconds: npt.NDArray[np.float64]


@dataclass
class State:
    """What is known to one arm, for all seeds."""

    x: Tensor
    targets: Tensor
    weight: Tensor
    alpha: Tensor
    available: npt.NDArray[np.bool_]
    memory: list[dict[str, Any]] = field(default_factory=list)


def run(
    task: Task,
    arms: list[Arm],
    budget: int,
    labels: str,
    rounds: int,
    seeds: list[int],
    clusters: dict[int, dict[str, Any]],
) -> list[Outcome]:
    """Accuracy of every arm for every seed after every round. ``clusters``: what Cluster-Margin finds at its first
    round, by seed, kept from cell to cell of a set: the first student is the same in all."""
    s, c = len(seeds), task.classes
    x, y, said = task.x, task.y, task.said
    hot = torch.nn.functional.one_hot(y["labelled"], c).float()
    ones = torch.ones(hot.shape[:2])
    first = Networks(x["pool"].shape[2], task.setup.hidden, c, seeds)
    initial = [p.clone() for p in first.parameters]
    first.train(x["labelled"], hot, ones, steps=STEPS, batch=BATCH, lr=LR, decay=DECAY, seed=0)
    start = score(first.logits(x["test"]), y["test"])
    states = [
        State(
            x["labelled"],
            hot,
            ones,
            ones,
            np.ones(x["pool"].shape[:2], bool),
            [clusters.setdefault(seed, {}) for seed in seeds],
        )
        for _ in arms
    ]
    outcomes = [Outcome(arm, *(np.full((s, rounds + 1), np.nan) for _ in range(3))) for arm in arms]
    for outcome in outcomes:
        outcome.accuracy[:, 0] = start
    mixings = [MixingEstimator().fit(said["holdout"][i], y["holdout"][i]) for i in range(s)]
    mixing_k = [mixing.k_ for mixing in mixings]
    alphas = torch.stack([mixing.alpha(said["pool"][i]) for i, mixing in enumerate(mixings)])
    shared: dict[Any, Any] = {}
    nets = [first] * len(arms)
    for number in range(rounds):
        for arm, state, net, outcome in zip(arms, states, nets, outcomes, strict=True):
            choose(task, arm, state, net, budget, labels, number, seeds, alphas, outcome, shared if number == 0 else {})
        shared = {}
        nets = trained(task, arms, states, initial, number + 1, s, mixing_k, labels)
        for net, outcome in zip(nets, outcomes, strict=True):
            outcome.accuracy[:, number + 1] = score(net.logits(x["test"]), y["test"])
    return outcomes


def choose(
    task: Task,
    arm: Arm,
    state: State,
    net: Networks,
    budget: int,
    labels: str,
    number: int,
    seeds: list[int],
    alphas: Tensor,
    outcome: Outcome,
    shared: dict[Any, Any],
) -> None:
    """Choose, ask and weigh for one arm; arms begin alike, so that first choices are ``shared``."""
    x, y, said = task.x, task.y, task.said
    if "pool" not in shared:
        shared["pool"], shared["holdout"] = net.logits(x["pool"]), net.logits(x["holdout"])
        shared["hidden"] = net.hidden(x["pool"])
    pool, holdout, hidden = shared["pool"].numpy(), shared["holdout"].numpy(), shared["hidden"].numpy()
    known = net.hidden(state.x).numpy()
    known_logits = net.logits(state.x).numpy()
    new_x, new_t, new_w, new_a = [], [], [], []
    for i, seed in enumerate(seeds):
        began = time.perf_counter()
        choice = shared.get((arm.strategy, i))
        if choice is None:
            round_ = Round(
                budget=budget,
                available=state.available[i],
                student_logits=pool[i],
                teacher_logits=said["pool"][i].numpy(),
                features=hidden[i],
                seed=seed,
                number=number,
                holdout_labels=y["holdout"][i].numpy(),
                holdout_teacher=said["holdout"][i].numpy(),
                holdout_student=holdout[i],
                known_features=known[i],
                known_logits=known_logits[i],
                memory=state.memory[i],
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UnreliableTeacherWarning)
                choice = arm.choose(round_)
            shared[arm.strategy, i] = choice
        outcome.seconds[i, number + 1] = time.perf_counter() - began
        at = torch.from_numpy(choice.indices)
        state.available[i, choice.indices] = False
        inputs, logits = x["pool"][i, at], said["pool"][i, at]
        if choice.shares is not None:
            share = torch.from_numpy(choice.shares)[:, None].float()
            inputs = (1 - share) * inputs + share * x["pool"][i, torch.from_numpy(choice.partners)]
            logits = task.teacher.logits(inputs[None], slice(i, i + 1))[0]
        top = logits.argmax(1)
        outcome.right[i, number + 1] = float((top == y["pool"][i, at]).float().mean())
        hot = torch.nn.functional.one_hot(top, task.classes).float()
        new_x.append(inputs)
        new_t.append(hot if labels == "hard" else logits.softmax(1))
        new_w.append(weights(task, arm.loss, net, i, holdout[i], inputs, logits))
        new_a.append(alphas[i, at])
    state.x = torch.cat([state.x, torch.stack(new_x)], 1)
    state.targets = torch.cat([state.targets, torch.stack(new_t)], 1)
    state.weight = torch.cat([state.weight, torch.stack(new_w)], 1)
    state.alpha = torch.cat([state.alpha, torch.stack(new_a)], 1)


def weights(
    task: Task, loss: str, net: Networks, i: int, holdout: npt.NDArray[np.float32], x: Tensor, logits: Tensor
) -> Tensor:
    """How much chosen points count, judged with a student that has not learned their labels yet."""
    if loss not in (WEIGHTED, DEBIASED):
        return torch.ones(len(x))
    said, truth = task.said["holdout"][i], task.y["holdout"][i]
    student = net.logits(x[None], slice(i, i + 1))[0]
    if loss == DEBIASED:
        return DebiasingWeights().fit(torch.from_numpy(holdout), said, truth).predict(student, logits)
    calibrator = Calibrator().fit(said.numpy(), truth.numpy(), holdout)
    return torch.from_numpy(np.asarray(calibrator.predict(logits.numpy(), student.numpy())))


def trained(
    task: Task,
    arms: list[Arm],
    states: list[State],
    initial: list[Tensor],
    number: int,
    seeds: int,
    mixing_k: list[int],
    labels: str,
) -> list[Networks]:
    """Train every arm from the initial weights on all it knows."""
    settings: dict[str, Any] = {"steps": STEPS, "batch": BATCH, "lr": LR, "decay": DECAY, "seed": number}
    found: dict[int, Networks] = {}

    def fit(group: list[int], weights: list[Tensor], gradient: Callable[..., Tensor] | None = None) -> None:
        net = object.__new__(Networks)
        net.parameters = [p.repeat(len(group), 1, 1) for p in initial]
        net.train(
            torch.cat([states[k].x for k in group]),
            torch.cat([states[k].targets for k in group]),
            torch.cat(weights),
            gradient=gradient,
            **settings,
        )
        for at, k in enumerate(group):
            found[k] = net.part(torch.arange(at * seeds, (at + 1) * seeds))

    plain = [k for k, arm in enumerate(arms) if arm.loss in (PLAIN, WEIGHTED, DEBIASED)]
    for begin in range(0, len(plain), 12):  # as many as fit the caches well
        group = plain[begin : begin + 12]
        fit(group, [states[k].weight for k in group])
    for loss in (SLAM, SLAM_RAW):
        group = [k for k, arm in enumerate(arms) if arm.loss == loss]
        if group:
            n = task.setup.labelled
            alpha = [torch.cat([torch.ones(seeds, n), states[k].alpha[:, n:]], 1) for k in group]
            fit(group, alpha, slam_gradient(mixing_k * len(group), loss == SLAM, labels == "hard"))
    return [found[k] for k in range(len(arms))]


def slam_gradient(k: list[int], normalize: bool, hard: bool) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Of SLaM's loss in the logits; alpha comes in the weights' place. One k for all: the median over seeds."""
    top = int(np.median(k))

    def gradient(z: Tensor, targets: Tensor, alpha: Tensor) -> Tensor:
        flat = z.reshape(-1, z.shape[2]).detach().requires_grad_()
        rows = targets.reshape(flat.shape)
        loss = student_label_mixing(
            flat,
            rows.argmax(1) if hard else rows,
            alpha.reshape(-1),
            k=None if hard else top,
            normalize=normalize,
            reduction="sum",
        )
        return torch.autograd.grad(loss, flat)[0].reshape(z.shape)

    return gradient


def score(logits: Tensor, labels: Tensor) -> npt.NDArray[np.float64]:
    """Accuracy in percent, per model."""
    found: npt.NDArray[np.float64] = ((logits.argmax(2) == labels).double().mean(1) * 100).numpy()
    return found
