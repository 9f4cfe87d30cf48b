"""Appends N trades, given as Python dicts, to a fresh Iceberg table with PyIceberg and prints what that cost, as JSON.

usage: pyiceberg_append.py <json-lines file> <n> <repeat> <warehouse>
The rows are parsed before the clock starts: both sides of the benchmark begin with objects in memory.
"""
import json
import resource
import sys
import time

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import TruncateTransform
from pyiceberg.types import DoubleType, ListType, LongType, NestedField, StringType

path, n, repeat, warehouse = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
rows = []
with open(path, encoding="utf8") as lines:
    for line in lines:
        rows.append(json.loads(line))
        if len(rows) == n:
            break

catalog = SqlCatalog("bench", uri=f"sqlite:///{warehouse}/catalog.db", warehouse=f"file://{warehouse}")
catalog.create_namespace("db")
schema = Schema(
    NestedField(1, "T", StringType()), NestedField(2, "S", StringType()), NestedField(3, "i", LongType()),
    NestedField(4, "x", StringType()), NestedField(5, "p", DoubleType()), NestedField(6, "s", LongType()),
    NestedField(7, "timestamp", LongType()), NestedField(8, "c", ListType(10, StringType(), element_required=False)),
    NestedField(9, "z", StringType()),
)
spec = PartitionSpec(PartitionField(source_id=7, field_id=1000, transform=TruncateTransform(86400000), name="timestamp_trunc"))
table = catalog.create_table("db.trades", schema=schema, partition_spec=spec, properties={"write.parquet.compression-codec": "snappy"})
arrow = pa.schema([
    ("T", pa.string()), ("S", pa.string()), ("i", pa.int64()), ("x", pa.string()), ("p", pa.float64()), ("s", pa.int64()),
    ("timestamp", pa.int64()), ("c", pa.list_(pa.string())), ("z", pa.string()),
])


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


runs = []
for _ in range(repeat):
    rss_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, used = time.perf_counter(), cpu()
    table.append(pa.Table.from_pylist(rows, schema=arrow))
    runs.append({
        "ms": (time.perf_counter() - wall) * 1000, "cpuMs": (cpu() - used) * 1000,
        "peakRssMb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "rssBeforeMb": rss_before / 1024,
    })
print(json.dumps(runs))
