"""The papers' claims as things to run, with a verdict on each.

>>> from pnpfuse.ledger import run_ledger
>>> ledger = run_ledger(names=["pmr/long_cells"])
>>> ledger["pmr/long_cells"].verdict
'does not hold here'

A file in the folder of a paper is a claim; a new one joins by being there.
"""

from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.catalogue import PAPERS, claims
from pnpfuse.ledger.claim import CORRECTED, FAILS, HOLDS, UNTRIED, VERDICTS, Claim, Verdict
from pnpfuse.ledger.page import ledger_page
from pnpfuse.ledger.record import Entry, Ledger
from pnpfuse.ledger.run import LedgerError, run_ledger
from pnpfuse.ledger.tables import ledger_lines
from pnpfuse.ledger.training import Training

__all__ = [
    "CORRECTED",
    "FAILS",
    "HOLDS",
    "PAPERS",
    "UNTRIED",
    "VERDICTS",
    "Bench",
    "CannotTry",
    "Claim",
    "Entry",
    "Ledger",
    "LedgerError",
    "Training",
    "Verdict",
    "claims",
    "ledger_lines",
    "ledger_page",
    "run_ledger",
]
