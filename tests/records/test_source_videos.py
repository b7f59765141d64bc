"""Which records come from one source video, and which of them two sets share."""

import pytest
from made import small_records

from keras_i3d.data.record_files import find
from keras_i3d.records import annotations, manifest, overlaps, source_videos

ALIKE = {
    "v_Archery_g01": ("Archery/v_Archery_g01_c01.avi", "v_Archery_g01_c07.avi", "x/v_Archery_g01_c02.mp4"),
    "v_Archery_g02": ("Archery/v_Archery_g02_c01.avi",),
    "April_09": (
        "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi",
        "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_1.avi",
        "smile/April_09_smile_h_cm_np2_fr_med_3.avi",
    ),
    "_-aB3dEfGhI": ("yoga/_-aB3dEfGhI_000010_000020.mp4", "_-aB3dEfGhI_000100_000110"),
    "run/a.mp4": ("run/a.mp4", "run/a.mp4#t=0,4", "run/a.mp4#t=4.5", "run/a.mp4#t=,2"),
    "run/b.mp4": ("run/b.mp4",),
    "walk/a.mp4": ("walk/a.mp4",),
    "run/match": ("run/match_part1.mp4", "run/match - Part 12.mov", "run/match_clip03.mp4"),
    "run/IMG_0001.mp4": ("run/IMG_0001.mp4",),
    "run/IMG_0002.mp4": ("run/IMG_0002.mp4",),
    "run/cam_200101_120000.mp4": ("run/cam_200101_120000.mp4",),
}


def test_names_that_show_one_source():
    assert {source: tuple(map(source_videos.source_video, ids)) for source, ids in ALIKE.items()} == {
        source: (source,) * len(ids) for source, ids in ALIKE.items()
    }


def test_an_expression_of_ones_own():
    ids = ["run/mary-01.mp4", "walk/mary-02.mp4", "run/john-01.mp4#t=0,2", "run/other.mp4#t=0,2"]
    by_person = [source_videos.source_video(id, r"([a-z]+)-\d") for id in ids]
    assert by_person == ["mary", "mary", "john", "run/other.mp4"]
    assert [source_videos.source_video(id, r"^[^/]*") for id in ids] == ["run", "walk", "run", "run"]
    two = [source_videos.source_video(id, r"^(\w+)/(?:(\w+)-\d)?") for id in ids]
    assert two == ["run/mary", "walk/mary", "run/john", "run/"]
    with pytest.raises(ValueError, match=r"group is a regular expression. Received: group='\(' \(missing"):
        source_videos.check_group("(")


def listing(*ids):
    examples = tuple(annotations.Example(id, id, None, None, None, None, "train") for id in ids)
    return annotations.Listing("csv", "train", (), examples, ())


def test_overlaps_of_listings_manifests_and_files(tmp_path):
    a = listing("x/v_A_g01_c01.avi", "x/v_A_g02_c01.avi", "run/film.mp4#t=0,2", "run/007.mp4", "run/film.mp4#t=3,4")
    b = listing("v_A_g01_c02.avi", "run/007.mp4", "run/film.mp4", "walk/film.mp4")
    assert overlaps(a, b) == {
        "v_A_g01": (("x/v_A_g01_c01.avi",), ("v_A_g01_c02.avi",)),
        "run/film.mp4": (("run/film.mp4#t=0,2", "run/film.mp4#t=3,4"), ("run/film.mp4",)),
    }
    charades = listing("YSKX3"), listing("YSKX3", "46GP8")
    assert overlaps(*charades) == {"YSKX3": (("YSKX3",), ("YSKX3",))}
    assert list(overlaps(a, b, group=r"\w+\.mp4")) == ["film.mp4", "007.mp4"]
    train = small_records.split(tmp_path / "a", "train", 4)
    test = small_records.split(tmp_path / "b", "test", 3)
    assert overlaps(find(train), find(test)) == {}
    assert overlaps(find(train), manifest.read(tmp_path / "b/test.json"), group=r"\d+") == {
        f"00{i}": ((f"train/00{i}.mp4",), (f"test/00{i}.mp4",)) for i in (0, 2, 1)
    }
    (tmp_path / "b/test.json").unlink()  # third-party files, read for their ids
    assert list(overlaps(find(test), find(train), group=r"\d+")) == ["000", "002", "001"]
