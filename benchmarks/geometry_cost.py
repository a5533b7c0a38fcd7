"""Geometry of features beside matrix products, whole-matrix forms and torch-cka.

One thread, warm, in turns, medians. Features are float32, as networks give them, and every result
is computed in float64 but for the peers', whose own precision it is. Memory is the growth of a
fresh process at its peak during one call, copies of the input in float64 included.
"""

import contextlib
import io
import math
import subprocess
import sys

import timing
import torch
from costs import row

from pnpfuse_analysis import RunningCKA, cka, effective_rank, mmd2, uniformity


def noise(n, d, seed=0):
    """Gaussian noise (n, d)."""
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def related(n, dx, dy):
    """Features (n, dx) and (n, dy) that share one direction."""
    x = noise(n, dx)
    return x, x[:, :1].repeat(1, dy) + noise(n, dy, 1)


def line(name, times, against, kind="floor", **sizes):
    """The row of times "here" and `against`."""
    seconds = times[against].seconds
    return row(name, times["here"].seconds, against=(kind, against, seconds), **sizes)


def whole_uniformity(x, t=2.0):
    """Uniformity from all distances at once."""
    return torch.pdist(torch.nn.functional.normalize(x)).square().mul(-t).exp().mean().log()


def whole_mmd2(x, y, bandwidth):
    """Unbiased MMD^2 from whole kernel matrices."""

    def kernel(a, b):
        return torch.exp(-torch.cdist(a, b).square() / (2 * bandwidth**2))

    def mean(k):
        return (k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1))

    return mean(kernel(x, x)) + mean(kernel(y, y)) - 2 * kernel(x, y).mean()


def by_torch_cka(x, y):
    """A call that compares x and y by torch-cka, through models that change nothing."""
    from torch_cka import CKA

    class Same(torch.nn.Module):
        def __init__(self, columns):
            super().__init__()
            self.columns, self.layer = columns, torch.nn.Identity()

        def forward(self, rows):
            return self.layer(rows[:, self.columns])

    rows = torch.utils.data.TensorDataset(torch.cat((x, y), 1))
    loader = torch.utils.data.DataLoader(rows, batch_size=len(x))
    width = x.shape[1]

    def call():
        one, other = Same(slice(0, width)), Same(slice(width, None))
        names = {"model1_name": "x", "model2_name": "y"}
        layers = {"model1_layers": ["layer"], "model2_layers": ["layer"]}
        peer = CKA(one, other, **names, **layers, device="cpu")
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
            try:
                peer.compare(loader, loader)
            except AssertionError:  # it found NaN
                return math.nan
        return float(peer.export()["CKA"])

    return call


def similarity(quick, rounds):
    """CKA in the space of features, in that of samples, by batches, and beside torch-cka."""
    n, d = (2000, 128) if quick else (10000, 512)
    x, y = related(n, d, d)
    wide_x, wide_y = x.double(), y.double()
    times = timing.in_turn(
        {
            "one product X^T Y in float64": lambda: wide_x.T @ wide_y,
            "here": lambda: cka(x, y),
        },
        rounds,
    )
    yield line("linear CKA, N > d", times, "one product X^T Y in float64", N=n, d=d)

    x, y = related(n // 10, d * 16, d * 16)
    wide_x = x.double()
    times = timing.in_turn(
        {
            "one product X X^T in float64": lambda: wide_x @ wide_x.T,
            "here": lambda: cka(x, y),
        },
        rounds,
    )
    yield line("linear CKA, N < d", times, "one product X X^T in float64", N=n // 10, d=16 * d)

    x, y = related(256, d, d)
    wide_x, wide_y, running = x.double(), y.double(), RunningCKA()
    times = timing.in_turn(
        {
            "one product X^T Y in float64": lambda: wide_x.T @ wide_y,
            "here": lambda: running.update(x, y),
        },
        rounds,
    )
    yield line("CKA of a batch, update", times, "one product X^T Y in float64", N=256, d=d)

    n = 300 if quick else 1500
    x, y = related(n, d, d)
    try:
        peer = by_torch_cka(x, y)
    except ImportError:
        return
    times = timing.in_turn({"torch-cka": peer, "here": lambda: float(cka(x, y))}, rounds)
    found = line("linear CKA beside torch-cka", times, "torch-cka", "peer", N=n, d=d)
    yield found | {"value": times["here"].result, "value of torch-cka": times["torch-cka"].result}
    # Few samples far from the origin: what float32 leaves of inner products that are not centred.
    x, y = related(32, 64, 64)
    calls = {"torch-cka": by_torch_cka(x + 30, y + 30), "here": lambda: float(cka(x + 30, y + 30))}
    times = timing.in_turn(calls, rounds)
    found = line("linear CKA far from the origin", times, "torch-cka", "peer", N=32, d=64)
    values = {"value": times["here"].result, "value of torch-cka": times["torch-cka"].result}
    yield found | values | {"value without offset": float(cka(x, y))}


def clouds(quick, rounds):
    """Uniformity, MMD and effective rank beside their whole-matrix forms."""
    n = 1000 if quick else 4000
    for d in (16, 256):
        x = noise(n, d)
        wide, other = x.double(), noise(n, d, 1)
        times = timing.in_turn(
            {
                "torch.pdist in float64": lambda wide=wide: whole_uniformity(wide),
                "torch.pdist in float32": lambda x=x: whole_uniformity(x),
                "here": lambda x=x: uniformity(x),
            },
            rounds,
        )
        for against in list(times)[:2]:
            yield line("uniformity", times, against, N=n, d=d)
        wide_other = other.double()
        times = timing.in_turn(
            {
                "whole kernel matrices in float64": lambda a=wide, b=wide_other: whole_mmd2(
                    a, b, 4.0
                ),
                "here": lambda a=x, b=other: mmd2(a, b, 4.0),
            },
            rounds,
        )
        yield line("MMD^2", times, "whole kernel matrices in float64", N=n, d=d)
    d = 64 if quick else 256
    x = noise(n, d)
    wide = x.double()
    times = timing.in_turn(
        {
            "torch.linalg.svdvals in float64": lambda: torch.linalg.svdvals(wide),
            "here": lambda: effective_rank(x),
        },
        rounds,
    )
    yield line("effective rank", times, "torch.linalg.svdvals in float64", N=n, d=d)


def growth(quick, rounds):
    """Times the seconds for twice the samples: 2 is linear, 4 quadratic."""
    n = 2000 if quick else 10000
    calls = {
        "linear CKA": lambda rows: cka(*related(rows, 128, 128)),
        "uniformity": lambda rows: uniformity(noise(rows // 4, 32)),
    }
    for name, call in calls.items():
        pair = {"half the samples": lambda c=call: c(n // 2), "here": lambda c=call: c(n)}
        times = timing.in_turn(pair, rounds)
        rows = n if name == "linear CKA" else n // 4
        yield line(f"growth of {name}", times, "half the samples", N=rows)


MEMORY = """
import time, torch
from pnpfuse_analysis import cka, uniformity

def resident(what):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024

torch.set_num_threads(1)
x = torch.randn({n}, {d}, requires_grad={gradient})
small = x[:600].detach()
{call}(*[small] * {parts})  # what is loaded once
open("/proc/self/clear_refs", "w").write("5")  # the peak begins here
before, start = resident("VmRSS"), time.perf_counter()
value = {call}(*[x] * {parts})
if {gradient}:
    value.backward()
print(time.perf_counter() - start, resident("VmHWM") - before)
"""


def memory(quick):
    """MiB that one call takes beyond its input, and what all pairs would take."""
    n = 4000 if quick else 20000
    cases = [
        ("memory of uniformity", "uniformity", 1, n, 32, False),
        ("memory of uniformity and its gradient", "uniformity", 1, n, 32, True),
        ("memory of linear CKA", "cka", 2, 5 * n, 64, False),
    ]
    for name, call, parts, rows, d, gradient in cases:
        code = MEMORY.format(n=rows, d=d, call=call, parts=parts, gradient=gradient)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        if done.returncode:  # only Linux tells
            continue
        seconds, grown = (float(word) for word in done.stdout.split())
        yield {
            "line": name,
            "here": seconds,
            "MiB": grown,
            "MiB of all pairs": rows * rows * 8 / 2**20,
            "N": rows,
            "d": d,
        }


def measure(quick=False):
    """Return the rows: line, here, floor or peer (name, seconds), ratio, goal, sizes."""
    torch.set_num_threads(1)
    rounds = 3 if quick else 5
    return [
        *similarity(quick, rounds),
        *clouds(quick, rounds),
        *growth(quick, rounds),
        *memory(quick),
    ]
