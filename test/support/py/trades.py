"""What PyIceberg finds in a table of trades.

usage: trades.py <table folder>
prints {"rows", "snapshots", "partitions", "symbols": {S: {"trades", "shares": sum of s, "value": sum of p, "ids": distinct ids, "last": newest timestamp}}} as JSON
"""
import json
import sys

import pyarrow.compute as pc
from pyiceberg.table import StaticTable

table = StaticTable.from_metadata(sys.argv[1])
rows = table.scan().to_arrow()
symbols = {}
for symbol in sorted(set(rows.column("S").to_pylist())):
    of = rows.filter(pc.equal(rows.column("S"), symbol))
    symbols[symbol] = {
        "trades": of.num_rows,
        "shares": pc.sum(of.column("s")).as_py(),
        "value": pc.sum(of.column("p")).as_py(),
        "ids": pc.count_distinct(of.column("i")).as_py(),
        "last": pc.max(of.column("timestamp")).as_py(),
    }
print(json.dumps({
    "rows": rows.num_rows,
    "snapshots": len(table.metadata.snapshots),
    "partitions": table.inspect.partitions().num_rows if table.current_snapshot() else 0,
    "symbols": symbols,
}))
