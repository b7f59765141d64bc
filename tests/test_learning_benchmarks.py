"""What benchmarks compute without training: a skewed listing, the answer that knows, the cells of tables."""

import re

import numpy as np
import pytest
from made import ROOT, benchmarks

from keras_i3d.records.listing import Example, Listing


@pytest.fixture(scope="module")
def benchmark():
    """Imports a script of benchmarks/ by its name."""
    return benchmarks.module


def _listing(classes=9, each=45):
    labels = tuple(f"class {i}" for i in range(classes))
    examples = [
        Example(f"{label}/{i:03}.mp4", "", label, index, None, None, "train")
        for index, label in enumerate(labels)
        for i in range(each)
    ]
    return Listing("folder", "train", labels, tuple(examples), ())


def test_a_skewed_listing_follows_from_its_seed(benchmark):
    balance = benchmark("balance")
    listing = _listing()
    backwards = Listing("folder", "train", listing.labels, listing.examples[::-1], ())
    skewed = balance.skewed(listing, 0)
    ids = [example.id for example in skewed.examples]
    assert ids == sorted(ids)  # in their order
    assert {example.id for example in balance.skewed(backwards, 0).examples} == set(ids)
    counts = np.bincount([example.index for example in skewed.examples])
    assert sorted(counts) == [3, 4, 6, 8, 12, 16, 23, 32, 45]
    assert counts.tolist() == balance.counts(9, 0).tolist() != balance.counts(9, 1).tolist()
    full = int(np.argmax(counts))
    rare = {each.id for each in skewed.examples if each.index == int(np.argmin(counts))}
    assert sum(example.index == full for example in skewed.examples) == 45
    assert rare != {f"class {int(np.argmin(counts))}/{i:03}.mp4" for i in range(3)}  # drawn, not the first


def test_thirds_are_by_the_number_of_clips(benchmark):
    kept = np.array([45, 3, 12, 4, 32, 6, 16, 23, 8])
    accuracy = np.array([0.9, 0.0, 0.5, 0.1, 0.8, 0.2, 0.6, 0.7, 0.4])
    found = benchmark("balance").thirds(accuracy, kept)
    assert found == pytest.approx({"rare": 0.1, "middle": 0.5, "frequent": 0.8})


def test_a_table_of_balance(benchmark):
    of_seed = {"rare": 0.25, "middle": 0.5, "frequent": 0.75, "mean": 0.5}
    lines = benchmark("balance").table(
        {"none": [of_seed, of_seed], "balance=sqrt": [of_seed | {"mean": 0.75}, of_seed | {"mean": 0.25}]}
    )
    assert lines[1] == "|---|---|---|---|---|---|---|"
    assert lines[2].startswith("| `none` | 2 | 25.0 (25.0 to 25.0) | 50.0 (50.0 to 50.0) | 75.0 (75.0 to 75.0) |")
    assert lines[3].endswith("| 50.0 (25.0 to 75.0) | +0.0 (-25.0 to +25.0) |")


def test_an_answer_that_knows_has_the_share_of_a_rows_frames(benchmark):
    shown = np.zeros((48, 2), bool)
    shown[:16, 0] = shown[20:, 1] = True
    rows = benchmark("several_labels").known_rows(shown, 5, 8, 2)
    assert rows.T.tolist() == [[1, 0.5, 0, 0, 0], [0, 0.25, 0.75, 1, 1]]


def test_a_table_of_several_labels(benchmark):
    found = {
        "multi": {"runs": [{"mean_ap": 0.5}, {"mean_ap": 0.75}], "chance": {"mean_ap": 0.25}, "known": {"mean_ap": 1.0}}
    }
    assert benchmark("several_labels").table(found) == [
        "| labels | mAP of | runs | chance | trained | an answer that knows |",
        "|---|---|---|---|---|---|",
        "| multi | videos | 2 | 0.250 | 0.625 (0.500 to 0.750) | 1.000 |",
    ]


def test_the_table_of_few_videos_is_what_its_script_measures(benchmark, monkeypatch):
    """By its first row: one source is far from itself, and the kernel distance is near zero."""
    few_videos = benchmark("few_videos")
    drawn = few_videos.sources(max(few_videos.COUNTS))
    monkeypatch.setattr(few_videos, "sources", lambda rows: drawn)
    ((count, same, other, *kernels),) = few_videos.measured(few_videos.COUNTS[:1])
    page = (ROOT / "docs/fvd.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| (\d+) \| ([\d. |-]+) \|$", page, re.MULTILINE)
    assert [int(rows) for rows, _ in table] == [*few_videos.COUNTS]
    shown = [float(cell) for cell in table[0][1].split("|")]
    assert count == 64
    assert [same, other] == pytest.approx(shown[:2], abs=1e-4)
    assert kernels == pytest.approx(shown[2:], abs=1e-5)
    assert 0.05 < same < other  # of one source, where infinitely many are at 0


def test_the_second_source_of_few_videos_is_as_far_as_it_says(benchmark):
    """Of the Gaussians themselves: deviations 1.1 times as large, means 0.2 deviations away."""
    few_videos = benchmark("few_videos")
    first, again, other = few_videos.sources(5_000)
    variance = (1 / np.arange(1, few_videos.FEATURES + 1)).sum()
    assert first.shape == again.shape == other.shape == (5_000, 400)
    shift, spread = ((other.mean(0) - first.mean(0)) ** 2).sum(), ((other.std(0) - first.std(0)) ** 2).sum()
    assert (shift + spread) / variance == pytest.approx(0.05, abs=3e-3)  # which do not turn: the exact distance
