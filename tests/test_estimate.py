import math

import pytest

from pnpfuse_analysis import Estimate


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
