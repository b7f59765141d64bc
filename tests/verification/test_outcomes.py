"""What holds within a tolerance, and what does not."""

import json
import math

import pytest

from keras_i3d.verification import Check


def check(expected, tolerance=None, relative=False):
    return Check("x.y", expected, "source", "how", tolerance, "why", relative)


@pytest.mark.parametrize(
    ("made", "measured", "holds"),
    [
        (check(10.0, 0.1), 10.0999, True),
        (check(10.0, 0.1), 9.8999, False),
        (check(10.0, 0.1), math.nan, False),
        (check(10.0, 0.1), math.inf, False),
        (check((1.0, 100.0), 0.01, True), (1.009, 100.9), True),
        (check((1.0, 100.0), 0.01, True), (1.02, 100.0), False),
        (check((1.0, 100.0), 1.0), (1.0,), False),
        (check(("a", "b")), ("a", "b"), True),
        (check(("a", "b")), ("b", "a"), False),
        (check("verified"), "verified", True),
    ],
)
def test_judged(made, measured, holds):
    outcome = made.judged(measured)
    assert outcome.status == ("as expected" if holds else "deviation")
    assert ("DEVIATION" in str(outcome)) == (not holds)


def test_what_is_printed():
    assert str(check(10.0, 0.1).judged(10.05)) == (
        "as expected  x.y                                10.05 (expected 10, within 0.1)"
    )
    assert check(10.0, 1e-4, True).allowed() == "within 0.01 %"
    assert str(check(10.0).skipped("because")).split() == ["skipped", "x.y", "because"]
    assert check(10.0, 0.1).judged(math.nan).record()["measured"] == "nan"
    assert check((1.0, 2.0), 0.1).judged((1.0, 2.0)).record()["expected"] == (1.0, 2.0)


def test_what_is_not_finite_has_a_place_in_json():
    record = check((1.0, 2.0), 0.1).judged((math.nan, math.inf)).record()
    assert record["status"] == "deviation"
    assert json.loads(json.dumps(record, allow_nan=False))["measured"] == ["nan", "inf"]
