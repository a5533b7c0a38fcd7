"""`pnpfuse compare`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from pnpfuse.cli.ablations import PAPERS
from pnpfuse.cli.command import DATA, check_places, command, path, png
from pnpfuse.cli.model_options import add_model_options, models_given
from pnpfuse.cli.training_options import (
    add_running_options,
    add_training_options,
    training_settings,
)


def add_compare(commands: argparse._SubParsersAction) -> None:
    """The command and its arguments."""
    parser = command(
        commands, "compare", _compare,
        "train several models with several seeds and set their accuracies side by side",
        "pnpfuse compare digits --models concat rpmr --seeds 5 --jobs 2 --out compare.nc\n"
        "  pnpfuse compare digits --ablations scope --seeds 5\n\n"
        + DATA,
    )  # fmt: skip
    parser.add_argument("data", help="digits, or a file (see below)")
    parser.add_argument("--models", nargs="+", metavar="NAME",
                        help="see pnpfuse models (all but those equal to another)")  # fmt: skip
    parser.add_argument("--ablations", nargs="+", choices=PAPERS, default=[],
                        help="the rows of a paper's ablation tables: SCOPE's Table 6, InfoBridge's "
                        "Tables 2 and 3; beside --models, if there are any")  # fmt: skip
    parser.add_argument("--seeds", type=int, default=3, help="trainings a model (%(default)s)")
    add_model_options(parser)
    add_training_options(parser, several=True)
    parser.add_argument("--score", choices=("accuracy", "balanced_accuracy"),
                        help="to print (accuracy; with unequal classes both)")  # fmt: skip
    parser.add_argument("--missing", default="each", help="none, each or all (%(default)s)")
    add_running_options(parser)
    parser.add_argument("--out", type=path, help="write all scores to this NetCDF file")
    parser.add_argument("--plot", type=png, help="draw the accuracies to this PNG file")


def _compare(given: argparse.Namespace) -> Iterator[str]:
    from pnpfuse.comparison import compare
    from pnpfuse.console import compared_lines
    from pnpfuse.data import load_views
    from pnpfuse.executors import executor_for
    from pnpfuse.storage import save_dataset

    (models, notes), settings = models_given(given), training_settings(given)
    views = load_views(given.data)
    check_places(given.out, given.plot)
    with executor_for(given.jobs, given.dask) as executor:
        comparison = compare(
            models, views, seeds=given.seeds, missing=given.missing, executor=executor,
            threads=given.threads, **settings,
        )  # fmt: skip
    yield from notes
    yield from compared_lines(comparison, views.test, given.score)
    if given.out:
        yield f"written: {save_dataset(comparison, given.out)}"
    if given.plot:
        from pnpfuse.figures import save_figure, spread_figure

        yield f"drawn: {save_figure(spread_figure(comparison), given.plot)}"
