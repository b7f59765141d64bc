"""Runs of several data sets: one body, a head for each, from the records to an answer by every road."""

import csv
import dataclasses
import itertools
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from made import films, small_exports, tiny, tiny_runs

from keras_i3d import cli, data, networks, runs, training, video
from keras_i3d.evaluation import scores
from keras_i3d.models.inception import HEAD
from keras_i3d.records import manifest, sequence_example
from keras_i3d.specs import scaled
from keras_i3d.training import heads, run
from keras_i3d.training.objective import SmoothedCrossentropy
from keras_i3d.weights import by_name, h5_files

pytestmark = pytest.mark.usefixtures("short")

LABELS = {"motion": tiny.LABELS, "speed": ("slow", "fast")}
RECIPE = dataclasses.replace(tiny_runs.RECIPE, label_smoothing=0.1)  # 7 steps of 4 clips, of 15 an epoch


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Two data sets, each in a folder of its own; their videos are square, as high as a clip."""
    folder = tmp_path_factory.mktemp("both")
    for name, labels in LABELS.items():
        (folder / name).mkdir()
        for split, videos in (("train", 3 * len(labels)), ("test", 2 * len(labels))):
            tiny.write(folder / name, split, videos, width=32, labels=labels)
    return folder


def patterns(folder, split="train"):
    return {name: f"{folder / name}/{split}-*" for name in LABELS}


def train(folder, output, recipe=RECIPE, **settings):
    settings = {"weights": None, "validation": patterns(folder, "test"), "seed": 3, "progress": False, **settings}
    return training.train(patterns(folder), output, recipe=recipe, **settings)


@pytest.fixture(scope="module")
def finished(both, tmp_path_factory):
    """A run of both by the command line, `train` of the same seed and recipe."""
    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten(patch)
        output = tmp_path_factory.mktemp("finished") / "run"
        tiny_runs.leave(patch, output, 6)
        words = [f"--records={pattern}" for pattern in patterns(both).values()]
        words += [f"--validation={pattern}" for pattern in patterns(both, "test").values()]
        recipe = dataclasses.asdict(RECIPE)
        words += [f"--set={name}={value}" for name, value in recipe.items()]
        assert cli.main(["train", *words, "--weights=none", "--seed=3", f"--output={output}"]) == 0
        return output


def test_each_head_has_a_run_of_its_own(finished):
    assert sorted(path.name for path in finished.iterdir()) == [
        ".lock", "checkpoints", "log.csv", "motion", "pictures", "run.json", "speed", "tensorboard"
    ]  # fmt: skip
    assert runs.head_names(finished) == ("motion", "speed")
    head, body = {}, {}
    for name, other in (("motion", "speed"), ("speed", "motion")):
        of_one = runs.read(finished / name)
        assert (of_one.labels, of_one.shared_with, of_one.clips) == (LABELS[name], (other,), 3 * len(LABELS[name]))
        assert (finished / name / "labels.txt").read_text().split() == list(LABELS[name])
        assert of_one.recipe.validate_every == 4
        weights = by_name.layer_weights(networks.load(finished / name / "model.keras").model)  # the last, not the best
        head[name], body[name] = weights.pop(HEAD), weights
        best = h5_files.facts_of(finished / name / "best.weights.h5")
        assert (best.labels, best.classes) == (LABELS[name], len(LABELS[name]))
        assert f"trained on train-*, with {other}, step" in best.source
    for name, arrays in body["motion"].items():
        for a, b in zip(arrays, body["speed"][name], strict=True):
            np.testing.assert_array_equal(a, b)
    trained = [array for array in tiny_runs.state(finished).values() if array.shape[-1:] == (5,)][:2]
    for i, array in enumerate(trained):  # kernel and bias, as the last checkpoint has them
        np.testing.assert_array_equal(array, np.concatenate([head[name][i] for name in LABELS], axis=-1))


def test_the_logs_tell_of_each_head(finished):
    rows = list(csv.DictReader((finished / "log.csv").open()))
    own = {name: list(csv.DictReader((finished / name / "log.csv").open())) for name in LABELS}
    assert [row["step"] for row in rows] == ["4", "7"]
    for i, row in enumerate(rows):
        for part, plain in itertools.product(("", "val_"), ("top1", "top5", "mean_class")):
            figure = f"{part}{plain}"
            each = [float(row[f"{part}{name}.{plain}"]) for name in LABELS]
            assert [float(own[name][i][figure]) for name in LABELS] == each
            assert float(row[figure]) == pytest.approx(np.mean(each))
        assert own["speed"][i]["val_loss"] == row["val_speed.loss"]
        assert own["speed"][i]["step"] == row["step"]
    found = {key: [point[:2] for point in points] for key, points in tiny_runs.curves(finished).items()}
    for part, prefix in (("train", ""), ("validation", "val_")):
        points = [(int(row["step"]), float(np.float32(row[f"{prefix}speed.top1"]))) for row in rows]
        assert found[part, "speed/top1"] == points
        assert {(part, "loss"), (part, "top1"), (part, "motion/loss")} <= set(found)
    drawn = {key: [step for step, _ in points] for key, points in tiny_runs.images(finished).items()}
    tags = [f"{name}/{what}" for name in LABELS for what in ("examples", "confusions")]
    assert drawn == {("validation", tag): [4, 7] for tag in tags}
    best = max(float(row["val_top1"]) for row in rows)  # the mean; each head's file says its own
    (row,) = [row for row in rows if float(row["val_top1"]) == best][:1]
    for name in LABELS:
        said = h5_files.facts_of(finished / name / "best.weights.h5").source
        assert said.endswith(f"step {row['step']}, val_top1 {float(row[f'val_{name}.top1']):.4f}")


@pytest.mark.parametrize("file", ["", "best.weights.h5"])
def test_a_head_must_be_named(finished, both, file, capsys):
    """In a line, by every verb, with those there are."""
    whole = finished / file
    for words in (
        ["evaluate", f"--records={both}/speed/test-*"],
        ["export", f"--output={finished}/export", "--version=1"],
    ):
        assert cli.main([*words, f"--rgb={whole}"]) == 1
        said = capsys.readouterr().err
        assert "a head for each" in said
        assert f"{finished / 'motion' / file}, {finished / 'speed' / file}" in said
    with pytest.raises(ValueError, match="Pass one of: .*motion"):
        train(both, finished / "none", weights=whole)


def test_what_one_head_answers_by_every_road(finished, both, capsys):
    """`speed` comes second, so that its classes are not the first of the head layer."""
    head, test = finished / "speed", f"{both}/speed/test-*"
    model = runs.load_model(head)
    logits = keras.Model(model.input, model.get_layer("Logits").output)

    assert cli.main(["evaluate", f"--records={test}", f"--rgb={head}", f"--output={both}/report", "--noreport"]) == 0
    found = scores.read(both / "report/scores.npz")
    evaluated = found.logits["rgb"]
    clips = [x for x, _ in data.load(test, clip_frames=None, size=32)]
    np.testing.assert_allclose(evaluated, [logits(x, training=False)[0] for x in clips], rtol=1e-4, atol=1e-5)
    assert found.labels == LABELS["speed"]

    frames = [films.picture(i, 32, 40) for i in range(9)]
    (both / "film.mp4").write_bytes(films.film(frames))
    capsys.readouterr()
    assert cli.main(["classify", str(both / "film.mp4"), f"--rgb={head}", "--top=2", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    decoded = np.stack(list(video.Reader(both / "film.mp4", 25, 32)))
    expected = model(scaled(decoded[None, :, :, 4:36]), training=False).numpy()[0]
    assert {p["label"]: p["probability"] for p in answer["predictions"]} == pytest.approx(
        dict(zip(LABELS["speed"], expected.tolist())), abs=1e-5
    )

    assert cli.main(["export", f"--rgb={head}", f"--output={both}/export", "--version=1", "--frames=0"]) == 0
    server = small_exports.Server(both / "export/1")
    assert (both / "export/1/assets/labels.txt").read_text().split() == list(LABELS["speed"])
    (file,) = (both / "speed").glob("test-*.tfrecord")
    for record, wanted in zip(tf.data.TFRecordDataset(str(file)), evaluated):
        jpegs = sequence_example.parse(record, ("rgb",))["rgb"].numpy()
        np.testing.assert_allclose(server("jpeg", frames=jpegs[None])["logits"][0], wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        server("uint8", frames=decoded[None])["probabilities"][0], expected, rtol=1e-4, atol=1e-5
    )


def test_a_killed_run_ends_with_the_same_weights(finished, both, tmp_path, capsys):
    """By train, what the command line does; killed in the middle of an epoch and resumed."""
    output = shutil.copytree(tiny_runs.left_at(finished, 6), tmp_path / "run")
    assert sorted(path.name for path in (output / "checkpoints").iterdir())[-1] == "step-000000006.npz"
    models = train(both, output)
    assert "resuming after step 6 of 7" in capsys.readouterr().err
    expected = tiny_runs.state(finished)
    for name, value in tiny_runs.state(output).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    assert tiny_runs.losses(output) == tiny_runs.losses(finished)
    for name in LABELS:
        assert tiny_runs.losses(output / name) == tiny_runs.losses(finished / name)
        for a, b in zip(
            models[name].get_weights(), runs.load_model(finished / name, best=False).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(a, b)


def test_one_data_set_is_the_run_of_one(both, tmp_path):
    """To the bit: the same clips, draws, loss and figures, with a head's folder or without."""
    settings = {"recipe": dataclasses.replace(RECIPE, steps=3), "weights": None, "seed": 3, "progress": False}
    records = f"{both}/motion/train-*"
    alone = training.train(records, tmp_path / "alone", **settings)
    named = training.train({"motion": records}, tmp_path / "named", **settings)
    for a, b in zip(alone.get_weights(), named["motion"].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    alone, named = (list(csv.DictReader((tmp_path / path / "log.csv").open())) for path in ("alone", "named/motion"))
    assert [row["top1"] for row in alone] == [row["top1"] for row in named]


def gradients(model, loss, x, y):
    """{variable's path: gradient} of a loss."""
    with tf.GradientTape() as tape:
        value = loss(y, model(x, training=True))
    found = tape.gradient(value, [v.value for v in model.trainable_variables])
    return float(value), {v.path: g.numpy() for v, g in zip(model.trainable_variables, found)}


@pytest.mark.parametrize(("name", "first"), [("motion", 0), ("speed", 3)])
def test_a_clip_changes_the_head_of_its_own_data_set_alone(both, name, first):
    """Exact zeros for the other; all else as in a network that has no other head."""
    recipe = dataclasses.replace(RECIPE, dropout=0.0, weight_decay=0.0)
    settled, _ = run.settled_heads(patterns(both), {}, "rgb", None, 3, recipe, None)
    together = run.build(settled[name], labels=sum(LABELS.values(), ()))
    alone = run.build(settled[name])
    classes = len(LABELS[name])
    weights = by_name.layer_weights(together)
    own = [array[..., first : first + classes] for array in weights[HEAD]]
    by_name.assign(alone, {**weights, HEAD: own}, "a test")
    x = np.random.default_rng(0).uniform(-1, 1, (4, 9, 32, 32, 3)).astype("float32")
    y = np.arange(4) % classes
    sizes = [len(each) for each in LABELS.values()]
    loss, found = gradients(together, SmoothedCrossentropy(0.1, sizes), x, y + first)
    expected, wanted = gradients(alone, SmoothedCrossentropy(0.1), x, y)
    assert loss == pytest.approx(expected, rel=1e-5)
    assert set(found) == set(wanted)
    for path, gradient in found.items():
        if path.startswith(HEAD):
            others = np.delete(gradient, range(first, first + classes), axis=-1)
            assert others.size
            assert not others.any()
            gradient = gradient[..., first : first + classes]
            assert gradient.any()
        np.testing.assert_allclose(gradient, wanted[path], rtol=1e-4, atol=1e-6, err_msg=path)


def test_the_loss_of_a_batch_is_the_mean_over_its_clips():
    draw = np.random.default_rng(0)
    logits, y = draw.normal(size=(6, 5)).astype("float32"), np.array([0, 4, 2, 3, 1, 4])
    each = [
        SmoothedCrossentropy(0.2)(
            y[i : i + 1] - 3 * (y[i] > 2), logits[i : i + 1, 3:] if y[i] > 2 else logits[i : i + 1, :3]
        )
        for i in range(6)
    ]
    loss = SmoothedCrossentropy(0.2, (3, 2))
    np.testing.assert_allclose(loss(y, logits), np.mean(each), rtol=1e-6)
    assert SmoothedCrossentropy.from_config(loss.get_config()).get_config() == loss.get_config()


def test_a_figure_without_clips_is_no_figure():
    """Not 0: the mean over the heads is left out too then."""
    metric = training.objective.OnHead(keras.metrics.sparse_categorical_accuracy, 3, 2, "speed.top1")
    metric.update_state(np.array([0, 2]), np.eye(5)[[0, 2]])
    assert np.isnan(metric.result())
    metric.update_state(np.array([4, 1, 3]), np.eye(5)[[4, 0, 4]])
    assert metric.result() == 0.5


def test_heads_of_other_data_sets(finished, both, tmp_path):
    with pytest.raises(ValueError, match="same data sets, in the same order. Received: motion, speed; and one alone"):
        tiny_runs.train(both / "motion", finished, RECIPE)
    turned = dict(reversed(patterns(both).items()))
    with pytest.raises(ValueError, match="Received: motion, speed; and speed, motion. Take another output"):
        training.train(turned, finished, recipe=RECIPE, weights=None)
    with pytest.raises(ValueError, match="shared_with: "):  # the head is no run that could be resumed by itself
        tiny_runs.train(both / "speed", finished / "speed", runs.read(finished / "speed").recipe)
    with pytest.raises(ValueError, match="Every data set has a validation, or none has"):
        train(both, tmp_path / "a", validation={"speed": f"{both}/speed/test-*"})
    with pytest.raises(ValueError, match="both of one data set, or both dictionaries"):
        train(both, tmp_path / "a", validation=f"{both}/speed/test-*")
    with pytest.raises(ValueError, match="need the same labels"):
        train(both, tmp_path / "a", validation=dict(zip(LABELS, patterns(both, "test").values().__reversed__())))
    for name in ("checkpoints", "val_a", "a/b", "..", "a.b", ""):
        with pytest.raises(ValueError, match="names its head's folder"):
            training.train({name: f"{both}/speed/train-*", "b": f"{both}/motion/train-*"}, tmp_path / "a")
    with pytest.raises(ValueError, match="records of its own. Received: .*train-00000.* in a and b"):
        training.train({"a": f"{both}/speed/train-*", "b": f"{both}/speed/train-*"}, tmp_path / "a")
    with pytest.raises(ValueError, match="of one data set. Received: motion, speed"):
        training.fit_check(patterns(both))
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("change", [{"fps": 10}, {"short_side": 48}, {"flow_method": "dis"}])
def test_data_sets_are_made_alike(both, tmp_path, change):
    """What a body is to learn from both must be the same videos in all but their classes."""
    tiny.write(tmp_path, labels=("up", "down"))
    found = manifest.read(tmp_path / "train.json")
    dataclasses.replace(found, spec=dataclasses.replace(found.spec, **change)).write(tmp_path)
    (field,) = change
    with pytest.raises(ValueError, match=f"The records of .*motion.* must agree. Received: {field}: "):
        training.train({"a": f"{both}/motion/train-*", "b": f"{tmp_path}/train-*"}, tmp_path / "run", weights=None)
    assert not (tmp_path / "run").exists()


def test_names_on_the_command_line(both, tmp_path, capsys):
    """The nearest folders that differ; what has none is refused."""
    from keras_i3d.cli import train as command

    for given, names in (
        (["a/ucf/train-*", "a/hmdb"], ("ucf", "hmdb")),
        (["ucf/records/train-*", "hmdb/records/x.tfrecord"], ("ucf", "hmdb")),
        (["gs://bucket/ucf/train-*", "s3://other/hmdb"], ("ucf", "hmdb")),
    ):
        assert command._data_sets(given, given) == (dict(zip(names, given)),) * 2
    assert command._data_sets(["a"], []) == ("a", None)
    for words, said in (
        (["--records=a/x-*", "--records=a/y-*"], "whose folders are the same"),
        (["--records=a", "--records=b", "--validation=c"], "one --validation for each --records"),
        (["--records=a", "--validation=c", "--validation=d"], "one --validation for each --records"),
    ):
        assert cli.main(["train", *words, f"--output={tmp_path}/run"]) == 2
        assert said in capsys.readouterr().err


def test_a_list_of_files_is_one_data_set(both, tmp_path, monkeypatch):
    """As before there were several; it is read as a list too, with nothing trained here."""
    monkeypatch.setattr(run.workers, "fit", lambda model, clips, *_, **__: next(iter(clips)))
    files = sorted(map(str, (both / "speed").glob("train-*.tfrecord")))
    recipe = dataclasses.replace(RECIPE, steps=1, warmup_steps=0)
    trained = training.train(files, tmp_path, recipe=recipe, weights=None, progress=False)
    assert trained.output_shape == (None, 2)
    assert runs.read(tmp_path).records == ", ".join(files)


def test_a_head_is_where_another_run_begins(finished, both, tmp_path):
    records = patterns(both)["speed"]
    asked = run.settled_heads({"": records}, {}, "rgb", finished / "speed", 3, RECIPE, tmp_path)[0][""]
    found = run.build(asked, run.initial_weights(asked)).get_weights()
    for a, b in zip(found, runs.load_model(finished / "speed").get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_heads_lie_next_to_each_other(both):
    settled, _ = run.settled_heads(patterns(both), {}, "rgb", None, 3, RECIPE, None)
    trained = heads.of(settled, patterns(both), {})
    assert [(head.first, head.classes, head.called("top1")) for head in trained] == [
        (0, 3, "motion.top1"), (3, 2, "speed.top1")
    ]  # fmt: skip
    assert heads.labels(trained) == sum(LABELS.values(), ())
    assert heads.patterns(trained, "records") == patterns(both)
    assert heads.patterns(trained, "validation") is None
