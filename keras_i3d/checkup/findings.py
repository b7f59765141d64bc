"""What was found, how bad it is, and what to do: one Finding for each thing that a check looked at.

A check is a function that yields Findings. `look` calls it, and turns an exception into a Finding of its own, because
an installation that needs a doctor may break any of them.
"""

import dataclasses
import textwrap

from keras_i3d.errors import one_line, without_credentials

FAULT, WARNING, NOTE, FINE = LEVELS = ("fault", "warning", "note", "fine")
WIDTH = 100  # characters of a line of text


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: "fault" if results are wrong, "warning" if they may be, "note" for what is worth knowing, or "fine".
        code: the name of the finding, as in docs/doctor.md: "records.label_order".
        found: what was found, with its numbers.
        why: why it matters; "" if it is fine.
        remedy: a command or a setting; "" if there is nothing to do.
        about: what was looked at: "environment", "cache", or a path.
    """

    level: str
    code: str
    found: str
    why: str = ""
    remedy: str = ""
    about: str = ""

    def record(self):
        """Returns the attributes by their names, as --json prints them."""
        return dataclasses.asdict(self)


def fine(code, found):
    """A Finding of what is as it should be."""
    return Finding(FINE, code, found)


def note(code, found, why="", remedy=""):
    """A Finding that is worth knowing, and need not be wrong."""
    return Finding(NOTE, code, found, why, remedy)


def warning(code, found, why, remedy):
    """A Finding that may make results wrong."""
    return Finding(WARNING, code, found, why, remedy)


def fault(code, found, why, remedy):
    """A Finding that makes results wrong, or stops the work."""
    return Finding(FAULT, code, found, why, remedy)


def look(about, checks, *given):
    """Yields the Findings of checks, about one thing.

    Args:
        about: what they look at.
        checks: functions of `given` that yield Findings. What one raises is a Finding, and the next one is called.
        given: what each of them is called with.
    """
    for check in checks:
        try:
            yield from (dataclasses.replace(found, about=found.about or str(about)) for found in check(*given))
        except Exception as error:  # whatever it is, the next check is made
            yield dataclasses.replace(unchecked(check.__name__.strip("_").replace("_", " "), error), about=str(about))


def unchecked(what, error):
    """The Finding of a check that failed itself."""
    return warning(
        "unchecked",
        f"{what}: could not be checked: {type(error).__name__}: {without_credentials(one_line(error, 300))}",
        "nothing is known of this, so it may be what is wrong",
        "--verbose shows what libraries print; what another line says may be the cause",
    )


def counted(findings):
    """Returns {level: how many} of Findings, for every level."""
    found = [finding.level for finding in findings]
    return {level: found.count(level) for level in LEVELS}


def summary(findings):
    """Returns the last line: "1 fault, 2 warnings, 3 notes, 12 fine"."""
    words = [f"{count} {level}{'s' * (count != 1)}" for level, count in counted(findings).items() if level != FINE]
    return ", ".join([*words, f"{counted(findings)[FINE]} fine"])


def text(findings, everything=False):
    """Returns the lines about Findings of one thing, what is wrong first.

    Args:
        findings: of one thing; or of several of a kind, and then what several have in common is said once.
        everything: whether what is fine gets a line each; else one line counts it.
    """
    lines = []
    findings = _gathered(findings)
    for level in LEVELS:
        of_level = [finding for finding in findings if finding.level == level]
        if level == FINE and not everything and of_level:
            names = ", ".join(dict.fromkeys(finding.code.rpartition(".")[2].replace("_", " ") for finding in of_level))
            of_level = [fine("", names)]
        for finding in of_level:
            lines += _wrapped(f"{finding.level:<8} ", finding.found)
            if finding.why:
                lines += _wrapped(" " * 9, f"{finding.why[0].upper()}{finding.why[1:]}.")
            if finding.remedy:
                lines.append(f"        -> {finding.remedy}")  # whole: a command that is broken cannot be pasted
    return lines


def _gathered(findings):
    """Findings of several things, of which those with the same level and code are one that counts them.

    Of faults those alone whose words are the same, too: what is wrong with one thing is not what is wrong with another.
    """
    things = list(dict.fromkeys(finding.about for finding in findings))
    if len(things) < 2:
        return findings
    alike = {}
    for finding in findings:
        words = finding.found if finding.level == FAULT else None
        alike.setdefault((finding.level, finding.code, words), []).append(finding)
    told = []
    for first, *others in alike.values():
        count = len({first.about, *(other.about for other in others)})  # one thing may have several of a code
        where = first.about if count == 1 else f"{count} of {len(things)}, the first {first.about}"
        told.append(dataclasses.replace(first, found=f"{where}: {first.found}"))
    return told


def _wrapped(begin, said):
    """Lines of a text, the first after `begin`, the others below its end; names and numbers are not broken."""
    return textwrap.wrap(
        said,
        WIDTH,
        initial_indent=f"  {begin}",
        subsequent_indent=" " * (2 + len(begin)),
        break_long_words=False,
        break_on_hyphens=False,
    )


def some(names, most=3):
    """Returns the first of several names, and how many more there are: "a, b, c and 4 more"."""
    names = list(map(str, names))
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def low_to_high(numbers):
    """Returns the range of numbers in words: "12 to 45", or "12"."""
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"
