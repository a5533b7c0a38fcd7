"""Where the boundary of PMR lies and how wide it is: hard, mapped, soft and learned, side by side.

    python benchmarks/soft.py digits mosi.npz ... [--seeds 5] [--epochs 30] [--out soft.json]

Every boundary is trained with the same seeds on the same rows: rpmr, n = 4, all else as
`pnpfuse compare` has it. For each data set a line a boundary: test accuracy in percent, all present
and one modality missing (mean over the modalities), mean and standard deviation over the seeds; and
the difference to the hard cut at b = 1/2, seed by seed, with its 95 % interval (Student's t). A
boundary that comes out as an earlier one to the channel is not trained again. "other draws" is the
hard cut at b = 1/2 itself, as the limit of a soft one: its weights are drawn in another order, so
what it gains or loses is chance, and so is a gain or loss like it.
"""

import argparse
import json
import math
from pathlib import Path

import timing
import torch
from scipy.stats import t as student

from pnpfuse import compare, load_views
from pnpfuse.experiment import mapped_options
from pnpfuse.fusion import create_model

MODEL, N = "rpmr", 4
REFERENCE, CONTROL = "b = 1/2", "b = 1/2, other draws"
LIMIT = 1e5  # kT/e, at which no share of any channel differs from 0 and 1 in single precision
VOLTAGES = (2, 5, 20)  # of the soft boundary at b = 1/2
HIGHEST = 640
CONDITIONS = {"none": "all present", "each": "one missing"}


def mapped(views):
    """b of each modality and the voltage, the lowest of 20, 40, ... where the analogy stands."""
    voltage = 20.0
    while True:
        try:
            found = mapped_options(views, model=MODEL, n=N, voltage=voltage)
            if not found.void or voltage >= HIGHEST:
                return found.b, voltage
        except ValueError:
            if voltage >= HIGHEST:
                raise
        voltage *= 2


def boundaries(views):
    """{label: options} of all the boundaries to compare."""
    b, high = mapped(views)
    soft = {
        f"soft, {voltage} kT/e": {"b": 0.5, "boundary": "soft", "voltage": voltage}
        for voltage in VOLTAGES
    }
    return {
        REFERENCE: {"b": 0.5},
        CONTROL: {"b": 0.5, "boundary": "soft", "voltage": LIMIT},
        "mapped": {"b": b},
        **soft,
        f"mapped and soft, {high:g} kT/e": {"b": b, "boundary": "soft", "voltage": high},
        "learned from 1/2, 5 kT/e": {"b": 0.5, "boundary": "learned", "voltage": 5},
        "learned from 1/2, 20 kT/e": {"b": 0.5, "boundary": "learned", "voltage": 20},
        f"learned from mapped, {high:g} kT/e": {"b": b, "boundary": "learned", "voltage": high},
    }


def distinct(views, plans):
    """`plans` without those that equal an earlier one, and {label left out: the earlier label}."""
    kept, same, seen = {}, {}, {}
    for label, options in plans.items():
        with torch.random.fork_rng(devices=[]):
            block = create_model(MODEL, views.dims, views.classes, n=N, **options).block
        key = (
            tuple(block.widths.boundary.items()),
            options.get("boundary"),
            options.get("voltage"),
        )
        if key in seen:
            same[label] = seen[key]
        else:
            seen[key], kept[label] = label, options
    return kept, same


def paired(differences):
    """Mean of the differences over the seeds, and half the width of its 95 % interval."""
    count, mean = len(differences), sum(differences) / len(differences)
    if count < 2:
        return mean, math.nan
    variance = sum((d - mean) ** 2 for d in differences) / (count - 1)
    return mean, float(student.ppf(0.975, count - 1)) * math.sqrt(variance / count)


def measure(name, given):
    """One row for each boundary on one data set."""
    views = load_views(name)
    plans, same = distinct(views, boundaries(views))
    ends = {}

    def note(label, seed, model):
        ends.setdefault(label, []).append(model.block.interface())

    scores = compare(
        {label: (MODEL, {"n": N, **options}) for label, options in plans.items()},
        views,
        seeds=given.seeds,
        epochs=given.epochs,
        inspect=note,
        device="cpu",
    )
    for label, options in plans.items():
        row = {"data": Path(name).stem, "boundary": label, "options": options}
        row["b"] = ends[label][0] if options.get("boundary") != "learned" else ends[label]
        row["parameters"] = int(scores["parameters"].sel(model=label))
        row["equals"] = [other for other, first in same.items() if first == label]
        for condition in CONDITIONS:
            accuracy = 100 * scores["accuracy"].sel(condition=condition)
            values = accuracy.sel(model=label).values
            ahead, half = paired((values - accuracy.sel(model=REFERENCE).values).tolist())
            row[condition] = {
                "seeds": values.tolist(),
                "mean": float(values.mean()),
                "sd": float(values.std(ddof=1)) if len(values) > 1 else math.nan,
                "ahead": ahead,
                "half": half,
                "beyond": bool(abs(ahead) > half),
            }
        yield row


def text(row):
    """One line: label, and for each condition accuracy and difference."""
    parts = [f"{row['data']:12} {row['boundary']:30}"]
    for condition in CONDITIONS:
        one = row[condition]
        accuracy = f"{one['mean']:5.1f} +- {one['sd']:3.1f}"
        ahead = f"{one['ahead']:+5.1f} +- {one['half']:3.1f}" + (" *" if one["beyond"] else "  ")
        parts.append(f"{accuracy}  {ahead}")
    return "   ".join(parts) + "".join(f"  (= {other})" for other in row["equals"])


def main():
    """Compare on each data set, print a line a boundary and write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="+", help="as for load_views: digits, or a file")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--out", default=str(Path(__file__).with_name("soft.json")))
    given = parser.parse_args()
    torch.set_num_threads(1)
    timing.PACKAGES = ("pnpfuse", "numpy", "scipy", "torch")
    report = {"machine": timing.machine(), "seeds": given.seeds, "epochs": given.epochs, "rows": []}
    heads = (f"{word}, ahead of {REFERENCE}" for word in CONDITIONS.values())
    print(" " * 46 + "".join(f"{head:30}" for head in heads) + "* beyond the 95 % interval")
    for name in given.data:
        for row in measure(name, given):
            report["rows"].append(row)
            print(text(row), flush=True)
        Path(given.out).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
