"""The flags that say which networks look at a video, and how: those of every verb that makes a `Classifier`."""

from absl import flags

NAMES = ("streams", "rgb", "flow", "both", "labels", "flow_method", "precision", "runtime", "chunk_frames")
NAMES += ("accept_licence",)


def define(values, precision=None, runtime=True):
    """Adds the flags to those of a verb, whose help says of each what it does.

    Args:
        values: absl's FlagValues of the verb.
        precision: the default of --precision.
        runtime: whether --runtime is one of them.
    """
    flags.DEFINE_enum("streams", None, ["both", "rgb", "flow"], "", values)
    flags.DEFINE_string("rgb", None, "", values)
    flags.DEFINE_string("flow", None, "", values)
    flags.DEFINE_string("both", None, "", values)
    flags.DEFINE_string("labels", None, "", values)
    flags.DEFINE_enum("flow_method", None, ["tvl1", "opencv", "dis"], "", values)
    flags.DEFINE_enum("precision", precision, ["float32", "bfloat16", "float16"], "", values)
    if runtime:
        flags.DEFINE_enum("runtime", None, ["auto", "tensorflow", "openvino"], "", values)
    flags.DEFINE_integer("chunk_frames", 512, "", flag_values=values)
    flags.DEFINE_bool("accept_licence", False, "", values)


def settings(values, *names):
    """{argument: value} of what was given, for `Classifier` or `explain`; with `names`, of these flags too."""
    return {name: values[name].value for name in (*filter(values.__contains__, NAMES), *names)}
