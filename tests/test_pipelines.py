"""Work by Beam. With real workers it is run by the tests of records and of features."""

import pytest

from keras_i3d import pipelines


def test_what_a_worker_says_is_the_reason_alone():
    said = (
        "RuntimeError: tensorflow.python.framework.errors_impl.ResourceExhaustedError: a.part; No space left on device"
    )
    clean = "ResourceExhaustedError: a.part; No space left on device"
    assert pipelines.without_origin(f"{said} [while running 'Map(_write)']") == clean
    assert pipelines.without_origin("OSError: it is [1]") == "OSError: it is [1]"
    assert pipelines.without_origin("keras_i3d.errors.BuildError: out/x: full. [while running 'x']") == "out/x: full."
    said = "keras_i3d.errors.FeaturesError: out/x.npy: full. [while running 'x']"
    assert pipelines.without_origin(said) == "out/x.npy: full."
    assert pipelines.without_origin("a worker was lost") == "a worker was lost"


def test_other_runners_end_as_their_state_says(monkeypatch):
    class Result:
        cancelled = False

        def wait_until_finish(self):
            if state == "interrupted":
                raise KeyboardInterrupt
            return state

        def cancel(self):
            self.cancelled = True

    pytest.importorskip("apache_beam", reason="needs Apache Beam: pip install 'keras-i3d[beam]'")
    given, result = [], Result()
    pipeline = type("Pipeline", (), {"run": lambda self: result})
    monkeypatch.setattr(pipelines, "_pipeline", lambda *words: given.append(words) or pipeline())
    state = "DONE"
    pipelines.remote(len, [1], "x", "DataflowRunner", ["--project=p"])
    function, items, settings, options = given[0]
    assert (function, items, settings) == (len, [1], "x")
    assert options.get_all_options()["runner"] == "DataflowRunner"
    state = "FAILED"
    with pytest.raises(pipelines.WorkersError, match="DataflowRunner ended with FAILED"):
        pipelines.remote(len, [1], "x", "DataflowRunner", [])
    state = "interrupted"
    with pytest.raises(KeyboardInterrupt):
        pipelines.remote(len, [1], "x", "DataflowRunner", [])
    assert result.cancelled
