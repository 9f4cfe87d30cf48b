"""Reads a table on the hadoop layout with PyIceberg and with DuckDB's iceberg extension.

usage: read_table.py <table folder>
prints {"version": N, "pyiceberg": [id, ...], "duckdb": [id, ...], "files": files of a scan, "pruned": files of a scan of the last day, "summary": {...}} as JSON
"""
import glob
import json
import os
import sys

import duckdb
import duckdb_extension_avro
import duckdb_extension_iceberg
import duckdb_extension_parquet
from pyiceberg.expressions import GreaterThanOrEqual
from pyiceberg.table import StaticTable

folder = sys.argv[1]
hint = open(f"{folder}/metadata/version-hint.text").read()
table = StaticTable.from_metadata(f"{folder}/metadata/v{hint}.metadata.json")
ids = table.scan().to_arrow().column("id").to_pylist()
stamps = table.scan().to_arrow().column("ts").to_pylist()
last_day = max(stamps) // 100 * 100 if stamps else 0

connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
for extension in (duckdb_extension_avro, duckdb_extension_parquet, duckdb_extension_iceberg):
    connection.execute(f"LOAD '{glob.glob(os.path.dirname(extension.__file__) + '/**/*.duckdb_extension', recursive=True)[0]}'")
rows = connection.execute(f"SELECT id FROM iceberg_scan('{folder}')").fetchall()

print(json.dumps({
    "version": int(hint),
    "pyiceberg": sorted(ids),
    "duckdb": sorted(row[0] for row in rows),
    "files": len(list(table.scan().plan_files())),
    "pruned": len(list(table.scan(row_filter=GreaterThanOrEqual("ts", last_day)).plan_files())),
    "entries": table.inspect.entries().num_rows,
    "manifests": table.inspect.manifests().num_rows,
    "summary": dict(table.current_snapshot().summary.additional_properties) if table.current_snapshot() else {},
}))
