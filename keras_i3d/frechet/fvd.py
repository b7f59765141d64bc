"""Frechet video distance of two sets of videos by a named protocol, with its card.

A number without its protocol means nothing: `fvd_protocols` says how the four in use differ.
"""

import contextlib
import dataclasses
import json
import os
import types

from keras_i3d import atomic, paths
from keras_i3d.errors import EvaluationError
from keras_i3d.frechet import distances, fvd_card, fvd_checks, fvd_protocols, saved_sides, video_sets
from keras_i3d.frechet.clip_rows import Sampling, View, collect
from keras_i3d.frechet.fvd_card import VideoDistance, VideoDistances
from keras_i3d.frechet.fvd_checks import SIDES
from keras_i3d.frechet.gaussians import Gaussian
from keras_i3d.frechet.logit_network import FRAMES_AT_ONCE, WEIGHTS, LogitNetwork
from keras_i3d.progress import Bar
from keras_i3d.records import video_files
from keras_i3d.version import __version__
from keras_i3d.video import MAX_SECONDS
from keras_i3d.weights import download

KERNEL_BLOCKS = 10


def fvd(
    real,
    generated,
    protocol="original",
    frames=16,
    videos=2048,
    seed=0,
    weights=WEIGHTS,
    *,
    stride=1,
    resolution=None,
    all_protocols=False,
    kernel=False,
    bootstrap=0,
    extrapolate=False,
    motion_check=False,
    save_real=None,
    save_generated=None,
    output=None,
    batch_size=None,
    precision=None,
    max_seconds=MAX_SECONDS,
    attempts=download.ATTEMPTS,
    accept_licence=None,
    progress=False,
):
    """Frechet video distance (Unterthiner et al., arXiv 1812.01717): how far generated videos are from real ones.

    Videos are read one after the other and kept nowhere, so memory does not depend on how many there are, but for the
    rows of logits that `kernel`, `bootstrap` and `extrapolate` need: 1,600 bytes a video. Decoding and resizing run
    ahead in threads while the network works. Videos that are too short or cannot be read are left out, counted and
    named.

    Args:
        real, generated: each side: a folder of videos, read at their own frame rate; a folder with a folder of frames a
            video; uint8 arrays (N, T, H, W, 3), RGB, or a `.npy` or `.npz` of them; an iterable or a tf.data.Dataset of
            uint8 (T, H, W, 3) or batches of those; or saved statistics, `.npz` or cd-fvd's `.pkl`.
        protocol: "original", "stylegan-v", "cd-fvd" or "common-metrics": see `keras_i3d.frechet.fvd_protocols`.
        frames: of a clip.
        videos: clips of each side at most; None for one of every video.
        seed: of what is drawn: which videos, and where their clips begin.
        weights: what `classify` takes for its rgb stream; or a `fvd.LogitNetwork`, which has loaded them. Published
            numbers are by "kinetics-scratch".
        stride: distance from a frame of a clip to the next one, in frames.
        resolution: of the protocol cd-fvd: 128 or 256 pixels that frames are scaled to before. None for what its code
            does by default: 256 for videos in folders, no scaling of arrays.
        all_protocols: whether all four are computed in one pass, to recognise a number of a paper.
        kernel: whether the kernel video distance is computed too, which needs fewer videos.
        bootstrap: draws of an interval; 0 for none.
        extrapolate: whether the distance of infinitely many videos is estimated.
        motion_check: whether the same videos are measured again without motion, frozen and shuffled.
        save_real, save_generated: a `.npz` to write a side's statistics to, which may be that side the next time.
        output: a JSON file to write the result to.
        batch_size: clips that go through the network at once; None for as many as have 128 frames.
        precision: as for `Classifier`.
        max_seconds: as for `video.Reader`.
        attempts: connections to try if weights have to be fetched.
        accept_licence: True, or the name of the weights' licence, if that forbids commerce and you accept it.
        progress: whether bars are shown.

    Returns:
        VideoDistance; with `all_protocols`, VideoDistances.

    Raises:
        ValueError: a setting out of its range, a side that is none, statistics that were made otherwise, sides that the
            protocol does not compare.
        keras_i3d.EvaluationError: no clips, or too few for the protocol.
        keras_i3d.WeightsError: weights that cannot be fetched, verified or matched.
    """
    given = types.SimpleNamespace(**locals())
    chosen = list(fvd_protocols.PROTOCOLS.values()) if all_protocols else [fvd_protocols.find(protocol)]
    fvd_checks.check_settings(given, chosen)
    # A card holds Python's own numbers.
    whole = (number if number is None else int(number) for number in (frames, stride, videos, seed, resolution))
    sampling = Sampling(*whole)
    refused = {}
    for each in tuple(chosen):
        with _refusing(each, refused if all_protocols else None, chosen):
            each.check_frames(frames)
    saved = {side: getattr(given, f"save_{side}") for side in SIDES}
    fvd_checks.check_places(saved, output, (real, generated))
    sides = {side: video_sets.open_side(source, side, max_seconds) for side, source in zip(SIDES, (real, generated))}
    fvd_checks.check_sides(given, sides, saved)
    for each in tuple(chosen):
        with _refusing(each, refused if all_protocols else None, chosen):
            fvd_checks.check_counts(each, sides, videos)
    if not chosen:
        raise ValueError(f"No protocol takes these videos: {'; '.join(refused.values())}")
    names = {side: _name(source, side) for side, source in zip(SIDES, (real, generated))}
    network = None
    if not all(isinstance(each, Gaussian) for each in sides.values()):
        ready = isinstance(weights, LogitNetwork)
        network = weights if ready else LogitNetwork(weights, precision, attempts, accept_licence)
        network.check_frames(frames)
    unsaid = []
    for side, each in sides.items():
        if isinstance(each, Gaussian):
            unsaid += saved_sides.check(each, side, chosen[0], sampling, network and network.card)
    variants = fvd_protocols.VARIANTS if motion_check else fvd_protocols.VARIANTS[:1]
    rows, cards = {}, {}  # by side, then by View and by protocol
    for side, each in sides.items():
        if isinstance(each, Gaussian):
            rows[side], cards[side] = each, {p.name: saved_sides.side(each, names[side]) for p in chosen}
            continue
        views = [View(each, variant) for each in chosen for variant in variants]
        size = batch_size or max(FRAMES_AT_ONCE // frames, 1)
        keep = bool(kernel or bootstrap or extrapolate)
        with Bar(f"{side} videos", None, "clips", shown=progress) as bar:
            found = collect(each, views, side == "real", sampling, network, size, keep, bar)
        rows[side] = {view: of for view, (of, _) in found.items()}
        cards[side] = {}
        for p in chosen:
            of, seen = found[View(p)]
            first = p.first_step(seen.files, sampling.resolution)
            cards[side][p.name] = fvd_card.side_of_videos(
                names[side], of, seen, p.starts[SIDES.index(side)], first and list(first)
            )
        if saved[side]:
            gaussian = rows[side][View(chosen[0])].gaussian
            gaussian.notes = saved_sides.notes(chosen[0], sampling, network.card, cards[side][chosen[0].name])
            gaussian.save(saved[side])
    results = {}
    for each in tuple(chosen):
        with _refusing(each, refused if all_protocols else None, chosen):
            fvd_checks.check_cards(each, *(cards[side][each.name] for side in SIDES))
            results[each.name] = _measured(each, given, sampling, rows, cards, network, unsaid)
    if not results:
        raise EvaluationError(f"No protocol can be computed: {'; '.join(refused.values())}")
    result = VideoDistances(results, refused) if all_protocols else results[chosen[0].name]
    if output:
        text = json.dumps(result.record(), indent=2, ensure_ascii=False, allow_nan=False)
        atomic.write_text(paths.expand(output), f"{text}\n")
    return result


@contextlib.contextmanager
def _refusing(protocol, refused, chosen):
    """Takes a protocol that cannot be computed from the chosen ones, if there are others."""
    try:
        yield
    except (ValueError, EvaluationError) as error:
        if refused is None:
            raise
        refused[protocol.name] = str(error)
        chosen.remove(protocol)


def _name(source, side):
    source = paths.expand(source)
    if isinstance(source, str | os.PathLike):
        return video_files.printable(os.fspath(source))
    return f"{side} {type(source).__name__}"


def _measured(protocol, given, sampling, rows, cards, network, unsaid):
    """The VideoDistance of one protocol."""
    view = View(protocol)
    of = [each if isinstance(each, Gaussian) else each[view].gaussian for each in rows.values()]
    settings = {"ddof": protocol.ddof, "form": protocol.form}
    distance = distances.frechet_distance(*of, **settings)
    sides = [cards[side][protocol.name] for side in SIDES]
    drawn = [each if isinstance(each, Gaussian) else each[view].kept for each in rows.values()]
    draws = {"seed": given.seed, "shown": given.progress, **settings}
    about = network.card if network else saved_sides.network_of(of[0])
    other = network.other if network else ""
    warnings = (*unsaid, *fvd_card.warnings_of(*sides, given.frames, of[0].size, other))
    card = {
        "protocol": protocol.name,
        "source": protocol.source,
        "frames": sampling.frames,
        "stride": sampling.stride,
        "seed": sampling.seed,
        "videos": sampling.videos,
        "real": sides[0],
        "generated": sides[1],
        "sampling": _sampling(protocol, sampling, sides),
        "resize": _resize(protocol, sampling),
        "scaling": "2 x / 255 - 1",
        "estimator": protocol.estimator,
        "network": about,
        "version": __version__,
    }
    motion = _motion(protocol, rows, of[0], settings) if given.motion_check else None
    extrapolation = distances.extrapolated(*drawn, **draws) if given.extrapolate else None
    if extrapolation and extrapolation.points[0][0] <= of[0].size:
        warnings += (
            f"The extrapolation goes through subsets of {extrapolation.points[0][0]} videos and more; those of fewer "
            f"than {of[0].size + 1} are on no line, so that its value is wrong. Take {2 * (of[0].size + 1)} videos.",
        )
    return VideoDistance(
        value=distance.value,
        protocol=protocol.name,
        card=card,
        warnings=tuple(dict.fromkeys(warnings)),
        distance=distance,
        kernel=_kernel(*drawn, given.seed) if given.kernel else None,
        interval=distances.bootstrap(*drawn, given.bootstrap, **draws) if given.bootstrap else None,
        extrapolation=extrapolation,
        motion=motion,
    )


def _kernel(real, generated, seed):
    """The kernel distance of all rows, with the error over blocks if there are rows enough for them."""
    whole = distances.kernel_distance(real, generated)
    if min(len(real), len(generated)) < 2 * KERNEL_BLOCKS:
        return whole
    over = distances.kernel_distance(real, generated, blocks=KERNEL_BLOCKS, seed=seed)
    return dataclasses.replace(over, value=whole.value)


def _motion(protocol, rows, real, settings):
    """{side: {"frozen", "shuffled": distance}}: real ones against themselves, generated ones against the real ones."""
    return {
        side: {
            variant: distances.frechet_distance(real, each[View(protocol, variant)].gaussian, **settings).value
            for variant in fvd_protocols.VARIANTS
            if variant
        }
        for side, each in rows.items()
        if not isinstance(each, Gaussian)
    }


def _sampling(protocol, sampling, sides):
    """How clips were chosen, in words."""
    which = {"names": "the first by name", "drawn": "drawn by the seed"}[protocol.order]
    of = "all videos" if sampling.videos is None else f"at most {sampling.videos} a side, of more {which}"
    apart = "" if sampling.stride == 1 else f", {sampling.stride} frames apart"
    begins = " and ".join(f"{side} {card['begins']}" for side, card in zip(SIDES, sides) if card["begins"])
    return f"{of}; clips of {sampling.frames} frames{apart}, which begin: {begins or 'unknown'}; seed {sampling.seed}"


def _resize(protocol, sampling):
    if protocol.resolution is None:
        return protocol.resize
    if sampling.resolution:
        return f"scaled and cropped to {sampling.resolution} x {sampling.resolution}, then {protocol.resize}"
    return (
        f"videos in folders scaled and cropped to {protocol.resolution} x {protocol.resolution}, then {protocol.resize}"
    )


fvd.from_features = distances.from_features
fvd.frechet_distance = distances.frechet_distance
fvd.kernel_distance = distances.kernel_distance
fvd.bootstrap = distances.bootstrap
fvd.extrapolated = distances.extrapolated
fvd.Gaussian = Gaussian
fvd.LogitNetwork = LogitNetwork
