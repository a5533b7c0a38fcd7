"""The options of the command line that `fit` takes."""

import argparse
from pathlib import Path
from typing import Any


def add_training_options(
    parser: argparse.ArgumentParser, several: bool = False, epochs: str = "30"
) -> None:
    """The arguments of `fit`; None where `fit` or the recipe has a value of its own.

    With `several` trainings there is no checkpoint, which is the state of one. `epochs` is what
    the help says of their default.
    """
    group = parser.add_argument_group(
        "training",
        "of every model"
        if several
        else "several processes: torchrun --nproc-per-node 2 -m pnpfuse train digits --device cpu",
    )
    group.add_argument("--recipe", help="a paper's settings: pmr-sgd, pmr-adamw or gmf; what is "
                       "given beside it goes first")  # fmt: skip
    group.add_argument("--epochs", type=int, help=f"({epochs})")
    group.add_argument("--batch-size", type=int, help="of all processes together (128)")
    group.add_argument("--optimizer", help="adamw, or sgd with momentum 0.9 (adamw)")
    group.add_argument("--schedule", help="cosine, step, plateau or constant (cosine)")
    group.add_argument("--lr", type=float, help="learning rate (0.001)")
    group.add_argument("--weight-decay", type=float, help="(0.01)")
    group.add_argument("--block-lr", type=float, help="of the fusion block (as --lr)")
    group.add_argument("--block-weight-decay", type=float, help="(as --weight-decay)")
    group.add_argument("--weighting", help="of the losses: fixed, homoscedastic, printed or "
                       "printed-trained (fixed)")  # fmt: skip
    group.add_argument("--weight", nargs=2, action="append", metavar=("LOSS", "WEIGHT"),
                       help="of one of the model's losses; once for each (pnpfuse models)"
                       )  # fmt: skip
    group.add_argument("--validation", type=float, metavar="SHARE",
                       help="of the training rows to hold back (0)")  # fmt: skip
    group.add_argument("--patience", type=int, metavar="EPOCHS",
                       help="stop after so many without a lower validation loss")  # fmt: skip
    group.add_argument("--precision", help="float32 or bf16 (float32)")
    group.add_argument("--clip", type=float, help="largest norm of the gradient")
    if several:
        parser.set_defaults(checkpoint=False, checkpoint_every=None, restart=False)
        return
    group.add_argument("--checkpoint", action="store_true",
                       help="keep the state in OUT/checkpoint and go on from there if it was "
                       "stopped")  # fmt: skip
    group.add_argument("--checkpoint-every", type=int, metavar="EPOCHS", help="(1)")
    group.add_argument("--restart", action="store_true", help="with --checkpoint: begin anew")


def add_running_options(parser: argparse.ArgumentParser) -> None:
    """Where a command that trains models x seeds has its runs done."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads a run (%(default)s)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=int, default=1, help="runs at a time (%(default)s)")
    where.add_argument("--dask", metavar="ADDRESS", help="of a Dask scheduler that takes the runs")


def training_settings(given: argparse.Namespace) -> dict[str, Any]:
    """The arguments for `fit` that the command line gives."""
    from pnpfuse.optimisers import RECIPES

    if given.recipe not in (None, *RECIPES):
        raise ValueError(f"--recipe must be one of {list(RECIPES)}; found {given.recipe!r}")
    if not given.checkpoint and (given.restart or given.checkpoint_every is not None):
        raise ValueError("--restart and --checkpoint-every go with --checkpoint")
    names = (
        "epochs", "batch_size", "optimizer", "schedule", "lr", "weight_decay", "block_lr",
        "block_weight_decay", "weighting", "validation", "patience", "precision", "clip",
        "checkpoint_every", "device",
    )  # fmt: skip
    settings = dict(RECIPES.get(given.recipe, {}))
    settings |= {name: getattr(given, name) for name in names if getattr(given, name) is not None}
    if given.weight:
        settings["weights"] = _weights(given)
    if given.checkpoint:
        settings |= {"checkpoint": Path(given.out) / "checkpoint", "resume": not given.restart}
    return settings


def _weights(given: argparse.Namespace) -> dict[str, float]:
    """{loss: weight} that the command line gives."""
    try:
        weights = {loss: float(weight) for loss, weight in given.weight}
    except ValueError:
        raise ValueError(f"--weight needs LOSS and a number; found {given.weight}") from None
    if len(weights) < len(given.weight):
        raise ValueError(f"--weight names a loss twice: {given.weight}; name each once")
    return weights
