"""What running the claims gave: entries, and the ledger of them that is saved and reopened."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pnpfuse.ledger.catalogue import claims, full_name
from pnpfuse.ledger.claim import VERDICTS, Claim, Found, Verdict
from pnpfuse.storage import save_text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

LEDGER = "ledger.json"
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
TITLE = "What holds: the papers' claims, tried"
# What a page or a table says of the conditions.
CONDITIONS = {
    "data": str, "modalities": dict, "classes": int, "training rows": int, "test rows": int,
    "seeds": list, "epochs": int, "quick": bool,
}  # fmt: skip


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

    def figure(self) -> Figure | None:
        """The claim's figure of what was measured; None where it has none."""
        draw = claims([self.name])[self.name].draw
        return draw(self.found) if draw and self.found else None


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
        """The entry of a claim, "paper/file" or "file" alone; KeyError that names those near it."""
        of = {entry.name: entry for entry in self.entries}
        try:
            return of[full_name(name, of)]
        except ValueError as error:
            raise KeyError(str(error)) from None

    def to_frame(self) -> pd.DataFrame:
        """A row a claim, by name: source, statement, measured, verdict, why."""
        import pandas as pd

        columns = ["source", "statement", "measured", "verdict", "why"]
        rows = [[getattr(entry, column) for column in columns] for entry in self.entries]
        names = pd.Index([entry.name for entry in self.entries], name="claim")
        return pd.DataFrame(rows, names, columns)

    def counts(self) -> dict[str, int]:
        """How many entries have each verdict."""
        return {kind: sum(e.verdict == kind for e in self.entries) for kind in VERDICTS}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write as JSON, a claim a line, whole or not at all."""
        claims = ",\n  ".join(_json(asdict(entry)) for entry in self.entries)
        parts = {
            "title": _json(TITLE),
            "conditions": _json(self.conditions),
            "claims": f"[\n  {claims}\n ]",
            "failures": _json(self.failures),
        }
        lines = ",\n ".join(f"{_json(name)}: {text}" for name, text in parts.items())
        return save_text(f"{{\n {lines}\n}}\n", path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Ledger:
        """The ledger that `save` wrote; ValueError that names the file for anything else."""
        path = Path(path)
        try:
            content = _printable(json.loads(path.read_text(encoding="utf-8")))
            claims, conditions = _part(content, "claims", list), _part(content, "conditions", dict)
            for name, kind in CONDITIONS.items():
                _part(conditions, name, kind, "conditions: ")
            entries = tuple(_entry_from(claim, i) for i, claim in enumerate(claims, 1))
            failures = content.get("failures", {})
            failures = failures if isinstance(failures, dict) else {}
            return cls(entries, conditions, {name: str(why) for name, why in failures.items()})
        except (OSError, ValueError, RecursionError) as error:
            said = error.strerror if isinstance(error, OSError) else error
            raise ValueError(
                f"{path} is no ledger as `pnpfuse ledger` writes it: {said}"
            ) from error


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False)


def _printable(value: Any) -> Any:
    """What JSON held, its texts on one line and without the signs that steer a terminal."""
    if isinstance(value, dict):
        return {_printable(key): _printable(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_printable(one) for one in value]
    return CONTROL.sub(" ", value) if isinstance(value, str) else value


def _part(content: Any, name: str, kind: type | tuple[type, ...], where: str = "") -> Any:
    """A member of an object of JSON; ValueError where it is missing or of another kind."""
    if not isinstance(content, dict) or name not in content:
        raise ValueError(f"{where}{name!r} is missing")
    if not isinstance(content[name], kind):
        found = type(content[name]).__name__
        raise ValueError(f"{where}{name!r} is of the wrong kind, {found}")
    return content[name]


def _entry_from(claim: Any, number: int) -> Entry:
    """An entry of a file; what a later version adds is left out."""
    where = f"claim {number}: "
    texts = ("name", "statement", "source", "protocol", "threshold", "measured", "verdict")
    given = {name: _part(claim, name, str, where) for name in texts}
    if given["verdict"] not in VERDICTS:
        raise ValueError(f"{where}verdict {given['verdict']!r} is none of {list(VERDICTS)}")
    given["why"] = _part({"why": ""} | claim, "why", str, where)
    given["found"] = _part({"found": {}} | claim, "found", dict, where)
    return Entry(**given, seconds=_part({"seconds": 0.0} | claim, "seconds", (int, float), where))


def entry_of(claim: Claim, found: Found, seconds: float) -> Entry:
    """The entry of a claim that was measured; TypeError for what JSON cannot keep."""
    found = json.loads(json.dumps(plain_numbers(found), allow_nan=False))
    return _entry(claim, claim.judge(found), claim.say(found), found, seconds)


def entry_untried(claim: Claim, verdict: Verdict, seconds: float) -> Entry:
    """The entry of a claim that could not be tried."""
    return _entry(claim, verdict, "not measured", {}, seconds)


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
