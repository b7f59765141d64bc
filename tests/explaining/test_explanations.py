"""`explain` on videos: sums that are those of `classify`, labels, files, refusals; and `keras-i3d explain`."""

import dataclasses
import re
import types

import numpy as np
import pytest
from made import films, seen, small_exports, small_runs, tiny

import keras_i3d
from keras_i3d import cli, explaining, facts, inference, networks, video
from keras_i3d.explaining import explanation_pictures, explanations, seen_clips
from keras_i3d.specs import ClipSpec


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """{rgb, flow: runs of networks cut short}, and a video of 14 frames."""
    folder = tmp_path_factory.mktemp("explained")
    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten(patch)
        patch.setattr(explanation_pictures, "WIDTH", 64)
        for number, stream in enumerate(("rgb", "flow")):
            small_runs.run(folder / stream, stream, seed=number)
        (folder / "a.mp4").write_bytes(films.film(list(small_exports.film(1, 14)[0]), codec="libx264"))
        yield folder


@pytest.fixture(scope="module")
def runs(made):
    return {stream: str(made / stream) for stream in ("rgb", "flow")}


@pytest.fixture(scope="module")
def explained(made, runs):
    return keras_i3d.explain(str(made / "a.mp4"), steps=2, seeds=2, **runs)


def test_the_parts_add_up_to_the_logits_of_classify(made, runs, explained):
    classified = inference.Classifier(**runs, precision="float32")(str(made / "a.mp4"))
    best = classified.predictions[0]
    assert (explained.label, explained.index, explained.asked) == (best.label, best.index, False)
    assert explained.probability == pytest.approx(best.probability, abs=1e-5)
    assert list(explained.streams) == ["rgb", "flow"]
    for stream, each in explained.streams.items():
        assert each.method == "cam"
        assert each.total == pytest.approx(classified.stream_logits[stream][best.index], abs=1e-4)
        assert each.per_step.sum() + each.bias == pytest.approx(each.total)
        assert np.ptp(each.map) > 1e-6
    assert sum(each.total for each in explained.streams.values()) == pytest.approx(best.logit, abs=1e-4)
    assert explained.curve.runs == 2 * 4
    assert explained.curve.important[0] == pytest.approx(best.logit, abs=1e-4)
    assert f"{best.label} (the most probable)" in str(explained)


def test_a_label_that_is_asked_for_and_a_part_that_is_looped(made, runs, capsys):
    found = keras_i3d.explain(str(made / "a.mp4"), 2, steps=0, rgb=runs["rgb"], end=0.08)
    assert (found.label, found.index, found.asked, found.curve) == ("up", 2, True, None)
    assert len(found.frames) == 2
    (each,) = found.streams.values()
    assert each.clip.looped
    assert set(each.clip.places.tolist()) == {0, 1}
    assert each.total == pytest.approx(each.logit, abs=1e-4)
    assert "2 rgb frames, looped to" in capsys.readouterr().err


def test_grad_cam_where_the_head_is_not_linear(made, capsys):
    network = seen.network("ConvNetLSTM", dropout=0.0)
    clip = ClipSpec("rgb", short_side=40, crop=32)
    facts.note(network.model, dataclasses.replace(network.facts, clip=clip))
    found = keras_i3d.explain(str(made / "a.mp4"), rgb=network.model, labels="none", steps=0, end=0.04)
    (each,) = found.streams.values()
    assert (each.method, each.endpoint, each.bias, each.total) == ("gradcam", "Mixed_3b", None, None)
    assert "ConvNetLSTM has a head that is not linear, so Grad-CAM is taken" in capsys.readouterr().err
    assert "whose sum means nothing" in str(found)
    with pytest.raises(ValueError, match=r"ConvNetLSTM\), which has a head that is not linear. Take method=gradcam."):
        explanations._way(network, each.clip, "cam", None)


def test_an_endpoint_that_is_not_there(explained, made):
    network = networks.load(small_runs.model("rgb"))
    with pytest.raises(ValueError, match=r"with a map is one of .*; near are Mixed_3b. Received: endpoint='Mixed_3c'"):
        explanations._way(network, explained.streams["rgb"].clip, None, "Mixed_3c")


def test_videos_that_are_damaged_or_too_long(made, capsys):
    """What reading takes of a classifier is not its networks."""
    (made / "cut.mkv").write_bytes(films.film(list(small_exports.film(1, 40)[0]), "matroska", "libx264")[:-2000])
    clip = ClipSpec("rgb", short_side=40, crop=32)
    takes = types.SimpleNamespace(clip=clip, max_seconds=9, flow_method=None, networks={})
    found = seen_clips.read(str(made / "cut.mkv"), takes)
    assert found.frames.shape[1:] == (32, 32, 3)
    assert found.frames.base is None
    assert re.search(r"cut.mkv: .*cut short", capsys.readouterr().err)
    takes.max_seconds = 0.1
    with pytest.raises(keras_i3d.VideoError, match="lasts longer than max_seconds=0.1"):
        seen_clips.read(str(made / "a.mp4"), takes)
    takes.flow_method = "dis"  # as that of the runs
    with pytest.raises(keras_i3d.VideoError, match="flow needs at least 2 frames, and it has 1"):
        seen_clips.read(str(made / "a.mp4"), takes, end=0.04)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "lime"}, "method must be one of cam, gradcam. Received: method='lime'"),
        ({"method": "cam", "endpoint": "Mixed_3b"}, "endpoint= is of Grad-CAM"),
        ({"steps": -1}, "steps must be at least 0"),
        ({"steps": 1}, "at least 2 points: with one, all orders are alike. Received: steps=1"),
    ],
)
def test_what_cannot_be(settings, message, made, runs):
    with pytest.raises(ValueError, match=message):
        keras_i3d.explain(str(made / "a.mp4"), rgb=runs["rgb"], **settings)


@pytest.mark.slow  # the page of the next test has a sheet and an .mp4 too
def test_files(explained, tmp_path):
    pictures = {}
    for ending in (".png", ".gif", ".mp4"):
        explaining.save(tmp_path / f"x{ending}", explained)
        pictures[ending] = video.read(str(tmp_path / f"x{ending}"), None, None)
    assert len(pictures[".png"]) == 1
    assert len(pictures[".mp4"]) == len(explained.streams["rgb"].clip.places)
    width = 3 * (32 * 2 + 2)  # three tiles of 32 pixels, twice as large
    assert pictures[".mp4"].shape[2] == width
    assert np.ptp(pictures[".mp4"].astype(int), axis=0).max() > 50  # it moves
    with pytest.raises(ValueError, match="ends in .png, .gif, .mp4, .html. Received: x.jpg"):
        explaining.save(tmp_path / "x.jpg", explained)


def test_the_page_shows_the_sums(explained, tmp_path):
    explaining.save(tmp_path / "x.html", explained)
    text = (tmp_path / "x.html").read_text(encoding="utf-8")
    for each in explained.streams.values():
        assert f">{each.map.sum():.4f}<" in text
        assert f">{each.bias:.4f}<" in text
        assert f">{each.total:.4f}<" in text
    assert f"<b>{explained.probability:.4f}</b>" in text
    assert str(explained.curve) in text
    assert not re.search(r"(src|href)=\"(?!data:)", text)  # nothing is fetched
    assert "data:video/mp4" in text
    assert text.count("<svg") == 1
    assert all(label in text for label in explained.labels)


def test_on_the_command_line(made, runs, tmp_path, capsys):
    picture = tmp_path / "new folder" / "x.png"
    words = ["explain", str(made / "a.mp4"), f"--output={picture}", f"--rgb={runs['rgb']}", "--stream=rgb"]
    assert cli.main([*words, "--label=left", "--faithfulness=2"]) == 0
    printed = capsys.readouterr().out
    sums = re.search(r"sum of the map (\S+) \+ bias (\S+) = (\S+); logit (\S+)", printed)
    one, two, total, logit = map(float, sums.groups())
    assert one + two == pytest.approx(total, abs=2e-4)
    assert total == pytest.approx(logit, abs=2e-4)
    assert "left (asked for)" in printed
    assert "5 runs with parts hidden" in printed
    assert picture.stat().st_size > 1000
    assert cli.main([*words, "--label=lfet"]) == 1
    assert "near are left. Received: --label='lfet'" in capsys.readouterr().err
    assert cli.main(["explain", str(made / "a.mp4"), "--output=x.jpg"]) == 1
    assert "ends in .png, .gif, .mp4, .html" in capsys.readouterr().err
    assert cli.main(["explain", "a.mp4"]) == 2
    assert cli.main(["explain", "a.mp4", "--output=./a.mp4"]) == 2
    assert "must not be the video itself" in capsys.readouterr().err


def test_labels_by_name_and_number(capsys):
    assert explanations.find_label("1", ["b", "0", "1"]) == 2
    assert explanations.find_label("0", ["b", "a"]) == 0
    assert capsys.readouterr().err == ""
    assert explanations.find_label("a", ["b", "a", "a"]) == 1
    assert "'a' names the classes 1, 2; 1 is explained. An index names one" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"one of the 3 names, or its index from 0; near are right. Received: label='"):
        explanations.find_label("rihgt", small_runs.LABELS)
