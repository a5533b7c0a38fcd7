"""A training that claims ask for, by what it is made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Training:
    """A model to be trained, the same for all who name the same things.

    Attributes
    ----------
    model : name as for `create_model`
    options : of the model
    settings : of `fit`, beside epochs and seed
    only : the modalities it is trained on; empty for all
    """

    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    only: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """A name for files: the model's, and a digest of the rest."""
        content = json.dumps(
            [self.model, dict(self.options), dict(self.settings), self.only], sort_keys=True
        )
        return f"{self.model}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"

    def __str__(self) -> str:
        given = {**self.options, **self.settings}
        said = [f"{name}={value}" for name, value in given.items()]
        if self.only:
            said.append(f"only {', '.join(self.only)}")
        return f"{self.model}({', '.join(said)})" if said else self.model

    def __hash__(self) -> int:
        return hash(self.key)
