import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pnpfuse_analysis import (
    Estimate,
    conditional_mutual_information,
    dirichlet_energy,
    entropy,
    knn_graph,
    mutual_information,
)
from pnpfuse_analysis.information.resampling import subsample_interval
from pnpfuse_analysis.samples import tie_fraction


def noise(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_an_estimate_reads_as_a_number():
    one = Estimate(value=math.log(2.0), n=10, d=2, method="ksg", stderr=0.25, warnings=("Beware.",))
    assert float(one) == math.log(2.0)
    assert one.bits == 1
    assert one.units == "nats"
    assert repr(one) == "Estimate(0.6931 nats ± 0.25; estimate by ksg, n=10, d=2; 1 warning)"
    full = Estimate(0.5, 10, 2, "ksg", ci=(0.25, 0.75), null_mean=0.01, p_value=0.05)
    assert "95% [0.25, 0.75]; null 0.01, p=0.05" in repr(full)
    with pytest.raises(AttributeError):
        one.value = 0.0


@pytest.mark.parametrize("n", [5, 6, 9])
def test_half_samples_give_the_standard_error_of_a_mean(n):
    # For a mean the squared error has the expectation s^2 / n, exactly and at odd n too.
    x = noise(n)
    generator = torch.Generator().manual_seed(0)
    found = [
        subsample_interval(lambda part: part, (x,), float(x.mean()), generator) for _ in range(300)
    ]
    square = np.mean([stderr**2 for stderr, _ in found])
    # 300 variances of 40 draws each: known to sqrt(2 / 39 / 300) = 1.3 %.
    assert square == pytest.approx(float(x.var()) / n, rel=0.05)
    for stderr, (low, high) in found[:3]:
        assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, 39) * stderr, rel=1e-9)
        assert (high + low) / 2 == pytest.approx(float(x.mean()), abs=1e-12)


def test_half_samples_of_odd_size_follow_the_formula():
    x = noise(7)
    stderr, _ = subsample_interval(lambda part: part, (x,), 0.0, torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    means = [float(x[torch.randperm(7, generator=generator)[:3]].mean()) for _ in range(40)]
    assert stderr == pytest.approx(np.std(means, ddof=1) * math.sqrt(3 / 4), rel=1e-12)


def test_entropy_intervals_have_the_width_of_the_sampling_error():
    found = [
        entropy(noise(300, 2, seed=s), ci="subsample", generator=torch.Generator().manual_seed(1))
        for s in range(12)
    ]
    spread = np.std([float(one) for one in found], ddof=1)
    assert 0.5 < np.mean([one.stderr for one in found]) / spread < 2
    assert all(one.ci[0] < float(one) < one.ci[1] for one in found)


SAMPLES = noise(20, 2)
RING = torch.arange(20).expand(2, 20)
TAKERS = {
    "entropy": lambda x: entropy(x).local,
    "mutual_information": lambda x: mutual_information(x, SAMPLES).local,
    "copula": lambda x: mutual_information(x, SAMPLES, method="copula").local,
    "histogram": lambda x: mutual_information(x, SAMPLES, method="histogram").local,
    "mixed": lambda x: mutual_information(x, SAMPLES, method="mixed").local,
    "cca": lambda x: mutual_information(x, SAMPLES, reduce="cca", k=2).local,
    "conditional": lambda x: conditional_mutual_information(x, SAMPLES, SAMPLES[:, :1]).local,
    "knn_graph": lambda x: knn_graph(x, 2),
    "dirichlet_energy": lambda x: dirichlet_energy(x, RING),
}
VALUES = SAMPLES.numpy()
MASKED = np.ma.masked_array(VALUES, VALUES > 1)


@pytest.mark.parametrize("take", TAKERS.values(), ids=TAKERS)
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (None, "x must be a torch tensor or a NumPy array, found NoneType"),
        ({"a": VALUES}, "x must be a torch tensor or a NumPy array, found dict"),
        (VALUES.tolist(), "x must be a torch tensor or a NumPy array, found list"),
        (VALUES.astype(object), "x must hold numbers of a dtype .*, found object"),
        (VALUES.astype(str), "x must hold numbers of a dtype .*, found <U"),
        pytest.param(
            VALUES.astype(np.longdouble),
            "x must hold numbers of a dtype .*, found (float|longdouble)",
            marks=pytest.mark.skipif(np.finfo(np.longdouble).bits == 64, reason="no such type"),
        ),
        (VALUES.astype("M8[s]"), r"x must hold numbers of a dtype .*, found datetime64\[s\]"),
        (MASKED, f"x must have no masked values, found {MASKED.mask.sum()}; drop those rows"),
        (VALUES * 1j, "x must .*real.*, found torch.complex128"),
        (SAMPLES * 1j, "x must .*real.*, found torch.complex128"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_what_is_no_array_of_numbers_is_refused(take, x, message):
    with pytest.raises(ValueError, match=message):
        take(x)


@pytest.mark.parametrize("take", TAKERS.values(), ids=TAKERS)
def test_any_layout_of_numpy_memory_is_read(take):
    backward = VALUES[::-1].copy()[::-1]
    frozen = VALUES.copy()
    frozen.flags.writeable = False
    expected = take(SAMPLES)
    for x in (VALUES.astype(">f8"), backward, frozen, np.ma.masked_array(VALUES, False)):
        assert torch.equal(take(x), expected)


def test_rounded_storage_is_widened_and_its_copies_reported():
    x = noise(1500, 4)
    for dtype, most in ((torch.float16, 0.01), (torch.bfloat16, 0.02)):
        found = entropy(x.to(dtype))
        assert float(found) == pytest.approx(float(entropy(x)), abs=most)
        assert found.local.dtype == torch.float64
    assert entropy(x[:, 0].bfloat16()).tie_fraction > 0.5


def test_numpy_and_torch_give_the_same_and_results_stay_on_their_device():
    x, y = noise(100, 1), noise(100, 1, seed=1)
    assert float(mutual_information(x.numpy(), y.numpy()[:, 0])) == float(mutual_information(x, y))
    found = entropy(x.float().requires_grad_())
    assert found.local.device == x.device
    assert not found.local.requires_grad
    assert found.local.shape == (100,)


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, -0.0, 1.0, 1e-300, 3.5]), st.integers(0, 3)), max_size=30
    ),
    st.sampled_from([torch.float64, torch.float32]),
)
def test_ties_are_rows_with_a_copy(rows, dtype):
    x = torch.tensor([(0.0, 0.0), *rows], dtype=dtype)
    expected = sum((x == row).all(1).sum() > 1 for row in x) / len(x)
    assert tie_fraction(x) == pytest.approx(float(expected))


def test_samples_of_rounded_numbers_share_few_hashes():
    x = noise(20_000, 3).float().double()
    assert tie_fraction(x) == 0
    assert tie_fraction(torch.cat((x, x[:100]))) == pytest.approx(200 / 20_100)


def test_an_estimate_is_written_and_compared_by_its_value():
    found = Estimate(value=0.125, n=3, d=1, method="mine", p_value=0.1)
    assert "p=0.1" in repr(found)
    assert f"{found:.2f} {found}" == f"0.12 {found!r}"
    assert found > 0.1 and found >= 0.125 and found <= found and 0.2 > found
    assert sorted([found, Estimate(0.1, 3, 1, "mine")])[1] is found
