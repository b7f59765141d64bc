"""What tests are made of: small records, films, runs, exports, weights, and the folders that they lie in."""

import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
