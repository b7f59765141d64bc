"""Sends videos to a TensorFlow Serving server: `keras-i3d ask SERVER VIDEO...`, whose flags this takes.

python tools/serving_client.py --server=localhost:8500 clip.mp4
python tools/serving_client.py --server=http://localhost:8501 clip.mp4
"""

import sys

from absl import flags

from keras_i3d import cli


def main(words):
    """Runs `keras-i3d ask` with the server of --server; returns its exit status."""
    values = flags.FlagValues()
    flags.DEFINE_string("server", "localhost:8500", "HOST:PORT for gRPC, http://HOST:PORT for REST.", values)
    others = values(["serving_client", *words], known_only=True)[1:]
    return cli.main(["ask", values.server, *others])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
