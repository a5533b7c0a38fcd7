"""What running the claims gave: entries, and the ledger of them that is saved and reopened."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pnpfuse.ledger.claim import VERDICTS, Claim, Found, Verdict
from pnpfuse.storage import save_text

LEDGER = "ledger.json"


@dataclass(frozen=True)
class Entry:
    """One claim as it was tried.

    Attributes
    ----------
    name, statement, source, protocol, threshold : of the claim
    measured : what was measured, in one line
    verdict, why : see `Verdict`
    found : the numbers behind it
    seconds : that it took, without its trainings
    """

    name: str
    statement: str
    source: str
    protocol: str
    threshold: str
    measured: str
    verdict: str
    why: str = ""
    found: Found = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def paper(self) -> str:
        """The folder of the claim."""
        return self.name.partition("/")[0]


@dataclass(frozen=True)
class Ledger:
    """Entries, and the conditions under which all of them were tried.

    Attributes
    ----------
    entries : in the order of the catalogue
    conditions : data, modalities, rows, classes, seeds, epochs, version, ...
    failures : {claim: what went wrong}; claims whose measurement broke have no verdict
    """

    entries: tuple[Entry, ...]
    conditions: dict[str, Any]
    failures: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Entry:
        """The entry of a claim by its name; KeyError with the names that there are."""
        for entry in self.entries:
            if name in (entry.name, entry.name.partition("/")[2]):
                return entry
        raise KeyError(f"{name!r} is none of {[entry.name for entry in self.entries]}")

    def counts(self) -> dict[str, int]:
        """How many entries have each verdict."""
        return {kind: sum(e.verdict == kind for e in self.entries) for kind in VERDICTS}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write as JSON, whole or not at all."""
        content = {
            "title": "The papers' claims, tried",
            "conditions": self.conditions,
            "claims": [asdict(entry) for entry in self.entries],
            "failures": self.failures,
        }
        return save_text(json.dumps(content, indent=1, allow_nan=False) + "\n", path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Ledger:
        """The ledger that `save` wrote; ValueError that names the file for anything else."""
        path = Path(path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            entries = tuple(Entry(**entry) for entry in content["claims"])
            known = all(entry.verdict in VERDICTS for entry in entries)
            if not known or not isinstance(content["conditions"], dict):
                raise ValueError("an entry has no known verdict")
            return cls(entries, content["conditions"], content.get("failures", {}))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is no ledger as `pnpfuse ledger` writes it: {error}"
            ) from error


def entry_of(claim: Claim, found: Found, seconds: float) -> Entry:
    """The entry of a claim that was measured."""
    found = plain_numbers(found)
    return _entry(claim, claim.judge(found), claim.say(found), found, seconds)


def entry_untried(claim: Claim, verdict: Verdict, seconds: float) -> Entry:
    """The entry of a claim that could not be tried."""
    return _entry(claim, verdict, "nothing", {}, seconds)


def plain_numbers(value: Any) -> Any:
    """As JSON keeps it: lists for arrays, numbers of Python, None for what is not finite."""
    if isinstance(value, dict):
        return {str(key): plain_numbers(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain_numbers(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def in_order(entries: Iterable[Entry], names: Iterable[str]) -> tuple[Entry, ...]:
    """Entries in the order of `names`."""
    of = {entry.name: entry for entry in entries}
    return tuple(of[name] for name in names if name in of)


def _entry(claim: Claim, verdict: Verdict, measured: str, found: Found, seconds: float) -> Entry:
    return Entry(
        claim.name, claim.statement, claim.source, claim.protocol, claim.threshold, measured,
        verdict.kind, verdict.why, found, round(seconds, 2),
    )  # fmt: skip
