"""`pnpfuse laziness`: what it prints and writes, and its errors of one line."""

import json

import pytest
import xarray as xr
from command_line import run
from small_views import small_views

from pnpfuse import laziness_table


def test_prints_the_table_and_writes_dataset_and_figure(capsys, tmp_path):
    data, out = tmp_path / "views.nc", tmp_path / "out"
    small_views().save(data)
    status, shown, err = run(
        capsys, "laziness", str(data), "--models", "rpmr", "--seeds", "2", "--epochs", "1",
        "--option", "width=5", "--n", "2", "--device", "cpu", "--out", str(out),
    )  # fmt: skip
    assert status == 0, err
    with xr.open_dataset(out / "laziness.nc") as found:
        frame = laziness_table(found)
        assert json.loads(found.attrs["alone"]) == ["concat", {"width": 5}]
        assert json.loads(found.attrs["models"])["rpmr"] == ["rpmr", {"n": 2, "width": 5}]
    assert all(cell in shown for cell in frame.to_numpy().ravel())
    assert "lazy on a" in shown and (out / "laziness.png").stat().st_size > 1000


@pytest.mark.parametrize(
    "more, said",
    [
        (["--option", "depth=3"], "none of the models has the option depth"),
        (["--models", "nope"], "--models must be one of"),
        (["--seeds", "0"], "seeds"),
    ],
)
def test_errors_are_one_line(capsys, tmp_path, more, said):
    data = tmp_path / "views.nc"
    small_views().save(data)
    status, shown, err = run(capsys, "laziness", str(data), "--models", "concat", *more)
    assert status == 2 and said in err and err.count("\n") == 1 and not shown
