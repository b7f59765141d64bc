"""What benchmarks claim, and the table that is made of it; nothing is timed here."""

import ast
import json
import os
import subprocess
import sys

import pytest
from made import ROOT, benchmarks

claims, summary, turns = (benchmarks.module(name) for name in ("claims", "summary", "turns"))
HALF = claims.Claim("export, 64 frames", 0.5, 1.0, "openvino", most=0.6)


def test_a_claim_is_a_ratio_and_an_aim():
    assert (HALF.ratio, HALF.aim, HALF.met) == (0.5, "<= 0.6", True)
    rate = claims.Claim("engine", 15, 1, "DualTVL1", "pairs/s", least=22)
    assert (rate.ratio, rate.aim, rate.met) == (15, ">= 22", False)
    assert (claims.Claim("memory", 3, 2, "network").met, claims.Claim("memory", 3, 2, "network").aim) == (None, "")
    assert claims.table([HALF, rate])[2:] == [
        "| export, 64 frames | 0.5 s | 1 s | openvino | 0.50 | <= 0.6 | yes |",
        "| engine | 15 pairs/s | 1 pairs/s | DualTVL1 | 15.00 | >= 22 | no |",
    ]


def test_claims_are_gathered_by_a_file(tmp_path, monkeypatch):
    monkeypatch.delenv(claims.FILE, raising=False)
    claims.claim("alone", 1, 2, "nobody")  # goes nowhere
    file = tmp_path / "claims.jsonl"
    monkeypatch.setenv(claims.FILE, str(file))
    claims.claim("a", 1, 2, "b")
    claims.claim("export, 64 frames", 0.5, 1.0, "openvino", most=0.6)
    claims.claim("a", 3, 2, "b")
    assert claims.read(file) == [claims.Claim("a", 3.0, 2.0, "b"), HALF]
    assert claims.read(tmp_path / "none") == []


def results(**parts):
    made = {"processor": "A processor", "cores": 2, "instructions": ["avx2"], "memory_gib": 8}
    return {"machine": made, "versions": {"keras": "3.15"}, "scripts": parts}


def part(load=0.1, **more):
    return {"date": "2026-11-26", "quick": False, "load_before": load, "claims": [vars(HALF)], **more}


STEPS = """
import sys, time
sys.path.insert(0, {folder!r})
import turns
steps = iter({steps})
turns.work(lambda: time.sleep(next(steps)) or 7)
"""


def stepping(*seconds):
    """The command of a process whose steps take so long; it fails when there are no more of them."""
    return [sys.executable, "-c", STEPS.format(folder=str(ROOT / "benchmarks"), steps=list(seconds))]


def test_a_peer_that_does_not_start_is_missing_and_the_others_are_measured():
    commands = {"ours": stepping(0, 0, 0), "failing": stepping(), "slow": stepping(60, 0, 0)}
    found = turns.measure(commands, 2, optional={"failing": 60, "slow": 0.5})
    assert list(found) == ["ours"]
    assert found["ours"]["results"] == [7] * 3
    assert 0 < found["ours"]["first"] < 60
    with pytest.raises(SystemExit, match="A worker ended early"):
        turns.measure({"ours": stepping()}, 1, optional={"failing": 60})


def test_the_report_says_the_machine_what_failed_and_what_was_busy():
    text = "\n".join(summary.lines(results(serving=part(), flow=part(1.5, failed="no numba", claims=[], quick=True))))
    assert text.startswith("A processor, 2 cores, 8 GiB; avx2.\nkeras 3.15.\n\n| claim |")
    assert "| export, 64 frames | 0.5 s | 1 s | openvino | 0.50 | <= 0.6 | yes |" in text
    assert "Measured on 2026-11-26." in text
    assert "- flow.py did not run to its end: no numba" in text
    assert "- flow.py ran on a busy machine: 1.5 cores were in use before it." in text
    assert "- flow.py ran in its quick form." in text
    assert "serving.py" not in text


def test_cores_that_others_use_are_counted():
    """A process that computes takes about one core more than none; the machine may have other work."""
    idle = summary.cores_in_use(0.1)
    assert 0 <= idle <= os.cpu_count()
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        try:
            assert summary.cores_in_use(0.3) > 0.3
        finally:
            other.kill()


def test_a_script_that_fails_is_a_line_and_the_rest_stays(tmp_path, monkeypatch):
    """Run as a user does, with two scripts in the place of the real ones."""
    home = tmp_path / "benchmarks"
    home.mkdir()
    for name in ("claims.py", "summary.py"):
        (home / name).write_text((ROOT / "benchmarks" / name).read_text(encoding="utf-8"), encoding="utf-8")
    good = "import claims\nclaims.claim('sound', 1, 2, 'peer', most=0.6)\nprint('measured')\n"
    (home / "fvd.py").write_text(good, encoding="utf-8")
    (home / "views.py").write_text("raise SystemExit('no peer here')\n", encoding="utf-8")

    def run(only):
        command = [sys.executable, str(home / "summary.py"), f"--only={only}", f"--output={tmp_path}/results.json"]
        environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
        return subprocess.run(command, capture_output=True, encoding="utf-8", env=environment)

    both = run("views,fvd")
    assert both.returncode == 1
    assert "- views.py did not run to its end: no peer here" in both.stdout
    assert "| sound | 1 s | 2 s | peer | 0.50 | <= 0.6 | yes |" in both.stdout
    (home / "views.py").write_text(good.replace("sound", "mended"), encoding="utf-8")
    again = run("views")
    assert again.returncode == 0, again.stderr
    kept = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["scripts"]
    assert [each["claims"][0]["name"] for each in kept.values()] == ["mended", "sound"]
    assert "did not run" not in again.stdout


def test_the_page_is_what_was_measured(tmp_path):
    page = (ROOT / "docs/performance.md").read_text(encoding="utf-8")
    assert summary.refreshed(page) == page, "make docs"
    file = tmp_path / "results.json"
    file.write_text(json.dumps(results(serving=part())), encoding="utf-8")
    text = summary.refreshed(f"a\n{summary.BEGIN}\nold\n{summary.END} b", file)
    assert text == "\n".join([f"a\n{summary.BEGIN}", *summary.lines(results(serving=part())), f"{summary.END} b"])


@pytest.mark.parametrize("script", summary.SCRIPTS)
def test_each_script_claims_something(script):
    """And its quick form is one of its flags."""
    text = (ROOT / f"benchmarks/{script}.py").read_text(encoding="utf-8")
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    assert any(getattr(call.func, "id", "") == "claim" for call in calls)
    flags = {call.args[0].value for call in calls if ast.unparse(call.func).startswith("flags.DEFINE_")}
    assert {flag.lstrip("-").partition("=")[0] for flag in summary.SCRIPTS[script] or []} <= flags
