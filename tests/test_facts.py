"""What a network was trained on goes wherever its weights go: the same videos by every verb, from every form."""

import dataclasses
import json
import shutil
import types

import keras
import numpy as np
import pytest
from made import films, small_exports, small_runs, tiny
from made.tiny import i3d

import keras_i3d
from keras_i3d import evaluation, export, facts, networks, runs, video
from keras_i3d.flow import tvl1
from keras_i3d.models import inception
from keras_i3d.probabilities import averaged, probabilities
from keras_i3d.records import manifest, sequence_example
from keras_i3d.specs import CLIPS, RecordSpec
from keras_i3d.weights import h5_files

# Nothing here is what the published weights have.
SPEC = RecordSpec(fps=12, short_side=40, flow_bound=3.0)
RECIPE = {"clip_frames": 9, "frame_stride": 2, "size": 32, "depth_multiplier": 0.05, "precision": "float32"}
FORMS = ("run", "best in its run", "moved .weights.h5", "moved .keras", "in memory")
STREAMS = ("rgb", "flow")
LICENCE = {"weights_licence": "CC-BY-NC-4.0", "weights_source": "somebody's weights"}  # of what the runs started from
JPEG = 0.25  # relative L2 of logits that records' JPEGs, or the client's, may cost this network, whose head magnifies


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """`.videos`, their `.records`, and `.weights` {form: {stream: what a verb takes}}, all of one network a stream."""
    folder = tmp_path_factory.mktemp("facts")
    clips = _videos(folder)
    with small_exports.small():
        forms = {form: {} for form in FORMS}
        for seed, stream in enumerate(STREAMS):
            more = {"spec": dataclasses.asdict(SPEC), "network": False, "more": LICENCE}
            run = small_runs.run(folder / stream, stream, **more, **RECIPE)
            keras.utils.set_random_seed(seed)
            model = i3d(True, (None, None, None, 3 - seed), stream, classes=3, depth_multiplier=0.05)
            _spread(model, stream, clips["videos"], seed)
            facts.note(model, runs.read(run).facts).save(run / "model.keras")
            h5_files.save_h5(model, run / "best.weights.h5", **runs.read(run).facts.record())
            forms["run"][stream], forms["best in its run"][stream] = run, run / "best.weights.h5"
            for suffix, name in ((".weights.h5", "best.weights.h5"), (".keras", "model.keras")):
                moved = folder / f"{stream} of somebody{suffix}"
                forms[f"moved {suffix}"][stream] = shutil.copy(run / name, moved)
            forms["in memory"][stream] = keras.models.load_model(run / "model.keras", compile=False)
        yield types.SimpleNamespace(folder=folder, weights=forms, **clips)


def test_classes_that_nobody_said_are_the_rows():
    """512 of an embedding; a class more would be another network."""
    assert facts.Facts("rgb", family="S3DG-milnce").arguments["classes"] == 512
    assert facts.Facts("rgb").arguments["classes"] == 400


def _spread(model, stream, paths, seed):
    """Draws a head whose answers differ from video to video."""
    head, draw = model.get_layer("Logits_Conv3d_0c_1x1_conv_3d"), np.random.default_rng(seed)
    kernel, bias = (draw.normal(0, 9, w.shape) for w in head.get_weights())
    head.set_weights([kernel, 0 * bias])
    logits = keras.Model(model.input, model.get_layer("Logits").output)
    found = [logits.predict_on_batch(_clips(path)[stream][None, ::2])[0] for path in paths]
    kernel *= 2 / np.std(found, axis=0)
    head.set_weights([kernel, 0 * bias])
    found = [logits.predict_on_batch(_clips(path)[stream][None, ::2])[0] for path in paths]
    head.set_weights([kernel, -np.mean(found, axis=0)])


def _clips(path):
    """{stream: float32 (T, 32, 32, C)} of all frames of a video, as the networks take them."""
    frames = video.read(path, 12, 40)
    clips = {"rgb": frames / 127.5 - 1, "flow": np.clip(tvl1(frames), -3, 3) / 20}
    return {stream: clip[:, 4:36, 12:44].astype("float32") for stream, clip in clips.items()}


def _videos(folder):
    """Films of 12 frames a second: frames apart are another video.

    Every second frame has another colour of the same luma, and comes after another step than the frame before it.
    """
    import tensorflow as tf

    paths, ids = [], []
    (folder / "records").mkdir()
    shard = folder / "records" / manifest.shard_name("test", 0, 1)
    with tf.io.TFRecordWriter(str(shard)) as file:
        for i in range(4):
            paths.append(folder / f"{i}.mp4")
            paths[-1].write_bytes(films.film(_frames(i), rate=12))
            read = video.read(paths[-1], SPEC.fps, SPEC.short_side)
            ids.append(f"test/{i}")
            file.write(
                sequence_example.encode(read, SPEC, id=ids[-1], label=small_runs.LABELS[0], index=0, split="test")
            )
    written = manifest.Shard(shard.name, tuple(ids), shard.stat().st_size)
    manifest.Manifest("test", small_runs.LABELS, SPEC, (written,)).write(folder / "records")
    return {"videos": paths, "records": str(folder / "records" / "test-*")}


def _frames(i, count=20):
    import tensorflow as tf

    scene = np.random.default_rng(i).uniform(90, 166, (12, 24, 3))
    scene = tf.image.resize(scene, (40 + 40, 56 + 120)).numpy()
    tints, steps = ((70, -60, 40, -20), (-50, 60, 0, -70)), ((1, 2, 0, -1), (-1, 0, 2, 2))
    frames, x = [], 60
    for t in range(count + i):
        red = tints[t % 2][i]
        frames.append(scene[20:60, x : x + 56] + np.array([red, -red * 0.299 / 0.587, 0]))
        x += steps[t % 2][i]
    return list(np.clip(frames, 0, 255).round().astype("uint8"))


@pytest.fixture(scope="module")
def by_hand(made):
    """{stream: {stride: float32 (videos, classes)}}: what the networks say of the videos, without any verb."""
    found = {stream: {1: [], 2: []} for stream in STREAMS}
    for path in made.videos:
        for stream, clip in _clips(path).items():
            model = made.weights["in memory"][stream]
            logits = keras.Model(model.input, model.get_layer("Logits").output)
            for stride, rows in found[stream].items():
                rows.append(logits.predict_on_batch(clip[None, ::stride])[0])
    return {stream: {stride: np.array(rows) for stride, rows in each.items()} for stream, each in found.items()}


def distance(logits, expected):
    return np.linalg.norm(logits - expected) / np.linalg.norm(expected)


def test_the_videos_tell_frames_apart(by_hand):
    """Or nothing below could fail."""
    for stream in STREAMS:
        assert distance(by_hand[stream][1], by_hand[stream][2]) > 4 * JPEG
        assert (by_hand[stream][1].argmax(-1) != by_hand[stream][2].argmax(-1)).any()
        assert len(set(by_hand[stream][2].argmax(-1))) > 1


@pytest.mark.parametrize("form", FORMS)
def test_classify(made, by_hand, form, capsys):
    classifier = keras_i3d.Classifier(rgb=made.weights[form]["rgb"], flow=made.weights[form]["flow"])
    results = [classifier(path) for path in made.videos]
    for stream in STREAMS:
        assert distance([r.stream_logits[stream] for r in results], by_hand[stream][2]) < 1e-4
    assert results[0].fps == 12
    assert "rgb, every 2nd + flow (tvl1), every 2nd" in str(results[0])
    assert results[0].record()["frame_stride"] == {"rgb": 2, "flow": 2}
    assert {p.label for p in results[0].predictions} == set(small_runs.LABELS)
    assert "does not say" not in capsys.readouterr().err


@pytest.mark.parametrize("form", FORMS)
def test_evaluate(made, by_hand, form):
    """On records, whose frames and fields went through JPEG."""
    scores = evaluation.evaluate(made.records, **made.weights[form]).scores
    for stream in STREAMS:
        assert distance(scores.logits[stream], by_hand[stream][2]) < JPEG
        assert "frames 2 apart, central crop 32 x 32" in scores.settings[stream]
        assert (scores.logits[stream].argmax(-1) == by_hand[stream][2].argmax(-1)).all()
    if form == "run":
        views = evaluation.evaluate(made.records, rgb=made.weights[form]["rgb"], protocol="views:2x1").scores
        assert "clips of 9 frames, 2 apart" in views.settings["rgb"]


@pytest.mark.parametrize("form", FORMS[:-1])
def test_builder(made, form):
    for seed, stream in enumerate(STREAMS):
        path = made.weights[form][stream]
        model = keras_i3d.I3D(weights=path, stream=stream, input_shape=(None, None, None, 3 - seed))
        noted = facts.of(model)
        assert (noted.clip, noted.labels) == (SPEC.clip(stream, 32, 9, 2), small_runs.LABELS)
        for a, b in zip(model.get_weights(), made.weights["in memory"][stream].get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def exported_pair(made):
    """(Export, a server's session) of an export that takes videos of any length; each stream is of another form."""
    weights = {"rgb": made.weights["moved .weights.h5"]["rgb"], "flow": made.weights["run"]["flow"]}
    written = export.saved_model(made.folder / "export" / "pair", **weights, frames=0)
    return written, small_exports.Server(written.path)


def test_export(made, by_hand, exported_pair):
    written, ask = exported_pair
    assert written.card["clip"]["flow"]["frame_stride"] == 2
    assert written.card["activation"] == "softmax"
    assert {stream: each["licence"] for stream, each in written.card["weights"].items()} == dict.fromkeys(
        STREAMS, "CC-BY-NC-4.0"
    )
    for i, path in enumerate(made.videos):
        frames = video.read(path, 12, 40)
        assert distance(ask("uint8", frames=frames[None])["logits"], by_hand["rgb"][2][i : i + 1]) < 1e-4
        images = small_exports.encode(frames[None], png=True)
        answer = ask("jpeg", frames=images)
        assert distance(answer["logits"], by_hand["rgb"][2][i : i + 1]) < 1e-4
        fields = np.array([[sequence_example.encode_flow(field, SPEC) for field in tvl1(frames)]], object)
        both = ask("jpeg_two_stream", rgb=images, flow=fields)["logits"]
        assert distance(both, sum(by_hand[stream][2][i : i + 1] for stream in STREAMS)) < JPEG


def test_flow_in_the_graph_is_between_neighbours_and_then_taken_apart(made, exported_pair):
    ask, frames = exported_pair[1], video.read(made.videos[0], 12, 40)
    with small_exports.small():
        fields = np.asarray(keras_i3d.flow.TVL1()(frames[None]))[0]
    x = {"rgb": frames[::2] / 127.5 - 1, "flow": np.clip(fields, -3, 3)[::2] / 20}
    x = {stream: clip[None, :, 4:36, 12:44].astype("float32") for stream, clip in x.items()}
    wanted = ask("serving_default", **x)["logits"]
    assert distance(ask("frames_two_stream", frames=frames[None])["logits"], wanted) < 1e-4


def test_a_fixed_length_is_that_of_the_network_not_of_the_request(made, tmp_path):
    """The run's own clips have 9 frames, which cover 17 of the video."""
    written = export.saved_model(tmp_path / "rgb", rgb=made.weights["moved .keras"]["rgb"])
    assert (written.card["frames"], written.card["frames_of_a_request"]) == (9, 17)
    assert written.card["signatures"]["serving_default"]["inputs"]["rgb"]["shape"] == [None, 9, 32, 32, 3]
    assert written.card["signatures"]["jpeg"]["inputs"]["frames"]["shape"] == [None, 17]
    ask, frames = small_exports.Server(written.path), video.read(made.videos[0], 12, 40)
    clip = (frames[None, :17:2, 4:36, 12:44] / 127.5 - 1).astype("float32")
    wanted = ask("serving_default", rgb=clip)["logits"]
    assert distance(ask("uint8", frames=frames[None, :17])["logits"], wanted) < 1e-4
    with pytest.raises(Exception, match="17 frames. Received: 9"):
        ask("uint8", frames=frames[None, :9])


class Direct:
    """A model on a server, without the wire between."""

    def __init__(self, ask):
        self.ask = ask

    def signatures(self):
        return {
            name: {
                key: [d.size if d.size >= 0 else None for d in info.tensor_shape.dim]
                for key, info in each.inputs.items()
            }
            for name, each in self.ask.signatures.items()
        }

    def facts(self):
        return json.loads(self.ask("facts", about=np.array([b""], object))["facts"][0])

    def logits(self, signature, jpegs):
        return [float(x) for x in self.ask(signature, frames=np.array([jpegs], object))["logits"][0]]


def test_the_client_asks_as_the_export_says(client, made, by_hand, exported_pair, tmp_path):
    pair = client.Model(Direct(exported_pair[1]))
    assert (pair.signature, pair.fps, pair.short_side) == ("frames_two_stream_jpeg", 12, 40)
    assert pair.server.facts()["licences"] == dict.fromkeys(STREAMS, "CC-BY-NC-4.0")
    alone = export.saved_model(tmp_path / "rgb", rgb=made.weights["run"]["rgb"], frames=0)
    model = client.Model(Direct(small_exports.Server(alone.path)))
    assert model.signature == "jpeg"
    for path, wanted in zip(made.videos, by_hand["rgb"][2]):
        ((start, clip),) = model.cut(client.encode(path, model.fps, model.short_side))
        logits = model.server.logits(model.signature, clip)
        assert start == 0
        assert distance(logits, wanted) < JPEG
        label, share = model.best(logits, 1)[0]
        assert label == small_runs.LABELS[wanted.argmax()]
        assert share == pytest.approx(probabilities(wanted, "softmax").max(), abs=0.15)


def test_short_videos_are_looped_alike(made, capsys):
    """11 frames of which every second is seen are 6: they are repeated as `data.load` repeats them."""
    frames = list(video.read(made.videos[0], 12, 40)[:11])
    path = made.folder / "short.mp4"
    path.write_bytes(films.film(frames, rate=12))
    frames = video.read(path, 12, 40)
    model = made.weights["in memory"]["rgb"]
    logits = keras.Model(model.input, model.get_layer("Logits").output)
    clip = (frames[:, 4:36, 12:44] / 127.5 - 1).astype("float32")[2 * np.arange(9) % 11]
    found = keras_i3d.classify(path, rgb=made.weights["run"]["rgb"])
    assert distance(found.logits, logits.predict_on_batch(clip[None])[0]) < 1e-4
    assert "11 rgb frames at 12 fps, 6 of them seen, looped to 9" in capsys.readouterr().err


@pytest.mark.parametrize("form", FORMS)
def test_a_licence_that_forbids_commerce_is_said_of_every_file(made, form, capsys):
    """Of a model in memory too it is known; whoever made it has read the line."""
    known = networks.load(made.weights[form]["rgb"], "rgb").facts
    assert (known.licence, known.source) == ("CC-BY-NC-4.0", "training run rgb, from somebody's weights")
    said = capsys.readouterr().err
    assert said.count(" is under CC-BY-NC-4.0: no commercial use\n") == (form != "in memory")


# What the networks end in.


@pytest.fixture(scope="module")
def sigmoid(tmp_path_factory):
    """{form: path} of a network that ends in a sigmoid."""
    folder = tmp_path_factory.mktemp("sigmoid")
    with small_exports.small():
        keras.utils.set_random_seed(3)
        model = i3d(classes=3, depth_multiplier=0.05, classifier_activation="sigmoid")
        head = model.get_layer("Logits_Conv3d_0c_1x1_conv_3d")
        head.set_weights([np.random.default_rng(4).normal(0, 9, w.shape) for w in head.get_weights()])
        clip = SPEC.clip("rgb", 32, 9, 2)
        facts.note(model, facts.Facts("rgb", labels=small_runs.LABELS, clip=clip))
        model.save(folder / "mine.keras")
        h5_files.save_h5(model, folder / "mine.weights.h5", **facts.of(model).record())
        yield {"keras": folder / "mine.keras", "h5": folder / "mine.weights.h5", "model": model}


@pytest.mark.parametrize("form", ["keras", "h5", "model"])
def test_a_sigmoid_is_answered_by_every_verb(made, sigmoid, form, tmp_path):
    result = keras_i3d.classify(made.videos[0], top=3, rgb=sigmoid[form])
    assert result.activation == "sigmoid"
    logistic = 1 / (1 + np.exp(-np.float64(result.logits)))
    for p in result.predictions:
        assert p.probability == pytest.approx(logistic[p.index], rel=1e-6)
    views = evaluation.evaluate(made.records, rgb=sigmoid[form], protocol="views:2x1")
    assert views.scores.activation == "sigmoid"
    assert "sigmoid averaged over 2 views" in views.scores.settings["rgb"]
    if form != "h5":  # an export is made of the model and the facts that the two verbs above had
        return
    written = export.saved_model(tmp_path / "rgb", rgb=sigmoid[form], frames=0)
    assert written.card["activation"] == "sigmoid"
    assert written.card["deviation"]["probabilities"] < 1e-5
    answer = small_exports.Server(written.path)("uint8", frames=video.read(made.videos[0], 12, 40)[None])
    np.testing.assert_allclose(answer["probabilities"][0], logistic, atol=1e-4)


def test_an_export_of_another_activation_is_not_put_in_place(sigmoid, tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "activation", lambda loaded: "softmax")
    with pytest.raises(export.ExportError, match="probabilities must be within 0.001 of the plain model's"):
        export.saved_model(tmp_path / "rgb", rgb=sigmoid["keras"], frames=0)
    assert not (tmp_path / "rgb/1").exists()


def test_a_builder_takes_the_activation_and_the_width_of_the_weights(sigmoid, capsys):
    model = keras_i3d.I3D(weights=sigmoid["h5"])
    assert (facts.activation(model), facts.of(model).clip.frame_stride) == ("sigmoid", 2)
    assert "trained with" not in capsys.readouterr().err
    assert facts.activation(keras_i3d.I3D(weights=sigmoid["h5"], classifier_activation="softmax")) == "softmax"
    assert "mine.weights.h5 was trained with sigmoid; the model ends in softmax, as asked" in capsys.readouterr().err
    assert facts.of(keras_i3d.I3D(weights=sigmoid["h5"], classes=4)) is None  # what it will be trained on is to come
    body = facts.of(keras_i3d.I3D(weights=sigmoid["h5"], include_top=False))
    assert (body.classes, body.labels, body.clip.fps) == (None, None, 12)


def test_what_ends_in_logits_is_answered_by_what_it_was_trained_with(sigmoid, made, capsys):
    cut = keras.Model(sigmoid["model"].input, sigmoid["model"].get_layer("Logits").output)
    for model in (keras_i3d.I3D(weights=sigmoid["h5"], classifier_activation=None), cut):
        assert keras_i3d.classify(made.videos[0], rgb=model).activation == "sigmoid"
    assert "softmax is taken" not in capsys.readouterr().err
    facts_of_nobody = facts.note(keras_i3d.I3D(weights=sigmoid["h5"], classifier_activation=None), None)
    assert keras_i3d.classify(made.videos[0], labels="none", rgb=facts_of_nobody).activation == "softmax"
    assert "ends in its logits and does not say what it was trained with; softmax is taken" in capsys.readouterr().err
    other = keras_i3d.I3D(weights=sigmoid["h5"], classifier_activation="tanh")
    with pytest.raises(ValueError, match="ends in softmax or sigmoid, or in its logits. Received: one that .*'tanh'"):
        keras_i3d.classify(made.videos[0], rgb=other)


def test_an_activation_that_nobody_noted_is_said_to_be_assumed(sigmoid, made, tmp_path, capsys):
    """Keras's own weight files have no notes."""
    sigmoid["model"].save_weights(tmp_path / "bare.weights.h5")
    assert facts.activation(keras_i3d.I3D(weights=tmp_path / "bare.weights.h5")) == "softmax"
    assert "bare.weights.h5 does not say what it ends in; softmax is taken" in capsys.readouterr().err
    networks.load(tmp_path / "bare.weights.h5", "rgb")
    assert "bare.weights.h5 does not say what it ends in; softmax is taken" in capsys.readouterr().err
    both = keras_i3d.TwoStreamI3D(weights=None, classes=3, classifier_activation="sigmoid", depth_multiplier=0.05)
    both.save_weights(tmp_path / "both.weights.h5")
    keras_i3d.TwoStreamI3D(weights=tmp_path / "both.weights.h5", depth_multiplier=0.05)
    assert "both.weights.h5 does not say what it ends in; softmax is taken" in capsys.readouterr().err


def test_what_was_noted_of_another_head_is_not_believed(sigmoid, tmp_path):
    """Training on, or a head of one's own on the body: labels, clips and source are of the network before."""
    model = keras_i3d.I3D(weights=sigmoid["h5"], input_shape=(9, 32, 32, 3))
    assert facts.of(model).labels == small_runs.LABELS
    model.compile("sgd", "binary_crossentropy")
    model.train_on_batch(np.zeros((1, 9, 32, 32, 3), "float32"), np.ones((1, 3), "float32"))
    model.save(tmp_path / "on.keras")
    assert facts.of(model) is None
    assert networks.load(tmp_path / "on.keras", "rgb").facts.labels is None
    body = keras_i3d.I3D(weights=sigmoid["h5"], include_top=False, input_shape=(None, None, None, 3))
    assert facts.of(body).clip.fps == 12
    headed = keras.Model(body.input, inception.head(body.output, 3, 0.0, "softmax"))
    assert facts.of(headed) is None


def test_streams_of_two_activations_do_not_answer_together(made, sigmoid):
    settings = {"rgb": sigmoid["keras"], "flow": made.weights["run"]["flow"]}
    with pytest.raises(ValueError, match="need the same activation. Received: {'rgb': 'sigmoid', 'flow': 'softmax'}"):
        evaluation.evaluate(made.records, **settings)
    with pytest.raises(ValueError, match="need the same activation"):
        keras_i3d.Classifier(**settings)


# The record itself.


def test_the_record_survives_json_saving_and_cloning(tmp_path, monkeypatch):
    tiny.shorten(monkeypatch)
    model = i3d(classes=3, depth_multiplier=0.05)
    assert facts.of(model) is None
    noted = facts.Facts(
        "rgb", 3, small_runs.LABELS, "softmax", 0.05, "float32", SPEC.clip("rgb", 32, 9, 2), "somewhere"
    )
    assert facts.parse(json.loads(json.dumps(noted.record()))) == noted
    facts.note(model, noted)
    model.save(tmp_path / "a.keras")
    again = keras.models.load_model(tmp_path / "a.keras")
    clone = keras.models.clone_model(again)
    assert facts.of(clone) is None  # its weights are fresh ones
    clone.set_weights(again.get_weights())
    assert facts.of(again) == facts.of(clone) == noted
    assert facts.of(keras_i3d.optimize_for_inference(again)) == noted
    assert facts.of(facts.note(model, None)) is None
    with pytest.raises(ValueError, match="Facts are noted in a model of one stream that this package made"):
        facts.note(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]), noted)


def test_thresholds_are_a_number_for_each_class():
    known = facts.Facts("rgb", classes=2, thresholds=(0.25, 0.75))
    assert facts.parse(json.loads(json.dumps(known.record()))) == known
    for wrong, message in (([0.5], "1 thresholds for 2 classes"), ([0.5, 2], "a number in .0, 1. for each class")):
        with pytest.raises(ValueError, match=message):
            facts.parse({**known.record(), "thresholds": wrong})


def test_notes_that_cannot_be_read_are_refused(tmp_path, monkeypatch):
    tiny.shorten(monkeypatch)
    model = i3d(classes=3, depth_multiplier=0.05)
    for broken in ({"clip": {"fps": 3}}, {"clip": "no"}, {"clip": {"stream": "rgb", "mean": [0, 1]}}):
        h5_files.save_h5(model, tmp_path / "a.weights.h5", **broken)
        (tmp_path / "a.weights.h5.sha256").unlink()
        with pytest.raises(keras_i3d.WeightsError, match="a.weights.h5: what it notes about itself cannot be read"):
            keras_i3d.I3D(weights=tmp_path / "a.weights.h5")


def test_weights_of_others_are_taken_as_published_ones_and_said(made, tmp_path, monkeypatch, capsys):
    with small_exports.small():
        model = keras.models.load_model(made.weights["moved .keras"]["rgb"])
    model.save_weights(tmp_path / "bare.weights.h5")
    network = networks.load(tmp_path / "bare.weights.h5", "rgb")
    assert (network.facts.clip, network.clip) == (None, CLIPS["rgb"])
    assert network.model.count_params() == model.count_params()
    network.say_what_is_assumed()
    said = capsys.readouterr().err
    assert (
        "bare.weights.h5 does not say what clips it was trained on, or was trained since; taken as: 25 fps, sho" in said
    )


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_the_mean_of_views_is_one_of_probabilities(activation):
    logits = np.random.default_rng(0).normal(0, 30, (5, 4, 7))
    shares = probabilities(logits, activation)
    expected = np.asarray(keras.activations.get(activation)(keras.ops.convert_to_tensor(logits)))
    np.testing.assert_allclose(shares, expected, rtol=1e-5, atol=1e-12)
    mean = probabilities(averaged(logits, activation), activation)
    np.testing.assert_allclose(mean, shares.mean(axis=0), rtol=1e-9, atol=1e-15)
