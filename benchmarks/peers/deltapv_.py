"""deltapv (dPV): an equilibrium and its gradient, in an interpreter of its own.

    DELTAPV_PYTHON=.../bin/python python benchmarks/boundary.py

Its users build a design inside a function and hand that to `jax.value_and_grad`. Here: the
potential of a silicon p-n junction at rest on 500 nodes, as in its examples, summed, with respect
to both dopings. Printed: seconds of the solve, of value and gradient together, and what the
gradient adds over the solve; medians of turns, warm.
"""

import json
import statistics
import time

import deltapv as dpv
import jax
from deltapv import simulator

RUNS = 15
MATERIAL = {
    "eps": 11.7, "Chi": 4.05, "Eg": 1.12, "Nc": 3.2e19, "Nv": 1.8e19, "mn": 1400.0, "mp": 450.0,
    "tn": 1e-8, "tp": 1e-8, "A": 2e4,
}  # fmt: skip


def total(doping):
    """Sum of the potential of a p-n junction at rest, of two dopings [1/cm^3]."""
    design = dpv.make_design(
        n_points=500, Ls=[5e-5, 5e-5], mats=dpv.create_material(**MATERIAL),
        Ns=[doping[0], -doping[1]], Snl=1e7, Snr=1e7, Spl=1e7, Spr=1e7,
    )  # fmt: skip
    return simulator.equilibrium(design, simulator.LightSource()).phi.sum()


def seconds(call):
    """Seconds that a call takes, its result included."""
    start = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - start


def main():
    """Print forward and gradient, and how far differences are off, as JSON."""
    at = jax.numpy.array([1e17, 1e17])
    value, slope = jax.value_and_grad(total)(at)
    step = 1e13
    near = [float(total(at.at[0].add(by))) for by in (-step, step)]
    calls = (lambda: total(at)), (lambda: jax.value_and_grad(total)(at))
    taken = [[seconds(call) for call in calls] for _ in range(RUNS)]
    solve, both = (statistics.median(column) for column in zip(*taken, strict=True))
    report = {
        "solve": solve,
        "both": both,
        "ratio": statistics.median(b / a - 1.0 for a, b in taken),
        "value": float(value),
        "gradient": float(slope[0]),
        "difference": (near[1] - near[0]) / (2 * step),
        "versions": {"deltapv": __import__("importlib.metadata").metadata.version("deltapv"),
                     "jax": jax.__version__},
    }  # fmt: skip
    print(json.dumps(report))


if __name__ == "__main__":
    main()
