"""What a doctor looks at: healthy videos, records and runs, and the same with one thing wrong."""

import io

import numpy as np

from keras_i3d.flow import pairs
from keras_i3d.records import sequence_example
from keras_i3d.specs import RecordSpec
from made import films, small_records, small_runs

SPEC = RecordSpec(short_side=40)


def moving(frames=80, height=64, width=80, step=1):
    """Pictures of one texture of many colours that moves to the right."""
    import tensorflow as tf

    coarse = np.random.default_rng(4).uniform(20, 235, (8, 10, 3))
    coarse = np.concatenate([coarse, coarse[:, :1]], axis=1)  # it begins again where it ends
    scene = tf.image.resize(coarse, (height, width)).numpy().astype("uint8")
    return [np.roll(scene, step * i, axis=1) for i in range(frames)]


def video(path, pictures=None, **settings):
    """Writes a video; returns its path as text."""
    usual = {"codec": "libx264", "options": {"crf": "20"}}
    path.write_bytes(films.film(moving() if pictures is None else pictures, **{**usual, **settings}))
    return str(path)


def records(folder, monkeypatch, name="train", videos=9, seed=0, turn=None, field=None, **settings):
    """Writes a split of textures that move, their frames through `turn` and their fields through `field`, if given."""
    usual = {"shards": 1, "spec": SPEC, **settings}
    with monkeypatch.context() as patch:
        whole = small_records.clip
        if turn:
            patch.setattr(small_records, "clip", lambda *given, **named: turn(whole(*given, **named)))
        if field:
            patch.setattr(sequence_example, "stream", lambda *given, **named: map(field, pairs.stream(*given, **named)))
        small_records.split(folder, name, videos, seed, **usual)
    return str(folder)


def run(folder, stream="rgb", clips=None, log=None, **settings):
    """Writes a run whose batch norms met clips as `ClipSpec.prepared` gives them; returns its folder as text.

    Args:
        clips: float32 (N, T, H, W, C); by default of the values that such clips have.
        log: rows of its log.csv without the header, in the place of healthy ones.
    """
    small_runs.run(folder, stream, network=False, spec={"flow_method": "tvl1"}, **settings)
    labels = settings.get("labels", small_runs.LABELS)
    network = small_runs.model(stream, classes=len(labels))
    arrive(network, clips)
    network.save(folder / "model.keras")
    if log is not None:
        header = (folder / "log.csv").read_text().splitlines()[0]
        (folder / "log.csv").write_text("\n".join([header, *log]) + "\n")
    return str(folder)


def arrive(network, clips=None):
    """Gives batch norms statistics: the first one those of clips, the others some."""
    import keras

    if clips is None:
        clips = [small_records.clip(i, motion)[:, :32, :32] for i, motion in enumerate(small_records.MOTIONS)]
        clips = (np.stack(clips)[..., : network.input_shape[-1]] / 127.5 - 1).astype("float32")
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    met = np.asarray(keras.Model(network.input, norms[0].input)(clips)).reshape(-1, norms[0].input.shape[-1])
    norms[0].moving_mean.assign(met.mean(0))
    norms[0].moving_variance.assign(met.var(0) + 1e-4)
    for layer in norms[1:]:
        layer.moving_mean.assign(np.full(layer.moving_mean.shape, 0.3))
        layer.moving_variance.assign(np.full(layer.moving_variance.shape, 2.0))


def wrong(found):
    """{code: level} of the Findings that are warnings or faults; what else is said of each is there too."""
    found = [finding for finding in found if finding.level in ("warning", "fault")]
    for finding in found:
        assert finding.remedy, finding
        assert finding.why, finding
    return {finding.code: finding.level for finding in found}


def said(found, code):
    """The only Finding of a code."""
    (finding,) = [finding for finding in found if finding.code == code]
    return finding


def damaged_copy(content, at):
    """The bytes of a file of which one is another."""
    buffer = io.BytesIO(content)
    buffer.seek(at)
    buffer.write(bytes([content[at] ^ 1]))
    return buffer.getvalue()
