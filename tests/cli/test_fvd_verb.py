"""keras-i3d fvd as a user types it."""

import json

import numpy as np
import pytest
from made import tiny

from keras_i3d import cli
from keras_i3d.frechet import fvd_protocols
from keras_i3d.models import families


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Weights of a tiny network, and two sides of 16 videos of 10 frames."""
    folder = tmp_path_factory.mktemp("cli_fvd")
    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten(patch)
        patch.setattr(fvd_protocols, "SIZE", 32)
        model = tiny.i3d(input_shape=(None, None, None, 3), classes=4, depth_multiplier=0.125)
        head = model.get_layer(families.of(model).head)
        kernel, bias = head.get_weights()
        head.set_weights([8 * kernel, bias + 1])
        model.save(folder / "n.keras")
        for i, name in enumerate(("real", "generated")):
            frames = np.random.default_rng(i).integers(0, 128 + 127 * i, (16, 10, 32, 32, 3))
            np.save(folder / f"{name}.npy", np.uint8(frames))
        yield folder


def here(*arguments):
    return cli.main([str(argument) for argument in arguments])


def test_a_number_with_its_card(folder, capsys):
    sides = folder / "real.npy", folder / "generated.npy"
    weights, output, saved = f"--weights={folder}/n.keras", f"{folder}/card.json", f"{folder}/real.npz"
    assert here("fvd", *sides, "--frames=9", weights, f"--output={output}", f"--save-real={saved}") == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("FVD ")
    assert "protocol original, 9 frames" in printed.out
    assert "warning: Clips have 9 frames" in printed.out
    assert f"written: {output}" in printed.err
    record = json.loads((folder / "card.json").read_text())
    assert record["card"]["real"]["source"] == str(sides[0])
    assert here("fvd", saved, sides[1], "--frames=9", weights, "--json") == 0
    again = json.loads(capsys.readouterr().out)
    assert again["value"] == pytest.approx(record["value"], rel=1e-6)
    assert again["value"] > 0
    flags = ("--all_protocols", "--frames=10", "--videos=0", "--kernel", "--bootstrap=3", "--motion-check")
    assert here("fvd", *sides, weights, *flags) == 0
    out = capsys.readouterr().out
    assert all(f"{name}: " in out for name in fvd_protocols.PROTOCOLS)
    assert out.count("interval") == 4


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["one"], 2, "fvd takes two sides, REAL and GENERATED"),
        (["a", "b", "--protocol=mine"], 2, "protocol"),
        (["/nowhere", "/nowhere"], 1, "/nowhere: no such file or folder. A side is a folder"),
        ([".", ".", "--resolution=128"], 1, "resolution= is of the protocol cd-fvd"),
        ([".", ".", "--save_real=x.pkl"], 1, "Statistics are written to a .npz. Received: --save_real='x.pkl'"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments, status, message, capsys):
    assert here("fvd", *arguments) == status
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error.replace("--resolution=", "resolution=")
    assert len(error.strip().splitlines()) == (2 if status == 2 else 1)
