"""The command line: reads arguments, calls the library, prints. No arithmetic."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, NoReturn

from pnpfuse.training_options import (
    add_training_options,
    add_weights,
    training_settings,
    weights_given,
)

if TYPE_CHECKING:
    from pnpfuse_solvers import Cell

OK, FAILED, BAD_ARGUMENTS, INTERRUPTED = 0, 1, 2, 130
DATA = """a file (.npz, NetCDF or Zarr) holds view_<name> (rows, width) for each modality, y (rows,)
of 0..K-1 or of strings and, if known, split (rows,) with 0 train, 1 test, class_names and
view_names (their order)"""


class _Parser(argparse.ArgumentParser):
    """argparse with errors of one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_ARGUMENTS, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0 done, 1 failed, 2 bad arguments."""
    given = _parser().parse_args(arguments)
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
    print(f"{prog}: error: {message}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="pnpfuse",
        description="Poisson-Nernst-Planck cells, and multimodal fusion modelled on them.",
    )
    parser.add_argument("--version", action="version", version=f"pnpfuse {version('pnpfuse')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (_add_demo, _add_simulate, _add_map, _add_train, _add_compare, _add_retrieve):
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
    parser.add_argument("--voltage", type=float, required=True, help="electrodes at +-V, in kB T/e")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--fig8", action="store_true", help="the cell of PMR Fig. 8 (default)")
    size.add_argument("--length-ratio", type=float, help="length in Debye lengths")
    size.add_argument("--length", type=float, help="length in m, with --ion")
    parser.add_argument(
        "--ion", nargs=3, action="append", metavar=("NAME", "VALENCE", "DENSITY"),
        help="an ion with its number density in 1/m^3, with --length; once for each",
    )  # fmt: skip
    parser.add_argument("--valences", type=float, nargs="+", help="with --length-ratio (1 -1)")
    parser.add_argument("--concentrations", type=float, nargs="+",
                        help="relative, with --length-ratio (1 1)")  # fmt: skip
    parser.add_argument("--temperature", type=float, help="in K, with --length (300)")
    parser.add_argument("--permittivity", type=float, help="relative, with --length (1)")
    parser.add_argument("--contact", default="closed", help="closed or reservoir (%(default)s)")
    parser.add_argument("--nodes", type=int, default=401, help="mesh nodes (%(default)s)")
    parser.add_argument("--out", type=_path, help="write the solution to this NetCDF file")
    parser.add_argument(
        "--plot", type=_png, help="draw potential and concentrations to this PNG file"
    )


def _simulate(given: argparse.Namespace) -> Sequence[str]:
    from pnpfuse.console import cell_lines
    from pnpfuse.storage import save_dataset
    from pnpfuse_solvers import solve_equilibrium

    solution = solve_equilibrium(_cell(given), nodes=given.nodes)
    lines = list(cell_lines(solution))
    if given.out:
        lines.append(f"written: {save_dataset(solution, given.out)}")
    if given.plot:
        from pnpfuse.figures import cell_figure, save_figure

        lines.append(f"drawn: {save_figure(cell_figure(solution), given.plot)}")
    return lines


def _cell(given: argparse.Namespace) -> Cell:
    from pnpfuse_solvers import Cell, Ion

    mode = next((m for m in ("length", "length_ratio") if getattr(given, m) is not None), "fig8")
    belongs = {
        "ion": "length",
        "temperature": "length",
        "permittivity": "length",
        "valences": "length_ratio",
        "concentrations": "length_ratio",
    }
    for option, home in belongs.items():
        if getattr(given, option) is not None and mode != home:
            raise ValueError(f"--{option} goes with --{home.replace('_', '-')}")
    if mode == "fig8":
        return Cell.fig8(given.voltage, contact=given.contact)
    if mode == "length_ratio":
        if (given.valences is None) != (given.concentrations is None):
            raise ValueError("--valences and --concentrations go together, one number an ion each")
        valences = given.valences or [1.0, -1.0]
        concentrations = given.concentrations or [1.0, 1.0]
        return Cell.dimensionless(
            given.length_ratio, given.voltage, valences, concentrations, given.contact
        )
    if not given.ion:
        raise ValueError("--length needs at least one --ion NAME VALENCE DENSITY")
    ions = tuple(Ion(name, valence, density) for name, valence, density in given.ion)
    cell = Cell(
        given.length,
        ions,
        temperature=300.0 if given.temperature is None else given.temperature,
        relative_permittivity=1.0 if given.permittivity is None else given.permittivity,
        contact=given.contact,
    )
    return cell.at_voltage(given.voltage)


def _add_map(commands: argparse._SubParsersAction) -> None:
    parser = _command(
        commands, "map", _map,
        "map feature widths to the hyperparameters (n, b) of a fusion block",
        "pnpfuse map image=2048 text=768 --voltage 50",
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


def _add_train(commands: argparse._SubParsersAction) -> None:
    parser = _command(
        commands, "train", _train,
        "train a fusion model and evaluate it with modalities missing",
        "pnpfuse train digits --model rpmr --n 4 --b 0.5 --out out/rpmr\n\n"
        + DATA,
    )  # fmt: skip
    parser.add_argument("data", help="digits, or a file (see below)")
    parser.add_argument("--model", default="rpmr", help="concat, gmf, spmr or rpmr (%(default)s)")
    parser.add_argument("--n", type=float, help="magnification factor (4)")
    parser.add_argument("--b", type=float, help="boundary as a ratio (0.5)")
    parser.add_argument("--mapped", action="store_true", help="take b from each modality's cell")
    parser.add_argument("--voltage", type=float, help="of that cell, +-, in kB T/e (20)")
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

    options = {key: getattr(given, key) for key in ("n", "b") if getattr(given, key) is not None}
    if given.voltage is not None and not given.mapped:
        raise ValueError("--voltage goes with --mapped")
    if given.mapped and "b" in options:
        raise ValueError("--mapped and --b each give b: take one of them")
    if given.model == "concat" and (given.mapped or options):
        raise ValueError("--mapped, --n and --b go with gmf, spmr and rpmr, not with concat")
    views = load_views(given.data)
    if given.mapped:
        voltage = 20.0 if given.voltage is None else given.voltage
        found = mapped_options(views, options.get("n", 4.0), voltage)
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
    parser.add_argument("--models", nargs="+", metavar="NAME", help="of create_model (all)")
    parser.add_argument("--seeds", type=int, default=3, help="trainings a model (%(default)s)")
    parser.add_argument("--epochs", type=int, default=30, help="of each training (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=128, help="(%(default)s)")
    parser.add_argument("--lr", type=float, default=1e-3, help="of AdamW (%(default)s)")
    add_weights(parser)
    parser.add_argument("--fill", default="zero", help="what stands for a missing modality: zero, "
                        "mean, learned, or input, its training mean at the encoder (%(default)s)"
                        )  # fmt: skip
    parser.add_argument("--missing", default="each", help="none, each or all (%(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads a run (%(default)s)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=int, default=1, help="runs at a time (%(default)s)")
    where.add_argument("--dask", metavar="ADDRESS", help="of a Dask scheduler that takes the runs")
    parser.add_argument("--out", type=_path, help="write all scores to this NetCDF file")
    parser.add_argument("--plot", type=_png, help="draw them to this PNG file")


def _compare(given: argparse.Namespace) -> Iterator[str]:
    from pnpfuse.comparison import compare
    from pnpfuse.console import comparison_lines
    from pnpfuse.data import load_views
    from pnpfuse.executors import executor_for
    from pnpfuse.fusion.registry import list_models
    from pnpfuse.storage import save_dataset

    views = load_views(given.data)
    models = {name: (name, {"fill": given.fill}) for name in given.models or list_models()}
    with executor_for(given.jobs, given.dask) as executor:
        comparison = compare(
            models, views, seeds=given.seeds, epochs=given.epochs,
            missing=given.missing, executor=executor, threads=given.threads,
            batch_size=given.batch_size, lr=given.lr, device=given.device,
            weights=weights_given(given),
        )  # fmt: skip
    yield from comparison_lines(comparison)
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
    parser.add_argument("checkpoint", help="folder of a saved model, as pnpfuse train writes it")
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

    model = load_model(given.checkpoint)
    found = retrieve(
        model, load_views(given.data), given.query, given.gallery, k=given.k,
        relevance=given.relevance, parts=given.parts, split=given.split,
    )  # fmt: skip
    yield from retrieval_lines(found)
    if given.out:
        yield f"written: {save_dataset(found, given.out)}"


if __name__ == "__main__":
    sys.exit(main())
