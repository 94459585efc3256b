"""Many small students trained at once: batched over models with torch.bmm, gradients by hand."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

LossGradient = Callable[[Tensor, Tensor, Tensor], Tensor]


class Networks:
    """Networks (inputs, hidden, classes), linear ones where ``hidden`` is 0; equal seeds begin with equal weights."""

    def __init__(self, inputs: int, hidden: int, classes: int, seeds: list[int]) -> None:
        sizes = [inputs, hidden, classes] if hidden else [inputs, classes]
        layers: list[list[Tensor]] = [[] for _ in sizes[1:]]
        for seed in seeds:
            g = torch.Generator().manual_seed(seed)
            for at, (before, after) in enumerate(pairwise(sizes)):
                scale = (2.0 if after == hidden and hidden else 1.0) / before
                layers[at].append(torch.randn(before, after, generator=g) * scale**0.5)
        if not hidden:  # a convex problem may as well begin at 0
            layers = [[torch.zeros_like(w) for w in layer] for layer in layers]
        self.parameters: list[Tensor] = []
        for layer, after in zip(layers, sizes[1:], strict=True):
            self.parameters += [torch.stack(layer), torch.zeros(len(seeds), 1, after)]

    def logits(self, x: Tensor) -> Tensor:
        """(m, n, C) for x (m, n, D)."""
        *_, w, b = self.parameters
        return torch.baddbmm(b, self.hidden(x), w)

    def hidden(self, x: Tensor) -> Tensor:
        """(m, n, H) activations of the hidden layer; the inputs where there is none."""
        if len(self.parameters) == 2:
            return x
        w, b = self.parameters[:2]
        return torch.baddbmm(b, x, w).relu_()

    def train(
        self,
        x: Tensor,
        targets: Tensor,
        weight: Tensor,
        *,
        steps: int,
        batch: int,
        lr: float,
        decay: float,
        seed: int,
        gradient: LossGradient | None = None,
    ) -> None:
        """Train every model on its own (n, D) points: AdamW and one cosine, the order of points common to all.

        ``gradient``: of the summed loss in the logits, from (logits, rows of targets, weights); None is the weighted
        cross-entropy's.
        """
        g = torch.Generator().manual_seed(seed)
        n = x.shape[1]
        optimizer = torch.optim.AdamW(self.parameters, lr=lr, weight_decay=decay, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for p in self.parameters:
            p.grad = torch.zeros_like(p)
        *first, w2, b2 = self.parameters
        order, place = torch.randperm(n, generator=g), 0
        size = min(batch, n)
        for _ in range(steps):
            if place + size > n:
                order, place = torch.randperm(n, generator=g), 0
            rows = order[place : place + size]
            place += size
            xb, tb = x.index_select(1, rows), targets.index_select(1, rows)
            wb = weight.index_select(1, rows)[:, :, None]
            h = self.hidden(xb)
            z = torch.baddbmm(b2, h, w2)
            dz = (z.softmax(2) - tb).mul_(wb / size) if gradient is None else gradient(z, tb, wb) / size
            torch.bmm(h.transpose(1, 2), dz, out=w2.grad)
            torch.sum(dz, 1, keepdim=True, out=b2.grad)
            if first:
                dh = torch.bmm(dz, w2.transpose(1, 2)).masked_fill_(h == 0, 0.0)
                torch.bmm(xb.transpose(1, 2), dh, out=first[0].grad)
                torch.sum(dh, 1, keepdim=True, out=first[1].grad)
            optimizer.step()
            schedule.step()
        for p in self.parameters:
            p.grad = None

    def part(self, at: int) -> Networks:
        """One of the models, as a view."""
        return Networks.of([p[at : at + 1] for p in self.parameters])

    @staticmethod
    def of(parameters: list[Tensor]) -> Networks:
        new = object.__new__(Networks)
        new.parameters = parameters
        return new
