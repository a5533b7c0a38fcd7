"""The examples of README and docs run, the commands exist, the files named are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", TEXT, re.M | re.S)
DOCS = [
    (path.name, number, example)
    for path in sorted((ROOT / "docs").glob("*.md"))
    for number, example in enumerate(
        re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S)
    )
]


def test_three_uses_have_an_example():
    assert len(EXAMPLES) >= 3
    assert all(len(example.splitlines()) <= 30 for example in EXAMPLES)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_example_runs(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    exec(compile(EXAMPLES[number], f"README.md example {number + 1}", "exec"), names)
    # Each example ends in a check of its own, so that it cannot quietly do nothing.
    assert "assert" in EXAMPLES[number]


@pytest.mark.parametrize("name, number, example", DOCS, ids=lambda part: str(part)[:20])
def test_docs_example_runs(name, number, example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    exec(compile(example, f"{name} example {number + 1}", "exec"), {"__name__": "__main__"})
    assert "assert" in example


def test_no_placeholder_is_left():
    assert not re.findall(r"^[A-Z]+_[A-Z_]+$", TEXT, re.M)


def test_commands_are_targets_of_the_makefile():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"\bmake ([a-z]+)", TEXT)) <= targets
    assert {"demo", "test"} <= set(re.findall(r"\bmake ([a-z]+)", TEXT))


def test_command_lines_parse():
    from pnpfuse.cli import _parser

    lines = re.findall(r"^pnpfuse (.+)$", TEXT, re.M)
    assert lines
    for line in lines:
        assert _parser().parse_args(line.split("#")[0].split()).command


def test_linked_files_exist():
    prose = re.sub(r"^```.*?^```", "", TEXT, flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)#:]+)\)", prose):
        assert (ROOT / target).exists(), target
