import logging
import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
import torch
import xarray as xr

from pnpfuse_analysis import (
    grad_cosine,
    kernel_distance,
    log_scalars,
    mutual_information,
    scalars,
    smoothing_profile,
)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def report():
    z = noise(5, 3).requires_grad_()
    losses = {"task": z.square().sum(), "recon": -z.sum(), "other": z.pow(4).sum()}
    return grad_cosine(losses, z, main="task")


def test_lone_numbers():
    assert scalars(2) == {"value": 2.0}
    assert scalars(torch.tensor(0.5, requires_grad=True), "a/b") == {"a/b": 0.5}
    assert scalars(np.float32(0.25)) == {"value": 0.25}
    assert scalars(torch.tensor(1.5, dtype=torch.bfloat16), "x") == {"x": 1.5}
    assert scalars(True) == scalars(np.bool_(True)) == {"value": 1.0}
    found = scalars(np.array(3))["value"]
    assert type(found) is float and found == 3


def test_nested_results_have_nested_names():
    result = {"a": {"b": 1, "c": [2, torch.tensor(3)]}, "d": np.array([[4, 5]]), "text": "no"}
    assert scalars(result, "run") == {
        "run/a/b": 1.0,
        "run/a/c/0": 2.0,
        "run/a/c/1": 3.0,
        "run/d/0/0": 4.0,
        "run/d/0/1": 5.0,
    }
    assert scalars({"none": None, "words": ["x"], "empty": torch.zeros(0)}) == {}


def test_nan_stays_and_long_arrays_go():
    found = scalars({"x": math.nan, "y": torch.tensor([math.inf, -1.0])})
    assert math.isnan(found["x"]) and found["y/0"] == math.inf
    long = {"long": torch.zeros(65), "list": [0.0] * 65, "short": torch.zeros(64)}
    assert len(scalars(long)) == 64
    assert len(scalars(long, most=65)) == 64 + 65 + 65


def test_numbers_of_every_storage():
    masked = np.ma.array([1.0, 99.0, 3], mask=[False, True, False])
    for values in (masked, masked.astype(int), {"0": 1, "1": np.ma.masked, "2": np.int8(3)}):
        found = scalars(values)
        assert math.isnan(found.pop("1")) and found == {"0": 1.0, "2": 3.0}
    assert scalars(np.ma.array([1, 2])) == {"0": 1.0, "1": 2.0}
    sparse = torch.eye(2)
    for values in (sparse.to_sparse(), sparse.to_sparse_csr(), sparse.to(torch.float8_e4m3fn)):
        assert scalars(values, "m") == {"m/0/0": 1.0, "m/0/1": 0.0, "m/1/0": 0.0, "m/1/1": 1.0}
    assert scalars({"big": torch.eye(200).to_sparse()}) == {}


def test_an_estimate():
    x, y = noise(40), noise(40, seed=1)
    estimate = mutual_information(x, y, ci="local", null=3)
    found = scalars(estimate, "mi")
    assert found["mi/value"] == estimate.value
    assert (found["mi/ci/low"], found["mi/ci/high"]) == estimate.ci
    assert found["mi/p_value"] == estimate.p_value and found["mi/n"] == 40
    assert not any("local" in name or "method" in name for name in found)


def test_a_gradient_report_is_named_by_its_losses():
    found, expected = scalars(report(), "grad"), report()
    assert found["grad/task/recon/cosine"] == float(expected.cosine[0])
    assert found["grad/task/other/conflict_rate"] == float(expected.conflict_rate[1])
    assert found["grad/task/norm"] == float(expected.norms[0])
    assert not any("sample" in name for name in found)


def test_a_profile_is_named_by_its_layers():
    layers = {"first": noise(4, 2), "second": noise(4, 2, seed=1)}
    profile = smoothing_profile(layers, torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]]))
    found = scalars(profile, "graph")
    assert found["graph/energy/second"] == float(profile.energy[1])
    assert found["graph/log_slope"] == float(profile.log_slope)


def test_records_of_any_make():
    @dataclass
    class Record:
        rank: torch.Tensor
        note: str
        inner: dict

    assert scalars(Record(torch.tensor(2.0), "a", {"b": 1})) == {"rank": 2.0, "inner/b": 1.0}

    class Own:
        def scalars(self):
            return {"energy": torch.tensor(0.5)}

    assert scalars({"layer": Own()}) == {"layer/energy": 0.5}
    x = noise(6, 2)
    distances = kernel_distance(x, x + 1, torch.tensor([0, 0, 1, 1, 1, 0]), bandwidth=1.0)
    found = scalars(distances, "gap")
    assert set(found) == {
        "gap/overall", "gap/bandwidth", "gap/within", "gap/between", "gap/class/0", "gap/class/1",
    }  # fmt: skip
    assert found["gap/class/1"] == float(distances.matrix[1, 1])
    assert set(scalars(kernel_distance(x, x, bandwidth=1.0))) == {"overall", "bandwidth"}


def test_datasets_are_named_by_their_coordinates():
    data = xr.Dataset(
        {
            "rank": (("point", "epoch"), [[1.0, 2.0], [3.0, 4.0]]),
            "gap": ((), 0.5),
            "name": ("point", ["p", "q"]),
            "trace": ("step", np.zeros(100)),
        },
        coords={"point": ["encoder", "z"]},
    )
    assert scalars(data) == {
        "rank/encoder/0": 1.0,
        "rank/encoder/1": 2.0,
        "rank/z/0": 3.0,
        "rank/z/1": 4.0,
        "gap": 0.5,
    }
    assert scalars(data["gap"], "g") == {"g": 0.5}


def test_writers_of_every_make():
    calls = []

    class TensorBoard:
        def add_scalar(self, tag, value, step):
            calls.append((tag, value, step))

    class Lightning:
        def log_metrics(self, metrics, step=None):
            calls.append((metrics, step))

    class Module:
        def log(self, name, value):
            raise AssertionError

        def log_dict(self, metrics):
            calls.append(metrics)

    class Wandb:
        def log(self, metrics, step=None):
            calls.append((metrics, step))

    result = {"rank": torch.tensor(2.0)}
    for writer in (TensorBoard(), Lightning(), Module(), Wandb()):
        assert log_scalars(writer, result, 7, "val") == {"val/rank": 2.0}
    assert calls == [
        ("val/rank", 2.0, 7),
        ({"val/rank": 2.0}, 7),
        {"val/rank": 2.0},
        ({"val/rank": 2.0}, 7),
    ]
    curves, rows = {}, []
    for step in (0, 1):
        for writer in (curves, rows):
            log_scalars(writer, {"rank": step + 1}, step)
    assert curves == {"rank": [(0, 1.0), (1, 2.0)]}
    assert rows == [{"step": 0, "rank": 1.0}, {"step": 1, "rank": 2.0}]


def test_arguments_that_do_not_fit():
    for result in ("text", None, object()):
        with pytest.raises(ValueError, match="give it a method scalars"):
            scalars(result)
    for z in (torch.zeros(2, dtype=torch.complex64), np.zeros(99, complex), 1j, np.complex64(1)):
        with pytest.raises(ValueError, match="z must be real, found .*complex"):
            scalars({"z": z})
    with pytest.raises(ValueError, match="result must be real, found complex"):
        scalars(1j)
    for huge in (10**400, -(10**400), Fraction(10**400, 3)):
        with pytest.raises(ValueError, match="a/b must fit a float"):
            scalars({"a": {"b": huge}})
    for twice, name in [
        ({"a/b": 1, "a": {"b": 2}}, "a/b"),
        ({1: 1, "1": 2}, "1"),
        ({"": 1, "value": 2}, "value"),
    ]:
        with pytest.raises(ValueError, match=f"one value to a name, found two of '{name}'"):
            scalars(twice)
    for text in (logging.getLogger("x"), logging.LoggerAdapter(logging.getLogger("x"), {})):
        with pytest.raises(ValueError, match=r"takes str\(scalars\(result\)\)"):
            log_scalars(text, {"a": 1}, 0)
    with pytest.raises(ValueError, match="writer must have add_scalar"):
        log_scalars(object(), {"a": 1}, 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_from_cuda():
    assert scalars({"a": torch.ones(2).cuda()}) == {"a/0": 1.0, "a/1": 1.0}


def test_a_slash_at_the_end_of_a_prefix_is_not_doubled():
    assert scalars({"mi": 0.5}, "val/") == scalars({"mi": 0.5}, "val") == {"val/mi": 0.5}
