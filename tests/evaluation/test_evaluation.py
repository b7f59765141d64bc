"""A split through the networks: protocols, scores, what is written, what is refused."""

import dataclasses
import html.parser
import itertools
import json
import pathlib
import re

import keras
import numpy as np
import pytest
from made import small_records, small_runs, tiny

import keras_i3d
from keras_i3d import facts, runs, runtimes
from keras_i3d.data import pipeline, record_files
from keras_i3d.evaluation import EvaluationError, evaluate, metrics, protocols, report, rescore, scores
from keras_i3d.inference import chunks
from keras_i3d.models.families import FAMILIES
from keras_i3d.models.inception import HEAD
from keras_i3d.probabilities import softmax
from keras_i3d.records import sequence_example
from keras_i3d.specs import RecordSpec, scaled

I3D = FAMILIES["I3D"]

FAILED = ({"id": "test/x.mp4", "path": "x.mp4", "reason": "no <frames>"},)
MISSING = ({"id": "test/y.mp4", "path": "y.mp4"},)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("evaluation")


@pytest.fixture(scope="module")
def test_split(folder):
    return small_records.split(folder / "records", "test", 6, failed=FAILED, missing=MISSING)


@pytest.fixture(scope="module")
def models(folder):
    """An I3D for rgb, and for flow a smaller network, which is made and traced in a tenth of the time."""
    rgb, flow = (small_runs.run(folder / stream, stream, network=stream == "rgb") for stream in ("rgb", "flow"))
    small_runs.small("flow").save(flow / "model.keras")
    return {"rgb": str(rgb), "flow": str(flow)}


@pytest.fixture(scope="module")
def evaluation(folder, test_split, models):
    pytest.importorskip("matplotlib", reason="the report needs matplotlib")
    return evaluate(test_split, **models, output=folder / "out")


def clips(test_split, **settings):
    """{id: (x, y)} as `load` gives them."""
    loaded = pipeline.load(test_split, batch_size=1, with_ids=True, **settings)
    return {id[0].decode(): (x[0], int(y[0])) for x, y, id in loaded.as_numpy_iterator()}


def test_whole_is_one_pass_over_all_frames(test_split, models, evaluation):
    found = evaluation.scores
    assert found.ids == tuple(f"test/{i:03}.mp4" for i in (0, 2, 4, 1, 3, 5))  # as they lie in the files
    assert found.y.tolist() == [0, 2, 1, 1, 0, 2]
    for stream in ("rgb", "flow"):
        model = runs.load_model(models[stream])
        logits = keras.Model(model.input, model.get_layer("Logits").output)
        for id, (x, _) in list(clips(test_split, stream=stream, clip_frames=None, size=32).items())[:2]:
            row = found.logits[stream][found.ids.index(id)]
            np.testing.assert_allclose(row, logits(x[None], training=False)[0], rtol=1e-4, atol=1e-4)
    assert np.ptp(found.logits["rgb"], axis=0).min() > 1e-3  # videos differ, so the comparison says something


def test_whole_sees_what_the_record_holds(test_split, models, evaluation):
    """The same logits from the decoded frames, cropped and scaled by what `classify` uses."""
    file = record_files.find(test_split).files[0]
    model = runs.load_model(models["rgb"])
    model = keras.Model(model.input, model.get_layer(HEAD).output)
    for number in (0, 1):  # 12 frames; 7, looped to 9
        decoded = sequence_example.decode(sequence_example.read(file, number))
        clip = np.stack([chunks.centre_crop(frame, 32) for frame in decoded["rgb"]])
        row = evaluation.scores.logits["rgb"][evaluation.scores.ids.index(decoded["id"])]
        np.testing.assert_allclose(row, chunks.score(model, I3D, scaled(clip)), rtol=1e-4, atol=1e-4)


def test_long_videos_in_chunks_are_the_single_pass():
    model = small_runs.model("flow", 3)
    model = keras.Model(model.input, model.get_layer(HEAD).output)
    clip = np.random.default_rng(0).uniform(-1, 1, (333, 32, 32, 2)).astype("float32")
    single = chunks.score(model, I3D, clip, 400)
    assert len(chunks.plan_chunks(333, 160, I3D)) > 2
    np.testing.assert_allclose(chunks.score(model, I3D, clip, 160), single, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("protocol", "size"), [("views:2x1", 32), ("views:2x3", 40), ("views:1x10", 32)])
def test_views_are_averaged_after_softmax(test_split, protocol, size):
    model = small_runs.small("rgb")
    found = evaluate(test_split, rgb=model, protocol=protocol, clip_frames=9, size=None if size == 40 else 32).scores
    parsed = protocols.parse(protocol)
    settings = {"clip_frames": 9, "size": size, "views": (parsed.clips, parsed.crops)}
    loaded = pipeline.load(test_split, with_ids=True, **settings).as_numpy_iterator()
    of_one = [(x[0], int(y[0])) for x, y, id in loaded if id[0] == b"test/001.mp4"]
    views, y = np.concatenate([x for x, _ in of_one]), of_one[0][1]
    assert views.shape == (parsed.views, 9, size, size, 3)
    row = found.ids.index("test/001.mp4")
    each = model(views, training=False).numpy()  # it ends in its softmax
    expected = each.mean(axis=0)
    np.testing.assert_allclose(softmax(found.logits["rgb"][row]), expected, rtol=1e-4)
    logits = keras.Model(model.input, model.get_layer("Logits").output)(views, training=False).numpy()
    assert abs(softmax(logits.mean(axis=0)) - expected).max() > 1e-3  # averaging before is something else
    assert (found.y[row], found.protocol) == (y, protocol)
    assert f"{size} x {size}, softmax averaged over {parsed.views} views" in found.settings["rgb"]
    assert found.computed_by == {"rgb": f"{runtimes.with_version('tensorflow')}, float32"}


def test_the_numbers_come_with_protocol_split_and_counts(evaluation, models):
    text = str(evaluation)
    assert "split test: 6 videos, 2 not scored: 0 damaged records dropped; 1 failed and 1 missing when" in text
    assert "protocol whole: all frames, central crop 32 x 32, logits averaged over time" in text
    assert re.search(rf"rgb +\d+\.\d\d +100\.00 +\d+\.\d\d +{re.escape(models['rgb'])}", text)
    assert re.search(r"fused .* sum of logits", text)
    assert re.search(r"chance +33\.33 +100\.00 +33\.33 +of 3 classes", text)
    both = evaluation.scores.logits["rgb"] + evaluation.scores.logits["flow"]
    np.testing.assert_allclose(evaluation.fused, both, rtol=1e-6)
    assert evaluation.metrics["fused"] == metrics.measure(both, evaluation.scores.y)


def test_what_is_written(folder, evaluation):
    names = {"scores.npz", "results.json", "per_class.csv", "confusion.png", "worst_confusions.png", "report.html"}
    names |= {"wrong.html", "wrong_videos"} if evaluation.metrics["fused"].top1 < 1 else {"wrong.html"}
    assert {path.name for path in (folder / "out").iterdir()} == names
    results = json.loads((folder / "out/results.json").read_text())
    assert (results["videos"], results["failed"], results["missing"], results["dropped"]) == (6, 1, 1, 0)
    assert results["computed_by"] == dict.fromkeys(("rgb", "flow"), f"{runtimes.with_version('tensorflow')}, float32")
    assert results["metrics"]["flow"]["top1"] == evaluation.metrics["flow"].top1
    lines = (folder / "out/per_class.csv").read_text().splitlines()
    assert lines[0] == "class,label,videos,rgb_top1,flow_top1,fused_top1,low,high,mostly_named,times"
    assert results["top1_intervals"]["flow"] == list(
        metrics.interval(evaluation.metrics["flow"].top1, len(evaluation.scores.y))
    )
    for line in lines[1:]:
        _, _, videos, *_, top1, low, high, _, _ = line.split(",")
        assert [low, high] == [f"{bound:.4f}" for bound in metrics.interval(float(top1), int(videos))]
    assert [line.split(",")[:3] for line in lines[1:]] == [["0", "left", "2"], ["1", "right", "2"], ["2", "up", "2"]]


def test_the_report_is_one_file_with_everything(folder, evaluation):
    html = (folder / "out/report.html").read_text()
    for part in (
        *("Evaluation of rgb and flow on test", "<b>whole</b>", "all frames, central crop", "top-5", "mean class"),
        *("chance", "sum of logits", "Training", "Classes", "Worst confusions"),
        *("no &lt;frames&gt;", "2 videos not scored"),
    ):
        assert part in html, part
    right = int((evaluation.fused.argmax(1) == evaluation.scores.y).sum())
    assert ("Named rightly" in html) == (right > 0)
    assert ("Named wrongly" in html) == (right < 6)
    assert html.count("data:image/png;base64,") == 3
    assert 1 <= html.count("data:image/gif;base64,") <= 8
    assert set(re.findall(r'(?:src|href)="([^",]*)', html)) <= {"data:image/png;base64", "data:image/gif;base64"}
    assert not re.search(r"https?://|<script|<link|@import|url\(", html)


def test_the_report_runs_nothing_and_escapes_every_name(evaluation):
    """Labels, ids, paths, reasons and splits come from annotation files, which may come from strangers."""
    evil = """x"'><script>alert(1)</script><img src=http://e.xample/x onerror=alert(1)>&lt;"""

    class Names(html.parser.HTMLParser):
        found, shown = [], []

        def handle_starttag(self, tag, attributes):
            self.found.append((tag, tuple(name for name, _ in attributes)))
            self.shown += [value for name, value in attributes if name == "alt"]

        def handle_data(self, data):
            self.shown.append(data)

    scored = evaluation.scores
    hostile = dataclasses.replace(
        scored,
        labels=tuple(evil + label for label in scored.labels),
        ids=tuple(evil + id for id in scored.ids),
        split=evil,
        records=evil,
        protocol=evil,
        models=dict.fromkeys(scored.models, evil),
        settings=dict.fromkeys(scored.settings, evil),
        computed_by=dict.fromkeys(scored.settings, evil),
        dropped=(evil,),
        failed=({"id": evil, "reason": evil},),
        missing=({"id": evil, "path": evil},),
    )
    changed = dataclasses.replace(evaluation, scores=hostile)
    pictures = [b"\x89PNG\r\n\x1a\n" + bytes(16)] * 2
    page, parser = report.page(changed, *pictures), Names()
    parser.feed(page)
    tags = {tag for tag, _ in parser.found}
    assert not tags & {"script", "iframe", "object", "embed", "form", "link", "base", "svg"}
    names = {name for _, names in parser.found for name in names}
    assert not [name for name in names if name.startswith("on")]
    assert sum(evil in text for text in parser.shown) > 10
    policy = re.search('<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)[1]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert page.index(policy) < page.index("<title>") < page.index("<style>")


def test_a_notebook_shows_the_figures_and_escapes_names(evaluation):
    scored = dataclasses.replace(evaluation.scores, split="<b>", models={"rgb": "run's <i>", "flow": "x"})
    html = dataclasses.replace(evaluation, scores=scored)._repr_html_()
    assert "<caption>split &lt;b&gt;: 6 videos, 2 not scored: " in html
    assert "; protocol whole</caption>" in html
    assert ">run&#x27;s &lt;i&gt;</td>" in html
    assert "<b>" not in html
    assert "<i>" not in html
    assert html.count("<tr>") == 5  # its head, rgb, flow, fused, chance
    assert f"<td>{100 * evaluation.metrics['fused'].top1:.2f}</td>" in html
    assert ">chance</th><td>33.33</td><td>100.00</td><td>33.33</td>" in html


def test_scores_round_trip_and_fusion_again(folder, evaluation, tmp_path):
    back = scores.read(folder / "out/scores.npz")
    for field in dataclasses.fields(back):
        ours, theirs = getattr(evaluation.scores, field.name), getattr(back, field.name)
        if field.name == "logits":
            assert list(ours) == list(theirs)
            for stream in ours:
                np.testing.assert_array_equal(ours[stream], theirs[stream])
        elif field.name == "y":
            np.testing.assert_array_equal(ours, theirs)
        else:
            assert ours == theirs, field.name
    again = rescore(folder / "out/scores.npz", "mean", output=tmp_path / "again", report=False)
    assert again.fusion == "mean of softmax"
    assert again.metrics["rgb"] == evaluation.metrics["rgb"]
    mean = np.mean([softmax(logits) for logits in back.logits.values()], axis=0)
    np.testing.assert_allclose(softmax(again.fused), mean, rtol=1e-9)
    assert scores.read(tmp_path / "again/scores.npz").ids == back.ids


def test_damaged_records_are_counted(test_split, tmp_path):
    for path in pathlib.Path(test_split).parent.iterdir():
        content = bytearray(path.read_bytes())
        if path.name == "test-00001-of-00002.tfrecord":
            content[-200] ^= 1  # in the last record
        (tmp_path / path.name).write_bytes(content)
    model = small_runs.small("flow")
    with pytest.raises(
        EvaluationError, match=r"00001-of-00002.tfrecord: test/005.mp4: lost: .* not give it\. Make the"
    ):
        evaluate(tmp_path, flow=model, size=32)
    found = evaluate(tmp_path, flow=model, size=32, errors="count").scores
    assert (len(found.ids), found.dropped) == (5, ("test/005.mp4",))
    assert "5 videos, 3 not scored: 1 damaged record dropped;" in found.counts()


def test_a_saved_model_says_what_it_takes_without_its_run(test_split, tmp_path):
    path = tmp_path / "moved.keras"
    clip = small_records.SPEC.clip("rgb", 32)

    def saved(clip, labels=small_runs.LABELS):
        facts.note(small_runs.small("rgb"), facts.Facts("rgb", labels=labels, clip=clip)).save(path)
        return {"rgb": str(path)}

    found = evaluate(test_split, **saved(clip), report=False).scores
    assert "32 x 32" in found.settings["rgb"]
    with pytest.raises(ValueError, match="moved.keras and the records must agree. Received: short_side: 256 and 40"):
        evaluate(test_split, **saved(dataclasses.replace(clip, short_side=256)))
    with pytest.raises(ValueError, match="2 that differ, first class 1"):
        evaluate(test_split, **saved(clip, ("left", "up", "right")))


def test_what_does_not_belong_together(folder, test_split, models, tmp_path):
    with pytest.raises(
        ValueError, match="The rgb stream takes weights of its own. Received: .*flow, .*of the flow str"
    ):
        evaluate(test_split, rgb=models["flow"])
    other = small_records.split(tmp_path / "a", "test", 3, shards=1, labels=("left", "up", "right"))
    with pytest.raises(ValueError, match="2 that differ, first class 1: 'up' in the records, 'right' in"):
        evaluate(other, **models)
    spec = dataclasses.replace(small_records.SPEC, flow_bound=10.0)
    other = small_records.split(tmp_path / "b", "test", 3, shards=1, spec=spec)
    with pytest.raises(ValueError, match="must agree. Received: flow_bound: 20.0 and 10.0"):
        evaluate(other, flow=models["flow"])
    with pytest.raises(ValueError, match="A training run is a folder with a run.json"):
        evaluate(test_split, rgb=str(folder))
    with pytest.raises(ValueError, match="at least one stream"):
        evaluate(test_split)
    with pytest.raises(ValueError, match="under names other than rgb, flow and both. Received: rgb"):
        evaluate(test_split, flow=models["flow"], more={"rgb": models["rgb"]})
    with pytest.raises(ValueError, match="Fusion takes at least two streams"):
        evaluate(test_split, rgb=models["rgb"], fusion="mean")
    with pytest.raises(ValueError, match="fitted on the scores of another split"):
        evaluate(test_split, **models, fusion="weights")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="Cannot write in .*file"):
        evaluate(test_split, **models, output=tmp_path / "file")


def test_streams_of_further_names(test_split):
    rgb, flow = small_runs.small("rgb"), small_runs.small("flow")
    found = evaluate(test_split, rgb=rgb, more={"rgb 2": rgb, "other": flow}, size=32)
    assert list(found.metrics) == ["rgb", "rgb 2", "other", "fused"]
    np.testing.assert_array_equal(found.scores.logits["rgb 2"], found.scores.logits["rgb"])


def test_a_model_of_one_size_says_how_its_clips_are_taken(test_split, capsys):
    """And whole videos go through it too: the network itself takes any length."""
    fixed, free = small_runs.small("rgb", 9, 32), small_runs.small("rgb")
    for protocol, settings in (("whole", {}), ("views:1x1", {"clip_frames": 9})):
        found = evaluate(test_split, rgb=fixed, protocol=protocol).scores
        said = capsys.readouterr().err
        assert (
            "the model small_rgb does not say what clips it was trained on, or was trained since; taken as: 25 fps, sho"
            in said
        )
        same = evaluate(test_split, rgb=free, protocol=protocol, size=32, **settings).scores
        np.testing.assert_allclose(found.logits["rgb"], same.logits["rgb"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "clips", "crops"), [("whole", None, 1), ("views:10x3", 10, 3), ("views:25x10", 25, 10)]
)
def test_protocols(text, clips, crops):
    assert protocols.parse(text) == protocols.Protocol(clips, crops)
    assert str(protocols.parse(text)) == text
    assert protocols.parse(protocols.parse(text)) == protocols.parse(text)


@pytest.mark.parametrize(
    "text", ["views", "views:10", "views:0x3", "views:10x2", "views:10x3 ", "Whole", "views:-1x1", ""]
)
def test_unknown_protocols(text):
    with pytest.raises(ValueError, match='A protocol is "whole", "middle", or "views:NxM"'):
        protocols.parse(text)


@pytest.mark.parametrize(
    ("protocol", "settings", "message"),
    [
        ("whole", {"chunk_frames": 64}, "chunk_frames must be at least 136 for the model small_rgb. Received: 64"),
        ("views:1x1", {"clip_frames": 4}, "clip_frames must be at least 9 for I3D. Received: clip_frames=4"),
        ("whole", {"size": 16}, "size must be at least 32 pixels for I3D. Received: size=16"),
    ],
)
def test_clips_too_small_for_the_network(protocol, settings, message, test_split):
    with pytest.raises(ValueError, match=message):
        evaluate(test_split, rgb=small_runs.small("rgb"), protocol=protocol, **{"size": 32, **settings})


def test_a_video_needs_all_its_clips(tmp_path, monkeypatch, capfd):
    """Frame 1 of the first video, which two of its four clips have, cannot be decoded."""
    encode, calls = sequence_example.encode_rgb, itertools.count()
    monkeypatch.setattr(
        sequence_example, "encode_rgb", lambda *frame: encode(*frame)[: 100 if next(calls) == 1 else None]
    )
    split = small_records.split(tmp_path, "test", 3, shards=1)
    settings = {"rgb": small_runs.small("rgb"), "protocol": "views:4x1"}
    settings |= {"clip_frames": 9, "size": 32, "errors": "count"}
    found = evaluate(split, **settings).scores
    assert found.ids == ("test/001.mp4", "test/002.mp4")
    assert (found.dropped, found.damage) == (("test/000.mp4",), {"undecodable": 1})
    assert capfd.readouterr().err.count("test/000.mp4: undecodable") == 1
    foreign = record_files.find(split).files[0]
    foreign = pathlib.Path(foreign).rename(tmp_path / "foreign.tfrecord")
    again = evaluate([foreign], labels=small_records.LABELS, **settings).scores
    np.testing.assert_allclose(again.logits["rgb"], found.logits["rgb"], rtol=1e-5)
    assert "2 videos, 1 not scored: 1 damaged record dropped;" in again.counts()


def test_weights_by_published_name(repository, tmp_path):
    labels = [f"label {i}" for i in range(400)]
    spec = RecordSpec(flow_method=None)
    split = small_records.split(tmp_path / "a", "test", 1, shards=1, labels=labels, spec=spec)
    found = evaluate(split, rgb="kinetics").scores
    assert found.models == {"rgb": "kinetics"}
    assert "central crop 224 x 224" in found.settings["rgb"]
    model = keras_i3d.I3D(weights="kinetics")
    logits = keras.Model(model.input, model.get_layer("Logits").output)
    x, _ = clips(split, clip_frames=None)["test/000.mp4"]
    np.testing.assert_allclose(found.logits["rgb"], logits(x[None], training=False), rtol=1e-4, atol=1e-4)
    others = small_records.split(tmp_path / "b", "test", 1, shards=1, labels=labels[1:] + labels[:1], spec=spec)
    with pytest.raises(ValueError, match="400 that differ, first class 0: 'label 1' in the records, 'label 0' in kin"):
        evaluate(others, rgb="kinetics")
    small = dataclasses.replace(spec, short_side=40)
    others = small_records.split(tmp_path / "c", "test", 1, shards=1, labels=labels, spec=small)
    with pytest.raises(ValueError, match="kinetics and the records must agree. Received: short_side: 256 and 40"):
        evaluate(others, rgb="kinetics")


def test_a_run_in_mixed_precision(tmp_path, monkeypatch):
    """It computes as it was trained, from the final model as from the best weights."""
    tiny.shorten(monkeypatch)
    folder = small_runs.run(tmp_path / "rgb", "rgb", best_seed=0, precision="mixed_bfloat16")
    mixed = runs.load_model(folder, best=True)
    mixed.save(folder / "model.keras")
    full = runs.load_model(folder, precision="float32")
    paths = {"final": str(folder / "model.keras"), "best": str(folder), "float32": full}
    split = small_records.split(tmp_path / "records", "test", 1, shards=1)
    found = {name: evaluate(split, rgb=path, size=32).scores.logits["rgb"] for name, path in paths.items()}
    np.testing.assert_array_equal(found["final"], found["best"])
    model = keras_i3d.optimize_for_inference(keras.Model(mixed.input, mixed.get_layer("Logits").output))
    x, _ = clips(split, clip_frames=None, size=32)["test/000.mp4"]
    np.testing.assert_allclose(found["final"], model.predict_on_batch(x[None]), rtol=1e-5, atol=1e-6)
    apart = abs(found["final"] - found["float32"]).max() / abs(found["float32"]).max()
    assert 1e-3 < apart < 0.05


@pytest.mark.parametrize("protocol", ["whole", "views:3x1"])
def test_a_run_of_frames_apart(test_split, tmp_path, protocol):
    folder = small_runs.run(tmp_path / "rgb", "rgb", network=False, clip_frames=5, frame_stride=2)
    model = small_runs.small("rgb")
    model.save(folder / "model.keras")
    found = evaluate(test_split, rgb=str(folder), protocol=protocol).scores
    assert "2 apart" in found.settings["rgb"]
    video = clips(test_split, clip_frames=None, size=32)["test/001.mp4"][0]  # all its 13 frames
    starts, length = ([0], 9) if protocol == "whole" else ([0, 2, 4], 5)  # 7 frames would be too few
    logits = keras.Model(model.input, model.get_layer("Logits").output)
    row = found.logits["rgb"][found.ids.index("test/001.mp4")]
    views = [video[(start + 2 * np.arange(length)) % 13] for start in starts]
    each = [softmax(logits(view[None], training=False)[0]) for view in views]
    np.testing.assert_allclose(softmax(row), np.mean(each, axis=0), rtol=1e-4)
