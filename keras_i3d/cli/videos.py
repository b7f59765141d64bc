"""The videos that words of a command line name: files, folders and globs."""

import glob
import os
import pathlib

from keras_i3d import paths


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


def _inside(folder):
    from keras_i3d.records.video_files import walk

    walked = walk(folder)
    walked.say_what_is_left_out(folder)
    problems = dict.fromkeys(walked.videos)
    problems |= dict.fromkeys(walked.broken, "it is no file, but a link that leads nowhere, or a pipe")
    problems |= dict(walked.unlisted)
    inside = [(str(pathlib.Path(folder, path)), problem) for path, problem in sorted(problems.items())]
    return inside or [(folder, "the folder holds no video")]
