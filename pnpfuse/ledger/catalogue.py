"""Which claims there are: every file in a paper's folder is one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from importlib import import_module
from pkgutil import iter_modules

from pnpfuse.ledger.claim import Claim

# {folder: what the paper is}
PAPERS = {
    "pmr": "PMR, Physics-inspired Multimodal Reconfiguration",
    "gmf": "GMF, Generalized Multimodal Fusion",
    "scope": "SCOPE",
    "infobridge": "InfoBridge",
}


def claims(
    names: Iterable[str] | None = None, papers: Iterable[str] | None = None
) -> dict[str, Claim]:
    """The claims by name, in the order of the papers and of their files.

    Parameters
    ----------
    names : "paper/file", or "file" alone where only one paper has it; None for all
    papers : of `PAPERS`; None for all

    Raises
    ------
    ValueError
        for a name or paper that is not there
    """
    papers = list(PAPERS if papers is None else papers)
    if unknown := [paper for paper in papers if paper not in PAPERS]:
        raise ValueError(f"papers must be of {list(PAPERS)}; found {unknown}")
    every = [f"{p}/{file}" for p in PAPERS if p in papers for file in _files(p)]
    if names is not None:
        wanted = [_found(name, every) for name in names]
        every = [name for name in every if name in wanted]
    return {name: _claim(name) for name in every}


def _files(paper: str) -> list[str]:
    package = import_module(f"pnpfuse.ledger.{paper}")
    return sorted(m.name for m in iter_modules(package.__path__) if not m.name.startswith("_"))


def _claim(name: str) -> Claim:
    module = import_module(f"pnpfuse.ledger.{name.replace('/', '.')}")
    return dataclasses.replace(module.CLAIM, name=name)


def _found(name: str, every: list[str]) -> str:
    near = [known for known in every if name in (known, known.partition("/")[2])]
    if len(near) == 1:
        return near[0]
    if near:
        raise ValueError(f"names: {name!r} is in several papers: {near}; give one of them")
    from difflib import get_close_matches

    close = get_close_matches(name, every, 3, 0.4) or every[:3]
    raise ValueError(f"names: there is no claim {name!r}; near it: {', '.join(close)}")
