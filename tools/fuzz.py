"""Every fuzz target after the other: what nobody chose is answered, or refused by an error of this package.

  python tools/fuzz.py --seconds=600 --seed=0 --output=fuzz.md

Prints a table, a row a kind of input: cases tried, answered, refused by an error of this package that says what was
wrong, and anything else: another error, a wrong answer, too much memory, a process that ended, a minute without an
answer. The exit status is 1 unless there is nothing else. A line names each such case, with what gives it again.
"""

import importlib
import pathlib
import sys

# A module of this folder each, and its share of the time.
TARGETS = {"fuzz_videos": 0.3, "fuzz_records": 0.2, "fuzz_files": 0.3, "fuzz_requests": 0.2}
COLUMNS = ("kind", "tried", "answered", "refused", "anything else")


def run(seconds, seed, targets=TARGETS):
    """Runs the targets for so many seconds in all; returns {kind: {"tried", "answered", "refused", "else"}}."""
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
    modules = {name: importlib.import_module(name) for name in targets}  # all, before the first one takes minutes
    counts = {}
    for name, module in modules.items():
        share = seconds * targets[name] / sum(targets.values())
        print(f"{name}: {share:.0f} s, seed {seed}", file=sys.stderr, flush=True)
        found = module.run(share, seed)
        assert not counts.keys() & found.keys(), "two targets count under one name"
        counts |= {kind: _counted(each) for kind, each in found.items()}
    return counts


def _counted(found):
    """All that is neither an answer nor an error of this package is something else."""
    kept = {name: found[name] for name in ("tried", "answered", "refused")}
    return {**kept, "else": found["tried"] - found["answered"] - found["refused"]}


def table(counts):
    """Returns the counts as a table in Markdown."""
    names = "tried", "answered", "refused", "else"
    rows = [(kind, *(str(found[name]) for name in names)) for kind, found in counts.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in (COLUMNS, ["---"] * len(COLUMNS), *rows)) + "\n"


def main():
    """The command line."""
    import argparse

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    given = parser.parse_args()
    counts = run(given.seconds, given.seed, {name: TARGETS[name] for name in given.targets})
    print(table(counts), end="")
    if given.output:
        pathlib.Path(given.output).write_text(table(counts), encoding="utf-8")
    if not all(found["tried"] for found in counts.values()):
        print("a target tried nothing: give it more --seconds", file=sys.stderr)
        return 1
    return 1 if any(found["else"] for found in counts.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
