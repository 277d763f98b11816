"""Muon: momentum whose steps are made orthogonal, for matrices."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor

__all__ = ["Muon"]

#: The quintic whose iteration drives every singular value towards one.
STEPS, A, B, C = 5, 3.4445, -4.7750, 2.0315


def orthogonal(steps: Tensor) -> Tensor:
    """Return matrices (count, rows, columns) with the same directions and singular values near one."""
    x = steps.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(STEPS):
        square = x @ x.mT
        x = A * x + (B * square + C * square @ square) @ x
    return (x.mT if tall else x).float()


class Muon(torch.optim.Optimizer):
    """Matrices of one shape are treated at once."""

    def __init__(self, matrices: list[torch.nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - there is no closure
        """Move each matrix by its orthogonal step; tall ones move further."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[tuple[torch.nn.Parameter, Tensor]]] = defaultdict(list)
            for one in group["params"]:
                memory: Tensor = self.state[one].setdefault("memory", torch.zeros_like(one))
                memory.lerp_(one.grad, 1 - group["momentum"])
                alike[one.shape].append((one, one.grad.lerp(memory, group["momentum"])))
            for shape, ones in alike.items():
                rate = group["lr"] * max(1.0, shape[0] / shape[1]) ** 0.5
                for (one, _), step in zip(ones, orthogonal(torch.stack([step for _, step in ones])), strict=True):
                    one.mul_(1 - group["lr"] * 0.01).add_(step, alpha=-rate)
