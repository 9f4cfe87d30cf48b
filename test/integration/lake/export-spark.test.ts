import assert from "node:assert/strict";
import { exportJob, type ExportNode } from "../../../lib/export";
import { consoleProducer, createTopic, sharedKafka, uniqueTopic } from "../../support/kafka";
import { KafkaFlow, Watch, Workplace } from "../../support/kafka-flow";
import { sharedSpark, type Spark } from "../../support/spark";

const trade = (i: number | bigint | string, more = ""): string => `{"T":"t","S":"${Number(i) % 2 ? "AAPL" : "MSFT"}","i":${typeof i === "string" ? `"${i}"` : i},"x":"V","p":${150 + Number(BigInt(i) % 100n) / 4},"s":${100 + Number(BigInt(i) % 7n)},"t":${1_730_419_200_000 + Number(BigInt(i) % 1000n) * 3_600_000},"c":["@","I"],"z":"C"${more}}`;

/** Arrays as they are documented, and all that may lie between them. */
const VALUES = [
  ...Array.from({ length: 20 }, (_, k) => `[${Array.from({ length: 25 }, (_one, j) => trade(k * 25 + j)).join(",")}]`),
  trade(1000), "[]", "[[1]]", "{oops", `"text"`,
  `[${trade(9_007_199_254_740_993n)},${trade("9223372036854775807")}]`,
  // Neighbours of what is no trade stay.
  `[${trade(1001)},{"T":"q","S":"AAPL","bp":1},{"T":"t","S":"AAPL","i":1,"p":-1,"s":1,"t":1730419200000},{"T":"t","S":"","i":1,"p":1,"s":1,"t":1},{"T":"t","S":"A","i":1,"p":1,"s":"many","t":1},{"T":"t","S":"A","i":1,"p":1,"s":1},${trade(1002)}]`,
  `[{"T":"t","S":"Ünï✓😀","i":1003,"x":null,"p":0.1,"s":0,"t":"2024-11-01T13:30:00.123456789Z"},{"T":"t","S":"FLAT","i":1004,"x":"V","p":1e-7,"s":9007199254740991,"timestamp":1730419200001,"c":[],"z":"A"}]`,
];
const TRADES = 500 + 1 + 2 + 2 + 2;

describe("A flow exported for Spark", function () {
  this.timeout(300_000);
  let spark: Spark;
  let brokers: string;
  let topic: string;
  const place = new Workplace();

  /** The flow that writes, and with other names the one that is exported. */
  function flow(catalogName: string, warehouse: string, table: string): KafkaFlow {
    const made = new KafkaFlow().kafkaIn("in", "explode", { topics: topic, groupId: `${topic}-group` }).explode("explode", ["out", ""])
      .icebergOut("out", "result", { table, commitInterval: "0.2", codec: "gzip" }).tell("result", "committed", "rows: msg.payload.rows");
    Object.assign(made.nodes.find(({ type }) => type === "iceberg-catalog")!, { catalogName, warehouse });
    Object.assign(made.nodes.find(({ type }) => type === "kafka-broker")!, { brokers });
    return made;
  }

  const exported = (as: "spark-sql" | "pyspark", table: string, catalog = "exported"): string => exportJob(flow(catalog, place.warehouse, table).nodes as unknown as ExportNode[], "out", as, "/nowhere").text;
  const rows = async (table: string): Promise<unknown[][]> => (await spark.sql(`SELECT * FROM exported.db.${table} ORDER BY i`)).rows;

  before(async () => {
    ({ brokers } = await sharedKafka());
    topic = await createTopic(brokers, uniqueTopic("export"), { partitions: 3 });
    await consoleProducer(brokers, topic, VALUES);
    spark = await sharedSpark();
    await spark.catalog("exported", place.warehouse);
    const red = await place.start(flow("exported", place.warehouse, "db.ours"), brokers);
    await new Watch(red).reach("committed", "rows", TRADES);
    await red.stop();
  });
  after(() => place.remove());

  it("as Spark SQL: the batch writes the rows that the flow writes, into a table made the same way", async () => {
    for (const statement of statements(exported("spark-sql", "db.spark_batch"))) await spark.sql(statement);
    assert.equal((await rows("ours")).length, TRADES);
    assert.deepEqual(await rows("spark_batch"), await rows("ours"));
    const shape = async (table: string): Promise<unknown> => (await spark.sql(`DESCRIBE exported.db.${table}`)).rows;
    assert.deepEqual(await shape("spark_batch"), await shape("ours"));
    const partitions = async (table: string): Promise<unknown> => (await spark.sql(`SELECT partition, record_count FROM exported.db.${table}.partitions ORDER BY partition`)).rows;
    assert.deepEqual(await partitions("spark_batch"), await partitions("ours"));
  });

  it("as PySpark: the stream writes them, and after a restart goes on from its checkpoint without a double", async () => {
    const program = exported("pyspark", "db.spark_stream");
    const run = (): Promise<void> => spark.python(program, ["--once"], { CHECKPOINT: `${place.folder}/checkpoint` });
    await run();
    assert.deepEqual(await rows("spark_stream"), await rows("ours"));
    await consoleProducer(brokers, topic, [`[${trade(5000)},${trade(5001)}]`]);
    await run();
    assert.deepEqual((await spark.sql("SELECT count(*), count(DISTINCT i), max(i) FROM exported.db.spark_stream WHERE i < 6000")).rows, [[TRADES, TRADES, 5001]]);
  });
});

/** The statements of a script, as spark-sql takes it apart. */
function statements(script: string): string[] {
  return script.split("\n").filter((line) => !line.startsWith("--")).join("\n").split(/;\n/).map((one) => one.trim()).filter((one) => one !== "");
}
