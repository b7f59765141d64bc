"""Fixtures: a cache of the test's own, synthetic checkpoints, a repository that can misbehave."""

import dataclasses
import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest  # noqa: E402
import synthetic  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache folder; no test reads or writes the user's."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras_home"))
    monkeypatch.delenv("KERAS_I3D_MIRROR", raising=False)
    return tmp_path / "keras_home" / "keras_i3d"


@pytest.fixture(scope="session")
def shared():
    """The folder of large and licensed material that lies beside the checkout, where there is one."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs ../shared, which is not here")
    return folder


@pytest.fixture(scope="session")
def goldens():
    return {case["name"]: case for case in json.loads((ROOT / "tests/goldens/i3d_logits.json").read_text())}


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory, goldens):
    """{golden's name: prefix of its seeded checkpoint}."""
    folder = tmp_path_factory.mktemp("checkpoints")
    prefixes = {}
    for name, case in goldens.items():
        stream = "rgb" if case["channels"] == 3 else "flow"
        scope = "" if case["kin600"] else synthetic.SCOPES[stream]
        layers = synthetic.i3d_shapes(stream, case["num_classes"])
        shapes = synthetic.sonnet_shapes(layers, scope, case["kin600"])
        prefixes[name] = synthetic.write(shapes, case["weights_seed"], folder / name / "model.ckpt")
    return prefixes


@pytest.fixture(scope="session")
def mirror(tmp_path_factory, checkpoints):
    """A folder laid out as the original repository, with synthetic checkpoints and labels."""
    from keras_i3d import registry

    folder = tmp_path_factory.mktemp("mirror")
    entries = {("kinetics", "rgb"): "rgb_t16", ("kinetics", "flow"): "flow_t12", ("kinetics600", "rgb"): "kin600_t9"}
    for key, golden in entries.items():
        entry = registry.CHECKPOINTS[key]
        for remote, suffix in ((entry.index, ".index"), (entry.data, ".data-00000-of-00001")):
            path = folder / remote.path
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(checkpoints[golden] + suffix, path)
    for labels in registry.LABELS.values():
        path = folder / labels.file.path
        path.write_text("".join(f"label {i}\n" for i in range(labels.classes)))
    return folder


@pytest.fixture
def repository(mirror, monkeypatch):
    """The mirror in use, with the registry's sizes and hashes those of its files."""
    from keras_i3d import registry

    register(mirror, registry, monkeypatch.setitem)
    monkeypatch.setenv("KERAS_I3D_MIRROR", str(mirror))
    return mirror


def register(mirror, registry, setitem):
    """Puts the hashes of a mirror's files in place of the published ones."""
    from keras_i3d.download import git_blob

    def hashed(remote):
        path = mirror / remote.path
        return dataclasses.replace(remote, bytes=path.stat().st_size, git_blob=git_blob(path))

    for key, entry in list(registry.CHECKPOINTS.items()):
        if (mirror / entry.index.path).exists():
            changed = dataclasses.replace(entry, index=hashed(entry.index), data=hashed(entry.data))
            setitem(registry.CHECKPOINTS, key, changed)
    for key, entry in list(registry.LABELS.items()):
        setitem(registry.LABELS, key, dataclasses.replace(entry, file=hashed(entry.file)))
