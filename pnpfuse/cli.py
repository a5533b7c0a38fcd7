"""The command line: reads arguments, calls the library, prints. No arithmetic."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import NoReturn

from pnpfuse.cell_options import add_cell_options, cell_given
from pnpfuse.diagnosing import diagnosis_lines
from pnpfuse.diagnosis_options import add_diagnosis_options
from pnpfuse.model_options import (
    add_model_options,
    model_given,
    model_lines,
    models_given,
    twins_note,
)
from pnpfuse.training_options import add_training_options, training_settings

OK, FAILED, BAD_ARGUMENTS, INTERRUPTED = 0, 1, 2, 130
DATA = """a file (.npz, NetCDF or Zarr) holds view_<name> (rows, width) for each modality and y or
labels (rows,) of 0..K-1 or of strings; if known also split (rows,), 0 or "train", 1 or "test"
(else a stratified quarter is the test set), class_names, view_names (their order) and
present_<name> (rows,), false where a row lacks the modality"""
# What the library calls its arguments, and what they are called here.
SPELLED = {
    "resume=False": "--restart",
    "weighting='fixed'": "--weighting fixed",
    "max_rows": "--rows",
    "html=True": "--html",
}


class _Parser(argparse.ArgumentParser):
    """argparse with errors of one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_ARGUMENTS, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0 done, 1 failed, 2 bad arguments."""
    given = _parser().parse_args(arguments)
    given.line = shlex.join(["pnpfuse", *(sys.argv[1:] if arguments is None else arguments)])
    try:
        for line in given.run(given):
            print(line, flush=True)
    except KeyboardInterrupt:
        return _complain(given.prog, "interrupted", INTERRUPTED)
    except BrokenPipeError:  # the reader, head for instance, has seen enough
        sys.stderr.close()
        return OK
    except ValueError as error:
        return _complain(given.prog, error, BAD_ARGUMENTS)
    except ArithmeticError:
        return _complain(
            given.prog, "a number is out of all range; check the arguments", BAD_ARGUMENTS
        )
    except (RuntimeError, OSError, MemoryError) as error:
        return _complain(given.prog, error, FAILED)
    return OK


def _complain(prog: str, error: object, status: int) -> int:
    message = " ".join(str(error).split()) or type(error).__name__
    for argument, option in SPELLED.items():
        message = message.replace(argument, option)
    print(f"{prog}: error: {message}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="pnpfuse",
        description="Poisson-Nernst-Planck cells, and multimodal fusion modelled on them.",
    )
    parser.add_argument("--version", action="version", version=f"pnpfuse {version('pnpfuse')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (
        _add_demo, _add_simulate, _add_map, _add_models, _add_train, _add_compare, _add_retrieve,
        _add_diagnose,
    ):  # fmt: skip
        add(commands)
    return parser


def _command(
    commands: argparse._SubParsersAction,
    name: str,
    run: Callable[[argparse.Namespace], Iterable[str]],
    summary: str,
    example: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, prog=f"pnpfuse {name}")
    return parser


def _path(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("got an empty name; give a path")
    return text


def _png(text: str) -> str:
    if not text.endswith(".png"):
        raise argparse.ArgumentTypeError(f"got {text!r}; give a name that ends in .png")
    return text


def _add_demo(commands: argparse._SubParsersAction) -> None:
    parser = _command(
        commands, "demo", _demo,
        "run the whole chain on handwritten digits and write a report",
        "pnpfuse demo --out out/demo --seed 0",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=_path, default="out/demo", help="folder for the results (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="first seed (%(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="trainings a model (%(default)s)")
    parser.add_argument("--epochs", type=int, default=30, help="of each training (%(default)s)")


def _demo(given: argparse.Namespace) -> Sequence[str]:
    from pnpfuse.demo import run_demo

    return run_demo(given.out, seed=given.seed, seeds=given.seeds, epochs=given.epochs)


def _add_simulate(commands: argparse._SubParsersAction) -> None:
    parser = _command(
        commands, "simulate", _simulate,
        "solve the equilibrium of a cell",
        "pnpfuse simulate --length-ratio 4 --voltage 5 --out cell.nc --plot cell.png\n"
        "  pnpfuse simulate --length 1e-7 --ion Na+ 1 6e25 --ion Cl- -1 6e25 --permittivity 78 "
        "--voltage 4",
    )  # fmt: skip
    add_cell_options(parser)
    parser.add_argument("--nodes", type=int, default=401, help="mesh nodes (%(default)s)")
    parser.add_argument("--out", type=_path, help="write the solution to this NetCDF file")
    parser.add_argument(
        "--plot", type=_png, help="draw potential and concentrations to this PNG file"
    )


def _simulate(given: argparse.Namespace) -> Sequence[str]:
    from pnpfuse.console import cell_lines
    from pnpfuse.storage import save_dataset
    from pnpfuse_solvers import solve_equilibrium

    solution = solve_equilibrium(cell_given(given), nodes=given.nodes)
    lines = list(cell_lines(solution))
    if given.out:
        lines.append(f"written: {save_dataset(solution, given.out)}")
    if given.plot:
        from pnpfuse.figures import cell_figure, save_figure

        lines.append(f"drawn: {save_figure(cell_figure(solution), given.plot)}")
    return lines


def _add_map(commands: argparse._SubParsersAction) -> None:
    parser = _command(
        commands, "map", _map,
        "map feature widths to the hyperparameters (n, b) of a fusion block",
        "pnpfuse map image=2048 text=768 --voltage 50\n\n"
        "the widths are those that reach the block: behind the small encoders of pnpfuse train\n"
        "they are min(64, width), and train --mapped maps those",
    )  # fmt: skip
    parser.add_argument("dims", nargs="+", metavar="MODALITY=WIDTH", help="at least two")
    parser.add_argument("--n", type=float, default=4.0, help="cell length, λ_D (%(default)s)")
    parser.add_argument("--voltage", type=float, default=20.0, help="+-, in kB T/e (%(default)s)")
    parser.add_argument("--out", type=_path, help="write the result to this NetCDF file")


def _map(given: argparse.Namespace) -> Sequence[str]:
    from pnpfuse.console import mapping_lines
    from pnpfuse.mapping import hyperparameters, mapping_dataset
    from pnpfuse.storage import save_dataset

    found = hyperparameters(_dims(given.dims), n=given.n, voltage=given.voltage)
    lines = mapping_lines(found)
    if given.out:
        lines.append(f"written: {save_dataset(mapping_dataset(found), given.out)}")
    return lines


def _dims(entries: Sequence[str]) -> dict[str, int]:
    dims: dict[str, int] = {}
    for entry in entries:
        name, equals, width = entry.partition("=")
        if not (name and equals and width.isdecimal()) or name in dims:
            raise ValueError(
                f"dims: got {entry!r}; give MODALITY=WIDTH, each modality once, e.g. text=768"
            )
        dims[name] = int(width)
    return dims


def _add_models(commands: argparse._SubParsersAction) -> None:
    _command(
        commands, "models", lambda given: model_lines(),
        "list the models: what each is, its options with their defaults, its losses' weights",
        "pnpfuse models",
    )  # fmt: skip


def _add_train(commands: argparse._SubParsersAction) -> None:
    parser = _command(
        commands, "train", _train,
        "train a fusion model and evaluate it with modalities missing",
        "pnpfuse train digits --model rpmr --n 4 --b 0.5 --out out/rpmr\n\n"
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
        "--out", type=_path, default="out/train",
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
        voltage = 20.0 if given.voltage is None else given.voltage
        found = mapped_options(views, model=given.model, voltage=voltage, **options)
        yield from mapping_lines(found)
        options |= {"n": found.n, "b": found.b}
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


def _add_compare(commands: argparse._SubParsersAction) -> None:
    parser = _command(
        commands, "compare", _compare,
        "train several models with several seeds and set their accuracies side by side",
        "pnpfuse compare digits --models concat rpmr --seeds 5 --jobs 2 --out compare.nc\n\n"
        + DATA,
    )  # fmt: skip
    parser.add_argument("data", help="digits, or a file (see below)")
    parser.add_argument("--models", nargs="+", metavar="NAME",
                        help="see pnpfuse models (all but those equal to another)")  # fmt: skip
    parser.add_argument("--seeds", type=int, default=3, help="trainings a model (%(default)s)")
    add_model_options(parser)
    add_training_options(parser, several=True)
    parser.add_argument("--score", choices=("accuracy", "balanced_accuracy"),
                        help="to print (accuracy; with unequal classes both)")  # fmt: skip
    parser.add_argument("--missing", default="each", help="none, each or all (%(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads a run (%(default)s)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=int, default=1, help="runs at a time (%(default)s)")
    where.add_argument("--dask", metavar="ADDRESS", help="of a Dask scheduler that takes the runs")
    parser.add_argument("--out", type=_path, help="write all scores to this NetCDF file")
    parser.add_argument("--plot", type=_png, help="draw the accuracies to this PNG file")


def _compare(given: argparse.Namespace) -> Iterator[str]:
    from pnpfuse.comparison import compare
    from pnpfuse.console import compared_lines
    from pnpfuse.data import load_views
    from pnpfuse.executors import executor_for
    from pnpfuse.storage import save_dataset

    models, settings = models_given(given), training_settings(given)
    views = load_views(given.data)
    with executor_for(given.jobs, given.dask) as executor:
        comparison = compare(
            models, views, seeds=given.seeds, missing=given.missing, executor=executor,
            threads=given.threads, **settings,
        )  # fmt: skip
    if not given.models:
        yield twins_note()
    yield from compared_lines(comparison, views.test, given.score)
    if given.out:
        yield f"written: {save_dataset(comparison, given.out)}"
    if given.plot:
        from pnpfuse.figures import save_figure, spread_figure

        yield f"drawn: {save_figure(spread_figure(comparison), given.plot)}"


def _add_retrieve(commands: argparse._SubParsersAction) -> None:
    parser = _command(
        commands, "retrieve", _retrieve,
        "score a trained model's retrieval of one modality by another",
        "pnpfuse retrieve out/train digits --query pixels --gallery fourier --out scores.nc\n\n"
        + DATA,
    )  # fmt: skip
    parser.add_argument("model", help="folder of a saved model, as pnpfuse train writes it")
    parser.add_argument("data", help="digits, or a file (see below)")
    parser.add_argument("--query", required=True, help="modality of the queries")
    parser.add_argument("--gallery", required=True, help="modality that is searched")
    parser.add_argument("--k", type=int, nargs="+", default=[1, 5, 10, 50, 100], help="cut-offs")
    parser.add_argument("--relevance", default="class", help="class or pair (%(default)s)")
    parser.add_argument("--parts", help="shared, specific or all (shared across modalities)")
    parser.add_argument("--split", default="test", help="train or test (%(default)s)")
    parser.add_argument("--out", type=_path, help="write the scores to this NetCDF file")


def _retrieve(given: argparse.Namespace) -> Iterator[str]:
    from pnpfuse.console import retrieval_lines
    from pnpfuse.data import load_views
    from pnpfuse.fusion.saved import load_model
    from pnpfuse.retrieval import retrieve
    from pnpfuse.storage import save_dataset

    model = load_model(given.model)
    found = retrieve(
        model, load_views(given.data), given.query, given.gallery, k=given.k,
        relevance=given.relevance, parts=given.parts, split=given.split,
    )  # fmt: skip
    yield from retrieval_lines(found)
    if given.out:
        yield f"written: {save_dataset(found, given.out)}"


def _add_diagnose(commands: argparse._SubParsersAction) -> None:
    parser = _command(
        commands, "diagnose", diagnosis_lines,
        "say whether a trained model's losses fight, its features collapse, and what they know",
        "pnpfuse diagnose out/train digits --out out/diagnosis --html\n\n"
        + DATA,
    )  # fmt: skip
    parser.add_argument(
        "--out", type=_path, default="out/diagnosis",
        help="folder for diagnostics.nc and the page (%(default)s)",
    )  # fmt: skip
    add_diagnosis_options(parser)


if __name__ == "__main__":
    sys.exit(main())
