"""What a run makes of its validation, to look at: example clips with flow and predictions, and the confusions.

They are PNG files in RUN/pictures, `examples-UPDATE.png` and `confusions-UPDATE.png`, from which TensorBoard's event
files can be written again.
"""

import re

import numpy as np

from keras_i3d import atomic, charts, visualize
from keras_i3d.errors import notice
from keras_i3d.training.example_clips import Examples

FOLDER = "pictures"
EXAMPLES, CONFUSIONS = "examples", "confusions"
COLUMNS, SHOWN, WIDTH = 2, 3, 112  # clips in a row; pictures of a clip, and the pixels of one
SHOWN_FROM = 0.5  # the probability from which one of several labels is named, as the figure `exact` takes it
RIGHT, WRONG = (5, 150, 105), (194, 65, 12)  # of the strip at the left of a clip
NAME = re.compile(r"(?P<tag>[A-Za-z0-9][A-Za-z0-9_.-]*)-(?P<update>\d{9})\.png")  # no temporary file's


class RunPictures:
    """The pictures of a run.

    Args:
        heads: the Heads of the run.
        output: pathlib.Path of the run.
        count: example clips on a sheet; 0 draws nothing at all.
    """

    def __init__(self, heads, output, count):
        self.heads, self.folder = heads if count else (), output / FOLDER
        self.examples = {
            head.name: Examples(head.run, head.validation, count) for head in self.heads if head.validation
        }

    def draw(self, matrices, update):
        """Draws the pictures of a validation that has just ended.

        Args:
            matrices: `confusions.matrices` of the model that was measured; the heads' models have its weights.
            update: number of the update before it.

        Returns:
            As `of`.

        Raises:
            OSError: they cannot be written.
        """
        for head in self.heads:
            if head.name not in self.examples:
                continue
            self.folder.mkdir(exist_ok=True)
            sheet = contact_sheet(self.examples[head.name], head.model, head.run, f"after {update} updates")
            if sheet is not None:
                self._write(head.called(EXAMPLES), update, visualize.png(sheet))
            counted = matrices.get(head.called("mean_class"))
            if counted is not None and self._charts_can_be_drawn():
                self._write(head.called(CONFUSIONS), update, charts.confusion(counted, head.run.labels))
        return self.of(update)

    def of(self, update):
        """Returns the pictures of a validation, {tag: path of a PNG}, "NAME/examples" that of one of several heads."""
        return {tag.replace(".", "/"): path for tag, number, path in self._files() if number == update}

    def keep(self, updates):
        """Removes the pictures of other validations: a run that was killed before their checkpoint draws them anew."""
        if self.folder.is_dir():
            atomic.clean(self.folder, alone=True)
        for _, number, path in self._files():
            if number not in updates:
                path.unlink()

    def _files(self):
        names = ((NAME.fullmatch(path.name), path) for path in sorted(self.folder.glob("*.png")))
        return [(name["tag"], int(name["update"]), path) for name, path in names if name]

    def _write(self, tag, update, content):
        with atomic.replacing(self.folder / f"{tag}-{update:09}.png") as temporary:
            temporary.write_bytes(content)

    def _charts_can_be_drawn(self):
        if self._charts is None:
            try:
                charts.matplotlib(f"A picture of the confusions in {self.folder}")
                self._charts = True
            except ImportError as error:
                notice(f"the run goes without one: {error}")
                self._charts = False
        return self._charts

    _charts = None  # whether matplotlib is there


def contact_sheet(examples, model, run, title):
    """Lays out clips, each with its label and what a model takes it for; a strip tells right (green) from wrong.

    Args:
        examples: an iterable of Example.
        model: from a clip to probabilities (1, classes), or to those of each time step (1, T, classes).
        run: the Run of the model.
        title: begins the line above.

    Returns:
        uint8 (H, W, 3); None without clips.
    """
    seen = [(e.frames(run.mean, run.std), e.fields(), *_named(e, model, run)) for e in examples]
    if not seen:
        return None
    fields = [field for _, field, *_ in seen if field is not None]
    bound = visualize.own_bound(np.stack(fields)) if fields else None
    cells = [_cell(*clip, bound, run) for clip in seen]
    height = max(len(cell) for cell in cells)
    cells = [np.pad(c, ((0, height - len(c)), (0, 0), (0, 0)), constant_values=255) for c in cells]
    columns = min(COLUMNS, len(cells))
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % columns)
    rows = [np.concatenate(cells[at : at + columns], axis=1) for at in range(0, len(cells), columns)]
    colour = f"; flow in full colour: {bound:.3g} pixels per frame" if fields else ""
    rule = "named rightly" if run.labelling == "single" else f"all labels named, no other, from {SHOWN_FROM:.0%} on"
    above = visualize.text_line(f"{title}; green: {rule}{colour}", rows[0].shape[1])
    return np.concatenate([above, *rows])


def _cell(frames, field, label, answer, right, bound, run):
    """The pictures of a clip below its label and answer, next to its strip."""
    shown = visualize.sheet(
        frames,
        field,
        f"{label}; named {answer}",
        run.spec.fps / run.recipe.frame_stride,
        SHOWN,
        SHOWN,
        WIDTH,
        bound,
        False,
    )
    strip = np.empty((len(shown), 4, 3), np.uint8)
    strip[:] = RIGHT if right else WRONG
    return np.pad(np.concatenate([strip, shown], axis=1), ((0, 6), (0, 8), (0, 0)), constant_values=255)


def _named(example, model, run):
    """Returns (label of a clip, what the model says with its probabilities, whether these are the same classes).

    It says the most probable class, or, where a clip has several labels, all from SHOWN_FROM on.
    """
    probabilities = np.asarray(model(example.taken(run.stream), training=False), np.float32)[0]
    probabilities = probabilities.reshape(-1, probabilities.shape[-1]).max(axis=0)
    likely = np.argsort(-probabilities, kind="stable").tolist()
    said = [f"{run.labels[i]} {probabilities[i]:.0%}" for i in likely]
    count = 1 if run.labelling == "single" else int(np.sum(probabilities >= SHOWN_FROM))
    label = " + ".join(run.labels[i] for i in example.classes) or "no label"
    answer = " + ".join(said[:count]) or f"nothing, at most {said[0]}"
    return label, answer, set(likely[:count]) == set(example.classes)
