"""Writes tables with PyIceberg (SQL catalog on SQLite, files in a local warehouse).

usage: write_pyiceberg.py <warehouse folder>
prints {"<table>": "<metadata location>"} as JSON
"""
import datetime as dt
import decimal
import json
import sys
import uuid

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import (
    BucketTransform, DayTransform, HourTransform, IdentityTransform, MonthTransform, TruncateTransform, YearTransform,
)
from pyiceberg.types import (
    BinaryType, BooleanType, DateType, DecimalType, DoubleType, FixedType, FloatType, IntegerType, ListType, LongType, MapType,
    NestedField, StringType, StructType, TimestampType, TimestamptzType, TimeType, UUIDType,
)

warehouse = sys.argv[1]
catalog = SqlCatalog("py", uri=f"sqlite:///{warehouse}/catalog.db", warehouse=f"file://{warehouse}")
catalog.create_namespace("db")
DAY = 86_400_000
FIRST_DAY = 1_730_419_200_000  # 2024-11-01


def finish(table):
    return catalog.load_table(table).metadata_location


def trades():
    schema = Schema(
        NestedField(1, "T", StringType()), NestedField(2, "S", StringType()), NestedField(3, "i", LongType()), NestedField(4, "x", StringType()),
        NestedField(5, "p", DoubleType()), NestedField(6, "s", LongType()), NestedField(7, "timestamp", LongType()),
        NestedField(8, "c", ListType(10, StringType(), element_required=False)), NestedField(9, "z", StringType()),
    )
    spec = PartitionSpec(PartitionField(7, 1000, TruncateTransform(DAY), "timestamp_trunc"))
    table = catalog.create_table("db.trades", schema, partition_spec=spec)
    arrow = table.schema().as_arrow()
    symbols = ["AAPL", "BRK.B", "Ünïcödé ✓ 😀", None]
    for day in range(3):
        rows = [
            {
                "T": "t", "S": symbols[n % 4], "i": 9_007_199_254_740_993 + n + day * 100, "x": "V", "p": 100.0 + day * 10 + n, "s": 100 * (n + 1),
                "timestamp": FIRST_DAY + day * DAY + n * 1000, "c": ["@", None, "I"] if n % 2 else None, "z": "C",
            }
            for n in range(10)
        ]
        table.append(pa.Table.from_pylist(rows, schema=arrow))
    return finish("db.trades")


def types():
    schema = Schema(
        NestedField(1, "boolean", BooleanType()), NestedField(2, "int", IntegerType()), NestedField(3, "long", LongType()),
        NestedField(4, "float", FloatType()), NestedField(5, "double", DoubleType()), NestedField(6, "decimal", DecimalType(20, 4)),
        NestedField(7, "date", DateType()), NestedField(8, "time", TimeType()), NestedField(9, "ts", TimestampType()),
        NestedField(10, "tz", TimestamptzType()), NestedField(11, "string", StringType()), NestedField(12, "uuid", UUIDType()),
        NestedField(13, "fixed", FixedType(4)), NestedField(14, "binary", BinaryType()),
        NestedField(15, "struct", StructType(NestedField(18, "Bid", DoubleType()), NestedField(19, "ask", DoubleType()))),
        NestedField(16, "list", ListType(20, StructType(NestedField(21, "Level", IntegerType()), NestedField(22, "size", LongType())), element_required=False)),
        NestedField(17, "map", MapType(23, StringType(), 24, LongType(), value_required=False)),
    )
    table = catalog.create_table("db.types", schema)
    row = {
        "boolean": True, "int": -5, "long": 9_223_372_036_854_775_807, "float": 0.5, "double": 1e300, "decimal": decimal.Decimal("1234567890123456.7891"),
        "date": dt.date(2024, 2, 29), "time": dt.time(23, 59, 59, 123456), "ts": dt.datetime(2024, 11, 1, 10, 0, 0, 123456),
        "tz": dt.datetime(2024, 11, 1, 10, 0, 0, 1000, tzinfo=dt.timezone.utc), "string": "a\u0000b 'quoted' \"double\" ✓😀",
        "uuid": uuid.UUID("f79c3e09-677c-4bbd-a479-3f349cb785e7").bytes, "fixed": b"\x00\x01\xfe\xff", "binary": b"\xff\x00",
        "struct": {"Bid": 1.5, "ask": None}, "list": [{"Level": 1, "size": 100}, None], "map": [("k", 1), ("Ü", None)],
    }
    table.append(pa.Table.from_pylist([row, {name: None for name in row}], schema=table.schema().as_arrow()))
    return finish("db.types")


def evolved():
    schema = Schema(
        NestedField(1, "id", IntegerType()), NestedField(2, "old", StringType()), NestedField(3, "gone", StringType()), NestedField(4, "ratio", FloatType()),
        NestedField(5, "quote", StructType(NestedField(6, "bid", DoubleType()), NestedField(7, "venue", StringType()))),
        NestedField(8, "legs", ListType(9, StructType(NestedField(10, "side", StringType())), element_required=False)),
    )
    table = catalog.create_table("db.evolved", schema)
    table.append(pa.Table.from_pylist([{"id": 1, "old": "first", "gone": "lost", "ratio": 0.5, "quote": {"bid": 1.0, "venue": "V"}, "legs": [{"side": "buy"}]}], schema=table.schema().as_arrow()))
    with table.update_schema() as update:
        update.rename_column("old", "New")
        update.delete_column("gone")
        update.update_column("id", LongType())
        update.update_column("ratio", DoubleType())
        update.rename_column("quote.bid", "Bid")
        update.rename_column("legs.element.side", "Side")
        update.add_column(("quote", "ask"), DoubleType())
        update.delete_column("quote.venue")
    with table.update_schema() as update:
        update.add_column("gone", LongType())  # a new column of the same name: its old values must not come back
        update.add_column(("quote", "venue"), StringType())
    rows = [{"id": 9_007_199_254_740_993, "New": "second", "ratio": 0.25, "quote": {"Bid": 2.0, "ask": 3.0, "venue": "N"}, "legs": [{"Side": "sell"}], "gone": 7}]
    table.append(pa.Table.from_pylist(rows, schema=table.schema().as_arrow()))
    return finish("db.evolved")


def partitioned():
    schema = Schema(
        NestedField(1, "ts", TimestampType()), NestedField(2, "tz", TimestamptzType()), NestedField(3, "day", DateType()), NestedField(4, "symbol", StringType()),
        NestedField(5, "id", LongType()), NestedField(6, "venue", StringType()), NestedField(7, "price", DecimalType(12, 2)), NestedField(8, "p", DoubleType()),
    )
    spec = PartitionSpec(
        PartitionField(1, 1000, DayTransform(), "ts_day"), PartitionField(4, 1001, BucketTransform(4), "symbol_bucket"),
    )
    files = {
        "day_bucket": spec,
        "month": PartitionSpec(PartitionField(3, 1000, MonthTransform(), "day_month")),
        "year_hour": PartitionSpec(PartitionField(2, 1000, YearTransform(), "tz_year"), PartitionField(1, 1001, HourTransform(), "ts_hour")),
        "identity_truncate": PartitionSpec(PartitionField(6, 1000, IdentityTransform(), "venue"), PartitionField(4, 1001, TruncateTransform(2), "symbol_trunc")),
        "bucket_id": PartitionSpec(PartitionField(5, 1000, BucketTransform(3), "id_bucket")),
    }
    out = {}
    rows = []
    for n in range(24):
        at = dt.datetime(2024, 10, 30) + dt.timedelta(hours=7 * n)
        rows.append({
            "ts": at, "tz": at.replace(tzinfo=dt.timezone.utc), "day": at.date(), "symbol": ["AAPL", "AMZN", "MSFT", "Ünï", None][n % 5], "id": n * 1_000_003,
            "venue": ["V", "Q", None][n % 3], "price": decimal.Decimal(n) / 4, "p": float("nan") if n == 5 else n * 1.5,
        })
    for name, one in files.items():
        table = catalog.create_table(f"db.{name}", schema, partition_spec=one)
        table.append(pa.Table.from_pylist(rows, schema=table.schema().as_arrow()))
        out[name] = finish(f"db.{name}")
    # Statistics alone, without partitions: one file per day.
    table = catalog.create_table("db.flat", schema)
    for start in range(0, 24, 6):
        table.append(pa.Table.from_pylist(rows[start:start + 6], schema=table.schema().as_arrow()))
    out["flat"] = finish("db.flat")
    return out


def deleted():
    schema = Schema(NestedField(1, "id", LongType()), NestedField(2, "S", StringType()))
    table = catalog.create_table("db.deleted", schema)
    table.append(pa.Table.from_pylist([{"id": n, "S": "ab"[n % 2]} for n in range(10)], schema=table.schema().as_arrow()))
    table.delete("id < 3")
    return finish("db.deleted")


empty = catalog.create_table("db.empty", Schema(NestedField(1, "S", StringType()), NestedField(2, "s", LongType())))
print(json.dumps({"trades": trades(), "types": types(), "evolved": evolved(), **partitioned(), "deleted": deleted(), "empty": empty.metadata_location}))
