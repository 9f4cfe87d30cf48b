"""Median milliseconds of queries in DuckDB with its iceberg extension, two threads as iceberg-query has; each runs once before.

usage: duckdb_scan.py <rounds> <sql> ...
"""
import importlib.util
import json
import pathlib
import statistics
import sys
import time

import duckdb


def extension(name):
    package = importlib.util.find_spec(f"duckdb_extension_{name}")
    return next(str(file) for folder in package.submodule_search_locations for file in pathlib.Path(folder).rglob(f"{name}.duckdb_extension"))


rounds = int(sys.argv[1])
connection = duckdb.connect(config={"allow_unsigned_extensions": "true", "autoinstall_known_extensions": "false", "threads": "2"})
for name in ("avro", "iceberg"):
    connection.execute(f"LOAD '{extension(name)}'")
connection.execute("SET unsafe_enable_version_guessing = true")
medians = []
for sql in sys.argv[2:]:
    times = []
    for n in range(rounds + 1):
        started = time.perf_counter()
        connection.execute(sql).fetchall()
        if n > 0:
            times.append((time.perf_counter() - started) * 1000)
    medians.append(statistics.median(times))
print(json.dumps(medians))
