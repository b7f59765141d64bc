"""What a cheaper TV-L1 costs where it matters: in pixels, in 8-bit levels and in the answers of a flow network.

  python benchmarks/flow_quality.py --video=clip.mp4 [--videos=FOLDER --network=RUN] [--pairs=3] [--limit=0]

The flow of each quality is held against that of "opencv", the default, next to a measure of what nobody minds: the
default on the same video, decoded and encoded again by x264 (crf 23). Of --video a seeded full-size network of the flow
stream takes windows of 64 fields. Of --videos, a folder of classes as `records` takes it, the trained network of a run
names the class of each video.
"""

import io
import os
import pathlib
import time
from unittest import mock

import av
import numpy as np
from absl import app, flags

import keras_i3d
from keras_i3d import flow, video
from keras_i3d.flow import engine, pairs

_VIDEO = flags.DEFINE_string("video", None, "A real video, for the seeded network.")
_VIDEOS = flags.DEFINE_string("videos", None, "A folder with one folder of videos a class.")
_NETWORK = flags.DEFINE_string("network", None, "The folder of a run that was trained on flow.")
_PAIRS = flags.DEFINE_integer("pairs", 3, "Pairs of each video whose fields are compared.", lower_bound=1)
_LIMIT = flags.DEFINE_integer("limit", 0, "Take so many videos of the folder, spread evenly; 0 takes all.")
_WINDOW = flags.DEFINE_integer("window", 64, "Fields in a window of --video.", lower_bound=9)

AGAIN = "encoded again"


def encoded_again(path):
    """The bytes of an mp4 file with the frames of another video, by x264 as FFmpeg sets it."""
    target = io.BytesIO()
    with av.open(str(path)) as source, av.open(target, "w", format="mp4") as written:
        given = source.streams.video[0]
        made = written.add_stream("libx264", rate=given.average_rate, options={"crf": "23"})
        made.width, made.height, made.pix_fmt = given.width // 2 * 2, given.height // 2 * 2, "yuv420p"
        for number, frame in enumerate(source.decode(given)):
            plain = frame.reformat(width=made.width, height=made.height, format="yuv420p")
            plain.pts, plain.time_base = number, 1 / given.average_rate
            written.mux(made.encode(plain))
        written.mux(made.encode(None))
    return target.getvalue()


def sources(path):
    """{name: (video, quality)} of all that is compared, "opencv" first."""
    return {**{quality: (str(path), quality) for quality in flow.QUALITIES}, AGAIN: (encoded_again(path), "opencv")}


def computed_by(quality):
    """A context in which "tvl1" means that quality, for what takes no other setting."""
    return mock.patch.dict(pairs.METHODS, {"tvl1": lambda _: engine.pair_solver(flow.TVL1Params.of_quality(quality))})


class Table:
    """Rows of comparisons with "opencv"."""

    def __init__(self):
        self.apart, self.equal, self.logits, self.seconds = {}, {}, {}, {}

    def add_fields(self, name, fields, exact):
        levels = [np.rint((np.clip(f, -20, 20) + 20) * 255 / 40) for f in (fields, exact)]
        self.apart.setdefault(name, []).append(np.hypot(*np.moveaxis(fields - exact, -1, 0)).mean())
        self.equal.setdefault(name, []).append(np.mean(levels[0] == levels[1]))

    def print(self, title, truths=None):
        exact = np.stack(self.logits["opencv"])
        spread = exact.std(axis=1).mean()
        print(f"\n{title}: {len(exact)} clips; the logits of one clip spread by {spread:.4g} (standard deviation)")
        print("| flow | px apart | levels equal | logits move by | of their spread | top-1 changed | top-1 right | s |")
        print("|---|---|---|---|---|---|---|---|")
        for name, stack in self.logits.items():
            stack = np.stack(stack)
            moved = np.abs(stack - exact).mean()
            changed = np.sum(stack.argmax(1) != exact.argmax(1))
            right = "" if truths is None else f"{np.mean(stack.argmax(1) == truths):.3f}"
            print(
                f"| {name} | {np.mean(self.apart[name]):.4f} | {np.mean(self.equal[name]):.2%} | {moved:.4g} | "
                f"{moved / spread:.2%} | {changed} of {len(exact)} | {right} | {self.seconds[name]:.1f} |",
                flush=True,
            )


def seeded(path):
    """Windows of a video through a full-size network of fresh weights."""
    import keras

    keras.utils.set_random_seed(0)
    model = keras_i3d.I3D(weights=None, stream="flow", classes=400, classifier_activation=None)
    table, exact = Table(), None
    for name, (source, quality) in sources(path).items():
        frames = video.read(source)
        began = time.process_time()
        fields = flow.compute(frames, quality=quality)
        table.seconds[name] = time.process_time() - began
        exact = fields if exact is None else exact
        for at in np.linspace(0, len(exact) - 1, 8 * _PAIRS.value).astype(int):
            table.add_fields(name, fields[at], exact[at])
        top, left = ((side - 224) // 2 for side in fields.shape[1:3])
        cut = np.clip(fields[:, top : top + 224, left : left + 224], -20, 20) / 20
        starts = range(0, len(cut) - _WINDOW.value + 1, _WINDOW.value // 2)
        table.logits[name] = [model.predict_on_batch(cut[None, start : start + _WINDOW.value])[0] for start in starts]
    table.print(f"{os.path.basename(path)}, seeded I3D")


def trained(folder, network):
    """Every video of a folder through the network of a run."""
    classifier = keras_i3d.Classifier(flow=network)
    paths = sorted(pathlib.Path(folder).rglob("*.mp4"))
    if _LIMIT.value:
        paths = [paths[i] for i in np.linspace(0, len(paths) - 1, _LIMIT.value).astype(int)]
    table = Table()
    for path in paths:
        exact = None
        for name, (source, quality) in sources(path).items():
            began = time.process_time()
            with computed_by(quality):
                table.logits.setdefault(name, []).append(classifier(source).logits)
            table.seconds[name] = table.seconds.get(name, 0) + time.process_time() - began
            frames = video.read(source)
            chosen = np.linspace(0, len(frames) - 2, _PAIRS.value).astype(int)
            fields = np.stack([flow.compute(frames[at : at + 2], quality=quality)[0] for at in chosen])
            exact = fields if exact is None else exact
            table.add_fields(name, fields, exact)
    truths = np.array([classifier.labels.index(path.parent.name) for path in paths])
    table.print(f"{folder}, {network}", truths)


def main(argv):
    del argv
    if _VIDEO.value:
        seeded(_VIDEO.value)
    if _VIDEOS.value:
        trained(_VIDEOS.value, _NETWORK.value)


if __name__ == "__main__":
    app.run(main)
