"""What imports what: data flow one way, and light packages stay light."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = {"pnpfuse", "pnpfuse_solvers", "pnpfuse_analysis"}


def loaded(package, among):
    code = f"import sys, {package}; sys.stdout.write(' '.join({among} & sys.modules.keys()))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(run.stdout.split())


@pytest.mark.parametrize(
    "package, banned",
    [
        ("pnpfuse_solvers", OURS - {"pnpfuse_solvers"} | {"torch", "matplotlib", "sklearn"}),
        (
            "pnpfuse_analysis",
            OURS - {"pnpfuse_analysis"} | {"matplotlib", "sklearn", "numba", "torchmetrics"},
        ),
        ("pnpfuse", {"torch", "matplotlib", "sklearn", "pnpfuse_analysis"}),
        ("pnpfuse.cli", {"torch", "matplotlib", "sklearn", "numba"}),
    ],
)
def test_an_import_does_not_drag_in_more_than_it_needs(package, banned):
    assert loaded(package, banned) == set()


def test_public_names_resolve_and_carry_docstrings():
    for package in sorted(OURS):
        module = __import__(package)
        for name in module.__all__:
            value = getattr(module, name)
            assert value.__doc__, f"{package}.{name} has no docstring"
        with pytest.raises(AttributeError):
            module.no_such_name  # noqa: B018
