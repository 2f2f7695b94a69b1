#!/usr/bin/env python3
"""Makes the Parquet files of the tests: pip install pyarrow; ./make_parquet.py

One for each codec that datasets are published with, with columns as they are there:
texts, a list, a struct with a list in it, and a text that is missing.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROWS = [
    {
        "question": "Which star is nearest to the Earth?",
        "answer": {"value": "the Sun", "aliases": ["Sun", "Sol"]},
        "choices": ["the Sun", "Sirius", "Vega"],
        "index": 0,
        "category": "sky",
    },
    {
        "question": "Welche Farbe hat der Schnee? – weiß",
        "answer": {"value": "white", "aliases": []},
        "choices": ["black", "white"],
        "index": 1,
        "category": None,
    },
    {
        "question": None,
        "answer": {"value": "nothing", "aliases": []},
        "choices": ["this", "that"],
        "index": 0,
        "category": "none",
    },
]

if __name__ == "__main__":
    folder = Path(__file__).parent
    table = pa.Table.from_pylist(ROWS)
    for codec in ("none", "snappy", "zstd", "gzip"):
        pq.write_table(table, folder / f"{codec}.parquet", compression=codec, row_group_size=2)
