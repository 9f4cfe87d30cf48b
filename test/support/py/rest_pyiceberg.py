"""Appends a row to a table of a REST catalog with PyIceberg, and prints how many rows it reads before and after.

usage: rest_pyiceberg.py <address> <table> <i>
"""
import json
import sys

import pyarrow as pa
from pyiceberg.catalog import load_catalog

uri, name, i = sys.argv[1:4]
table = load_catalog("rest", type="rest", uri=uri).load_table(name)
before = sorted(table.scan().to_arrow()["i"].to_pylist())
row = {"T": "t", "S": "PY", "i": int(i), "x": "V", "p": 1.5, "s": 1, "timestamp": 1_730_419_200_000, "c": ["@"], "z": "C"}
table.append(pa.Table.from_pylist([row], schema=table.schema().as_arrow()))
print(json.dumps({"before": before, "after": sorted(table.scan().to_arrow()["i"].to_pylist())}))
