"""Which records come from one source video, by their ids: such records must not lie on both sides of a split.

The rule is conservative: it joins what a name shows to be parts of one video, and nothing else. In this order:

  a.mp4#t=0,4  a.mp4#t=4,8           parts of one file, as a CSV with start and end lists them: the file
  v_Class_g01_c01  v_Class_g01_c02   UCF101: the group, whose clips were cut from one video
  FILM_class_u_nm_np1_fr_goo_0       HMDB51: the film before the class and the six facts of a clip
  ABCDEFGHIJK_000010_000020          Kinetics: the YouTube id before the two times
  NAME_part1  NAME-clip02            a name that ends in part, clip, segment, scene, shot, chunk or split and a number

Otherwise the video is its own source. The folder of a file belongs to its name, but for UCF101, HMDB51 and Kinetics,
where one video may have parts of several classes.
"""

import os
import re

from keras_i3d.records import contexts

FRAGMENT = re.compile(r"#t=[\d.,]+$")
UCF101 = re.compile(r"(v_\w+?_g\d\d)_c\d\d")
HMDB51 = re.compile(r"(?P<film>.+)_[hluf]_[cn]m_np\d_(?:ba|fr|le|ri)_(?:bad|goo|med)_\d+")
KINETICS = re.compile(r"([\w-]{11})_\d{6}_\d{6}")
PART = re.compile(r"(.*[^ _.-])[ _.-]+(?:part|clip|seg|segment|scene|shot|chunk|split)[ _.-]?\d+", re.IGNORECASE)
# "007", "video_12", "IMG_0034": two such files in two folders need not be one video.
COUNTED = re.compile(r"[^\W\d]{0,8}[ _.-]?\d{1,6}")


def source_video(id, group=None):
    """Returns what stands for the source video of a record.

    Args:
        id: of the record.
        group: a regular expression that is looked for in the id, text or compiled. What its groups match, or without
            groups the whole match, stands for the source video. An id without a match is that of its file. None for
            the rule of this module.

    Returns:
        Text, equal for records of one source video.
    """
    file = FRAGMENT.sub("", id)
    if group is not None:
        found = re.search(group, id)
        if not found:
            return file
        return "/".join(part or "" for part in found.groups()) if found.re.groups else found[0]
    place, _, name = file.rpartition("/")
    stem = os.path.splitext(name)[0]
    if found := UCF101.fullmatch(stem) or KINETICS.fullmatch(stem):
        return found[1]
    if found := HMDB51.fullmatch(stem):
        # The class, of which the folder is named, stands between the film and the facts.
        return found["film"].removesuffix(f"_{place.rpartition('/')[2]}") if place else found["film"]
    if found := PART.fullmatch(stem):
        return f"{place}/{found[1]}" if place else found[1]
    return file


def check_group(group):
    """Raises ValueError for text that is no regular expression."""
    try:
        re.compile(group)
    except re.error as error:
        raise ValueError(f"group is a regular expression. Received: group={group!r} ({error})") from error


def overlaps(a, b, group=None):
    """Finds source videos of which two sets of records both have something.

    Names alone are compared. Names such as `007.mp4` or `video_12.mp4` say nothing of their video: two of them are
    taken for one video only as parts of a file, by another rule, or by `group`.

    Args:
        a, b: each a Manifest, a Listing, or a `data.record_files.Source`, whose third-party files are read for their
            ids.
        group: as for `source_video`.

    Returns:
        {source video: (its ids in a, its ids in b)}, in the order of a.
    """
    first, second = _by_source(a, group), _by_source(b, group)
    return {source: (ids, second[source]) for source, ids in first.items() if source in second}


def _by_source(records, group):
    found = {}
    for id in ids(records):
        source = source_video(id, group)
        stem, suffix = os.path.splitext(source.rpartition("/")[2])
        if group is None and source == id and suffix and COUNTED.fullmatch(stem):  # published ids have no suffix
            continue
        if id:
            found.setdefault(source, []).append(id)
    return {source: tuple(each) for source, each in found.items()}


def ids(records):
    """Yields the ids of a Manifest, a Listing or a Source."""
    if hasattr(records, "shards"):
        yield from (id for shard in records.shards for id in shard.ids)
    elif hasattr(records, "examples"):
        yield from (example.id for example in records.examples)
    else:
        for file, known in zip(records.files, records.ids):
            yield from known if known is not None else (context.id for context in contexts.read(file))
