"""`pnpfuse sweep`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from pnpfuse.cli.command import DATA, check_places, command, ended_like_ctrl_c, path, png
from pnpfuse.cli.model_options import add_model_options, model_given
from pnpfuse.cli.training_options import add_training_options, training_settings

EXAMPLES = """pnpfuse sweep digits --n 0.5 1 2 4 8 --b 0.1:0.9:9 --seeds 5 --out s.zarr --plot s.png
  python -m pnpfuse.sweep views.nc --n 4 --b 0.25 0.5 0.75 --model spmr --epochs 60 --jobs 8
  pnpfuse sweep digits --n 1 4 --b 0.1:0.9:17 --out s.zarr --dask tcp://host:8786

Stopped, by Ctrl-C, a kill or the end of the power, the same command goes on from where it was; a
finished sweep is only printed again."""

MOST = 10_000  # values along n or b: a mistyped count is told before the memory is gone


def add_sweep(commands: argparse._SubParsersAction) -> None:
    """The command and its arguments."""
    parser = command(
        commands, "sweep", _sweep,
        "train a model at every n, b and seed, and set its accuracies over n x b",
        EXAMPLES + "\n\n" + DATA,
    )  # fmt: skip
    parser.add_argument("data", help="digits, or a file (see below)")
    parser.add_argument("--n", dest="ns", nargs="+", required=True, metavar="N", type=numbers,
                        help="magnification factors: numbers, or start:stop:count")  # fmt: skip
    parser.add_argument("--b", dest="bs", nargs="+", required=True, metavar="B", type=numbers,
                        help="boundaries as ratios: numbers, or start:stop:count, ends included"
                        )  # fmt: skip
    parser.add_argument("--seeds", type=int, default=3, help="trainings a cell (%(default)s)")
    parser.add_argument("--model", default="rpmr", help="see pnpfuse models (%(default)s)")
    add_model_options(parser, swept=True)
    add_training_options(parser, several=True)
    parser.add_argument("--missing", default="each", help="none, each or all (%(default)s)")
    parser.add_argument("--voltage", type=float, default=20.0,
                        help="of the cells in which physics puts b, +-, in kB T/e (%(default)g)"
                        )  # fmt: skip
    parser.add_argument("--engine", default="auto",
                        help="stacked, many points at once; single, one by one; or auto, stacked "
                        "where that can be done (%(default)s)")  # fmt: skip
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (%(default)s)")
    parser.add_argument("--threads", type=int, default=1,
                        help="CPU threads a process (%(default)s)")  # fmt: skip
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=int, 
                       help="processes (as many as CPU cores; with a GPU one)")  # fmt: skip
    where.add_argument("--dask", metavar="ADDRESS", help="of a Dask scheduler that takes the work")
    parser.add_argument("--out", type=path, help="keep finished points in this Zarr store")
    parser.add_argument("--restart", dest="anew", action="store_true",
                        help="begin anew, in place of the sweep in --out")  # fmt: skip
    parser.add_argument("--score", choices=("accuracy", "balanced_accuracy"),
                        help="to print (accuracy; with unequal classes the balanced one)"
                        )  # fmt: skip
    parser.add_argument("--plot", type=png, help="draw the sweep to this PNG file")


def numbers(text: str) -> list[float]:
    """A number, or as many evenly spaced ones as start:stop:count says."""
    try:
        ends = [float(part) for part in text.split(":")]
        if len(ends) == 1:
            return ends
        start, stop, count = ends
        steps = int(count) - 1
        if count != steps + 1 or not 1 <= steps < MOST:
            raise ValueError
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"got {text!r}; give a number, or start:stop:count with a count from 2 to {MOST}"
        ) from None
    # Rounded, so that 0.1:0.9:9 has 0.3 and not 0.30000000000000004.
    return [round(start + (stop - start) * i / steps, 12) for i in range(steps + 1)]


def _sweep(given: argparse.Namespace) -> Iterator[str]:
    from pnpfuse.data import load_views
    from pnpfuse.executors import executor_for
    from pnpfuse.sweep import run_sweep
    from pnpfuse.sweep.findings import fitting_score, sweep_lines

    options, settings = model_given(given), training_settings(given)
    views = load_views(given.data)
    check_places(given.plot)
    with ended_like_ctrl_c(), executor_for(_jobs(given), given.dask) as executor:
        sweep = run_sweep(
            views, sum(given.ns, []), sum(given.bs, []), seeds=given.seeds, model=given.model,
            missing=given.missing, voltage=given.voltage, options=options, engine=given.engine,
            executor=executor, out=given.out, resume=not given.anew, threads=given.threads,
            **settings,
        )  # fmt: skip
    score = given.score or fitting_score(views.test)
    yield from sweep_lines(sweep, score)
    if given.out:
        yield f"written: {given.out}"
    if given.plot:
        from pnpfuse.figures import save_figure
        from pnpfuse.sweep import sweep_figure

        figure = sweep_figure(sweep, score, command=given.line)
        yield f"drawn: {save_figure(figure, given.plot)}"


def _jobs(given: argparse.Namespace) -> int:
    """Processes: those asked for, else one for a GPU and as many as there are CPU cores."""
    from pnpfuse.executors import cores
    from pnpfuse.training import choose_device

    if given.jobs is not None:
        return given.jobs
    return 1 if given.dask or choose_device(given.device).type != "cpu" else cores()
