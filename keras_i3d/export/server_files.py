"""What lies next to an export for whoever runs TensorFlow Serving: its model list, its batching, the command."""

import shlex

from keras_i3d import atomic
from keras_i3d.errors import notice

MODELS, BATCHING, COMMAND = "models.config", "batching.config", "serve.sh"

BATCHING_TEXT = """\
# Requests of one signature run together, if they come within the time below. Clips are large: few make a batch, and a
# request of more is refused. One answer goes to all of a batch: if two have inputs of different shapes, or one is
# bad, all are refused. Leave --enable_batching out of the command if clients send such requests.
max_batch_size { value: 4 }
batch_timeout_micros { value: 10000 }
max_enqueued_batches { value: 64 }
num_batch_threads { value: 2 }
"""


def write(folder, frames):
    """Writes the three files next to a model's folder. Of those that exist, only the list of models gets a line.

    Args:
        folder: the model's, with its versions inside; a pathlib.Path.
        frames: frames of its clips; None for any number.

    Returns:
        The docker command, for this machine.
    """
    batched = frames is not None
    _list(folder.parent / MODELS, folder.name)
    here = '"$(cd "$(dirname "$0")" && pwd)"'
    script = f"#!/bin/sh\n# gRPC on port 8500, REST on port 8501.\nexec {docker(here, batched)}\n"
    for name, text in ((BATCHING, BATCHING_TEXT), (COMMAND, script)):
        path = folder.parent / name
        if not path.exists():
            atomic.write_text(path, text, 0o755 if name == COMMAND else 0o644)
    if not batched and "--enable_batching" in (folder.parent / COMMAND).read_text(encoding="utf-8"):
        notice(
            f"{folder.parent / COMMAND} has requests batched, which refuses clips of {folder.name} of several lengths "
            "that come together; take --enable_batching out of it"
        )
    return docker(shlex.quote(str(folder.parent)), batched)


def _list(path, name):
    """Adds a model to the list that a server reads, or says what to add if the list is not as written here."""
    begin, end = "model_config_list {\n", "}\n"
    line = f'  config {{ name: "{name}" base_path: "/models/{name}" model_platform: "tensorflow" }}\n'
    text = path.read_text(encoding="utf-8") if path.exists() else begin + end
    if f'name: "{name}"' in text:
        return
    if not (text.startswith(begin) and text.endswith(end)):
        notice(f"{path} does not name {name}, and is not as it was written; to serve it too, add:\n{line.rstrip()}")
        return
    atomic.write_text(path, text.removesuffix(end) + line + end)


def docker(models, batched):
    """Returns the command that serves a folder of models, its name quoted for a shell, by TensorFlow's own image."""
    lines = [
        "docker run --rm -p 8500:8500 -p 8501:8501",
        f"-v {models}:/models:ro tensorflow/serving",
        f"--model_config_file=/models/{MODELS}",
    ]
    if batched:  # clips of several lengths do not go into one batch
        lines.append(f"--enable_batching --batching_parameters_file=/models/{BATCHING}")
    return " \\\n  ".join(lines)
