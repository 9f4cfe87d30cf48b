"""Spark's rewrite_data_files on the table db.t of a hadoop warehouse: prints what it measured and waits to be ended."""
import json, sys, time
from pyspark.sql import SparkSession

jars, warehouse = sys.argv[1:3]
spark = (SparkSession.builder.master("local[*]").config("spark.jars", jars).config("spark.ui.enabled", "false").config("spark.driver.memory", "2g")
         .config("spark.sql.extensions", "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions")
         .config("spark.sql.catalog.local", "org.apache.iceberg.spark.SparkCatalog").config("spark.sql.catalog.local.type", "hadoop").config("spark.sql.catalog.local.warehouse", warehouse)
         .config("spark.sql.caseSensitive", "true").getOrCreate())
spark.sparkContext.setLogLevel("ERROR")
spark.sql("SELECT count(*) FROM local.db.t WHERE p > 0").collect()
begun = time.time()
row = spark.sql("CALL local.system.rewrite_data_files(table => 'db.t')").collect()[0].asDict()
seconds = time.time() - begun
added = spark.sql("SELECT sum(file_size_in_bytes) FROM local.db.t.files").collect()[0][0]
pid = spark.sparkContext._jvm.java.lang.ProcessHandle.current().pid()
print(json.dumps({"seconds": seconds, "bytes": row["rewritten_bytes_count"], "added": added, "pid": pid}), flush=True)
time.sleep(60)
