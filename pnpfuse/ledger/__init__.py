"""The papers' claims as things to run, with a verdict on each.

>>> from pnpfuse.ledger import run_ledger
>>> ledger = run_ledger(names=["pmr/long_cells"])
>>> ledger["pmr/long_cells"].verdict
'does not hold here'

A file in the folder of a paper is a claim; a new one joins by being there. What several claims
measure is in `measures`. The files beside this one know no claim:

- what a claim is and on what it is tried: `claim`, `training`, `bench`, `catalogue`
- running: `run`, `schedule`, `work`, `finished`, `faults`, `conditions`
- what came out: `record`, `beside`, `meanings`, `tables`, `markdown`, `page`
"""

from importlib import import_module
from typing import Any

# Names load their module on first use: the claims can be named without torch.
_HOMES = {
    "CORRECTED": "claim",
    "FAILS": "claim",
    "HOLDS": "claim",
    "PAPERS": "catalogue",
    "UNTRIED": "claim",
    "VERDICTS": "claim",
    "Bench": "bench",
    "CannotTry": "bench",
    "Claim": "claim",
    "Entry": "record",
    "Ledger": "record",
    "LedgerError": "run",
    "Training": "training",
    "Verdict": "claim",
    "claims": "catalogue",
    "ledger_lines": "tables",
    "ledger_markdown": "markdown",
    "ledger_page": "page",
    "run_ledger": "run",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pnpfuse.ledger' has no attribute {name!r}")
    return getattr(import_module(f"pnpfuse.ledger.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
