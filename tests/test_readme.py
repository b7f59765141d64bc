"""The script of the README, as it stands there but for its sizes."""

import re

import keras
from made import ROOT, tiny

from keras_i3d import facts

SMALLER = (
    ("clip_frames=64", "clip_frames=9, size=32"),
    ("(64, 224, 224, 3)", "(9, 32, 32, 3)"),
    ("classes=len(source.labels)", "classes=len(source.labels), weights=None, depth_multiplier=0.125"),
    ("crop=224, frames=64", "crop=32, frames=9"),
    ("batch_size=8", "batch_size=3"),
    ("epochs=10", "epochs=1"),
)


def test_fifteen_lines_train(tmp_path, monkeypatch, capsys):
    tiny.shorten(monkeypatch)
    (tmp_path / "records").mkdir()
    for split in ("train", "test"):
        tiny.write(tmp_path / "records", split, videos=6)
    monkeypatch.chdir(tmp_path)
    scripts = re.findall(r"```python\n(.+?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (script,) = [text for text in scripts if "model.fit" in text]
    assert len([line for line in script.splitlines() if line]) <= 15
    for full, small in SMALLER:
        assert full in script
        script = script.replace(full, small)
    exec(script, {})
    assert "'accuracy'" in capsys.readouterr().out
    model = keras.models.load_model(tmp_path / "mine.keras")
    assert model.output_shape == (None, 3)
    noted = facts.of(model)
    assert (noted.labels, noted.clip.short_side, noted.clip.frames) == (tiny.LABELS, 32, 9)
