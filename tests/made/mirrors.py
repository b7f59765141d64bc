"""The original repository in small: a folder laid out as it is, that stands for the published one."""

import dataclasses
import os

NARROW = 0.1  # the width of a network whose numbers do not matter


def mirror(folder, prefixes):
    from keras_i3d.weights import registry

    for key, prefix in prefixes.items():
        entry = registry.CHECKPOINTS[key]
        for remote, suffix in ((entry.index, ".index"), (entry.file, ".data-00000-of-00001")):
            path = folder / remote.path
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(prefix + suffix, path)
    for labels in registry.LABELS.values():
        path = folder / labels.file.path
        path.write_text("".join(f"label {i}\n" for i in range(labels.classes)))
    return folder


def use(mirror, monkeypatch):
    from keras_i3d.weights import registry

    register(mirror, registry, monkeypatch.setitem)
    monkeypatch.setenv("KERAS_I3D_MIRROR", str(mirror))
    return mirror


def narrow(setitem=dict.__setitem__, endpoints=None):
    """Puts a network a tenth as wide in the place of I3D, so that everything that builds one builds a small one.

    `endpoints` are those that are left of it; by default all.
    """
    from keras_i3d.models import families, inception

    def scaled(setting):
        return max(8, round(setting * NARROW)) if isinstance(setting, int) else setting

    table = tuple((name, kind, *map(scaled, settings)) for name, kind, *settings in inception.LAYERS)
    table = tuple(row for row in table if endpoints is None or row[0] in endpoints)
    setitem(families.FAMILIES, "I3D", inception.rows(table)[0])


def register(mirror, registry, setitem):
    """Puts the hashes of a mirror's files in place of the published ones."""
    from keras_i3d.weights.download import git_blob

    def hashed(remote):
        path = mirror / remote.path
        return dataclasses.replace(remote, bytes=path.stat().st_size, git_blob=git_blob(path))

    for key, entry in list(registry.CHECKPOINTS.items()):
        if (mirror / entry.index.path).exists():
            changed = dataclasses.replace(entry, index=hashed(entry.index), file=hashed(entry.file))
            setitem(registry.CHECKPOINTS, key, changed)
    for key, entry in list(registry.LABELS.items()):
        setitem(registry.LABELS, key, dataclasses.replace(entry, file=hashed(entry.file)))
    for stream, remote in list(registry.SAMPLE.items()):
        if (mirror / remote.path).exists():
            setitem(registry.SAMPLE, stream, hashed(remote))
