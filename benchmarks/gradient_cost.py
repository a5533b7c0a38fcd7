"""What it costs to compare the gradients of two losses, beside the plain training step.

An MLP encoder of 6 x 512, a bottleneck z of 128, two heads, 256 samples, Adam, one thread. Ways are
called in random order, round after round; a ratio is the median over the rounds of the processor's
time beside that of the plain step in the same round. The ways agree with each other bit by bit or
to rounding, as tests/ shows; here only the time counts.
"""

import itertools
import random
import statistics

import timing  # before torch: sets one thread
import torch
from costs import row
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from pnpfuse_analysis import (
    ConflictMonitor,
    every,
    grad_cosine,
    sample_param_cosine,
    split_gradients,
)

GOALS = {"split_gradients": 1.10, "parameters, gradients reused": 1.7}


class Task:
    """The model, its data and its optimiser; `step` is what everybody does."""

    def __init__(self, samples=256, width=512):
        torch.manual_seed(0)
        sizes = [width] * 7
        layers = [m for a, b in itertools.pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())]
        self.model = nn.ModuleDict(
            {
                "encoder": nn.Sequential(*layers, nn.Linear(width, 128)),
                "task": nn.Linear(128, 10),
                "rebuild": nn.Linear(128, width),
            }
        )
        self.encoder = list(self.model["encoder"].parameters())
        self.optimizer = torch.optim.Adam(self.model.parameters(), 1e-4)
        self.x, self.y = torch.randn(samples, width), torch.randint(0, 10, (samples,))
        self.monitors, self.count = {}, 0

    def losses(self, one, other, reduction="mean"):
        rebuilt = mse_loss(self.model["rebuild"](other), self.x, reduction=reduction)
        return {
            "task": cross_entropy(self.model["task"](one), self.y, reduction=reduction),
            "rebuild": rebuilt if reduction == "mean" else rebuilt.mean(1),
        }

    def update(self):
        self.optimizer.step()
        self.optimizer.zero_grad()

    def plain(self):
        z = self.model["encoder"](self.x)
        sum(self.losses(z, z).values()).backward()
        self.update()

    def split(self):
        z = self.model["encoder"](self.x)
        split = split_gradients(z, ["task", "rebuild"])
        with split as parts:
            sum(self.losses(parts["task"], parts["rebuild"]).values()).backward()
        self.update()
        return split.report()

    def asked(self, at="z"):
        """The cosine from gradients of their own, and the usual backward pass after them."""
        z = self.model["encoder"](self.x)
        losses = self.losses(z, z)
        grad_cosine(losses, z if at == "z" else self.encoder, main="task")
        sum(losses.values()).backward()
        self.update()

    def reused(self):
        z = self.model["encoder"](self.x)
        grad_cosine(self.losses(z, z), self.encoder, main="task", accumulate=True)
        self.update()

    def monitored(self, n):
        """A step under a monitor of the bottleneck, due at every n-th."""
        if n not in self.monitors:
            self.monitors[n] = ConflictMonitor(
                self.model, {"z": "encoder"}, ["task", "rebuild"], main="task", schedule=every(n)
            )
        with self.monitors[n].attach() as monitor:
            z = self.model["encoder"](self.x)
            losses = self.losses(z, z)
            monitor.step(losses, 0 if n == 1 else 1)
            sum(losses.values()).backward()
            self.update()

    def by_sample(self, method):
        z = self.model["encoder"](self.x)
        losses = self.losses(z, z, "none")
        return sample_param_cosine(self.model, losses, ["encoder"], main="task", method=method)


def turns(calls, rounds, seed=0):
    """Return {name: (seconds, busy seconds) of each round}, in random order and warm."""
    order, taken = random.Random(seed), {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name in order.sample(list(calls), len(calls)):
            taken[name].append(timing.clock(calls[name])[:2])
    return taken


def rows(calls, rounds, **sizes):
    """One row for each way beside the plain step."""
    taken = turns(calls, rounds)
    plain, floor = zip(*taken["plain step"], strict=True)
    for name, pairs in taken.items():
        seconds, busy = zip(*pairs, strict=True)
        ratios = [a / b for a, b in zip(busy, floor, strict=True)]
        found = row(
            name,
            statistics.median(seconds),
            against=("floor", "plain step", statistics.median(plain)),
            goal=GOALS.get(name),
            **sizes,
        )
        # The ratio of each round apart: load comes and goes between rounds, not within.
        found["ratio"] = statistics.median(ratios)
        if "goal" in found:
            found["met"] = found["ratio"] <= GOALS[name]
        yield found


def measure(quick=False):
    """Return all rows; `quick` takes few rounds and leaves out growth."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return list(_measure(9 if quick else 41, not quick))
    finally:
        torch.set_num_threads(threads)


def _measure(rounds, growth):
    task = Task()
    calls = {
        "plain step": task.plain,
        "split_gradients": task.split,
        "grad_cosine at z, usual backward": task.asked,
        "ConflictMonitor at z, step not due": lambda: task.monitored(10),
        "ConflictMonitor at z, step due": lambda: task.monitored(1),
        "parameters, usual backward": lambda: task.asked("parameters"),
        "parameters, gradients reused": task.reused,
        "each sample's parameters, ghost (no update)": lambda: task.by_sample("ghost"),
    }
    yield from rows(calls, rounds, samples=256, width=512)
    slow = {
        "plain step": task.plain,
        "each sample's parameters, vmap (no update)": lambda: task.by_sample("vmap"),
    }
    yield from list(rows(slow, 1, samples=256, width=512))[1:]
    if not growth:
        return
    for samples, width in [(64, 512), (1024, 512), (256, 128), (256, 1024)]:
        other = Task(samples, width)
        few = {
            "plain step": other.plain,
            "split_gradients": other.split,
            "parameters, gradients reused": other.reused,
            "each sample's parameters, ghost (no update)": lambda t=other: t.by_sample("ghost"),
        }
        yield from rows(few, 11, samples=samples, width=width)
