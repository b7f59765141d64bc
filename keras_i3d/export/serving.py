"""What lies beside an export for whoever runs TensorFlow Serving: its model list, its batching, the command."""

from keras_i3d.messages import notice

MODELS, BATCHING, COMMAND = "models.config", "batching.config", "serve.sh"

BATCHING_TEXT = """\
# Requests of one signature whose inputs have the same shape run together. Clips are large: few make a batch.
max_batch_size { value: 4 }
batch_timeout_micros { value: 10000 }
max_enqueued_batches { value: 64 }
num_batch_threads { value: 2 }
"""


def write(folder, frames):
    """Writes the three files beside a model's folder, where they are not there yet; a file that is there stays.

    Args:
        folder: the model's, with its versions inside; a pathlib.Path.
        frames: of its clips; None for any number.

    Returns:
        The docker command.
    """
    block = f'  config {{ name: "{folder.name}" base_path: "/models/{folder.name}" model_platform: "tensorflow" }}\n'
    command = docker(folder, batched=frames is not None)
    texts = {MODELS: f"model_config_list {{\n{block}}}\n", BATCHING: BATCHING_TEXT}
    texts[COMMAND] = f"#!/bin/sh\n# gRPC on port 8500, REST on port 8501.\n{command}\n"
    for name, text in texts.items():
        path = folder.parent / name
        if not path.exists():
            path.write_text(text)
        elif name == MODELS and f'"{folder.name}"' not in path.read_text():
            notice(f"{path} is there and does not name {folder.name}; to serve it too, add:\n{block.rstrip()}")
    return command


def docker(folder, batched):
    """Returns the command that serves the models beside `folder` by TensorFlow's own image."""
    lines = [
        "docker run --rm -p 8500:8500 -p 8501:8501",
        f"-v '{folder.parent.resolve()}:/models:ro' tensorflow/serving",
        f"--model_config_file=/models/{MODELS}",
    ]
    if batched:  # clips of several lengths do not go into one batch
        lines.append(f"--enable_batching --batching_parameters_file=/models/{BATCHING}")
    return " \\\n  ".join(lines)
