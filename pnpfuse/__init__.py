"""Poisson-Nernst-Planck ion transport, and multimodal fusion modelled on it.

>>> import pnpfuse
>>> round(pnpfuse.hyperparameters({"image": 2048, "text": 768}).b["image"], 4)
0.2727
"""

from importlib import import_module
from typing import Any

# Names load their module on first use: torch alone takes more than a second to import.
_HOMES = {
    "GMF": "fusion",
    "Hyperparameters": "mapping",
    "Ledger": "ledger",
    "PNPBoundary": "boundary",
    "PMR": "fusion",
    "Views": "data",
    "cell_for": "mapping",
    "cell_with": "mapping",
    "compare": "comparison",
    "create_model": "fusion",
    "diagnose": "diagnosis",
    "diagnosis_figure": "diagnosis",
    "evaluate": "evaluation",
    "fit": "training",
    "hyperparameters": "mapping",
    "hyperparameters_from": "mapping",
    "laziness": "dominance",
    "laziness_figure": "dominance",
    "laziness_table": "dominance",
    "list_models": "fusion",
    "ledger_lines": "ledger",
    "ledger_page": "ledger",
    "load_model": "fusion",
    "load_views": "data",
    "param_groups": "optimisers",
    "pnp_boundary": "boundary",
    "rank": "ranking",
    "regime_map": "regimes",
    "retrieve": "retrieval",
    "run_ledger": "ledger",
    "run_sweep": "sweep",
    "save_model": "fusion",
    "save_views": "saving",
    "summary": "findings",
    "table9_flops": "fusion",
    "table9_parameters": "fusion",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pnpfuse' has no attribute {name!r}")
    return getattr(import_module(f"pnpfuse.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
