"""`pnpfuse models`."""

from __future__ import annotations

import argparse

from pnpfuse.cli.command import command
from pnpfuse.cli.model_options import model_lines


def add_models(commands: argparse._SubParsersAction) -> None:
    """The command; it has no arguments."""
    command(
        commands, "models", lambda given: model_lines(),
        "list the models: what each is, its options with their defaults, its losses' weights",
        "pnpfuse models",
    )  # fmt: skip
