"""Train the demo model: `python -m demo_model.train --minutes 80`, on one core. It says how far it is, and keeps a checkpoint.

The schedule follows the clock: the data come in the same order in every run, and a faster machine sees more of them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from demo_model.corpus import case
from demo_model.dialogue import parts
from demo_model.draw import Draw
from demo_model.network import Network, Shape, rounding
from demo_model.optimiser import Muon
from demo_model.published import read
from demo_model.vocabulary import CONTROL, PAD, VISIBLE, Vocabulary, learn

LENGTHS = (48, 64, 96, 128, 160, 208, 256, 320, 448, 640, 1024)
#: Tokens in a batch, about, and cases that are sorted by their length at a time.
BATCH, POOL = 2560, 2048
#: Where the learning rates begin to fall, and where weights begin to be rounded as the file will hold them.
FALL, ROUND = 0.45, 0.4
#: How far the schedule is where training goes on from a model that is finished: its rates fall from a third.
LATE = 0.82
SEED = 2026
VOCABULARY = "vocabulary.json"


@dataclass(frozen=True, slots=True)
class Batch:
    """Token ids (cases, length), what follows each, and how much it counts."""

    ids: Tensor
    following: Tensor
    weights: Tensor


def encoded(vocabulary: Vocabulary, pieces: list[tuple[str, float]]) -> tuple[list[int], list[float]]:
    """Cut a conversation into tokens; each has the weight of the text it begins in."""
    cut = vocabulary.tokenizer.encode("".join(text for text, _ in pieces), add_special_tokens=False)
    weights = [weight for text, weight in pieces for _ in text]
    return cut.ids, [weights[start] for start, _ in cut.offsets]


def batches(vocabulary: Vocabulary, draw: Draw) -> Iterator[Batch]:
    """Yield batches without end, the cases of each of similar length."""
    while True:
        pool = sorted((encoded(vocabulary, list(parts(case(draw)))) for _ in range(POOL)), key=lambda one: len(one[0]))
        waiting: dict[int, list[tuple[list[int], list[float]]]] = {length: [] for length in LENGTHS}
        made: list[Batch] = []
        for one in pool:
            length = next((length for length in LENGTHS if len(one[0]) <= length), None)
            if length is None:
                continue
            waiting[length].append(one)
            if len(waiting[length]) == max(1, BATCH // length):
                made.append(_padded(waiting.pop(length), length, vocabulary.id(PAD)))
                waiting[length] = []
        made += [_padded(rest, length, vocabulary.id(PAD)) for length, rest in waiting.items() if rest]
        draw.shuffle(made)
        yield from made


def _padded(cases: list[tuple[list[int], list[float]]], length: int, pad: int) -> Batch:
    ids = torch.full((len(cases), length), pad)
    weights = torch.zeros(len(cases), length)
    for row, (tokens, counts) in enumerate(cases):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        weights[row, : len(tokens) - 1] = torch.tensor(counts[1:])
    return Batch(ids, ids.roll(-1, 1), weights)


def losses(network: Network, batch: Batch) -> Tensor:
    """Return the mean loss of what the model itself writes."""
    written = batch.weights > 0
    logits = network(batch.ids, network.turns(batch.ids.shape[1]), written).float()
    return F.cross_entropy(logits, batch.following[written])


class Training:
    """A network in training, and what is needed to go on with it later."""

    def __init__(self, folder: Path, *, compiled: bool) -> None:
        torch.manual_seed(SEED)
        torch.set_num_threads(1)
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "checkpoint.pt"
        self.vocabulary = _vocabulary(folder / VOCABULARY)
        self.network = Network(Shape(vocabulary=len(self.vocabulary.tokens)))
        if compiled:
            for block in self.network.blocks:
                block.compile(dynamic=True)
        matrices = self.network.matrices()
        others = [one for one in self.network.parameters() if all(one is not matrix for matrix in matrices)]
        self.optimisers: tuple[torch.optim.Optimizer, ...] = (
            Muon(matrices, lr=0.02),
            torch.optim.AdamW(others, lr=4e-3, betas=(0.9, 0.98), weight_decay=0.0),
        )
        self.rates = [group["lr"] for optimiser in self.optimisers for group in optimiser.param_groups]
        self.step, self.tokens, self.done, self.loss = 0, 0, 0.0, 3.0

    def learn(self, batch: Batch, done: float) -> None:
        """Take a step; `done` is the share of the time that is over."""
        self.step, self.done = self.step + 1, done
        groups = [group for optimiser in self.optimisers for group in optimiser.param_groups]
        for group, rate in zip(groups, self.rates, strict=True):
            group["lr"] = rate * min(1.0, self.step / 50) * min(1.0, (1.02 - done) / (1 - FALL))
        with rounding([*self.network.matrices(), self.network.embedding]) if done > ROUND else nullcontext():
            loss = losses(self.network, batch)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad()
        self.tokens += int((batch.ids != self.vocabulary.id(PAD)).sum())
        self.loss += 0.02 * (float(loss.detach()) - self.loss)

    def begin(self, file: Path) -> None:
        """Go on from a finished model, with fresh optimisers and low rates."""
        self.network.load_state_dict({name: torch.tensor(weight) for name, weight in read(file)[1].items()})
        self.done = LATE

    def save(self) -> None:
        """Write the checkpoint, which appears whole."""
        whole = {"network": self.network.state_dict(), "optimisers": [one.state_dict() for one in self.optimisers]}
        counts = {"step": self.step, "tokens": self.tokens, "done": self.done, "loss": self.loss}
        torch.save(whole | counts, self.file.with_suffix(".part"))
        self.file.with_suffix(".part").replace(self.file)

    def load(self) -> None:
        """Go on from the checkpoint."""
        saved = torch.load(self.file)
        self.network.load_state_dict(saved["network"])
        for optimiser, state in zip(self.optimisers, saved["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        self.step, self.tokens, self.done, self.loss = (saved[name] for name in ("step", "tokens", "done", "loss"))

    def __str__(self) -> str:
        return f"{self.done:6.1%}  step {self.step:5}  {self.tokens / 1e6:6.2f} M tokens  loss {self.loss:.4f}"


def train(folder: Path, minutes: float, *, compiled: bool, resume: bool, begin: Path | None) -> None:
    """Train for so many minutes; `folder` gets the vocabulary, and a checkpoint every two minutes to `resume` from.

    `begin` is a finished model, whose training goes on.
    """
    if begin is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / VOCABULARY).write_text(read(begin)[0].to_json(), encoding="utf-8")
    training = Training(folder, compiled=compiled)
    if resume:
        training.load()
    elif begin is not None:
        training.begin(begin)
    begun = training.done
    started = saved = said = time.monotonic()
    for batch in batches(training.vocabulary, Draw(f"{SEED} {begun} {training.step}")):
        now = time.monotonic()
        done = begun + (1 - begun) * (now - started) / (60 * minutes)
        if done >= 1:
            break
        training.learn(batch, done)
        if now - said > 20:
            said = now
            print(training, flush=True)
        if now - saved > 120:
            saved = now
            training.save()
    training.save()


def _vocabulary(file: Path) -> Vocabulary:
    if not file.exists():
        draw = Draw(SEED)
        special = CONTROL + VISIBLE
        texts = ("".join(text for text, _ in parts(case(draw))) for _ in range(6000))
        cleaned = (line for text in texts for line in _without(text, special))
        file.write_text(learn(cleaned).to_json(), encoding="utf-8")
    return Vocabulary.from_json(file.read_text(encoding="utf-8"))


def _without(text: str, special: tuple[str, ...]) -> list[str]:
    for token in special:
        text = text.replace(token, "\0")
    return text.split("\0")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=80)
    parser.add_argument("--folder", type=Path, default=Path("build/demo-model"))
    parser.add_argument("--compile", action="store_true", help="let torch compile the network (needs a C++ compiler)")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in the folder")
    parser.add_argument("--begin", type=Path, metavar="FILE", help="go on from a finished model, with low rates")
    given = parser.parse_args()
    train(given.folder, given.minutes, compiled=given.compile, resume=given.resume, begin=given.begin)
