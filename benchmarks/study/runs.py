"""One problem, one budget, many arms: choose, ask, train, three rounds; all arms' students trained side by side."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rad_fast import UnreliableTeacherWarning
from rad_fast.distill import Round
from rad_fast.distill.strategies import Strategy

from .losses import MIXED, PLAIN, Label, slam_gradient
from .nets import Networks
from .problem import Problem

ROUNDS = 3
SETTINGS: dict[str, Any] = {"steps": 200, "batch": 64, "lr": 1e-2, "decay": 1e-2}
KEPT = ("clusters", "neighbours")  # what does not depend on the budget, nor on who asks
TOGETHER = 10  # students in one batch: as many as fit the caches well


@dataclass(frozen=True)
class Arm:
    """A strategy and a loss; ``restart`` False goes on with the student of the round before. With ``holdout`` the
    student that is tested has learned the hold-out too, and the one that helps to choose has not."""

    strategy: str
    choose: Strategy
    loss: str = PLAIN
    restart: bool = True
    holdout: bool = False


@dataclass
class Outcome:
    """Of one arm: accuracy in percent after every round (round 0: the labelled set alone), by round the share of right
    labels among the chosen, and the seconds that choosing took."""

    arm: Arm
    accuracy: list[float]
    right: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


@dataclass
class State:
    """What is known to one arm."""

    x: Tensor
    targets: Tensor
    weight: Tensor
    available: npt.NDArray[np.bool_]
    net: Networks
    memory: dict[str, Any] = field(default_factory=dict)


class View:
    """What a student says of all parts: computed once for arms that share it."""

    def __init__(self, net: Networks, problem: Problem) -> None:
        hidden = net.hidden(problem.x["pool"][None])
        self.hidden, self.pool = hidden[0].numpy(), net.head(hidden)[0]
        self.holdout = net.logits(problem.x["holdout"][None])[0]


class Start:
    """A problem with what all its runs begin with: the untrained student, the one that knows the labelled points alone,
    and what strategies find out once and keep, whatever the budget."""

    def __init__(self, problem: Problem) -> None:
        p, n = problem, len(problem.x["labelled"])
        self.problem = p
        self.hot = torch.nn.functional.one_hot(p.y["labelled"], p.classes).float()
        self.fresh = Networks(p.x["pool"].shape[1], p.hidden, p.classes, [p.seed])
        self.first = Networks.of(self.fresh.parameters)
        self.first.train(p.x["labelled"][None], self.hot[None], torch.ones(1, n), seed=0, **SETTINGS)
        self.accuracy = score(self.first, p)[0]
        self.memory: dict[str, Any] = {"labelled": np.bincount(p.y["labelled"], minlength=p.classes)}

    def state(self) -> State:
        p = self.problem
        available = np.ones(len(p.x["pool"]), bool)
        return State(p.x["labelled"], self.hot, torch.ones(len(self.hot)), available, self.first)


def run(start: Start, arms: list[Arm], budget: int, labels: str) -> list[Outcome]:
    """Every arm's outcome."""
    p, fresh = start.problem, start.fresh
    states = [start.state() for _ in arms]
    outcomes = [Outcome(arm, [start.accuracy]) for arm in arms]
    label = Label(p, labels)
    for number in range(ROUNDS):
        views: dict[int, View] = {}
        same: dict[str, Any] = {}  # all arms begin alike, so that first choices are shared
        for arm, state, outcome in zip(arms, states, outcomes, strict=True):
            if id(state.net) not in views:
                views[id(state.net)] = View(state.net, p)
            view = views[id(state.net)]
            if number == 0:
                state.memory = dict(start.memory)
            choose(p, arm, state, view, budget, number, outcome, label, same if number == 0 else {})
            if number == 0:
                start.memory |= {name: state.memory[name] for name in KEPT if name in state.memory}
        train(arms, states, fresh, number + 1, label)
        for arm, state, outcome in zip(arms, states, outcomes, strict=True):
            tested = with_holdout(p, arm, state, fresh, number + 1) if arm.holdout else state.net
            outcome.accuracy.append(score(tested, p)[0])
    return outcomes


def choose(
    p: Problem,
    arm: Arm,
    state: State,
    view: View,
    budget: int,
    number: int,
    outcome: Outcome,
    label: Label,
    same: dict[str, Any],
) -> None:
    """Choose, ask and weigh for one arm."""
    known = state.net.hidden(state.x[None])
    began = time.perf_counter()
    if arm.strategy in same:
        choice, memory = same[arm.strategy]
        state.memory = dict(memory)
    else:
        seen = Round(
            budget=budget,
            available=state.available,
            student_logits=view.pool.numpy(),
            teacher_logits=p.said["pool"].numpy(),
            features=view.hidden,
            seed=p.seed,
            number=number,
            holdout_labels=p.y["holdout"].numpy(),
            holdout_teacher=p.said["holdout"].numpy(),
            holdout_student=view.holdout.numpy(),
            known_features=known[0].numpy(),
            known_logits=state.net.head(known)[0].numpy(),
            labelled=p.y["labelled"].numpy(),
            vectors=p.x["pool"].numpy(),
            holdout_vectors=p.x["holdout"].numpy(),
            memory=state.memory,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnreliableTeacherWarning)
            choice = arm.choose(seen)
        same[arm.strategy] = choice, dict(state.memory)
    outcome.seconds.append(time.perf_counter() - began)
    at = torch.from_numpy(choice.indices)
    x, said = p.x["pool"][at], p.said["pool"][at]
    if choice.shares is not None:  # mixed before the teacher sees them
        if p.ask is None:
            raise ValueError(f"{arm.strategy} mixes points; it needs a teacher that can be asked")
        share = torch.from_numpy(choice.shares)[:, None].float()
        x = (1 - share) * x + share * p.x["pool"][torch.from_numpy(choice.partners)]
        said = p.ask(x)
    outcome.right.append(float((said.argmax(1) == p.y["pool"][at]).double().mean()))
    targets, weight = label.of(arm.loss, said, state.net.logits(x[None])[0], view.holdout)
    state.available = state.available.copy()
    state.available[choice.indices] = False
    state.x, state.targets = torch.cat([state.x, x]), torch.cat([state.targets, targets])
    state.weight = torch.cat([state.weight, weight])


def train(arms: list[Arm], states: list[State], fresh: Networks, number: int, label: Label) -> None:
    """Train every arm on all it knows, from the initial weights or from where it is."""
    kinds = dict.fromkeys("mixed" if arm.loss in MIXED else "plain" for arm in arms)
    for kind in kinds:
        some = [k for k, arm in enumerate(arms) if (arm.loss in MIXED) == (kind == "mixed")]
        for begin in range(0, len(some), TOGETHER):
            group = [states[k] for k in some[begin : begin + TOGETHER]]
            which = [arms[k] for k in some[begin : begin + TOGETHER]]
            gradient = slam_gradient(label.mixing_k, label.hard) if kind == "mixed" else None
            fit(which, group, fresh, number, gradient)
    # Labels that are set right by a student which has learned them: learned once, set right, learned again.
    again = [k for k, arm in enumerate(arms) if label.refines(arm.loss)]
    if again:
        given = [states[k].targets for k in again]
        for k in again:
            states[k].targets = label.refined(
                arms[k].loss, states[k].targets, states[k].net.logits(states[k].x[None])[0]
            )
        fit([arms[k] for k in again], [states[k] for k in again], fresh, number, None)
        for k, targets in zip(again, given, strict=True):
            states[k].targets = targets


def fit(arms: list[Arm], states: list[State], fresh: Networks, number: int, gradient: Any) -> None:
    begin = [fresh if arm.restart else state.net for arm, state in zip(arms, states, strict=True)]
    layers = range(len(fresh.parameters))
    nets = Networks.of([torch.cat([net.parameters[layer] for net in begin]) for layer in layers])
    x, targets, weight = (torch.stack([getattr(s, name) for s in states]) for name in ("x", "targets", "weight"))
    nets.train(x, targets, weight, seed=number, gradient=gradient, **SETTINGS)
    for at, state in enumerate(states):
        state.net = nets.part(at)


def with_holdout(p: Problem, arm: Arm, state: State, fresh: Networks, number: int) -> Networks:
    """A student of what is known to an arm, and of the hold-out."""
    hot = torch.nn.functional.one_hot(p.y["holdout"], p.classes).float()
    x, targets = torch.cat([state.x, p.x["holdout"]]), torch.cat([state.targets, hot])
    weight = torch.cat([state.weight, torch.ones(len(hot))])
    more = replace(state, x=x, targets=targets, weight=weight)
    fit([arm], [more], fresh, number, None)
    return more.net


def score(nets: Networks, p: Problem) -> list[float]:
    """Accuracy in percent on the test points, per model."""
    models = len(nets.parameters[0])
    said = nets.logits(p.x["test"][None].expand(models, -1, -1)).argmax(2)
    return ((said == p.y["test"]).double().mean(1) * 100).tolist()
