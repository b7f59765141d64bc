"""What a benchmark claims: a figure of this package, that of a peer or a limit of the same run, their ratio, its aim.

A script calls `claim` for each; by itself it prints what it always prints. `summary.py` runs the scripts and gathers
their claims by a file that each is told of in its environment.
"""

import dataclasses
import json
import os

FILE = "KERAS_I3D_CLAIMS"  # names the file, of a line of JSON a claim


@dataclasses.dataclass(frozen=True)
class Claim:
    """One line of the summary.

    Attributes:
        name: what is measured.
        ours: the figure of this package.
        peer: that of the other one, by the same measure.
        of: who or what the other one is.
        unit: of both, "s" or "GB" or "frames/s".
        least, most: what their ratio, ours / peer, should be at least or at most. Neither: no aim was set.
    """

    name: str
    ours: float
    peer: float
    of: str
    unit: str = "s"
    least: float | None = None
    most: float | None = None

    @property
    def ratio(self):
        return self.ours / self.peer

    @property
    def met(self):
        """Whether the aim is met; None without one."""
        if self.least is None and self.most is None:
            return None
        return (self.least is None or self.ratio >= self.least) and (self.most is None or self.ratio <= self.most)

    @property
    def aim(self):
        """The aim in short, as "<= 0.95"; "" if none was set."""
        words = [(">=", self.least), ("<=", self.most)]
        return " and ".join(f"{sign} {value:g}" for sign, value in words if value is not None)


def claim(name, ours, peer, of, unit="s", least=None, most=None):
    """Notes a claim for `summary.py`, if that runs this script; the arguments are those of `Claim`."""
    file = os.environ.get(FILE)
    made = Claim(name, float(ours), float(peer), of, unit, least, most)
    if file:
        with open(file, "a", encoding="utf-8") as lines:
            lines.write(json.dumps(dataclasses.asdict(made)) + "\n")
    return made


def read(path):
    """Returns the claims of a file, those of the same name once: the last one."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as lines:
        found = [Claim(**json.loads(line)) for line in lines]
    return list({each.name: each for each in found}.values())


def table(claims):
    """Returns the lines of a Markdown table of claims."""
    lines = ["| claim | ours | peer | by | ratio | aim | met |", "|---|---|---|---|---|---|---|"]
    words = {True: "yes", False: "no", None: ""}
    for each in claims:
        ours, peer = (f"{value:.3g} {each.unit}" for value in (each.ours, each.peer))
        lines.append(
            f"| {each.name} | {ours} | {peer} | {each.of} | {each.ratio:.2f} | {each.aim} | {words[each.met]} |"
        )
    return lines
