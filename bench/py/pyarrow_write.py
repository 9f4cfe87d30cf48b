"""N trades as dicts into snappy Parquet in memory with pyarrow: Table.from_pylist and write_table. Prints one line of JSON, an array of runs."""
import gc
import io
import json
import resource
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq

FILE_ROWS = 250_000
SCHEMA = pa.schema([("T", pa.string()), ("S", pa.string()), ("i", pa.int64()), ("x", pa.string()), ("p", pa.float64()), ("s", pa.int64()), ("timestamp", pa.int64()), ("c", pa.list_(pa.string())), ("z", pa.string())])


def main():
    path, n, repeat = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with open(path) as lines:
        rows = [json.loads(line) for line, _ in zip(lines, range(n))]
    runs = []
    for _ in range(repeat):
        gc.collect()
        cpu, began, size = time.process_time(), time.perf_counter(), 0
        for start in range(0, n, FILE_ROWS):
            out = io.BytesIO()
            pq.write_table(pa.Table.from_pylist(rows[start:start + FILE_ROWS], schema=SCHEMA), out, compression="snappy")
            size += out.tell()
        runs.append({"ms": (time.perf_counter() - began) * 1000, "cpuMs": (time.process_time() - cpu) * 1000, "peakRssMb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "bytes": size})
    print(json.dumps(runs))


main()
