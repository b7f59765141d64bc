"""Makes the picture of docs/web.md: the page of `keras-i3d web`, light and wide, and dark on a phone.

  make demo
  python tools/web_picture.py --demo=demo --output=docs/web.webp

It needs Chromium and the package playwright. The video is nine of those that the demo holds out, one after the other.
"""

import io
import itertools
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import demo_videos
import numpy as np
from absl import app, flags

_DEMO = flags.DEFINE_string("demo", "demo", "Folder that `make demo` wrote, with the runs of both streams.")
_OUTPUT = flags.DEFINE_string("output", "docs/web.webp", "The picture to write.")
_CHROMIUM = flags.DEFINE_string("chromium", shutil.which("chromium"), "The program.")
_SEED = flags.DEFINE_integer("seed", 1, "Seed of the demo.")

SHOWN = (("cross", "bounces"), ("disc", "bounces"), ("disc", "slides"))
MOMENT = 5  # seconds, where the cursor stands
CHOOSE = """(seconds) => {
  const moment = document.getElementById("moment");
  moment.value = seconds;
  moment.dispatchEvent(new Event("input"));
}"""
HEIGHT = 1720  # pixels of both pages that are shown
GAP, GROUND = 24, (140, 146, 156)
WIDTH = 1000  # pixels of the picture


def main(argv):
    del argv
    from keras_i3d.video import writing

    runs = pathlib.Path(_DEMO.value) / "learned/runs"
    with tempfile.TemporaryDirectory() as folder:
        video = pathlib.Path(folder) / "nine videos.mp4"
        writing.write(video, itertools.chain.from_iterable(map(_frames, *zip(*_chosen()))))
        words = ["web", "--port=0", f"--rgb={runs / 'rgb'}", f"--flow={runs / 'flow'}"]
        process = subprocess.Popen(
            [sys.executable, "-m", "keras_i3d", *words], stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        try:
            url = process.stdout.readline().split()[2]
            pages = [_page(url, video, "light", 980), _page(url, video, "dark", 390)]
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
    _write(pages, _OUTPUT.value)


def _chosen():
    """Yields (shape, motion, number) of the videos."""
    return [(*label, number) for label in SHOWN for number in range(3)]


def _frames(shape, motion, number):
    """The frames of a video that the demo holds out."""
    names = list(itertools.product(demo_videos.SHAPES, demo_videos.MOTIONS))
    draw = np.random.default_rng((_SEED.value + 1000, names.index((shape, motion)), number))
    return demo_videos.frames(draw, shape, motion)


def _page(url, video, scheme, width):
    """A picture of the page with the answer, as the bytes of a PNG."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=_CHROMIUM.value, args=["--no-sandbox"])
        page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": HEIGHT})
        page.goto(url)
        _until(page, "document.getElementById('footer').textContent")
        page.set_input_files("#file", video)
        page.wait_for_selector("#film-figure:not([hidden])", timeout=300_000)
        _until(page, "document.getElementById('film').readyState >= 2")
        page.evaluate(CHOOSE, MOMENT)
        _until(page, "!document.getElementById('film').seeking")
        page.wait_for_timeout(2000)  # until its controls say so
        content = page.screenshot()
        browser.close()
    return content


def _until(page, expression):
    """Waits until an expression holds. Playwright's own way evaluates text in the page, which its policy forbids."""
    for _ in range(600):
        if page.evaluate(expression):
            return
        time.sleep(0.1)
    raise TimeoutError(expression)


def _write(pages, path):
    """Writes the pages side by side as .webp."""
    from PIL import Image

    from keras_i3d import atomic

    images = [Image.open(io.BytesIO(content)).convert("RGB") for content in pages]
    whole = Image.new("RGB", (sum(image.width for image in images) + GAP, HEIGHT), GROUND)
    whole.paste(images[0], (0, 0))
    whole.paste(images[1], (images[0].width + GAP, 0))
    whole = whole.resize((WIDTH, round(WIDTH * HEIGHT / whole.width)), Image.Resampling.LANCZOS)
    with atomic.replacing(path) as temporary:
        whole.save(temporary, "WEBP", quality=80, method=6)
    print(f"-> {path}, {os.path.getsize(path) / 1000:.0f} kB")


if __name__ == "__main__":
    app.run(main)
