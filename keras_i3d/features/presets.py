"""The layouts of features that others' code reads, by name, each with its source and with what nobody published.

A preset is made to give the names, shapes and order of files, and the frames that each row sees. What is done otherwise
than in the source is said in `differs`, but for what is true of all: frames are decoded by FFmpeg and resized by its
bilinear filter, and never stored as JPEG in between; flow is TV-L1 with OpenCV's parameters unless `flow_method` is
given; numbers are float32. So the numbers are close to the originals, and not the same.
"""

import dataclasses
import re
import textwrap

from keras_i3d.features.layouts import ALL, Layout
from keras_i3d.models import families
from keras_i3d.models.families import DEFAULT

BEGIN, END = "<!-- presets -->", "<!-- end of presets -->"  # in a page, around the table that is made of these
# 114.75 and 57.375 of 255, for each colour: what the ResNet-50 of video-nonlocal-net was trained with.
NONLOCAL = {"mean": (0.45,) * 3, "std": (0.225,) * 3}
# The four corners and the centre; then the same places of the mirrored frame, whose left is the right of the frame.
TEN = ("tl", "tr", "c", "bl", "br", *(f"{place}_mirrored" for place in ("tr", "tl", "c", "br", "bl")))
CENTRE_FIRST = ("c", "tl", "tr", "bl", "br")


@dataclasses.dataclass(frozen=True)
class Preset:
    """A layout that others' code reads.

    Attributes:
        name: as `features.extract(preset=)` and `keras-i3d features --preset=` take it.
        title: what it is for, in a line.
        layout: a Layout.
        source: the code or the answer that it was read in, with its commit.
        unknown: what nobody published, and what is taken for it here; "" if nothing.
        differs: what is done otherwise than in the source; "" if nothing but what this module says of all.
        reading: how its readers read it, in a line of NumPy.
        model: the network whose published weights are taken.
    """

    name: str
    title: str
    layout: Layout
    source: str
    unknown: str
    differs: str = ""
    reading: str = ""
    model: str = DEFAULT

    @property
    def channels(self):
        """How many channels a file has: those that the head reads, of each of its streams."""
        row = families.find(self.model)
        width = row.layout()[row.head][0][-2]
        return width * (len(self.layout.streams) if self.layout.files == "one" else 1)

    @property
    def files(self):
        """The files of a video in words, each with its shape."""
        layout = self.layout
        sizes = {"T": "T", "N": str(len(layout.crops)), "C": str(self.channels)}
        shape = ", ".join(sizes[axis] for axis in layout.axes)
        if layout.pool == "none":
            shape = f"T, 1, 1, {self.channels}" if layout.endpoint in POOLED else f"T, H, W, {self.channels}"
        names = [layout.name.replace("{stem}", "NAME")]
        names = [name.replace("{stream}", stream) for name in names for stream in layout.streams]
        if layout.files == "per_crop":
            ends = (0, len(layout.crops) - 1)
            names = [" to ".join(name.replace("{crop}", str(crop)) for crop in ends) for name in names]
        listed = ", ".join(dict.fromkeys(f"{name}.{layout.format}" for name in names))
        return f"{listed} ({shape})"

    def __str__(self):
        parts = {"Files": self.files, "Source": self.source, "Not published": self.unknown, "Differs": self.differs}
        parts["Read as"] = self.reading
        lines = [f"{self.name}: {self.title}"]
        for what, words in parts.items():
            if words:
                lines += textwrap.wrap(f"{what}: {words}", 118, initial_indent="  ", subsequent_indent="    ")
        return "\n".join(lines)


POOLED = ("Logits_AvgPool3d_0a_7x7",)  # I3D's average pool of 2 x 7 x 7: one position of a clip of 224 pixels

_ALL = (
    Preset(
        name="thumos14-actionformer",
        title="THUMOS14 for temporal action localisation: ActionFormer, OpenTAD, TriDet",
        layout=Layout(
            window=16,
            step=4,
            stride=1,
            drop_last=True,
            fps=None,
            resize="340x256",
            crop=224,
            flow_levels="rounded",
        ),
        source=(
            "happyharrycn/actionformer_release@61ea7eb README and configs/thumos_i3d.yaml; OpenTAD@3dd7b03 "
            "configs/_base_/datasets/thumos-14/features_i3d_pad.py; Finspire13/pytorch-i3d-feature-extraction@d7f5452. "
            "A video of 5094 frames has 1269 rows (ActionFormer#5); row i is at (4 i + 8) / fps seconds."
        ),
        unknown=(
            "Whether the released files are of the centre crop or the mean of ten (ActionFormer#150): the centre here. "
            'Whether flow was computed before or after the resize: after it here. Which weights: "kinetics" here.'
        ),
        differs="Levels of flow are not stored as JPEG.",
        reading="np.load('NAME.npy').T  # (2048, T), rgb first",
    ),
    Preset(
        name="thumos14-wtalc",
        title="THUMOS14 for weakly supervised localisation: W-TALC, STPN, CoLA",
        layout=Layout(
            window=16,
            stride=1,
            fps=25,
            crop=224,
            gathered="Thumos14reduced-I3D-JOINTFeatures",
        ),
        source=(
            "sujoyp/wtalc-pytorch@81ea982, #5, #9: 16 frames at 25 fps, one after the other, the rest dropped, so that "
            "201 frames give 12 rows; one array of objects, an array (T, 2048) for each video."
        ),
        unknown=(
            "The resize and the crop: those of the weights here, short side 256, centre 224. What becomes of a row "
            "that flow lacks, of 16 n frames: it is left out here. The order of videos is that in which they are "
            "given."
        ),
        differs="Each video has a file of its own too.",
        reading="np.load('Thumos14reduced-I3D-JOINTFeatures.npy', allow_pickle=True)[i]  # (T, 2048)",
    ),
    Preset(
        name="activitynet",
        title="ActivityNet for temporal action localisation: ActionFormer, OpenTAD",
        layout=Layout(window=16, stride=1, fps=25, crop=224),
        source=(
            "happyharrycn/actionformer_release@61ea7eb README: 16 frames at 25 fps, one after the other, v_ID.npy, "
            "which is also how ActivityNet calls its videos. Whoever reads them resizes them to T = 192 "
            "(ActionFormer), 128 (OpenTAD) or 100 (BMN)."
        ),
        unknown=(
            "The resize and the crop: those of the weights here. The method of flow: that of the weights here. The "
            "tail: dropped here."
        ),
        reading="np.load('v_ID.npy').T  # (2048, T), then resized in T",
    ),
    Preset(
        name="rtfm",
        title="UCF-Crime and ShanghaiTech for anomaly detection: RTFM, MGFN",
        layout=Layout(
            streams=("rgb",),
            window=16,
            stride=1,
            fps=None,
            resize="340x256",
            crop=224,
            crops=TEN,
            name="{stem}_i3d",
            axes="TNC",
            **NONLOCAL,
        ),
        source=(
            "GowthamGottimukkala/I3D_Feature_Extraction_resnet@4cd6a1d, a form of the ResNet-50 port that RTFM's and "
            "MGFN's READMEs name: frames 16 by 16, ten crops of frames of 340 x 256, the ResNet-50 of "
            "video-nonlocal-net. RTFM reads NAME_i3d.npy."
        ),
        unknown=(
            "How inputs were scaled is disputed. Here by mean 114.75 and deviation 57.375, as the network was trained "
            "and as RTFM#20 and #52 say; that code has 2 x / 255 - 1, for which pass mean=(0.5, 0.5, 0.5), std=(0.5, "
            "0.5, 0.5). The order of crops: top left, top right, centre, bottom left, bottom right, and the same of "
            "the mirrored frame here, as in that code; RTFM#33 says torchvision's, with the centre behind the corners. "
            "RTFM#2 says Mixed_5c, which is of another network. The files that RTFM released could be made again by "
            "nobody (RTFM#76, #95)."
        ),
        differs="That code resizes by PIL's Lanczos filter.",
        reading="np.load('NAME_i3d.npy')  # (T, 10, 2048), then 32 means along T",
        model="I3DResNet50-nonlocal",
    ),
    Preset(
        name="deepmil",
        title="UCF-Crime for anomaly detection: Roc-Ng's DeepMIL",
        layout=Layout(
            streams=("rgb",),
            window=16,
            stride=1,
            fps=None,
            resize="short:256",
            crop=224,
            crops=(*CENTRE_FIRST, *(f"{place}_mirrored" for place in CENTRE_FIRST)),
            files="per_crop",
            name="{stem}__{crop}",
        ),
        source="Roc-Ng/DeepMIL README: a file for each crop; 0 is the centre, 1 to 4 the corners, 5 to 9 mirrored.",
        unknown=(
            "The order of the corners: top left, top right, bottom left, bottom right here, and mirrored in that "
            "order. The window, the frame rate, the resize and the tail: 16 frames one after the other at the video's "
            "own rate, short side 256, the rest dropped here."
        ),
        reading="np.load('NAME__0.npy')  # (T, 1024), then 32 means along T",
    ),
    Preset(
        name="ur-dmu",
        title="UCF-Crime for anomaly detection: UR-DMU",
        layout=Layout(
            streams=("rgb",),
            window=16,
            stride=1,
            tail="repeat",
            fps=None,
            resize="340x256",
            crop=224,
            crops=TEN,
            name="{stem}_i3d",
            axes="NTC",
        ),
        source=(
            "henrryzh1/UR-DMU@40cfdf5 feature_extract/i3d_extract.py: frames 16 by 16, the last one copied to fill the "
            "last window, so that 1601 frames give 101 rows; ten crops of frames of 340 x 256, top left, top right, "
            "centre, bottom left, bottom right, and the same of the mirrored frame."
        ),
        unknown='Which weights: I3D\'s "kinetics" here.',
        differs="That code resizes by PIL's Lanczos filter, and refuses a video of at most 16 frames.",
        reading="np.load('NAME_i3d.npy')  # (10, T, 1024)",
    ),
    Preset(
        name="xd-violence",
        title="XD-Violence for violence detection: Roc-Ng's XDVioDet, RTFM, UR-DMU",
        layout=Layout(
            window=16,
            stride=1,
            one_more=True,
            flow_end="own",
            fps=None,
            resize="short:256",
            crop=224,
            crops=CENTRE_FIRST,
            files="per_crop",
            name="{stream}/{stem}__{crop}",
        ),
        source=(
            "Roc-Ng/XDVioDet README, dataset.py and #5, claims of its issues: short side 256; a file for each of five "
            "crops, 0 the centre, 1 to 4 the corners; (frames - 1) // 16 rows. Streams are in folders of their own."
        ),
        unknown=(
            "The order of the corners: top left, top right, bottom left, bottom right here, as the answer in #5 lists "
            "them. The frame rate: the video's own here. The names of the folders: rgb and flow here. Flow may have a "
            "row less there, and its reader then leaves out the last one of rgb; here both have as many."
        ),
        reading="np.concatenate([np.load('rgb/NAME__0.npy'), np.load('flow/NAME__0.npy')], axis=1)  # (T, 2048)",
    ),
    Preset(
        name="ms-tcn",
        title="50Salads, GTEA and Breakfast for action segmentation: MS-TCN, ASFormer",
        layout=Layout(
            window=21,
            step=1,
            stride=1,
            first=-10,
            tail="repeat",
            flow_end="repeat",
            fps=15,
            resize="short:256",
            crop=224,
            flow_from="stored",
            axes="CT",
        ),
        source=(
            "ahsaniqbal/Kinetics-FeatureExtractor@5de8552, which ms-tcn#34 names: a row for each frame, of the 21 "
            "frames around it; Mixed_5c, mean; flow of stored frames, then short side 256, its values as they were, "
            "within 20. MS-TCN reads (2048, T) at 15 fps."
        ),
        unknown=(
            "What stands in front of the first frame and behind the last one: these frames again and no motion here, "
            "as in that code; ms-tcn#34 says zeros. 50Salads is at 30 fps there, and MS-TCN takes every second row: "
            "pass fps=30."
        ),
        differs=(
            "That code computes flow by the TV-L1 of OpenCV 2.4 on a GPU, which has no median filter; and it writes "
            "(T, 2048), which somebody transposed."
        ),
        reading="np.load('NAME.npy')[:, ::sample_rate]  # (2048, T)",
    ),
    Preset(
        name="video-features",
        title="v-iashin's video_features, its I3D",
        layout=Layout(
            window=64,
            stride=1,
            one_more=True,
            fps=None,
            resize="short:256",
            crop=224,
            flow_levels="rounded",
            files="per_stream",
            name="{stem}_{stream}",
            beside=("fps", "timestamps_ms"),
        ),
        source=(
            "v-iashin/video_features@a2f61b7 configs/i3d.yml and models/i3d/extract_i3d.py: stacks of 65 frames, of "
            "which rgb sees 64; short side 256, centre 224; flow within 20, to 8-bit levels and back; a stack that is "
            "not full is dropped; the end of each in milliseconds."
        ),
        unknown="",
        differs=(
            "That flow is RAFT's (sintel) of frames of short side 256, which this package does not have; its levels "
            "are half a level higher, 0.08 pixels. It resizes by PIL's bilinear filter, and writes float64."
        ),
        reading="np.load('NAME_rgb.npy'), np.load('NAME_flow.npy')  # (T, 1024) each",
    ),
    Preset(
        name="bmt",
        title="ActivityNet Captions for dense captioning: BMT",
        layout=Layout(
            window=64,
            stride=1,
            one_more=True,
            fps=25,
            resize="short:256",
            crop=224,
            files="per_stream",
            name="{stem}_{stream}",
        ),
        source=(
            "v-iashin/BMT, and v-iashin/MDVC#7: an early video_features at 25 fps, stacks of 64 frames. MDVC has "
            "stacks of 24: pass window=24."
        ),
        unknown=(
            "The method of flow, its levels, the resize and the frame behind a stack of that early version: those of "
            "video-features here, with TV-L1 and no levels. MDVC's own file holds all videos, in HDF5; it is not made "
            "here."
        ),
        reading="np.load('v_ID_rgb.npy'), np.load('v_ID_flow.npy')  # (T, 1024) each",
    ),
    Preset(
        name="piergiaj",
        title="piergiaj's pytorch-i3d: one pass over the whole video, as for Charades",
        layout=Layout(
            endpoint=POOLED[0],
            window=ALL,
            stride=1,
            flow_end="own",
            fps=None,
            resize="least:226",
            crop=224,
            flow_from="stored",
            flow_levels="rounded",
            pool="none",
            files="per_stream",
            name="{stream}/{stem}",
        ),
        source=(
            "piergiaj/pytorch-i3d@05783d1 extract_features.py: all frames in one pass, enlarged if a side is below "
            "226, centre 224; Mixed_5c and the average pool of 2 x 7 x 7, as (T, H, W, C). Charades is at 24 fps "
            "there."
        ),
        unknown=(
            "How the frames and the flow that it reads from files were made; flow of stored frames, to levels and "
            "back, is taken here. The names of the folders of streams: rgb and flow here."
        ),
        differs=(
            "That code gives more than 1600 frames to the network in overlapping chunks, keeps the rows of both where "
            "they overlap, and leaves out the first frame; here a video of any length has the rows of one pass. It "
            "enlarges flow from 224 on. The weights are Kinetics's: that code takes those trained on Charades, for "
            "which pass rgb='charades', flow='charades'."
        ),
        reading="np.load('rgb/NAME.npy')  # (T, 1, 1, 1024)",
    ),
)
PRESETS = {preset.name: preset for preset in _ALL}


def markdown():
    """Returns the table of presets as Markdown."""
    lines = ["| preset | for | files of a video NAME | a row sees | crops | resize |", "|---|---|---|---|---|---|"]
    for preset in PRESETS.values():
        layout = preset.layout
        rate = "its own fps" if layout.fps is None else f"{layout.fps} fps"
        seen = "the whole video" if layout.dense else f"{layout.window} frames, every {layout.step}"
        resize = layout.resize or "the weights'"
        cells = (f"`{preset.name}`", preset.title, preset.files, f"{seen}, at {rate}", len(layout.crops), resize)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def refreshed(text):
    """Returns the text of a page with its table of presets made again, between the comments that mark it."""
    between = rf"{re.escape(BEGIN)}\n.*?{re.escape(END)}"
    return re.sub(between, lambda _: f"{BEGIN}\n{markdown()}\n{END}", text, flags=re.DOTALL)
