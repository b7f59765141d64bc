"""Makes the tables of networks in README.md and docs/networks.md again, and that of presets in docs/features.md.

python tools/refresh_docs.py
"""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from keras_i3d import atomic, network_cards  # noqa: E402
from keras_i3d.features import presets  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": network_cards.refreshed,
    "docs/networks.md": network_cards.refreshed,
    "docs/features.md": presets.refreshed,
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
