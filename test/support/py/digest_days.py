"""A digest of the trades in CSV files per symbol and day, whatever their order. Prints JSON: {"SPY/15985": [count, sum of shares, digest], ...}

usage: digest_days.py <csv.gz> ...

The digest is the sum of the CRC-32 of each trade, written as S|i|x|p|s|timestamp|c|z (test/support/trade-digest.ts does the same with what it finds elsewhere).
"""
import ast
import csv
import gzip
import json
import sys
import zlib
from collections import defaultdict
from datetime import datetime

groups = defaultdict(lambda: [0, 0, 0])
conditions = {}
for path in sys.argv[1:]:
    with gzip.open(path, "rt", newline="") as file:
        for row in csv.DictReader(file):
            time = datetime.fromisoformat(row["timestamp"].replace("Z", "+00:00"))
            ms = int(time.timestamp()) * 1000 + time.microsecond // 1000
            price = float(row["price"])
            text = row["conditions"]
            if text not in conditions:
                conditions[text] = ",".join(ast.literal_eval(text))
            fields = (row["symbol"], row["id"], row["exchange"], str(int(price)) if price.is_integer() else repr(price), row["size"], str(ms), conditions[text], row["tape"])
            group = groups[f"{row['symbol']}/{ms // 86_400_000}"]
            group[0] += 1
            group[1] += int(row["size"])
            group[2] = (group[2] + zlib.crc32("|".join(fields).encode())) & 0xFFFFFFFF
print(json.dumps(groups))
