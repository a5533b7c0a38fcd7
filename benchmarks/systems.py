"""SCOPE and InfoBridge beside other fusions, and their ablations: every table of results at once.

    python benchmarks/systems.py FILE... [--parts systems scope infobridge alpha] [--seeds 5]
        [--ablation-seeds 3] [--epochs 30] [--recipe paper] [--jobs 2] [--quick]
        [--out systems.json]
    python benchmarks/systems.py --tables systems.json [--score balanced_accuracy]

systems     models with all modalities, one missing and one alone, and their laziness
            (docs/laziness.md)
scope       its Table 6, Fig. 4 (refinement), k and T
infobridge  its Tables 2 and 3 and InfoNCE, with the held-out bounds on the test rows
alpha       its Fig. 3: accuracy and distance between modalities over the weight of its loss

A training that two parts share is done once. What is finished is kept in --out after every
training, so the same command goes on where it was stopped; --anew begins again, as it must after a
change of the code. Numbers are of the test rows; the training rows alone are learned from, and
nothing is chosen by the test rows.
"""

import argparse
import json
import os
import sys
import time
from concurrent.futures import as_completed
from itertools import combinations
from pathlib import Path

for _name in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
    os.environ.setdefault(f"{_name}_NUM_THREADS", "1")

import systems_tables  # noqa: E402
import timing  # noqa: E402
import torch  # noqa: E402
from torch.nn.functional import normalize  # noqa: E402
from tqdm.auto import tqdm  # noqa: E402

from pnpfuse import create_model, evaluate, fit, load_views  # noqa: E402
from pnpfuse.dominance.measurement import single  # noqa: E402
from pnpfuse.dominance.probing import SCORES, probe  # noqa: E402
from pnpfuse.executors import Processes, received  # noqa: E402
from pnpfuse.fusion.infobridge import TABLE2, TABLE3  # noqa: E402
from pnpfuse.fusion.scope.ablations import TABLE6  # noqa: E402
from pnpfuse.storage import save_text  # noqa: E402
from pnpfuse.threads import cpu_threads  # noqa: E402
from pnpfuse_analysis import kernel_distance  # noqa: E402

ALONE = "concat"
PARTS = {
    "systems": {
        "concat": ("concat", {}),
        "late": ("late", {}),
        "cmmp": ("cmmp", {}),
        "rpmr": ("rpmr", {}),
        "infobridge": ("infobridge", {}),
        "infobridge on rpmr": ("infobridge", {"base": "rpmr"}),
        "infobridge on scope": ("infobridge", {"base": "scope"}),
        "scope": ("scope", {}),
        "scope-transductive": ("scope-transductive", {}),
    },
    "scope": {
        **{row: ("scope", options) for row, options in TABLE6.items()},
        "self-attention only": ("scope", {"refinement": "self"}),
        "cross-attention only": ("scope", {"refinement": "cross"}),
        **{f"k = {k}": ("scope", {"k": k}) for k in (5, 10, 30, 60)},
        **{f"T = {steps}": ("scope", {"steps": steps}) for steps in (0, 1, 3, 5)},
    },
    "infobridge": {
        **{row: ("infobridge", options) for row, options in (TABLE2 | TABLE3).items()},
        "InfoNCE": ("infobridge", {"objective": "infonce", "condition": "none"}),
    },
    # Of one width, so that the modalities have a distance in the encoders' space.
    "alpha": {
        f"alpha = {alpha:g}": ("infobridge", {"alpha": alpha, "width": 64})
        for alpha in (0.0, 0.1, 0.25, 0.5, 1.0)
    },
}
RECIPES = {
    "own": {},
    # SCOPE Sec. 5.1: AdamW, 1e-4 with decay, batches of 60.
    "paper": {"lr": 1e-4, "batch_size": 60, "schedule": "cosine"},
}
PAPER_EPOCHS = 100


def tasks(files, given):
    """{key: task} of every training, each once however many parts want it."""
    found = {}
    for data, views in files.items():
        plans = [
            (part, label, None, name, options)
            for part in given.parts
            for label, (name, options) in PARTS[part].items()
        ]
        if "systems" in given.parts:
            plans += [("systems", f"{m} alone", m, ALONE, {}) for m in views.names]
        for part, label, modality, name, options in plans:
            dims = views.dims if modality is None else {modality: views.dims[modality]}
            try:
                resolved = create_model(name, dims, views.classes, **options).options
            except ValueError as error:
                print(f"left out: {data}, {label}: {error}", file=sys.stderr)
                continue
            for seed in range(given.seeds if part == "systems" else given.ablation_seeds):
                task = {
                    "data": data, "modality": modality, "name": name, "options": resolved,
                    "seed": seed, "epochs": given.epochs, "recipe": given.recipe,
                }  # fmt: skip
                task = found.setdefault(key(task), task | {"given": options, "labels": []})
                task["labels"].append([part, label])
    return found


def key(task):
    """What tells one training from another."""
    names = ("data", "modality", "name", "options", "seed", "epochs", "recipe")
    return json.dumps([task[name] for name in names], sort_keys=True)


def train(files, task):
    """The record of one training: scores, probes, bounds and distances."""
    views = received(files)[task["data"]]
    if task["modality"] is not None:
        views = single(views, task["modality"])
    bridged = task["name"] == "infobridge" and task["options"]["objective"] != "none"
    start = time.perf_counter()
    with cpu_threads(1), torch.random.fork_rng():
        torch.manual_seed(task["seed"])
        model = create_model(task["name"], views.dims, views.classes, **task["given"])
        history = fit(
            model, views, epochs=task["epochs"], seed=task["seed"], device="cpu", progress=False,
            validation=views.test if bridged else 0.0, **RECIPES[task["recipe"]],
        )  # fmt: skip
        record = {"seconds": time.perf_counter() - start}
        scores = evaluate(model, views, "none" if task["modality"] else "all")
        for score in SCORES:
            record[score] = dict(
                zip(scores["condition"].values.tolist(), scores[score].values.tolist(), strict=True)
            )
        if any(part == "systems" for part, _ in task["labels"]):
            found = probe(model, views)
            for name in found:
                record[name] = dict(zip(model.dims, found[name].values.tolist(), strict=True))
        for name in ("bound", "printed_bound"):
            if name in history.validation:
                record[name] = history.validation[name][-1]
        if bridged:
            record |= distances(model, views.test)
    record["parameters"] = sum(weight.numel() for weight in model.parameters())
    return record


@torch.inference_mode()
def distances(model, views):
    """Mean Gaussian kernel distance between two modalities' encoded features, over all pairs.

    Of unit vectors, at bandwidth 1, as `pnpfuse_analysis.kernel_distance`: rows of the same class
    and of different ones; nothing where the encoders differ in width.
    """
    masks = views.present and {m: torch.from_numpy(mask) for m, mask in views.present.items()}
    V = model.encode({m: torch.from_numpy(X) for m, X in views.features.items()}, masks)
    if len({v.shape[1] for v in V.values()}) > 1:
        return {}
    found = [
        kernel_distance(normalize(V[a]), normalize(V[b]), views.labels, 1.0)
        for a, b in combinations(V, 2)
    ]
    return {
        "within": sum(float(one.within) for one in found) / len(found),
        "between": sum(float(one.between) for one in found) / len(found),
    }


def estimate(files, left):
    """Seconds of processor time that the trainings left will take, by two epochs of each kind."""
    kinds = {}
    for task in left:
        kind = task["data"], task["modality"], task["name"], task["given"].get("base")
        kinds.setdefault(kind, []).append(task)
    total = 0.0
    for alike in kinds.values():
        try:
            trial = [train(files, alike[0] | {"epochs": e})["seconds"] for e in (1, 3)]
        except Exception:  # told when it is its turn
            continue
        total += max(trial[1] - trial[0], 0.0) / 2 * sum(task["epochs"] for task in alike)
    return total


def run(given):
    """Do what is not done yet; the report so far stands in --out after every training."""
    files = {Path(name).name: load_views(name) for name in given.data}
    if len(files) < len(given.data):
        raise SystemExit(f"two of the files have one name: {given.data}")
    wanted, done = tasks(files, given), {}
    out = Path(given.out)
    if out.exists() and not given.anew:
        done = {key(r): r for r in json.loads(out.read_text(encoding="utf-8"))["records"]}
    left = {k: t for k, t in wanted.items() if not _has(done.get(k), t)}
    for k, task in wanted.items():
        if k not in left:
            done[k]["labels"] = _joined(done[k]["labels"], task["labels"])
    print(f"{len(wanted)} trainings, {len(left)} of them left", flush=True)
    if left and not given.no_estimate:
        seconds = estimate(files, left.values())
        print(f"about {seconds / given.jobs / 60:.0f} minutes with {given.jobs} jobs", flush=True)
    timing.PACKAGES = ("pnpfuse", "numpy", "scikit-learn", "scipy", "torch")
    report = {"machine": timing.machine(), "records": list(done.values())}
    with Processes(given.jobs) as pool:
        kept = pool.keep(files)
        futures = {pool.submit(train, kept, task): k for k, task in left.items()}
        failed = 0
        with tqdm(as_completed(futures), total=len(futures), disable=None) as bar:
            for future in bar:
                task = left[futures[future]]
                bar.set_description(f"{task['data']}, {task['labels'][0][1]}, seed {task['seed']}")
                try:
                    done[key(task)] = task | future.result()
                except Exception as error:  # told; the others go on
                    failed += 1
                    print(f"failed: {bar.desc}: {timing.brief(error)}", file=sys.stderr)
                    continue
                report["records"] = list(done.values())
                save_text(json.dumps(report) + "\n", out)
    print(f"{len(done)} trainings in {out}, {failed} failed")


def _has(record, task):
    """Whether a record of an earlier run holds all that the task asks for."""
    wants = any(part == "systems" for part, _ in task["labels"])
    return record is not None and ("probe" in record or not wants)


def _joined(first, second):
    return first + [label for label in second if label not in first]


def main():
    """Run, or print the tables of a run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="*", help="as for load_views: digits, or files")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--ablation-seeds", type=int, help="of the other parts (as --seeds)")
    parser.add_argument("--epochs", type=int, help="(30; 100 with --recipe paper)")
    parser.add_argument("--recipe", choices=RECIPES, default="own")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="2 seeds of 3 epochs: to try it")
    parser.add_argument("--anew", action="store_true", help="do not go on from --out")
    parser.add_argument("--no-estimate", action="store_true", help="begin at once")
    parser.add_argument("--out", default=str(Path(__file__).with_name("systems.json")))
    parser.add_argument("--tables", metavar="JSON", help="print the tables of such a file")
    parser.add_argument("--score", choices=SCORES, default="accuracy", help="of the tables")
    given = parser.parse_args()
    if given.epochs is None:
        given.epochs = PAPER_EPOCHS if given.recipe == "paper" else 30
    if given.quick:
        given.seeds, given.epochs = 2, 3
    given.ablation_seeds = given.ablation_seeds or given.seeds
    if given.tables:
        records = json.loads(Path(given.tables).read_text(encoding="utf-8"))["records"]
        print(*systems_tables.tables(records, PARTS, given.score), sep="\n")
    elif given.data:
        run(given)
    else:
        parser.error("give data, or --tables")


if __name__ == "__main__":
    main()
