"""The documented Spark job: JSON arrays from Kafka, exploded into single trades, into Iceberg or back into Kafka; everything that is there now, then it ends.

usage: spark_kafka.py <jars, comma-separated> <brokers> <source topic> iceberg <warehouse> <checkpoint>
       spark_kafka.py <jars, comma-separated> <brokers> <source topic> kafka <destination topic> <checkpoint>
Prints {"ready": pid of the JVM} when the session is there, then waits for a line on stdin and runs; prints {"seconds": ...} of the query at its end.
"""
import json
import os
import sys
import time

from pyspark.sql import SparkSession
from pyspark.sql.functions import col, explode, from_json, struct, to_json
from pyspark.sql.types import ArrayType, DoubleType, LongType, StringType, StructField, StructType

jars, brokers, source, target, destination, checkpoint = sys.argv[1:7]
TRADE = StructType([
    StructField("T", StringType()), StructField("S", StringType()), StructField("i", LongType()), StructField("x", StringType()), StructField("p", DoubleType()),
    StructField("s", LongType()), StructField("t", LongType()), StructField("c", ArrayType(StringType())), StructField("z", StringType()),
])

builder = (SparkSession.builder.master("local[2]").appName("flatten")
           .config("spark.jars", jars).config("spark.ui.enabled", "false").config("spark.sql.caseSensitive", "true").config("spark.sql.shuffle.partitions", "2")
           .config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
           .config("spark.sql.extensions", "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions")
           .config("spark.sql.catalog.local", "org.apache.iceberg.spark.SparkCatalog").config("spark.sql.catalog.local.type", "hadoop"))
if target == "iceberg":
    builder = builder.config("spark.sql.catalog.local.warehouse", destination)
spark = builder.getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
pid = int(spark.sparkContext._jvm.java.lang.ProcessHandle.current().pid())
if target == "iceberg":
    spark.sql("CREATE TABLE IF NOT EXISTS local.db.flattened_stocks (T string, S string, i bigint, x string, p double, s bigint, timestamp bigint, c array<string>, z string) "
              "USING iceberg PARTITIONED BY (truncate(86400000, timestamp)) TBLPROPERTIES ('write.distribution-mode'='none', 'write.spark.fanout.enabled'='true')")
print(json.dumps({"ready": pid}), flush=True)
sys.stdin.readline()

began = time.perf_counter()
trades = (spark.readStream.format("kafka").option("kafka.bootstrap.servers", brokers).option("subscribe", source).option("startingOffsets", "earliest").load()
          .select(explode(from_json(col("value").cast("string"), ArrayType(TRADE))).alias("trade"))
          .select("trade.T", "trade.S", "trade.i", "trade.x", "trade.p", "trade.s", col("trade.t").alias("timestamp"), "trade.c", "trade.z"))
if target == "iceberg":
    writer = trades.writeStream.format("iceberg").option("fanout-enabled", "true").outputMode("append")
    query = writer.trigger(availableNow=True).option("checkpointLocation", checkpoint).toTable("local.db.flattened_stocks")
else:
    writer = trades.select(to_json(struct("*")).alias("value")).writeStream.format("kafka").option("kafka.bootstrap.servers", brokers).option("topic", destination)
    query = writer.trigger(availableNow=True).option("checkpointLocation", checkpoint).start()
query.awaitTermination()
seconds = time.perf_counter() - began
rows = spark.table("local.db.flattened_stocks").count() if target == "iceberg" else None
print(json.dumps({"seconds": seconds, "rows": rows}), flush=True)
sys.stdin.readline()
spark.stop()
