"""Every notebook runs from top to bottom (plain Python cells: no magics, no kernel needed)."""

import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))

# What stands in for the values of a notebook's cell with the tag "parameters".
FEW = "seeds, epochs, views = 2, 1, views.subset([i % 8 == 0 for i in range(len(views))])"
SHORT = {
    "04_n_by_b": "n, b, seeds, epochs = [0.5, 2, 8], np.array([0.1, 0.5, 0.9]), 2, 2",
    "05_diagnostics": FEW,
    "06_compare": FEW,
}


def test_there_are_notebooks():
    assert [path.stem for path in NOTEBOOKS][:1] == ["01_fig8"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(path.parent)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    names = {"__name__": "__main__"}
    ran = 0
    for i, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [], "notebooks are kept without outputs"
            exec(compile("".join(cell["source"]), f"{path.name}[{i}]", "exec"), names)
            if "parameters" in cell["metadata"].get("tags", ()):
                exec(SHORT[path.stem], names)
            ran += 1
    assert ran
