"""A mirror in small of all that `verify` fetches, and values of its own in the place of the published ones."""

import dataclasses
import shutil

import numpy as np

from made import mirrors, synthetic, tiny

SHAPES = {"rgb": (1, 12, 32, 32, 3), "flow": (1, 12, 32, 32, 2)}
KEYS = (("kinetics", "rgb"), ("kinetics", "flow"), ("kinetics-scratch", "rgb"))


def write(folder, patch):
    """Writes a mirror and returns the values that a sound installation gives of it: {"ANSWERS", "DISTANCES"}."""
    from keras_i3d.models import families
    from keras_i3d.weights import registry

    mirrors.narrow(patch.setitem, tiny.ENDPOINTS)
    prefixes = {}
    for seed, key in enumerate(KEYS, 3):
        entry = registry.CHECKPOINTS[key]
        shapes = families.find("I3D").layout(stream=entry.stream, classes=400)
        shapes = synthetic.sonnet_shapes(shapes, synthetic.SCOPES[entry.stream])
        prefixes[key] = synthetic.write(shapes, seed, folder.with_name("checkpoints") / entry.name / "model.ckpt")
    mirrors.mirror(folder, prefixes)
    for stream, shape in SHAPES.items():
        save_sample(folder, stream, synthetic.clip(shape, len(stream)))
    use(folder, patch)
    return expected()


def use(folder, patch):
    """Puts the mirror in use, its files' hashes in the place of the published ones."""
    from keras_i3d.verification import published_values

    mirrors.narrow(patch.setitem, tiny.ENDPOINTS)
    mirrors.use(folder, patch)
    patch.setattr(published_values, "SHAPES", SHAPES)


def save_sample(folder, stream, array):
    from keras_i3d.weights import registry

    np.save(folder / registry.SAMPLE[stream].path, array)


def expected():
    """By Keras alone, and by the formulas that the published code has."""
    from keras_i3d import networks
    from keras_i3d.verification import published_values
    from keras_i3d.weights.labels import read_labels

    labels, logits = read_labels("kinetics400"), {}
    for stream, shape in SHAPES.items():
        model = networks.load("kinetics", stream, "float32").to_logits()
        logits[stream] = np.float64(model(synthetic.clip(shape, len(stream)), training=False))[0]
    logits["sum"] = logits["rgb"] + logits["flow"]
    answers = {}
    for name, row in logits.items():
        shares = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
        top = [(labels[i], float(row[i]), float(shares[i])) for i in np.argsort(-row)[:5]]
        answers[name] = published_values.Answer(float(np.sqrt((row**2).sum())), tuple(top))
    model = networks.load("kinetics-scratch", "rgb", "float32").to_logits()
    rows = [
        np.float64(model(np.random.RandomState(seed).rand(12, 9, 32, 32, 3).astype("float32"), training=False))
        for seed in (1, 2)
    ]
    noise, solid = (dataclasses.replace(published_values.DISTANCES[i], tolerance=1e-4) for i in (0, 2))
    noise = dataclasses.replace(noise, value=_distance(*rows), clips=12, frames=9, size=32)
    black, white = (
        np.float64(model(np.full((1, 10, 224, 224, 3), value, "float32"), training=False))[0] for value in (-1, 1)
    )
    value = float(((black - white) ** 2).sum())  # of equal rows there is no covariance
    solid = dataclasses.replace(solid, name="fvd.solid", value=value, clips=2, frames=10)
    return {"ANSWERS": answers, "DISTANCES": (noise, solid)}


def _distance(a, b):
    """By the eigenvalues of the product, which 12 rows of 400 leave nearly all at zero."""
    means = ((a.mean(0) - b.mean(0)) ** 2).sum()
    # Roots of C1 C2 without their null space: singular values of the product of the centred rows.
    centred = [(each - each.mean(0)) / np.sqrt(len(each) - 1) for each in (a, b)]
    roots = np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum()
    return float(means + sum((each**2).sum() for each in centred) - 2 * roots)


def copied(folder, to):
    """A copy of a mirror that a test may spoil."""
    return shutil.copytree(folder, to)
