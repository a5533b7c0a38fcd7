"""The ledger: its catalogue, what it keeps, and that every claim has a test that flips it."""

import ast
from pathlib import Path

import pytest
from ledger_flips import PLANTS

from pnpfuse.ledger import PAPERS, claims


def flipped() -> dict[str, set[str]]:
    """{claim: how it is flipped} by the marks in the tests' sources."""
    found: dict[str, set[str]] = {}
    for path in Path(__file__).parent.glob("test_ledger_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "flips":
                name, planted = (ast.literal_eval(argument) for argument in node.args)
                found.setdefault(name, set()).add(planted)
    return found


def test_every_claim_has_a_test_that_flips_it():
    assert set(flipped()) == set(claims())
    assert set().union(*flipped().values()) <= set(PLANTS)


@pytest.mark.parametrize("name", claims())
def test_a_claim_says_what_it_is(name):
    claim = claims([name])[name]
    assert claim.paper in PAPERS and claim.name == name
    for text in (claim.statement, claim.source, claim.protocol, claim.threshold):
        assert len(text) > 5 and text == " ".join(text.split())
    assert claim.statement.endswith(".") and claim.protocol.endswith(".")


def test_unknown_names_are_told():
    with pytest.raises(ValueError, match="near it: pmr/residual"):
        claims(["pmr/residuals"])
    with pytest.raises(ValueError, match="papers must be of"):
        claims(papers=["pnr"])
