"""Published weights of other codes: from a host, or a user's file, to the original's logits."""

import dataclasses
import functools
import http.server
import re
import threading

import keras
import numpy as np
import pytest
from made import goldens, synthetic, torch_writer

import keras_i3d
from keras_i3d import builders, facts, networks
from keras_i3d.errors import WeightsError, WeightsUnreachableError
from keras_i3d.models import families
from keras_i3d.weights import cache, conversion, download, h5_files, published, registry, sources
from keras_i3d.weights.originals import original
from keras_i3d.weights.originals.catalogue import ORIGINALS

MC3, ANY = "torchvision_mc3_18", (None, None, None, 3)
NAME = ("MC318:kinetics", "rgb")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A file as torchvision publishes it, under the published name, with the weights of the golden."""
    entry = published.PUBLISHED[NAME]
    path = tmp_path_factory.mktemp("host") / entry.file.path
    arrays = {name: torch_writer.tensor(array) for name, array in goldens.arrays(goldens.case(MC3)).items()}
    path.write_bytes(torch_writer.zipped(arrays))
    return path


@pytest.fixture
def known(written, monkeypatch, tmp_path):
    """The registry, with that file's hash in place of the published one, and an empty cache."""
    entry = published.PUBLISHED[NAME]
    file = dataclasses.replace(entry.file, sha256=download.sha256(written)[:8])
    monkeypatch.setitem(published.PUBLISHED, NAME, dataclasses.replace(entry, file=file))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    return published.PUBLISHED[NAME]


def gives_the_golden(model):
    golden = goldens.case(MC3)
    logits = keras.Model(model.input, model.get_layer("Logits").output)
    return goldens.relative(np.asarray(logits(goldens.clip(golden), training=False))[0], golden["logits"]) < 1e-5


def test_by_name_from_a_mirror(known, written, monkeypatch, capsys):
    """File, converter, cached h5, model: the original's logits."""
    monkeypatch.setenv("KERAS_I3D_MIRROR", str(written.parent))
    model = keras_i3d.MC318(weights="kinetics", input_shape=ANY)
    assert gives_the_golden(model)
    noted = facts.of(model)
    assert (noted.family, noted.classes, noted.activation, noted.labels) == ("MC318", 400, "softmax", None)
    assert noted.clip == families.find("MC318").clips["rgb"]
    (cached,) = download.cache_folder().glob("*.weights.h5")
    monkeypatch.setenv("KERAS_I3D_MIRROR", "/nowhere")  # the cache is enough
    network = networks.load("MC318:kinetics", "rgb")  # as a verb names it
    assert network.clip.mean == (0.43216, 0.394666, 0.37645)
    assert gives_the_golden(network.model)
    assert download.sha256(written) in h5_files.facts_of(cached).source
    assert not list(download.cache_folder().glob("downloads/*"))


def test_by_path_of_the_users_own_copy(known, written, tmp_path, capsys):
    other = tmp_path / "copy-of-mine.bin"
    other.write_bytes(written.read_bytes())
    source = sources.find(other)
    assert (source.facts.family, source.facts.stream) == ("MC318", "rgb")
    assert "torchvision's copy-of-mine.bin, sha256" in source.facts.source
    assert gives_the_golden(keras_i3d.MC318(weights=other, input_shape=ANY))
    made = tmp_path / "made.weights.h5"
    conversion.convert_torch(other, made)
    assert gives_the_golden(networks.load(made, "rgb").model)
    with pytest.raises(WeightsError, match="holds weights of MC318; this model is R3D18"):
        keras_i3d.R3D18(weights=other)


def test_a_hash_tells_more_than_a_name(known, written, monkeypatch):
    """Of a file that is known by its hash, the network is: whatever its name, and whatever is wanted."""
    asked, find = [], original.find
    monkeypatch.setattr(original, "find", lambda *given: asked.append(given[3]) or find(*given))
    conversion.read_torch(written, ["R3D18"])
    monkeypatch.setattr(published, "identify", lambda *_: None)
    conversion.read_torch(written, ["R3D18"])
    assert asked == [["MC318"], ["R3D18"]]


def test_a_file_with_another_hash_is_not_taken(written, monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KERAS_I3D_MIRROR", str(written.parent))
    with pytest.raises(WeightsError, match=f"its sha256 is {download.sha256(written)} instead of a90a0ba3"):
        keras_i3d.MC318(weights="kinetics")
    assert not list((tmp_path / "home").rglob("*.weights.h5"))


def test_a_file_without_a_published_hash_is_known_the_second_time(known, written, monkeypatch, tmp_path, capsys):
    entry = dataclasses.replace(known, file=dataclasses.replace(known.file, sha256=None))
    monkeypatch.setenv("KERAS_I3D_MIRROR", str(written.parent))
    made = cache.published(entry)
    assert f"sha256 {download.sha256(written)} recorded" in capsys.readouterr().err
    made.unlink()
    again = tmp_path / "host" / entry.file.path
    again.parent.mkdir()
    arrays = goldens.arrays(goldens.case(MC3)) | {"fc.bias": np.zeros(400, "float32")}
    tensors = {name: torch_writer.tensor(array) for name, array in arrays.items()}
    again.write_bytes(torch_writer.zipped(tensors))
    monkeypatch.setenv("KERAS_I3D_MIRROR", str(again.parent))
    with pytest.raises(WeightsError, match="at first use it was"):
        cache.published(entry)


def test_weights_of_another_network_under_a_published_name(known, written, monkeypatch):
    monkeypatch.setenv("KERAS_I3D_MIRROR", str(written.parent))
    with pytest.raises(WeightsError, match="should be MC318 of 487 classes for rgb. Received: MC318 of 400"):
        cache.published(dataclasses.replace(known, classes=487))


def test_the_next_url_is_tried_when_a_host_is_gone(known, written, monkeypatch, capsys):
    monkeypatch.delenv("KERAS_I3D_MIRROR", raising=False)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=written.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"http://127.0.0.1:{server.server_port}"
        file = dataclasses.replace(known.file, host=f"{place}/gone", others=(f"{place}/{known.file.path}",))
        fetched = download.fetch(file, download.cache_folder() / "downloads")
        assert fetched.read_bytes() == written.read_bytes()
        said = capsys.readouterr().err
        assert "HTTP 404" in said
        assert "Trying the next place." in said
        fetched.unlink()
        with pytest.raises(WeightsUnreachableError, match="HTTP 404"):
            download.fetch(dataclasses.replace(file, others=(f"{place}/gone-too",)), fetched.parent)
        server.shutdown()


@pytest.mark.parametrize("way", [True, "CC-BY-NC-4.0", "environment"])
def test_a_licence_that_forbids_commerce_is_accepted(way, monkeypatch):
    monkeypatch.setattr(cache, "published", lambda *_: pytest.fail("fetched"))
    name = "I3DResNet50-nonlocal:kinetics"
    with pytest.raises(WeightsError, match="under CC-BY-NC-4.0, which forbids commercial use. Accept it by accept_lic"):
        sources.find(name, "rgb")
    with pytest.raises(WeightsError, match="forbids commercial use"):
        sources.find(name, "rgb", accept_licence="MIT")
    if way == "environment":
        monkeypatch.setenv(registry.ACCEPTED, "MIT CC-BY-NC-4.0")
        way = None
    found = sources.find(name, "rgb", accept_licence=way)
    assert (found.facts.family, found.facts.licence) == ("I3DResNet50-nonlocal", "CC-BY-NC-4.0")
    assert sources.find("R2Plus1D34:ig65m", "rgb").facts.licence == "MIT"


def test_entries_are_whole():
    """Each is of a row, under its builder's name, and some original's file is read as that row."""
    read = {each.family for each in ORIGINALS}
    for (name, stream), entry in published.PUBLISHED.items():
        row = families.find(entry.family)
        assert (name, stream) == (entry.weights, entry.stream)
        assert name.partition(":")[0] == row.name
        assert stream in row.clips
        assert entry.family in read, entry.family
        assert entry.facts.clip == dataclasses.replace(row.clips[stream], frames=entry.facts.clip.frames)
        said = re.search(r"clips of (\d+) frames", entry.trained_on)
        assert entry.facts.clip.frames == (int(said[1]) if said else row.clips[stream].frames), name
        assert all(url.startswith("https://") for url in entry.file.urls)
        assert not registry.is_name(name.partition(":")[2]) or name.partition(":")[2] in registry.WEIGHTS
    assert len({entry.name for entry in published.PUBLISHED.values()}) == len(published.PUBLISHED)


# Of mmaction2's C3D no fact is at hand.
UNCHECKED = {"C3D-ucf101-rgb"}


def figures():
    """(whose, top-1, top-5, protocol) of each published accuracy of rows and weights."""
    for row in families.FAMILIES.values():
        yield from ((row.name, *pair, row.protocol) for pair in row.accuracy.values())
    for entry in (*registry.CHECKPOINTS.values(), *published.PUBLISHED.values()):
        if entry.top1 is not None:
            yield entry.name, entry.top1, entry.top5, entry.protocol


def test_each_figure_says_its_source():
    found = list(figures())
    assert len(found) > 50
    for whose, _, _, protocol in found:
        assert re.search(r"\(.+\)$|as .+ (says|cites? it)", protocol), (whose, protocol)
        assert ("not checked" in protocol) == (whose in UNCHECKED), whose


def test_each_figure_is_a_fact_that_was_read(shared):
    """Pairs as pairs, up to rounding to a tenth."""
    files = [*shared.glob("facts/*.md"), shared / "goldens/family/README.md"]
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    pairs = [tuple(map(float, pair)) for pair in re.findall(r"(\d\d\.\d+) ?/ ?(\d\d(?:\.\d+)?)", text)]
    pairs += [tuple(map(float, pair)) for pair in re.findall(r"(\d\d\.\d+) ?\((\d\d\.\d+)\)", text)]
    numbers = {float(number) for number in re.findall(r"\d\d\.\d+", text)}
    for whose, top1, top5, _ in figures():
        if whose in UNCHECKED:
            continue
        if top5 is None:
            assert top1 in numbers, (whose, top1)
        else:
            assert any(abs(top1 - a) < 0.051 and abs(top5 - b) < 0.051 for a, b in pairs), (whose, top1, top5)


@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("slim_s3dg", "S3DG"),
        pytest.param("slim_s3d", "S3D-slim", marks=pytest.mark.slow),
        pytest.param("modelgarden_s3d", "S3DG-garden", marks=pytest.mark.slow),
        pytest.param("slim_i3d", "I3D", marks=pytest.mark.slow),
    ],
)
def test_a_tensorflow_checkpoint_by_path(name, network, tmp_path):
    """TF-Slim's and Model Garden's, next to what a training saves too."""
    golden = goldens.case(name)
    arrays = goldens.arrays(golden) | {"global_step": np.zeros(1, "int64")}
    synthetic.save(arrays, tmp_path / "model.ckpt")
    row = families.find(network)
    model = builders.build(row.of, weights=tmp_path / "model.ckpt", input_shape=ANY, **row.options)
    assert facts.of(model).family == network
    logits = keras.Model(model.input, model.get_layer("Logits").output)
    answer = np.asarray(logits(goldens.clip(golden), training=False))[0]
    assert goldens.relative(answer, golden["logits"]) < 1e-5


# Every network of which a file is read, by a golden: {golden: ending of the file}.
PATHS = {
    "torchvision_s3d": ".pth",
    "kylemin_s3d": ".pt",
    "milnce_s3dg": ".pth",
    "torchvision_r3d_18": ".pth",
    "torchvision_mc3_18": ".safetensors",
    "torchvision_r2plus1d_18": ".pth",
    "ig65m_r2plus1d_34": ".pth",
    "mmaction2_c3d": ".npz",
    "piergiaj_i3d": ".pt",
    "piergiaj_i3d_flow": ".pt",
    "hassony2_i3d": ".pth",
    "hassony2_i3d_flow": ".pth",
    "pytorchvideo_i3d_r50_8x8": ".pyth",
    "slowfast_i3d_r50_8x8": ".pyth",
    "slowfast_i3d_nln_r50_8x8": ".pyth",
    "tusharn_i3res50": ".pt",
    "tusharn_i3res50_nl": ".pt",
    "gluon_i3d_resnet50": ".params",
    "gluon_i3d_nl5_resnet50": ".params",
    "gluon_i3d_nl10_resnet50": ".params",
    "gluon_i3d_resnet101": ".params",
    "gluon_i3d_nl5_resnet101": ".params",
    "mmaction2_i3d_r50": ".pth",
    "mmaction2_i3d_r50_heavy": ".pth",
    "mmaction2_i3d_r50_nl_embedded_gaussian": ".pth",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PATHS)
def test_from_the_originals_file_by_the_converter_to_its_logits(name, tmp_path, record_property):
    golden, path, made = goldens.case(name), tmp_path / f"{name}{PATHS[name]}", tmp_path / "made.weights.h5"
    arrays = goldens.arrays(golden)
    if path.suffix == ".safetensors":
        path.write_bytes(torch_writer.safetensors(arrays))
    elif path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".params":
        path.write_bytes(torch_writer.params(arrays))
    else:
        tensors = {each: torch_writer.tensor(array) for each, array in arrays.items()}
        path.write_bytes(torch_writer.zipped({"model_state": tensors} if path.suffix == ".pyth" else tensors))
    known = conversion.convert_torch(path, made)
    network = networks.load(made)
    assert network.facts.family == known.family
    answer = np.asarray(network.to_logits()(goldens.clip(golden), training=False))[0]
    wanted = np.float64(golden.get("logits") or golden["video_embedding"])
    if "logits_shape" in golden:  # (1, classes, steps): a code that gives the logits of each step
        wanted = wanted.reshape(golden["logits_shape"])[0].mean(axis=-1)
    error = goldens.relative(answer, wanted)
    record_property("relative error of the logits", f"{known.family}: {error:.1e}")
    assert error < 1e-5
