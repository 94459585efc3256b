"""Many small networks trained at once: one hidden layer, batched over models with torch.bmm, gradients by hand."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

LossGradient = Callable[[Tensor, Tensor, Tensor], Tensor]


class Networks:
    """``models`` networks (inputs, hidden, classes); models with equal seeds begin with equal weights."""

    def __init__(self, inputs: int, hidden: int, classes: int, seeds: list[int]) -> None:
        first, second = [], []
        for seed in seeds:
            g = torch.Generator().manual_seed(seed)
            first.append(torch.randn(inputs, hidden, generator=g) * (2.0 / inputs) ** 0.5)
            second.append(torch.randn(hidden, classes, generator=g) * (1.0 / hidden) ** 0.5)
        m = len(seeds)
        self.parameters = [
            torch.stack(first),
            torch.zeros(m, 1, hidden),
            torch.stack(second),
            torch.zeros(m, 1, classes),
        ]

    def logits(self, x: Tensor, models: Tensor | slice = slice(None)) -> Tensor:
        """(m, n, C) for x (m, n, D)."""
        w1, b1, w2, b2 = (p[models] for p in self.parameters)
        return torch.baddbmm(b2, torch.baddbmm(b1, x, w1).relu_(), w2)

    def hidden(self, x: Tensor, models: Tensor | slice = slice(None)) -> Tensor:
        w1, b1 = (p[models] for p in self.parameters[:2])
        return torch.baddbmm(b1, x, w1).relu_()

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
        w1, b1, w2, b2 = self.parameters
        order, place = torch.randperm(n, generator=g), 0
        size = min(batch, n)
        for _ in range(steps):
            if place + size > n:
                order, place = torch.randperm(n, generator=g), 0
            rows = order[place : place + size]
            place += size
            xb, tb = x.index_select(1, rows), targets.index_select(1, rows)
            wb = weight.index_select(1, rows)[:, :, None]
            h = torch.baddbmm(b1, xb, w1).relu_()
            z = torch.baddbmm(b2, h, w2)
            dz = (z.softmax(2) - tb).mul_(wb / size) if gradient is None else gradient(z, tb, wb) / size
            torch.bmm(h.transpose(1, 2), dz, out=w2.grad)
            torch.sum(dz, 1, keepdim=True, out=b2.grad)
            dh = torch.bmm(dz, w2.transpose(1, 2)).masked_fill_(h == 0, 0.0)
            torch.bmm(xb.transpose(1, 2), dh, out=w1.grad)
            torch.sum(dh, 1, keepdim=True, out=b1.grad)
            optimizer.step()
            schedule.step()
        for p in self.parameters:
            p.grad = None

    def part(self, models: Tensor) -> Networks:
        """A copy of some models."""
        new = object.__new__(Networks)
        new.parameters = [p[models].clone() for p in self.parameters]
        return new
