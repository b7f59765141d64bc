"""The comparison of architectures: its plan, how it resumes, and its tables and figure of made-up results."""

import json

import PIL.Image
import pytest
from made import ROOT

from keras_i3d import recipes
from keras_i3d.models import families


@pytest.fixture(scope="module")
def compare(tool):
    return tool("compare_architectures")


@pytest.fixture(scope="module")
def report(tool):
    return tool("comparison_report")


def run(network, stream, macs, **others):
    measured = {"parameters": 1_234_567, "clips_per_second": 41.6, "memory": 1_510_000_000, **others}
    full = {"clip": [64, 1, 224], "parameters": 12_689_984, "macs": 600 * macs}
    return {"network": network, "stream": stream, "clip": [16, 2, 56], "macs": macs, "full_size": full, **measured}


RESULTS = {
    "labels": 4,
    "rows": [
        {
            "label": "c",
            "title": "(c) Two-Stream",
            "accuracy": {"rgb": 0.5, "flow": 0.25, "both": 0.6},
            "published": {"rgb": 62.2, "flow": 52.4, "both": 65.6},
            "runs": [run("One", "rgb", 1e9), run("Stack", "flow", 2e9), run("Joint", "both", 2.5e9)],
        },
        {
            "label": "e",
            "title": "(e) Two-Stream I3D",
            "accuracy": {"rgb": 0.875, "flow": None, "both": None},
            "published": {"rgb": 71.1},
            "runs": [run("I3D", "rgb", 4e9), run("I3D", "flow", 3e9, clips_per_second=None, memory=None)],
        },
    ],
}


def test_every_run_is_of_a_network_that_takes_its_stream_and_clip(compare):
    assert [row.label for row in compare.PLAN][:5] == list("abcde")
    runs = [one for row in compare.PLAN for one in row.runs]
    assert len({one.name for one in runs}) == len(runs) == 13
    for one in runs:
        family = families.find(one.network)
        assert one.stream in family.clips, one
        frames, stride, size = one.clip
        family.check_clip(frames, size)
        assert (frames - 1) * stride < 32 or frames == family.min_frames  # else videos of 32 frames are looped


def test_every_run_sees_as_many_clips_by_settings_that_a_recipe_has(compare):
    seen = set()
    for one in (one for row in compare.PLAN for one in row.runs):
        words = compare.train_words(one, 40, 1)
        settings = dict(word.removeprefix("--set=").split("=", 1) for word in words if word.startswith("--set="))
        recipe = recipes.find("original").with_settings(settings).scaled()
        seen.add((recipe.steps, recipe.batch_size, recipe.learning_rate, recipe.boundaries, recipe.depth_multiplier))
        assert (recipe.clip_frames, recipe.frame_stride, recipe.size) == one.clip
    assert seen == {(40, 16, 0.025, (30,), 0.25)}


def test_published_accuracies_are_those_of_the_networks_rows(compare):
    found = {row.label: compare.published(row) for row in compare.PLAN}
    assert found["a"] == {"rgb": 63.3}
    assert found["c"] == {"rgb": 62.2, "flow": 52.4, "both": 65.6}
    assert found["e"] == {"rgb": 71.1, "flow": 63.4, "both": 74.2}


def test_the_page_has_them_and_every_run(compare, report):
    page = (ROOT / "docs/comparison.md").read_text(encoding="utf-8")
    for row in compare.PLAN:
        (line,) = [line for line in page.splitlines() if line.startswith(f"| {row.title} |")]
        found = compare.published(row)
        assert [cell.strip() for cell in line.split("|")[-4:-1]] == [
            f"{found[stream]:.1f}" if stream in found else report.NONE for stream in report.STREAMS
        ]
        for one in row.runs:
            assert f"| `{one.network}` | {one.stream} | {report.clip_words(one.clip)} |" in page
    assert (ROOT / "docs/comparison.webp").stat().st_size < 60_000


def test_another_comparison_takes_another_folder(compare, tmp_path):
    compare._check_same(tmp_path, {"steps": 2})
    compare._check_same(tmp_path, {"steps": 2})
    with pytest.raises(SystemExit, match="Received: steps=2 and steps=3"):
        compare._check_same(tmp_path, {"steps": 3})


def test_counts_are_those_of_the_network_as_built(compare):
    assert compare.counts("InceptionV1", "rgb", 1, 224, 400, 1.0) == (6_002_624, pytest.approx(1.5e9, rel=0.01))


def test_a_step_that_ended_is_not_run_again(compare, tmp_path, monkeypatch):
    """One that was stopped is, and its seconds are added to those before."""
    ends, started = [(130, 5.0, 300), (0, 2.0, 200)], []
    monkeypatch.setattr(compare, "_measured", lambda command, folder: started.append(command) or ends.pop(0))
    with pytest.raises(SystemExit, match="the same command resumes"):
        compare.step(tmp_path, "a-rgb", "train", "--model=I3D")
    for _ in range(2):
        compare.step(tmp_path, "a-rgb", "train", "--model=I3D")
    noted = json.loads((tmp_path / "steps/a-rgb.json").read_text(encoding="utf-8"))
    assert noted == {"words": ["train", "--model=I3D"], "seconds": 7.0, "memory": 300, "done": True}
    assert [command[-2:] for command in started] == [["train", "--model=I3D"]] * 2


def test_a_process_is_measured_by_itself(compare, tmp_path):
    code = "import os; x = bytearray(200_000_000); x[::4096] = b'1' * len(x[::4096]); os._exit(3)"
    status, seconds, memory = compare._measured([compare.sys.executable, "-c", code], tmp_path)
    assert status == 3
    assert seconds > 0
    assert memory > 200_000_000


def test_tables_of_made_up_results(report):
    assert report.accuracies(RESULTS).splitlines()[2:] == [
        "| (c) Two-Stream | 50.0 | 25.0 | 60.0 | 62.2 | 52.4 | 65.6 |",
        "| (e) Two-Stream I3D | 87.5 | - | - | 71.1 | - | - |",
        "| chance, of 4 labels | 25.0 | 25.0 | 25.0 | - | - | - |",
    ]
    lines = report.costs(RESULTS).splitlines()
    said = "1.51 GB | 64 x 1, 224 | 12,689,984 | 600.0 |"
    assert lines[2] == f"| `One` | rgb | 16 x 2, 56 | 1,234,567 | 1.000 | 42 | {said}"
    assert lines[-1].count(" - |") == 2  # what was not measured


def test_the_figure_of_made_up_results(report, tmp_path):
    shown = {(point["label"], point["stream"]): (point["macs"], point["accuracy"]) for point in report.points(RESULTS)}
    assert shown == {
        ("c", "rgb"): (1e9, 0.5),
        ("c", "flow"): (2e9, 0.25),
        ("c", "both"): (2.5e9, 0.6),
        ("e", "rgb"): (4e9, 0.875),
        ("e", "flow"): (3e9, None),
        ("e", "both"): (7e9, None),
    }
    report.write(tmp_path, {**RESULTS})
    with PIL.Image.open(tmp_path / "comparison.webp") as picture:
        assert picture.format == "WEBP"
    here, published = report.draw(RESULTS).axes
    marked = [line for line in here.lines if line.get_marker() != "None"]
    assert len(marked) == len(published.lines) == 4
    assert (tmp_path / "tables.md").read_text(encoding="utf-8") == report.tables(RESULTS) + "\n"
