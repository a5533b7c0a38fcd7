"""What a saved Dataset says about where it came from."""

from importlib.metadata import version
from typing import Any


def provenance(title: str, **attrs: Any) -> dict[str, Any]:
    """Attributes of a finished Dataset: package, version, title, outcome, and `attrs` after them.

    Parameters
    ----------
    title : what the Dataset holds, in a few words
    **attrs : what else explains it; an entry may replace one of the four
    """
    return {
        "package": "pnpfuse",
        "version": version("pnpfuse"),
        "title": title,
        "outcome": "completed",
    } | attrs
