"""What a worker does for a ledger: one training, or one claim."""

from __future__ import annotations

import dataclasses
import errno
import functools
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from pnpfuse.executors import received
from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.catalogue import claims
from pnpfuse.ledger.claim import untried
from pnpfuse.ledger.faults import fault_said
from pnpfuse.ledger.record import Entry, entry_of, entry_untried
from pnpfuse.ledger.training import Training
from pnpfuse.runs import ONE_AT_A_TIME
from pnpfuse.threads import cpu_threads

# No claim's fault, and the same for all that follow.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclasses.dataclass(frozen=True)
class Broken:
    """What went wrong with a claim, in one line."""

    why: str


def train_for(stands_for: Any, training: Training, seed: int) -> None:
    """Train a model for the claims that need it; OSError where there is no room for it."""
    bench = at_hand(received(stands_for))
    try:
        bench.train(training, seed)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
    except Exception:  # the claims that need it come upon it again, and tell
        pass


def try_claim(stands_for: Any, name: str) -> Entry | Broken:
    """Try one claim, whatever the process has done before; OSError where there is no room."""
    bench, claim, start = at_hand(received(stands_for)), claims([name])[name], time.perf_counter()
    try:
        with ONE_AT_A_TIME, cpu_threads(bench.threads), torch.random.fork_rng():
            torch.manual_seed(0)
            try:
                found = claim.measure(bench)
            except CannotTry as lack:
                return entry_untried(claim, untried(str(lack)), time.perf_counter() - start)
            return entry_of(claim, found, time.perf_counter() - start)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise
        return Broken(fault_said(error))


def at_hand(bench: Bench) -> Bench:
    """The bench; on another machine, which does not see its folder, with one of its own."""
    if bench.folder.is_dir():
        return bench
    return dataclasses.replace(bench, folder=Path(_own_folder(bench.folder).name))


@functools.cache
def _own_folder(other: Path) -> tempfile.TemporaryDirectory:
    """Removed with the end of this process."""
    return tempfile.TemporaryDirectory(prefix="pnpfuse-ledger-", ignore_cleanup_errors=True)
