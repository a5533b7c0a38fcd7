"""Running the claims: the trainings they share first, then each claim, wherever there is room."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, as_completed
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

import pnpfuse
from pnpfuse.checkpoints import fingerprint
from pnpfuse.data import load_views
from pnpfuse.executors import kept, received
from pnpfuse.fusion.arguments import check_count, check_seeds
from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.catalogue import claims
from pnpfuse.ledger.claim import Claim, untried
from pnpfuse.ledger.record import LEDGER, Entry, Ledger, entry_of, entry_untried, in_order
from pnpfuse.ledger.training import Training
from pnpfuse.storage import check_writable, save_text
from pnpfuse.threads import cpu_threads
from pnpfuse.views import Views, check_is_views

FULL = {"seeds": 5, "epochs": 20}
QUICK = {"seeds": 3, "epochs": 5}
WORK = ".unfinished"

Tasks = dict[str, tuple[Any, ...]]  # {name: (function, *arguments)}


class LedgerError(RuntimeError):
    """Some claims broke; the others are in `ledger`.

    Attributes
    ----------
    ledger : the Ledger of what was finished
    """

    def __init__(self, ledger: Ledger):
        said = "; ".join(f"{name}: {error}" for name, error in ledger.failures.items())
        super().__init__(f"{len(ledger.failures)} claims could not be run: {said}")
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
    executor : where trainings and claims go, None for here; as for `compare`
    threads : CPU threads of each
    out : folder for ledger.json; what is finished is kept there while the work goes on, so that
        the same call after an interruption goes on where it stopped
    progress : a bar, if the output is a terminal

    Raises
    ------
    ValueError
        for unknown names or papers, fewer than two seeds, views that are none
    LedgerError
        when claims broke, after all others are done; its `ledger` has these
    """
    chosen = claims(names, papers)
    views = load_views("digits") if views is None else check_is_views(views)
    default = QUICK if quick else FULL
    given = tuple(check_seeds(default["seeds"] if seeds is None else seeds))
    if len(given) < 2:
        raise ValueError(f"seeds: a verdict on a difference needs two seeds; found {list(given)}")
    length = check_count("epochs", default["epochs"] if epochs is None else epochs)
    with _work_folder(out) as folder:
        bench = Bench(views, folder, given, length, bool(quick), check_count("threads", threads))
        conditions = _conditions(bench)
        bench = dataclasses.replace(bench, folder=folder / _digest(conditions))
        entries, failures = _run(chosen, bench, executor, progress)
        ledger = Ledger(in_order(entries, chosen), conditions, failures)
        if out is not None:
            ledger.save(Path(out) / LEDGER)
    if failures:
        raise LedgerError(ledger)
    return ledger


def _run(
    chosen: dict[str, Claim], bench: Bench, executor: Executor | None, progress: bool
) -> tuple[list[Entry], dict[str, str]]:
    """Entries of the claims that could be run, and what broke the others."""
    todo = list(dict.fromkeys(t for c in chosen.values() for t in _trainings(c, bench)))
    trainings = [(training, seed) for training in todo for seed in bench.seeds]
    entries: list[Entry] = []
    failures: dict[str, str] = {}
    stands_for = kept(executor, bench)
    with tqdm(total=len(trainings) + len(chosen), disable=None if progress else True) as bar:
        beforehand: Tasks = {
            f"{training}, seed {seed}": (_train, stands_for, training, seed)
            for training, seed in trainings
        }
        for name, outcome in _outcomes(beforehand, executor):
            bar.set_description(name[:40])
            bar.update()
            if isinstance(outcome, Exception) and not isinstance(outcome, CannotTry):
                failures[name] = _said(outcome)
        each: Tasks = {name: (_try, stands_for, name) for name in chosen}
        for name, outcome in _outcomes(each, executor):
            bar.set_description(name[:40])
            bar.update()
            if isinstance(outcome, Exception):
                failures[name] = _said(outcome)
            else:
                entries.append(outcome)
    return entries, failures


def _trainings(claim: Claim, bench: Bench) -> Sequence[Training]:
    try:
        return () if claim.trainings is None else claim.trainings(bench)
    except CannotTry:  # `measure` says it again
        return ()


def _train(bench: Any, training: Training, seed: int) -> None:
    bench = received(bench)
    with cpu_threads(bench.threads):
        bench.train(training, seed)


def _try(bench: Any, name: str) -> Entry:
    """One claim; an entry that was finished before an interruption is taken as it is."""
    bench = received(bench)
    path = bench.folder / "entries" / f"{name.replace('/', '-')}.json"
    if path.is_file():
        return Entry(**json.loads(path.read_text(encoding="utf-8")))
    claim, start = claims([name])[name], time.perf_counter()
    with cpu_threads(bench.threads):
        try:
            entry = entry_of(claim, claim.measure(bench), time.perf_counter() - start)
        except CannotTry as lack:
            entry = entry_untried(claim, untried(str(lack)), time.perf_counter() - start)
    save_text(json.dumps(dataclasses.asdict(entry), allow_nan=False), path)
    return entry


def _outcomes(tasks: Tasks, executor: Executor | None) -> Iterator[tuple[str, Any]]:
    """(name, what came out or the exception), as they are finished."""
    if executor is None:
        for name, (do, *arguments) in tasks.items():
            try:
                yield name, do(*arguments)
            except Exception as error:
                yield name, error
        return
    futures = {executor.submit(*task): name for name, task in tasks.items()}
    try:
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except Exception as error:
                yield futures[future], error
    finally:  # an interruption: what has not begun need not
        for future in futures:
            future.cancel()


@contextmanager
def _work_folder(out: str | os.PathLike[str] | None) -> Iterator[Path]:
    """Where trained models and finished entries stand until the ledger is written."""
    if out is None:
        with tempfile.TemporaryDirectory() as name:
            yield Path(name)
        return
    check_writable(Path(out) / LEDGER)
    folder = Path(out) / WORK
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def _conditions(bench: Bench) -> dict[str, Any]:
    """What the verdicts hold for."""
    views = bench.views
    return {
        "data": views.name,
        "fingerprint": fingerprint(views.train) + fingerprint(views.test),
        "modalities": views.dims,
        "classes": views.classes,
        "training rows": len(views.train),
        "test rows": len(views.test),
        "score": bench.score.replace("_", " "),
        "seeds": list(bench.seeds),
        "epochs": bench.epochs,
        "quick": bench.quick,
        "version": version("pnpfuse"),
        "source": _source(),
    }


def _source() -> str:
    """A digest of the package's own code, so that no result of other code is taken over."""
    found = hashlib.sha256()
    for path in sorted(Path(pnpfuse.__file__).parent.rglob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


def _digest(conditions: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(conditions, sort_keys=True).encode()).hexdigest()[:16]


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
