"""Which of two runtimes is faster on this machine: measured at the second clip of a shape, kept in the cache folder."""

import copy
import functools
import hashlib
import importlib
import json
import os
import pathlib
import platform
import time

import numpy as np

from keras_i3d import atomic, version
from keras_i3d.errors import KerasI3DError, notice, one_line
from keras_i3d.weights import download

TURNS, SECONDS = 5, 2.0  # runs of each that are timed, the least counts; fewer where those took so long
GAIN = 0.95  # of the seconds of Keras, which stays where the other one gains less
AGREES = {"float32": 1e-4, "bfloat16": 0.1}  # relative L2 between the two; beyond it something is wrong
FOLDER = "runtimes"


class FasterRuntime:
    """A network on whichever runtime measures faster for clips of their shape.

    Shapes count as one whose batches and sizes are the same, and whose frames round up to the same power of two. The
    first clip of a shape goes through Keras, also where OpenVINO was measured to be faster: measuring, and OpenVINO's
    first call, take seconds, and it may be the only one.

    Nothing is lost by an OpenVINO that is broken: what it cannot run goes through Keras, as does all that follows. A
    line says so, once.

    Args:
        model: as for `compile_for`.
        first, second: functions that give what runs it, Keras's and OpenVINO's. Each is called when it is needed.
        once: whether the choice is made at the first clip, and holds for clips of all shapes.

    Attributes:
        used: names of the runtimes that gave answers, in the order of their first ones.
    """

    def __init__(self, model, first, second, once=False):
        self._model, self._makers = model, {"tensorflow": first, "openvino": second}
        self._runtimes, self._chosen, self._seen, self._said = {}, {}, set(), set()
        self._settled = False
        self._once, self._kept, self.used = once, None, ()

    def settled(self):
        """Returns the same network, which measures nothing any more: shapes of which nothing is known are for Keras."""
        other = copy.copy(self)
        other._settled, other._chosen = True, {**self._chosen}
        return other

    def choose(self, x):
        """Chooses now, as with `once`, for clips of all shapes. What is chosen runs the clip, and is ready then.

        Args:
            x: float32 (B, T, H, W, C), of the shape that is measured.

        Returns:
            The name of the runtime.
        """
        self._once = True
        self._kept = self._kept or self._name(x)
        self.predict_on_batch(x)
        return self._kept

    def keep(self, name):
        """Has clips of all shapes run by one of the runtimes from now on."""
        self._kept = name

    def predict_on_batch(self, x):
        name = self._kept or self._name(x)
        answer, why = self._by_openvino(x) if name == "openvino" else (None, "")
        if answer is None:
            name = "tensorflow"
            answer = self._runtime(name).predict_on_batch(x)  # which also refuses what no runtime takes
        if why:
            self._give_up(why)
        if name not in self.used:
            self.used += (name,)
        return answer

    def _name(self, x):
        """The runtime for a clip. None stands in `_chosen` for a shape that came once."""
        kind = shape_kind(np.shape(x))
        if self._chosen.get(kind) is None:
            self._chosen[kind] = self._choice(kind, x)
            if self._once:
                self._kept = self._chosen[kind]
                # The graph of the other one is made again if it is ever needed: it takes as much memory as this one's.
                self._runtimes = {name: made for name, made in self._runtimes.items() if name == self._kept}
        return self._kept or self._chosen[kind] or "tensorflow"

    def _runtime(self, name):
        if name not in self._runtimes:
            self._runtimes[name] = self._makers[name](self._model)
        return self._runtimes[name]

    def _by_openvino(self, x):
        """(what OpenVINO makes of a clip, ""); (None, why) if it cannot."""
        try:
            return self._runtime("openvino").predict_on_batch(x), ""
        except (KerasI3DError, MemoryError):
            raise
        except Exception as error:  # whatever OpenVINO has no rule for; a library of its own that is not there
            return None, f"OpenVINO cannot run it ({one_line(error)})"

    def _give_up(self, why):
        self._kept = "tensorflow"
        self._say(f"{self._model.name}: {why}. tensorflow is taken")

    def _choice(self, kind, x):
        if self._settled:
            return "tensorflow"
        if kind not in self._seen and not self._once:
            self._seen.add(kind)
            return None
        known = {**machine(), "network": self._network, "shape": list(kind)}
        key = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:24]
        path = _folder() and _folder() / f"{key}.json"
        seconds = path and _read(path, known)
        when = "measured before"
        if seconds is None:
            seconds = self._measured(x)
            if seconds is None:
                return "tensorflow"
            when = "measured now" + (f" and kept in {path}" if path and _write(path, known, seconds) else "")
        faster = "openvino" if seconds["openvino"] < GAIN * seconds["tensorflow"] else "tensorflow"
        if faster == "openvino" or when != "measured before":
            told = ", ".join(f"{name} {each:.3g} s" for name, each in seconds.items())
            shown = " x ".join(map(str, kind))
            self._say(f"{self._model.name}, clips up to {shown}: {told}, {when}. {faster} is taken")
        return faster

    def _say(self, line):
        if line not in self._said:
            self._said.add(line)
            notice(line)

    def _measured(self, x):
        """{runtime: seconds of a clip}; None, and a line, if OpenVINO cannot run the network, or gives something else.

        The two run in turn, so that other load on the machine meets both.
        """
        expected = self._runtime("tensorflow").predict_on_batch(x)
        found, why = self._by_openvino(x)
        if found is None:
            self._give_up(why)
            return None
        apart = float(np.linalg.norm(found - expected) / max(np.linalg.norm(expected), 1e-30))
        precision = next(layer for layer in self._model.layers if layer.weights).compute_dtype
        if not apart <= AGREES[precision]:
            self._give_up(
                f"OpenVINO's answers are {apart:.2g} from Keras's (relative L2), and at most {AGREES[precision]:g} is "
                f"taken for the same in {precision}"
            )
            return None
        seconds, began = {}, time.perf_counter()
        for _ in range(TURNS):
            for name in self._makers:
                start = time.perf_counter()
                self._runtime(name).predict_on_batch(x)
                took = time.perf_counter() - start
                seconds[name] = min(took, seconds.get(name, took))
            if time.perf_counter() - began > SECONDS:
                break
        return {name: float(f"{each:.4g}") for name, each in seconds.items()}

    @functools.cached_property
    def _network(self):
        """A hash of the layers and of the shapes of their weights; their values do not matter."""
        layers = [
            (type(layer).__name__, layer.name, layer.compute_dtype, [list(weight.shape) for weight in layer.weights])
            for layer in self._model.layers
        ]
        return hashlib.sha256(json.dumps(layers).encode()).hexdigest()[:16]


def shape_kind(shape):
    """Returns (B, T, H, W, C) with the frames rounded up to a power of two."""
    batch, frames, *rest = shape
    return (int(batch), 1 << max(int(frames) - 1, 0).bit_length(), *map(int, rest))


@functools.lru_cache(maxsize=1)
def machine():
    """Returns what the seconds of a network depend on next to itself: plain values."""
    packages = ("tensorflow", "keras", "openvino")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = {name: importlib.import_module(name).__version__ for name in packages}
    return {"versions": {"keras_i3d": version.__version__, **versions}, "processor": processor(), "cores": cores}


def processor():
    """Returns the name of the processor."""
    info = pathlib.Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _folder():
    """Where choices are kept; None without a home."""
    try:
        return download.cache_folder() / FOLDER
    except KerasI3DError:
        return None


def _read(path, known):
    """The seconds that a file has of what is known; None if it is not there, or is not what `_write` writes."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        seconds = {name: float(content["seconds"][name]) for name in ("tensorflow", "openvino")}
        return seconds if content["of"] == known and min(seconds.values()) > 0 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path, known, seconds):
    """Whether it could be written. Where it cannot, it is measured again next time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(path, json.dumps({"of": known, "seconds": seconds}, indent=1) + "\n")
    except OSError:
        return False
    return True
