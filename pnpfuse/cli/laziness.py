"""`pnpfuse laziness`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from pnpfuse.cli.command import DATA, command, path
from pnpfuse.cli.model_options import add_model_options, known_options, models_given, options_given
from pnpfuse.cli.training_options import (
    add_running_options,
    add_training_options,
    training_settings,
)

ALONE = "concat"
EXAMPLES = """pnpfuse laziness digits --models concat late rpmr --seeds 5 --jobs 2
  pnpfuse laziness views.nc --models concat scope --epochs 60 --out out/laziness --device cpu"""
READING = """lazy on m: how much better a probe reads the class off an encoder of m trained alone
than off what the joint model makes of m; m adds: what the joint model loses without m"""


def add_laziness(commands: argparse._SubParsersAction) -> None:
    """The command and its arguments."""
    parser = command(
        commands, "laziness", _laziness,
        "say what joint models have learned of each modality, beside that modality trained alone",
        f"{EXAMPLES}\n\n{READING}\n\n{DATA}",
    )  # fmt: skip
    parser.add_argument("data", help="digits, or a file (see below) of at least two modalities")
    parser.add_argument("--models", nargs="+", metavar="NAME",
                        default=["concat", "late", "rpmr", "scope"],
                        help="see pnpfuse models (%(default)s)")  # fmt: skip
    parser.set_defaults(ablations=[])  # of `pnpfuse compare`
    parser.add_argument("--seeds", type=int, default=5, help="trainings a model (%(default)s)")
    add_model_options(parser)
    add_training_options(parser, several=True)
    parser.add_argument("--score", choices=("accuracy", "balanced_accuracy"),
                        help="to print (accuracy; with unequal classes both)")  # fmt: skip
    add_running_options(parser)
    parser.add_argument("--out", type=path, metavar="FOLDER",
                        help="write laziness.nc and laziness.png there")  # fmt: skip


def _laziness(given: argparse.Namespace) -> Iterator[str]:
    from pnpfuse.console import largest_class
    from pnpfuse.data import load_views
    from pnpfuse.dominance import laziness, laziness_figure
    from pnpfuse.dominance.tables import laziness_lines
    from pnpfuse.executors import executor_for
    from pnpfuse.figures import save_figure
    from pnpfuse.storage import check_writable, save_dataset

    (models, _), settings = models_given(given), training_settings(given)
    known = known_options("--models", ALONE)
    alone = {key: value for key, value in options_given(given).items() if key in known}
    views = load_views(given.data)
    out = None if given.out is None else Path(given.out)
    if out is not None:
        check_writable(out / "laziness.nc")
    with executor_for(given.jobs, given.dask) as executor:
        found = laziness(
            models, views, seeds=given.seeds, alone=(ALONE, alone), executor=executor,
            threads=given.threads, **settings,
        )  # fmt: skip
    unequal = largest_class(views.test)[1]
    scores = ["accuracy", "balanced_accuracy"] if unequal else ["accuracy"]
    for score in [given.score] if given.score else scores:
        yield from laziness_lines(found, score)
    if out is not None:
        yield f"written: {save_dataset(found, out / 'laziness.nc')}"
        figure = laziness_figure(found, given.score or scores[-1], given.line)
        yield f"drawn: {save_figure(figure, out / 'laziness.png')}"
