"""What came of a verification: for the terminal, and as a report that can stand in an issue."""

import collections
import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import re

from keras_i3d import atomic, paths
from keras_i3d.errors import KerasI3DError, without_credentials
from keras_i3d.plurals import counted
from keras_i3d.verification.outcomes import DEVIATION, EXPECTED, SKIPPED, shown
from keras_i3d.weights import download

FORMS = (".md", ".json")


@dataclasses.dataclass(frozen=True)
class Verification:
    """What came of all checks.

    Attributes:
        outcomes: the Outcomes, in their order.
        machine: as of `machine_facts`.
        digests: {what: sha256} of the files and networks that were taken.
        unreachable: why files could not be fetched.
        offline: whether the cache alone counted.
        seconds: that it took.
    """

    outcomes: tuple
    machine: dict
    digests: dict
    unreachable: tuple = ()
    offline: bool = False
    seconds: float = 0.0

    @property
    def counts(self):
        """{status: how many checks}."""
        counted = collections.Counter(outcome.status for outcome in self.outcomes)
        return {status: counted[status] for status in (EXPECTED, DEVIATION, SKIPPED)}

    @property
    def passed(self):
        """Whether nothing deviates, every file that was asked for could be reached, and something was compared."""
        return not self.counts[DEVIATION] and not self.unreachable and self.counts[EXPECTED] > 0

    def of(self, status):
        """Returns the Outcomes of a status."""
        return [outcome for outcome in self.outcomes if outcome.status == status]

    def summary(self):
        """Returns a line with the counts, and a line that names what was skipped."""
        counts = self.counts
        said = f"{counts[EXPECTED]} as expected, {counts[DEVIATION]} deviating, {counts[SKIPPED]} skipped"
        lines = [f"{counted(len(self.outcomes), 'check')}: {said}"]
        if counts[SKIPPED]:
            lines.append(f"skipped: {', '.join(outcome.check.name for outcome in self.of(SKIPPED))}")
        if not counts[EXPECTED] and not counts[DEVIATION]:
            lines.append("nothing was compared")
        return "\n".join(lines)

    def __str__(self):
        return "\n".join([*map(str, self.outcomes), self.summary()])

    def record(self):
        """Returns what the JSON report holds: plain values, without a user's paths."""
        return clean(
            {
                "machine": self.machine,
                "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
                "passed": self.passed,
                "counts": self.counts,
                "offline": self.offline,
                "seconds": round(self.seconds, 1),
                "checks": [outcome.record() for outcome in self.outcomes],
                "sha256": self.digests,
                "unreachable": list(self.unreachable),
            }
        )

    def markdown(self):
        """Returns the same as Markdown, to be put in an issue."""
        record = self.record()
        lines = ["# keras-i3d verify", "", f"{record['date']}, {record['seconds']:.0f} seconds."]
        lines += ["", *(f"- {what}: {value}" for what, value in record["machine"].items())]
        lines += ["", *clean(self.summary()).splitlines()[:1], ""]
        lines += _table(("check", "", "measured", "expected", "allowed", "note"), map(_row, self.outcomes))
        lines += ["", "<details><summary>How each is measured</summary>", ""]
        rows = ((o.check.name, o.check.how, o.check.source, o.check.why) for o in self.outcomes)
        lines += _table(("check", "how", "expected value from", "why it may be so far off"), rows)
        lines += ["", "</details>"]
        if record["sha256"]:
            lines += ["", "## sha256", "", "Of networks: of all arrays by the order of their layers' names.", ""]
            lines += _table(("file or network", "sha256"), record["sha256"].items())
        return "\n".join(lines) + "\n"

    def write(self, path):
        """Writes the report, as Markdown or JSON by the ending of its name."""
        path = check_name(path)
        if path.suffix == ".md":
            return atomic.write_text(path, self.markdown())
        return atomic.write_text(path, json.dumps(self.record(), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def check_name(path):
    """Returns a path that a report can be written to, or raises ValueError."""
    path = pathlib.Path(paths.expand(path))
    if path.suffix not in FORMS:
        raise ValueError(f"A report's name ends in {' or '.join(FORMS)}. Received: output={str(path)!r}")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"The folder of a report must be there. Received: output={str(path)!r}")
    return path


def _row(outcome):
    measured = "" if outcome.measured is None else shown(outcome.measured)
    check = outcome.check
    return check.name, outcome.status, measured, shown(check.expected), check.allowed(), outcome.note


def _table(titles, rows):
    """Lines of a Markdown table; what is in the cells is text."""
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    for row in rows:
        cells = (re.sub(r"\s+", " ", clean(str(cell))).replace("|", "\\|").replace("<", "&lt;") for cell in row)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def clean(value):
    """Returns plain values whose texts name no place of the user's: home, cache, mirror, other absolute paths."""
    if isinstance(value, str):
        return _without_paths(value)
    if isinstance(value, dict):
        return {key: clean(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [clean(each) for each in value]
    return value


def _without_paths(text):
    known = {}
    places = {name: os.environ.get(name) for name in ("KERAS_I3D_MIRROR", "HOME")} | {"PWD": os.getcwd()}
    for name, value in places.items():
        value = (value or "").rstrip("/")
        if len(value) > 1:
            without = re.sub(r"(://)[^/]*@", r"\1", value)  # messages tell a mirror without its user and password
            known |= dict.fromkeys((value, without_credentials(value), without), f"${name}")
    with contextlib.suppress(KerasI3DError):  # nobody's home
        known[str(download.cache_folder())] = "$KERAS_HOME/keras_i3d"
    for value, name in sorted(known.items(), key=lambda pair: -len(pair[0])):
        text = re.sub(rf"{re.escape(value)}(?![\w-])", lambda found, name=name: name, text)
    # Any other absolute path keeps its last name; what follows a letter, a colon or a $NAME is a URL or a part.
    return re.sub(r"(?<![\w:/.}*])(?:[A-Za-z]:)?[/\\](?:[^\s/\\'\",;()]+[/\\])+", ".../", text)
