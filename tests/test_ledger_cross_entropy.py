"""The claim about cross-entropy and entropy notices another loss."""

import pytest
from ledger_flips import flips, small_bench, tried

from pnpfuse.ledger import CORRECTED, FAILS, HOLDS, Training
from pnpfuse.ledger.pmr import cross_entropy


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return small_bench(tmp_path_factory.mktemp("trained"), seeds=3, epochs=2)


@flips("pmr/cross_entropy", "implementation")
def test_cross_entropy(bench, monkeypatch):
    monkeypatch.setattr(cross_entropy, "PMR", Training("concat", {}, {"lr": 0.03}))  # learns soon
    entry = tried("pmr/cross_entropy", bench)
    assert entry.verdict == CORRECTED
    assert entry.found["labels"] == pytest.approx(0.8018, abs=1e-4)  # of 0.7, 0.2, 0.1

    def sharpened(logits, labels):  # a loss that asks for certainty
        return cross_entropy._entropy(logits).mean()

    monkeypatch.setattr(cross_entropy, "task_loss", sharpened)
    assert tried("pmr/cross_entropy", bench).verdict == HOLDS
    trained, untrained = cross_entropy._trained, cross_entropy._untrained
    monkeypatch.setattr(cross_entropy, "_trained", untrained)
    monkeypatch.setattr(cross_entropy, "_untrained", trained)
    assert tried("pmr/cross_entropy", bench).verdict == FAILS
