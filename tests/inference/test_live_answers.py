"""An answer as a line and as JSON."""

import json

import numpy as np

from keras_i3d.inference import LiveAnswer, Prediction

ANSWER = LiveAnswer(
    "rtsp://***@camera", 1.0, 3.5600001, [Prediction("run", 1, 0.75, 2.0), Prediction("rest", 0, 0.25, 0.9)],
    np.zeros(2, np.float32), {}, 0.4, dropped=3,
)  # fmt: skip


def test_text():
    assert str(ANSWER) == "    1.00 to 3.56 s: run 0.750, rest 0.250  (0.40 s behind, 3 dropped)"


def test_nothing_above_its_threshold():
    none = LiveAnswer("x", 0.0, 1.0, [], np.zeros(2, np.float32), {}, 0.0, missing=2)
    assert str(none).endswith("s: nothing  (0.00 s behind, 0 dropped, 2 missing)")


def test_classes_below_their_thresholds_say_so():
    several = [Prediction("run", 1, 0.75, 1.1, above=True), Prediction("rest", 0, 0.25, -1.1, above=False)]
    said = str(LiveAnswer("x", 0.0, 1.0, several, np.zeros(2, np.float32), {}, 0.0))
    assert "s: run 0.750, rest 0.250 (below its threshold)  (0.00 s behind" in said


def test_record():
    record = json.loads(json.dumps(ANSWER.record()))
    assert record["predictions"][0] == {"label": "run", "index": 1, "probability": 0.75, "logit": 2.0}
    assert (record["end"], record["delay"], record["dropped"], record["segment"]) == (3.56, 0.4, 3, 1)
