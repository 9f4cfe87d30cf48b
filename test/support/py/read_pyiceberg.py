"""Reads one table with PyIceberg from its metadata file.

usage: read_pyiceberg.py <metadata location> [<row filter> [<snapshot id>]], properties of storage as JSON on stdin or nothing
prints {"schema": [...], "rows": [...], "files": <files the scan plans>, "specs": [...], "snapshots": [...]} as JSON; whole numbers
beyond 2^53 as text
"""
import base64
import datetime as dt
import decimal
import json
import sys
import uuid

from pyiceberg.table import StaticTable


def plain(value):
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple) and len(value) == 2:
        return [plain(item) for item in value]
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, (decimal.Decimal, uuid.UUID)):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53:
        return str(value)
    return value


table = StaticTable.from_metadata(sys.argv[1], json.loads(sys.stdin.read() or "{}"))
options = {}
if len(sys.argv) > 2 and sys.argv[2]:
    options["row_filter"] = sys.argv[2]
if len(sys.argv) > 3:
    options["snapshot_id"] = int(sys.argv[3])
scan = table.scan(**options)
print(json.dumps({
    "schema": [f"{field.field_id}: {field.name}: {field.field_type}" for field in table.schema().fields],
    "spec": [f"{field.name}: {field.transform}" for field in table.spec().fields],
    "files": len(list(scan.plan_files())),
    "rows": [plain(row) for row in scan.to_arrow().to_pylist()],
    "snapshots": [{"id": str(snapshot.snapshot_id), "summary": snapshot.summary.additional_properties} for snapshot in table.metadata.snapshots],
}, ensure_ascii=False))
