"""A recipe as a user asks for it, made to fit the number of clips: what he set stays, the rest follows, in a line."""

import dataclasses
import math

from keras_i3d import recipe_files
from keras_i3d.errors import notice
from keras_i3d.recipes import Recipe

FOLLOWING = (
    *("batch_size", "steps", "learning_rate", "rates", "final_rate", "boundaries", "warmup_steps", "unfreeze"),
)
SHARE = 4  # a pass over the clips is at least so many updates


@dataclasses.dataclass(frozen=True)
class AskedRecipe:
    """A recipe, and what a user replaces in it.

    Attributes:
        recipe: the Recipe, without the settings.
        settings: {field: text or value}, as for `Recipe.with_settings`. Each of them stays as it is given.
        own: whether the recipe is the user's own, in Python. Then it is not made to fit the number of clips, and only
            its `reference_batch` scales what the settings leave.
    """

    recipe: Recipe
    settings: dict = dataclasses.field(default_factory=dict)
    own: bool = True

    @classmethod
    def of(cls, recipe, settings=None):
        """Returns that of a Recipe, which is the user's own, or of what names one, and of the settings.

        What a file of JSON sets is as if it were in the settings, which come on top of it.
        """
        base, fields = recipe_files.parts(recipe)
        return cls(recipe_files.find(base), recipe_files.over(fields, settings or {}), own=isinstance(base, Recipe))

    @property
    def given(self):
        """Names of the fields that the user sets: of a recipe of his own, all but shares of its steps."""
        if not self.own:
            return set(self.settings)
        return {field.name for field in dataclasses.fields(Recipe)} - (self.recipe.shares - set(self.settings))

    def for_clips(self, clips=None, says=True):
        """Returns the Recipe for so many clips; a line gives both values of all that follows from settings and clips.

        Of a recipe of this package, in this order:

        - batch_size: at most a quarter of the clips, a power of 2, because the published batches are those of large
          data sets.
        - learning_rate: in proportion to the batch (Goyal et al. 2017, arXiv 1706.02677), and `rates` to it.
        - steps: as many clips seen if the user sets another batch than this one. A batch that was made smaller for few
          clips leaves them as they are.
        - boundaries, warmup_steps, unfreeze: in proportion to the steps.

        `reference_batch=None` leaves learning rate and steps as they are.

        Args:
            clips: their number; None leaves the batch as it is.
            says: whether there is a line: none of a run that has begun, which had it then.

        Raises:
            ValueError: as `Recipe.with_settings`; a recipe by `passes` without a number of clips.
        """
        asked = self.recipe.with_settings(self.settings)
        given = set(self.settings)
        if self.own:
            scaled = asked.scaled()
            kept = {name: getattr(asked, name) for name in FOLLOWING if name in given}
            found = dataclasses.replace(scaled, **kept)
        else:
            found = self._scaled(asked, given, clips)
        if clips is not None:
            found = found.for_clips(clips)
        if says:
            self._say(found, given, clips)
        return found

    def _scaled(self, asked, given, clips):
        """A recipe of this package with what follows."""
        recipe = self.recipe
        parts = (asked.accumulate or 1) if "accumulate" in given else 1
        usual = recipe.batch_size if clips is None else batch_for(clips, recipe.batch_size, parts)
        batch = asked.batch_size if "batch_size" in given else usual
        changes = {"batch_size": batch, "reference_batch": None}
        if asked.reference_batch is not None:
            if "learning_rate" not in given:
                changes["learning_rate"] = recipe.learning_rate * batch / asked.reference_batch
            if not given & {"steps", "passes"} and recipe.steps is not None:
                meant_for = asked.reference_batch if "reference_batch" in given else usual
                changes["steps"] = max(round(recipe.steps * meant_for / batch), 1)
        rate = changes.get("learning_rate", asked.learning_rate) / recipe.learning_rate
        if "rates" not in given:
            changes["rates"] = tuple(rate * each for each in recipe.rates)
        if "final_rate" not in given:
            changes["final_rate"] = rate * recipe.final_rate
        steps = changes.get("steps", asked.steps)
        if steps is None and clips is not None:
            steps = math.ceil(asked.passes * clips / batch)
        if recipe.steps is not None and steps is not None:
            ratio = steps / recipe.steps
            changes |= {name: value for name, value in recipe.updates_times(ratio).items() if name not in given}
        return dataclasses.replace(asked, **changes)

    def _say(self, found, given, clips):
        """Says in a line what is no longer as the recipe has it, and why; what the user set is not named."""
        before = self.recipe
        if clips is not None:  # a share of the steps is no other setting when it is a number of them
            length = {"steps": found.steps, "passes": None} if before.steps is None else {}
            before = dataclasses.replace(before, **length).for_clips(clips)
        changed = [
            f"{name} {_text(getattr(found, name))} instead of {_text(getattr(before, name))}"
            for name in FOLLOWING
            if name not in given and getattr(found, name) != getattr(before, name) and getattr(before, name) is not None
        ]
        if not changed:
            return
        set_ = [name for name in (*FOLLOWING, "passes", "reference_batch") if name in given]
        reasons = [f"{name}={_text(getattr(found, name))}" for name in set_ if name in FOLLOWING]
        reasons += [f"{name}={self.settings[name]}" for name in set_ if name not in FOLLOWING]
        if "batch_size" not in given and found.batch_size != self.recipe.batch_size:
            reasons.insert(0, f"a batch of at most a quarter of {clips} clips")
        notice(
            f"the recipe for {' and '.join(reasons) or 'this batch'}: {', '.join(changed)}. --set=FIELD=VALUE "
            "(settings={FIELD: VALUE}) sets any of them"
        )


def batch_for(clips, batch, accumulate=1):
    """Returns the batch for so many clips: a power of 2, at most a quarter of them, and a multiple of `accumulate`.

    Args:
        clips: their number.
        batch: the one that is wanted, which is taken if it is no more than that.
        accumulate: parts that it is divided into.
    """
    if batch * SHARE <= clips:
        return batch
    few = min(batch, max(2 ** int(math.log2(max(clips // SHARE, 1))), 2))
    return max(few // accumulate, 1) * accumulate


def _text(value):
    if isinstance(value, tuple):
        return f"({', '.join(map(_text, value))})"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
