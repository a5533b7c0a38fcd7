"""The claims of PMR's Table 7 notice what says otherwise."""

import pytest
from ledger_flips import flips, scored, small_bench, tried

from pnpfuse.ledger import FAILS, HOLDS, Training


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return small_bench(tmp_path_factory.mktemp("trained"), seeds=3)


@flips("pmr/above_ffn_concat", "measurement")
def test_above_ffn_concat(bench):
    better = {Training("rpmr"): [60.0, 61.0, 62.0], Training("ffn"): [50.0, 51.5, 51.0]}
    assert tried("pmr/above_ffn_concat", scored(bench, better)).verdict == HOLDS
    noisy = {Training("rpmr"): [60.0, 51.0, 62.0], Training("ffn"): [50.0, 61.5, 51.0]}
    assert tried("pmr/above_ffn_concat", scored(bench, noisy)).verdict == FAILS
