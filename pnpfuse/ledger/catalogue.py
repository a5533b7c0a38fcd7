"""Which claims there are: every file in a paper's folder is one."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from pnpfuse.ledger.claim import Claim
from pnpfuse.ledger.faults import fault_said

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
    return {name: _claim(name) for name in claim_names(names, papers)}


def claim_names(
    names: Iterable[str] | None = None, papers: Iterable[str] | None = None
) -> list[str]:
    """The names alone, without running the claims' files; as `claims`."""
    names = [names] if isinstance(names, str) else names
    papers = list(PAPERS if papers is None else [papers] if isinstance(papers, str) else papers)
    if unknown := [paper for paper in papers if paper not in PAPERS]:
        raise ValueError(f"papers must be of {list(PAPERS)}; found {unknown}")
    every = [f"{p}/{file}" for p in PAPERS if p in papers for file in _files(p)]
    if names is None:
        return every
    wanted = [full_name(name, every) for name in names]
    return [name for name in every if name in wanted]


def loaded(names: Iterable[str]) -> tuple[dict[str, Claim], dict[str, str]]:
    """The claims of `names`, and of files that give none what is wrong: {name: why}."""
    found: dict[str, Claim] = {}
    broken: dict[str, str] = {}
    for name in names:
        try:
            found[name] = _claim(name)
        except Exception as error:  # whatever a file may hold
            broken[name] = fault_said(error)
    return found, broken


def outline(name: str) -> tuple[str, str]:
    """Source and statement of a claim as they stand in its file, which need not be run for it.

    Where the file cannot be read, that instead of the statement.
    """
    spec = find_spec(_module(name))
    assert spec is not None and spec.origin is not None
    known: dict[str, Any] = {}
    try:
        for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.Assign):
                continue
            if getattr(node.targets[0], "id", "") == "CLAIM" and isinstance(node.value, ast.Call):
                given = {word.arg: word.value for word in node.value.keywords}
                return _text(given["source"], known), _text(given["statement"], known)
            known |= _constants(node)
    except Exception:  # broken, or put together from what other files hold
        pass
    claims, broken = loaded([name])
    if broken:
        return "not readable", broken[name]
    return claims[name].source, claims[name].statement


def _constants(node: ast.Assign) -> dict[str, Any]:
    """The names that an assignment gives to numbers and texts."""
    names = getattr(node.targets[0], "elts", node.targets)
    try:
        values = ast.literal_eval(node.value)
    except ValueError:
        return {}
    values = values if isinstance(node.targets[0], ast.Tuple) else [values]
    return {getattr(name, "id", ""): value for name, value in zip(names, values, strict=True)}


def _text(node: ast.expr, known: dict[str, Any]) -> str:
    """A text, or one with constants of its file in it; NameError where it has others."""
    return eval(compile(ast.Expression(node), "claim", "eval"), {"__builtins__": {}}, known)


def full_name(name: str, every: Iterable[str]) -> str:
    """The one of `every` that is meant by "paper/file" or "file"; ValueError if there is none."""
    every = list(every)
    near = [known for known in every if name == known or name == known.partition("/")[2]]
    if len(near) == 1:
        return near[0]
    if near:
        raise ValueError(f"names: {name!r} is in several papers: {near}; give one of them")
    close = get_close_matches(str(name), every, 3, 0.4) or every[:3]
    raise ValueError(f"names: there is no claim {name!r}; near it: {', '.join(close)}")


def _files(paper: str) -> list[str]:
    package = import_module(f"pnpfuse.ledger.{paper}")
    return sorted(m.name for m in iter_modules(package.__path__) if not m.name.startswith("_"))


def _module(name: str) -> str:
    return f"pnpfuse.ledger.{name.replace('/', '.')}"


def _claim(name: str) -> Claim:
    return dataclasses.replace(import_module(_module(name)).CLAIM, name=name)
