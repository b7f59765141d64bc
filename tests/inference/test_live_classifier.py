"""Live video to answers: the same as offline, late answers, drops, ends."""

import dataclasses
import threading

import numpy as np
import pytest
from made import films, live, live_networks

from keras_i3d import VideoError, video
from keras_i3d.inference import LiveClassifier, chunks, live_classifier
from keras_i3d.inference.backlog import Backlog


@pytest.fixture(autouse=True)
def no_threads_are_left():
    yield
    assert not [each for each in threading.enumerate() if each.name == live_classifier.THREAD]


def test_exact_answers_of_a_slow_pipe_add_up_to_what_classify_says(live_both, tmp_path, capsys):
    """Of both streams with TV-L1 flow, fed in 60 pieces: the means of all rows are the logits of the whole video."""
    film = live_networks.film(160)
    expected = live_both(film)
    with live.fed(tmp_path / "pipe", film, pieces=60) as pipe:
        answers = [*LiveClassifier(live_both, exact=True).answers(pipe)]
    assert len(answers) == 19
    for stream, logits in expected.stream_logits.items():
        mean = np.mean([answer.stream_logits[stream] for answer in answers], axis=0)
        assert np.abs(mean - logits).max() < 1e-5
    assert [(answer.start, answer.dropped, answer.missing) for answer in answers] == [
        (pytest.approx(0.32 * row), 0, 0) for row in range(19)
    ]
    assert {answer.segment for answer in answers} == {1}
    assert "pipe: 19 answers of 6.40 s\n" in capsys.readouterr().err


def test_windows_of_a_file_are_what_classify_says_of_them(live_rgb, tmp_path):
    (tmp_path / "x.ts").write_bytes(live_networks.film(60))
    answers = [*LiveClassifier(live_rgb, every=0).answers(tmp_path / "x.ts")]
    assert [round(25 * answer.end) for answer in answers] == [16, 24, 32, 40, 48, 56, 60]
    assert [answer.skipped for answer in answers] == [0] * 7
    frames = video.read(tmp_path / "x.ts", 25, 40)[-16:]
    clip = live_rgb.clips["rgb"].prepared(np.stack([chunks.centre_crop(frame, 32) for frame in frames]))
    expected = live_rgb.networks["rgb"].to_logits().predict_on_batch(clip[None])[0]
    assert np.abs(answers[-1].logits - expected).max() < 1e-5
    assert len(answers[0].predictions) == 3


class ToldBacklog(Backlog):
    """A queue at which whoever takes waits by telling the clock."""

    clock = None

    def take(self):
        while not self._blocks and not self._ended:
            self.clock.advance(0.04)
        return super().take()


def slowly(classifier, seconds, monkeypatch, source, **settings):
    """Returns (answers, network) of a network that takes so many seconds a call, next to video in real time."""
    clock = live.ToldClock()
    network = live_networks.Slow(clock, seconds, classifier.networks["rgb"].family)
    monkeypatch.setattr(live_classifier, "Backlog", type("Told", (ToldBacklog,), {"clock": clock}))
    monkeypatch.setattr(classifier, "models", {"rgb": network})
    watch = LiveClassifier(classifier, realtime=True, clock=clock, **settings)
    monkeypatch.setattr(watch.settings, "warm_up", lambda: None)
    return [*watch.answers(source)], network


@pytest.fixture
def ten_seconds(tmp_path):
    (tmp_path / "x.ts").write_bytes(live_networks.film(250))
    return tmp_path / "x.ts"


def test_a_network_that_is_fast_enough_drops_nothing(live_rgb, monkeypatch, ten_seconds):
    answers, _ = slowly(live_rgb, 0.1, monkeypatch, ten_seconds, every=0)
    assert len(answers) == 31
    assert {(answer.dropped, answer.skipped, answer.segment) for answer in answers} == {(0, 0, 1)}
    assert max(answer.delay for answer in answers) < 0.2


def test_a_slower_one_skips_answers_and_sees_every_frame(live_rgb, monkeypatch, ten_seconds, capsys):
    """0.5 s for an answer that is due each 0.32 s: the next one is of the newest frames."""
    answers, _ = slowly(live_rgb, 0.5, monkeypatch, ten_seconds, every=0)
    assert answers[-1].dropped == 0
    assert answers[-1].skipped > 5
    assert {answer.segment for answer in answers} == {1}
    assert max(answer.delay for answer in answers) < 0.9
    assert all(b.start <= a.end for a, b in zip(answers, answers[1:]))  # no frame lies between two windows
    assert "slower than the video" not in capsys.readouterr().err


def test_the_slowest_one_drops_whole_steps_and_says_so(live_rgb, monkeypatch, ten_seconds, capsys):
    """3 s an answer, of windows of 0.64 s: each is of the newest frames, and counts those that nobody saw."""
    answers, network = slowly(live_rgb, 3.0, monkeypatch, ten_seconds, every=0)
    assert network.frames == [16] * len(answers)
    *each, last = answers  # the last one is of the frames behind the last whole step
    assert [answer.segment for answer in each] == [*range(1, len(answers))]
    assert last.segment == each[-1].segment
    assert [answer.dropped for answer in answers] == sorted(answer.dropped for answer in answers)
    assert each[1].dropped > each[0].dropped > 5
    assert answers[-1].dropped >= 20
    assert max(answer.delay for answer in answers) < 3.0 + 0.7
    starts = [round(answer.start * 25) for answer in answers]
    assert [start % 8 for start in starts[:-1]] == [0] * (len(starts) - 1)
    said = capsys.readouterr().err
    assert said.count("the networks are slower than the video, so the oldest steps that wait, of 0.32 s each") == 1
    assert f"{answers[-1].dropped} steps of 0.32 s dropped" in said


def test_exact_rows_of_a_network_that_is_too_slow(live_rgb, monkeypatch, ten_seconds):
    """6 s a call: between two gaps, the rows are those of a video that begins and ends there."""
    answers, network = slowly(live_rgb, 6.0, monkeypatch, ten_seconds, exact=True)
    assert answers[-1].dropped > 0
    assert answers[-1].segment > 1
    for number in {answer.segment for answer in answers}:
        starts = [round(answer.start * 25) for answer in answers if answer.segment == number]
        assert starts == [*range(starts[0], starts[-1] + 1, 8)]
    assert max(network.frames) <= 8 * (17 + 16)


def test_a_file_never_drops(live_rgb, monkeypatch, ten_seconds):
    network = live_networks.Slow(live.EagerClock(), 0, live_rgb.networks["rgb"].family)
    network.clock.advance = lambda seconds: None
    monkeypatch.setattr(live_rgb, "models", {"rgb": network})
    answers = [*LiveClassifier(live_rgb, every=0).answers(ten_seconds)]
    assert (len(answers), answers[-1].dropped, answers[-1].skipped) == (31, 0, 0)


def test_it_can_be_stopped_while_a_pipe_stays_open(live_rgb, tmp_path):
    """What was read is answered still, and the thread ends."""
    watch, closed = LiveClassifier(live_rgb, every=0), threading.Event()
    with live.fed(tmp_path / "pipe", live_networks.film(60), then=lambda: closed.wait(20)) as pipe:
        answers = watch.answers(pipe)
        found = [next(answers)]
        watch.stop()
        found += answers
        closed.set()
    assert len(found) >= 1
    assert found[-1].end <= 2.4


def test_a_closed_iterator_ends_its_thread(live_rgb, tmp_path):
    closed = threading.Event()
    with live.fed(tmp_path / "pipe", live_networks.film(60), then=lambda: closed.wait(20)) as pipe:
        answers = LiveClassifier(live_rgb).answers(pipe)
        next(answers)
        answers.close()
        closed.set()


def test_last_answers_come_before_an_error(live_rgb):
    film = live_networks.film(60)
    with live.served(film[: len(film) // 2], claimed=len(film)) as address:
        answers, found = LiveClassifier(live_rgb, every=0, exact=False).answers(f"http://me:s3cret@{address}/x.ts"), []
        with pytest.raises(VideoError, match=r"http://\*\*\*@127.*it broke off"):
            found.extend(iter(answers))
    assert found
    assert "s3cret" not in found[0].source


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(("frames", "stride"), [(6, 1), (8, 1), (9, 1), (11, 1), (15, 2)])
def test_a_source_too_short_for_an_answer_has_that_of_classify(
    frames, stride, exact, live_both, monkeypatch, tmp_path, capsys
):
    """8 are a whole step; of 9 the flow alone is too short; 11 are enough, but of no whole step; of 15, 8 are seen."""
    for stream, clip in live_both.clips.items():
        monkeypatch.setitem(live_both.clips, stream, dataclasses.replace(clip, frame_stride=stride))
    (tmp_path / "x.ts").write_bytes(live_networks.film(frames))
    expected = live_both(tmp_path / "x.ts")
    lines = [line for line in capsys.readouterr().err.splitlines() if "looped" in line]
    (answer,) = LiveClassifier(live_both, exact=exact).answers(tmp_path / "x.ts")
    for stream, logits in expected.stream_logits.items():
        assert np.abs(answer.stream_logits[stream] - logits).max() < 1e-5
    assert (answer.start, answer.end, answer.looped) == (0, pytest.approx(frames / 25), expected.looped)
    assert answer.record()["looped"] == expected.looped == (None if frames == 11 else 9)
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if "looped" in line] == lines
    assert said[-1].endswith(f"x.ts: 1 answer of {frames / 25:.2f} s")


def test_a_short_source_has_that_of_classify_also_if_windows_differ(live_both, monkeypatch, tmp_path):
    """25 frames are more than the window of rgb, and fewer than that of flow, which sees every second of 32."""
    monkeypatch.setitem(live_both.clips, "flow", dataclasses.replace(live_both.clips["flow"], frame_stride=2))
    (tmp_path / "x.ts").write_bytes(live_networks.film(25))
    expected = live_both(tmp_path / "x.ts")
    watch = LiveClassifier(live_both)
    (answer,) = watch.answers(tmp_path / "x.ts")
    assert (answer.start, answer.end) == (0, 1)
    for stream, logits in expected.stream_logits.items():
        assert np.abs(answer.stream_logits[stream] - logits).max() < 1e-5
    # What takes no more at once has its window.
    families = watch.settings.families
    monkeypatch.setitem(families, "rgb", dataclasses.replace(families["rgb"], halo=None))
    monkeypatch.setattr(live_both, "chunk_frames", 20)
    seen = np.stack([chunks.centre_crop(each, 32) for each in video.read(tmp_path / "x.ts", 25, 40)])[-16:]
    clip = live_both.clips["rgb"].prepared(seen)
    (answer,) = watch.answers(tmp_path / "x.ts")
    of_window = chunks.score(live_both.models["rgb"], families["rgb"], clip)
    assert np.abs(answer.stream_logits["rgb"] - of_window).max() < 1e-5
    assert np.abs(answer.stream_logits["flow"] - expected.stream_logits["flow"]).max() < 1e-5


def test_a_single_frame_has_no_flow(live_both, live_rgb, tmp_path):
    (tmp_path / "x.ts").write_bytes(live_networks.film(1))
    for exact in (False, True):
        with pytest.raises(VideoError, match="flow needs at least 2 frames, and it has 1; use the rgb stream alone"):
            [*LiveClassifier(live_both, exact=exact).answers(tmp_path / "x.ts")]
        (answer,) = LiveClassifier(live_rgb, exact=exact).answers(tmp_path / "x.ts")
        assert answer.looped == 9


@pytest.mark.parametrize("exact", [False, True])
def test_short_parts_around_a_gap_have_no_answer(exact, live_rgb, tmp_path):
    """One of the last part, looped, would pass for one of all frames, as a part of one frame would for the source."""
    times = [40 * i + 40_000 * (i >= 5) for i in range(10)]
    (tmp_path / "x.mkv").write_bytes(films.film([films.picture(i) for i in range(10)], "matroska", times=times))
    with pytest.raises(VideoError, match="none of its 2 parts without a gap is long enough for an answer"):
        [*LiveClassifier(live_rgb, exact=exact).answers(tmp_path / "x.mkv")]


def test_what_is_stopped_or_breaks_off_is_not_looped(live_rgb, tmp_path, capsys):
    """As `classify` loops a video that is whole: here nobody knows what would have come."""
    closed = threading.Event()
    with live.fed(tmp_path / "pipe", live_networks.film(6), then=lambda: closed.wait(20)) as pipe:
        watch = LiveClassifier(live_rgb)
        stop = threading.Timer(0.5, watch.stop)
        stop.start()
        assert [*watch.answers(pipe)] == []
        closed.set()
    assert "pipe: 0 answers of " in capsys.readouterr().err


def test_damage_is_said_at_the_end(live_rgb, tmp_path, capsys):
    """As `classify` says it: a lost packet, and a file that lacks its end."""
    film = films.film([films.picture(i) for i in range(20)], "avi", "mjpeg", pixels="yuvj420p")
    (at, size), *_, (end, _) = films.packets(film)[8:]
    (tmp_path / "x.avi").write_bytes(film[:at] + bytes(size) + film[at + size : end])
    assert [*LiveClassifier(live_rgb).answers(tmp_path / "x.avi")]
    assert "x.avi: 2 answers of 0.76 s, 1 damaged packet, cut short\n" in capsys.readouterr().err


def test_a_live_source_finds_the_networks_warm(live_rgb, monkeypatch, tmp_path):
    (tmp_path / "x.ts").write_bytes(live_networks.film(24))
    called = []

    class Counted:
        def predict_on_batch(self, clip):
            called.append(clip.shape)
            return np.zeros((1, clip.shape[1] // 8 - 1, 1, 1, 3), np.float32)

    monkeypatch.setattr(live_rgb, "models", {"rgb": Counted()})
    [*LiveClassifier(live_rgb, realtime=True, clock=live.EagerClock()).answers(tmp_path / "x.ts")]
    assert called[:2] == [(1, 16, 32, 32, 3)] * 2
    assert len(called) > 2
    watch = LiveClassifier(live_rgb, exact=True, realtime=True, clock=live.EagerClock())
    called.clear()
    watch.settings.warm_up()
    assert called == [(1, 8 * 16, 32, 32, 3)]
    [*watch.answers(tmp_path / "x.ts")]


def test_nothing_is_measured_once_live_video_has_begun(live_rgb, monkeypatch):
    """Which would take seconds: of windows before, and of rows, which come in pieces of any length, never."""
    settled = []

    class Measuring:
        def __init__(self, calls=()):
            self.calls = [*calls]

        def predict_on_batch(self, clip):
            self.calls.append(clip.shape[1])

        def settled(self):
            settled.append(self.calls)
            return Measuring(self.calls)

    for exact, before in ((False, [[16, 16]]), (True, [[], [8 * 16]])):
        monkeypatch.setattr(live_rgb, "models", {"rgb": Measuring()})
        watch = LiveClassifier(live_rgb, exact=exact)
        settled.clear()
        watch.settings.warm_up()
        assert settled == before
        assert watch.settings.models["rgb"] is not live_rgb.models["rgb"]


def test_bad_settings(live_rgb):
    with pytest.raises(ValueError, match="exact= waits as long as it takes"):
        LiveClassifier(live_rgb, exact=True, delay=1)
    with pytest.raises(ValueError, match="at least 1"):
        LiveClassifier(live_rgb, top=0)


def test_of_several_labels_those_above_their_thresholds_are_named(live_rgb, monkeypatch, tmp_path):
    (tmp_path / "x.ts").write_bytes(live_networks.film(16))
    monkeypatch.setattr(live_rgb, "activation", "sigmoid")
    monkeypatch.setattr(live_rgb, "thresholds", (0.01, 0.99, 0.01))
    (answer,) = LiveClassifier(live_rgb).answers(tmp_path / "x.ts")
    assert {each.index for each in answer.predictions} == {0, 2}
    assert answer.predictions[0].probability == pytest.approx(1 / (1 + np.exp(-answer.predictions[0].logit)))
