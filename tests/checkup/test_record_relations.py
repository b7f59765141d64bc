"""Splits against each other, and against networks."""

import dataclasses

import numpy as np
import pytest
from made import sick, small_runs, tiny

from keras_i3d import networks
from keras_i3d.checkup import near_duplicates, network_fit, record_relations, record_sample
from keras_i3d.checkup.findings import look
from keras_i3d.specs import ClipSpec


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten(patch)
        yield patch


@pytest.fixture(scope="module")
def found(tmp_path_factory, patch):
    """The splits of healthy records."""
    folder = tmp_path_factory.mktemp("records")
    sick.records(folder, patch)
    sick.records(folder, patch, name="test", seed=50, videos=6)
    return record_sample.splits(folder)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, found, patch):
    """Healthy runs of each stream, whose first batch norm met these records."""
    folder, made = tmp_path_factory.mktemp("runs"), {}
    for stream in ("rgb", "flow"):
        clip = ClipSpec(stream, flow_bound=20.0)
        clips = [clip.prepared(c[:, :32, :32]) for c in record_sample.consecutive(found[-1], stream, 12, 1, 6)]
        made[stream] = networks.load(sick.run(folder / stream, stream, np.stack(clips)))
    return made


def examined(splits, network=None):
    return list(look("records", record_relations.CHECKS, splits, network))


@pytest.mark.parametrize("stream", ["rgb", "flow"])
def test_healthy_records_and_runs(stream, found, runs):
    said = examined(found, runs[stream])
    assert {finding.level for finding in said} == {"fine"}
    assert "comparing 6 of 6 clips of test with 9 of 9 of train" in sick.said(said, "records.duplicates").found
    fit = network_fit.measure(runs[stream], found[0])
    assert 0.5 < fit.factor < 2


def test_clips_of_both_splits_that_look_the_same(tmp_path, monkeypatch):
    spec = dataclasses.replace(sick.SPEC, flow_method=None)
    place = sick.records(tmp_path / "records", monkeypatch, spec=spec)
    # The same clips 2 to 5, a little brighter, compressed more, and under other ids.
    harder = dataclasses.replace(spec, quality=60)
    sick.records(
        tmp_path / "others",
        monkeypatch,
        name="test",
        seed=3,
        videos=4,
        spec=harder,
        turn=lambda frames: np.minimum(frames.astype("int16") + 4, 255).astype("uint8"),
    )
    splits = record_sample.splits(place) + record_sample.splits(tmp_path / "others")
    said = examined(splits)
    assert sick.wrong(said) == {"records.duplicates": "warning"}
    assert "4 pairs of clips look the same" in sick.said(said, "records.duplicates").found
    flat = near_duplicates.averaged(np.full((40, 50), 7.0), 8, 9)
    assert flat.shape == (8, 9)
    assert np.ptp(flat) == 0


def test_clips_of_one_room_are_no_duplicates():
    """The same background, and a thing of its own in each clip; what is compressed again is found."""
    draw = np.random.default_rng(0)
    room = draw.uniform(30, 220, (16, 16, 3)).astype("float32")

    def prints(places, noise=0.0):
        thumbs = np.stack([np.stack([room] * 3) for _ in places])
        for clip, way in zip(thumbs, places):
            for moment, (y, x) in enumerate(way):
                clip[moment, y : y + 2, x : x + 2] = 250
        thumbs += draw.normal(0, noise, thumbs.shape) if noise else 0
        bits = np.ones((len(places), near_duplicates.BITS), "float32")
        return near_duplicates.Prints(tuple(range(len(places))), bits, thumbs, len(places))

    walks = [((1, 1), (1, 5), (1, 9)), ((12, 2), (8, 2), (4, 2)), ((9, 9), (9, 11), (11, 11))]
    found = near_duplicates.pairs(prints(walks), prints(walks, noise=2.0))
    assert [(a, b) for a, b, _ in found] == [(0, 0), (1, 1), (2, 2)]
    still = [((3, 3),) * 3]
    assert len(near_duplicates.pairs(prints(still), prints(still))) == 1


def relabelled(network, labels):
    return dataclasses.replace(network, facts=dataclasses.replace(network.facts, labels=labels))


def test_labels_in_another_order_than_the_networks(found, runs):
    def examined(labels):
        return list(record_relations.against_labels(found, relabelled(runs["rgb"], labels)))

    said = examined(("right", "left", "up"))
    assert sick.wrong(said) == {"records.label_order": "fault"}
    assert "2 of 3 elsewhere: 0: 'left', in the network 'right'" in sick.said(said, "records.label_order").found
    said = examined(("left", "right", "jump"))
    assert "'up' in the place 2, and not 'jump'" in sick.said(said, "records.label_order").found
    said = examined(None)
    assert sick.said(said, "records.label_order").level == "note"


def test_splits_of_other_labels(found):
    other = dataclasses.replace(found[1], source=dataclasses.replace(found[1].source, labels=("up", "right", "left")))
    assert sick.wrong(record_relations.same_labels([found[0], other], None)) == {"records.labels": "fault"}


def test_clips_of_one_source_video(found):
    ids = [(("v_Jump_g01_c01.avi",),), (("v_Jump_g01_c02.avi",),)]
    splits = [dataclasses.replace(s, source=dataclasses.replace(s.source, ids=i)) for s, i in zip(found, ids)]
    (said,) = record_relations.shared_sources(splits, None)
    assert said.code == "records.shared_source"
    assert "v_Jump_g01_c01.avi and v_Jump_g01_c02.avi" in said.found


@pytest.mark.parametrize(
    ("changes", "code", "level"),
    [
        ({"crop": 64}, "records.size", "fault"),
        ({"fps": 12}, "records.fps", "warning"),
        ({"flow_method": "dis"}, "records.flow_method", "warning"),
    ],
)
def test_what_the_network_takes(changes, code, level, found, runs):
    network = dataclasses.replace(runs["flow"], clip=dataclasses.replace(runs["flow"].clip, **changes))
    assert sick.wrong(record_relations.against_clip(found, network)) == {code: level}


@pytest.mark.parametrize(
    ("stream", "factor", "shift"), [("rgb", 127.5, 127.5), pytest.param("flow", 20, 0, marks=pytest.mark.slow)]
)
def test_a_network_that_was_trained_on_numbers_of_another_range(stream, factor, shift, found, patch):
    clip = ClipSpec(stream, flow_bound=20.0)
    clips = [clip.prepared(c[:, :32, :32]) for c in record_sample.consecutive(found[-1], stream, 12, 1, 6)]
    model = small_runs.model(stream)
    sick.arrive(model, np.stack(clips) * factor + shift)
    network = networks.load(model)
    assert sick.wrong(record_relations.against_batch_norm(found, network)) == {"records.fit": "warning"}
