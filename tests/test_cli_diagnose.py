"""`pnpfuse diagnose`: what it writes and says, and that no file makes it fall over."""

import json
import re
import shutil

import numpy as np
import pytest
import xarray as xr
from command_line import run

QUICK = ("--only", "gradients", "smoothness", "--neighbours", "3")


def save(path, **change):
    random = np.random.default_rng(0)
    y = np.arange(60) % 3
    arrays = {"view_a": random.normal(size=(60, 9)), "view_b": random.normal(size=(60, 7)), "y": y}
    arrays |= change
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("diagnose")


@pytest.fixture(scope="module")
def data(folder):
    return save(folder / "small.npz")


@pytest.fixture(scope="module")
def trained(folder, data):
    from pnpfuse.cli import main

    out = folder / "train"
    assert main(["train", data, "--epochs", "2", "--out", str(out), "--checkpoint"]) == 0
    return out


def test_it_writes_dataset_and_page(capsys, trained, data, tmp_path):
    status, out, err = run(capsys, "diagnose", str(trained), data, "--out", str(tmp_path), "--html",
                           "--neighbours", "3", "--components", "2", "--seed", "4", "--rows", "30"
                           )  # fmt: skip
    assert status == 0 and err == ""
    lines = out.splitlines()
    assert lines[0].startswith("Model: saved at its end. Rows looked at: 30 train (gradients), 15 ")
    assert "gradients oppose each other" in lines[1] and len(lines) < 14
    assert lines[-2:] == [f"written: {tmp_path / n}" for n in ("diagnostics.nc", "diagnosis.html")]
    with xr.open_dataset(tmp_path / "diagnostics.nc") as found:
        assert found.attrs["seed"] == 4 and found.sizes["row"] == 30
        assert {"gradient_cosine", "cka", "entropy", "label_information"} <= set(found.data_vars)
    page = (tmp_path / "diagnosis.html").read_text(encoding="utf-8")
    assert lines[1] in page and "--components 2" in page
    assert page.count("data:image/png;base64,") == 7
    assert not re.search(r'(?:src|href)="(?!data:)', page)


def test_model_and_training_and_their_files_are_the_same(capsys, trained, data, tmp_path):
    alone = tmp_path / "training"
    shutil.copytree(trained / "checkpoint", alone / "checkpoint")
    places = (trained, trained / "model.json", trained / "model.safetensors", alone,
              alone / "checkpoint", alone / "checkpoint" / "checkpoint.json")  # fmt: skip
    said = set()
    for i, place in enumerate(places):
        status, out, _ = run(capsys, "diagnose", str(place), data, "--out", str(tmp_path / str(i)),
                             *QUICK)  # fmt: skip
        assert status == 0, place
        first, _, rest = out.partition("\n")
        said.add(rest.partition("written")[0])
        assert ("saved" in first) == (i < 3) and ("epoch 2 of 2, its last" in first) == (i > 2)
    assert len(said) == 1


def test_an_unfinished_training_is_said_to_be(capsys, trained, data, tmp_path):
    shutil.copytree(trained / "checkpoint", tmp_path / "checkpoint")
    state = tmp_path / "checkpoint" / "checkpoint.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"epoch": 1}))
    status, out, _ = run(capsys, "diagnose", str(tmp_path), data, "--out", str(tmp_path / "out"),
                         *QUICK)  # fmt: skip
    assert status == 0 and "epoch 1 of 2: not the end of the training" in out
    with xr.open_dataset(tmp_path / "out" / "diagnostics.nc") as found:
        assert "not the end" in found.training


def test_a_page_is_not_left_beside_other_numbers(capsys, trained, data, tmp_path):
    (tmp_path / "diagnosis.html").write_text("old")
    line = ("diagnose", str(trained), data, "--out", str(tmp_path), *QUICK)
    status, _, err = run(capsys, *line)
    assert status == 2 and "earlier diagnosis" in err and "give --html" in err
    assert not (tmp_path / "diagnostics.nc").exists()
    assert run(capsys, *line, "--html")[0] == 0
    assert "old" != (tmp_path / "diagnosis.html").read_text()


def test_help_has_an_example(capsys):
    status, out, _ = run(capsys, "diagnose", "--help")
    assert status == 0 and "pnpfuse diagnose out/train digits" in out
    assert "diagnose" in run(capsys, "--help")[1]


def broken(folder, trained, kind):
    """A place that holds no model that can be used."""
    place = folder / kind
    if kind == "nothing":
        return place
    shutil.copytree(trained, place)
    model, weights = place / "model.json", place / "model.safetensors"
    if kind == "truncated":
        weights.write_bytes(weights.read_bytes()[:100])
    elif kind == "rubbish":
        model.write_bytes(b"\xff\xfe{{{")
    elif kind == "other model":
        model.write_text(json.dumps(json.loads(model.read_text()) | {"name": "concat"}))
    elif kind == "no weights":
        weights.unlink()
    elif kind == "list":
        model.write_text("[" * 5000)
    elif kind == "empty":
        shutil.rmtree(place)
        place.mkdir()
    elif kind == "damaged training":
        model.unlink()
        state = place / "checkpoint" / "checkpoint.json"
        state.write_text(state.read_text().replace("settings", "something"))
    elif kind == "data for model":
        return place / "scores.nc"
    return place


@pytest.mark.parametrize(
    "kind",
    ["nothing", "truncated", "rubbish", "other model", "no weights", "list", "empty",
     "damaged training"],
)  # fmt: skip
def test_a_model_that_cannot_be_used_is_one_line(capsys, folder, trained, data, kind, tmp_path):
    place = broken(tmp_path, trained, kind)
    status, out, err = run(capsys, "diagnose", str(place), data, "--out", str(tmp_path / "out"))
    assert status in (1, 2) and out == ""
    assert err.count("\n") == 1 and err.startswith("pnpfuse diagnose: error: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "change, said",
    [
        ({"view_a": np.zeros((60, 4))}, "widths"),
        ({"view_c": np.zeros((60, 4))}, "widths"),
        ({"y": np.arange(60) % 2}, "classes"),
        ({"y": None}, "no labels"),
        ({"split": np.zeros(60, int)}, "no test rows"),
        ({"view_a": np.full((60, 9), np.nan)}, "not finite|NaN"),
    ],
)
def test_data_that_do_not_fit_are_one_line(capsys, trained, change, said, tmp_path):
    path = save(tmp_path / "other.npz", **change)
    for place in (trained, trained / "checkpoint"):
        status, _, err = run(capsys, "diagnose", str(place), path, "--out", str(tmp_path / "out"))
        if place == trained:
            assert re.search(said, err), err
        assert status == 2 and err.count("\n") == 1, err


def test_a_data_file_that_is_none(capsys, trained, tmp_path):
    path = tmp_path / "data.npz"
    for content in (b"", b"PK\x03\x04rubbish", b"\x89HDF\r\n\x1a\nrubbish"):
        path.write_bytes(content)
        status, _, err = run(capsys, "diagnose", str(trained), str(path))
        assert status == 2 and err.count("\n") == 1


@pytest.mark.parametrize(
    "options, said",
    [
        (("--rows", "0"), "--rows must be"),
        (("--neighbours", "0"), "neighbours must be"),
        (("--components", "x"), "components"),
        (("--only", "everything"), "only must be"),
        (("--device", "nowhere"), "device must be"),
        (("--threads", "0"), "threads must be"),
        (("--out", ""), "empty name"),
    ],
)
def test_bad_options_are_named(capsys, trained, data, options, said):
    status, _, err = run(capsys, "diagnose", str(trained), data, *options)
    assert status == 2 and said in err and err.count("\n") == 1


def test_too_many_neighbours_leave_a_note(capsys, trained, data, tmp_path):
    status, out, _ = run(capsys, "diagnose", str(trained), data, "--out", str(tmp_path),
                         "--only", "smoothness", "geometry", "--neighbours", "99")  # fmt: skip
    assert status == 0 and "Missing: smoothness: k must" in out
    with xr.open_dataset(tmp_path / "diagnostics.nc") as found:
        assert "rayleigh_quotient" not in found and "effective_rank" in found
        assert "k must" in found.attrs["notes"]


def test_out_that_cannot_be_written(capsys, trained, data, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for place in (file, file / "deeper"):
        # Before the model is looked for.
        status, _, err = run(capsys, "diagnose", "nowhere", data, "--out", str(place), *QUICK)
        assert status == 1 and err.count("\n") == 1 and "cannot write" in err
