"""Benchmarks for a machine with a GPU, where there may be JAX and no TensorFlow: they run, small, on a processor."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
BLOCKED = """
import os, runpy, sys
sys.modules["tensorflow"] = None  # importing it fails, as where it is not installed
sys.argv = sys.argv[1:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))  # as `python SCRIPT` does: the benchmarks import each other
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(script, *arguments):
    """What a script prints in a process that cannot import TensorFlow."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("KERAS", "TF_", "JAX"))}
    environment |= {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    environment["XLA_FLAGS"] = "--xla_backend_optimization_level=0"  # compiling is most of these tests
    command = [sys.executable, "-c", BLOCKED, str(ROOT / "benchmarks" / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_flow_runs_without_tensorflow():
    pytest.importorskip("jax", reason="the layer is benchmarked on JAX")
    if not hasattr(pytest.importorskip("cv2", reason="OpenCV is the peer"), "optflow"):
        pytest.skip("DualTVL1 is of opencv-contrib-python")
    printed = run("flow.py", "--pairs=2", "--height=48", "--device=cpu", "--batch=3")
    assert "engine against DualTVL1, pair by pair" in printed
    for method in ("layer opencv, cpu, batches of 3", "layer fastest, CPU", "engine, one core", "DualTVL1, one core"):
        assert method in printed
    shares = next(line for line in printed.splitlines() if line.startswith("layer opencv, CPU")).split()
    assert float(shares[-5]) < 0.05  # px apart from DualTVL1


@pytest.mark.slow
def test_training_runs_without_tensorflow():
    pytest.importorskip("jax", reason="the benchmark is of JAX")
    printed = run("training_gpu.py", "--quick", "--steps=4")
    rows = [line.split("|")[1:-1] for line in printed.splitlines() if line.startswith(("| rgb", "| flow"))]
    assert [row[1].strip() for row in rows] == ["float32", "mixed_float16", "mixed_bfloat16"] * 2
    assert all(float(row[4]) > 0 for row in rows)
