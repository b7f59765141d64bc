"""The modern recipe against the paper's, at equal steps on the demo's data in small: accuracies over several seeds.

  python benchmarks/recipes.py --output=FOLDER [--records=FOLDER] [--recipes=original,modern-scratch] [--seeds=3]
                               [--steps=380] [--stream=rgb]

Each run is `training.train` without weights, with a recipe's own rates and draws, and with the network of the demo, its
clips and batch; `original` has the rates of the demo too, which were chosen for it. Runs of one seed begin with the
same weights. The table has the validation's top-1 of the last weights and of the best validation, mean and range.

A run that was stopped resumes when the same command is given again, and one that has ended is read, not repeated.
--records is a folder with train-* and test-*, as the demo leaves it; without it the demo's videos are made first, which
needs a few minutes. FOLDER/results.json has the figures.
"""

import json
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tools"))

import demo_settings  # noqa: E402
import short_runs  # noqa: E402
from absl import app, flags  # noqa: E402

_OUTPUT = flags.DEFINE_string("output", None, "Folder of the runs.", required=True)
_RECORDS = flags.DEFINE_string("records", None, "Folder of records; made in the output by default.")
_RECIPES = flags.DEFINE_list("recipes", ["original", "modern-scratch"], "Recipes, by name or file.")
_SEEDS = flags.DEFINE_integer("seeds", 3, "Runs of each recipe.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 380, "Updates of each run.", lower_bound=1)
_STREAM = flags.DEFINE_enum("stream", "rgb", ["rgb", "flow"], "What is trained.")
_SET = flags.DEFINE_multi_string("set", [], "FIELD=VALUE of all recipes, for trials.")

NETWORK = ("depth_multiplier", "clip_frames", "size", "frame_stride", "batch_size", "dropout")  # of the demo, for all


def settings_of(recipe, steps):
    """{field: value} that a recipe gets here."""
    demo = demo_settings.of_steps(steps)
    common = {name: demo[name] for name in NETWORK}
    common |= {"steps": steps, "reference_batch": None, "validate_every": -(-steps // 4), "save_every": 50}
    common |= dict(text.split("=", 1) for text in _SET.value)
    return {**demo, **common} if recipe == "original" else common


def run(records, output, recipe, seed):
    """Trains, or resumes, or reads a run: {"last": top-1, "best": top-1, "minutes": of this call}."""
    log, minutes = short_runs.trained(
        output,
        f"{records}/train-*",
        f"{records}/test-*",
        stream=_STREAM.value,
        recipe=recipe,
        seed=seed,
        settings=settings_of(recipe, _STEPS.value),
    )
    figures = short_runs.validated(log, "val_top1")
    return {"last": figures[-1], "best": max(figures), "minutes": minutes}


def table(found):
    """The lines of a table of {recipe: [{"last", "best"} of each seed]}."""
    head = ("recipe", "runs", f"top-1 after {_STEPS.value} steps", "best validation")
    rows = []
    for recipe, results in found.items():
        cells = [short_runs.spread([result[name] for result in results]) for name in ("last", "best")]
        rows.append((pathlib.Path(recipe).stem, len(results), *cells))
    return short_runs.table(head, rows)


def main(argv):
    del argv
    from keras_i3d import atomic

    folder = pathlib.Path(_OUTPUT.value).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    records = pathlib.Path(_RECORDS.value).resolve() if _RECORDS.value else short_runs.demo_records(folder)
    found = {}
    for seed in range(_SEEDS.value):  # a seed of each recipe in turn, so that a part of the table is a table
        for recipe in _RECIPES.value:
            output = folder / f"{pathlib.Path(recipe).stem}-{_STREAM.value}-{_STEPS.value}-{seed}"
            result = run(records, output, recipe, seed)
            found.setdefault(recipe, []).append(result)
            figures = f"{result['last']:.1%}, best {result['best']:.1%}, {result['minutes']:.1f} min"
            print(f"{output.name}: {figures}", flush=True)
    print("\n".join(["", *table(found)]))
    atomic.write_text(folder / "results.json", json.dumps({"steps": _STEPS.value, "runs": found}, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
