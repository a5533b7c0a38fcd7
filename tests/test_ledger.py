"""The ledger: its catalogue, what it keeps and shows, and that every claim has a test for it."""

import ast
import dataclasses
import html.parser
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ledger_flips import PLANTS

from pnpfuse import Views
from pnpfuse.ledger import (
    CORRECTED,
    FAILS,
    HOLDS,
    PAPERS,
    UNTRIED,
    VERDICTS,
    Bench,
    Entry,
    Ledger,
    Training,
    Verdict,
    catalogue,
    claims,
    ledger_lines,
    ledger_markdown,
    ledger_page,
)
from pnpfuse.ledger.catalogue import claim_names, full_name, outline
from pnpfuse.ledger.meanings import MEANINGS
from pnpfuse.ledger.measures.paired import draw_difference

ROOT = Path(__file__).resolve().parent.parent
SAVED = sorted((ROOT / "docs" / "ledgers").glob("*.json"))


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


def test_a_claim_says_what_it_is():
    for name, claim in claims().items():
        assert claim.paper in PAPERS and claim.name == name
        for text in (claim.statement, claim.source, claim.protocol, claim.threshold):
            assert len(text) > 5 and text == " ".join(text.split()), name
        assert claim.statement.endswith(".") and claim.protocol.endswith("."), name
        assert outline(name) == (claim.source, claim.statement)


def test_outlines_need_no_claim_to_be_run(monkeypatch):
    def broken(name):
        raise ModuleNotFoundError("no torch")

    monkeypatch.setattr(catalogue, "_claim", broken)
    assert "not readable" not in {source for source, _ in map(outline, claim_names())}
    monkeypatch.setattr(catalogue, "_text", lambda node, known: known["nothing"])
    assert outline("pmr/residual")[1].startswith("ModuleNotFoundError: no torch")


def test_unknown_names_are_told():
    with pytest.raises(ValueError, match="near it: pmr/residual"):
        claims(["pmr/residuals"])
    with pytest.raises(ValueError, match="papers must be of"):
        claims(papers=["pnr"])
    with pytest.raises(ValueError, match="in several papers"):
        full_name("same", ["pmr/same", "gmf/same", "scope/other"])
    assert claim_names("residual", "pmr") == ["pmr/residual"]


def test_a_verdict_other_than_holds_says_why():
    with pytest.raises(ValueError, match="why is needed"):
        Verdict(CORRECTED)
    with pytest.raises(ValueError, match="kind must be"):
        Verdict("perhaps")


# Ledgers

NARROW = {"mean": -1.0, "low": -2.0, "high": 0.0, "sd": 0.5}
TEXTS = ("It is <b>so|so</b>.", "PMR Sec. 1", "Done *twice*.", "at least 3")


def entry(name, verdict=HOLDS, why="", **changes):
    statement, source, protocol, threshold = TEXTS
    made = Entry(name, statement, source, protocol, threshold, "4 of 5", verdict, why)
    return dataclasses.replace(made, **changes)


def ledger(*entries, data="digits", quick=False, failures=()):
    conditions = {
        "data": data, "modalities": {"a": 3, "b": 4}, "classes": 2, "training rows": 9,
        "test rows": 3, "seeds": [0, 1], "epochs": 1, "quick": quick,
    }  # fmt: skip
    return Ledger(entries, conditions, dict(failures))


@pytest.fixture
def two():
    """On two data sets, with one verdict that is not the same."""
    one = ledger(
        entry("pmr/above", FAILS, "it is *less*", found={"difference": NARROW}),
        entry("scope/rows"),
        failures={"gmf/broken": "ZeroDivisionError: x"}.items(),
    )
    other = ledger(
        entry("scope/rows"),
        entry("pmr/above", CORRECTED, "with a factor", found={"deep": [{"one": NARROW}]}),
        entry("gmf/lacking", UNTRIED, "needs 3 modalities"),
        data="sets/wiki.npz",
    )
    return one, other


def test_saved_and_reopened(tmp_path, two):
    for made in two:
        assert Ledger.load(made.save(tmp_path / "l.json")) == made
    claim = json.loads((tmp_path / "l.json").read_text())["claims"][1]
    assert {"name", "source", "measured", "verdict"} <= set(claim)
    assert two[0]["rows"].name == two[0]["scope/rows"].name == "scope/rows"
    with pytest.raises(KeyError, match="no claim 'row'; near it: scope/rows"):
        two[0]["row"]
    frame = two[1].to_frame()
    assert frame.loc["gmf/lacking", "why"] == "needs 3 modalities" and len(frame) == 3


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda c: c.pop("claims"), "'claims' is missing"),
        (lambda c: c["claims"][0].pop("measured"), "claim 1: 'measured' is missing"),
        (lambda c: c["claims"][1].update(verdict="yes"), "claim 2: verdict 'yes' is none of"),
        (lambda c: c["claims"][1].update(source=3), "'source' is of the wrong kind, int"),
        (lambda c: c["conditions"].pop("seeds"), "conditions: 'seeds' is missing"),
        (lambda c: c.update(conditions=[]), "'conditions' is of the wrong kind"),
    ],
)
def test_a_file_that_is_no_ledger_is_told(tmp_path, two, change, said):
    path = two[0].save(tmp_path / "l.json")
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"l.json is no ledger.*{said}"):
        Ledger.load(path)


def test_what_a_later_version_adds_is_left_out(tmp_path, two):
    path = two[0].save(tmp_path / "l.json")
    content = json.loads(path.read_text())
    content["claims"][0]["mood"] = content["mood"] = "good"
    path.write_text(json.dumps(content))
    assert Ledger.load(path) == two[0]


def test_the_table_of_one_fits_and_is_coloured_only_when_asked(two):
    lines = list(ledger_lines(two[0]))
    assert max(map(len, lines)) <= 100 and "\x1b" not in "".join(lines)
    said = " ".join(" ".join(lines).split())
    assert "claim where measured verdict" in said and "does not hold here:" in said
    assert lines[-1] == "  not run: gmf/broken: ZeroDivisionError: x"
    assert "  2 claims: 1 holds, 1 does not hold here" in lines
    coloured = list(ledger_lines(two[0], colour=True))
    assert any("\x1b[31mdoes not hold here" in line for line in coloured)


@pytest.mark.parametrize("count", [2, 5])
def test_side_by_side_what_differs_stands_out(two, count):
    ledgers = [two[0], *[two[1]] * (count - 1)]
    lines = list(ledger_lines(*ledgers))
    assert max(map(len, lines)) <= 100
    marked = [line for line in lines if "* " in line]
    assert marked and all("* does" in line or "* holds" in line for line in marked)
    assert lines[-1] == "1 of 3 claims have not the same verdict in all (marked *)"
    head = next(line for line in lines if line.startswith("claim "))
    assert "digits" in head and "wiki" in head and ".npz" not in head


class Page(html.parser.HTMLParser):
    """Ids, links, pictures without a text, and what was left open."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.blind, self.open = [], [], 0, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"][1:]] if given.get("href", "").startswith("#") else []
        self.blind += tag == "img" and not given.get("alt")
        self.open += [] if tag in ("meta", "input", "img", "br") else [tag]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole(two):
    for ledgers in (two[:1], two):
        text = ledger_page(*ledgers, command="pnpfuse ledger <x>")
        page = Page(text)
        assert not page.open and not page.blind and len(set(page.ids)) == len(page.ids)
        assert set(page.links) <= set(page.ids) and "pmr/above" in page.links
        assert "so|so&lt;/b&gt;" in text and "<b>so" not in text and "&lt;x&gt;" in text
        assert "gmf/broken" in text and "ZeroDivisionError" in text
        assert all(meaning in text for meaning in MEANINGS.values())
    assert text.count('class="differs"') == 1 and "wiki" in text


def test_a_figure_of_the_found_numbers_is_on_the_page(monkeypatch):
    found = {"one": [60.0, 61.0], "other": [50.0, 52.0], "names": ["PMR", "FFN"], "score": "x"}
    monkeypatch.setattr(catalogue, "_claim", lambda name: SimpleNamespace(draw=draw_difference))
    text = ledger_page(ledger(entry("pmr/residual", found=found), entry("pmr/above_ffn_concat")))
    assert text.count("data:image/png;base64,") == 1 and "no figure" not in text
    older = ledger_page(ledger(entry("pmr/residual", found={"other": 3})))
    assert "no figure: KeyError" in older


def test_intervals_are_counted(two):
    text = ledger_markdown(*two)
    assert "rest on one: 2 of 5, so that about 0.1 may" in text


def test_markdown_is_a_table_and_sections(two):
    text = ledger_markdown(*two)
    row = next(line for line in text.splitlines() if "#pmrabove" in line)
    assert row.count(" | ") == 3 and "**does not hold here** \\*" in row and "so\\|so" in row
    assert "### pmr/above" in text and "Done \\*twice\\*." in text
    assert "it is \\*less\\*" in text and "gmf/broken" in text
    assert list(MEANINGS) == list(VERDICTS)


# The docs


def test_the_docs_page_is_what_the_saved_ledgers_say():
    """`pnpfuse ledger --read docs/ledgers/*.json --markdown docs/what-holds.md` makes it."""
    assert SAVED
    page = (ROOT / "docs" / "what-holds.md").read_text(encoding="utf-8")
    assert page == ledger_markdown(*map(Ledger.load, SAVED))


def test_the_docs_name_claims_that_there_are():
    assert {e.name for path in SAVED for e in Ledger.load(path).entries} <= set(claim_names())


def test_a_training_on_one_modality_has_the_rows_with_it(tmp_path):
    rows = np.arange(40)
    features = {"a": rows[:, None] * np.ones(3), "b": np.ones((40, 2))}
    present = {"a": rows % 4 != 0, "b": rows % 3 != 0}
    present["b"] |= ~present["a"]
    views = Views.from_arrays(features, rows % 2, present=present)
    kept = Bench(views, tmp_path).rows(Training("concat", only=("a",)))
    assert kept.names == ("a",)
    np.testing.assert_array_equal(kept.features["a"][:, 0], rows[present["a"]])
