"""The videos that words of a command line name: files, folders and globs."""

import glob
import os
import pathlib

from keras_i3d import paths
from keras_i3d.cli import UsageError

EACH = "*"  # in the name of an output, the name of each video


def expand(arguments):
    """Returns [(path, problem or None)] for files, folders (searched through, sorted) and globs.

    A path that exists is never taken for a glob, because some names contain brackets; nor is the folder of a glob. What
    a folder holds and is left out is said in a line.
    """
    found = []
    for argument in arguments:
        if os.path.isdir(argument):
            found += _inside(argument)
        elif not os.path.exists(argument) and glob.has_magic(argument):
            matched = sorted(glob.glob(paths.pattern(argument), recursive=True))
            for path in matched:
                if not os.path.isdir(path):
                    found.append((path, None))
                elif "**" not in argument:  # which matches the files in the folder as well
                    found += _inside(path)
            found += [] if matched else [(argument, "the pattern matches no file")]
        else:
            found.append((argument, None if os.path.exists(argument) else "no such file"))
    return found


def outputs(verb, output, sources):
    """Returns {video: path of its file}; of several videos the name is made of the path that tells them apart.

    Args:
        verb: what takes `--output=`.
        output: the path, with a * in its name for several videos.
        sources: paths of the videos.

    Raises:
        UsageError: several videos and no *, two outputs of one name, or an output that is one of the videos: writing
            it would replace that, perhaps before it is read.
    """
    found = _named(verb, output, sources)
    videos = {_identity(source) for source in sources if os.path.exists(source)}
    for path in found.values():
        if os.path.exists(path) and _identity(path) in videos:
            raise UsageError(f"An output is another file than each of the videos. Received: --output={path}")
    return found


def _named(verb, output, sources):
    folder, name = os.path.split(output)
    if EACH not in name:
        if len(sources) > 1:
            raise UsageError(
                f"{verb} of several videos needs a {EACH} in the name of --output, which stands for that of each: "
                f"--output='{os.path.join(folder, EACH + os.path.splitext(name)[1])}'. Received: --output="
                f"{output} for {len(sources)} videos."
            )
        return dict.fromkeys(sources, output)
    base = os.path.commonpath([os.path.dirname(os.path.abspath(source)) for source in sources])
    whole = {source: os.path.relpath(os.path.abspath(source), base).replace(os.sep, "-") for source in sources}
    stems = [os.path.splitext(each)[0] for each in whole.values()]
    names = [each if stems.count(stem) > 1 else stem for each, stem in zip(whole.values(), stems)]
    if twice := next((each for each in names if names.count(each) > 1), None):
        raise UsageError(f"Each video has an output of its own. Received: two that would be {twice}.")
    return {source: os.path.join(folder, name.replace(EACH, each)) for source, each in zip(sources, names)}


def _identity(path):
    """What two names of one file have in common."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _inside(folder):
    from keras_i3d.records.video_files import walk

    walked = walk(folder)
    walked.say_what_is_left_out(folder)
    problems = dict.fromkeys(walked.videos)
    problems |= dict.fromkeys(walked.broken, "it is no file, but a link that leads nowhere, or a pipe")
    problems |= dict(walked.unlisted)
    inside = [(str(pathlib.Path(folder, path)), problem) for path, problem in sorted(problems.items())]
    return inside or [(folder, "the folder holds no video")]
