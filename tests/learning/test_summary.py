"""What `learn` says at its end, from the figures of an evaluation."""

import json

from keras_i3d.learning import summary


def test_labels_over_time_are_said_to_be_measured_per_frame(tmp_path):
    found = {"videos": 20, "split": "test", "chance": 0.2327, "top1_intervals": {}}
    several = {"mean_ap": 0.655, "frame_ap": None, "peak_ap": None}

    def said(metrics):
        (tmp_path / "results.json").write_text(json.dumps(found | {"metrics": {"rgb": metrics}}))
        return summary.accuracies(tmp_path / "results.json")

    of = "on 20 videos of the split test (chance 23.3%):"
    assert said(several) == [f"Mean average precision {of}", "  rgb    65.5%"]
    assert said(several | {"frame_ap": 0.377}) == [f"Mean average precision per frame {of}", "  rgb    37.7%"]
    assert said(several | {"frame_ap": 0.0})[1] == "  rgb    0.0%", "the worst figure is one, too"
