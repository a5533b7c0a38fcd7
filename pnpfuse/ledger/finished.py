"""What is finished of a ledger, kept file by file so that a stop loses nothing."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pnpfuse.ledger.claim import Claim
from pnpfuse.ledger.record import Entry
from pnpfuse.ledger.work import Broken
from pnpfuse.storage import save_text


class Finished:
    """Entries of the chosen claims in a folder, and what broke."""

    def __init__(self, chosen: Mapping[str, Claim], broken: Mapping[str, str], folder: Path):
        self.failures = dict(broken)
        self._folder, self._chosen = folder, chosen
        read = {name: _read(self._path(name)) for name in chosen}
        self._entries = {name: entry for name, entry in read.items() if entry}

    @property
    def entries(self) -> list[Entry]:
        return list(self._entries.values())

    @property
    def left(self) -> dict[str, Claim]:
        return {name: c for name, c in self._chosen.items() if name not in self._entries}

    def put(self, name: str, found: Any) -> None:
        """Keep what came out of a claim; OSError where there is no room."""
        if isinstance(found, Entry):
            text = json.dumps(dataclasses.asdict(found), allow_nan=False)
            save_text(text, self._path(name))
            self._entries[name] = found
        elif isinstance(found, Broken):
            self.failures[name] = found.why
        else:
            self.failures[name] = f"{type(found).__name__}: {' '.join(str(found).split())}"

    def said(self, out: str | os.PathLike[str] | None) -> str:
        """What is kept, for a message about a stop."""
        done = f"{len(self._entries)} of {len(self._chosen)} claims are finished"
        if out is None:
            return f"{done} and, without out, kept nowhere"
        return f"{done} and kept in {out}, as are trainings: the same call goes on from there"

    def _path(self, name: str) -> Path:
        return self._folder / f"{name.replace('/', '-')}.json"


def _read(path: Path) -> Entry | None:
    """An entry that was finished before a stop."""
    try:
        return Entry(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # not there, or not whole
        return None
