"""`pnpfuse train`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

from pnpfuse.cli.command import DATA, command, path
from pnpfuse.cli.model_options import add_model_options, model_given
from pnpfuse.cli.training_options import add_training_options, training_settings


def add_train(commands: argparse._SubParsersAction) -> None:
    """The command and its arguments."""
    parser = command(
        commands, "train", _train,
        "train a fusion model and evaluate it with modalities missing",
        "pnpfuse train digits --model rpmr --n 4 --b 0.5 --out out/rpmr\n"
        "  pnpfuse train digits --model infobridge --option base=rpmr "
        "--option 'base_options={\"n\": 2}'\n\n"
        + DATA,
    )  # fmt: skip
    parser.add_argument("data", help="digits, or a file (see below)")
    parser.add_argument("--model", default="rpmr", help="see pnpfuse models (%(default)s)")
    parser.add_argument("--mapped", action="store_true", help="take b from each modality's cell")
    parser.add_argument("--voltage", type=float, help="of that cell, +-, in kB T/e (20)")
    add_model_options(parser)
    add_training_options(parser)
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (%(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (%(default)s)")
    parser.add_argument(
        "--out", type=path, default="out/train",
        help="folder for the model, its losses and its accuracies (%(default)s)",
    )  # fmt: skip


def _train(given: argparse.Namespace) -> Iterator[str]:
    from pnpfuse.console import evaluation_lines, history_lines, mapping_lines
    from pnpfuse.data import load_views
    from pnpfuse.experiment import mapped_options, train_and_save
    from pnpfuse.threads import cpu_threads

    options = model_given(given)
    if given.voltage is not None and not given.mapped:
        raise ValueError("--voltage goes with --mapped")
    if given.mapped and "b" in options:
        raise ValueError("--mapped and --b each give b: take one of them")
    views = load_views(given.data)
    if given.mapped:
        own = options.pop("voltage", None)  # of a soft or learned boundary
        voltage = next(v for v in (given.voltage, own, 20.0) if v is not None)
        found = mapped_options(views, model=given.model, voltage=voltage, **options)
        yield from mapping_lines(found)
        options |= {"n": found.n, "b": found.b}
        if options.get("boundary", "hard") != "hard":  # of the same cells, unless told otherwise
            options["voltage"] = voltage if own is None else own
    settings = training_settings(given)
    with cpu_threads(given.threads):
        history, scores = train_and_save(
            views, given.model, out=given.out, seed=given.seed, settings=settings, **options
        )
    if os.environ.get("RANK", "0") != "0":  # under torchrun the first process speaks
        return
    yield from history_lines(history)
    yield from evaluation_lines(scores)
    yield f"written: {given.out}"
