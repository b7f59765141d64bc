"""The page of wrong videos: which, in which order, their files, their neighbours, and nothing half-written."""

import base64
import dataclasses
import hashlib
import html.parser
import pathlib
import re
import shutil
import subprocess
import types

import keras
import numpy as np
import pytest
from made import small_records, small_runs

from keras_i3d import runs, video
from keras_i3d.data import pipeline, record_files
from keras_i3d.evaluation import evaluate, measuring, nearest_videos, prediction_browser, record_clips, rescore
from keras_i3d.models.inception import HEAD
from keras_i3d.probabilities import softmax
from keras_i3d.records import sequence_example

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """A glob of records."""
    return small_records.split(tmp_path_factory.mktemp("browser"), "test", 6)


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """Another one."""
    return small_records.split(tmp_path_factory.mktemp("browser_training"), "train", 7, seed=3, shards=1)


@pytest.fixture(scope="module")
def out(split, tmp_path_factory):
    """(what came of it, the folder), with parents."""
    pytest.importorskip("matplotlib", reason="the report needs matplotlib")
    folder = tmp_path_factory.mktemp("browser_out")
    (folder / "parents.csv").write_text("label,parent\nleft,sideways\nright,sideways\nup,<i>\n")
    runs = {stream: small_runs.run(folder / stream, stream, network=False) for stream in ("rgb", "flow")}
    for stream, run in runs.items():
        small_runs.small(stream).save(run / "model.keras")
    runs = {stream: str(run) for stream, run in runs.items()}
    found = evaluate(split, **runs, output=folder / "out", parents=folder / "parents.csv")
    return found, folder / "out"


@pytest.fixture(scope="module")
def near(out, training, tmp_path_factory):
    """The folder of the page with neighbours, made of the scores."""
    folder = tmp_path_factory.mktemp("browser_near")
    rescore(out[1] / "scores.npz", output=folder, parents=out[1].parent / "parents.csv", neighbours=training)
    return folder


def test_which_and_in_which_order(out):
    found, _ = out
    wrong = prediction_browser.wrong_videos(found)
    named, shares = found.fused.argmax(axis=1), softmax(found.fused)
    assert {each.row for each in wrong} == set(np.flatnonzero(named != found.scores.y).tolist())
    assert 2 <= len(wrong) < 7
    sure = [each.conviction for each in wrong]
    assert sure == sorted(sure, reverse=True)
    assert sure[0] == pytest.approx(shares[wrong[0].row, named[wrong[0].row]])
    distances = dataclasses.replace(found, fusion="linear SVM")
    lead = prediction_browser.wrong_videos(distances)[0]
    row = found.fused[lead.row]
    assert lead.conviction == pytest.approx(row.max() - row[found.scores.y[lead.row]])


class Page(html.parser.HTMLParser):
    """The tags of a page, with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def all(self, tag, name):
        return [attributes.get(name) for found, attributes in self.tags if found == tag]


def test_the_page_and_its_videos(out):
    found, folder = out
    text = (folder / "wrong.html").read_text()
    page, wrong = Page(text), prediction_browser.wrong_videos(found)
    ids = [found.scores.ids[each.row] for each in wrong]
    sources = page.all("video", "src")
    assert sources == [f"wrong_videos/{record_clips.name(id)}" for id in ids]
    assert {path.name for path in (folder / "wrong_videos").iterdir()} == {each.split("/")[1] for each in sources}
    assert page.all("article", "data-named") == [str(each.named) for each in wrong]
    assert "6 videos were named wrongly, sorted by the probability of the wrong label" in text
    assert f"taken for <b>{found.scores.labels[wrong[0].named]}</b> <em>{wrong[0].conviction:.1%}</em>" in text
    assert not re.search(r"https?:|<link|@import|url\(|<i>", re.sub(r"<i>taken for</i>|<i style", "", text))
    # Each answer is a cell of its own, and may come below another one: three next to each other stood out of the card.
    assert re.findall(r"<div>\s*<h4>(\w+)</h4>", text) == ["rgb", "flow", "fused"] * len(wrong)


def test_a_video_of_the_page_is_the_record(out, split):
    found, folder = out
    id = found.scores.ids[prediction_browser.wrong_videos(found)[0].row]
    (_, record), *_ = record_clips.read(record_files.find(split), [id])
    clip = sequence_example.decode(record)
    frames = video.read(folder / "wrong_videos" / record_clips.name(id), fps=None, short_side=None)
    width = record_clips.WIDTH
    assert frames.shape[0] == len(clip["flow"])
    assert frames.shape[2] == 2 * width
    small = frames[0][:, :width].astype(float).mean(axis=(0, 1))
    np.testing.assert_allclose(small, clip["rgb"][0].mean(axis=(0, 1)), atol=6)


def test_one_script_alone_may_run(out):
    text = (out[1] / "wrong.html").read_text()
    policy = Page(text).all("meta", "content")[1]
    script = re.search("<script>(.*)</script>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; ")
    assert f"; script-src 'sha256-{digest}'; media-src 'self' file:; " in policy
    assert text.count("<script") == 1


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_script_shows_what_is_asked_for(out):
    """In a browser, under the page's policy."""
    found, folder = out
    wrong = prediction_browser.wrong_videos(found)
    first = int(found.scores.y[wrong[0].row]), wrong[0].named
    same = sum((int(found.scores.y[each.row]), each.named) == first for each in wrong)
    for asked, shown in (("", len(wrong)), (f"#true={first[0]}&named={first[1]}", same)):
        address = (folder / "wrong.html").as_uri() + asked
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", address]
        text = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120, check=True).stdout
        assert f">{shown} of {len(wrong)} shown</output>" in text
        assert " controls" not in text.partition("<script>")[0]
        assert text.count("<article") - len(re.findall(r"<article[^>]* hidden", text)) == shown


def test_confusions_by_parent(out):
    found, folder = out
    text = (folder / "wrong.html").read_text()
    named = found.fused.argmax(axis=1)
    parent = np.array([0, 0, 1])  # sideways, up's
    for group, name in ((0, "sideways"), (1, "&lt;i&gt;")):
        wrong = (named != found.scores.y) & (parent[found.scores.y] == group)
        within = int((wrong & (parent[named] == group)).sum())
        said = f"<b>{name}</b> {wrong.sum()} of {(parent[found.scores.y] == group).sum()} wrong: {within} taken"
        assert (said in text) == bool(wrong.any())
    assert '<optgroup label="sideways">' in text


class Fake:
    """A Stream whose features are given: {source: {id: (class, features)}}."""

    def __init__(self, name, features):
        self.name, self.features = name, features

    def pooled(self, source, progress=False):
        name = getattr(source, "name", source)
        yield from ((id, y, np.float64(row)) for id, (y, row) in self.features[name].items())


def test_nearest_by_hand():
    """The mean of the cosines of two streams; never the video itself; what a stream lacks is left out."""
    training = types.SimpleNamespace(name="training", labels=("cat", "dog"))
    one = {
        "wrong": {"w": (0, [3, 0]), "lost": (0, [1, 1])},
        "training": {"a": (0, [2, 0]), "b": (1, [0, 5]), "c": (1, [1, 1]), "w": (0, [3, 0]), "z": (0, [1, 0])},
    }
    two = {
        "wrong": {"w": (0, [0, 0, 2])},
        "training": {"a": (0, [0, 1, 1]), "b": (1, [0, 0, 9]), "c": (1, [0, 0, 1]), "w": (0, [0, 0, 2])},
    }
    found = nearest_videos.nearest([Fake("rgb", one), Fake("flow", two)], "wrong", training, count=2, own={"w"})
    assert list(found) == ["w"]
    root = 0.5**0.5
    assert [(each.id, each.label) for each in found["w"]] == [("a", "cat"), ("c", "dog")]
    np.testing.assert_allclose([each.likeness for each in found["w"]], [(1 + root) / 2, (root + 1) / 2], rtol=1e-6)
    assert nearest_videos.nearest([Fake("rgb", {**one, "wrong": {}})], "wrong", training) == {}
    # Another video of the same name, as of another split, is the nearest, and the page has to show it.
    assert [each.id for each in nearest_videos.nearest([Fake("rgb", one)], "wrong", training)["w"]] == ["a", "w", "z"]


def test_only_records_of_the_same_files_are_the_videos_themselves(tmp_path):
    def source(**files):
        return record_files.Source(tuple(files), tuple(files.values()), (None,) * len(files))

    (tmp_path / "test").touch()
    (tmp_path / "linked").symlink_to(tmp_path / "test")
    ours = record_files.Source((str(tmp_path / "test"), "other"), (("a", "b"), ("c",)), (None, None))
    assert prediction_browser._in_both(ours, source(train=("a", "c"))) == set()
    assert prediction_browser._in_both(ours, source(**{str(tmp_path / "linked"): ("a", "b")})) == {"a", "b"}


@pytest.mark.slow
def test_neighbours_are_the_nearest_by_what_the_head_reads(out, split, training, near):
    """Against a loop of Keras's own over every record."""
    found, _ = out
    cosines = 0.0
    wrong = [found.scores.ids[each.row] for each in prediction_browser.wrong_videos(found)]
    for stream, run in found.scores.models.items():
        ours = {id: row for id, row in _features(stream, run, split) if id in wrong}
        theirs = dict(_features(stream, run, training))
        unit = [np.stack([row / np.linalg.norm(row) for row in each]) for each in (ours.values(), theirs.values())]
        cosines = cosines + unit[0] @ unit[1].T / 2
    text = (near / "wrong.html").read_text()
    sources = Page(text).all("video", "src")
    assert {path.name for path in (near / "wrong_videos").iterdir()} == {each.split("/")[1] for each in sources}
    for id, row in zip(ours, cosines):
        best = np.argsort(-row)[: nearest_videos.COUNT]
        card = text[text.index(f'<p class="note">{id}</p>') :].partition("</article>")[0]
        assert re.findall(r'<p class="note">(train/\d+\.mp4)</p>', card) == [list(theirs)[i] for i in best]
        assert re.findall(r"<em>(-?\d\.\d{4})</em>", card) == [f"{row[i]:.4f}" for i in best]


def _features(stream, run, records):
    """Yields (id, what the head reads of the whole video, averaged)."""
    model = runs.load_model(pathlib.Path(run).parent)
    model = keras.Model(model.input, model.get_layer(HEAD).input)
    for x, _, id in pipeline.load(records, stream=stream, clip_frames=None, size=32, with_ids=True).as_numpy_iterator():
        yield id[0].decode(), model(x, training=False).numpy().mean(axis=(0, 1, 2, 3))


def browse(scores, folder, **settings):
    """Writes the page of scores alone, without the rest of an evaluation."""
    result = measuring.measured(scores)
    return prediction_browser.write(result, folder, prediction_browser.Browsing(**settings))


@pytest.mark.slow
def test_an_evaluation_gives_the_page_that_its_scores_give(out, split, training, near, tmp_path):
    """The networks that are at hand, and those that are loaded again: the same page, videos and neighbours."""
    found, folder = out
    runs = {stream: str(pathlib.Path(path).parent) for stream, path in found.scores.models.items()}
    settings = {"parents": folder.parent / "parents.csv", "neighbours": training}
    evaluate(split, **runs, output=tmp_path, **settings)
    assert (tmp_path / "wrong.html").read_text() == (near / "wrong.html").read_text()
    names = sorted(path.name for path in (near / "wrong_videos").iterdir())
    assert sorted(path.name for path in (tmp_path / "wrong_videos").iterdir()) == names


def test_videos_that_a_page_does_not_name_are_removed(out, tmp_path):
    found, folder = out
    again = tmp_path / "again"
    again.mkdir()
    assert browse(found.scores, again)
    assert len(list((again / "wrong_videos").iterdir())) == len(prediction_browser.wrong_videos(found))
    assert browse(found.scores, again, videos=1)
    assert len(list((again / "wrong_videos").iterdir())) == 1
    assert "; the 1 most convinced are here" in (again / "wrong.html").read_text()
    assert "not among the videos here" in (again / "wrong.html").read_text()
    assert not browse(found.scores, again, videos=0)
    assert not (again / "wrong.html").exists()
    assert not (again / "wrong_videos").exists()


def test_records_that_are_gone_leave_no_page_and_a_line(out, tmp_path, capsys):
    found, _ = out
    assert browse(found.scores, tmp_path, videos=2)
    assert not browse(dataclasses.replace(found.scores, records=str(tmp_path / "nowhere-*")), tmp_path)
    assert "there is no wrong.html: FileNotFoundError" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_records_whose_folder_has_a_comma_in_its_name(out, split, tmp_path):
    """It was taken for two places, and there was no page."""
    found, _ = out
    copied = tmp_path / "a, b"
    shutil.copytree(pathlib.Path(split).parent, copied)
    (tmp_path / "page").mkdir()
    pattern = str(copied / pathlib.Path(split).name)
    assert browse(dataclasses.replace(found.scores, records=pattern), tmp_path / "page", videos=1)
    several = ", ".join(record_files.find(split).files)
    assert record_clips.source_of(several).files == record_files.find(split).files


def test_all_named_rightly(out, tmp_path):
    found, _ = out
    logits = {"rgb": np.eye(3, dtype="float32")[found.scores.y]}
    assert browse(dataclasses.replace(found.scores, logits=logits, models={}, settings={}), tmp_path)
    assert "0 of 6 videos were named wrongly." in (tmp_path / "wrong.html").read_text()
    assert not (tmp_path / "wrong_videos").exists()


def test_hostile_names(out, tmp_path):
    """Ids and labels are text in the page, and no part of a path."""
    found, _ = out
    evil = """../x"'><script>alert(1)</script>"""
    scores = dataclasses.replace(found.scores, labels=tuple(evil + label for label in found.scores.labels))
    changed = dataclasses.replace(found, scores=scores)
    assert prediction_browser.write(changed, tmp_path, prediction_browser.Browsing())
    page = Page((tmp_path / "wrong.html").read_text())
    assert page.all("script", "src") == [None]
    assert all(re.fullmatch(r"wrong_videos/[0-9a-f]{16}\.mp4", src) for src in page.all("video", "src"))
    assert pathlib.PurePath(record_clips.name(evil)).name == record_clips.name(evil)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"browse": -1}, "browse must be a number of videos"),
        ({"browse": 0, "parents": "x"}, "are for the page of wrong videos"),
        ({"parents": "/nowhere.csv"}, "no file"),
        ({"neighbours": "/nowhere-*"}, "No files of records"),
    ],
)
def test_what_is_found_out_before_the_work(settings, message, split):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        evaluate(split, rgb=small_runs.small("rgb"), size=32, **settings)
