"""The network: llama.cpp's `qwen3` architecture, small. Heads normalise their queries and keys; embeddings are tied."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Network", "Shape", "rounding"]


@dataclass(frozen=True, slots=True)
class Shape:
    """How large it is."""

    vocabulary: int = 1536
    width: int = 160
    layers: int = 5
    heads: int = 5
    feed_forward: int = 384
    rope_base: float = 10000.0
    epsilon: float = 1e-6

    @property
    def head(self) -> int:
        """The width of a head."""
        return self.width // self.heads


@torch.no_grad()
def rounded(weight: Tensor) -> Tensor:
    """Return what remains of a matrix in llama.cpp's Q4_0: blocks of 32 values, a scale and four bits each."""
    blocks = weight.reshape(-1, 32)
    scale = blocks.gather(1, blocks.abs().argmax(dim=1, keepdim=True)) / -8
    steps = torch.floor(torch.where(scale == 0, 0.0, blocks / scale) + 8.5).clamp(0, 15) - 8
    return (steps * scale.half().float()).reshape(weight.shape)


@contextmanager
def rounding(weights: Sequence[nn.Parameter]) -> Generator[None]:
    """Compute with the rounded matrices for a while, so that gradients are those at what the file will hold."""
    exact = [weight.detach().clone() for weight in weights]
    for weight in weights:
        weight.data.copy_(rounded(weight))
    yield
    for weight, kept in zip(weights, exact, strict=True):
        weight.data.copy_(kept)


class Network(nn.Module):
    """Token ids and which positions are `wanted` (batch, length) in, the logits (count, vocabulary) of those out."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Parameter(torch.randn(shape.vocabulary, shape.width) * 0.02)
        self.norm = nn.Parameter(torch.ones(shape.width))
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))

    def matrices(self) -> list[nn.Parameter]:
        """The weights between the embeddings and the end, which one optimiser treats as matrices."""
        return [parameter for parameter in self.blocks.parameters() if parameter.ndim == 2]

    def forward(self, ids: Tensor, turns: tuple[Tensor, Tensor], wanted: Tensor) -> Tensor:
        """Return the logits; `turns` are those of the length, and the blocks compute in bfloat16."""
        x = F.embedding(ids, self.embedding).bfloat16()
        for block in self.blocks:
            x = block(x, turns)
        x = F.rms_norm(x[wanted], (self.shape.width,), self.norm.bfloat16(), self.shape.epsilon)
        return F.linear(x, self.embedding.bfloat16())

    def turns(self, length: int) -> tuple[Tensor, Tensor]:
        """Return the cosines and sines by which positions turn queries and keys."""
        half = self.shape.head // 2
        angles = torch.arange(length)[:, None] * self.shape.rope_base ** (-torch.arange(half) / half)
        return angles.cos().bfloat16(), angles.sin().bfloat16()


class Block(nn.Module):
    """Attention and a gated feed-forward layer, each behind a norm and added to what came in."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width, inner = shape.width, shape.feed_forward

        def matrix(rows: int, columns: int, gain: float = 1.0) -> nn.Parameter:
            return nn.Parameter(torch.randn(rows, columns) * gain * columns**-0.5)

        self.attn_norm, self.ffn_norm = nn.Parameter(torch.ones(width)), nn.Parameter(torch.ones(width))
        self.attn_q_norm, self.attn_k_norm = nn.Parameter(torch.ones(shape.head)), nn.Parameter(torch.ones(shape.head))
        self.attn_q, self.attn_k, self.attn_v = (matrix(width, width) for _ in range(3))
        self.attn_output = matrix(width, width, 0.1)
        self.ffn_gate, self.ffn_up = matrix(inner, width), matrix(inner, width)
        self.ffn_down = matrix(width, inner, 0.1)

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        def through(x: Tensor, weight: Tensor) -> Tensor:
            return F.linear(x, weight.bfloat16())

        def norm(x: Tensor, weight: Tensor) -> Tensor:
            return F.rms_norm(x, weight.shape, weight.bfloat16(), self.shape.epsilon)

        def heads(x: Tensor) -> Tensor:
            return x.view(*x.shape[:2], self.shape.heads, self.shape.head).transpose(1, 2)

        y = norm(x, self.attn_norm)
        query = _turned(norm(heads(through(y, self.attn_q)), self.attn_q_norm), turns)
        key = _turned(norm(heads(through(y, self.attn_k)), self.attn_k_norm), turns)
        found = F.scaled_dot_product_attention(query, key, heads(through(y, self.attn_v)), is_causal=True)
        x = x + through(found.transpose(1, 2).reshape(x.shape), self.attn_output)
        y = norm(x, self.ffn_norm)
        return x + through(F.silu(through(y, self.ffn_gate)) * through(y, self.ffn_up), self.ffn_down)


def _turned(x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    left, right = x.chunk(2, dim=-1)
    cos, sin = turns
    return torch.cat((left * cos - right * sin, right * cos + left * sin), dim=-1)
