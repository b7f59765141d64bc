"""What is told apart, what is said as text and as JSON, the exit status, and that docs/doctor.md has every finding."""

import ast
import json

import pytest
from made import ROOT, sick, small_runs, tiny

from keras_i3d import cli
from keras_i3d.checkup import examination, findings, video_sample

PACKAGE = ROOT / "keras_i3d/checkup"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Without the machine, which is not what is tested here."""
    monkeypatch.setattr(examination, "_environment", lambda: [findings.fine("environment.versions", "one")])


def doctor(*words):
    return cli.main(["doctor", *map(str, words)])


def test_kinds(tmp_path, monkeypatch):
    import dataclasses

    no_flow = dataclasses.replace(sick.SPEC, flow_method=None)
    records = sick.records(tmp_path / "learnt/records", monkeypatch, videos=3, spec=no_flow)
    run = str(small_runs.run(tmp_path / "learnt/runs/rgb", "rgb", network=False))
    (tmp_path / "learnt/learn.json").write_text("{}")
    (tmp_path / "learnt/models/i3d/1").mkdir(parents=True)
    (tmp_path / "learnt/models/i3d/1/saved_model.pb").touch()
    (tmp_path / "videos/a").mkdir(parents=True)
    for i in range(30):
        (tmp_path / f"videos/a/{i:02}.mp4").touch()
    (tmp_path / "mine.weights.h5").touch()
    told = examination.told_apart([str(tmp_path / "learnt"), str(tmp_path / "videos")])
    assert (told.records, told.runs, told.exports) == ((records,), (run,), (str(tmp_path / "learnt/models/i3d"),))
    assert len(told.videos) == 20
    assert (told.left_out, told.folders) == (10, (str(tmp_path / "videos"),))
    assert examination.told_apart([str(tmp_path / "learnt/runs")]).runs == (run,)
    assert examination.told_apart([str(tmp_path / "learnt/models")]).exports == told.exports
    words = [f"{records}/train-*", f"{tmp_path}/videos/a/*", str(tmp_path / "mine.weights.h5"), "kinetics", "none.mp4"]
    told = examination.told_apart(words)
    assert told.records == (f"{records}/train-*",)
    assert (told.weights, told.unknown) == ((str(tmp_path / "mine.weights.h5"), "kinetics"), ("none.mp4",))


def test_a_folder_that_holds_several_kinds(tmp_path, monkeypatch):
    """One with videos/ and records/ was taken for videos alone; one with runs in it for runs alone."""
    import dataclasses

    no_flow = dataclasses.replace(sick.SPEC, flow_method=None)
    records = sick.records(tmp_path / "records", monkeypatch, videos=3, spec=no_flow)
    for path in ("videos/a/1.mp4", "videos/b/2.mp4", "records/page/wrong.mp4", "runs/rgb/film.mp4"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "runs/rgb/run.json").write_text("{}")
    (tmp_path / "models/i3d/1").mkdir(parents=True)
    (tmp_path / "models/i3d/1/saved_model.pb").touch()
    told = examination.told_apart([str(tmp_path)])
    assert told.records == (records,)
    assert told.videos == tuple(str(tmp_path / f"videos/{name}") for name in ("a/1.mp4", "b/2.mp4"))
    assert told.runs == (str(tmp_path / "runs/rgb"),)
    assert told.exports == (str(tmp_path / "models/i3d"),)
    assert told.folders == (str(tmp_path), str(tmp_path / "videos"))  # where a record's id finds its video
    assert told.unknown == ()
    # Videos next to the files of records.
    (tmp_path / "records/source.mp4").touch()
    told = examination.told_apart([records])
    assert (told.records, told.videos[-1]) == ((records,), f"{records}/source.mp4")


def test_links_in_a_folder(tmp_path):
    """A run was looked at twice, under its own name and under that of a link to it."""
    (tmp_path / "runs/rgb").mkdir(parents=True)
    (tmp_path / "runs/rgb/run.json").write_text("{}")
    (tmp_path / "runs/last").symlink_to("rgb")
    (tmp_path / "again").symlink_to(tmp_path)
    assert examination.told_apart([str(tmp_path)]).runs == (str(tmp_path / "runs/rgb"),)
    assert examination.told_apart([str(tmp_path / "runs/last")]).runs == (str(tmp_path / "runs/last"),)


def test_text_json_and_status(tmp_path, monkeypatch, capsys):
    path = sick.video(tmp_path / "a.mp4", sick.moving(70))
    monkeypatch.setattr(video_sample, "PAIRS", 1)
    assert doctor(path) == 0
    printed = capsys.readouterr().out
    assert f"\n{path}\n  note     a short side of 64 pixels" in printed
    assert "  fine     frames, whole, frame rate, contents, motion" in printed
    assert printed.splitlines()[-1].startswith("0 faults, 0 warnings, ")
    (tmp_path / "b.mp4").write_bytes(b"nothing")
    assert doctor(tmp_path / "b.mp4", tmp_path / "none", "--json") == 1
    output = capsys.readouterr()
    said = json.loads(output.out)
    assert list(said[0]) == ["level", "code", "found", "why", "remedy", "about"]
    assert [each["code"] for each in said if each["level"] == "fault"] == ["unknown", "video.unreadable"]
    assert output.err.splitlines()[-1].startswith("2 faults")


@pytest.mark.parametrize("words", [["--stream=rgb"], ["--stream=sound", "x"], ["--weight=x"], [""]])
def test_words_that_it_does_not_take(words, capsys):
    assert doctor(*words) == 2
    assert "`keras-i3d doctor --help` says more." in capsys.readouterr().err


def test_a_check_that_fails_is_a_finding():
    def broken():
        yield findings.fine("a.first", "before")
        raise RuntimeError("no such luck at https://me:word@host")

    def sound():
        yield findings.note("a.last", "after")

    found = list(findings.look("it", (broken, sound)))
    assert [finding.code for finding in found] == ["a.first", "unchecked", "a.last"]
    assert found[1].found == "broken: could not be checked: RuntimeError: no such luck at https://***@host"
    assert {finding.about for finding in found} == {"it"}
    assert findings.summary(found) == "0 faults, 1 warning, 1 note, 1 fine"


def test_what_cannot_be_imported_does_not_end_it(monkeypatch, capsys):
    from keras_i3d.checkup import weights_cache

    monkeypatch.delattr(weights_cache, "CHECKS")
    assert doctor() == 0
    assert "cache: could not be checked: AttributeError" in capsys.readouterr().out


def test_many_things_are_told_together():
    found = [findings.Finding("note", "video.small", f"{i} pixels", about=f"{i}.mp4") for i in range(4)]
    assert findings.text(found) == ["  note     4 of 4, the first 0.mp4: 0 pixels"]
    found += [findings.Finding("warning", "video.bars", side, about="2.mp4") for side in ("above", "left")]
    assert findings.text(found)[0] == "  warning  2.mp4: above"


def test_faults_of_several_things_keep_their_reasons():
    """That of an empty file was told as the reason of all that could not be read."""
    said = {"a.mp4": "the file is empty", "b.mp4": "no video stream", "c.mp4": "the file is empty"}
    found = [findings.Finding("fault", "video.unreadable", why, about=name) for name, why in said.items()]
    assert findings.text(found) == [
        "  fault    2 of 3, the first a.mp4: the file is empty",
        "  fault    b.mp4: no video stream",
    ]


def test_a_remedy_is_one_line_that_can_be_pasted():
    command = f"ffmpeg -i '{'a b/' * 30}c.mp4' -vf yadif new.mp4"
    found = findings.Finding("note", "video.interlaced", "lines " * 30, remedy=command)
    *said, remedy = findings.text([found])
    assert (len(said), remedy) == (2, f"        -> {command}")


def test_a_run_with_its_records(tmp_path, monkeypatch, capsys):
    """Labels in another order than the run's: the finding that no verb gives."""
    tiny.shorten(monkeypatch)
    import dataclasses

    no_flow = dataclasses.replace(sick.SPEC, flow_method=None)
    records = sick.records(tmp_path / "records", monkeypatch, videos=6, spec=no_flow)
    run = sick.run(tmp_path / "rgb", labels=("up", "left", "right"))
    assert doctor(records, run, "--json") == 1
    said = json.loads(capsys.readouterr().out)
    assert [each["code"] for each in said if each["level"] == "fault"] == ["records.label_order"]
    assert [each["code"] for each in said if each["level"] == "warning"] == []


def test_remedies_name_flags_and_settings_that_exist():
    import dataclasses
    import importlib
    import re

    from keras_i3d.recipes import Recipe

    seen = set()
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in parts)
            for verb, rest in re.findall(r"keras-i3d (\w+)((?: [^ ;,]+)*)", text):
                names = importlib.import_module(f"keras_i3d.cli.{verb}").FLAGS
                flags = re.findall(r"--(\w+)", rest)
                assert [flag for flag in flags if flag not in (*names, "help", "X")] == [], text
                seen.add(verb)
            settings = re.findall(r"--set=(\w+)", text)
            assert set(settings) <= {field.name for field in dataclasses.fields(Recipe)}, text
            seen |= set(settings)
    assert {"records", "show", "train", "precise_bn", "balance"} <= seen


def test_every_finding_is_in_the_docs():
    codes = {}
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                level, first = node.func.id, node.args[0]
                if level in ("fault", "warning", "note", "say") and isinstance(first, ast.Constant):
                    codes.setdefault(first.value, set()).add(level)
    codes.pop("", None)
    page = (ROOT / "docs/doctor.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    listed = {line.split("`")[1]: line for line in rows}
    assert set(listed) == set(codes)
    for code, levels in codes.items():
        for level in levels - {"say"}:
            assert level in listed[code].split("|")[2], f"{code} may be a {level}"
        assert len(listed[code].split("|")[4].strip()) > 10, f"{code} has no remedy there"
