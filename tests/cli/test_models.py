"""`keras-i3d models`: the table of networks, and the card of one."""

import ast
import dataclasses
import functools
import json

import pytest

from keras_i3d import cli, network_cards, specs
from keras_i3d.cli import columns
from keras_i3d.models import families, s3d
from keras_i3d.weights import registry
from keras_i3d.weights.originals.original import Original


def printed(capsys, *words):
    assert cli.main(["models", *words]) == 0
    return capsys.readouterr().out


@pytest.fixture
def more(monkeypatch):
    """Two more networks of S3D's builder, one with a gate, and one with as little said of it as may be."""
    row = dataclasses.replace(families.find("S3D"), clips=specs.CLIPS, macs=71.92)
    monkeypatch.setattr(registry, "PUBLISHED", {})
    gated = dataclasses.replace(
        row,
        name="S3D-milnce",
        title="S3D-G",
        builder=functools.partial(s3d.s3d, variant="S3DG-milnce"),
        first="Conv3d_1a_7x7_conv_3d",
        clips={"rgb": specs.ClipSpec("rgb", fps=10, frames=16, frame_stride=2, crop=64)},
        halo=None,
        of="S3D",
        options={"variant": "milnce", "depth": 1},
    )
    bare = dataclasses.replace(
        row,
        name="S3D-bare",
        builder=functools.partial(s3d.s3d, variant="S3D-kylemin"),
        clips={"flow": specs.ClipSpec("flow", crop=32)},
        parameters={},
        macs=None,
        accuracy={},
        protocol="",
        of="S3D",
        options={"variant": "kylemin", "depth": 1},
    )
    named = dataclasses.replace(row, options={"variant": "torchvision", "depth": 1})
    monkeypatch.setattr(families, "FAMILIES", {each.name: each for each in (named, gated, bare)})
    monkeypatch.setattr(network_cards, "ORIGINALS", [Original("miech", "S3D-milnce", str)])


def test_the_table_has_every_network(capsys):
    table = printed(capsys)
    lines = table.splitlines()
    assert max(map(len, lines)) <= 120
    for row in families.FAMILIES.values():
        (line,) = [line for line in lines if line.split("  ")[0] == row.name]
        assert f"{row.parameters[next(iter(row.clips))]:,}" in line
        assert f"{row.macs:g}" in line
        assert f"@ {next(iter(row.clips.values())).fps:g} fps" in line
    assert f"{len(families.FAMILIES)} networks." in lines[-1]
    (line,) = [line for line in lines if line.startswith("I3D  ")]
    assert "12,689,984   111.15   64 x 1 @ 25 fps, 224     71.1 / 89.3    kinetics," in line


def test_the_networks_of_a_builder_stand_together(more, capsys):
    """The default first, with the values of the options that tell them apart; what nobody says is a dash."""
    lines = printed(capsys).splitlines()[3:]
    assert lines == [
        "S3D: S3D (Xie et al. 2018, arXiv 1712.04851) as in torchvision",
        '  variant="torchvision" | "milnce" | "kylemin"',
        "S3D                                  8,320,048    71.92    64 x 1 @ 25 fps, 224     68.4 / 88.1    -",
        "S3D-milnce                           8,320,048    71.92    16 x 2 @ 10 fps, 64      68.4 / 88.1    miech",
        "S3D-bare                             -            -        any x 1 @ 25 fps, 32     -              -",
        "",
        "3 networks. `keras-i3d models NAME` has all of one.",
    ]
    assert [line.split(" | ")[1] for line in network_cards.markdown().splitlines()[2:]] == [
        "`S3D()`",
        '`S3D(variant="milnce")`',
        '`S3D(variant="kylemin", stream="flow")`',
    ]
    assert len(network_cards.markdown("defaults").splitlines()) == 3


def test_a_builders_first_network_is_its_default():
    """It bears the builder's name; each builds by the call that the tables print."""
    for rows in network_cards.by_builder():
        assert rows[0].name == rows[0].of
        for row in rows:
            call = ast.parse(network_cards.call(row), mode="eval").body
            passed = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
            stream = passed.pop("stream", next(iter(rows[0].clips)))
            assert families.of_builder(call.func.id, passed, stream)[0] is row


def test_a_card(capsys):
    text = printed(capsys, "I3D")
    for part in (
        "I3D: Inception-V1 I3D (Carreira and Zisserman 2017, arXiv 1705.07750)\n",
        "keras_i3d.I3D(), for 400 classes",
        "9 frames or more, 32 pixels a side or more",
        "a step is 8 frames, and depends on 7 steps more on each side",
        "both: 74.2 / 91.3 %",
        "Kinetics-400 test set, whole videos, ImageNet and Kinetics (arXiv 1705.07750, table 5)\n",
        "64 frames at 25 fps; short side 256, crop 224\n",
        "(RGB / 255 - mean) / std, with mean 0.5, 0.5, 0.5 and std 0.5, 0.5, 0.5\n",
        "12,689,984; with moving statistics 12,704,544\n",
        "111.15 G for such a clip",
        "  Mixed_5c          8 x 7 x 7 x 1024     99 x 379 x 379   8 x 32 x 32  -44, -166, -166\n",
        "  Predictions       400                  whole clip\n",
        "flow by tvl1, in pixels per frame, clamped to 20 and divided by 20",
        "12,668,032; with moving statistics 12,682,592\n",
        "102.34 G for such a clip\n  endpoints       the same\n",
        "  kinetics: flow; 400 classes; trained on ImageNet, then Kinetics-400; licence Apache-2.0\n    63.4 / 8",
        "/data/checkpoints/rgb_imagenet/model.ckpt.index\n      git blob 5ab1058b8f4f89a896c01f67c0a4c96a31548af7\n",
        "  imagenet: trained on ImageNet in two dimensions, as TF-Slim's Inception V1; the class layer is new\n",
        "2D weights that keras_i3d.inflate takes: those of TF-Slim's Inception V1\n",
    ):
        assert part in text
    assert all(len(line) <= 120 or "https://" in line for line in text.splitlines())


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (
            "I3D-strides-1-1-1",
            ["a step is 1 frame, and", "  kinetics: rgb; 400 classes", "  imagenet: trained"],
        ),
        (
            "ConvNetLSTM",
            [
                "a step is 1 frame, and depends on all before it\n",
                "  not checked     whether the paper's table 2 has 63.3 too, or 63.6\n",
                "as TF-Slim's Inception V1; the class",
            ],
        ),
        ("S3DG-milnce", ["  not checked     the 10 frames per second of its clips\n"]),
        (
            "InceptionV1",
            [
                " 1 frame or more,",
                "  1 frame at 25 fps",
                "a step is 1 frame, and depends on no other\n",
                "as TF-Slim's Inception V1; the class",
            ],
        ),
        ("I3DResNet50-keras", ["  imagenet: trained on ImageNet in two dimensions, as keras.applications' ResNet50;"]),
        (
            "I3DResNet50-gluon",
            [
                "  not checked     the 30 frames per s",
                "none are fetched by name",
                "keras_i3d.inflate takes: those of torchvision's or gluon-cv's ResNet-50\n",
            ],
        ),
    ],
)
def test_a_card_says_what_the_network_is_inflated_from_and_how_it_takes_long_videos(name, parts, capsys):
    text = printed(capsys, name)
    for part in parts:
        assert part in text
    assert all(len(line) <= 120 or "https://" in line for line in text.splitlines())


def test_a_card_of_a_network_of_which_little_is_said(more, capsys):
    text = printed(capsys, "S3D-bare")
    for part in ("no accuracy", "any number of frames at 25 fps", "none are fetched by name", "G for such a clip"):
        assert part in text
    text = printed(capsys, "S3D-milnce")
    for part in (
        'S3D(variant="milnce")',
        "in one pass, because each step sees the whole clip",
        "16 frames, every 2nd one at 10 fps; short side 256, crop 64",
        "  Conv3d_1a_7x7     8 x 32 x 32 x 64   4 x 8 x 8        2 x 2 x 2    0, -2, -2\n",
        "  Mixed_5c          2 x 2 x 2 x 1024   whole clip       8 x 32 x 32\n",
        "weight files that are read: of this package, miech",
    ):
        assert part in text


def test_as_json(capsys):
    listed = json.loads(printed(capsys, "--json"))
    assert {each["name"] for each in listed} == set(families.FAMILIES)
    card = json.loads(printed(capsys, "I3D", "--json"))
    assert {**card, "weights": None} == {**card, **listed[0], "weights": None}
    rgb = card["by_stream"]["rgb"]
    assert rgb["multiply_adds"] == pytest.approx(families.find("I3D").macs * 1e9, abs=5e6)
    assert rgb["clip"]["fps"] == 25
    by_name = {each["name"]: each for each in rgb["endpoints"]}
    assert list(by_name) == list(families.find("I3D").endpoints)
    assert by_name["Mixed_4f"]["shape"] == [16, 14, 14, 832]
    assert by_name["Mixed_4f"]["receptive_field"] == [63, 235, 235]
    assert by_name["Logits"]["receptive_field"] == [None, None, None]
    assert {(each["name"], each["stream"]) for each in card["weights"]} > {("kinetics", "rgb"), ("kinetics", "flow")}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["S4D"], "Received: 'S4D'. Did you mean: S3D"),
        (["i3d"], "Received: 'i3d'. Did you mean: I3D"),
        (["quux"], "Received: 'quux'. `keras-i3d models` lists them."),
        (["I3D", "S3D"], "one name of a network at most"),
        (["I3D", "--markdown"], "--markdown none"),
    ],
)
def test_mistakes(words, message, capsys):
    assert cli.main(["models", *words]) == 2
    assert message in capsys.readouterr().err


def test_as_markdown(capsys):
    assert printed(capsys, "--markdown") == network_cards.markdown() + "\n"


def test_columns():
    assert columns.row(["a long cell", "a\nb", "x"], [6, 2, 3]) == "a long  a   x\ncell    b"
    assert columns.wrapped("kinetics-scratch, a b", 10, " ") == ["kinetics-scratch,", " a b"]
    assert columns.fitted([("a", "bc"), ("def", "g")], "  ") == ["  a    bc", "  def  g"]
