"""Every block of shell and Python on the pages: run, or checked up to where it would take long, or marked why not."""

import ast
import functools
import importlib
import inspect
import operator
import os
import re
import runpy
import subprocess
import sys
import types

import numpy as np
import pytest
from made import ROOT, films, pages, tiny

from keras_i3d import cli

LANGUAGES = {"sh", "python", "text", "json", "csv"}
# Programs that blocks call. Each notes its words in place of running, so that a shell does the rest: quotes, loops.
PROGRAMS = ("keras-i3d", "pip", "make", "python", "tensorboard", "sh")
STOPS = {"ask": "keras_i3d.client.connect", "serve": "keras_i3d.serving.serve"}  # of verbs that do not call `start`
SHELL = pages.blocks("sh")
PYTHON = pages.blocks("python")


class Reached(BaseException):
    """The words of a command were right, and what takes long would begin."""


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """A folder of programs that note their names and words, a line each, in the file `words`."""
    folder = tmp_path_factory.mktemp("programs")
    for name in PROGRAMS:
        program = folder / name
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" {name} "$@" "" >> "$WORDS"\n', encoding="utf-8")
        program.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """A folder with the files that the examples of the pages name, small ones."""
    folder = tmp_path_factory.mktemp("example")
    for side in ("videos/real", "videos/generated", "real", "generated", "frames/ucf101", "frames/mine", "models/i3d"):
        (folder / side).mkdir(parents=True)
    for path in (
        "ucf101.npz",
        "clip.mp4",
        "match.mp4",
        "videos/one.mp4",
        "thumos/one.mp4",
        "clips/one.avi",
        "long.mp4",
        "demo/videos/test/disc slides/000.mp4",
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"")
    for path in ("theirs/clip.npy", "features/clip.npy"):
        (folder / path).parent.mkdir()
        np.save(folder / path, np.random.default_rng(0).uniform(0, 1, (30, 1024)).astype("float32"))
    return folder


def commands(block, programs, folder):
    """Returns the words of each program that a block of shell calls, as a shell gives them."""
    words = folder / "words"
    words.write_text("", encoding="utf-8")
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "WORDS": str(words)}
    done = subprocess.run(
        ["/bin/sh", "-c", f"set -eu\n{block.text}"],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, f"{block}: {done.stderr}"
    return [command.split("\n") for command in words.read_text(encoding="utf-8").rstrip("\n").split("\n\n")]


def stop(*_, **__):
    raise Reached


def check_verb(words, monkeypatch, capsys):
    """Runs a command of keras-i3d until it is right and would start."""
    verb = words[0]
    if verb in ("version", "help"):
        return
    assert verb in cli.VERBS, words
    module = importlib.import_module(f"keras_i3d.cli.{verb}")
    with monkeypatch.context() as patch:
        if hasattr(module, "start"):
            patch.setattr(module, "start", stop)
        elif verb in STOPS:
            patch.setattr(STOPS[verb], stop)
        elif verb != "models":
            patch.setattr(module, "main", stop)
        try:
            status = cli.main(words)
        except Reached:
            status = 0
    assert status == 0, f"keras-i3d {' '.join(words)}: {capsys.readouterr().err}"


def check_pip(words):
    """Of `pip install`: files of the repository, and packages and extras that setup.py knows."""
    declared = setup()
    known = {re.split(r"[\[<>=!]", line)[0] for lines in declared["extras_require"].values() for line in lines}
    for word in words[1:]:
        if word.startswith("-"):
            continue
        package, _, extras = word.rstrip("]").partition("[")
        assert package in (".", "keras-i3d", *known), words
        assert {*filter(None, extras.split(","))} <= {*declared["extras_require"]}, words


@functools.cache
def setup():
    """What setup.py hands to setuptools."""
    given = {}
    with pytest.MonkeyPatch.context() as patch:
        fake = types.SimpleNamespace(find_packages=lambda **_: [], setup=given.update)
        patch.setitem(sys.modules, "setuptools", fake)
        runpy.run_path(str(ROOT / "setup.py"))
    return given


def check_make(words):
    """Of `make`: a target of the Makefile; what follows sets a variable of it."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in words:
        name, equals, _ = word.partition("=")
        if equals:
            assert re.search(rf"^{name} \?=", text, re.MULTILINE), words
        else:
            pattern = rf"^(\S+ )*({re.escape(name)}|{re.escape(name.partition('-')[0])}-%)( \S+)*:"
            assert re.search(pattern, text, re.MULTILINE), words


def check_script(words):
    """Of `python FILE --flag`: a script of the repository, whose source names the flag."""
    if words[:2] == ["-m", "pytest"]:
        assert all((ROOT / word.partition("::")[0]).exists() for word in words[2:] if not word.startswith("-")), words
        return
    source = (ROOT / words[0]).read_text(encoding="utf-8")
    for module in re.findall(r"^import (\w+)", source, re.MULTILINE):  # the flags of all of a kind are in one place
        path = (ROOT / words[0]).with_name(f"{module}.py")
        source += path.read_text(encoding="utf-8") if path.is_file() else ""
    for word in words[1:]:
        name = word[2:].partition("=")[0]
        assert not word.startswith("--") or re.search(rf"[\"'](--)?{name.replace('-', '_')}[\"']", source), words


def check(words, monkeypatch, capsys):
    """Checks a program's words; of those that are not listed here nothing is known but that they are called."""
    name, *words = words
    if name == "keras-i3d":
        check_verb(words, monkeypatch, capsys)
    elif name in ("pip", "make", "python"):
        {"pip": check_pip, "make": check_make, "python": check_script}[name](words)


def test_every_block_says_its_language():
    for page in pages.pages():
        for part in pages.parts(page):
            assert part.language in (*LANGUAGES, "table"), f"{part}: one of {', '.join(sorted(LANGUAGES))}"


def test_every_mark_is_of_a_block_or_a_table():
    """And a table's mark is not on a block."""
    for page in pages.pages():
        marked = [part.mark for part in pages.parts(page) if part.mark[0]]
        text = (ROOT / page).read_text(encoding="utf-8")
        found = [tuple(mark) for mark in pages.MARK.findall(text)]
        assert [mark for mark in marked if mark[1] != "make docs"] == found, page
        for part in pages.parts(page):
            tables = part.mark[0] in ("made by", "published")
            assert not part.mark[0] or tables == (part.language == "table"), part


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_shell(block, programs, example, monkeypatch, capsys):
    """Every flag exists and has a value that its verb takes; every file, target, package and extra is there."""
    if block.mark[0] == "not run":
        return
    monkeypatch.chdir(example)
    for words in commands(block, programs, example):
        check(words, monkeypatch, capsys)


def test_commands_that_are_shown_with_their_output():
    """Lines that begin with a prompt, in a block of text."""
    shown = [
        (block, line[2:].split())
        for block in pages.blocks("text")
        for line in block.text.splitlines()
        if line.startswith("$ keras-i3d ")
    ]
    assert shown
    for block, words in shown:
        check_flags(words[1:], block)


def check_flags(words, place):
    """That a verb and its flags exist; a flag without a value, as in running text, is one too."""
    verb, *words = words
    assert verb in (*cli.VERBS, "version", "help", "VERB"), place
    if verb in cli.VERBS:
        flags = importlib.import_module(f"keras_i3d.cli.{verb}").FLAGS
        for word in words:
            found = re.fullmatch(r"'?--([\w-]+)(=.*)?", word)
            name = found[1].replace("-", "_") if found else ""
            known = {"", "help", "verbose", *flags}
            assert name in known or name.removeprefix("no") in known, f"{place}: {word} of {verb}"


@pytest.mark.parametrize("page", pages.pages())
def test_commands_in_running_text(page):
    """`keras-i3d VERB --flag` and `make target`, wherever they are named."""
    text = re.sub(r"^```.+?^```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for code in re.findall(r"`([^`]+)`", text):
        words = code.split()
        if words[:1] == ["keras-i3d"] and len(words) > 1:
            check_flags(words[1:], page)
        elif words[:1] == ["make"] and len(words) > 1 and "NAME" not in words[1]:
            check_make([words[1]])


def imported(module, name):
    """What `from module import name` gives: a name of the module, or else a module in it."""
    try:
        return getattr(importlib.import_module(module), name)
    except AttributeError:
        return importlib.import_module(f"{module}.{name}")


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_names_in_python_exist(block):
    """What a block imports of this package, the attributes that it takes of that, the arguments that it passes."""
    tree, known = ast.parse(block.text), {}

    def found(node):
        """The object that `a.b.c` names if `a` is imported, else None."""
        root, *path = ast.unparse(node).split(".")
        if root not in known or not all(part.isidentifier() for part in path):
            return None
        return operator.attrgetter(".".join(path))(known[root]) if path else known[root]

    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known |= {alias.name: importlib.import_module(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            known |= {alias.name: imported(node.module, alias.name) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found(node)
        elif isinstance(node, ast.Call) and getattr(found(node.func), "__module__", "").startswith("keras_i3d"):
            parameters = inspect.signature(found(node.func)).parameters
            passed = {keyword.arg for keyword in node.keywords}
            assert passed <= set(parameters) or "settings" in parameters, ast.unparse(node)


def test_tests_that_run_blocks_are_there():
    named = [part.mark[1] for page in pages.pages() for part in pages.parts(page) if part.mark[0] == "run by"]
    assert named
    for name in named:
        path, _, test = name.partition("::")
        assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), name


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the blocks of Python run: videos, a folder of them, records."""
    folder = tmp_path_factory.mktemp("python")
    (folder / "records").mkdir()
    for split in ("train", "test"):
        tiny.write(folder / "records", split, videos=6)
    film = films.film([films.picture(index) for index in range(40)])
    for name in ("clip", "one", "two", *(f"videos/{label}/{number}" for label in ("jump", "run") for number in "1234")):
        path = folder / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(film)
    return folder


def runnable(slow):
    wanted = ("run", "slow") if slow else ("", "")
    return [block for block in PYTHON if block.mark == wanted]


@pytest.mark.parametrize("block", runnable(slow=False), ids=str)
def test_python(block, folder, monkeypatch):
    monkeypatch.chdir(folder)
    exec(compile(block.text, str(block), "exec"), {"__name__": "block"})


@pytest.mark.slow
@pytest.mark.parametrize("block", runnable(slow=True), ids=str)
def test_python_of_full_size(block, folder, full_repository, monkeypatch):
    """With seeded weights in the place of the published ones, of the same names, shapes and sizes."""
    monkeypatch.chdir(folder)
    exec(compile(block.text, str(block), "exec"), {"__name__": "block"})
