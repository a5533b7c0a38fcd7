"""Figures of a sweep show its numbers, at the bounds and marks of the paper and of physics."""

import io

import numpy as np
import pytest
import xarray as xr
from planted_sweep import SIX, THREE, TWO, planted_sweep

from pnpfuse.mapping import hyperparameters
from pnpfuse.sweep.captions import rerun
from pnpfuse.sweep.figures import sweep_figure
from pnpfuse.sweep.heat import heat_figure
from pnpfuse.sweep.ranks import rank_figure

pytestmark = pytest.mark.filterwarnings("error")
FIGURES = [sweep_figure, rank_figure, heat_figure]


def drawn(figure):
    """Draw the figure, all its text included: whatever does not fit or cannot be set fails here."""
    picture(figure)  # canvas.draw() would draw nothing
    return figure


def picture(figure):
    """A small PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=40)
    return buffer.getvalue()


def points(axis, markers="osD^vPh8p"):
    """(x, y) of all points with such markers, the hollow ones too, ascending."""
    found = [line.get_xydata() for line in axis.lines if line.get_marker() in tuple(markers)]
    return np.array(sorted(map(tuple, np.concatenate([np.empty((0, 2)), *found]))))


def panels(figure):
    return [axis for axis in figure.axes if axis.get_title()]


def said(figure):
    return " ".join(figure.get_supxlabel().split())


def titles(figure):
    return [axis.get_title() for axis in panels(figure)]


def entries(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def lines_at(axis):
    """Where the vertical lines of a panel stand."""
    return sorted({float(x) for line in axis.lines for x in line.get_xdata()[:1]
                   if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2})  # fmt: skip


def test_means_over_the_seeds_stand_at_n_b():
    sweep = planted_sweep(lambda n, b: 0.6 + 0.1 * n * b)
    figure = sweep_figure(sweep)
    assert titles(figure) == ["all present", "one missing (mean)"]
    for axis, condition in zip(panels(figure), ("none", "each"), strict=True):
        mean = 100 * sweep.accuracy.sel(condition=condition).mean("seed").values
        expected = sorted(zip(np.outer(sweep.n, sweep.b).ravel(), mean.ravel(), strict=True))
        np.testing.assert_allclose(points(axis), expected)


def test_balanced_accuracy_where_it_is_asked_for():
    sweep = planted_sweep()
    axis = panels(sweep_figure(sweep, "balanced_accuracy", conditions="none"))[0]
    mean = 100 * sweep.balanced_accuracy.sel(condition="none").mean("seed")
    np.testing.assert_allclose(sorted(points(axis)[:, 1]), sorted(mean.values.ravel()))
    assert axis.get_ylabel() == "test balanced accuracy / %"


def test_the_lines_of_the_paper_and_of_the_rank_condition():
    figure = sweep_figure(planted_sweep(dims=SIX))
    # l*/l_k of the widths 24, 20, 16, 12, 8 and 4, and n b = 1.
    expected = sorted({4 / width for width in SIX.values()})
    np.testing.assert_allclose(lines_at(figure.axes[0]), expected)
    strips = [axis for axis in figure.axes if axis.patches]
    assert len(strips) == 2
    ends = [bar.get_x() + bar.get_width() for bar in strips[0].patches]
    np.testing.assert_allclose(ends, [4 / width for width in SIX.values()])
    assert [text.get_text() for text in strips[0].get_yticklabels()] == list(SIX)


def test_stars_are_where_the_cells_have_their_interfaces():
    sweep = planted_sweep(lambda n, b: 0.5 + 0.1 * b + 0 * n, scatter=0.0, n=(0.5, 4))
    figure = sweep_figure(sweep)
    found = points(figure.axes[1], "*")[:, 0]  # in the strip
    expected = [n * b for n in (0.5, 4) for b in hyperparameters(TWO, n=n, voltage=20).b.values()]
    np.testing.assert_allclose(found, sorted(expected), rtol=1e-6)
    for x, y in points(figure.axes[0], "*"):  # on a line that rises with b alone
        n = 0.5 if x < 0.5 else 4
        assert y == pytest.approx(50 + 10 * x / n, abs=0.02)


def test_hollow_where_the_specific_parts_are_bounded():
    figure = sweep_figure(planted_sweep(n=(2,)))
    hollow = {
        float(x)
        for line in figure.axes[0].lines
        if line.get_markerfacecolor() == "white"
        for x in line.get_xdata()
    }
    assert hollow == {1.4, 1.8}  # (1 - b) 2 < 1 for b = 0.7 and 0.9, not for 0.5


def test_ranks_and_their_bound():
    sweep = planted_sweep(dims=SIX)
    figure = rank_figure(sweep)
    assert titles(figure) == [f"{m} (l = {width})" for m, width in SIX.items()]
    for axis, width in zip(figure.axes, SIX.values(), strict=True):
        bound = axis.lines[0]
        assert np.array_equal(bound.get_ydata(), np.minimum(bound.get_xdata(), 4))
        cuts = {
            max(1, int(b * round(n * width) + 1e-9)) for n in (0.5, 1, 2, 4) for b in sweep.b.values
        }
        assert set(points(axis)[:, 0]) == {float(cut) for cut in cuts}
    assert "exceeded by 0 of 360 shared parts, met with equality by 360" in said(figure)
    sweep["rank"][0, 0, 0, 0] += 1
    sweep["rank"][1, 0, 0, 1] -= 1
    assert "exceeded by 1 of 360 shared parts, met with equality by 358" in said(rank_figure(sweep))


def test_heat_map_cells_and_paths():
    sweep = planted_sweep(lambda n, b: 0.5 + 0.05 * n - 0.2 * (b - 0.5) ** 2, 0.0005)
    figure = heat_figure(sweep, condition="none")
    axis = figure.axes[0]
    mesh = axis.collections[0]
    np.testing.assert_allclose(
        mesh.get_array(), 100 * sweep.accuracy.sel(condition="none").mean("seed").values.T
    )
    left, right = mesh.get_coordinates()[0, :-1, 0], mesh.get_coordinates()[0, 1:, 0]
    np.testing.assert_allclose(np.sqrt(left * right), sweep.n)
    best = [line for line in axis.lines if line.get_markerfacecolor() == "white"]
    assert (4.0, 0.5) in list(zip(*best[0].get_data(), strict=True))
    path = next(line for line in axis.lines if len(line.get_xdata()) == 4)
    np.testing.assert_allclose(path.get_ydata(), sweep.physical_b.values[:, 0])
    one = axis.lines[-1]
    np.testing.assert_allclose(np.multiply(*one.get_data()), 1)


@pytest.mark.parametrize(
    "variable, chosen, panels",
    [
        ("accuracy", {}, ["all present", "one missing (mean)"]),
        ("loss", {"condition": ["missing:text"]}, ["missing text"]),
        ("gradient_cosine", {}, ["preservation, image", "preservation, text"]),
        ("conflict_rate", {"modality": "text"}, ["preservation, text"]),
        ("training_loss", {}, ["task", "preservation"]),
        ("effective_rank", {}, ["image", "text"]),
    ],
)
def test_heat_map_of_any_variable(variable, chosen, panels):
    figure = heat_figure(planted_sweep(), variable, **chosen)
    assert titles(figure) == panels
    marked = "within one standard error of the best" in entries(figure)
    assert marked == (variable != "effective_rank")


@pytest.mark.parametrize("lowest", [False, True])
def test_the_best_is_the_lowest_of_a_loss(lowest):
    sweep = planted_sweep(lambda n, b: 0.5 + 0 * n + 0.1 * b, 0.001)
    sweep["loss"] = sweep["accuracy"]
    axis = heat_figure(sweep, "loss" if lowest else "accuracy", condition="none").axes[0]
    best = next(line for line in axis.lines if line.get_markerfacecolor() == "white")
    assert set(best.get_ydata()) == {0.1 if lowest else 0.9}


CASES = {
    "six modalities": lambda: planted_sweep(dims=SIX),
    "not all run": lambda: _with_outcome(0, [(0, 1, slice(None)), (2, 2, 1)]),
    "diverged": lambda: _with_outcome(2, [(0, 1, slice(None)), (2, 2, 1)]),
    "one seed": lambda: planted_sweep(seeds=1),
    "one n": lambda: planted_sweep(n=4),
    "one b": lambda: planted_sweep(b=0.5),
    "one point": lambda: planted_sweep(n=2, b=0.5, seeds=[7]),
    "many n": lambda: planted_sweep(n=tuple(2.0 ** np.arange(-1, 8)), b=(0.2, 0.8)),
    "one condition": lambda: planted_sweep(missing="none"),
    "every condition": lambda: planted_sweep(missing="all", dims=THREE, n=(1, 2)),
    "no interface": lambda: _without_interface(),
    "unordered": lambda: planted_sweep(n=(4, 1, 2), b=(0.9, 0.1, 0.5)),
    "nothing said": lambda: planted_sweep().drop_attrs(),
    "equal widths": lambda: planted_sweep(dims={"a": 8, "b": 8, "c": 8}),
}  # fmt: skip

LARGE = ("six modalities", "one point", "many n")  # for them all three have to find room


def _with_outcome(code, places):
    sweep = planted_sweep()
    for place in places:
        sweep.outcome[place] = code
    of_points = [name for name, one in sweep.items() if one.dims[:3] == ("n", "b", "seed")]
    for name in set(of_points) - {"outcome"}:
        sweep[name] = sweep[name].where(sweep.outcome == 1)
    return sweep


def _without_interface():
    sweep = planted_sweep()
    sweep.physical_b[:, 0] = np.nan
    sweep.physical_b[0] = np.nan
    return sweep


@pytest.mark.parametrize("case", CASES)
def test_every_sweep_can_be_drawn(case):
    sweep = CASES[case]()
    figures = [make(sweep) for make in FIGURES]
    for figure in figures if case in LARGE else figures[:1]:
        drawn(figure)
    assert not any("nan" in said(figure).lower() for figure in figures)
    if case == "every condition":
        every = drawn(sweep_figure(sweep, conditions=sweep.condition.values))
        assert len(titles(every)) == 8
    if case in ("not all run", "diverged"):
        figure = sweep_figure(sweep)
        assert ("diverged" in entries(figure)) == (case == "diverged")
        assert ("4 of 60 points not run yet" in said(figure)) == (case == "not all run")
        assert 0.15 not in np.round(points(figure.axes[0])[:, 0], 6)  # n = 0.5, b = 0.3


def test_a_model_without_shared_parts():
    sweep = planted_sweep().drop_dims(["modality", "auxiliary"])
    figure = sweep_figure(sweep)
    assert entries(figure) == ["n = 0.5", "n = 1", "n = 2", "n = 4", "n b = 1 (PMR)"]
    assert "Stars" not in said(figure)
    assert "n b = 1" in entries(heat_figure(sweep))
    with pytest.raises(ValueError, match="no rank, .*: take a sweep of a model with shared parts"):
        rank_figure(sweep)


@pytest.mark.parametrize("make", FIGURES)
def test_a_saved_sweep_draws_the_same(make, tmp_path):
    sweep = planted_sweep(n=(1, 2), b=(0.2, 0.6))
    sweep.to_netcdf(tmp_path / "sweep.nc", engine="h5netcdf")
    sweep.to_zarr(tmp_path / "sweep.zarr", zarr_format=2)
    with xr.open_dataset(tmp_path / "sweep.nc") as saved:
        first = picture(make(saved))
    assert first == picture(make(xr.open_zarr(tmp_path / "sweep.zarr")))
    assert said(make(saved)) == said(make(sweep))


def test_the_caption_has_the_command():
    sweep = planted_sweep()
    call = (
        "run_sweep(load_views('planted'), n=[0.5, 1, 2, 4], b=numpy.linspace(0.1, 0.9, 5), "
        "seeds=3, model='rpmr', epochs=30, options={'fill': 'mean'}, batch_size=64)"
    )
    assert rerun(sweep) == call
    for make in FIGURES:
        assert said(make(sweep)).endswith(f"rpmr on planted, 30 epochs, 3 seeds. {call}")
        assert said(make(sweep, command="pnpfuse sweep $data")).endswith(r"pnpfuse sweep \$data")
    assert "run_sweep" not in said(sweep_figure(sweep.drop_attrs()))
    assert rerun(sweep.assign_attrs(settings="{")) == rerun(sweep.assign_attrs(settings="[]")) == ""


def _compared(models, values):
    values = np.array(values)[:, None, None] + np.zeros((len(models), 2, 2))
    coords = {"model": models, "seed": [0, 1], "condition": ["none", "each"]}
    return xr.Dataset({"accuracy": (tuple(coords), values)}, coords)


@pytest.mark.parametrize(
    "baseline, name",
    [
        (0.75, "reference"),
        ({"none": 0.75, "each": 0.5}, "reference"),
        (_compared(["gmf", "concat"], [0.5, 0.75]), "concat"),
        (_compared(["mine"], [0.75]), "mine"),
        (_compared(["a", "b"], [0.5, 0.75]).sel(model="b"), "b"),
    ],
)
def test_a_reference_is_drawn_where_it_lies(baseline, name):
    figure = sweep_figure(planted_sweep(), baseline=baseline)
    flat = [line for line in figure.axes[0].lines if line.get_linestyle() == ":"]
    assert [set(line.get_ydata()) for line in flat] == [{75}]
    assert name in entries(figure)


def test_refused():
    sweep = planted_sweep()
    for make in FIGURES:
        with pytest.raises(ValueError, match="sweep: got dict; give the Dataset of run_sweep"):
            make({})
        with pytest.raises(ValueError, match="without n; give the Dataset of run_sweep, of single"):
            make(sweep.isel(n=0))
        with pytest.raises(ValueError, match="no finished point"):
            make(sweep.assign(outcome=0 * sweep.outcome))
        with pytest.raises(ValueError, match="what ran has diverged, lower lr"):
            make(sweep.assign(outcome=2 + 0 * sweep.outcome))
    with pytest.raises(ValueError, match="conditions: got .'missing:x'.; this sweep has .'none'"):
        sweep_figure(sweep, conditions=["missing:x"])
    with pytest.raises(
        ValueError, match="variable must be one of .'accuracy', 'balanced_accuracy'"
    ):
        sweep_figure(sweep, "loss")
    with pytest.raises(ValueError, match="conditions: got none"):
        sweep_figure(sweep, conditions=[])
    for wrong in (75, "concat", {"none": -1}):
        with pytest.raises(ValueError, match="baseline: got"):
            sweep_figure(sweep, baseline=wrong)
    with pytest.raises(ValueError, match="baseline has the models"):
        sweep_figure(sweep, baseline=_compared(["a", "b"], [0.5, 0.6]))
    with pytest.raises(ValueError, match="baseline has no accuracy"):
        sweep_figure(sweep, baseline=sweep.isel(seed=0))
    with pytest.raises(ValueError, match="no 'rank_limit' over its points; take one of accuracy"):
        heat_figure(sweep, "rank_limit")
    with pytest.raises(ValueError, match="modality is no dimension of 'accuracy'"):
        heat_figure(sweep, modality="image")
    with pytest.raises(
        ValueError, match="modality: got .'sound'.; this sweep has .'image', 'text'"
    ):
        heat_figure(sweep, "rank", modality="sound")
