"""A training that was stopped goes on as if it had not been."""

import copy
import json
import math
import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
import torch

from pnpfuse import checkpoints
from pnpfuse.checkpoints import DESCRIPTION, read_checkpoint, told_apart, write_checkpoint
from pnpfuse.data import Views, load_views
from pnpfuse.fusion import create_model
from pnpfuse.trainer import Trainer
from pnpfuse.training import TrainingError, fit

SETTINGS = {"epochs": 5, "batch_size": 20, "progress": False, "device": "cpu"}


class Killed(BaseException):
    """Nothing catches it, as nothing catches a kill."""


@pytest.fixture(scope="module")
def views():
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [40, 25, 15])
    a = random.normal(size=(80, 6)) + labels[:, None]
    return Views.from_arrays({"a": a, "b": random.normal(size=(80, 4))}, labels)


def train(views, name="rpmr", init=0, model_options=None, **options):
    torch.manual_seed(init)
    model = create_model(name, views.dims, views.classes, **model_options or {})
    history = fit(model, views, **SETTINGS | options)
    return {k: v.clone() for k, v in model.state_dict().items()}, history


def kill_at_step(monkeypatch, number):
    """Raise in step `number` of a training, from 0."""
    count, step = iter(range(10**6)), Trainer._step

    def counted(*arguments):
        if next(count) == number:
            raise Killed
        return step(*arguments)

    monkeypatch.setattr(Trainer, "_step", counted)


def assert_same(found, expected):
    weights, history = found
    for name, value in expected[0].items():
        assert torch.equal(weights[name], value), name
    for part in ("losses", "validation", "rates", "variances", "best_epoch", "settings"):
        assert getattr(history, part) == getattr(expected[1], part), part


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optimizer": "sgd", "schedule": "step", "block_lr": 1e-4, "clip": 0.5, "lr": 1e-2},
        {"schedule": "plateau", "validation": 0.25, "patience": 2, "weighting": "homoscedastic"},
        {"schedule": lambda share: 1 - share, "precision": "bf16", "checkpoint_every": 2},
        {"lr": 0.05, "validation": 0.25, "patience": 1, "optimizer": "sgd"},
    ],
    ids=["plain", "sgd", "plateau", "bf16", "stops early"],
)
@pytest.mark.parametrize("step", [0, 4, 7])
def test_goes_on_to_the_same_bits(views, tmp_path, monkeypatch, options, step):
    undisturbed = train(views, **options)
    with monkeypatch.context() as patch:
        kill_at_step(patch, step)
        with pytest.raises(Killed):
            train(views, checkpoint=tmp_path, **options)
    # Other weights and another random state to begin with: the checkpoint has them all.
    init = 9 if (tmp_path / DESCRIPTION).exists() else 0
    assert (init == 9) == (step >= 3 * options.get("checkpoint_every", 1))
    assert_same(train(views, init=init, checkpoint=tmp_path, **options), undisturbed)


@pytest.mark.parametrize("replacement", range(6))
def test_a_stop_while_files_are_written(views, tmp_path, monkeypatch, replacement):
    """Each epoch puts two files in place; the stop comes before or after either of them."""
    undisturbed = train(views)
    count, replace = iter(range(1000)), os.replace

    def stopped(*arguments):
        number = next(count)
        if number % 2 and number == replacement:
            raise Killed
        replace(*arguments)
        if number == replacement:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", stopped)
        with pytest.raises(Killed):
            train(views, checkpoint=tmp_path)
    assert_same(train(views, checkpoint=tmp_path), undisturbed)
    assert len(list(tmp_path.iterdir())) == 2  # nothing is left lying about


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
import numpy as np
from pathlib import Path
import test_checkpoints as t
from pnpfuse.data import Views
arrays = np.load({data!r})
views = Views.from_arrays({{m: arrays[m] for m in "ab"}}, arrays["y"], arrays["split"])
Path({ready!r}).write_text("")
t.train(views, epochs=100000, checkpoint={folder!r})
"""


def test_kill_9(views, tmp_path, monkeypatch):
    """A process that trains for ever is killed somewhere; what it left is a whole checkpoint."""
    data, folder, ready = tmp_path / "data.npz", tmp_path / "state", tmp_path / "ready"
    np.savez(data, **views.features, y=views.labels, split=views.split)
    script = SCRIPT.format(
        tests=os.path.dirname(__file__), data=str(data), folder=str(folder), ready=str(ready)
    )
    running = subprocess.Popen([sys.executable, "-c", script], env=os.environ | paths())
    try:
        for _ in range(1200):
            if (folder / DESCRIPTION).exists() or running.poll() is not None:
                break
            time.sleep(0.05)
        time.sleep(0.11)
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    reached = read_checkpoint(folder)["epoch"]
    assert reached >= 1
    with monkeypatch.context() as patch:  # the same training, stopped two epochs later
        kill_at_step(patch, 2 * 3)
        with pytest.raises(Killed):
            train(views, epochs=100000, checkpoint=folder)
    found = read_checkpoint(folder)
    assert found["epoch"] == reached + 2
    with monkeypatch.context() as patch:
        kill_at_step(patch, found["epoch"] * 3)
        with pytest.raises(Killed):
            train(views, epochs=100000, checkpoint=tmp_path / "undisturbed")
    expected = read_checkpoint(tmp_path / "undisturbed")
    assert found["history"] == expected["history"]
    for name, value in expected["model"].items():
        assert torch.equal(found["model"][name], value)


def paths():
    # As many threads as here: how sums are divided among them shows in the last digits.
    threads = str(torch.get_num_threads())
    return {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": threads}


def test_a_finished_training_comes_back_without_a_step(views, tmp_path, monkeypatch):
    options = {"validation": 0.25, "patience": 2, "checkpoint": tmp_path}
    first = train(views, **options)
    kill_at_step(monkeypatch, 0)
    assert_same(train(views, init=3, **options), first)
    with pytest.raises(Killed):
        train(views, resume=False, **options)


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"lr": 0.01}, "lr was 0.001 .* is 0.01 now"),
        ({"epochs": 6}, "epochs was 5"),
        ({"seed": 1}, "seed was 0"),
        ({"batch_size": 10}, "batch_size was 20"),
        ({"optimizer": "sgd"}, "optimizer was 'adamw'"),
        ({"schedule": "step"}, "schedule was 'cosine'"),
        ({"block_lr": 1e-4}, "block_lr was None"),
        ({"clip": 1.0}, "clip was None"),
        ({"precision": "bf16"}, "precision was 'float32'"),
        ({"weights": {"preservation": 0.2}}, "weights was"),
        ({"weighting": "homoscedastic"}, "weighting was 'fixed'"),
        ({"validation": 0.2}, "rows was"),
        ({"name": "gmf"}, "model was 'rpmr'"),
    ],
)
def test_another_setting_is_refused(views, tmp_path_factory, changed, said):
    folder = tmp_path_factory.getbasetemp() / "settings"
    if not folder.exists():
        train(views, checkpoint=folder)
    with pytest.raises(ValueError, match=said + ".*resume=False"):
        train(views, checkpoint=folder, **changed)


def test_other_data_are_refused(views, tmp_path):
    train(views, checkpoint=tmp_path)
    features = {"a": views.features["a"], "b": views.features["b"].copy()}
    features["b"][np.flatnonzero(views.split == 0)[0], 0] += 1
    changed = Views.from_arrays(features, views.labels, views.split)
    with pytest.raises(ValueError, match="views was"):
        train(changed, checkpoint=tmp_path)


@pytest.mark.parametrize("kind", [".npz", ".nc", ".zarr"])
def test_other_data_in_the_same_file_are_refused(views, tmp_path, kind):
    def saved(path, factor):
        features = {m: factor * X for m, X in views.features.items()}
        changed = Views.from_arrays(features, views.labels, views.split)
        return load_views(changed.save(tmp_path / path), lazy=True)

    options = {"epochs": 1, "validation": 0.2}
    finished = train(saved(f"d{kind}", 1), checkpoint=tmp_path / "state", **options)
    with pytest.raises(ValueError, match="views was"):
        train(saved(f"d{kind}", 3), checkpoint=tmp_path / "state", **options)
    saved(f"d{kind}", 1)
    (tmp_path / "moved").mkdir()
    (tmp_path / f"d{kind}").rename(tmp_path / "moved" / f"d{kind}")
    for lazy in (True, False):  # neither where they are nor how they are read makes other data
        again = load_views(tmp_path / "moved" / f"d{kind}", lazy=lazy)
        assert_same(train(again, init=3, checkpoint=tmp_path / "state", **options), finished)


WARM = 1.0


class Falling:
    def __init__(self, slope):
        self.slope = slope

    def __call__(self, share):
        return 1 - self.slope * share


def falling(slope, shift=0.0):
    return lambda share: 1 - slope * share + shift


def bent(share, power=2):
    return 1 - share**power


PAIRS = {
    "another number": (lambda share: 1 - share, lambda share: 1 - share / 2),
    "another name": (lambda share: math.exp(-share), lambda share: math.cos(share)),
    "closure": (falling(1.0), falling(0.5)),
    "object": (Falling(1.0), Falling(0.5)),
    "method": (Falling(1.0).__call__, Falling(0.5).__call__),
    "partial": (partial(bent, power=3), partial(bent, power=4)),
    "nested": (
        lambda share: max(x - share for x in (1, 2)),
        lambda share: max(x + share for x in (1, 2)),
    ),
}


@pytest.mark.parametrize("old, new", PAIRS.values(), ids=PAIRS)
def test_another_function_of_the_same_name_is_another_setting(views, tmp_path, old, new):
    finished = train(views, epochs=1, checkpoint=tmp_path, schedule=old)
    assert_same(train(views, epochs=1, checkpoint=tmp_path, schedule=copy.copy(old)), finished)
    with pytest.raises(ValueError, match="schedule was .* is .* now.*resume=False"):
        train(views, epochs=1, checkpoint=tmp_path, schedule=new)


def test_a_number_that_a_function_finds_outside_is_part_of_it(monkeypatch):
    def schedule(share):
        return WARM * share

    before = told_apart(schedule)
    assert before.startswith("schedule ")
    monkeypatch.setitem(globals(), "WARM", 2.0)
    assert told_apart(schedule) != before
    assert told_apart("cosine") == "cosine"


def test_an_aggregator_is_told_apart_by_its_code(views, tmp_path):
    def weighted(factor):
        def aggregate(losses, model):
            (losses["task"] + factor * losses["preservation"]).backward()

        return aggregate

    train(views, epochs=1, checkpoint=tmp_path, weighting=weighted(0.1))
    with pytest.raises(ValueError, match="weighting was 'aggregate "):
        train(views, epochs=1, checkpoint=tmp_path, weighting=weighted(0.2))


def test_any_damaged_byte_of_the_tensors_is_seen(views, tmp_path):
    train(views, checkpoint=tmp_path)
    (path,) = tmp_path.glob("*.safetensors")
    content = path.read_bytes()
    for damaged in (content[:-1], content[:10], b"", content[:-5] + b"?" + content[-4:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=path.name):
            train(views, checkpoint=tmp_path)
    path.unlink()
    with pytest.raises(ValueError, match=path.name):
        train(views, checkpoint=tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: "{}",
        lambda text: text.replace('"epoch"', '"epoque"'),
        lambda text: text.replace('"paths"', '"path"'),
    ],
)
def test_a_damaged_description_is_named(views, tmp_path, damage):
    write_checkpoint(tmp_path, {"epoch": 1, "settings": {}, "x": {"y": torch.ones(2)}})
    path = tmp_path / DESCRIPTION
    path.write_text(damage(path.read_text()))
    with pytest.raises(ValueError, match=DESCRIPTION):
        train(views, checkpoint=tmp_path)


def test_a_state_of_something_else_is_named(views, tmp_path):
    train(views, checkpoint=tmp_path)
    path = tmp_path / DESCRIPTION
    state = json.loads(path.read_text())
    del state["schedule"]
    path.write_text(json.dumps(state))
    with pytest.raises(ValueError, match=f"{tmp_path.name} does not hold a state"):
        train(views, checkpoint=tmp_path)


def test_divergence_leaves_the_last_good_checkpoint(views, tmp_path):
    with pytest.raises(TrainingError, match="not finite"):
        train(views, schedule=lambda share: 1 if share < 0.59 else 1e38, checkpoint=tmp_path)
    kept = read_checkpoint(tmp_path)
    assert kept["epoch"] == 3
    assert all(torch.isfinite(value).all() for value in kept["model"].values())


def test_a_tree_comes_back_as_it_was(tmp_path):
    shared = torch.arange(6.0)
    state = {
        "epoch": 3,
        "settings": {"lr": 0.1 + 0.2, "names": ["a", "b"]},
        "model": {"a/b": shared, "c.d": shared[::2], "bytes": torch.arange(3, dtype=torch.uint8)},
        "empty": {},
        "half": torch.ones(2, dtype=torch.bfloat16),
    }
    write_checkpoint(tmp_path, state)
    found = read_checkpoint(tmp_path)
    assert found["settings"] == state["settings"] and found["empty"] == {}
    assert all(torch.equal(found["model"][k], v) for k, v in state["model"].items())
    assert torch.equal(found["half"], state["half"])
    assert read_checkpoint(tmp_path / "none") is None


def test_no_pickle_is_read_or_written():
    source = open(checkpoints.__file__, encoding="utf-8").read()
    assert "pickle" not in source and "torch.load" not in source and "torch.save" not in source
