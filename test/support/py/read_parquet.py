"""Reads Parquet files with pyarrow and DuckDB and prints what they hold in the canonical form of parquet-samples.ts; takes PyIceberg's own view of
their metrics and transforms. Input (stdin): {"files": [{"path", "schema"}], "transforms": [[transform, type, value], ...]}."""
import datetime as dt
import decimal
import json
import struct
import sys
import uuid

import duckdb
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import compute_statistics_plan, data_file_statistics_from_parquet_metadata, parquet_path_to_id_mapping
from pyiceberg.schema import Schema
from pyiceberg.transforms import parse_transform
from pyiceberg.types import PrimitiveType

EPOCH = dt.datetime(1970, 1, 1)
MICRO = dt.timedelta(microseconds=1)
decimal.getcontext().prec = 80


def canonical(t, v):
    if v is None:
        return None
    if isinstance(t, dict):
        if t["type"] == "struct":
            return {f["name"]: canonical(f["type"], v[f["name"]]) for f in t["fields"]}
        if t["type"] == "list":
            return [canonical(t["element"], x) for x in v]
        return [[canonical(t["key"], k), canonical(t["value"], x)] for k, x in (v.items() if isinstance(v, dict) else v)]
    if t in ("float", "double"):
        return "nan" if v != v else struct.pack("<d", v).hex()
    if t == "boolean":
        return v
    if t == "date":
        return str((v - dt.date(1970, 1, 1)).days)
    if t == "time":
        return str((dt.datetime.combine(dt.date(1970, 1, 1), v) - EPOCH) // MICRO)
    if t in ("timestamp", "timestamptz"):
        local = v.astimezone(dt.timezone.utc).replace(tzinfo=None) if v.tzinfo else v
        return str((local - EPOCH) // MICRO)
    if t.startswith("decimal"):
        scale = int(t.split(",")[1].rstrip(")"))
        return str(int(v.scaleb(scale)))
    if t == "uuid":
        return v.hex if isinstance(v, uuid.UUID) else v.replace("-", "") if isinstance(v, str) else bytes(v).hex()
    if isinstance(v, (bytes, bytearray)):
        return bytes(v).hex()
    return str(v)


def metrics(path, schema):
    """What PyIceberg would put into the manifest for this file, from its footer alone."""
    iceberg = Schema.model_validate_json(json.dumps(schema))
    stats = data_file_statistics_from_parquet_metadata(pq.ParquetFile(path).metadata, compute_statistics_plan(iceberg, {}), parquet_path_to_id_mapping(iceberg))
    out = stats.to_serialized_dict()
    plain = lambda d: {str(k): (v.hex() if isinstance(v, bytes) else v) for k, v in d.items()}
    return {k: plain(out[k]) if isinstance(out[k], dict) else out[k] for k in ("record_count", "column_sizes", "value_counts", "null_value_counts", "lower_bounds", "upper_bounds", "split_offsets")}


def transform(text, type_name, value):
    from pydantic import TypeAdapter
    from pyiceberg.types import IcebergType
    source = TypeAdapter(IcebergType).validate_python(type_name) if not hasattr(PrimitiveType, "handle_primitive_type") else PrimitiveType.model_validate(type_name)
    if type_name in ("int", "long", "date", "time", "timestamp", "timestamptz"):
        typed = int(value)
    elif type_name.startswith("decimal"):
        typed = decimal.Decimal(value)
    elif type_name in ("binary",) or type_name.startswith("fixed"):
        typed = bytes.fromhex(value)
    elif type_name == "uuid":
        typed = uuid.UUID(value)
    else:
        typed = value
    t = parse_transform(text)
    result = t.transform(source)(typed)
    return [str(result.hex() if isinstance(result, bytes) else result), t.to_human_string(source, result) if text not in ("identity",) else ""]


def main():
    job = json.load(sys.stdin)
    out = {"files": [], "transforms": [transform(*t) for t in job.get("transforms", [])]}
    for f in job["files"]:
        schema = f["schema"]
        row = {"type": "struct", "fields": schema["fields"]}
        arrow = pq.read_table(f["path"])
        entry = {"ids": {e.name: int(e.metadata[b"PARQUET:field_id"]) for e in arrow.schema}, "metrics": metrics(f["path"], schema)}
        if f.get("rows", True):
            entry["arrow"] = [canonical(row, r) for r in arrow.to_pylist()]
            con = duckdb.connect()
            con.execute("SET TimeZone='UTC'")
            table = con.execute(f"SELECT * FROM read_parquet('{f['path']}')").fetch_arrow_table()
            entry["duckdb"] = [canonical(row, r) for r in table.to_pylist()]
        if "filter" in f:
            name, op, value = f["filter"]
            meta = pq.ParquetFile(f["path"]).metadata
            con = duckdb.connect()
            entry["filtered"] = {
                "arrow": pq.read_table(f["path"], filters=[(name, op, value)]).num_rows,
                "duckdb": con.execute(f"SELECT count(*) FROM read_parquet('{f['path']}') WHERE \"{name}\" {'=' if op == '==' else op} ?", [value]).fetchone()[0],
                "ranges": [[str(s.min), str(s.max), s.null_count] for s in (meta.row_group(g).column(schema_index(meta, name)).statistics for g in range(meta.num_row_groups))],
            }
        out["files"].append(entry)
    json.dump(out, sys.stdout)


def schema_index(meta, name):
    return [meta.schema.column(i).path for i in range(meta.num_columns)].index(name)


main()
