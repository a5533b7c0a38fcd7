"""Files are whole or not there, figures and pages hold what they are given."""

import numpy as np
import pytest
import xarray as xr

from pnpfuse.figures import cell_figure, comparison_figure, png, save_figure, separation_figure
from pnpfuse.report import Section, Table, render
from pnpfuse.storage import save_dataset, save_text, write_whole
from pnpfuse_solvers import Cell, solve_equilibrium


def test_an_interrupted_write_leaves_the_older_file(tmp_path):
    path = save_text("old", tmp_path / "deep" / "a.txt")

    def broken(draft):
        draft.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, broken)
    assert path.read_text() == "old"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.txt"]


def test_datasets_come_back(tmp_path):
    dataset = xr.Dataset({"a": ("x", np.arange(3.0), {"units": "m"})}, attrs={"n": 1, "why": ""})
    with xr.open_dataset(save_dataset(dataset, tmp_path / "a.nc")) as again:
        xr.testing.assert_identical(again, dataset)


def test_cell_figure_marks_the_interface(tmp_path):
    clear, bulk = (solve_equilibrium(Cell.dimensionless(r, 1)) for r in (1, 1e4))
    figure = cell_figure(clear, bulk)
    texts = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert any(text.startswith("b = ") for text in texts) and "no interface" in texts
    content = png(figure)
    assert content.startswith(b"\x89PNG")
    assert png(cell_figure(clear, bulk)) == content
    assert save_figure(cell_figure(clear, bulk), tmp_path / "f.png").read_bytes() == content
    with pytest.raises(ValueError, match="solutions: got none"):
        cell_figure()


def test_cell_figure_names_its_cells_and_shows_where_they_cross():
    """In a strong field the crossing lies many decades below the electrodes."""
    weak, strong = (solve_equilibrium(Cell.dimensionless(1, u)) for u in (1, 64))
    names, command = ["a_$b^$", "text"], "pnpfuse map 'a_$b^$=3' " + 30 * "and so on "
    figure = cell_figure(weak, strong, names=names, command=command)
    assert png(figure).startswith(b"\x89PNG")  # no formula is made of dollar signs
    titles = [axis.get_title() for axis in figure.axes[:2]]
    assert titles[0].startswith("a_$b^$: closed") and titles[1].startswith("text: closed")
    assert "pnpfuse map 'a_$b^$=3'" in figure.get_supxlabel()
    assert all(len(line) < 100 for line in figure.get_supxlabel().splitlines())
    for axis, solution in zip(figure.axes[2:], (weak, strong), strict=True):
        crossing = float(solution.concentration[0].interp(x=solution.interface))
        assert axis.get_ylim()[0] < crossing < axis.get_ylim()[1]
    assert cell_figure(weak).get_supxlabel() == ""


def test_lines_and_bars_carry_the_numbers():
    lengths = xr.Dataset(
        {"separation": (("length_ratio", "voltage"), np.array([[0.9, 1.0], [0.6, 0.8]]))},
        coords={"length_ratio": [1.0, 10.0], "voltage": [1.0, 5.0]},
    )
    lines = separation_figure(lengths).axes[0].lines
    np.testing.assert_array_equal([line.get_ydata() for line in lines], [[0.9, 0.6], [1.0, 0.8]])
    comparison = xr.Dataset(
        {"accuracy": (("model", "seed", "condition"), np.array([[[0.5, 0.1], [0.7, 0.1]]]))},
        coords={"model": ["m"], "condition": ["none", "only:a"], "seed": [0, 1]},
    )
    bars = comparison_figure(comparison).axes[0].patches
    assert [bar.get_height() for bar in bars] == [pytest.approx(60.0)]


def test_page_embeds_figures_and_escapes_text():
    sections = [
        Section("A < B", ["x & y"], [Table(["h"], [["<1>"]], "cap")], [("fig", b"\x89PNG")])
    ]
    page = render("title", sections, {"seed": 0})
    assert "A &lt; B" in page and "x &amp; y" in page and "&lt;1&gt;" in page
    assert 'src="data:image/png;base64,iVBORw=="' in page
