"""What the tests of the page share: runs of networks cut short, videos, and what they answer."""

import types

import pytest
from made import films, small_exports, small_runs, tiny

from keras_i3d import inference
from keras_i3d.web import answering


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with runs `rgb` and `flow`, `a.mp4` of 14 frames, `short.mp4` of 5; and {stream: folder} as `runs`."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten(patch)
        runs = {s: str(small_runs.run(folder / s, s, seed=number)) for number, s in enumerate(("rgb", "flow"))}
        for name, frames in (("a.mp4", 14), ("short.mp4", 5)):
            (folder / name).write_bytes(films.film(list(small_exports.film(1, frames)[0]), codec="libx264"))
        yield types.SimpleNamespace(folder=folder, runs=runs)


@pytest.fixture(scope="module")
def answers(made):
    return answering.Answers(inference.Classifier(**made.runs), threshold=0.2, smooth=0, shortest=0)
