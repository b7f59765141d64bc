"""All benchmarks one after the other, and one table of what they claim, with the machine and the date.

  python benchmarks/summary.py [--only=inference,flow] [--quick] [--output=benchmarks/results.json]

Each script prints what it prints by itself. What it claims is gathered: a figure of ours, that of a peer or of a limit
in the same run, their ratio, the aim, and whether it is met. The table is printed at the end, and written as JSON, from
which `make docs` makes the table of docs/performance.md. A script that fails, or whose peer is not installed, is a line
of its own; its claims of an earlier run in the same file go. With --only the claims of all other scripts stay.

The file says how busy the machine was just before each script: the cores in use, over some seconds in which this
process waits; where the system does not count that, the load of the minute before. Above half a core the figures are
of a busy machine.
"""

import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
import textwrap
import time

import claims
from absl import app, flags

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

# In the order in which they run. What a script takes in a quick run; None if it has no shorter one.
SCRIPTS = {
    "inference": ["--quick"],
    "runtimes": ["--rows=bfloat16/16", "--turns=3"],
    "serving": ["--quick"],
    "training": ["--quick"],
    "family": ["--quick"],
    "flow": ["--pairs=2"],
    "pipeline": ["--quick"],
    "records": ["--videos=2"],
    "views": ["--quick"],
    "features": ["--quick"],
    "fvd": None,
}
PACKAGES = ("tensorflow", "keras", "numpy", "jax", "opencv-contrib-python-headless", "torch", "openvino", "av")
BEGIN, END = "<!-- results of benchmarks -->", "<!-- end of results -->"  # in a page, around what `lines` returns
BUSY = 0.5  # cores in use before a script, above which its figures are of a busy machine

WATCHED = 3  # seconds over which that is counted

_ONLY = flags.DEFINE_list("only", list(SCRIPTS), "Scripts to run.")
_QUICK = flags.DEFINE_bool("quick", False, "The shortest form of each script: whether they run, more than how fast.")
_OUTPUT = flags.DEFINE_string("output", str(HERE / "results.json"), "The file of the results.")


def machine():
    """What the figures depend on: the processor, its cores and instructions, memory, versions."""
    model, instructions = platform.processor() or platform.machine(), []
    if os.path.exists("/proc/cpuinfo"):
        text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
        lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        values = {name.strip(): value.strip() for name, value in lines.items()}
        model = values.get("model name", model)
        instructions = [name for name in ("avx2", "avx512f", "amx_bf16") if name in values.get("flags", "").split()]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"processor": model, "cores": cores, "instructions": instructions, "memory_gib": round(memory)}


def versions():
    """{package: version} of those that are installed."""
    from keras_i3d.version import __version__

    found = {"keras-i3d": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def cores_in_use(seconds=WATCHED):
    """How many cores others use now. Linux counts it; elsewhere the mean load of the last minute."""
    if not os.path.exists("/proc/stat"):
        return os.getloadavg()[0]

    def counted():
        times = [
            int(word) for word in pathlib.Path("/proc/stat").read_text(encoding="utf-8").split("\n")[0].split()[1:9]
        ]
        return sum(times), times[3] + times[4]  # all, and those in which nothing ran

    (total, idle), _, (total_after, idle_after) = counted(), time.sleep(seconds), counted()
    return os.cpu_count() * (1 - (idle_after - idle) / max(total_after - total, 1))


def run(script, quick):
    """Runs a script; returns what the file of results says of it."""
    command = [sys.executable, str(HERE / f"{script}.py"), *((SCRIPTS[script] or []) if quick else [])]
    load = cores_in_use()
    print(f"\n== {' '.join([f'{script}.py', *command[2:]])}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "claims.jsonl"
        done = subprocess.run(command, env={**os.environ, claims.FILE: str(file)}, stderr=subprocess.PIPE)
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        found = claims.read(file)
    result = {
        "date": datetime.date.today().isoformat(),
        "quick": quick,
        "load_before": round(load, 2),
        "claims": [vars(each) for each in found],
    }
    if done.returncode:
        result["failed"] = said[-1] if said else f"exit code {done.returncode}"
        print(*said[-20:], sep="\n")
    return result


def lines(results):
    """Returns the lines of the report on the content of a file of results."""
    made, of = results["machine"], results["versions"]
    text = [
        f"{made['processor']}, {made['cores']} cores, {made['memory_gib']} GiB"
        f"{'; ' + ', '.join(made['instructions']) if made['instructions'] else ''}.",
        *textwrap.wrap(", ".join(f"{name} {version}" for name, version in of.items()) + ".", 120),
        "",
    ]
    found = [claims.Claim(**each) for part in results["scripts"].values() for each in part["claims"]]
    text += claims.table(found)
    notes = []
    for script, part in results["scripts"].items():
        if part.get("failed"):
            notes.append(f"{script}.py did not run to its end: {part['failed']}")
        if part["load_before"] > BUSY:
            notes.append(f"{script}.py ran on a busy machine: {part['load_before']} cores were in use before it.")
        if part["quick"]:
            notes.append(f"{script}.py ran in its quick form.")
    days = sorted({part["date"] for part in results["scripts"].values()})
    text += ["", f"Measured on {' and '.join(dict.fromkeys([days[0], days[-1]]))}."] if days else []
    return text + ([""] + [f"- {note}" for note in notes] if notes else [])


def refreshed(text, path=HERE / "results.json"):
    """Returns the text of a page with the report between the comments that mark it, made of a file of results."""
    made = "\n".join([BEGIN, *lines(json.loads(path.read_text(encoding="utf-8"))), END])
    return re.sub(rf"{BEGIN}\n.*?{END}", lambda found: made, text, flags=re.DOTALL)


def main(argv):
    del argv
    from keras_i3d import atomic

    unknown = sorted(set(_ONLY.value) - set(SCRIPTS))
    if unknown:
        raise app.UsageError(f"--only takes {', '.join(SCRIPTS)}. Received: {', '.join(unknown)}")
    path = pathlib.Path(_OUTPUT.value)
    kept = json.loads(path.read_text(encoding="utf-8"))["scripts"] if path.exists() else {}
    for script in SCRIPTS:
        if script in _ONLY.value:
            kept[script] = run(script, _QUICK.value)
            ordered = {name: kept[name] for name in SCRIPTS if name in kept}
            results = {"machine": machine(), "versions": versions(), "scripts": ordered}
            atomic.write_text(path, json.dumps(results, indent=1) + "\n")  # what is there stays if the next one fails
    print("", *lines(results), sep="\n")
    return int(any(part.get("failed") for name, part in kept.items() if name in _ONLY.value))


if __name__ == "__main__":
    app.run(main)
