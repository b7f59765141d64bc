"""Makes the tables of README.md and of docs (networks, features, performance, lessons) again, each from its source.

python tools/refresh_docs.py
"""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from keras_i3d import atomic, network_cards  # noqa: E402
from keras_i3d.features import presets  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tools")]
import lesson_tables  # noqa: E402
import summary  # noqa: E402

LESSONS = ("inflation", "separable", "residual_and_nonlocal")
PAGES = {
    "README.md": network_cards.refreshed,
    "docs/networks.md": network_cards.refreshed,
    "docs/features.md": presets.refreshed,
    "docs/performance.md": summary.refreshed,
    **{f"docs/how/{page}.md": lesson_tables.refreshed for page in LESSONS},
}


def main():
    for name, refreshed in PAGES.items():
        before = (ROOT / name).read_text(encoding="utf-8")
        after = refreshed(before)
        if after != before:
            atomic.write_text(ROOT / name, after)
        print(f"{name}: {'as it was' if after == before else 'made again'}")


if __name__ == "__main__":
    main()
