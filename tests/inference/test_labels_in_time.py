"""Logits along time: the rows that classify averages, fused, smoothed, in windows where there are no rows."""

import keras
import numpy as np
import pytest
from made import drawn, films, labelled, small_runs, tiny

import keras_i3d
from keras_i3d import facts, networks, segments, time_steps, video
from keras_i3d.inference import chunks
from keras_i3d.inference.labels_in_time import LabelsInTime, StreamInTime
from keras_i3d.models import families
from keras_i3d.models.inception import HEAD
from keras_i3d.probabilities import softmax
from keras_i3d.specs import RGB_CLIP


def made(streams, frames=50, activation="softmax", labels=("a", "b")):
    """A LabelsInTime of {stream: (times, logits)}."""
    rows = {name: StreamInTime(np.float64(at), np.float32(logits)) for name, (at, logits) in streams.items()}
    return LabelsInTime("x.mp4", rows, list(labels), activation, frames, 25.0, RGB_CLIP)


@pytest.fixture(scope="module")
def film():
    """160 frames: red up to 100, green from 60 on."""
    return films.film(list(labelled.frames({0: (0, 100), 1: (60, 160)}, 160)))


def test_the_mean_of_the_rows_is_what_classify_gives(film):
    """In one pass and in chunks; the rows stand at the middles of their 16 frames, 8 apart."""
    found = {}
    for chunk_frames in (512, 144):
        classifier = keras_i3d.Classifier(rgb=labelled.network("softmax"), chunk_frames=chunk_frames)
        found[chunk_frames] = classifier.in_time(film)
        rows = found[chunk_frames].streams["rgb"]
        np.testing.assert_allclose(rows.logits.mean(axis=0), classifier(film).logits, rtol=1e-5)
        np.testing.assert_allclose(rows.times, (8 + 8 * np.arange(19)) / 25)
    np.testing.assert_allclose(found[512].logits, found[144].logits, rtol=1e-4, atol=1e-5)
    answer, at_once = classifier.at_once(film, top=1)
    assert (len(answer.predictions), answer.frames) == (1, 160)
    np.testing.assert_array_equal(answer.logits, classifier(film).logits)
    np.testing.assert_array_equal(at_once.logits, found[144].logits)
    whole = found[512]
    assert (whole.frames, whole.seconds, whole.fps, *whole.labels) == (160, 6.4, 25.0, *labelled.LABELS)
    assert (whole.windows, whole.thresholds, whole.looped) == ({}, None, None)
    # A mean over more than the video is the answer for the video, everywhere.
    smoothed = whole.smoothed(100)
    np.testing.assert_allclose(smoothed.logits, np.tile(whole.logits.mean(axis=0), (19, 1)), rtol=1e-5)


def test_a_short_video_is_looped_to_one_row():
    found = keras_i3d.Classifier(rgb=labelled.network("softmax")).in_time(films.film(list(labelled.frames([0], 5))))
    assert (found.frames, found.looped, len(found.times)) == (5, 9, 1)
    assert found.probabilities(found.frame_times).argmax(axis=1).tolist() == [0] * 5


def test_streams_of_other_steps_are_summed_where_the_most_rows_are():
    """Rows of flow every second, from 0 to 10 in the logit of a; of rgb every half, 1 in that of b."""
    rgb = ([0.5, 1.0, 1.5, 2.0], [[0, 1]] * 4)
    flow = ([0.5, 1.5], [[0, 0], [10, 0]])
    found = made({"rgb": rgb, "flow": flow})
    assert found.times.tolist() == [0.5, 1.0, 1.5, 2.0]
    assert found.logits.tolist() == [[0, 1], [5, 1], [10, 1], [10, 1]]
    assert found.at([0, 0.75], [0]).tolist() == [[0], [2.5]]
    expected = softmax([[5, 1], [10, 1]])
    np.testing.assert_allclose(found.probabilities([1.0, 9.0]), expected, rtol=1e-6)
    np.testing.assert_allclose(found.probabilities([1.0, 9.0], [1]), expected[:, 1:], rtol=1e-6)
    np.testing.assert_allclose(found.frame_times[[0, 49]], [0.02, 1.98])


def test_smoothing_is_the_mean_of_the_rows_that_are_near():
    """Within half a second on each side, of rows 0.5 apart: three, and two at the ends."""
    found = made({"rgb": (0.5 * np.arange(4), [[0, 0], [6, 0], [12, 3], [0, 0]])})
    assert found.smoothed(1).logits.tolist() == [[3, 0], [6, 1], [6, 1], [6, 1.5]]
    assert found.smoothed(0.9).logits.tolist() == found.logits.tolist()
    assert found.smoothed(0) is found
    with pytest.raises(ValueError, match="smooth must be a number of seconds, at least 0. Received: smooth=-1"):
        found.smoothed(-1)


def test_interpolation_is_that_of_training():
    rows = np.random.default_rng(0).normal(0, 1, (6, 3))
    places = np.linspace(-3, 70, 40)
    expected = time_steps.at(rows, places, 8, 2)
    np.testing.assert_allclose(time_steps.interpolated(rows, time_steps.middles(6, 8, 2), places), expected, atol=1e-12)


def test_windows_overlap_by_half_and_end_with_the_video():
    def ends(total, window):
        return [(chunk.start, chunk.stop) for chunk in chunks.plan_windows(total, window)]

    assert ends(40, 16) == [(0, 16), (8, 24), (16, 32), (24, 40)]
    assert ends(45, 16) == [(0, 16), (8, 24), (16, 32), (24, 40), (29, 45)]
    assert ends(16, 16) == [(0, 16)]
    assert ends(9, 16) == [(0, 9)]
    assert ends(4, 1) == [(0, 1), (1, 2), (2, 3), (3, 4)]


@pytest.mark.parametrize(("name", "frames", "stride"), [("S3DG", 16, 1), ("ConvNetLSTM", 4, 5)])
def test_a_network_that_sees_a_clip_as_a_whole_is_asked_about_windows(name, frames, stride, monkeypatch, capsys):
    """Longer than it takes at once, which classify refuses of one of them. Each row is what it says of that clip."""
    tiny.shorten(monkeypatch)
    family = families.find(name)
    keras.utils.set_random_seed(1)
    model = family.build(classes=3, depth_multiplier=0.1)
    head = model.get_layer(family.head)
    head.set_weights([np.random.default_rng(3).normal(0, 1, weight.shape) for weight in head.get_weights()])
    clip = labelled.SPEC.clip("rgb", 32, frames=frames, frame_stride=stride)
    facts.note(model, facts.Facts("rgb", family=name, labels=labelled.LABELS, clip=clip))
    draw = np.random.default_rng(0)
    film = films.film([films.picture(i, 40, 52) for i in draw.permutation(60)])
    classifier = keras_i3d.Classifier(rgb=model, chunk_frames=40)
    found = classifier.in_time(film)
    long = " of videos of more than 40 frames" if name == "S3DG" else ""
    said = (
        f"sees a clip as a whole, so labels along time{long} are those of clips of {frames} frames, {frames // 2} apart"
    )
    assert said in capsys.readouterr().err
    classifier.in_time(film)
    assert "sees a clip" not in capsys.readouterr().err, "once is enough"
    assert found.windows == {"rgb": frames}
    seen = np.stack([chunks.centre_crop(each, 32) for each in video.read(film, 25, 40)])[::stride]
    starts = {"S3DG": [0, 8, 16, 24, 32, 40, 44], "ConvNetLSTM": [0, 2, 4, 6, 8]}[name]
    logits = networks.load(model).to_logits()
    expected = [logits.predict_on_batch(clip.prepared(seen[start : start + frames])[None])[0] for start in starts]
    np.testing.assert_allclose(found.streams["rgb"].logits, expected, rtol=1e-3, atol=1e-4)
    assert np.ptp(expected, axis=0).max() > 0.01
    middles = (np.array(starts) + (frames - 1) / 2) * stride + 0.5
    np.testing.assert_allclose(found.times, middles / 25)
    if name == "ConvNetLSTM":  # whose answer for the video is not made of those windows
        answer, at_once = classifier.at_once(film)
        np.testing.assert_array_equal(answer.logits, classifier(film).logits)
        np.testing.assert_array_equal(at_once.logits, found.logits)


def test_a_video_that_such_a_network_takes_at_once_has_the_rows_of_classify(monkeypatch, capsys):
    """One step a row, as in training and evaluation: their mean is the answer, and segments are the times."""
    tiny.shorten(monkeypatch)
    family = families.find("S3DG")
    model = drawn.seeded(family.build(classes=3, depth_multiplier=0.1, classifier_activation="sigmoid"))
    facts.note(model, facts.Facts("rgb", family="S3DG", labels=labelled.LABELS, clip=labelled.SPEC.clip("rgb", 32)))
    draw = np.random.default_rng(0)
    film = films.film([films.picture(i, 40, 52) for i in draw.permutation(60)])
    found = keras_i3d.Classifier(rgb=model, thresholds=0.5).in_time(film)
    assert "sees a clip as a whole" not in capsys.readouterr().err
    assert found.windows == {}
    middles = (np.median(found.logits[:, i]) for i in range(3))
    classifier = keras_i3d.Classifier(rgb=model, thresholds=[1 / (1 + np.exp(-middle)) for middle in middles])
    answer, found = classifier.at_once(film)
    np.testing.assert_array_equal(classifier.in_time(film).logits, found.logits)
    np.testing.assert_array_equal(classifier(film).logits, answer.logits)
    np.testing.assert_allclose(found.logits.mean(axis=0), answer.logits, rtol=1e-5)
    timeline = segments.find(found, smooth=0, shortest=0)
    assert all(answer.times)
    for index, times in enumerate(answer.times):
        assert times == tuple((each.start, each.end) for each in timeline.segments if each.index == index)


def test_logits_that_are_not_finite(film):
    model = labelled.network("softmax")
    head = model.get_layer(HEAD)
    head.set_weights([np.full_like(weight, 3e38) for weight in head.get_weights()])
    with pytest.raises(ValueError, match="logits must be finite"):
        keras_i3d.Classifier(rgb=model).in_time(film)


def test_thresholds_may_be_left_to_somebody_else(capsys, film):
    classifier = keras_i3d.Classifier(rgb=labelled.network(), thresholds=False)
    assert classifier.thresholds is None
    assert classifier.in_time(film).thresholds is None
    assert "thresholds were chosen" not in capsys.readouterr().err
    assert keras_i3d.Classifier(rgb=small_runs.small("rgb"), labels="none", thresholds=False).thresholds is None
