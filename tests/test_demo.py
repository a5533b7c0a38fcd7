"""The main job, small, through its one function: files, summary, reproducibility."""

import re

import numpy as np
import pytest
import xarray as xr

from pnpfuse.demo import CONTACTS, VOLTAGES, run_demo

FILES = ("comparison", "diagnostics", "fig8", "lengths", "mapping")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    return folder, run_demo(folder, seed=1, seeds=2, epochs=2, progress=False)


def test_summary_is_short_and_ends_in_the_report(demo):
    folder, lines = demo
    assert len(lines) <= 25
    assert lines[-1] == str(folder / "report.html")
    assert "Concat" in "\n".join(lines) and "± " in "\n".join(lines)


def test_every_file_is_there_and_explains_itself(demo):
    folder, _ = demo
    for name in FILES:
        with xr.open_dataset(folder / f"{name}.nc") as dataset:
            assert dataset.attrs["version"] and dataset.attrs["title"]
            for variable in dataset.variables.values():
                assert {"units", "long_name"} <= set(variable.attrs), (name, variable)
    for name in ("fig8", "lengths", "comparison", "diagnostics"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_report_stands_alone(demo):
    folder, _ = demo
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 4
    assert page.count("<table>") == 4
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    for heading in ("Physics", "Mapping", "Fusion", "Diagnostics"):
        assert f"<h2>{heading}" in page


def test_the_numbers_are_those_of_the_files(demo):
    folder, _ = demo
    page = (folder / "report.html").read_text(encoding="utf-8")
    with xr.open_dataset(folder / "comparison.nc") as comparison:
        assert comparison.sizes["seed"] == 2 and list(comparison.seed.values) == [1, 2]
        values = 100 * comparison.accuracy.sel(model="GMF", condition="each")
        assert f"{float(values.mean()):.1f} ± {float(values.std(ddof=1)):.1f}" in page
    with xr.open_dataset(folder / "fig8.nc") as fig8:
        assert float(fig8.residual.max()) < 1e-10
        np.testing.assert_allclose(fig8.interface / fig8.length, 0.5, atol=1e-9)
        assert fig8.interface.dims == ("contact", "voltage")
        assert (fig8.sizes["contact"], fig8.sizes["voltage"]) == (len(CONTACTS), len(VOLTAGES))


def test_the_same_seed_gives_the_same_numbers(demo, tmp_path):
    folder, lines = demo
    again = run_demo(tmp_path, seed=1, seeds=2, epochs=2, progress=False)
    assert again[:-1] == lines[:-1]
    for name in FILES:
        with (
            xr.open_dataset(folder / f"{name}.nc") as first,
            xr.open_dataset(tmp_path / f"{name}.nc") as second,
        ):
            xr.testing.assert_identical(first, second)
    assert (tmp_path / "report.html").read_bytes() == (folder / "report.html").read_bytes()


@pytest.mark.parametrize("bad", [{"seeds": 0}, {"epochs": 0}, {"seed": -1}])
def test_bad_counts(bad, tmp_path):
    with pytest.raises(ValueError, match=f"{next(iter(bad))} must be an integer"):
        run_demo(tmp_path / "new", **bad)
    assert not (tmp_path / "new").exists()
