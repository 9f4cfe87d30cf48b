"""Runs SQL with DuckDB and its iceberg extension; extensions come from PyPI packages and are loaded by path.

usage: read_duckdb.py <sql> ...
prints [{"columns": [...], "rows": [[...]], "plan": "..."}, ...] as JSON, one entry for each query; whole numbers beyond 2^53 as text
"""
import importlib.util
import json
import pathlib
import sys

import duckdb


def extension(name):
    """The file of an extension inside of its package."""
    package = importlib.util.find_spec(f"duckdb_extension_{name}")
    if package is None:
        raise SystemExit(f"duckdb-extension-{name} is not there. Run: node scripts/stack.mjs python httpfs")
    for folder in package.submodule_search_locations:
        for file in pathlib.Path(folder).rglob(f"{name}.duckdb_extension"):
            return str(file)
    raise SystemExit(f"duckdb-extension-{name} holds no extension")


def plain(value):
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53:
        return str(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


connection = duckdb.connect(config={"allow_unsigned_extensions": "true", "autoinstall_known_extensions": "false"})
for name in ("parquet", "avro", "iceberg"):
    try:
        connection.execute(f"LOAD '{extension(name)}'")
    except duckdb.Error as error:
        # Built in where the wheel has it.
        if name != "parquet":
            raise error
connection.execute("SET TimeZone='UTC'")
if any("s3" in sql for sql in sys.argv[1:]):
    connection.execute(f"LOAD '{extension('httpfs')}'")
out = []
for sql in sys.argv[1:]:
    if sql.lstrip().upper().startswith("CREATE SECRET"):
        connection.execute(sql)
        continue
    result = connection.execute(sql)
    columns = [column[0] for column in result.description]
    rows = [[plain(value) for value in row] for row in result.fetchall()]
    plan = connection.execute(f"EXPLAIN ANALYZE {sql}").fetchall()[0][1]
    out.append({"columns": columns, "rows": rows, "plan": plan})
print(json.dumps(out))
