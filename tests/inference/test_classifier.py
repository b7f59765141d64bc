"""A video to labels: chunks, loops, fusion, refusals."""

import dataclasses
import sys
import threading

import keras
import numpy as np
import pytest
from made import films, small_runs, synthetic
from made.mirrors import narrow as narrow_network
from made.tiny import i3d

import keras_i3d
from keras_i3d import VideoError, flow, inference, networks, progress, runs, video
from keras_i3d.inference import chunks
from keras_i3d.models.families import FAMILIES
from keras_i3d.models.inception import HEAD
from keras_i3d.plurals import counted
from keras_i3d.reading_ahead import NAME
from keras_i3d.specs import RGB_CLIP
from keras_i3d.weights import by_name

I3D = FAMILIES["I3D"]

LABELS = [f"label {i}" for i in range(6)]


def narrow(stream, classes=6):
    """A narrow model with seeded weights, as a trained one."""
    model = i3d(stream=stream, classes=classes, depth_multiplier=0.1)
    values = {}
    for name, arrays in by_name.layer_weights(model).items():
        kinds = "w0" if arrays[0].ndim > 1 else ("beta", "mean", "variance")
        values[name] = [synthetic.weight(f"{name}/{kind}", a.shape, 3) for kind, a in zip(kinds, arrays)]
    by_name.assign(model, values, "seeded")
    return model


@pytest.fixture(scope="module")
def models():
    return {"rgb": narrow("rgb"), "flow": narrow("flow")}


@pytest.fixture(scope="module")
def rgb(models):
    return inference.Classifier("rgb", rgb=models["rgb"], labels=LABELS)


@pytest.fixture(scope="module")
def both(models):
    return inference.Classifier("both", models["rgb"], models["flow"], labels=LABELS, flow_method="dis")


@pytest.fixture(scope="module")
def mp4():
    return films.film([films.picture(i) for i in range(14)])


def test_plan_puts_every_row_in_once():
    for total in (*range(9, 700), 15_000, 15_001):
        for chunk_frames in (200, 256, 384):
            row = 0
            for chunk in chunks.plan_chunks(total, chunk_frames, I3D):
                length = chunk.stop - chunk.start
                rows = -(-length // 8) - 1
                assert chunk.start % 8 == 0
                assert length <= chunk_frames
                assert (length - total) % 8 == 0
                assert chunk.start // 8 + chunk.first_row == row
                assert chunk.first_row >= I3D.halo or chunk.start == 0
                end = rows if chunk.end_row is None else chunk.end_row
                assert end + I3D.halo <= rows or chunk.stop == total
                row = chunk.start // 8 + end
            assert row == -(-total // 8) - 1


@pytest.mark.parametrize("frames", [250, 413])
def test_chunks_give_the_logits_of_the_single_pass(frames, models):
    draw = np.random.RandomState(4)
    walk = np.cumsum(draw.randint(-6, 7, (frames, 8, 8, 3)), axis=0) + 128
    clip = np.kron(np.clip(walk, 0, 255), np.ones((1, 6, 6, 1))).astype("uint8")
    # Small frames leave the time axis as it is, and a model for any size takes them.
    model = i3d(input_shape=(None, None, None, 3), classes=6, depth_multiplier=0.1)
    model.set_weights(models["rgb"].get_weights())
    logits, rows = {}, _rows(model)
    for chunk_frames in (152, 200):
        scorer = chunks.Scorer(rows, None, I3D, RGB_CLIP, "walk", frames, chunk_frames)
        for frame in clip:
            if part := scorer.add(frame):
                scorer.run(part)
            assert len(scorer.frames) <= chunk_frames
        logits[chunk_frames] = scorer.logits()
    model = keras.Model(model.input, model.get_layer("Logits").output)
    single = np.asarray(model(keras_i3d.preprocess_input(clip)[None], training=False))[0]
    assert np.abs(single).max() > 0.01
    for value in logits.values():
        assert np.linalg.norm(value - single) / np.linalg.norm(single) < 1e-5


def _rows(model):
    return keras.Model(model.input, model.get_layer(HEAD).output)


def test_long_videos_go_through_in_chunks(models, monkeypatch):
    mp4 = films.film([films.picture(i % 50) for i in range(152)])
    monkeypatch.setattr(chunks, "centre_crop", lambda frame, size: frame[:64, :64])
    any_size = []
    for stream, channels in (("rgb", 3), ("flow", 2)):
        any_size.append(i3d(True, (None, None, None, channels), stream, classes=6, depth_multiplier=0.1))
        any_size[-1].set_weights(models[stream].get_weights())
    classifiers = [
        inference.Classifier("both", *any_size, labels=LABELS, flow_method="dis", chunk_frames=n) for n in (144, 384)
    ]
    a, b = (classifier(mp4) for classifier in classifiers)
    assert a.frames == b.frames == 152
    for stream in ("rgb", "flow"):
        difference = np.linalg.norm(a.stream_logits[stream] - b.stream_logits[stream])
        assert difference / np.linalg.norm(b.stream_logits[stream]) < 1e-5


@pytest.mark.slow  # it compiles each chunk's shape
def test_openvino_gives_the_logits_of_the_same_chunks(models, monkeypatch):
    pytest.importorskip("openvino", reason="needs openvino")
    mp4 = films.film([films.picture(i % 50) for i in range(152)])
    monkeypatch.setattr(chunks, "centre_crop", lambda frame, size: frame[:64, :64])
    any_size = i3d(True, (None, None, None, 3), "rgb", classes=6, depth_multiplier=0.1)
    any_size.set_weights(models["rgb"].get_weights())
    a, b = (
        inference.Classifier("rgb", any_size, labels=LABELS, chunk_frames=144, runtime=runtime)(mp4).logits
        for runtime in ("tensorflow", "openvino")
    )
    assert np.linalg.norm(a - b) < 1e-5 * np.linalg.norm(a)


def test_the_whole_path_is_what_its_parts_are(both, models, mp4):
    """decode, flow, centre crop, scale, model, sum, softmax: once by hand."""
    result = both(mp4, top=6)
    frames = video.read(mp4)
    clips = {"rgb": frames, "flow": flow.compute(frames, "dis")}
    expected = {}
    for stream, clip in clips.items():
        crop = clip[:, 16:240, 58:282]
        scaled = crop / 127.5 - 1 if stream == "rgb" else np.clip(crop, -20, 20) / 20
        model = keras.Model(models[stream].input, models[stream].get_layer("Logits").output)
        expected[stream] = np.asarray(model(scaled[None].astype("float32"), training=False))[0]
        np.testing.assert_allclose(result.stream_logits[stream], expected[stream], rtol=1e-4, atol=1e-5)
    fused = expected["rgb"] + expected["flow"]
    softmax = np.exp(fused) / np.exp(fused).sum()
    assert [p.index for p in result.predictions] == list(np.argsort(-fused))
    for p in result.predictions:
        assert p.label == LABELS[p.index]
        assert p.probability == pytest.approx(softmax[p.index], rel=1e-4)
        assert p.logit == pytest.approx(fused[p.index], rel=1e-4)
    assert set(result.seconds) == {"decode", "flow", "rgb model", "flow model", "waiting"}
    assert min(result.seconds.values()) > 0
    assert (result.flow_method, result.frames, result.damaged, result.looped) == ("dis", 14, 0, None)


def test_results_print_and_pack(rgb, mp4):
    result = rgb(mp4, top=2)
    text = str(result)
    assert "14 frames at 25 fps; rgb" in text
    assert result.predictions[0].label in text
    assert "rgb model" in text
    assert result.record()["predictions"][1]["label"] == result.predictions[1].label


def test_a_notebook_shows_the_classes_and_escapes_names(rgb, mp4):
    result = rgb(mp4, top=2)
    evil = dataclasses.replace(result.predictions[0], label="<script>'s", probability=0.25, logit=-1.5)
    html = dataclasses.replace(result, video="<b>.mp4", predictions=[evil, result.predictions[1]])._repr_html_()
    assert "<caption>&lt;b&gt;.mp4: 14 frames at 25 fps; rgb</caption>" in html
    assert ">&lt;script&gt;&#x27;s</td>" in html
    assert "width:25.0%" in html
    assert "<td>0.25000</td><td>-1.500</td>" in html
    assert html.count("<tr>") == 3


def test_one_bar_goes_over_decoding_flow_and_networks(both, mp4, monkeypatch):
    bars = []

    class Bar(progress.Bar):
        def __init__(self, *arguments, **settings):
            super().__init__(*arguments, **{**settings, "shown": False})
            self.counts = []
            bars.append((self, settings["shown"]))

        def update(self, count=1):
            super().update(count)
            self.counts.append(self.done / self.total)

    monkeypatch.setattr(inference.classifier, "Bar", Bar)
    monkeypatch.setattr(both, "_costs", {stage: inference.classifier.COSTS[stage] for stage in both.stages})
    monkeypatch.setattr(both, "progress", True)
    both(mp4)
    monkeypatch.setattr(both, "progress", False)
    result = both(mp4)
    assert [shown for _, shown in bars] == [True, False]
    for bar, _ in bars:
        assert len(bar.counts) == 14 + 13 + 1 + 1  # frames, pairs, a chunk of each network
        assert bar.counts == sorted(bar.counts)
        assert bar.counts[-1] == pytest.approx(1)
    assert bars[0][0].total == 31
    # The second bar weighs the stages by what they took of the first video.
    assert both._costs == pytest.approx({stage: result.seconds[stage] / 14 for stage in both.stages})


def test_decoding_runs_while_a_network_works(rgb, monkeypatch):
    """The network of the first chunk does not end before frames of the second are decoded, by a thread of their own."""
    mp4 = films.film([films.picture(i % 50, 32, 24) for i in range(170)])
    second, waited = threading.Event(), []
    add = chunks.Scorer.add

    def counted(scorer, frame):
        if scorer.come == 155:
            second.set()
        return add(scorer, frame)

    class Network:
        def predict_on_batch(self, clip):
            waited.append(second.wait(60))
            return np.zeros((1, I3D.steps(clip.shape[1]), 1, 1, 6), np.float32)

    monkeypatch.setattr(chunks.Scorer, "add", counted)
    monkeypatch.setattr(rgb, "models", {"rgb": Network()})
    monkeypatch.setattr(rgb, "chunk_frames", 152)
    result = rgb(mp4)
    assert (result.frames, waited[0], len(waited)) == (170, True, 2)
    assert not [thread for thread in threading.enumerate() if thread.name == NAME]


def test_a_video_that_breaks_ends_its_thread(rgb, mp4, monkeypatch):
    def broken(self, part):
        raise MemoryError("no room")

    monkeypatch.setattr(chunks.Scorer, "run", broken)
    with pytest.raises(MemoryError, match="no room"):
        rgb(mp4)
    assert not [thread for thread in threading.enumerate() if thread.name == NAME]


def test_a_damaged_video_is_said_to_be(rgb):
    film = films.film([films.picture(i) for i in range(20)], "avi", "mjpeg", pixels="yuvj420p")
    (at, size), *_, (end, _) = films.packets(film)[8:]
    result = rgb(film[:at] + bytes(size) + film[at + size : end])
    assert (result.frames, result.damaged, result.cut_short) == (19, 1, True)
    assert "19 frames at 25 fps, 1 damaged packet, cut short; rgb" in str(result)
    assert (result.record()["damaged"], result.record()["cut_short"]) == (1, True)


def test_how_long_a_video_may_last(rgb, mp4, monkeypatch):
    monkeypatch.setattr(rgb, "max_seconds", 0.5)
    with pytest.raises(VideoError, match="longer than max_seconds=0.5"):
        rgb(mp4)


@pytest.mark.parametrize("frames", [1, 4, 8])
def test_short_videos_are_looped(frames, rgb, models, capsys):
    mp4 = films.film([films.picture(10 * i) for i in range(frames)])
    result = rgb(mp4)
    assert result.looped == 9
    assert f"{counted(frames, 'rgb frame')} at 25 fps, looped to 9" in capsys.readouterr().err
    clip = centre(np.stack([video.read(mp4)[i % frames] for i in range(9)]))
    model = keras.Model(models["rgb"].input, models["rgb"].get_layer("Logits").output)
    expected = np.asarray(model(keras_i3d.preprocess_input(clip)[None], training=False))[0]
    np.testing.assert_allclose(result.logits, expected, rtol=1e-4, atol=1e-6)


def centre(clip):
    return np.stack([chunks.centre_crop(frame) for frame in clip])


def test_one_frame_has_no_flow(both):
    with pytest.raises(VideoError, match="flow needs at least 2 frames"):
        both(films.film([films.picture(0)]))


def test_nine_frames_loop_the_flow_alone(both, capsys):
    result = both(films.film([films.picture(3 * i) for i in range(9)]))
    said = capsys.readouterr().err
    assert "8 flow frames at 25 fps, looped to 9" in said
    assert "rgb frames" not in said
    assert result.looped == 9


def test_untrained_heads_are_refused():
    model = i3d(classes=6, depth_multiplier=0.1)
    with pytest.raises(ValueError, match="was never trained"):
        inference.Classifier("rgb", rgb=model, labels=LABELS)
    inference.Classifier("rgb", rgb=model, labels=LABELS, allow_untrained=True)


def test_one_class_is_said_to_be_one():
    """Its softmax is 1, whatever it sees: "never trained" would be no help to someone who has trained it."""
    model = i3d(classes=1, depth_multiplier=0.1)
    with pytest.raises(ValueError, match="has one class.*Train it on at least two classes"):
        inference.Classifier("rgb", rgb=model, labels=["run"])


def test_a_trained_head_is_accepted(models):
    """One step of training is enough to be no longer untrained, and saving keeps it so."""
    model = i3d(input_shape=(9, 32, 32, 3), classes=6, depth_multiplier=0.1)
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    model.train_on_batch(synthetic.clip((2, 9, 32, 32, 3), 0), np.array([1, 2]))
    networks.load(model, "rgb").require_trained()


def test_weights_that_only_have_a_body_are_refused(tmp_path, monkeypatch):
    narrow_network(monkeypatch.setitem)
    i3d(include_top=False).save_weights(tmp_path / "body.weights.h5")
    with pytest.raises(ValueError, match="was never trained"):
        inference.Classifier("rgb", rgb=tmp_path / "body.weights.h5")


def test_labels(repository, models, tmp_path, capsys):
    assert inference.Classifier("rgb").labels[399] == "label 399"
    assert "class indices" not in capsys.readouterr().err
    checkpoint = repository / "data/checkpoints/rgb_imagenet/model.ckpt"
    by_path = inference.Classifier("rgb", rgb=checkpoint)
    assert by_path.labels[7] == "label 7"  # a copy of a published one
    assert inference.Classifier("rgb", rgb=models["rgb"]).labels == list("012345")
    assert "class indices are shown; pass labels=" in capsys.readouterr().err
    assert inference.Classifier("rgb", rgb=checkpoint, labels="kinetics400").labels[7] == "label 7"
    assert inference.Classifier("rgb", rgb=models["rgb"], labels="none").labels == list("012345")
    (tmp_path / "five.txt").write_text("a\nb\nc\nd\ne\n")
    with pytest.raises(ValueError, match="5 labels for 6 classes"):
        inference.Classifier("rgb", rgb=models["rgb"], labels=tmp_path / "five.txt")


def test_weights_that_are_not_finite():
    """Before the first video: a convolution fused with its ReLU would make 0 of them."""
    model = narrow("rgb")
    norm = model.get_layer("Mixed_5c_Branch_0_Conv3d_0a_1x1_batch_norm")
    norm.set_weights([np.full_like(w, np.nan) for w in norm.get_weights()])
    with pytest.raises(ValueError, match="must be finite. Received: Mixed_5c_Branch_0_Conv3d_0a_1x1 with"):
        inference.Classifier("rgb", rgb=model, labels=LABELS)


def test_logits_that_are_not_finite(mp4):
    model = narrow("rgb")
    head = model.get_layer("Logits_Conv3d_0c_1x1_conv_3d")
    head.set_weights([np.full_like(w, 3e38) for w in head.get_weights()])  # finite, and too large to add up
    with pytest.raises(ValueError, match="logits must be finite.*Received: 6 of 6"):
        inference.Classifier("rgb", rgb=model, labels=LABELS)(mp4)


@pytest.mark.parametrize("top", [0, -1, "5", 2.0])
def test_top(top, rgb, mp4):
    with pytest.raises(ValueError, match="at least 1"):
        rgb(mp4, top=top)


def test_models_that_do_not_fit(models):
    body = i3d(include_top=False, depth_multiplier=0.1)
    oblong = i3d(input_shape=(16, 128, 171, 3), depth_multiplier=0.1)
    for model, message in (
        (body, "with its top"),
        (keras.Sequential([models["rgb"]]), "with its top"),
        (models["flow"], "The rgb stream takes weights of its own. Received: the model i3d_flow, of the flow stream"),
        (oblong, "takes square clips, or any. Received: the model i3d_rgb, for 128 x 171 pixels"),
    ):
        with pytest.raises(ValueError, match=message):
            inference.Classifier("rgb", rgb=model, labels=LABELS, allow_untrained=True)


def test_file_objects_are_read_from_their_start(rgb, mp4, tmp_path):
    (tmp_path / "x.mp4").write_bytes(mp4)
    with open(tmp_path / "x.mp4", "rb") as file:
        file.read(10)
        result = rgb(file)
    assert (result.frames, result.video) == (14, str(tmp_path / "x.mp4"))


def test_frames_kept_are_crops(models):
    """A wide frame must not stay in memory for its centre."""
    scorer = chunks.Scorer(None, None, I3D, RGB_CLIP, "wide", 100, 1000)
    scorer.add(np.zeros((256, 4000, 3), "uint8"))
    assert scorer.frames[0].base is None
    assert scorer.frames[0].shape == (224, 224, 3)


def test_streams_of_different_classes(models):
    with pytest.raises(ValueError, match="same classes. Received: {'rgb': 6, 'flow': 5}"):
        inference.Classifier("both", models["rgb"], narrow("flow", classes=5), labels=LABELS)


@pytest.mark.parametrize(
    "settings", [{"streams": "sound"}, {"flow_method": "farneback"}, {"precision": "int8"}, {"chunk_frames": 1}]
)
def test_bad_settings(settings):
    with pytest.raises(ValueError, match="must be"):
        inference.Classifier(**settings)


def test_a_flow_method_that_is_not_there_fails_before_the_first_video(monkeypatch, models):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match="pip install opencv-contrib-python-headless"):
        inference.Classifier("flow", flow=models["flow"], labels=LABELS, flow_method="dis")


def test_precision_reaches_the_model_alone(repository):
    classifier = inference.Classifier("rgb", precision="bfloat16")
    assert classifier.networks["rgb"].model.get_layer("Mixed_4b").compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == "float32"


def test_classify_one(models, mp4):
    result = keras_i3d.classify(mp4, "rgb", top=3, rgb=models["rgb"], labels=LABELS)
    assert len(result.predictions) == 3


def test_a_training_run_brings_its_labels_frame_rate_and_sizes(tmp_path):
    """As its records: 10 frames per second, a short side of 40, a crop of 32."""
    run = small_runs.run(tmp_path / "rgb", "rgb", spec={"fps": 10})
    small_runs.run(tmp_path / "flow", "flow")
    source = films.film([films.picture(i) for i in range(30)])
    result = inference.Classifier("rgb", rgb=run)(source, top=1)
    assert (result.frames, result.fps) == (12, 10)
    assert result.predictions[0].label in small_runs.LABELS
    frames = np.stack([chunks.centre_crop(frame, 32) for frame in video.read(source, 10, 40)])
    model = runs.load_model(run)
    logits = keras.Model(model.input, model.get_layer("Logits").output)
    expected = logits.predict_on_batch(keras_i3d.preprocess_input(frames)[None])[0]
    np.testing.assert_allclose(result.logits, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="Both streams need the same fps. Received: rgb trained at 10, flow at 25"):
        inference.Classifier("both", rgb=run, flow=tmp_path / "flow")
    with pytest.raises(ValueError, match="The flow stream takes weights of its own. Received: .*, of the rgb stream"):
        inference.Classifier("flow", flow=run)


def test_another_flow_than_the_weights_saw_is_said(tmp_path, capsys):
    run = small_runs.run(tmp_path / "flow", "flow")  # its records had flow by dis
    assert inference.Classifier("flow", flow=run).flow_method == "dis"
    assert "flow by" not in capsys.readouterr().err
    assert inference.Classifier("flow", flow=run, flow_method="tvl1").flow_method == "tvl1"
    assert "flow by tvl1; the weights were trained on dis" in capsys.readouterr().err


def test_what_a_choice_of_streams_leaves_out_is_refused(models):
    with pytest.raises(ValueError, match="rgb= names weights that streams='flow' does not use"):
        inference.Classifier("flow", rgb=models["rgb"], flow=models["flow"], labels=LABELS)
    with pytest.raises(ValueError, match="flow_method= is of the flow stream. Received: 'dis' and streams='rgb'"):
        inference.Classifier(rgb=models["rgb"], flow_method="dis", labels=LABELS)
