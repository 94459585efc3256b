"""Many small students trained at once: batched over models with torch.bmm, gradients by hand."""

from __future__ import annotations

import math
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
        return self.head(self.hidden(x))

    def head(self, hidden: Tensor) -> Tensor:
        """The logits of points whose hidden units are known."""
        *_, w, b = self.parameters
        return torch.baddbmm(b, hidden, w)

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
        The parameters are new tensors afterwards.

        ``gradient``: of the summed loss in the logits, from (logits, rows of targets, weights); None is the weighted
        cross-entropy's.
        """
        g = torch.Generator().manual_seed(seed)
        n = x.shape[1]
        flat, self.parameters = in_one(self.parameters)  # the optimizer's overhead is that of one tensor
        flat.grad, slopes = in_one([torch.zeros_like(p) for p in self.parameters])
        optimizer = torch.optim.AdamW([flat], lr=lr, weight_decay=decay, fused=True)
        *first, w2, b2 = self.parameters
        order, place = torch.randperm(n, generator=g), 0
        size = min(batch, n)
        for step in range(steps):
            if place + size > n:
                order, place = torch.randperm(n, generator=g), 0
            rows = order[place : place + size]
            place += size
            xb, tb = x.index_select(1, rows), targets.index_select(1, rows)
            wb = weight.index_select(1, rows)[:, :, None]
            h = self.hidden(xb)
            z = torch.baddbmm(b2, h, w2)
            dz = z.softmax(2).sub_(tb).mul_(wb / size) if gradient is None else gradient(z, tb, wb) / size
            torch.bmm(h.transpose(1, 2), dz, out=slopes[-2])
            torch.sum(dz, 1, keepdim=True, out=slopes[-1])
            if first:
                dh = torch.bmm(dz, w2.transpose(1, 2)).mul_(h.sign_())
                torch.bmm(xb.transpose(1, 2), dh, out=slopes[0])
                torch.sum(dh, 1, keepdim=True, out=slopes[1])
            optimizer.param_groups[0]["lr"] = 0.5 * lr * (1.0 + math.cos(math.pi * step / steps))
            optimizer.step()

    def part(self, at: int) -> Networks:
        """One of the models, as a view."""
        return Networks.of([p[at : at + 1] for p in self.parameters])

    @staticmethod
    def of(parameters: list[Tensor]) -> Networks:
        new = object.__new__(Networks)
        new.parameters = parameters
        return new


def in_one(tensors: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """The tensors' numbers in one row, and the tensors as views of it."""
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    parts = flat.split([tensor.numel() for tensor in tensors])
    return flat, [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]
