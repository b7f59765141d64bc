"""What goes with a Frechet video distance: its protocol card, what makes it hard to compare, and how it is printed."""

import dataclasses

from keras_i3d.frechet.distances import Distance, Extrapolation, Interval, KernelDistance, few_rows

FEW_FRAMES = 10
NAMED = 100  # videos that a card names of each kind that is left out
STILL = 0.05  # a share of the distance: what moves it by less does not move it
ZERO = 1e-9  # a distance below it is what rounding leaves of none


@dataclasses.dataclass(frozen=True)
class VideoDistance:
    """A Frechet video distance with all that it depends on; `float(result)` is its value.

    Attributes:
        value: the distance.
        protocol: name of the protocol.
        card: {name: what JSON holds}, how the number came about: both sides, frames, sampling, resize, estimator, the
            network with the hash of its weights, the package's version.
        warnings: sentences on what makes the number hard to compare, or meaningless.
        distance: distances.Distance, with the parts of the means and of the covariances.
        kernel: distances.KernelDistance of the same rows, unbiased and cubic, with the error over ten blocks; or None.
        interval: distances.Interval by bootstrap; or None.
        extrapolation: distances.Extrapolation to infinitely many videos; or None.
        motion: {"real", "generated": {"frozen", "shuffled": distance}} of the motion check; or None.
    """

    value: float
    protocol: str
    card: dict
    warnings: tuple
    distance: Distance
    kernel: KernelDistance | None = None
    interval: Interval | None = None
    extrapolation: Extrapolation | None = None
    motion: dict | None = None

    def __float__(self):
        return self.value

    def __str__(self):
        card = self.card
        lines = [f"FVD {number(self.value)}, protocol {self.protocol}, {card['frames']} frames"]
        lines += [f"  {name:<11}{text}" for name, text in self.numbers()]
        lines += [f"  {name:<11}{card[name]}" for name in ("resize", "estimator", "source")]
        lines += _common_lines(card)
        return "\n".join([*lines, *(f"  warning: {warning}" for warning in self.warnings)])

    def record(self):
        """Returns what `--json` prints: plain numbers, strings, lists and dictionaries."""
        found = {
            "value": self.value,
            "protocol": self.protocol,
            "mean_term": self.distance.mean_term,
            "covariance_term": self.distance.covariance_term,
            "card": self.card,
            "warnings": list(self.warnings),
        }
        if self.kernel:
            found["kernel"] = {"value": self.kernel.value, "standard_error": self.kernel.standard_error}
        if self.interval:
            found["interval"] = {name: getattr(self.interval, name) for name in ("low", "high", "level")}
            found["interval"]["draws"] = len(self.interval.draws)
        if self.extrapolation:
            found["extrapolated"] = {
                "value": self.extrapolation.value,
                "slope": self.extrapolation.slope,
                "misfit": self.extrapolation.misfit,
                "points": [list(point) for point in self.extrapolation.points],
            }
        if self.motion:
            found["motion"] = self.motion
        return found

    def numbers(self):
        """Yields pairs of (name, text) of the numbers next to the distance."""
        parts = self.distance
        yield "parts", f"means {number(parts.mean_term)}, covariances {number(parts.covariance_term)}"
        if self.kernel:
            error = self.kernel.standard_error
            over = "" if error is None else f" +- {error:.3g} (standard error over ten blocks)"
            yield "kernel", f"{self.kernel.value:.6g}{over}, unbiased, cubic"
        if self.interval:
            found = self.interval
            text = f"{number(found.low)} to {number(found.high)} ({found.level:.0%}, {len(found.draws)} draws)"
            yield "interval", text
        if self.extrapolation:
            found = self.extrapolation
            yield "N -> inf", f"{number(found.value)}; points are off the line by {found.misfit:.3g} at most"
        for side, values in (self.motion or {}).items():
            yield "motion", motion_text(side, values, self.value)


@dataclasses.dataclass(frozen=True)
class VideoDistances:
    """The distances of one pass by several protocols.

    Attributes:
        protocols: {name: VideoDistance}.
        refused: {name: why} of protocols that such videos cannot be measured by.
    """

    protocols: dict
    refused: dict

    def __getitem__(self, name):
        return self.protocols[name]

    def __str__(self):
        lines = ["FVD by protocol; no two of these numbers can be compared with each other"]
        for name, found in self.protocols.items():
            lines.append(f"{name}: {number(found.value)}")
            lines += [f"  {each:<11}{text}" for each, text in found.numbers()]
            lines += [f"  {each:<11}{found.card[each]}" for each in ("resize", "estimator", "source")]
        lines += [f"{name}: none\n  {why}" for name, why in self.refused.items()]
        first, *_ = self.protocols.values()
        lines += ["all of them", *_common_lines(first.card)]
        said = {}
        for name, found in self.protocols.items():
            for warning in found.warnings:
                said.setdefault(warning, []).append(name)
        for warning, names in said.items():
            of = "" if len(names) == len(self.protocols) else f" ({', '.join(names)})"
            lines.append(f"  warning{of}: {warning}")
        return "\n".join(lines)

    def record(self):
        """Returns what `--json` prints."""
        found = {name: distance.record() for name, distance in self.protocols.items()}
        return {"protocols": found, "refused": self.refused}


def side_of_videos(name, rows, seen, begins, scaled_first=None):
    """Returns what a card says of a side whose videos were read.

    Args:
        name: the side's.
        rows: clip_rows.Rows.
        seen: clip_rows.Seen.
        begins: "first" or "random".
        scaled_first: [what the files are, pixels] of the step before the protocol's resizing, as
            `Protocol.first_step` has it; None if there is none.
    """
    return {
        "source": name,
        "clips": rows.gaussian.count,
        "videos": seen.used,
        "begins": begins,
        "frames": None if seen.shortest is None else [seen.shortest, seen.longest],
        "fps": {f"{fps:g}": count for fps, count in sorted(seen.fps.items())},
        "sizes": dict(sorted(seen.sizes.items())),
        "encodings": dict(sorted(seen.encodings.items())),
        "lossy": sorted(seen.lossy),
        "short": {"count": len(seen.short), "names": seen.short[:NAMED]},
        "failed": {"count": len(seen.failed), "names": dict(list(seen.failed.items())[:NAMED])},
        "damaged": {"count": len(seen.damaged), "names": dict(list(seen.damaged.items())[:NAMED])},
        "refilled": seen.refilled,
        "scaled_first": scaled_first,
        "left_out": rows.left_out,
        "statistics": False,
    }


def side_text(side):
    """Returns a line on a side."""
    parts = [f"{side['clips']} clips of {side['source']}"]
    if side["statistics"]:
        parts.append("saved statistics")
    elif side["videos"] != side["clips"]:
        parts.append(f"{side['videos']} videos")
    parts += [_listed(side["sizes"]), _listed(side["fps"], " fps"), _listed(side["encodings"])]
    if side["frames"]:
        low, high = side["frames"]
        parts.append(f"videos of {low} frames" if low == high else f"videos of {low} to {high} frames")
    if side["begins"]:
        parts.append({"first": "first frames", "random": "a clip at a random place"}[side["begins"]])
    parts += [
        f"{side[kind]['count']} {kind}"
        for kind in ("short", "failed", "damaged")
        if side.get(kind, {"count": 0})["count"]
    ]
    return ", ".join(filter(None, parts))


def _common_lines(card):
    """Lines of a card on what does not depend on the protocol but for where clips begin."""
    network = card["network"]
    by = f" by {network['runtime']}" if network["runtime"] else ""
    return [
        *(f"  {side:<11}{side_text(card[side])}" for side in ("real", "generated")),
        f"  {'sampling':<11}{card['sampling']}",
        f"  {'network':<11}{network['weights']}, {network['logits']} logits, {network['precision']}"
        f"{by}, sha256 {network['sha256']}",
        f"  {'keras_i3d':<11}{card['version']}",
    ]


def number(value):
    """Returns a distance as text: four decimals, and more if it is below 1. What rounding leaves of zero is 0."""
    if abs(value) < ZERO:
        return "0.0000"
    return f"{value:.4f}" if abs(value) >= 1 else f"{value:.4g}"


def motion_text(side, values, distance):
    """Returns what the motion check found of one side.

    Args:
        side: "real" or "generated".
        values: {"frozen", "shuffled": distance of that side from the real one as it is}.
        distance: that of the generated videos as they are.
    """
    frozen, shuffled = values["frozen"], values["shuffled"]
    said = f"frozen {number(frozen)}, shuffled {number(shuffled)}"
    if side == "real":
        nearer = "stills of the real ones are nearer than the generated videos"
        farther = "the generated videos are nearer than stills of the real ones"
        return f"real videos against themselves: {said}; {nearer if frozen < distance else farther}"
    change = (frozen - distance) / distance if distance > ZERO else float("inf")
    if change < STILL:
        return f"generated videos: {said}; frozen they are as near or nearer: the number does not measure motion here"
    return f"generated videos: {said}; frozen they are {change:.0%} farther"


def warnings_of(real, generated, frames, size, weights):
    """Returns sentences on what makes a number hard to compare.

    Args:
        real, generated: what the card says of both sides.
        frames: of a clip.
        size: logits of a row.
        weights: "" if they are those that published numbers are by; else what they are.
    """
    found = list(few_rows((real["clips"], generated["clips"]), size))
    if frames < FEW_FRAMES:
        found.append(f"Clips have {frames} frames; published numbers are by {FEW_FRAMES} at least, and most by 16.")
    if weights:
        found.append(f"The network is {weights}; published numbers are by I3D's kinetics-scratch, rgb.")
    for name, what in (("frames", "length"), ("fps", "frames per second"), ("sizes", "size")):
        a, b = real[name], generated[name]
        if a and b and sorted(a) != sorted(b):
            sides = [f"{e[0]} to {e[1]} frames" if name == "frames" else _listed(e) for e in (a, b)]
            found.append(f"The videos of both sides differ in {what}: real {sides[0]}, generated {sides[1]}.")
    steps = [side.get("scaled_first", False) for side in (real, generated)]
    if False not in steps and steps[0] != steps[1]:
        told = [f"scaled and cropped to {step[1]} as {step[0]}" if step else "as they are" for step in steps]
        found.append(
            f"The sides are not prepared alike before the protocol's resizing: real videos {told[0]}, generated videos "
            f"{told[1]}. Pass both in folders of one kind, or both as arrays."
        )
    found += _of_encodings(real, generated)
    for which, side in (("real", real), ("generated", generated)):
        for kind, what in (
            ("short", "are shorter than a clip, and left out"),
            ("failed", "cannot be read, and are left out"),
            ("damaged", "are damaged, and used as far as they can be read"),
        ):
            if side.get(kind, {"count": 0})["count"]:
                found.append(f"{side[kind]['count']} {which} videos {what}.")
        if side.get("refilled"):
            found.append(
                f"{side['videos']} {which} videos gave {side['clips']} clips: {side['refilled']} are further clips of "
                "the same videos, as the protocol's own code takes them without a word."
            )
        if side.get("left_out"):
            found.append(f"{side['left_out']} {which} clips are left out, because N is a multiple of 16.")
    return tuple(found)


def _of_encodings(real, generated):
    """What is said if one side was compressed and the other one was not, or by another codec."""
    if not real["encodings"] or not generated["encodings"]:
        return
    sides = [_listed(side["encodings"]) for side in (real, generated)]
    if bool(real["lossy"]) != bool(generated["lossy"]):
        yield (
            f"One side is compressed with loss and the other is not: real {sides[0]}, generated {sides[1]}. That alone "
            "may change the number tenfold. Save both sides in the same way, best as png."
        )
    elif real["lossy"] != generated["lossy"]:
        yield f"Both sides are compressed with loss, by different codecs: real {sides[0]}, generated {sides[1]}."


def _listed(counts, unit="", most=4):
    """Returns the keys of counts, with how many have each if there are several."""
    if len(counts) <= 1:
        return "".join(f"{each}{unit}" for each in counts)
    shown = [f"{each} ({count})" for each, count in list(counts.items())[:most]]
    return " ".join(shown) + (" ..." if len(counts) > most else "") + unit
