"""Two real processes that exchange gradients train as one process does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import load_file, save_file
from test_validation import as_lazy

from pnpfuse.data import Views
from pnpfuse.distributed import from_first, gather, join_processes, rank, shard, world
from pnpfuse.fusion import create_model
from pnpfuse.training import fit

ROWS, BATCH = 130, 43  # three batches of 43 rows, which two processes cannot halve, and one of 1


def example():
    random = np.random.default_rng(0)
    labels = np.arange(ROWS) % 3
    a = random.normal(size=(ROWS, 6)) + labels[:, None]
    features = {"a": a, "b": random.normal(size=(ROWS, 4))}
    return Views.from_arrays(features, labels, np.zeros(ROWS, int))


def with_an_idle_part(model):
    """A parameter that no loss depends on: DistributedDataParallel has to be told of it."""
    model.idle = torch.nn.Linear(2, 2)


def added_up(losses, model):
    """An aggregator that is linear, so that shards make no difference to it."""
    (losses["task"] + 0.3 * losses["preservation"]).backward()


RUNS = {
    "plain": {},
    "sgd": {"optimizer": "sgd", "lr": 0.1, "schedule": "step", "block_lr": 1e-2, "clip": 0.5},
    "homoscedastic": {"weighting": "homoscedastic"},
    "aggregator": {"weighting": added_up},
    "early": {"validation": 0.2, "patience": 1, "optimizer": "sgd", "lr": 1.0},
    "lazy": {"lazy": True},
    "idle": {"idle": True},
}
# Their losses compare the rows of a batch, of which each process sees its shard.
SMALL = {"block_width": 8, "heads": 2, "k": 3, "bank": 16}
AROUND = {"base": "scope", "base_options": SMALL, "memory": 24}
COUPLED = {
    "scope": ("scope", SMALL, {"weighting": "printed-trained"}),
    "infobridge": ("infobridge", AROUND, {"validation": 0.2, "lazy": True}),
    "alternating": ("infobridge", {"updates": "alternating", "memory": 24}, {}),
    "cluster": ("infobridge", {"condition": "cluster", "clusters": 3, "memory": 24}, {}),
}


def train(options, name="spmr", model_options=None, **more):
    options = {"epochs": 3, "batch_size": BATCH, "device": "cpu"} | options | more
    views = as_lazy(example()) if options.pop("lazy", False) else example()
    # Other weights in each process: the first one's count.
    torch.manual_seed(100 * rank())
    dropout = options.pop("dropout", 0.0)
    model = create_model(name, views.dims, 3, dropout=dropout, **model_options or {}).double()
    if options.pop("idle", False):
        with_an_idle_part(model)
    return model, fit(model, views, **options)


def outcome(model, history):
    parts = {"losses": history.losses, "validation": history.validation}
    parts |= {"variances": history.variances, "best": history.best_epoch}
    return {k: v.clone() for k, v in model.state_dict().items()}, parts


def work(folder):
    """What each of the two processes does."""
    from pnpfuse.cli import main

    torch.set_num_threads(1)
    join_processes("cpu")
    for name, options in RUNS.items():
        weights, parts = outcome(*train(options))
        save_file(weights, folder / f"{name}-{rank()}.safetensors")
        (folder / f"{name}-{rank()}.json").write_text(json.dumps(parts))
    for label, (name, options, settings) in COUPLED.items():
        weights, parts = outcome(*train(settings, name, options))
        save_file(weights, folder / f"{label}-{rank()}.safetensors")
        (folder / f"{label}-{rank()}.json").write_text(json.dumps(parts))
    resume_to_the_same_bits(folder)
    errors_reach_everyone()
    arguments = ["train", str(folder / "data.npz"), "--device", "cpu", "--epochs", "2"]
    assert main([*arguments, "--checkpoint", "--out", str(folder / "out")]) == 0
    assert main([*arguments, "--recipe", "best", "--out", str(folder / "out")]) == 2


def resume_to_the_same_bits(folder):
    """With dropout, which each process draws for itself."""
    from pnpfuse.trainer import Trainer

    options = {"dropout": 0.5, "validation": 0.2}
    whole = outcome(*train(options))
    count, step = iter(range(1000)), Trainer._step

    def stopped(*arguments):
        if next(count) == 6:  # in the second epoch
            raise KeyboardInterrupt
        return step(*arguments)

    Trainer._step = stopped
    try:
        train(options, checkpoint=folder / "state")
    except KeyboardInterrupt:
        pass
    Trainer._step = step
    again = outcome(*train(options, checkpoint=folder / "state"))
    assert again[1] == whole[1]
    assert all(torch.equal(again[0][name], value) for name, value in whole[0].items())


def errors_reach_everyone():
    """What the first process alone runs into must not leave the other waiting."""

    def fail():
        raise ValueError(f"found by {rank()}")

    with pytest.raises(ValueError, match="found by 0"):
        from_first(fail)
    assert from_first(lambda: 7 + rank()) == 7
    assert [int(t) for t in gather(torch.tensor(rank()))] == [0, 1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where two processes under torchrun have left their results."""
    folder = tmp_path_factory.mktemp("two")
    random = np.random.default_rng(0)
    y = np.arange(60) % 2
    np.savez(folder / "data.npz", view_a=random.normal(size=(60, 3)) + y[:, None],
             view_b=random.normal(size=(60, 2)), y=y)  # fmt: skip
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        __file__, str(folder),
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-4000:]
    (folder / "shown.txt").write_text(done.stdout)
    (folder / "errors.txt").write_text(done.stderr)
    return folder


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_train_as_one(folder, name):
    """In float64, after 12 steps: what is left of a difference is rounding."""
    weights, parts = outcome(*train(RUNS[name], progress=False))
    found = [load_file(folder / f"{name}-{r}.safetensors") for r in (0, 1)]
    for key, expected in weights.items():
        assert torch.equal(found[0][key], found[1][key]), key
        torch.testing.assert_close(found[0][key], expected, rtol=1e-6, atol=1e-9, msg=key)
    for r in (0, 1):
        told = json.loads((folder / f"{name}-{r}.json").read_text())
        assert told["best"] == parts["best"]
        for kind in ("losses", "validation", "variances"):
            assert set(told[kind]) == set(parts[kind])
            for column, values in parts[kind].items():
                assert told[kind][column] == pytest.approx(values, rel=1e-6), (kind, column)


@pytest.mark.parametrize("label", COUPLED)
def test_two_processes_end_with_one_model_where_losses_compare_rows(folder, label):
    """Weights, bank and memory alike; the bank and the clusters' start those of one process."""
    name, options, settings = COUPLED[label]
    weights, parts = outcome(*train(settings, name, options, progress=False))
    found = [load_file(folder / f"{label}-{r}.safetensors") for r in (0, 1)]
    told = [json.loads((folder / f"{label}-{r}.json").read_text()) for r in (0, 1)]
    assert told[0] == told[1] and set(told[0]["losses"]) == set(parts["losses"])
    assert found[0].keys() == weights.keys()
    for key, value in found[0].items():
        assert torch.equal(value, found[1][key]) and value.isfinite().all(), key
        if key.startswith("bank.") or ".centres" in key:
            torch.testing.assert_close(value, weights[key])
    assert any("memory" in key for key in weights) == (name == "infobridge")
    # Shards change the batch losses, not the course of the training.
    assert told[0]["losses"]["task"][-1] == pytest.approx(parts["losses"]["task"][-1], rel=0.1)


def test_the_first_process_alone_speaks_and_writes(folder):
    shown = (folder / "shown.txt").read_text()
    assert shown.count("losses after 2 epochs") == 1 and shown.count("written: ") == 1
    with xr.open_dataset(folder / "out" / "history.nc") as history:
        assert history.attrs["processes"] == 2 and history.sizes["epoch"] == 2
    assert (folder / "out" / "model.safetensors").exists()
    assert len(list((folder / "out" / "checkpoint").iterdir())) == 2
    errors = (folder / "errors.txt").read_text()
    assert "Traceback" not in errors and "find_unused_parameters" not in errors
    assert "FutureWarning" not in errors


def test_alone_there_is_nothing_to_exchange():
    assert (world(), rank()) == (1, 0)
    rows = torch.arange(5)
    assert shard(rows)[0] is rows and shard(rows)[1] == 5
    assert gather(rows) == [rows] and from_first(lambda: 3) == 3


if __name__ == "__main__":
    work(Path(sys.argv[1]))
