"""The memory of a training step: estimated, compared with what there is, and met by parts or by remat."""

import dataclasses

import pytest
from made import tiny

from keras_i3d import recipes
from keras_i3d.errors import TrainingError
from keras_i3d.models import families
from keras_i3d.models.family import without_memory
from keras_i3d.precision import policy
from keras_i3d.training import step_memory
from keras_i3d.training.step_memory import StepMemory, fitted

RECIPE = dataclasses.replace(recipes.find("full-ft"), clip_frames=64, size=224)
GB = 1e9
NEEDED = StepMemory(
    kept=0.7 * GB,
    rematerialised=0.4 * GB,
    clip=0.08 / step_memory.BATCHES_AHEAD * GB,
    weights=0.1 * GB,
    accumulated=0.05 * GB,
    base=GB,
)


def network(precision, head=False, frames=64, size=224):
    """I3D, whole, as a graph without weights."""
    family = families.find("I3D")
    shape = (frames, size, size, 3)

    def build():
        with policy(precision):
            model = family.build(input_shape=shape, classes=4, stream="rgb", classifier_activation=None)
        for layer in model.layers if head else ():
            layer.trainable = layer.name == family.head
        return step_memory.estimate(model, RECIPE, 43)

    return without_memory(build)


def test_the_estimate_is_what_was_measured():
    """Growth of resident memory over two steps of I3D on clips from memory: MiB, by precision, clips and remat."""
    mib = 2**20
    small = {name: network(name, frames=32, size=112) for name in ("mixed_bfloat16", "float32")}
    measured = {
        ("mixed_bfloat16", 1, False): 365, ("mixed_bfloat16", 4, False): 606, ("mixed_bfloat16", 12, False): 1289,
        ("float32", 4, False): 752, ("float32", 8, False): 1301, ("mixed_bfloat16", 12, True): 839,
        ("float32", 8, True): 809,
    }  # fmt: skip
    for (precision, clips, remat), found in measured.items():
        memory = small[precision]
        fed = step_memory.ENCODED * 32 * 43 + (step_memory.BATCHES_AHEAD - 1) * memory.clip * clips
        assert 0.95 < (memory.total(clips, remat) - fed) / (found * mib) < 1.3, (precision, clips, remat)
    whole = network("mixed_bfloat16")
    assert whole.total(1) == pytest.approx(945 * mib, rel=0.5)
    assert whole.total(96) > 70 * GB  # the batch of the recipe, which a machine of 24 GB does not take
    assert network("mixed_bfloat16", head=True).kept < 0.3 * whole.kept


@pytest.mark.parametrize(
    ("free", "parts", "remat"),
    [(100 * GB, 1, False), (46 * GB, 2, False), (8 * GB, 16, False), (2.3 * GB, 96, False), (1.95 * GB, 96, True)],
)
def test_a_batch_that_does_not_fit_is_met_by_parts_and_then_by_remat(free, parts, remat, capsys):
    found = fitted(RECIPE, NEEDED, free)
    assert (found.accumulate, found.remat, found.batch_size, found.steps) == (parts, remat, 96, 5000)
    said = capsys.readouterr().err
    assert said.count("\n") == (parts > 1)
    assert ("an update is still of 96 clips" in said, "remat=True" in said) == (parts > 1, remat)
    assert fitted(RECIPE, NEEDED, None).accumulate == 1  # nobody knows how much there is


def test_not_even_one_clip():
    with pytest.raises(TrainingError, match=r"about 1\.6 GB with 1 clip at a time and remat=True of 64 frames of 224 .*"
                       r"Received: 1\.5 GB free, of which 85% may be taken. Lower clip_frames= or size="):  # fmt: skip
        fitted(RECIPE, NEEDED, 1.5 * GB)


def test_what_a_user_sets_stays(capsys):
    found = fitted(dataclasses.replace(RECIPE, accumulate=2, remat=False), NEEDED, 8 * GB)
    assert (found.accumulate, found.remat) == (2, False)
    said = capsys.readouterr().err
    assert "39 GB with 48 clips at a time, and 8.0 GB are free: the system may end this run. accumulate=2, " in said
    assert fitted(dataclasses.replace(RECIPE, remat=True), NEEDED, 8 * GB).accumulate == 12


def test_several_devices_share_a_batch_and_do_not_accumulate():
    assert fitted(RECIPE, NEEDED, 30 * GB, devices=4).accumulate == 1
    assert fitted(RECIPE, NEEDED, 15 * GB, devices=4).remat is True
    with pytest.raises(TrainingError, match="train on fewer devices at once"):
        fitted(RECIPE, NEEDED, 5 * GB, devices=4)


def test_the_memory_of_a_group_is_a_limit(tmp_path):
    """Of both versions of control groups, the nearest limit that is one; files that can be read again are free."""
    for version, place, limit, used in (
        ("", "", "memory.max", "memory.current"),
        ("memory", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        group = tmp_path / place / "a" / "b"
        group.mkdir(parents=True, exist_ok=True)
        (group / limit).write_text("max\n" if not version else "9223372036854771712\n")
        (group / used).write_text("100\n")
        (group.parent / limit).write_text("1000\n")
        (group.parent / used).write_text("700\n")
        (group.parent / "memory.stat").write_text("anon 5\ninactive_file 50\n")
        own = tmp_path / "own"
        own.write_text(f"0:{version}:/a/b\n")
        assert min(step_memory._of_groups(tmp_path, own)) == 350
    assert not list(step_memory._of_groups(tmp_path, tmp_path / "none"))
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:   4 kB\n")
    assert step_memory._of_machine(tmp_path / "meminfo") == 4096
    assert step_memory._of_machine(tmp_path / "none") is None


def test_a_network_without_cuts_cannot_be_computed_again(monkeypatch):
    tiny.shorten(monkeypatch)
    row = next(row for row in families.FAMILIES.values() if not row.cuts)
    stream, clip = next(iter(row.clips.items()))
    shape = (max(row.min_frames, 9), row.min_size, row.min_size, step_memory_channels(stream))

    def build():
        return step_memory.estimate(row.build(stream=stream, input_shape=shape, classes=3), RECIPE)

    assert without_memory(build).rematerialised is None


def step_memory_channels(stream):
    from keras_i3d.specs import INPUT_CHANNELS

    return INPUT_CHANNELS[stream]
