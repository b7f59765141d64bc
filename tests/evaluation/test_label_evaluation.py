"""Records of several labels, and of labels over time, through a network whose answers are known, by every verb."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from made import films, labelled, small_exports, small_records, small_runs

import keras_i3d
from keras_i3d import charts, cli, export, facts, networks, runs, time_steps, video
from keras_i3d.average_precision import average_precision, mean
from keras_i3d.data import record_files
from keras_i3d.evaluation import evaluate, report, rescore, scores, truths
from keras_i3d.export import saving, signatures
from keras_i3d.inference import chunks
from keras_i3d.models.families import FAMILIES
from keras_i3d.probabilities import sigmoid

LABELS, F = labelled.LABELS, labelled.frames
# A label that is missing, one that is wrong, and a video without any.
MULTI = [(F((0,)), (0,)), (F((1, 2)), (1, 2)), (F((0, 1)), (0, 1)), (F(()), ()), (F((2,)), (1,))]
TIMED = [
    (F({0: (0, 50), 1: (40, 100)}, 100), (0, 1), ((0, 0, 2), (1, 1.6, 4))),
    (F({2: (20, 80)}, 100), (2,), ((2, 0.8, 2.4), (0, 3, 3.6))),
    (F((), 7), (), ()),
]
# Of green little is enough, of blue it takes much.
GREENISH, BLUISH = F((1,), bright=100), F((2,), bright=150)
VALIDATION = [(F((0,)), (0,)), (GREENISH, (1,)), (BLUISH, ()), (F((2,)), (2,)), (F(()), ())]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("several_labels")


@pytest.fixture(scope="module")
def multi(folder):
    """(Evaluation, its output) of records of several labels."""
    pytest.importorskip("matplotlib", reason="the report needs matplotlib")
    records = labelled.write(folder / "multi", "test", [(*each, ()) for each in MULTI], "multi")
    return evaluate(records, rgb=labelled.network(), output=folder / "out"), folder / "out"


@pytest.fixture(scope="module")
def timed(folder):
    pytest.importorskip("matplotlib", reason="the report needs matplotlib")
    records = labelled.write(folder / "timed", "test", TIMED, "timed")
    return evaluate(records, rgb=labelled.network(), output=folder / "over time")


@pytest.fixture(scope="module")
def run(folder):
    """A run of that network, and thresholds chosen for it by the command line."""
    spec = {"short_side": 40, "flow_method": None}
    made = small_runs.run(folder / "rgb", "rgb", labels=LABELS, spec=spec, network=False, more={"labelling": "multi"})
    labelled.network(noted=False).save(made / "model.keras")
    val = labelled.write(folder / "val", "val", [(*each, ()) for each in VALIDATION], "multi", classes=False)
    assert cli.main(["evaluate", f"--records={val}", f"--rgb={made}", "--choose_thresholds"]) == 0
    return made


def test_scores_and_figures(multi):
    found, _ = multi
    assert found.scores.y.astype(int).tolist() == [[1, 0, 0], [0, 1, 1], [1, 1, 0], [0, 0, 0], [0, 1, 0]]
    bright, dark = (4 * (level / 127.5 - 1) + 0.01 for level in (labelled.BRIGHT, labelled.DARK))
    seen = np.array([[1, 0, 0], [0, 1, 1], [1, 1, 0], [0, 0, 0], [0, 0, 1]])
    np.testing.assert_allclose(found.scores.logits["rgb"], np.where(seen, bright, dark), atol=0.06)  # of JPEG
    measured = found.metrics["rgb"]
    assert measured.mean_ap == pytest.approx((1 + (2 / 3 + 1 / 3 * 3 / 5) + 1) / 3)  # the last green is as the darks
    assert measured.micro_f1 == pytest.approx(2 * 5 / (2 * 5 + 1 + 1))
    assert measured.macro_f1 == pytest.approx((1 + 0.8 + 2 / 3) / 3)
    assert found.chance.mean_ap == pytest.approx((2 + 3 + 1) / 5 / 3)
    text = str(found)
    assert "mAP   weighted mAP   micro F1   macro F1" in text
    assert f"{100 * measured.mean_ap:.2f}" in text
    assert text.endswith("F1 at thresholds of 0.5")


def test_what_is_written(multi):
    found, out = multi
    names = {"scores.npz", "results.json", "per_class.csv", "average_precision.png", "report.html"}
    assert {path.name for path in out.iterdir()} == names
    assert json.loads((out / "results.json").read_text())["metrics"]["rgb"]["mean_ap"] == found.metrics["rgb"].mean_ap
    rows = list(csv.DictReader((out / "per_class.csv").open()))
    assert [row["videos"] for row in rows] == ["2", "3", "1"]
    assert [row["rgb_ap"] for row in rows] == ["1.0000", "0.8667", "1.0000"]
    assert [row["f1"] for row in rows] == ["1.0000", "0.8000", "0.6667"]
    html = (out / "report.html").read_text()
    for part in (
        "Average precision",
        "weighted mAP",
        "none of the labels",
        "green, blue",
        "Named rightly",
        "F1 of rgb",
    ):
        assert part in html, part
    assert "onfusion" not in html
    assert ">87%<" in html
    assert "<th>macro F1</th>" in report.table(found)


def test_curves_are_of_what_a_run_measures():
    pytest.importorskip("matplotlib", reason="draws")
    logs = {"rgb": [{"step": 3.0, "loss": 0.6, "exact": 0.2, "val_loss": 0.5, "val_exact": 0.6, "val_map": 0.9}]}
    other = {"rgb": [{**logs["rgb"][0], "val_map": 0.1}]}
    assert charts.measure(logs) == ("map", "mean average precision")
    assert charts.curves(logs) != charts.curves(other)
    classes = [("a", 3, 0.5), ("b", 2, 0.25)]
    assert charts.average_precisions(classes, per_frame=True) != charts.average_precisions(classes)
    assert charts.measure({"rgb": [{"step": 3.0, "val_top1": 0.5}]}) == ("top1", "top-1 accuracy")


@pytest.mark.parametrize("kind", ["multi", "timed"])
def test_scores_round_trip(kind, request, tmp_path):
    found = request.getfixturevalue(kind)
    found = found[0] if kind == "multi" else found
    back = scores.read(found.scores.path)
    assert (back.labelling, back.ids, back.activation) == (kind, found.scores.ids, "sigmoid")
    np.testing.assert_array_equal(back.y, found.scores.y)
    again = rescore([back, back], "mean", output=tmp_path, choose_thresholds=True, report=False)  # of itself twice
    for figure in (*found.columns, "peak_ap", "frame_ap"):
        if figure not in ("micro_f1", "macro_f1"):
            assert getattr(again.metrics["fused"], figure) == getattr(found.metrics["rgb"], figure), figure
    assert again.metrics["fused"].macro_f1 >= found.metrics["rgb"].macro_f1
    assert keras_i3d.threshold_files.read(tmp_path).thresholds == tuple(again.thresholds["fused"])


def test_frames_that_have_a_label(timed):
    """Moment i of 25 is at 0.16 i seconds; both ends of a time count."""
    y = timed.scores.y_frames.astype(int)
    assert timed.scores.y.astype(int).tolist() == [[1, 1, 0], [1, 0, 1], [0, 0, 0]]
    assert y[0, :, 0].tolist() == [1] * 13 + [0] * 12  # up to 2 s; moment 12 is at 1.92
    assert y[0, :, 1].tolist() == [0] * 10 + [1] * 15  # from 1.6 s, which is moment 10
    assert y[1, :, 2].tolist() == [0] * 5 + [1] * 11 + [0] * 9  # 0.8 s and 2.4 s are moments 5 and 15
    assert y[1, :, 0].tolist() == [0] * 19 + [1] * 4 + [0] * 2
    assert not y[2].any()


def test_logits_of_frames(timed):
    found = timed.scores.frames["rgb"]
    model = networks.load(labelled.network()).to_rows()
    for place in (0, 1):
        clip = labelled.SPEC.clip("rgb", 32).prepared(TIMED[place][0][:, 4:36, 10:42])
        rows = model.predict_on_batch(clip[None])[0, :, 0, 0]
        at = np.arange(25) * 4.0  # frames: 100 of them in 25 parts
        expected = [np.interp(at, time_steps.middles(len(rows), 8, 2), column) for column in rows.T]
        np.testing.assert_allclose(found[place], np.transpose(expected), atol=0.06)
        np.testing.assert_allclose(timed.scores.logits["rgb"][place], rows.mean(axis=0), atol=0.06)
        np.testing.assert_allclose(timed.scores.peaks["rgb"][place], rows.max(axis=0), atol=0.2)
    assert (found[0, :9, 0] > 2).all()
    assert (found[0, 17:, 0] < -2).all()


def by_charades(frames, y):
    """AP of each class as Charades_v1_localize.m says it: precision at each frame with the label, averaged; and WAP."""
    found = []
    for scored, own in zip(frames.reshape(-1, 3).T, y.reshape(-1, 3).T):
        right, precisions = 0, []
        for place, frame in enumerate(sorted(range(len(scored)), key=lambda i: -scored[i]), 1):
            if own[frame]:
                right += 1
                precisions.append(right / place)
        found.append(sum(precisions) / len(precisions))
    return found, sum(ap * n for ap, n in zip(found, y.sum(axis=(0, 1)))) / y.sum()


def test_average_precision_per_frame(timed):
    distinct = timed.scores.frames["rgb"] + np.random.default_rng(0).normal(0, 1, (3, 25, 3))
    y = timed.scores.y_frames
    each, weighted = by_charades(distinct, y)
    ours = average_precision(distinct.reshape(-1, 3), y.reshape(-1, 3))
    np.testing.assert_allclose(ours, each)
    assert mean(ours, y.sum(axis=(0, 1))) == pytest.approx(weighted)
    measured = timed.metrics["rgb"]
    each = average_precision(timed.scores.frames["rgb"].reshape(-1, 3), y.reshape(-1, 3))
    assert measured.frame_ap == pytest.approx(each.mean())
    assert measured.frame_weighted_ap == pytest.approx((each * y.sum(axis=(0, 1))).sum() / y.sum())
    assert 0.5 < each[0] < 0.9  # whose second time nobody sees
    assert each[1] == pytest.approx(1)
    assert 0.7 < each[2] < 0.9  # which is there for longer than it is said
    assert measured.peak_ap == pytest.approx(average_precision(timed.scores.peaks["rgb"], timed.scores.y).mean())
    assert "mAP per frame   weighted   mAP of maximum" in str(timed)
    assert "per frame: 25 moments equally spaced" in str(timed)


def test_rows_in_chunks_are_those_of_the_single_pass():
    model, draw = networks.load(labelled.network()).to_rows(), np.random.default_rng(0)
    clip = draw.uniform(-1, 1, (333, 32, 32, 3)).astype("float32")
    single = chunks.rows(model, FAMILIES["I3D"], clip, 400)
    np.testing.assert_allclose(chunks.rows(model, FAMILIES["I3D"], clip, 160), single, atol=1e-5)
    np.testing.assert_allclose(single.mean(axis=0), chunks.score(model, FAMILIES["I3D"], clip, 160), atol=1e-5)


def test_labels_are_read_from_the_manifest_or_the_records(folder, run, multi):
    for name, of_all in (("multi", MULTI), ("val", VALIDATION)):
        source = record_files.find(f"{folder}/{name}/*.tfrecord")
        assert (source.classes[0] is None) == (name == "val")
        found = truths.read(source, 3)
        assert [truth.classes for truth in found.values()] == [tuple(index) for _, index in of_all]
        with pytest.raises(ValueError, match=r"Labels are classes in 0\.\.1. Received: .*2.*for "):
            truths.read(source, 2)


def test_moments_and_videos_without_labels(tmp_path):
    """A label between two moments is one of the video, and of none of them."""
    short = [(F((0,), 50), (0,), ((0, 0.09, 0.15),))]
    found = evaluate(labelled.write(tmp_path / "a", "test", short, "timed"), rgb=labelled.network())
    assert (found.metrics["rgb"].mean_ap, found.metrics["rgb"].frame_ap) == (1, None)
    assert re.search(r"rgb +- +- +100.00 +100.00", str(found))
    with pytest.raises(ValueError, match="needs videos with labels. Received: 1 videos, none of which has any"):
        evaluate(labelled.write(tmp_path / "b", "test", [(F(()), (), ())], "multi"), rgb=labelled.network())


def test_chosen_thresholds_are_noted_in_the_run(run, folder, capsys):
    chosen = runs.read(run).chosen
    assert chosen.labels == LABELS
    assert 0.11 < chosen.thresholds[1] < 0.30  # of little green, which is there; in the others there is less
    assert 0.67 < chosen.thresholds[2] < 0.91  # of much blue, which is there, where less is not
    assert chosen.head == facts.head_digest(runs.load_model(run))
    assert facts.of(runs.load_model(run)).thresholds == networks.load(str(run)).facts.thresholds == chosen.thresholds
    found = evaluate(f"{folder}/val/*.tfrecord", rgb=str(run), report=False)
    assert found.metrics["rgb"].macro_f1 == 1
    assert found.scores.thresholds == {"rgb": chosen.thresholds}
    assert evaluate(f"{folder}/val/*.tfrecord", rgb=str(run), thresholds=0.5).metrics["rgb"].macro_f1 < 0.9
    capsys.readouterr()


def test_thresholds_of_other_weights_are_left_out(run, tmp_path, capsys):
    other = shutil.copytree(run, tmp_path / "rgb")
    labelled.network(gain=3.0, noted=False).save(other / "model.keras")
    assert networks.load(str(other)).facts.thresholds is None
    assert "thresholds.json was chosen for other weights of the run, and is left out" in capsys.readouterr().err
    (other / "thresholds.json").write_text("{")
    with pytest.raises(ValueError, match="is no thresholds.json that this version reads"):
        runs.read(other)


@pytest.fixture(scope="module")
def clip(folder):
    """A video of some green, much red and some blue, and records of its frames."""
    pictures = np.maximum(np.maximum(GREENISH, BLUISH), F((0,)))
    path = folder / "clip.mp4"
    path.write_bytes(films.film(list(pictures)))
    return path, labelled.write(folder / "clip", "test", [(video.read(path, 25, 40), (0, 1), ())], "multi")


def test_all_verbs_agree(run, clip, folder, capsys, client):
    path, records = clip
    result = keras_i3d.classify(path, rgb=str(run))
    assert [(p.label, p.above) for p in result.predictions] == [("red", True), ("green", True)]
    assert result.above == [0, 1]
    assert "2 of 3 classes above their thresholds" in str(result)
    evaluated = evaluate(records, rgb=str(run))
    np.testing.assert_allclose(evaluated.scores.logits["rgb"][0], result.logits, atol=0.1)  # records hold JPEGs
    assert evaluated.metrics["rgb"].micro_f1 == 1
    exporting = saving._SavedModel({"rgb": str(run)}, None, None, 0, "opencv", 1)  # what is saved, before it is
    held, functions = signatures.module(exporting.models, exporting.contract)
    frames = video.read(path, 25, 40)

    def ask(name, **inputs):
        found = functions[name](**{key: tf.constant(value) for key, value in inputs.items()})
        return {key: value.numpy() for key, value in found.items()}

    raw = ask("uint8", frames=frames[None])
    np.testing.assert_allclose(raw["logits"][0], result.logits, atol=1e-4)
    assert raw["above"].tolist() == [[True, True, False]]
    answer = ask("jpeg", frames=small_exports.encode(frames[None], png=True).tolist())
    assert [name.decode() for name in answer["classes"][0]] == ["red", "blue", "green"]  # by probability
    assert answer["above"].tolist() == [[True, False, True]]
    np.testing.assert_allclose(np.sort(answer["scores"][0]), np.sort(sigmoid(result.logits)), atol=1e-5)
    said = json.loads(ask("facts", about=[b""])["facts"][0])
    assert said["thresholds"] == list(result.thresholds)
    model = object.__new__(client.Model)
    model.facts = said
    assert [label for label, _ in model.best(list(raw["logits"][0]))] == ["red", "green"]
    assert [label for label, _ in model.best(list(raw["logits"][0]), 2)] == ["red", "blue"]
    assert "thresholds were chosen" not in capsys.readouterr().err


@pytest.mark.slow
def test_a_saved_export(run, clip, folder, tmp_path):
    """And the thresholds that are given take the place of the run's."""
    written = export.saved_model(tmp_path / "served", rgb=str(run), frames=0, thresholds=0.95)
    assert written.card["thresholds"] == [0.95] * 3
    frames = video.read(clip[0], 25, 40)
    answer = small_exports.Server(written.path)("jpeg", frames=small_exports.encode(frames[None], png=True))
    assert not answer["above"].any()
    result = keras_i3d.classify(clip[0], rgb=str(run))
    np.testing.assert_allclose(answer["logits"][0], result.logits, atol=1e-4)


def test_classify_by_the_command_line(run, clip, capsys):
    words = ["classify", str(clip[0]), f"--rgb={run}"]
    assert cli.main([*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [p["label"] for p in said["predictions"]] == ["red", "green"]
    assert said["above"] == 2
    assert said["predictions"][1]["threshold"] == runs.read(run).chosen.thresholds[1]
    assert cli.main([*words, "--top=2"]) == 0
    assert "blue (below its threshold)" in capsys.readouterr().out
    assert cli.main([*words, "--thresholds=0.99"]) == 0
    assert "0 of 3 classes above their thresholds (0.99); top=5 names the most probable" in capsys.readouterr().out
    classifier = keras_i3d.Classifier(rgb=labelled.network())
    assert "no thresholds were chosen, so a class counts as there from 0.5 on" in capsys.readouterr().err
    assert [p.label for p in classifier(clip[0]).predictions] == ["red", "blue"]


def test_classify_says_when(tmp_path, capsys):
    """In one pass and in chunks; also of a class that is there too briefly to be named by itself."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(films.film(list(F({0: (0, 200), 1: (120, 304), 2: (152, 200)}, 304))))
    for chunk_frames in (512, 144):
        result = keras_i3d.Classifier(rgb=labelled.network(), chunk_frames=chunk_frames)(path)
        ends = [[round(25 * second) for second in times] for of_class in result.times for times in of_class]
        np.testing.assert_allclose(ends, [[0, 200], [120, 304], [152, 200]], atol=1)
        assert {p.label: p.times for p in result.predictions} == {"green": result.times[1], "red": result.times[0]}
    assert "2 of 3 classes above their thresholds (0.5), 1 more for a part of the time (top= names them)" in str(result)
    start, end = result.times[1][0]
    assert f"  green: {start:.1f} to {end:.1f} s\n" in str(result)
    assert result.record()["predictions"][1]["times"] == [[start, end]]
    assert keras_i3d.Classifier(rgb=small_runs.small("rgb"), labels="none")(path).times is None
    capsys.readouterr()


def test_what_does_not_belong_together(folder, run, multi, timed, tmp_path, capsys):
    records = f"{folder}/multi/*.tfrecord"
    with pytest.raises(ValueError, match="by a network that ends in a sigmoid. Received: .*which ends in softmax"):
        evaluate(records, rgb=labelled.network("softmax"))
    with pytest.raises(ValueError, match='over time are evaluated by protocol="whole". Received: views:2x1'):
        evaluate(f"{folder}/timed/*.tfrecord", rgb=labelled.network(), protocol="views:2x1")
    with pytest.raises(ValueError, match="into the folder of a run, or into output. Received: neither"):
        evaluate(records, rgb=labelled.network(), choose_thresholds=True)
    with pytest.raises(ValueError, match="gives what choose_thresholds chooses. Received: both"):
        evaluate(records, rgb=str(run), choose_thresholds=True, thresholds=0.5)
    with pytest.raises(ValueError, match="thresholds= is of networks that end in a sigmoid.* and softmax"):
        keras_i3d.Classifier(rgb=small_runs.small("rgb"), thresholds=0.5)
    single = small_records.split(tmp_path, "test", 3, shards=1, labels=LABELS, spec=labelled.SPEC)
    with pytest.raises(ValueError, match="Thresholds are of several labels a video. Received: records of one"):
        evaluate(single, rgb=labelled.network(), thresholds=0.5)
    capsys.readouterr()
    assert evaluate(single, rgb=labelled.network()).metrics["rgb"].videos == 3
    assert "ends in a sigmoid, for several labels a video; the records have one each" in capsys.readouterr().err
