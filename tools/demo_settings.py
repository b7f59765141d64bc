"""The settings of the demo's training: a network a quarter as wide, on frames a quarter as wide, in a minute."""

SETTINGS = {
    "depth_multiplier": 0.25,
    "clip_frames": 16,
    "size": 56,
    "batch_size": 16,
    "frame_stride": 2,
    "learning_rate": 0.025,
    "warmup_steps": 10,
    "clip_norm": 5.0,
    "dropout": 0.2,
    "weight_decay": 1e-4,
}
RATE = 0.0025  # learning rate of the last quarter
SHORT_SIDE = 64  # of its records


def of_steps(steps):
    """Returns `SETTINGS` with what depends on the number of updates, {field of the recipe: value}."""
    return {**SETTINGS, "steps": steps, "boundaries": f"({round(0.75 * steps)},)", "rates": f"({RATE},)"}
