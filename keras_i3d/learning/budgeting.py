"""What fits into time and memory: an estimate of each part of the work, and the largest clips that it allows."""

import math

from keras_i3d.learning.choices import Rung, as_typed
from keras_i3d.models import families
from keras_i3d.progress import duration
from keras_i3d.specs import BOTH, FPS, SHORT_SIDE

BOUND = 2 * 3600.0  # seconds that a larger clip may take, if nobody says how long all may take
SPARE = 0.9  # of the time: estimates are not exact
USABLE = 0.85  # of the memory
AT_ONCE = 4  # clips that must fit into memory at once, since batch norms need several
LENGTHS = (64, 32, 16)  # frames of a clip
SIZES = (224, 160, 112, 80, 56)  # pixels
SPAN = 64  # frames of a video that a clip covers, where the video has as many: 2.6 s
SMALLEST_OF_WEIGHTS = 112  # pixels: published weights have seen no smaller things
LARGEST_OF_NONE = 112  # pixels, of few videos without weights
FEW = 2_000  # videos
MARGIN = 8 / 7  # the short side of records, in sizes of a clip: 256 to 224
FEWEST_PASSES = 1 / 3  # of the recipe's: with less, another choice is better
VALIDATIONS = 10  # of a run, at most
# What is not measured, in seconds.
READING = 5e-8  # a pixel of a frame that is decoded, scaled and stored, on one core
STARTING = 12.0  # a command
EXPORTING = 60.0
FORWARD = 1 / 3  # of a training step, what a network takes alone


def share_of(found, fractions, split):
    """Returns how many videos a split will have, of a Survey that "train:0.8,test:0.2" divides, or "" leaves."""
    if not fractions:
        return found.parts[split].videos
    shares = dict(part.split(":") for part in fractions.split(","))
    return max(round(found.videos * float(shares[split])), 1)


def short_side(size):
    """Returns the short side of records that clips of a size are cut from, an even number of pixels."""
    return min(SHORT_SIDE, 2 * math.ceil(size * MARGIN / 2))


def frames_per_second(network, asked):
    """Returns those that the videos are read at: what the weights were trained on."""
    clip = families.find(network.family).clips[network.streams[0]]
    return float(FPS if asked.weights is None else clip.fps)


class Budget:
    """What fits into time and memory.

    Args:
        found, asked, network, machine: as of `choose`.
        splits, fractions, batch, clips, spent: what was chosen before.
    """

    def __init__(self, found, asked, network, machine, splits, fractions, batch, clips, spent):
        self.found, self.asked, self.network, self.machine = found, asked, network, machine
        self.splits, self.fractions, self.batch, self.clips, self.spent = splits, fractions, batch, clips, spent

    def rungs(self):
        """Returns (the Rungs that may be chosen, from the largest to the smallest; what bounds them)."""
        given = dict(self.asked.settings)
        family = families.find(self.network.family)
        clip = family.clips[self.network.streams[0]]
        fps = frames_per_second(self.network, self.asked)
        there = max(round(self.found.seconds[0] * fps), 1) if self.found.seconds[0] else SPAN
        whole = clip.frames or LENGTHS[0]
        lengths = [n for n in {whole, *LENGTHS} if family.min_frames <= n <= whole]
        fitting = [n for n in lengths if n <= there] or [min(lengths)]
        why = [] if max(fitting) == max(lengths) else [f"a quarter of the videos have {there} frames or fewer"]
        own = min(self.found.size)
        most, least = clip.crop, family.min_size
        if self.asked.weights is None and self.found.videos < FEW and most > LARGEST_OF_NONE:
            most = LARGEST_OF_NONE
            why.append("few videos without weights gain nothing from larger ones")
        elif self.asked.weights is not None:
            least = max(least, min(SMALLEST_OF_WEIGHTS, clip.crop))
        sharp = max(int(own / MARGIN) // 8 * 8, least)
        if sharp < most:
            most = sharp
            why.append(f"the videos have {own} pixels")
        sizes = sorted({most, *(s for s in SIZES if least <= s <= most)})
        if "clip_frames" in given:
            fitting = [int(given["clip_frames"])]
        if "size" in given:
            sizes = [int(given["size"])]

        def stride(frames):
            if "frame_stride" in given:
                return int(given["frame_stride"])
            return max(min(max(SPAN // frames, clip.frame_stride), there // frames), 1) if frames > 1 else 1

        found = {Rung(frames, stride(frames), size) for frames in fitting for size in sizes}
        if {"clip_frames", "size"} <= set(given):
            why = ["yours"]
        return sorted(found, key=lambda rung: (-rung.volume, -rung.size)), why

    def fits(self, rung):
        """Whether a step fits into memory; a batch is taken in parts if need be."""
        if self.machine is None or self.machine.memory is None:
            return True
        clips = min(self.batch, AT_ONCE)
        needed = self.network.weights + self.network.memory * rung.volume * clips
        return needed <= USABLE * self.machine.memory

    def parts(self, rung, streams, updates):
        """Returns {part of the work: estimated seconds}."""
        machine, network = self.machine, self.network
        height, wide = self.found.size
        side = short_side(rung.size)
        pixels = side * side * max(height, wide) / max(min(height, wide), 1)
        frames = sum(part.seconds for part in self.found.parts.values()) * frames_per_second(network, self.asked)
        clip = rung.volume * network.multiply_adds * machine.step
        forward = clip * FORWARD
        has_flow = not {"flow", BOTH}.isdisjoint(streams)
        reading = READING * pixels + READING / 5 * height * wide + (machine.flow * pixels if has_flow else 0)
        measured_on = share_of(self.found, self.fractions, self.splits.get("validation", self.splits["test"]))
        tested_on = share_of(self.found, self.fractions, self.splits["test"])
        validations = min(VALIDATIONS, max(updates * self.batch / self.clips, 1))
        tested = frames * tested_on / max(self.found.videos, 1) / rung.frames / rung.stride
        each = updates * self.batch * clip + validations * measured_on * forward + machine.start + STARTING
        return {
            "so far": self.spent,
            "records": frames * reading / machine.cores + STARTING,
            **{f"training {stream}": each for stream in streams},
            "evaluation": len(streams) * (tested * forward + machine.start / 3) + STARTING,
            **({"export": EXPORTING * len(streams)} if self.asked.export else {}),
        }

    def total(self, rung, streams, updates):
        return sum(self.parts(rung, streams, updates).values())

    def allowed(self, rung, streams, updates):
        """The share of the updates that the time allows, up to 1."""
        bound = SPARE * (self.asked.seconds or BOUND)
        least, whole = self.total(rung, streams, 0), self.total(rung, streams, updates)
        return max(min((bound - least) / (whole - least), 1.0), 0.0)

    def best(self, updates):
        """Returns (Rung, streams, share of the updates, why, what the time does not allow).

        The largest clip for which the whole recipe fits; else the smallest with as many passes as fit; else RGB alone.
        """
        rungs, why = self.rungs()
        fitting = [rung for rung in rungs if self.fits(rung)]
        if not fitting:
            raise ValueError(
                f"A training step of {min(self.batch, AT_ONCE)} clips must fit into memory. Received: "
                f"{self.machine.memory / 1e9:.1f} GB free, and clips of at least {rungs[-1]}. Close other programs, "
                "take a smaller network (--model=), or a machine with more memory."
            )
        if fitting[0] != rungs[0]:
            why = [f"{self.machine.memory / 1e9:.1f} GB of memory are free"]
        streams, given = self.network.streams, {name for name, _ in self.asked.settings}
        if self.machine is None:
            return fitting[0], streams, 1.0, "; ".join(why), []
        if {"steps", "passes"} & given:
            rung = next((r for r in fitting if self.allowed(r, streams, updates) == 1), fitting[-1])
            needed = self.total(rung, streams, updates)
            said = []
            if self.asked.seconds and needed > self.asked.seconds:
                said.append(
                    f"with your number of updates all takes {duration(needed)}, not {duration(self.asked.seconds)}"
                )
            return rung, streams, 1.0, self._because(rung, fitting, why), said
        choices = [streams]
        if self.asked.stream is None and len(streams) > 1:
            choices.append(streams[:1])
        for some in choices:
            left_out = [f"{' and '.join(streams[len(some) :])} is left out"] if some != streams else []
            whole = next((rung for rung in fitting if self.allowed(rung, some, updates) == 1), None)
            if whole:
                return whole, some, 1.0, self._because(whole, fitting, why), left_out
            if self.asked.seconds is None:
                return fitting[-1], some, 1.0, self._because(fitting[-1], fitting, why), left_out
            share = self.allowed(fitting[-1], some, updates)
            if share >= FEWEST_PASSES:
                left_out.append(f"{1 - share:.0%} of the recipe's passes are left out")
                return fitting[-1], some, share, self._because(fitting[-1], fitting, why), left_out
        rung, some = fitting[-1], choices[-1]
        least = self.total(rung, some, math.ceil(FEWEST_PASSES * updates)) / SPARE
        raise ValueError(
            f"All of it must fit into the time. Received: time={as_typed(self.asked.seconds)}, and at least "
            f"{duration(least)} for {' and '.join(some)}, clips of {rung} and a third of the recipe's passes on "
            f"{self.machine.name}. Allow more time, take fewer videos, or a faster machine."
        )

    def _because(self, rung, fitting, why):
        if rung == fitting[0]:
            return "; ".join(why) or "as the network was published"
        bound = self.asked.seconds or BOUND
        return f"larger ones take more than {duration(bound)} on {self.machine.name}"
