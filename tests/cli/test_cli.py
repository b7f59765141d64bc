"""keras-i3d as a user types it."""

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
import types

import pytest
from made import ROOT, films, synthetic

from keras_i3d import cli, client
from keras_i3d.cli import train
from keras_i3d.cli.videos import expand
from keras_i3d.models import families
from keras_i3d.records.annotations import find
from keras_i3d.training import RECIPES


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two videos, one broken file, a file that is no video, and an rgb checkpoint for 3 classes with its labels."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "videos/deep").mkdir(parents=True)
    (folder / "videos/a.mp4").write_bytes(films.film([films.picture(i) for i in range(12)]))
    (folder / "videos/deep/b [x].avi").write_bytes(films.film([films.picture(2 * i) for i in range(10)], "avi"))
    (folder / "videos/c.mp4").write_bytes(b"broken")
    (folder / "videos/notes.txt").write_text("not listed")
    synthetic.write(synthetic.sonnet_shapes(synthetic.i3d_shapes(classes=3)), 7, folder / "model.ckpt")
    (folder / "labels.txt").write_text("run\njump\nrest\n")
    return folder


def run(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "keras_i3d", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_json_of_good_and_bad_videos(folder):
    result = run(
        "classify", folder / "videos", folder / "none.mp4", "--streams=rgb", f"--rgb={folder / 'model.ckpt'}",
        f"--labels={folder / 'labels.txt'}", "--json", "--top=2",
    )  # fmt: skip
    assert result.returncode == 1, result.stderr
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [os.path.basename(r["video"]) for r in records] == ["a.mp4", "c.mp4", "b [x].avi", "none.mp4"]
    assert ["error" in r for r in records] == [False, True, False, True]
    assert records[3]["error"].endswith("none.mp4: no such file")
    assert records[0]["predictions"][0]["label"] in ("run", "jump", "rest")
    assert len(records[0]["predictions"]) == 2
    assert records[0]["frames"] == 12
    assert "2 classified, 2 failed" in result.stderr
    assert "Traceback" not in result.stderr


def here(*arguments):
    """Runs a command in this process, for TensorFlow takes its time to start."""
    return cli.main([str(argument) for argument in arguments])


def test_text(folder, capsys):
    weights = f"--rgb={folder / 'model.ckpt'}"
    assert here("classify", folder / "videos/a.mp4", "--streams=rgb", weights, "--labels=none") == 0
    printed = capsys.readouterr().out
    assert "12 frames at 25 fps; rgb" in printed
    assert "probability    logit  label" in printed
    assert "decode" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "keras-i3d classify VIDEO..."),
        (
            ["dance"],
            f"the first word must be one of: {', '.join(cli.VERBS)}, version. ",
        ),
        (["dance"], "Received: 'dance'\n"),
        (["record", "--source=my videos"], "Did you mean: keras-i3d records '--source=my videos'\n"),
        (["--Version"], "Did you mean: keras-i3d version\n"),
        ([__file__], f"Did you mean: keras-i3d classify {__file__}\n"),
        (["help", "recods"], "Did you mean: keras-i3d records --help\n"),
        (["classify"], "at least one video"),
        (["classify", "x.mp4", "--streams=sound"], "streams"),
        (["classify", "x.mp4", "--shards=2"], "Unknown command line flag 'shards'"),
        (["classify", "x.mp4", "--top=0"], "top"),
        (["records", "--source=x"], "records takes --source and --output"),
        (["show", "x.mp4"], "show takes videos, or records by one name"),
        (["show", "x.mp4", "records", "--output=x.png"], "show takes videos, or records by one name"),
        (
            ["show", "x.mp4", "y.mp4", "--output=a/x.gif"],
            "that of each: --output='a/*.gif'. Received: --output=a/x.gif",
        ),
        (["show", "a/b.mp4", "a-b.mp4", "--output=*.gif"], "of its own. Received: two that would be a-b.mp4"),
        (["show", "records", "--output=x.png", "--start=5", "--flow_method=none"], "--start, --flow_method of show is"),
        (["train", "--records=x", "--output=y", "--set=steps"], "--set takes FIELD=VALUE"),
    ],
)
def test_usage(arguments, message, capsys):
    assert here(*arguments) == 2
    assert message in capsys.readouterr().err


def test_how_long_a_video_may_last(tmp_path, monkeypatch):
    given = []

    def called(*arguments, **settings):
        given.append(settings["max_seconds"])
        raise ValueError("enough")

    monkeypatch.setattr("keras_i3d.inference.Classifier", called)
    monkeypatch.setattr("keras_i3d.records.build", called)
    (tmp_path / "videos/run").mkdir(parents=True)
    (tmp_path / "videos/run/x.mp4").write_bytes(b"x")
    for settings, expected in (([], 14400), (["--max_seconds=7"], 7)):
        assert here("classify", tmp_path / "videos/run/x.mp4", *settings) == 1
        assert here("records", f"--source={tmp_path / 'videos'}", f"--output={tmp_path / 'out'}", *settings) == 1
        assert given[-2:] == [expected, expected]


def test_what_train_draws_and_logs(monkeypatch):
    given = []

    def called(*arguments, **settings):
        given.append(settings)
        raise ValueError("enough")

    monkeypatch.setattr("keras_i3d.training.train", called)
    monkeypatch.setattr("keras_i3d.training.fit_check", called)
    for words in ([], ["--pictures=0", "--log=wandb", "--log=mlflow"], ["--fit_check"]):
        assert here("train", "--records=x", "--output=y", *words) == 1
    assert [(each.get("pictures"), each.get("log"), each.get("output")) for each in given] == [
        (8, [], None), (0, ["wandb", "mlflow"], None), (None, None, "y")
    ]  # fmt: skip


def test_unreachable_weights_are_one_line(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_I3D_MIRROR", str(tmp_path))
    assert here("classify", folder / "videos/a.mp4", "--json") == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: The mirror folder")
    assert json.loads(captured.out)["error"].startswith("The mirror folder")


def test_version_and_help(capsys):
    assert here("version") == 0
    assert capsys.readouterr().out.startswith("keras-i3d 0.")
    assert here("--help") == 0
    printed = capsys.readouterr().out
    assert here() == 2
    assert capsys.readouterr().err == printed
    for verb in cli.VERBS:
        assert f"keras-i3d {verb} " in printed
        assert here(verb, "--help") == 0
        text = capsys.readouterr().out
        assert here("help", verb) == 0
        assert capsys.readouterr().out == text
        module = importlib.import_module(f"keras_i3d.cli.{verb}")
        assert [name for name in module.FLAGS if f"--{name}" not in text and f"--no{name}" not in text] == []


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_help_page_has_the_defaults(verb):
    """Of every flag but those that a verb cannot do without; where the flag has a value, it is the one that is used."""
    flags = importlib.import_module(f"keras_i3d.cli.{verb}").FLAGS
    text = importlib.import_module(f"keras_i3d.cli.{verb}").__doc__
    entries = text.split("\nExamples")[0].split("\n  --")[1:]
    required = {
        "records",
        "output",
        "source",
        "annotations",
        "version",
        "rgb",
        "flow",
        "both",
        "check",
        "scores",
        "fit_on",
    }
    for name in flags:
        default = flags[name].default
        if name in (*required, "split", "validation", "verbose") and default in (None, [], False):
            continue
        ((place, entry),) = [
            (place, entry) for place, entry in enumerate(entries) if re.search(rf"(^|--)(no)?{name}\b", entry)
        ]
        said = re.search(r"default:\s+([^;]*)", entry) or re.search(r"default:\s+([^;]*)", entries[place + 1])
        assert said, name
        if isinstance(default, str | int | float) and not isinstance(default, bool):
            assert str(default).removesuffix(".0") in re.split(r"[\s,]+", said[1]), name


HEAVY = """
import contextlib, io, json, resource, sys
from keras_i3d import cli
with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
    status = cli.main(json.loads(sys.argv[1]))
used = resource.getrusage(resource.RUSAGE_SELF)
heavy = sorted({"keras", "tensorflow", "jax", "numpy", "av", "cv2", "numba"} & set(sys.modules))
print(json.dumps([status, len(out.getvalue() + err.getvalue()) > 12, heavy, used.ru_utime + used.ru_stime]))
"""


@pytest.mark.parametrize("verb", ["classify", "evaluate", "export", "features", "train"])
def test_help_says_which_weights_a_run_stands_for(verb):
    text = " ".join(importlib.import_module(f"keras_i3d.cli.{verb}").__doc__.split())
    assert re.search("its best weights, (or its|and for the) last", text)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        *[(words, 0) for words in (["--help"], ["version"], ["help", "train"])],
        *[([verb, "--help"], 0) for verb in cli.VERBS],
        *[(words, 2) for words in ([], ["recods"], ["classify"], ["classify", "--tpo=3"], ["train"], ["ask", "x:1"])],
        (["classify", "none.mp4"], 1),
        (["classify", str(ROOT / "docs")], 1),
        (["show", "none.mp4", "--output=x.png"], 1),
    ],
    ids=str,
)
def test_help_and_mistakes_are_answered_in_a_blink(words, status):
    """Without anything that takes its time to import; in 0.05 s of processor time, where 3.7 s were usual."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", HEAVY, json.dumps(words)]
    found, said, heavy, seconds = json.loads(subprocess.check_output(command, text=True, env=environment))
    assert (found, said, heavy) == (status, True, [])
    assert seconds < 0.3


def test_flags_with_dashes(folder, capsys):
    words = "classify", folder / "videos/a.mp4", "--streams=rgb", f"--rgb={folder / 'model.ckpt'}", "--labels=none"
    assert here(*words, "--chunk-frames=9") == 1
    assert "chunk_frames must be at least 136 for" in capsys.readouterr().err
    with pytest.MonkeyPatch.context() as patch:
        given = {}
        patch.setattr("keras_i3d.evaluation.evaluate", lambda *arguments, **settings: given.update(settings))
        assert here("evaluate", "--records=x", "--rgb=y", "--views-at-once", "7", "--no-report") == 0
        assert (given["views_at_once"], given["report"]) == (7, False)
    capsys.readouterr()
    assert here("classify", "--chnk-frames=9") == 2
    assert "Unknown command line flag 'chnk-frames'" in capsys.readouterr().err


def test_a_file_whose_name_begins_with_a_dash(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (folder / "-a b.mp4").write_bytes((folder / "videos/a.mp4").read_bytes())
    hint = "A file whose name begins with a dash goes after --: keras-i3d "
    weights = "--streams=rgb", f"--rgb={folder / 'model.ckpt'}", "--labels=none"
    for verb, *words in (["classify", *weights], ["show", "--output=x.png"], ["ask", "x:1"]):
        assert here(verb, *words, "-a b.mp4") == 2
        said = capsys.readouterr().err
        assert said.startswith("error: Unknown command line flag 'a b.mp4'. ")
        flagged = [word for word in words if word.startswith("-")]
        plain = [word for word in words if word not in flagged]
        assert f"{hint}{shlex.join([verb, *flagged, '--', *plain, '-a b.mp4'])}" in said
    assert here("classify", *weights, "--", "-a b.mp4") == 0
    assert capsys.readouterr().out.startswith("-a b.mp4: 12 frames")
    assert here("classify", "-none.mp4") == 2
    assert "begins with a dash" not in capsys.readouterr().err


def test_the_help_of_train_lists_the_network_of_every_builder():
    """By hand, because the help is printed without Keras, which the rows need. `keras-i3d models` lists the others."""
    listed = re.search(r"--model=NAME +the network: ([\w,\s]+), or another one", train.__doc__)[1]
    assert re.split(r",\s+", listed) == list(dict.fromkeys(row.of for row in families.FAMILIES.values()))


def test_the_table_of_recipes(capsys):
    assert here("train", "--recipes") == 0
    table = capsys.readouterr().out
    assert max(map(len, table.splitlines())) <= 120
    assert table.splitlines()[0].split("  ")[0] == "recipe"
    by_name = {part.split()[0]: part for part in re.split(r"\n(?=\w)", table)}
    for name, make in RECIPES.items():
        recipe, text = make(), " ".join(by_name[name].split())
        length = f"{recipe.steps:,}" if recipe.passes is None else f"{recipe.passes:g}"
        for shown in (length, str(recipe.batch_size), f"{recipe.learning_rate:g}"):
            assert f" {shown} " in text
        for step, rate in zip(recipe.boundaries, recipe.rates):
            assert f"{rate:g} from {step:,}" in text
    assert "{" not in table
    assert "71.1 top-1 and 89.3 top-5" in by_name["kinetics-rgb"]
    assert "The last layer alone on a" in by_name["fixed"]


def test_the_table_has_a_recipe_of_ones_own(capsys, tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('{"base": "modern-finetune", "batch_size": 77, "reference_batch": null}')
    assert here("train", "--recipes", f"--recipe={path}") == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("mine.json")]
    assert line.split()[:3] == ["mine.json", "a", "recipe"]
    assert " 77 " in line
    path.write_text('{"base": "modern-finetune", "batch": 77}')
    assert here("train", "--recipes", f"--recipe={path}") == 1
    assert "mine.json: A recipe has no batch. Its fields" in capsys.readouterr().err


def test_ask(monkeypatch, capsys):
    """Clip by clip, then all of them; a video that fails does not stop the rest."""
    facts = {"signature": "jpeg", "fps": 25.0, "short_side": 40, "frames": 16, "least": 10, "activation": "softmax"}
    signatures = {"facts": {"about": [None]}, "jpeg": {"frames": [None, 16]}}
    server = types.SimpleNamespace(
        signatures=lambda: signatures,
        facts=lambda: {**facts, "labels": ["run", "rest"]},
        logits=lambda name, clip: [float(clip[0]), 0.0],
    )
    asked = []
    monkeypatch.setattr(client, "connect", lambda *words: asked.append(words) or server)
    monkeypatch.setattr(client, "encode", lambda path, *sizes: list(range(24)) if path == "a.mp4" else None)
    assert here("ask", "http://x:1", "--top=1", "a.mp4", "b.mp4", "--fps=5") == 1
    printed = capsys.readouterr()
    assert asked == [("http://x:1", "i3d", None, 300.0)]
    assert printed.out.splitlines() == [
        "a.mp4: 24 frames at 5 fps; i3d, jpeg",
        *("  0.00 to 3.20 s", "      0.50000  run", "  1.60 to 4.80 s", "      0.99966  run"),
        *("  all 2 clips, their logits averaged", "      0.98201  run"),
    ]
    notice, error = printed.err.splitlines()
    assert notice == "keras_i3d: --fps=5; the model was trained at 25"
    assert error.startswith("error: b.mp4: TypeError")


def test_a_server_by_rest_is_asked_without_tensorflow():
    code = HEAVY.replace('"numpy", "av", ', "")
    words = json.dumps(["ask", "http://127.0.0.1:1", "x.mp4"])
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = json.loads(subprocess.check_output([sys.executable, "-c", code, words], text=True, env=environment))
    assert found[:3] == [1, True, []]


def test_a_reader_that_has_seen_enough(folder):
    """`... | head -1` ends the command without a traceback."""
    command = f"{sys.executable} -m keras_i3d classify {folder / 'videos'} {folder / 'videos'} --streams=rgb --json "
    command += f"--labels=none --rgb={folder / 'model.ckpt'} | head -1"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, shell=True, capture_output=True, text=True, env=environment, check=False)
    assert len(result.stdout.splitlines()) == 1
    assert "Traceback" not in result.stderr


def test_expand(folder, monkeypatch):
    monkeypatch.chdir(folder / "videos")
    assert expand(["deep/b [x].avi"]) == [("deep/b [x].avi", None)]
    assert expand(["*.mp4"]) == [("a.mp4", None), ("c.mp4", None)]
    assert expand(["*.mkv"]) == [("*.mkv", "the pattern matches no file")]
    assert [os.path.basename(p) for p, _ in expand(["."])] == ["a.mp4", "c.mp4", "b [x].avi"]
    assert expand(["none.mp4"]) == [("none.mp4", "no such file")]
    assert expand(["deep", "*"])[:3] == [("deep/b [x].avi", None), ("a.mp4", None), ("c.mp4", None)]
    (folder / "out[1]").mkdir()
    (folder / "out[1]/d.mp4").touch()
    monkeypatch.chdir(folder)
    assert expand(["out[1]/*.mp4"]) == [("out[1]/d.mp4", None)]


def test_expand_takes_what_records_takes_and_names_the_rest(tmp_path, monkeypatch, capsys):
    names = ("run/a.vob", "run/b.MTS", "run/notes.txt", "run/.hidden.mp4", ".cache/c.mp4", "jump/more/d.mp4")
    for name in names:
        (tmp_path / "v" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "v" / name).touch()
    (tmp_path / "v/again").symlink_to("run")
    (tmp_path / "v/run/nowhere.mp4").symlink_to("none.mp4")
    monkeypatch.chdir(tmp_path)
    assert expand(["v"]) == [
        ("v/jump/more/d.mp4", None),
        ("v/run/a.vob", None),
        ("v/run/b.MTS", None),
        ("v/run/nowhere.mp4", "it is no file, but a link that leads nowhere, or a pipe"),
    ]
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "keras_i3d: v: 1 files are no videos, and left out (first: run/notes.txt)",
        "keras_i3d: v: 2 names begin with a dot, and left out (first: .cache)",
        "keras_i3d: v: 1 linked folders are taken once already, and left out (first: again)",
    ]
    listing = find("v")
    assert [example.id for example in listing.examples] == ["run/a.vob", "run/b.MTS"], "classes are one level deep"
    assert [path for path, _ in expand(["v/j*"])] == ["v/jump/more/d.mp4"]
    assert [path for path, _ in expand(["v/jump/**"])] == ["v/jump/more/d.mp4"]


def test_show_takes_videos_as_classify_does(folder, tmp_path, monkeypatch, capsys):
    """Folders and globs; of several videos each has a picture, and a broken one does not stop the rest."""
    monkeypatch.chdir(folder)
    assert here("show", "videos", f"--output={tmp_path}/new/of *.png", "--flow_method=none") == 1
    printed = capsys.readouterr()
    assert sorted(os.listdir(tmp_path / "new")) == ["of a.png", "of deep-b [x].png"]
    assert printed.out.splitlines()[1] == f"-> {tmp_path}/new/of a.png"
    assert "error: videos/c.mp4: " in printed.err
    assert printed.err.endswith("2 shown, 1 failed\n")
    for word in ("videos/deep", "videos/[a]*"):
        assert here("show", word, f"--output={tmp_path}/one.gif", "--flow_method=none") == 0
        (tmp_path / "one.gif").unlink()
    capsys.readouterr()
    (tmp_path / "empty").mkdir()
    assert here("show", tmp_path / "empty", "--output=x.png") == 1
    assert "No files of records" in capsys.readouterr().err
