"""Compares an Iceberg table, as PyIceberg reads it, with the CSV files that were replayed into it. Prints JSON.

usage: compare_days.py <metadata.json> <csv.gz> ...
"""
import json
import sys
from collections import defaultdict

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
from pyiceberg.table import StaticTable

DAY = 86_400_000
table = StaticTable.from_metadata(sys.argv[1])


def summary(symbols, days, sizes, prices):
    groups = pa.table({"S": symbols, "day": days, "s": sizes, "p": prices}).group_by(["S", "day"]).aggregate([("s", "sum"), ("p", "sum"), ("s", "count")])
    return {f"{r['S']}/{r['day']}": (r["s_count"], r["s_sum"], r["p_sum"]) for r in groups.to_pylist()}


lake = table.scan(selected_fields=("S", "s", "p", "timestamp", "i")).to_arrow()
ours = summary(lake["S"], pc.floor(pc.divide(lake["timestamp"], DAY)).cast(pa.int64()), lake["s"], lake["p"])

truth = {}
rows = 0
for path in sys.argv[2:]:
    data = csv.read_csv(path, convert_options=csv.ConvertOptions(column_types={"timestamp": pa.timestamp("ms", tz="UTC"), "symbol": pa.string()}))
    rows += data.num_rows
    days = pc.floor(pc.divide(data["timestamp"].cast(pa.int64()), DAY)).cast(pa.int64())
    truth.update(summary(data["symbol"], days, data["size"], data["price"]))

different = []
for key in sorted(set(ours) | set(truth)):
    a, b = ours.get(key), truth.get(key)
    # Sums of doubles depend on the order of the rows; everything else is exact.
    if not a or not b or a[0] != b[0] or a[1] != b[1] or abs(a[2] - b[2]) > 1e-9 * abs(b[2]):
        different.append({"key": key, "table": a, "csv": b})

partitions = defaultdict(int)
for task in table.scan().plan_files():
    partitions[str(task.file.partition[0])] += task.file.record_count
print(json.dumps({"rows": lake.num_rows, "csvRows": rows, "groups": len(truth), "different": different, "partitions": partitions, "snapshots": len(table.metadata.snapshots)}))
