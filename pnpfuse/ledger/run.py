"""Running the claims: each as soon as the trainings that it shares with others are done."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from pnpfuse.comparison import check_executor, check_settings
from pnpfuse.data import load_views
from pnpfuse.executors import kept
from pnpfuse.fusion.arguments import check_count, check_seeds
from pnpfuse.fusion.registry import plain
from pnpfuse.ledger.bench import SETTINGS, Bench
from pnpfuse.ledger.catalogue import claim_names, loaded
from pnpfuse.ledger.claim import Claim
from pnpfuse.ledger.conditions import check_data, conditions_of, digest
from pnpfuse.ledger.finished import Finished
from pnpfuse.ledger.record import LEDGER, Ledger, in_order
from pnpfuse.ledger.schedule import Task, outcomes
from pnpfuse.ledger.training import Training
from pnpfuse.ledger.work import NO_ROOM, train_for, try_claim
from pnpfuse.lock import Lock
from pnpfuse.runs import Run, train
from pnpfuse.storage import check_writable
from pnpfuse.views import Views, check_is_views

FULL = {"seeds": 5, "epochs": 20}
QUICK = {"seeds": 3, "epochs": 5}
WORK = ".unfinished"
# Of `fit`, but not for trainings of many models that others take over.
OWN = ("checkpoint", "checkpoint_every", "progress", "resume", "weights")
SHOWN = 40  # characters of a name beside the bar


class LedgerError(RuntimeError):
    """Some claims broke; the others are in `ledger`.

    Attributes
    ----------
    ledger : the Ledger of what was finished
    """

    def __init__(self, ledger: Ledger):
        said = "; ".join(f"{name}: {error}" for name, error in ledger.failures.items())
        count = len(ledger.failures)
        claims = "1 claim" if count == 1 else f"{count} claims"
        super().__init__(f"{claims} could not be run: {said}")
        self.ledger = ledger

    def __reduce__(self) -> tuple[Any, ...]:
        return LedgerError, (self.ledger,)


def run_ledger(
    views: Views | None = None,
    *,
    names: Iterable[str] | None = None,
    papers: Iterable[str] | None = None,
    quick: bool = False,
    seeds: int | Iterable[int] | None = None,
    epochs: int | None = None,
    executor: Executor | None = None,
    threads: int = 1,
    out: str | os.PathLike[str] | None = None,
    progress: bool = True,
    **settings: Any,
) -> Ledger:
    """Try the papers' claims and hand back what came out.

    Parameters
    ----------
    views : the data of the claims about fusion; None for digits. Claims about cells need none.
    names, papers : which claims, see `claims`; None for all
    quick : fewer seeds, epochs and grid points
    seeds : a count means 0, 1, ...; at least two, since every verdict on a difference needs a
        spread (5, quick 3)
    epochs : of every training (20, quick 5)
    executor : where trainings and claims go, None for here; as for `compare`. The numbers do not
        depend on it. Workers on other machines train for themselves what they do not find.
    threads : CPU threads of each
    out : folder for ledger.json; what is finished is kept there while the work goes on, so that
        the same call after an interruption of whatever kind goes on where it stopped
    progress : a bar, if the output is a terminal
    **settings : further arguments of `fit` for every training, device="cuda" for instance
        (device="cpu"); a claim that names one itself keeps its own

    Raises
    ------
    ValueError
        for bad arguments, for views without training or test rows or with a single class, and for
        settings with which nothing can be trained
    LedgerError
        when claims broke, after all the others are finished and written; the same call tries these
        again
    RuntimeError
        when the executor is lost
    OSError
        when `out` cannot be written or another run writes there
    """
    chosen, broken = loaded(claim_names(names, papers))
    bench = _bench(views, quick, seeds, epochs, threads, settings)
    check_executor(executor)
    with _work_folder(out) as folder:
        conditions = conditions_of(bench)
        bench = dataclasses.replace(bench, folder=folder / digest(conditions, claims=False))
        bench.folder.mkdir(parents=True, exist_ok=True)
        state = Finished(chosen, broken, bench.folder / digest(conditions, claims=True))
        try:
            _run(state, bench, executor, progress)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"interrupted; {state.said(out)}") from None
        except (BrokenExecutor, CancelledError) as error:
            raise RuntimeError(
                f"the executor is lost, its workers killed perhaps for want of memory ({error}); "
                f"{state.said(out)}"
            ) from error
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise OSError(f"cannot write {folder}: {error.strerror}; {state.said(out)}") from error
        ledger = Ledger(in_order(state.entries, chosen), conditions, state.failures)
        if out is not None:
            ledger.save(Path(out) / LEDGER)
        if ledger.failures:
            raise LedgerError(ledger)
        shutil.rmtree(folder, ignore_errors=True)
    return ledger


def _bench(
    views: Views | None,
    quick: bool,
    seeds: int | Iterable[int] | None,
    epochs: int | None,
    threads: int,
    settings: Mapping[str, Any],
) -> Bench:
    """The bench of these arguments, still without a folder; ValueError where they are bad."""
    views = load_views("digits") if views is None else check_is_views(views)
    default = QUICK if quick else FULL
    given = check_seeds(default["seeds"] if seeds is None else seeds)
    if len(given) < 2:
        raise ValueError(f"seeds: a verdict on a difference needs two seeds; found {list(given)}")
    length = check_count("epochs", default["epochs"] if epochs is None else epochs)
    check_data(views)
    bench = Bench(views, Path(), given, length, bool(quick), check_count("threads", threads))
    return dataclasses.replace(bench, settings=_checked(plain({**SETTINGS, **settings}), bench))


def _checked(settings: dict[str, Any], bench: Bench) -> dict[str, Any]:
    """Settings with which a model can be trained; ValueError for others."""
    if taken := sorted(set(settings) & set(OWN)):
        raise ValueError(f"{', '.join(taken)}: not for all trainings of a ledger")
    check_settings(settings)
    try:
        json.dumps(settings)
    except TypeError:
        raise ValueError("settings: give numbers and words, which ledger.json can keep") from None
    if settings != SETTINGS:  # told before the work rather than by every claim
        train(Run("concat", {}, 0, bench.views, 1, "none", bench.threads, settings))
    return settings


def _run(state: Finished, bench: Bench, executor: Executor | None, progress: bool) -> None:
    """Train and try what is left."""
    left = state.left
    needed = {name: _trainings(claim, bench) for name, claim in left.items()}
    todo = {
        f"{training.key} {seed}": (training, seed)
        for training in dict.fromkeys(t for trainings in needed.values() for t in trainings)
        for seed in bench.seeds
        if not bench.trained(training, seed)
    }
    stands_for = kept(executor, bench) if left else None
    trained = [Task(key, (train_for, stands_for, *one)) for key, one in todo.items()]
    after = {name: _keys(trainings, bench) & set(todo) for name, trainings in needed.items()}
    # Those without trainings one after the other: side by side each worker would compile the solver
    # for itself, a minute where it never was.
    after |= {name: {before} for before, name in pairwise(n for n in needed if not needed[n])}
    tried = [Task(name, (try_claim, stands_for, name), frozenset(after[name])) for name in needed]
    tasks = [*tried, *trained]
    total, finished = len(tasks), len(state.entries)
    with tqdm(
        total=total + finished, initial=finished, unit="task", smoothing=0,
        disable=None if progress else True,
    ) as bar, closing(outcomes(tasks, executor)) as ended:  # fmt: skip
        for name, found in ended:
            if isinstance(found, OSError) and found.errno in NO_ROOM:
                raise found
            if name in todo:
                name = "{}, seed {}".format(*todo[name])
            else:
                state.put(name, found)
            claims = f"{len(state.entries)} of {finished + len(left)} claims"
            bar.set_description(f"{claims}; {name[:SHOWN]}", refresh=False)
            bar.update()


def _keys(trainings: Sequence[Training], bench: Bench) -> set[str]:
    """The names of their tasks."""
    return {f"{training.key} {seed}" for training in trainings for seed in bench.seeds}


def _trainings(claim: Claim, bench: Bench) -> Sequence[Training]:
    try:
        return () if claim.trainings is None else list(claim.trainings(bench))
    except Exception:  # `measure` comes upon it again, and tells
        return ()


@contextmanager
def _work_folder(out: str | os.PathLike[str] | None) -> Iterator[Path]:
    """Where trained models and finished entries stand until the ledger is written."""
    if out is None:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
            yield Path(name)
        return
    check_writable(Path(out) / LEDGER)
    try:
        lock = Lock(Path(out))
    except BlockingIOError as error:
        raise BlockingIOError(
            f"{out} is in use by another run: wait for it, or give another out"
        ) from error
    with lock:
        yield Path(out) / WORK
