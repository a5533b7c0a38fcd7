"""SCOPE's balanced fusion over neighbours beside the dense form, in one run on one thread.

    python benchmarks/scope.py [--quick] [--device cpu|cuda] [--rounds 5] [--out scope.json]

The graphs of three views are given; both forms start from them, take the same weights and end in
the same numbers. The dense form is written as well as it goes: one masked softmax of the scaled
scores, and A(A(A h)) in place of powers of A. Calls are taken in turns, warm; medians, `busy` of
processor time. Memory is what a new process adds to its peak for one call (on CUDA the peak beyond
what lies there before). Beside both stands the search for the neighbours, which is of all pairs.
"""

import argparse
import json
import math
import os
from pathlib import Path

import timing
import torch
from fresh import run

from pnpfuse.fusion.diffusion import coefficients
from pnpfuse.fusion.scope.balanced import BalancedFusion
from pnpfuse.fusion.scope.semantic import semantic_graph

WIDTH, VIEWS, STEPS, K = 64, 3, 3, 30
MEMORY = """
import sys
sys.path.insert(0, {here!r})
import timing, torch
from scope import Case
torch.set_num_threads(1)
case = Case({batch}, {k}, {steps}, "cpu")
for form in ("sparse", "dense"):
    Case(64, 4, 1, "cpu").train(form)
found = []
for form in ("sparse", "dense"):
    before = settle()
    case.train(form)
    found.append(peak() - before)
print(json.dumps(found))
"""


class Case:
    """Both forms on a batch, and the search of its graphs."""

    def __init__(self, batch, k, steps, device):
        draw = torch.Generator().manual_seed(0)
        torch.manual_seed(0)
        self.views = [torch.randn(batch, WIDTH, generator=draw).to(device) for _ in range(VIEWS)]
        self.h = torch.randn(batch, WIDTH, generator=draw).to(device).requires_grad_()
        self.slope = torch.randn(batch, WIDTH, generator=draw).to(device)
        self.module = BalancedFusion(WIDTH, steps).to(device)
        self.series = coefficients("renormalised", steps, self.module.xi)
        self.device, self.k = torch.device(device), k
        self.graphs = self.search()

    @torch.no_grad()
    def search(self):
        """The graphs of all views, with their weights."""
        return [semantic_graph(view, self.k) for view in self.views]

    def sparse(self):
        """What the package does."""
        return self.module(self.h, self.graphs)

    def dense(self):
        """The same by matrices of all pairs."""
        h, batch = self.h, len(self.h)
        linked = torch.eye(batch, dtype=torch.bool, device=self.device)
        for graph in self.graphs:
            linked.scatter_(1, graph.index, True)  # every row has all its neighbours here
        query = self.module.query(h) / math.sqrt(WIDTH)
        scores = query @ self.module.key(h).T
        A = scores.masked_fill(~linked, -math.inf).softmax(1)
        power, total = h, self.series[0] * h
        for c in self.series[1:]:
            power = A @ power
            total = total + c * power
        return h + total

    def judge(self, form):
        """A forward pass without a gradient."""
        with torch.no_grad():
            return self._finished(getattr(self, form)())

    def train(self, form):
        """A forward pass and the gradients of h and of the weights."""
        self.module.zero_grad()
        self.h.grad = None
        getattr(self, form)().backward(self.slope)
        return self._finished(self.h.grad)

    def gap(self):
        """Largest difference between the forms, of what comes out and of the gradient of h."""
        apart = [(call("sparse") - call("dense")).abs().max() for call in (self.judge, self.train)]
        return float(max(apart))

    def _finished(self, result):
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return result


def peaks(case, steps):
    """MiB that one call of `train` adds to the peak, sparse and dense."""
    if case.device.type == "cuda":
        return [_peak_on_device(case, form) for form in ("sparse", "dense")]
    here = str(Path(__file__).parent)
    # glibc gives such blocks back at once: nothing freed before hides what a call takes.
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "65536"
    return run(MEMORY.format(here=here, batch=len(case.h), k=case.k, steps=steps))


def _peak_on_device(case, form):
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    case.train(form)
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def measured(what, batch, k, steps, given):
    """One row: seconds and memory of both forms, and of the search."""
    case = Case(batch, k, steps, given.device)
    gap = case.gap()
    if gap > 1e-5:
        raise RuntimeError(f"the two forms differ by {gap:.1e} at batch {batch}, k = {k}")
    calls = {
        f"{name} {form}": lambda call=call, form=form: call(form)
        for name, call in (("forward", case.judge), ("both", case.train))
        for form in ("sparse", "dense")
    }
    times = timing.in_turn(calls | {"search": case.search}, given.rounds)
    row = {"what": what, "batch": batch, "k": k, "steps": steps, "gap": gap}
    for name, time in times.items():
        row |= {name: time.seconds, f"{name} busy": time.busy}
    row["gain forward"] = times["forward dense"].busy / times["forward sparse"].busy
    row["gain both"] = times["both dense"].busy / times["both sparse"].busy
    row["MiB sparse"], row["MiB dense"] = peaks(case, steps)
    return row


def plan(quick):
    """(what, batch, k, steps) of every row."""
    batches = (128, 512) if quick else (128, 256, 512, 1024, 2048, 4096)
    large = batches[-1 if quick else -2]
    for k in (10, 30) if quick else (10, 30, 60):
        for batch in batches:
            yield "batch", batch, k, STEPS
    for k in (10, 20) if quick else (10, 20, 40, 80):
        yield "k", large, k, STEPS
    for steps in (1, 2) if quick else (1, 2, 4, 8):
        yield "T", large, K, steps


def growth(rows, what, column):
    """By what power of the batch, of k or of T a column grows, by least squares; rows of K."""
    name = {"T": "steps"}.get(what, what)
    chosen = [row for row in rows if row["what"] == what and (what != "batch" or row["k"] == K)]
    x = torch.tensor([row[name] for row in chosen]).double().log()
    y = torch.tensor([max(row[column], 1e-9) for row in chosen]).double().log()
    x = x - x.mean()
    return float((x @ y) / (x @ x))


def crossing(rows, k, column):
    """Batch from which on the sparse form is quicker at k neighbours, None for none here."""
    slower = [row["batch"] for row in rows if row["k"] == k and row[column] <= 1]
    quicker = [row["batch"] for row in rows if row["k"] == k and row[column] > 1]
    after = [batch for batch in quicker if batch > max(slower, default=0)]
    return min(after, default=None)


def main():
    """Measure, print a line a row and write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small batches, few k and T")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", default=str(Path(__file__).with_name("scope.json")))
    given = parser.parse_args()
    torch.set_num_threads(1)
    timing.PACKAGES = (*timing.PACKAGES, "torch")
    machine = timing.machine()
    if given.device == "cuda":
        machine["gpu"] = torch.cuda.get_device_name()
    settings = {"width": WIDTH, "views": VIEWS, "quick": given.quick, "device": given.device}
    out = Path(given.out)
    report = {"machine": machine, "settings": settings, "rows": []}
    print(
        "busy ms: forward sparse dense | with gradients sparse dense | search || MiB sparse dense"
    )
    for what, batch, k, steps in plan(given.quick):
        row = measured(what, batch, k, steps, given)
        report["rows"].append(row)
        ms = [1e3 * row[f"{name} {form} busy"] for name in ("forward", "both")
              for form in ("sparse", "dense")]  # fmt: skip
        print(
            f"{what:6}B {batch:5} k {k:3} T {steps}: {ms[0]:8.2f}{ms[1]:9.2f} |{ms[2]:9.2f}"
            f"{ms[3]:9.2f} |{1e3 * row['search busy']:9.2f} ||{row['MiB sparse']:8.1f}"
            f"{row['MiB dense']:8.1f}",
            flush=True,
        )
        out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    rows = report["rows"]
    report["growth"] = {
        f"{column} in {what}": growth(rows, what, column)
        for what in ("batch", "k", "T")
        for column in ("both sparse busy", "both dense busy", "MiB sparse", "MiB dense")
    }
    over = [row for row in rows if row["what"] == "batch"]
    report["sparse quicker from"] = {
        f"{column}, k = {k}": crossing(over, k, column)
        for column in ("gain forward", "gain both")
        for k in sorted({row["k"] for row in over})
    }
    for name in ("growth", "sparse quicker from"):
        print(name, json.dumps(report[name], indent=1))
    out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
