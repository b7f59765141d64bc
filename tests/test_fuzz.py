"""The fuzz targets: what they count, and a short turn of that of records."""

import sys
import types

import pytest

from keras_i3d import facts


def test_the_table(tool, monkeypatch, capsys):
    """Whatever is neither an answer nor a refusal is something else."""
    fuzz, asked = tool("fuzz"), {}
    found = {
        "fuzz_videos": {"videos": {"tried": 5, "answered": 3, "refused": 2, "else": 0}},
        "fuzz_records": {"manifests": {"tried": 4, "answered": 1, "refused": 1, "tensorflow": 1, "else": 1}},
    }
    for name, counts in found.items():

        def run(seconds, seed, name=name, counts=counts):
            asked[name] = seconds, seed
            return counts

        monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(run=run))
    counts = fuzz.run(100, 7, {"fuzz_videos": 0.3, "fuzz_records": 0.1})
    assert asked == {"fuzz_videos": (pytest.approx(75), 7), "fuzz_records": (pytest.approx(25), 7)}
    assert fuzz.table(counts).splitlines()[2:] == ["| videos | 5 | 3 | 2 | 0 |", "| manifests | 4 | 1 | 1 | 2 |"]
    for targets, status in ((["fuzz_videos"], 0), (["fuzz_videos", "fuzz_records"], 1)):
        monkeypatch.setattr(sys, "argv", ["fuzz.py", "--targets", *targets])
        assert fuzz.main() == status
    assert "| manifests | 4 | 1 | 1 | 2 |" in capsys.readouterr().out


def test_two_targets_never_count_under_one_name(tool):
    targets = [tool(name) for name in ("fuzz_records", "fuzz_files", "fuzz_requests")]
    names = [kind for target in targets for kind in target.KINDS]
    assert len(names) == len(set(names))


def test_the_network_of_files_of_weights_is_made(tool, monkeypatch):
    from made import tiny

    monkeypatch.setattr(tiny, "shorten", lambda: None)
    assert facts.of(tool("fuzz_files")._network()).labels == ("a", "b", "c")


def test_a_case_of_records_is_fixed_by_its_seed_and_number(tool, tmp_path):
    records = tool("fuzz_records")
    for case in range(6):
        for name in ("a", "b"):
            records.write(3, case, tmp_path / name / str(case))
    contents = [{p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.*")} for n in "ab"]
    assert contents[0] == contents[1]
    assert len(set(contents[0].values())) > 6


def test_a_process_that_ends_and_one_that_hangs_are_something_else(tool, tmp_path, monkeypatch):
    fuzz_process = tool("fuzz_process")
    monkeypatch.setattr(fuzz_process, "SLOW", 2)
    script = tmp_path / "target.py"
    script.write_text(
        "import os, sys, time\n"
        "case = int(sys.argv[2].partition('=')[2])\n"
        "print('ready', flush=True)\n"
        "for case in range(case, 3):\n"
        '    os.abort() if case == 0 else time.sleep(60) if case == 2 else print(\'["refused", ""]\', flush=True)\n',
        encoding="utf-8",
    )
    cases = fuzz_process.tried(str(script), 60, 0)
    assert [next(cases)[:2] for _ in range(3)] == [(0, "else"), (1, "refused"), (2, "else")]
    cases.close()
    script.write_text("", encoding="utf-8")
    with pytest.raises(RuntimeError, match=r"target.py was not ready to try cases; its status is 0"):
        next(fuzz_process.tried(str(script), 60, 0))


@pytest.mark.slow
def test_records_are_answered_or_refused(tool):
    counts = tool("fuzz_records").run(60, 1)
    assert all(found["answered"] and found["refused"] and not found["else"] for found in counts.values()), counts
