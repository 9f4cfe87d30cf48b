"""Which trade ids an Iceberg table on the hadoop layout holds, as PyIceberg reads it. Prints JSON.

usage: table_ids.py <table folder> <end>      expected is every id from 0 to end - 1, once
"""
import json
import sys

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.table import StaticTable

folder, end = sys.argv[1], int(sys.argv[2])
hint = open(f"{folder}/metadata/version-hint.text").read()
ids = StaticTable.from_metadata(f"{folder}/metadata/v{hint}.metadata.json").scan(selected_fields=("i",)).to_arrow()["i"].cast(pa.int64())
counts = pc.value_counts(ids.combine_chunks())
seen = counts.field("values")
doubled = seen.filter(pc.greater(counts.field("counts"), 1))
missing = sorted(set(range(end)) - set(seen.to_pylist()))
print(json.dumps({
    "rows": len(ids), "distinct": len(seen), "missing": len(missing), "firstMissing": missing[:10],
    "doubled": len(doubled), "firstDoubled": sorted(doubled.to_pylist())[:10], "strange": sum(1 for i in seen.to_pylist() if not 0 <= i < end),
}))
