"""The network that is trained, and what this machine makes of it: some steps of training, some pairs of frames."""

import dataclasses
import time

import keras
import numpy as np

from keras_i3d import flow, recipe_files, runs, video
from keras_i3d.errors import VideoError, WeightsUnreachableError
from keras_i3d.flow.pairs import cores
from keras_i3d.learning.choices import Machine, Network
from keras_i3d.models import counting, families
from keras_i3d.models.family import without_memory
from keras_i3d.precision import policy
from keras_i3d.specs import BOTH, INPUT_CHANNELS, RecordSpec
from keras_i3d.training import step_memory, workers
from keras_i3d.training.compiling import compile_model
from keras_i3d.training.run import build
from keras_i3d.weights import registry, sources

CLIPS = {False: (4, 16, 112), True: (8, 32, 224)}  # clips, frames, pixels of a step that is measured; True: on a GPU
STEPS, SECONDS = 4, 6.0  # at most
STREAMS_OF_BOTH = ("rgb", "flow")
PAIRS, PIXELS = 6, 128  # of frames whose flow is measured, and their short side
# Settings of a recipe that a single step is measured without.
ALONE = {
    "passes": None,
    "steps": 10,
    "schedule": "steps",
    "boundaries": (),
    "rates": (),
    "final_rate": 0.0,
    "warmup_steps": 0,
    "unfreeze": (),
    "ema": None,
    "patience": None,
    "precise_bn": 0,
    "bn_momentum": 0.9,
    "accumulate": 1,
    "remat": False,
    "reference_batch": None,
}


def streams(asked):
    """Returns (name of the network, the streams that are trained, why these).

    Raises:
        ValueError: streams that the network, or its weights, do not have.
    """
    weights, own = asked.weights, None
    if weights is not None and not registry.is_name(weights):
        known = _of_path(weights, asked)
        family, own = asked.model or known.family, known.stream
    elif weights is not None and ":" in weights and asked.model is None:
        family = weights.partition(":")[0]
    else:
        family = asked.model or families.DEFAULT
    takes = tuple(families.find(family).clips)
    there = [stream for stream in takes if own in (None, stream) and _is_published(weights, family, stream)]
    wanted = {None: (), BOTH: (BOTH,) if BOTH in takes else STREAMS_OF_BOTH}.get(asked.stream, (asked.stream,))
    lacking = [stream for stream in wanted if stream not in takes]
    if lacking:
        raise ValueError(f"{family} takes the stream {' or '.join(takes)}. Received: stream={asked.stream!r}")
    if not set(wanted) <= set(there) or not there:
        of = f"of the stream {' and '.join(there)}" if there else f"for no stream of {family}"
        raise ValueError(
            f"The weights {weights} are {of}. Received: stream={asked.stream or 'both'}. Pass another stream=, other "
            "weights=, or weights=none."
        )
    if wanted:
        return family, wanted, "yours"
    found = (BOTH,) if BOTH in there else tuple(there)
    if len(found) > 1:
        return family, found, "each alone, then their sum: motion and looks tell different classes apart"
    return family, found, f"{family} takes it" if len(takes) == 1 else f"the weights {weights} are of it"


def width_of_weights(asked):
    """Returns the `depth_multiplier` of the weights that a run starts from."""
    if asked.weights is None or registry.is_name(asked.weights):
        return 1.0
    return _of_path(asked.weights, asked).depth_multiplier or 1.0


def _is_published(weights, family, stream):
    """Whether weights, unless they are a path, are for a stream."""
    if weights is None or not registry.is_name(weights):
        return True
    name = registry.whole_name(weights, [family])
    if name == registry.IMAGENET:
        return registry.has_imagenet(family) and stream in STREAMS_OF_BOTH
    try:
        registry.find(name, stream)
    except ValueError:
        return False
    return True


def _of_path(weights, asked):
    """The Facts of weights that a path names."""
    if runs.is_run(weights):
        return runs.read(weights).facts
    stream = asked.stream if asked.stream in INPUT_CHANNELS and asked.stream != BOTH else None
    return sources.find(weights, stream, wanted=[asked.model] if asked.model else ()).facts


def fetch(asked, family, chosen):
    """Fetches published weights of some streams, or finds them in the cache.

    Raises:
        WeightsError: they cannot be had, with a line that says what else can be done.
    """
    if asked.weights is None or not registry.is_name(asked.weights):
        return
    name = registry.whole_name(asked.weights, [family])
    for stream in chosen:
        try:
            sources.find(name, stream, wanted=[family], accept_licence=asked.accept_licence).read()
        except WeightsUnreachableError as error:
            raise WeightsUnreachableError(
                f"{error} Where they cannot be fetched: --weights=none starts without any, and takes more videos; or "
                "--weights=PATH."
            ) from error


def network(asked, family, chosen, width, name, why="", why_width=""):
    """Returns the Network that is trained: what it computes and keeps, without building it in memory.

    Args:
        asked: the Asked.
        family, chosen: its name, and its streams.
        width: its `depth_multiplier`.
        name: of the recipe.
        why, why_width: as of `Network`.
    """
    clips, frames, size = _probe(family, chosen[0], on_gpu=False)
    recipe = _recipe(asked, name, clips, frames, size, width)

    def count():
        row = families.find(family)
        shape = (frames, size, size, INPUT_CHANNELS[chosen[0]])
        model = row.build(
            input_shape=shape, stream=chosen[0], classes=2, classifier_activation=None, depth_multiplier=width
        )
        return counting.multiply_adds(model), step_memory.estimate(model, recipe)

    multiply_adds, memory = without_memory(lambda: _in(recipe.precision, count))  # a thread has its own policy
    volume = frames * size**2
    return Network(
        family=family,
        streams=tuple(chosen),
        width=width,
        multiply_adds=multiply_adds / volume,
        memory=(memory.kept + step_memory.BATCHES_AHEAD * memory.clip) / volume,
        weights=memory.weights + memory.base,
        why=why,
        why_width=why_width,
    )


def _in(precision, function):
    with policy(precision):
        return function()


def machine(asked, found, trained, name):
    """Measures what this machine can do: some steps of training on small clips, the flow of some frames.

    Args:
        asked: the Asked.
        found: the Survey, from which the frames are.
        trained: the Network.
        name: of the recipe.

    Returns:
        A Machine.
    """
    free, on_gpu = step_memory.devices_memory()
    start, step = _step(asked, trained, name, on_gpu)
    has_flow = not {"flow", BOTH}.isdisjoint(trained.streams)
    return Machine(
        name="this GPU" if on_gpu else f"{cores()} cores" if cores() > 1 else "one core",
        cores=cores(),
        memory=free,
        step=step,
        start=start,
        flow=_flow(found.example) if has_flow else 0.0,
    )


def _probe(family, stream, on_gpu):
    """(clips, frames, pixels) of a step that is measured."""
    row = families.find(family)
    clip, (clips, frames, size) = row.clips[stream], CLIPS[on_gpu]
    frames = max(min(frames, clip.frames or frames), row.min_frames)
    return clips, frames, max(min(size, clip.crop), row.min_size)


def _recipe(asked, name, clips, frames, size, width):
    """The Recipe of a step that is measured."""
    recipe = recipe_files.find(name).with_settings(dict(asked.settings))
    return dataclasses.replace(
        recipe,
        **ALONE,
        batch_size=clips,
        clip_frames=frames,
        frame_stride=1,
        size=size,
        depth_multiplier=width,
        precision=recipe.precision or workers.best_precision(),
    )


def _step(asked, trained, name, on_gpu):
    """Returns (seconds until a first step is done, seconds of a step for each multiply-add)."""
    clips, frames, size = _probe(trained.family, trained.streams[0], on_gpu)
    recipe = _recipe(asked, name, clips, frames, size, trained.width)
    stream = trained.streams[0]
    run = runs.Run(stream, ("one", "other"), RecordSpec(), recipe, family=trained.family)
    began = time.perf_counter()
    with policy(recipe.precision), workers.without_remapping():
        model = build(run)
        compile_model(model, recipe)
        x = np.zeros((clips, frames, size, size, INPUT_CHANNELS[stream]), "float32")
        x += np.linspace(-1, 1, size, dtype="float32")[:, None]
        y = np.arange(clips) % 2
        model.train_on_batch(x, y)
        first, done = time.perf_counter(), 0
        while done < STEPS and time.perf_counter() - first < SECONDS:
            model.train_on_batch(x, y)
            done += 1
        seconds = (time.perf_counter() - first) / done
    keras.utils.clear_session()
    return first - began, seconds / (clips * frames * size**2 * trained.multiply_adds)


def _flow(path):
    """Seconds of the flow of a pair of frames, for each pixel, on one core, from the first frames of a video."""
    try:
        frames = video.read(path, short_side=PIXELS, end=PAIRS / 25 + 0.02)
    except VideoError:  # the header alone was read before
        frames = np.zeros((1,))
    if len(frames) < 3:
        ramp = np.linspace(0, 255, 2 * PIXELS)[None, :] * np.linspace(0, 1, PIXELS)[:, None]
        frames = np.stack([np.roll(ramp, i, 1) for i in range(PAIRS)]).astype("uint8")
    flow.compute(frames[:2], workers=1)  # compiled
    began = time.perf_counter()
    flow.compute(frames, workers=1)
    return (time.perf_counter() - began) / (len(frames) - 1) / (frames.shape[1] * frames.shape[2])
