"""What an export says of the weights that it was made of. Apart from its siblings, which cut I3D short."""

import json
import re

import numpy as np
from made import small_runs

from keras_i3d import networks, runs
from keras_i3d.export import card as cards
from keras_i3d.models import families


def test_published_weights_say_where_they_are_from(repository):
    card = cards.provenance("kinetics", "rgb", networks.load("kinetics", "rgb").model)
    assert card["checkpoint"] == "rgb_imagenet"
    assert re.fullmatch("[0-9a-f]{40}", card["git_blob"])
    assert re.fullmatch("[0-9a-f]{64}", card["sha256_of_arrays"])


def test_a_run_does_not_say_where_it_lies_on_a_machine(tmp_path):
    run = small_runs.run(tmp_path / "rgb", "rgb")
    for records, weights, shown in (
        ("/home/anna/records/train-*", "/home/anna/w.weights.h5", ("records/train-*", "w.weights.h5")),
        ("/home/anna/records, ../anna/a[1]/x", "kinetics", ("records, a[1]/x", "kinetics")),
        ("records/train-*", None, ("records/train-*", None)),
    ):
        content = json.loads((run / "run.json").read_text(encoding="utf-8")) | {"records": records, "weights": weights}
        (run / "run.json").write_text(json.dumps(content), encoding="utf-8")
        card = cards.provenance(str(run), "rgb", runs.load_model(run))
        assert (card["training"]["records"], card["training"]["weights"]) == shown
        assert "anna" not in json.dumps(card)
        assert str(tmp_path) not in json.dumps(card)


def test_the_clips_of_the_deviation_span_what_a_network_takes():
    """C3D takes values from -128 to 151, to which a clip in [-1, 1] would be one grey."""
    values = cards.clip((2, 96, 160, 3), 0)
    spec = families.find("C3D").clips["rgb"]
    spread = cards.spread(values, spec)
    low, high = np.float64(spec.mean) * -255, (1 - np.float64(spec.mean)) * 255
    assert (spread.min(axis=(0, 1, 2)) < low * 0.8).all()
    assert (spread.max(axis=(0, 1, 2)) > high * 0.8).all()
    np.testing.assert_array_equal(cards.spread(values, families.find("I3D").clips["rgb"]), values)
