"""A listing divided into splits: by source video, and with each class shared out alike.

Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011, On the stratification of multi-label data), for whole
source videos instead of single ones: the class of which the fewest videos are left is shared out first, each of its
source videos to the split that lacks most of the class. It holds for one label a video and for several.
"""

import dataclasses
import hashlib
import math

from keras_i3d.errors import notice
from keras_i3d.records.listing import Listing, check_split
from keras_i3d.records.source_videos import check_group, source_video

SHOWN = 40  # classes of the table
NAMES = {2: ("train", "test"), 3: ("train", "validation", "test")}  # of splits that are given by fractions alone
NO_LABEL = "(no label)"


@dataclasses.dataclass(frozen=True)
class Division:
    """The splits of a listing. As text it is a table of how many videos of each class are in each split.

    Attributes:
        listings: a Listing for each split, in order; videos that are listed and not there are in the first.
        sources: how many source videos each split has.
        counts: {class: how many videos of it each split has}, in the order of the labels, and "(no label)" if there
            are videos without one. A video of several classes counts for each of them.
        lacking: {class: the splits that have no video of it}, of classes that have any.
    """

    listings: tuple[Listing, ...]
    sources: tuple[int, ...]
    counts: dict
    lacking: dict

    def __str__(self):
        names = [listing.split for listing in self.listings]
        shown = list(self.counts)
        if len(shown) > SHOWN:
            fewest = sorted(shown, key=lambda name: sum(self.counts[name]))[:SHOWN]
            shown = [name for name in shown if name in set(fewest)]
        rows = [("class", *names, "total")]
        rows += [(name, *self.counts[name], sum(self.counts[name])) for name in shown]
        widths = [max(len(str(cell)) for cell in column) for column in zip(*rows)]
        lines = [
            "  ".join((str(name).ljust(widths[0]), *(str(c).rjust(w) for c, w in zip(cells, widths[1:]))))
            for name, *cells in rows
        ]
        if len(shown) < len(self.counts):
            lines.append(f"the {len(shown)} of {len(self.counts)} classes with the fewest videos are shown")
        videos = [len(listing.examples) for listing in self.listings]
        parts = [
            f"{name} {count} ({count / sum(videos):.1%}, of {sources} source videos)"
            for name, count, sources in zip(names, videos, self.sources)
        ]
        return "\n".join([*lines, f"{sum(videos)} videos: {', '.join(parts)}"])


def parse_fractions(text):
    """Returns {name of a split: its fraction} of "train:0.8,test:0.2", or of "0.8,0.2" with the usual names.

    Raises:
        ValueError: neither.
    """
    parts = [part.strip() for part in text.split(",")]
    if not any(":" in part for part in parts) and len(parts) in NAMES:
        parts = [f"{name}:{part}" for name, part in zip(NAMES[len(parts)], parts)]
    pairs = [part.rpartition(":") for part in parts]
    try:
        fractions = {name.strip(): float(fraction) for name, colon, fraction in pairs if colon}
    except ValueError:
        fractions = {}
    if len(fractions) < len(parts):
        raise ValueError(
            f"Splits are given as train:0.8,test:0.2, each name once; two or three fractions alone are those of "
            f"{', '.join(NAMES[2])} or of {', '.join(NAMES[3])}. Received: {text!r}"
        )
    return fractions


def divide(listing, fractions, seed=0, group=None):
    """Divides a listing into splits.

    All parts of one source video, as `source_videos.source_video` knows them, are in one split. Each class has a video
    in every split if it has at least as many source videos as there are splits; a line says of which classes that could
    not be had. The result depends on the ids and classes of the videos and on the arguments, not on the order of the
    listing, nor on the machine.

    Args:
        listing: a Listing, of videos or of records.
        fractions: {name of a split: fraction of the videos}, which are above 0 and add up to 1.
        seed: an integer; another one gives another division.
        group: a regular expression that finds the source video in an id; None for the rule of `source_videos`.

    Returns:
        A Division.

    Raises:
        ValueError: fractions as above are needed; group is no expression; a split without any video.
    """
    _check(listing, fractions)
    if group is not None:
        check_group(group)
    if listing.split != "all":
        notice(f"the split {listing.split!r} of {listing.name} is divided into {', '.join(fractions)}")
    sources = {}
    for example in listing.examples:
        sources.setdefault(source_video(example.id, group), []).append(example)
    mixed = sorted(sources, key=lambda source: hashlib.sha256(_bytes(f"{seed}/{source}")).digest())
    classes = [_counts(sources[source]) for source in mixed]
    places = _Sharing(classes, [len(sources[source]) for source in mixed], tuple(fractions.values())).places()
    split_of = {example.id: place for source, place in zip(mixed, places, strict=True) for example in sources[source]}
    names = tuple(fractions)
    listings = tuple(
        dataclasses.replace(
            listing,
            split=name,
            examples=tuple(dataclasses.replace(e, split=name) for e in listing.examples if split_of[e.id] == place),
            missing=() if place else listing.missing,
        )
        for place, name in enumerate(names)
    )
    if empty := [each.split for each in listings if not each.examples]:
        raise ValueError(
            f"Each split has at least one video. Received: none for {empty[0]!r}, of {len(listing.examples)} videos of "
            f"{len(sources)} source videos. Raise its fraction, add videos, or pass a narrower group="
        )
    counts = _table(listings)
    lacking = {
        name: tuple(split for split, count in zip(names, row) if not count)
        for name, row in counts.items()
        if any(row) and not all(row)
    }
    if lacking:
        few, (name, without) = len(lacking), next(iter(lacking.items()))
        index = -1 if name == NO_LABEL else listing.labels.index(name)
        notice(
            f"{few} of {len(counts)} classes are not in every split (first: {name!r}, of "
            f"{sum(index in each for each in classes)} source videos, is not in {', '.join(without)})"
        )
    return Division(listings, tuple(places.count(place) for place in range(len(names))), counts, lacking)


def lost_classes(listing, built):
    """Returns the names of the classes that a split was to have, and of which no video could be used.

    Args:
        listing: the split's Listing.
        built: its Manifest.
    """
    there = {index for shard in built.shards for indices in shard.classes or () for index in indices}
    wanted = {index for example in listing.examples for index in example.indices}
    return [listing.labels[index] for index in sorted(wanted - there)]


def _check(listing, fractions):
    if len(fractions) < 2 or not all(0 < fraction < 1 for fraction in fractions.values()):
        raise ValueError(f"Two splits or more have a fraction above 0 each. Received: {fractions}")
    if not math.isclose(sum(fractions.values()), 1, abs_tol=1e-6):
        raise ValueError(f"The fractions of splits add up to 1. Received: {fractions}, {sum(fractions.values()):g}")
    for name in fractions:
        check_split(name, listing.name)


def _counts(examples):
    """Returns {class index, or -1 for no label: how many of a source's videos have it}."""
    counts = {}
    for example in examples:
        for index in example.indices or (-1,):
            counts[index] = counts.get(index, 0) + 1
    return counts


def _table(listings):
    names = dict(enumerate(listings[0].labels))
    rows = {index: [0] * len(listings) for index in names}
    for place, listing in enumerate(listings):
        for index, count in _counts(listing.examples).items():
            rows.setdefault(index, [0] * len(listings))[place] += count
    return {names.get(index, NO_LABEL): tuple(row) for index, row in rows.items()}


class _Sharing:
    """Sources that are shared out among splits.

    Args:
        classes: {class: number of its videos} of each source, in an order that decides between equals.
        sizes: how many videos each source has.
        fractions: of the splits.
    """

    def __init__(self, classes, sizes, fractions):
        self.classes, self.sizes, self.splits = classes, sizes, range(len(fractions))
        self.of_class = {}
        for source, counts in enumerate(classes):
            for index in counts:
                self.of_class.setdefault(index, []).append(source)
        self.aim = [sum(sizes) * fraction for fraction in fractions]
        self.room = list(self.aim)  # videos that each split lacks
        self.lacks = {index: self._wanted(index, fractions) for index in self.of_class}  # the same of each class
        self.having = {index: [0 for _ in fractions] for index in self.of_class}  # sources of a class in each split
        self.place = [None] * len(classes)

    def _wanted(self, index, fractions):
        """How many videos of a class each split is to have; at least one where there are sources enough."""
        videos = sum(self.classes[source][index] for source in self.of_class[index])
        wanted = [videos * fraction for fraction in fractions]
        if self._is_for_all(index):
            short = {place for place in self.splits if wanted[place] < 1}
            rest = sum(wanted[place] for place in self.splits if place not in short)
            wanted = [1.0 if place in short else wanted[place] * (videos - len(short)) / rest for place in self.splits]
        return wanted

    def _is_for_all(self, index):
        return len(self.of_class[index]) >= len(self.splits)

    def places(self):
        """Returns the split of each source, by number."""
        left = {index: sum(self.classes[s][index] for s in sources) for index, sources in self.of_class.items()}
        while left:
            index = min(left, key=lambda index: (left[index], index))
            sources = [source for source in self.of_class[index] if self.place[source] is None]
            for source in sorted(sources, key=lambda source: -self.classes[source][index]):
                self._put(source, self._best(index))
                for other, count in self.classes[source].items():
                    left[other] -= count
            del left[index]
        lacking = True
        while lacking:  # each time fewer
            lacking = any(self._mend(index) for index in sorted(self.of_class) if self._is_for_all(index))
        return self.place

    def _best(self, index):
        """The split that lacks most of a class; of those that lack less than a video less, the emptiest one."""
        lacks = self.lacks[index]
        most = max(lacks)
        near = [
            place for place in self.splits if lacks[place] > most - 1 and (lacks[place] > 0 or lacks[place] == most)
        ]
        return max(near, key=lambda place: self.room[place] / self.aim[place])

    def _put(self, source, place):
        self.place[source] = place
        self._count(source, place, 1)

    def _count(self, source, place, sign):
        self.room[place] -= sign * self.sizes[source]
        for index, count in self.classes[source].items():
            self.lacks[index][place] -= sign * count
            self.having[index][place] += sign

    def _mend(self, index):
        """Moves a source of a class to a split that has none, if no class loses its last one; returns whether."""
        if 0 in self.having[index]:
            place = self.having[index].index(0)
            may_go = [source for source in self.of_class[index] if not self._is_last(source)]
            if may_go:
                first = min(may_go, key=lambda s: (self.lacks[index][self.place[s]], self.sizes[s]))
                self._count(first, self.place[first], -1)
                self._put(first, place)
                return True
        return False

    def _is_last(self, source):
        """Whether its split would lack one of its classes without it, of those that can be in every split."""
        place = self.place[source]
        return any(self.having[index][place] == 1 and self._is_for_all(index) for index in self.classes[source])


def _bytes(text):
    return text.encode("utf-8", "surrogatepass")  # the names of files need not be text
