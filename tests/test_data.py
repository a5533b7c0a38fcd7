"""Views: reading, checking and splitting."""

import gc
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from pnpfuse.data import Views, load_views


def arrays_for(rows=12):
    random = np.random.default_rng(0)
    return {
        "view_text": random.normal(size=(rows, 4)).astype(np.float32),
        "view_audio": random.normal(size=(rows, 3)),
        "y": np.arange(rows) % 3,
        "split": (np.arange(rows) >= rows // 2).astype(np.uint8),
        "view_names": np.array(["audio", "text"]),
        "class_names": np.array(["low", "mid", "high"]),
    }


def written(tmp_path, **changes):
    arrays = arrays_for() | changes
    path = tmp_path / "views.npz"
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


def test_importing_and_loading_needs_no_torch():
    code = "import sys; from pnpfuse.data import load_views; load_views('digits'); " + (
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_digits_are_computed_from_the_images():
    views, again = load_views("digits"), load_views("digits")
    image = load_digits().images[7]
    assert views.dims == {"pixels": 64, "fourier": 40, "profiles": 16}
    assert views.classes == 10 and len(views) == 1797
    np.testing.assert_array_equal(views.features["pixels"][7].reshape(8, 8), image)
    half = np.abs(np.fft.fft2(image))[:, :5].ravel()
    np.testing.assert_allclose(views.features["fourier"][7], half, rtol=1e-5, atol=1e-4)
    rows_and_columns = [sum(line) for line in image] + [sum(line) for line in image.T]
    np.testing.assert_array_equal(views.features["profiles"][7], rows_and_columns)
    np.testing.assert_array_equal(views.split, again.split)
    shares = np.bincount(views.test.labels) / np.bincount(views.labels)
    np.testing.assert_allclose(shares, 0.25, atol=0.01)


def test_npz_gives_what_was_written(tmp_path):
    views, arrays = load_views(written(tmp_path)), arrays_for()
    assert views.names == ("audio", "text") and views.dims == {"audio": 3, "text": 4}
    assert views.class_names == ("low", "mid", "high") and views.name == "views.npz"
    assert {X.dtype for X in views.features.values()} == {np.dtype(np.float32)}
    assert (views.labels.dtype, views.split.dtype) == (np.int64, np.uint8)
    np.testing.assert_array_equal(views.features["audio"], arrays["view_audio"].astype("f4"))
    np.testing.assert_array_equal(views.labels, arrays["y"])
    assert (len(views.train), len(views.test)) == (6, 6)
    np.testing.assert_array_equal(views.test.features["text"], arrays["view_text"][6:])


def test_npz_without_the_optional_arrays(tmp_path):
    views = load_views(written(tmp_path, split=None, view_names=None, class_names=None))
    assert views.names == ("text", "audio") and views.class_names == ("0", "1", "2")
    assert np.bincount(views.test.labels).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"view_text": None, "view_audio": None}, "no view_"),
        ({"y": None}, "no labels y"),
        ({"view_audio": np.full((12, 3), np.nan)}, "'audio' has NaN"),
        ({"view_audio": np.full((12, 3), np.inf)}, "infinite"),
        ({"view_audio": np.full((12, 3), 1e300)}, "infinite in float32"),
        ({"view_audio": np.zeros(12)}, "must be a matrix"),
        ({"view_audio": np.full((12, 3), "x")}, "must be a matrix"),
        ({"view_audio": np.zeros((11, 3))}, "same number of rows"),
        ({"view_audio": np.array([{}] * 12)}, "allow_pickle"),
        ({"y": np.arange(11) % 3}, "same number of rows|'audio'"),
        ({"y": np.arange(12) % 3 + 1}, "0..K-1"),
        ({"y": np.arange(12) % 3 * 2}, "0..K-1"),
        ({"y": np.zeros(12, int)}, "0..K-1"),
        ({"y": np.linspace(0, 2, 12)}, "must be integers"),
        ({"split": np.full(12, 2)}, "0 .train. or 1"),
        ({"split": np.zeros(11, int)}, "same number of rows"),
        ({"view_names": np.array(["audio"])}, "view_names lists"),
        ({"view_names": np.array(["audio", "video"])}, "view_names lists"),
        ({"class_names": np.array(["low", "high"])}, "2 names for 3 classes"),
    ],
)
def test_bad_archives_are_named(tmp_path, changes, message):
    path = written(tmp_path, **changes)
    with pytest.raises(ValueError, match=message) as error:
        load_views(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("content", [b"", b"rubbish", b"PK\x03\x04rubbish", pickle.dumps([1])])
def test_files_that_are_no_archive(tmp_path, content):
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="bad.npz cannot be used"):
        load_views(path)


def test_a_single_array_a_truncated_archive_and_a_missing_file(tmp_path):
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(ValueError, match="single array"):
        load_views(tmp_path / "one.npy")
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="views.npz cannot be used"):
        load_views(path)
    with pytest.raises(ValueError, match="nowhere.npz does not exist"):
        load_views(tmp_path / "nowhere.npz")


@pytest.mark.filterwarnings(
    "error::ResourceWarning", "error::pytest.PytestUnraisableExceptionWarning"
)
def test_a_damaged_archive_is_a_one_line_error_and_leaves_no_file_open(tmp_path):
    path = written(tmp_path)
    content = path.read_bytes()
    flags = content.index(b"PK\x01\x02") + 8  # of the first entry in the central directory
    for position, bit in [(flags, 0x20), (flags, 0x01), (flags + 2, 0xFF), (len(content) // 2, 1)]:
        damaged = bytearray(content)
        damaged[position] ^= bit  # patched data, encryption, unknown compression, a wrong checksum
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="views.npz cannot be used"):
            load_views(path)
    gc.collect()


@pytest.mark.parametrize("name", [None, 1, b"digits", ["digits"]])
def test_only_names_and_paths(name):
    with pytest.raises(ValueError, match="path_or_name must be"):
        load_views(name)


def test_a_name_that_no_file_can_have():
    with pytest.raises(ValueError, match="does not exist"):
        load_views("x" * 5000)


@settings(max_examples=20, deadline=None)
@given(
    counts=st.lists(st.integers(4, 30), min_size=2, max_size=5),
    fraction=st.floats(0.3, 0.6),
    seed=st.integers(0, 99),
)
def test_drawn_split_is_stratified_and_fixed_by_its_seed(counts, fraction, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    features = {"a": np.zeros((len(labels), 2))}
    views, again = (
        Views.from_arrays(features, labels, test_fraction=fraction, seed=seed) for _ in range(2)
    )
    np.testing.assert_array_equal(views.split, again.split)
    in_test = np.bincount(views.test.labels, minlength=len(counts))
    assert np.all(np.abs(in_test - fraction * np.array(counts)) <= 2)
    assert len(views.train) + len(views.test) == len(labels)


def test_subset_keeps_all_the_classes_and_refuses_bad_masks():
    views = Views.from_arrays({"a": np.eye(4)}, [0, 1, 0, 1], [0, 0, 0, 1])
    low = views.subset(views.labels == 0)
    assert low.classes == 2 and low.labels.tolist() == [0, 0]
    assert low.split.tolist() == [0, 0]
    with pytest.raises(ValueError, match="selects none"):
        views.subset(np.zeros(4, bool))
    with pytest.raises(ValueError, match="mask must be bool"):
        views.subset(np.ones(3, bool))
    with pytest.raises(ValueError, match="selects none"):
        low.test  # noqa: B018


@pytest.mark.parametrize(
    ("features", "labels", "options", "message"),
    [
        ({}, [0, 1], {"split": [0, 1]}, "features is empty"),
        ([np.eye(2)], [0, 1], {}, "features must be a mapping"),
        ({"a": np.eye(2)}, [0, 1], {}, "give split"),
        ({"a": np.eye(8)}, [0, 1] * 4, {"test_fraction": 1.5}, "test_fraction"),
        ({"a": np.eye(2)}, [0, 1], {"split": [0.0, 1.0]}, "split must be integers"),
        ({"a": np.eye(8)}, [0, 1] * 4, {"test_fraction": "x"}, "test_fraction"),
        ({"a": np.eye(8)}, [0, 1] * 4, {"test_fraction": None}, "test_fraction"),
        ({"a": np.eye(8)}, [0, 1] * 4, {"seed": "x"}, "seed must be an integer"),
        ({"a": np.eye(8)}, [0, 1] * 4, {"class_names": 5}, "class_names must be a list"),
        ({"a": np.eye(8)}, [0, 1] * 4, {"class_names": "ab"}, "class_names must be a list"),
        ({"a": np.eye(8) * 1j}, [0, 1] * 4, {}, "'a' must be a matrix of real numbers"),
        ({"a": np.ma.masked_equal(np.eye(8), 0)}, [0, 1] * 4, {}, "'a' is a masked array"),
        ({"a": np.eye(8)}, np.ma.masked_equal([0, 1] * 4, 0), {}, "labels is a masked array"),
        ({"a": [[1.0], [1.0, 2.0]]}, [0, 1], {"split": [0, 1]}, "'a' is no array"),
    ],
)
def test_bad_arrays_are_named(features, labels, options, message):
    with pytest.raises(ValueError, match=message):
        Views.from_arrays(features, labels, **options)


def test_views_of_wrong_types():
    rows = np.array([0, 1])
    with pytest.raises(ValueError, match="class_names must be a list of names; found None"):
        Views({"a": np.eye(2)}, rows, rows, None)
    with pytest.raises(ValueError, match="features must be a mapping"):
        Views(None, rows, rows, ("x", "y"))
