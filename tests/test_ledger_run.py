"""A ledger that is run: order, resumption, failures, and numbers that depend on none of them."""

import dataclasses
import errno
import math
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_views import small_views

from pnpfuse import Views, load_views
from pnpfuse.ledger import (
    Bench,
    CannotTry,
    Claim,
    LedgerError,
    Training,
    catalogue,
    finished,
    run_ledger,
)
from pnpfuse.ledger import bench as bench_module
from pnpfuse.ledger.claim import holds
from pnpfuse.ledger.conditions import conditions_of, digest
from pnpfuse.ledger.measures.paired import differ, judge_gain, say_difference
from pnpfuse.ledger.record import Ledger
from pnpfuse.ledger.schedule import Task, outcomes
from pnpfuse.ledger.work import at_hand
from pnpfuse.lock import Lock

NAMES = ["pmr/above_ffn_concat", "pmr/residual"]
SHORT = {"names": NAMES, "seeds": 2, "epochs": 1, "quick": True, "progress": False}


@pytest.fixture(scope="module")
def views():
    return small_views()


TRAINED = [Training("rpmr"), Training("ffn")]
TEXTS = {"statement": "So.", "source": "here", "protocol": "Done.", "threshold": "none"}
SIMPLE = {
    NAMES[0]: Claim(
        **TEXTS,
        measure=lambda bench: bench.need(2) or differ(bench, *TRAINED),
        judge=judge_gain,
        say=say_difference,
        trainings=lambda bench: bench.need(2) or TRAINED,
    ),
    NAMES[1]: Claim(
        **TEXTS,
        measure=lambda bench: {"drawn": torch.rand(3).tolist()},
        judge=lambda found: holds(),
        say=lambda found: f"{sum(found['drawn'])}",
    ),
}


@pytest.fixture(autouse=True)
def simple(request, monkeypatch):
    """Two claims of the catalogue are others, but where processes need to find them."""
    if "killed" not in request.node.name:
        monkeypatch.setattr(catalogue, "_claim", named)


def named(name):
    return dataclasses.replace(SIMPLE[name], name=name)


@pytest.fixture
def undisturbed(views, simple):
    return run_ledger(views, **SHORT)


@pytest.fixture
def trainings(monkeypatch):
    """What is trained in this process, in order."""
    made, train = [], bench_module.train

    def noted(run):
        made.append((run.name, run.seed))
        return train(run)

    monkeypatch.setattr(bench_module, "train", noted)
    return made


def plant(monkeypatch, name, **changes):
    """A claim with some of its fields changed."""
    monkeypatch.setitem(SIMPLE, name, dataclasses.replace(SIMPLE[name], **changes))


def without_seconds(ledger):
    return [dataclasses.replace(entry, seconds=0.0) for entry in ledger.entries]


@given(
    st.integers(1, 8).flatmap(
        lambda n: st.tuples(
            *[st.sets(st.integers(0, i - 1)) if i else st.just(set()) for i in range(n)]
        )
    ),
    st.booleans(),
)
def test_tasks_begin_when_those_they_wait_for_have_ended(after, threads):
    ended, too_early = [], []

    def do(i):
        too_early.extend(set(after[i]) - {int(name) for name in ended})
        if i % 3 == 0:
            raise OSError(str(i))
        return i

    tasks = [Task(str(i), (do, i), frozenset(map(str, on))) for i, on in enumerate(after)]
    executor = ThreadPoolExecutor(3) if threads else None
    for name, found in outcomes(tasks, executor):
        ended.append(name)
        assert str(found) == name
    assert sorted(ended, key=int) == [task.name for task in tasks] and not too_early


class Losing(ThreadPoolExecutor):
    """Loses all its tasks when it comes to a guilty one, as a pool does with a worker."""

    losses = 0

    def submit(self, do, *arguments):
        before = self.losses

        def work():
            self.losses += do is os._exit
            if self.losses > before:
                raise BrokenProcessPool
            return do(*arguments)

        return super().submit(work)


def test_what_loses_its_worker_each_time_takes_no_other_with_it():
    tasks = [Task(str(i), (math.sqrt, i)) for i in range(6)]
    tasks.insert(2, Task("guilty", (os._exit, 1)))
    tasks.append(Task("after", (math.sqrt, 4.0), frozenset({"guilty", "0"})))
    pool = Losing(1)
    found = dict(outcomes(tasks, pool))
    assert isinstance(found.pop("guilty"), BrokenProcessPool) and pool.losses == 2
    assert found == {str(i): math.sqrt(i) for i in range(6)} | {"after": 2.0}


def test_killed_it_goes_on_to_the_same_numbers(tmp_path, views, trainings):
    """Killed by SIGKILL with two workers, taken up again by none: the trainings that were done are
    not made again, and neither the kill nor the number of processes shows in a number."""
    out, data = tmp_path / "out", views.save(tmp_path / "arrays.npz")
    views, short = load_views(data), SHORT | {"names": ["gmf/gmf_above_concat"]}
    whole = run_ledger(views, **short)
    every = len(trainings)
    trainings.clear()
    line = f"{short['names'][0]} --quick --seeds 2 --epochs 1 --jobs 2 --data {data} --out {out}"
    begun = subprocess.Popen(
        [sys.executable, "-m", "pnpfuse", "ledger", *line.split()], start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        while not (done := list(out.glob(".unfinished/*/*/*/scores.nc"))):
            assert begun.poll() is None, begun.stderr.read()
            time.sleep(0.005)
    finally:
        begun.kill()
        begun.wait()
        begun.stderr.close()
    ledger = run_ledger(views, **short, out=out)
    assert len(trainings) <= every - len(done)
    assert without_seconds(ledger) == without_seconds(whole)
    assert ledger.conditions == whole.conditions
    assert Ledger.load(out / "ledger.json") == ledger
    assert os.listdir(out) == ["ledger.json"]


def test_an_interruption_is_told_and_what_is_finished_kept(tmp_path, views, monkeypatch):
    def stopped(bench):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)

    plant(monkeypatch, NAMES[0], measure=stopped)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt, match="1 of 2 claims are finished and kept in"):
        run_ledger(views, **SHORT, out=tmp_path)
    signal.signal(signal.SIGINT, before)


def test_a_claim_that_breaks_loses_no_other(tmp_path, views, monkeypatch, trainings, undisturbed):
    def broken(bench):
        return {"ratio": 1 / 0}

    trainings.clear()
    with monkeypatch.context() as planted:
        plant(planted, NAMES[0], measure=broken)
        with pytest.raises(LedgerError, match="1 claim could not be run: pmr/above_ffn") as caught:
            run_ledger(views, **SHORT, out=tmp_path)
    saved = Ledger.load(tmp_path / "ledger.json")
    assert saved == caught.value.ledger and [entry.name for entry in saved.entries] == NAMES[1:]
    assert (
        "ZeroDivisionError: division by zero (test_ledger_run.py, line" in saved.failures[NAMES[0]]
    )
    assert len(trainings) == 4
    measured = []
    plant(monkeypatch, NAMES[1], measure=measured.append)  # finished: not measured again
    ledger = run_ledger(views, **SHORT, out=tmp_path)
    assert without_seconds(ledger) == without_seconds(undisturbed)
    assert len(trainings) == 4 and not measured


def test_a_file_that_cannot_be_imported_is_one_failure(tmp_path, views, monkeypatch):
    def broken(name):
        if name == NAMES[0]:
            exec(compile("CLAIM = Claim(", "broken.py", "exec"))
        return named(name)

    monkeypatch.setattr(catalogue, "_claim", broken)
    with pytest.raises(LedgerError, match=f"1 claim could not be run: {NAMES[0]}: SyntaxError"):
        run_ledger(views, **SHORT, out=tmp_path)
    assert [e.name for e in Ledger.load(tmp_path / "ledger.json").entries] == NAMES[1:]


@pytest.mark.parametrize("found", [{"f": print}, None, {"drawn": ["x"]}], ids=str)
def test_what_cannot_be_kept_or_judged_is_a_failure_too(views, monkeypatch, found):
    plant(monkeypatch, NAMES[1], measure=lambda bench: found)
    with pytest.raises(LedgerError, match="pmr/residual: (TypeError|ValueError)"):
        run_ledger(views, **SHORT | {"names": "residual"})


def test_a_full_disk_ends_it_and_is_told(tmp_path, views, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(bench_module, "save_model", full)
    with pytest.raises(OSError, match="No space left on device; 1 of 2 claims are finished"):
        run_ledger(views, **SHORT, out=tmp_path)
    monkeypatch.setattr(finished, "save_text", full)
    with pytest.raises(OSError, match="No space left"):
        run_ledger(views, **SHORT, out=tmp_path / "new")


def test_one_run_at_a_time_in_a_folder(tmp_path, views):
    with Lock(tmp_path), pytest.raises(BlockingIOError, match="in use by another run"):
        run_ledger(views, **SHORT, out=tmp_path)


def test_a_worker_elsewhere_trains_what_it_does_not_find(tmp_path, views):
    """On another machine the folder is not to be seen: the same numbers from one of its own."""
    here = Bench(views, tmp_path / "here", (0, 1), 1)
    here.folder.mkdir()
    there = at_hand(dataclasses.replace(here, folder=tmp_path / "not" / "there"))
    assert at_hand(here) is here and there.folder == at_hand(there).folder != here.folder
    both = [bench.accuracy(Training("concat")) for bench in (here, there)]
    assert np.array_equal(*both) and not (tmp_path / "not").exists()


def test_what_is_taken_over_depends_on_conditions_and_code(views, tmp_path, monkeypatch):
    bench = Bench(views, tmp_path, (0, 1), 1)
    conditions = conditions_of(bench)
    names = {digest(conditions, claims) for claims in (True, False)}
    for change in ({"epochs": 2}, {"threads": 2}, {"settings": {"lr": 0.1}}, {"quick": True}):
        changed = conditions_of(dataclasses.replace(bench, **change))
        names |= {digest(changed, claims) for claims in (True, False)}
    other = dataclasses.replace(views, labels=np.roll(views.labels, 1))
    names.add(digest(conditions_of(dataclasses.replace(bench, views=other)), False))
    assert len(names) == 11
    read = Path.read_bytes
    monkeypatch.setattr(
        Path, "read_bytes", lambda path: read(path) + b"#" * (path.name == "residual.py")
    )
    assert (
        digest(conditions, claims=False) in names and digest(conditions, claims=True) not in names
    )


def test_settings_go_to_every_training_and_into_the_conditions(views, tmp_path):
    ledger = run_ledger(views, **SHORT, lr=0.1, optimizer="sgd")
    assert ledger.conditions["settings"] == {"device": "cpu", "lr": 0.1, "optimizer": "sgd"}
    bench = Bench(views, tmp_path, (0, 1), 1, settings=ledger.conditions["settings"])
    own = Training("rpmr", settings={"lr": 0.1, "optimizer": "sgd", "device": "cpu"})
    plain = Bench(views, tmp_path / "plain", (0, 1), 1)
    assert ledger[NAMES[0]].found["one"] == plain.accuracy(own).tolist()
    assert ledger[NAMES[0]].found["one"] == bench.accuracy(Training("rpmr")).tolist()


@pytest.mark.parametrize(
    "given, said",
    [
        ({"seeds": 1}, "needs two seeds"),
        ({"epochs": 0}, "epochs must be"),
        ({"names": ["residue"]}, "near it: pmr/residual"),
        ({"papers": ["pmr", "x"]}, "papers must be of"),
        ({"lr": -1}, "lr must be"),
        ({"checkpoint": "x"}, "checkpoint: not for all"),
        ({"learning": 1}, "no argument learning"),
        ({"schedule": math.cos}, "numbers and words"),
        ({"device": "abacus"}, "device must be"),
        ({"executor": 3}, "executor must be"),
        ({"views": 3}, "views must be Views"),
    ],
)
def test_bad_arguments(views, given, said):
    with pytest.raises(ValueError, match=said):
        run_ledger(**{"views": views} | SHORT | given)


@pytest.mark.parametrize("part", ["test", "train"])
def test_rows_of_one_class_or_none_are_told(views, part):
    code = ("train", "test").index(part)
    split = np.full(len(views), 1 - code)
    alone = Views.from_arrays(views.features, views.labels, split)
    with pytest.raises(ValueError, match=f"has no {part}"):
        run_ledger(alone, **SHORT)
    split[views.labels == 0] = code
    with pytest.raises(ValueError, match=f"the {part}.* of one class"):
        run_ledger(Views.from_arrays(views.features, views.labels, split), **SHORT)


def test_data_that_do_not_allow_a_training_are_no_failure(views, tmp_path):
    one = Views.from_arrays({"a": views.features["a"]}, views.labels)
    ledger = run_ledger(one, **SHORT)
    assert ledger["above_ffn_concat"].why == "needs 2 modalities; arrays has 1"
    huge = Views.from_arrays(
        {"a": views.features["a"] * 1e30, "b": views.features["b"]}, views.labels
    )
    with pytest.raises(CannotTry, match="cannot be trained on these data"):
        Bench(huge, tmp_path, (0, 1), 1).train(Training("concat", settings={"lr": 1e30}), 0)


def test_lazy_data_and_missing_modalities_do(views, tmp_path, undisturbed):
    lazy = load_views(views.save(tmp_path / "views.nc"), lazy=True)
    ledger = run_ledger(lazy, **SHORT)
    assert [e.found for e in ledger.entries] == [e.found for e in undisturbed.entries]
    present = {"b": np.arange(len(views)) % 3 > 0}
    gaps = Views.from_arrays(views.features, views.labels, present=present)
    assert run_ledger(gaps, **SHORT)["above_ffn_concat"].found["one"]
