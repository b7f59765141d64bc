"""Checks of several splits against each other, and against the network that is trained or measured on them."""

import itertools

from keras_i3d.checkup import near_duplicates, network_fit
from keras_i3d.checkup.findings import fault, fine, note, some, warning
from keras_i3d.checkup.network_state import label_names
from keras_i3d.checkup.record_checks import differing
from keras_i3d.plurals import counted
from keras_i3d.records import source_videos

SHOWN = 2  # pairs that a line names


def same_labels(found, _network):
    """Whether all splits have the same labels, in one order."""
    first = next((split for split in found if split.labels), None)
    for other in found:
        if first and other.labels and other.labels != first.labels:
            yield fault(
                "records.labels",
                f"{other.name} has {differing(other.labels, first.labels)} of {first.name}",
                "a class has another number in each, so accuracy is that of chance",
                "make both with one list: keras-i3d records --labels=labels.txt",
            )


def shared_sources(found, _network):
    """Source videos of which several splits have clips."""
    for a, b in _pairs(found):
        shared = source_videos.overlaps(a.source, b.source)
        if shared:
            examples = [f"{ids[0][0]} and {ids[1][0]}" for ids in shared.values()]
            have = "has" if len(shared) == 1 else "have"
            videos = counted(len(shared), "source video")
            yield warning(
                "records.shared_source",
                f"{videos} {have} clips in {a.name} and {b.name}: {some(examples, SHOWN)}",
                "the accuracy is too good: the scene is known by heart",
                "divide by source video: keras-i3d records --split=train:0.8,test:0.2",
            )


def duplicates(found, _network):
    """Clips of several splits that look the same."""
    if len(found) < 2:
        return
    prints = {split.place: near_duplicates.prints(split) for split in found}
    seen = 0
    for a, b in _pairs(found):
        first, second = prints[a.place], prints[b.place]
        pairs = near_duplicates.pairs(first, second)
        compared = f"{len(first.ids)} of {first.of} clips of {a.name} with {len(second.ids)} of {second.of} of {b.name}"
        seen += len(pairs)
        if pairs:
            examples = [f"{one} and {other}" for one, other, _ in pairs]
            alike = counted(len(pairs), "pair of clips looks", "pairs of clips look")
            yield warning(
                "records.duplicates",
                f"{alike} the same, comparing {compared}: {some(examples, SHOWN)}",
                "the accuracy is too good: what is measured was learnt by heart",
                "look at one pair (keras-i3d show RECORDS --record=ID), remove them from one split, or divide again",
            )
        else:
            yield fine("records.duplicates", f"no pair of clips looks the same, comparing {compared}")


def against_labels(found, network):
    """Labels of the records against those of the network."""
    if network is None or network.facts.is_embedding:
        return
    labels = next((split.labels for split in found if split.labels), None)
    own = label_names(network)
    if labels is None:
        return
    remedy = "make the records with the network's list (keras-i3d records --labels=FILE), or train a head on these"
    if network.facts.classes != len(labels):
        yield fault(
            "records.label_order",
            f"{len(labels)} labels, and the network has {network.facts.classes} classes",
            "they are of different data sets",
            remedy,
        )
    elif own is None:
        yield note(
            "records.label_order",
            f"{len(labels)} labels and as many classes; the network's own names are not known here",
            "whether they are in one order is not known",
        )
    elif own == labels:
        yield fine("records.label_order", f"the {len(labels)} labels are the network's own, in its order")
    elif sorted(own) == sorted(labels):
        wrong = [f"{place}: {a!r}, in the network {b!r}" for place, (a, b) in enumerate(zip(labels, own)) if a != b]
        yield fault(
            "records.label_order",
            f"the network's labels in another order, {len(wrong)} of {len(labels)} elsewhere: {some(wrong, SHOWN)}",
            "right answers count as wrong ones, and accuracy is that of chance",
            remedy,
        )
    else:
        yield fault(
            "records.label_order",
            f"the labels are not the network's: {differing(labels, own)}",
            "a class of one is not that of the other",
            remedy,
        )


def against_clip(found, network):
    """How the records were made, against what the network takes."""
    if network is None:
        return
    spec, clip = next((split.source.spec for split in found if split.source.spec), None), network.clip
    if spec is None:
        return
    if clip.crop > spec.short_side:
        yield fault(
            "records.size",
            f"a short side of {spec.short_side} pixels, and the network sees {clip.crop}",
            "a crop of that size does not fit",
            f"keras-i3d records --short_side={clip.short_side}, or train with --set=size={spec.short_side}",
        )
    elif clip.short_side != spec.short_side:
        yield note(
            "records.size",
            f"a short side of {spec.short_side} pixels; the network was trained on {clip.short_side}",
            "things are larger or smaller than it knows them",
            f"keras-i3d records --short_side={clip.short_side}",
        )
    if clip.fps != spec.fps:
        yield warning(
            "records.fps",
            f"{spec.fps:g} fps; the network was trained on {clip.fps:g}",
            "motion is faster or slower than it knows it",
            f"keras-i3d records --fps={clip.fps:g}",
        )
    if network.stream == "rgb":
        return
    if spec.flow_method is None:
        yield fault(
            "records.flow_method",
            f"no flow, and the network is of the {network.stream} stream",
            "it has nothing to look at",
            f"keras-i3d records --flow_method={clip.flow_method or 'tvl1'}",
        )
    elif {spec.flow_method, clip.flow_method} - {"tvl1", "opencv"} and spec.flow_method != clip.flow_method:
        yield warning(
            "records.flow_method",
            f"flow by {spec.flow_method}; the network was trained on {clip.flow_method or 'what nobody noted'}",
            "methods differ in scale and smoothness, and accuracy drops",
            f"keras-i3d records --flow_method={clip.flow_method or 'tvl1'}",
        )
    else:
        yield fine("records.flow_method", f"flow by {spec.flow_method}, as the network was trained on")


def against_batch_norm(found, network):
    """Clips through the network's first layers."""
    if network is None:
        return
    spec = found[0].source.spec
    if network.stream != "rgb" and (spec is None or spec.flow_method is None):
        return
    fit = network_fit.measure(network, found[0])
    if fit is None:
        return
    words = (
        f"{counted(fit.clips, 'clip')} of {found[0].name} in its first batch norm: {fit.factor:.2g} times the "
        f"deviation that it notes, means {fit.shift:.2g} deviations away"
    )
    if fit.fits:
        yield fine("records.fit", words)
    else:
        yield warning(
            "records.fit",
            words,
            "it was trained on numbers of another range (0 to 255 in the place of -1 to 1, flow not divided by its "
            "bound), or its statistics never arrived",
            "feed it by this package (train, evaluate, classify), or by keras_i3d.preprocess_input in your own code",
        )


def _pairs(found):
    return itertools.combinations(found, 2)


CHECKS = (same_labels, shared_sources, duplicates, against_labels, against_clip, against_batch_norm)
