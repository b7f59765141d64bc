"""keras-i3d serve DIR...: serves exports on this machine without docker, in the REST form of TensorFlow Serving.

DIR is the folder that `export --output=DIR` wrote, with numbered versions inside; its last part is the model's name.
Needs pip install 'keras-i3d[kserve]': the server is KServe's ModelServer. TensorFlow alone runs the export.

  --port=N                    default: 8501, that of TensorFlow Serving's REST; 0 takes one that is free
  --host=ADDRESS              default: 127.0.0.1, which no other machine reaches; the server has no authentication
  --versions=latest|all|N,... which versions of each model; default: latest
  --labels=LABEL:N,...        names of versions, for /v1/models/NAME/labels/LABEL; default: none

It says that it is ready once the warm-up requests of each version have run. Ctrl-C ends it: requests under way have 30
seconds to be answered. There is no gRPC: KServe's is of another protocol than TensorFlow Serving's.

Examples:
  keras-i3d serve models/i3d
  keras-i3d ask http://localhost:8501 clip.mp4
  keras-i3d serve models/i3d --versions=all --labels=stable:1,canary:2
"""

from absl import flags

from keras_i3d.cli import UsageError

FLAGS = flags.FlagValues()
flags.DEFINE_integer("port", 8501, "", lower_bound=0, upper_bound=65535, flag_values=FLAGS)
flags.DEFINE_string("host", "127.0.0.1", "", FLAGS)
flags.DEFINE_string("versions", "latest", "", FLAGS)
flags.DEFINE_list("labels", [], "", FLAGS)


def main(arguments):
    """Serves until it is interrupted; returns 0."""
    if not arguments:
        raise UsageError("serve takes at least one folder that `keras-i3d export --output=` wrote.")
    versions = _versions(FLAGS.versions)
    labels = dict(_label(word) for word in FLAGS.labels)
    from keras_i3d import serving

    serving.serve(*arguments, host=FLAGS.host, port=FLAGS.port, versions=versions, labels=labels, verbose=FLAGS.verbose)
    return 0


def _versions(text):
    """The value of --versions: "latest", "all", or a list of numbers."""
    if text in ("latest", "all"):
        return text
    words = text.split(",")
    if not all(word.isdecimal() for word in words):
        raise UsageError(f"--versions must be latest, all, or numbers with commas between them. Received: {text}")
    return [int(word) for word in words]


def _label(word):
    """The label and the version of a word of --labels."""
    name, _, number = word.partition(":")
    if not name or "/" in name or not number.isdecimal():
        raise UsageError(f"--labels must be LABEL:N with commas between them, as stable:1. Received: {word}")
    return name, int(number)
