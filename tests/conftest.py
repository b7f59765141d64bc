"""Fixtures: a cache of the test's own, synthetic checkpoints, a repository that can misbehave."""

import importlib
import json
import os
import types

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_I3D_RUNTIME", "tensorflow")  # nothing is measured where OpenVINO is installed

import pytest  # noqa: E402
from made import ROOT, mirrors, synthetic  # noqa: E402

# The files that take longest, about in this order.
LONGEST = (
    "models/test_contract.py",
    "test_facts.py",
    "training/test_workers.py",
    "training/test_run.py",
    "training/test_heads.py",
    "weights/test_sources.py",
    "evaluation/test_evaluation.py",
    "export/test_saving.py",
    "export/test_serving.py",
    "export/test_signatures.py",
    "test_kills.py",
    "inference/test_classifier.py",
    "training/test_averaging.py",
    "data/test_mixed.py",
    "training/test_resuming.py",
    "training/test_faster_step.py",
    "test_package.py",
    "cli/test_cli.py",
    "cli/test_failures.py",
    "export/test_serving_consumers.py",
    "data/test_pipeline.py",
    "records/test_building.py",
    "weights/test_conversion.py",
    "weights/test_hostile_files.py",
    "models/test_resnet.py",
    "models/test_s3d.py",
    "models/test_baselines.py",
)


def pytest_collection_modifyitems(config, items):
    """Where several processes share the files, the longest come first: none waits for a long one at the end."""
    if hasattr(config, "workerinput"):
        places = {f"tests/{name}": place for place, name in enumerate(LONGEST)}
        items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(places)))


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
def full_mirror(tmp_path_factory, checkpoints):
    """A folder laid out as the original repository, with the goldens' checkpoints and made-up labels."""
    goldens = {("kinetics", "rgb"): "rgb_t16", ("kinetics", "flow"): "flow_t12", ("kinetics600", "rgb"): "kin600_t9"}
    prefixes = {key: checkpoints[name] for key, name in goldens.items()}
    return mirrors.mirror(tmp_path_factory.mktemp("full_mirror"), prefixes)


@pytest.fixture(scope="session")
def narrow_mirror(tmp_path_factory):
    """The same for the network that `narrow` leaves, a hundredth of the bytes."""
    from keras_i3d.weights import registry

    folder = tmp_path_factory.mktemp("narrow_checkpoints")
    prefixes = {}
    for key, entry in registry.CHECKPOINTS.items():
        kin600 = entry.weights == "kinetics600"
        shapes = synthetic.i3d_shapes(entry.stream, entry.classes, mirrors.NARROW)
        shapes = synthetic.sonnet_shapes(shapes, "" if kin600 else synthetic.SCOPES[entry.stream], kin600)
        prefixes[key] = synthetic.write(shapes, 5, folder / entry.name / "model.ckpt")
    return mirrors.mirror(tmp_path_factory.mktemp("narrow_mirror"), prefixes)


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """`.runs` {stream: folder}, tiny; `.folder`, their export, whose version 1 takes clips of any length.

    Made once, by whichever process of a test run needs it first; nobody writes there.
    """
    import filelock
    from made import small_exports

    from keras_i3d import export

    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "exported"
    with filelock.FileLock(f"{folder}.lock"):
        if not (folder / "i3d/1").exists():
            with small_exports.small():
                export.saved_model(folder / "i3d", 1, **small_exports.write_runs(folder), frames=0)
    return types.SimpleNamespace(folder=folder / "i3d", runs={stream: folder / stream for stream in ("rgb", "flow")})


@pytest.fixture(scope="session")
def live_runs(tmp_path_factory):
    """{stream: folder of a tiny run}, for tests of live video; nobody writes there."""
    from made import live_networks

    return live_networks.runs(tmp_path_factory.mktemp("live_runs"))


@pytest.fixture(scope="session")
def live_both(live_runs):
    from made import live_networks

    return live_networks.classifier(live_runs)


@pytest.fixture(scope="session")
def live_rgb(live_runs):
    from made import live_networks

    return live_networks.classifier({"rgb": live_runs["rgb"]})


@pytest.fixture(scope="session")
def tool():
    """Imports a script of tools/ by its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tools"))
        yield importlib.import_module


@pytest.fixture(scope="session")
def client():
    """What `keras-i3d ask` asks by."""
    from keras_i3d import client

    return client


@pytest.fixture
def full_repository(full_mirror, monkeypatch):
    """The full-size mirror in use, with the registry's sizes and hashes those of its files."""
    return mirrors.use(full_mirror, monkeypatch)


@pytest.fixture
def repository(narrow_mirror, monkeypatch):
    """The narrow mirror in use, and every I3D built as narrow: for what does not depend on the width."""
    mirrors.narrow(monkeypatch.setitem)
    return mirrors.use(narrow_mirror, monkeypatch)
