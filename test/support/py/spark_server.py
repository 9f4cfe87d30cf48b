"""One Spark session for a whole test run: takes one JSON request per line on stdin, answers with one JSON line on stdout.

usage: spark_server.py <jars, separated by colons> <folder for Spark's own files>
request:  {"id": 1, "sql": "SELECT ...", "explain": true?}  or  {"id": 2, "catalog": "local", "properties": {"type": "hadoop", "warehouse": "/path"}}
          or  {"id": 3, "python": "a program", "argv": ["program.py"], "environment": {}}: its SparkSession.builder finds this session
answer:   {"id": 1, "rows": [[...]], "columns": [...], "types": ["bigint", ...], "scan": {...}}  or  {"id": 1, "error": "..."}
"""
import base64
import datetime as dt
import decimal
import json
import os
import sys

# What Java prints must not get between the answers.
answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)

from pyspark.sql import Row, SparkSession  # noqa: E402

jars, folder = sys.argv[1:3]
spark = (
    SparkSession.builder.master("local[2]").appName("ticklake-interop")
    # On the class path: as spark.jars they would be copied, 330 MB at every start.
    .config("spark.driver.extraClassPath", jars)
    .config("spark.sql.extensions", "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions")
    .config("spark.ui.enabled", "false").config("spark.sql.shuffle.partitions", "2").config("spark.driver.memory", "1g")
    .config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
    .config("spark.sql.adaptive.enabled", "false").config("spark.sql.caseSensitive", "true").config("spark.sql.session.timeZone", "UTC")
    .config("spark.sql.warehouse.dir", folder).config("spark.local.dir", folder)
    .getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")


def plain(value):
    if isinstance(value, Row):
        return {key: plain(item) for key, item in value.asDict().items()}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    # JavaScript cannot hold more digits in a number.
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53:
        return str(value)
    if isinstance(value, float) and value != value:
        return "NaN"
    return value


def run(program, argv, environment):
    """As a process of its own would, but for the session."""
    before, sys.argv = sys.argv, argv
    saved = dict(os.environ)
    os.environ.update(environment)
    try:
        exec(compile(program, argv[0], "exec"), {"__name__": "__main__"})
    finally:
        sys.argv = before
        os.environ.clear()
        os.environ.update(saved)


def answer(request):
    if "python" in request:
        run(request["python"], request["argv"], request["environment"])
        return {}
    if "catalog" in request:
        prefix = f"spark.sql.catalog.{request['catalog']}"
        spark.conf.set(prefix, "org.apache.iceberg.spark.SparkCatalog")
        for key, value in {"cache-enabled": "false", **request["properties"]}.items():
            spark.conf.set(f"{prefix}.{key}", value)
        return {}
    frame = spark.sql(request["sql"])
    out = {"columns": frame.columns, "types": [kind for _, kind in frame.dtypes], "rows": [[plain(value) for value in row] for row in frame.collect()]}
    if request.get("explain"):
        out["scan"] = scan_metrics(frame._jdf.queryExecution().executedPlan())
    return out


def scan_metrics(plan):
    """What Iceberg's scan says it read and skipped, summed over the leaves of the plan."""
    totals = {}
    leaves = plan.collectLeaves()
    for index in range(leaves.size()):
        metrics = leaves.apply(index).metrics()
        for name in ("resultDataFiles", "skippedDataFiles", "skippedDataManifests"):
            if metrics.contains(name):
                totals[name] = totals.get(name, 0) + metrics.apply(name).value()
    return totals


print(json.dumps({"ready": spark.version}), file=answers, flush=True)
for line in sys.stdin:
    request = json.loads(line)
    try:
        result = answer(request)
    except Exception as error:  # the message is the test's to judge
        result = {"error": str(error)[:2000]}
    print(json.dumps({"id": request["id"], **result}), file=answers, flush=True)
spark.stop()
