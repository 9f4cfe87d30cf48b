import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { command } from "../../../lib/cli/parameters";
import { shippedFlows } from "../../support/flows";
import { root } from "../../support/start";

/** Parameters and defaults, copied from the documentation of the pipeline that is reproduced. */
const DOCUMENTED: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  generate: { "kafka-brokers": "localhost:9092", topic: "iex_data", symbols: "AAPL GOOGL MSFT", "batch-size": "50", interval: "1", "batch-count": "0", partitions: "3", "replication-factor": "1" },
  flatten: {
    "kafka-brokers": "localhost:9092", "source-topic": "iex_data", "dest-topic": "flattened_stocks", "checkpoint-kafka": "/tmp/checkpoints/kafka", "checkpoint-iceberg": "/tmp/checkpoints/iceberg",
    "iceberg-table": "local.db.flattened_stocks", "iceberg-catalog": "spark_catalog", "iceberg-warehouse": "s3a://warehouse/", "s3-endpoint": "http://localhost:9000", "s3-access-key": "minioadmin", "s3-secret-key": "minioadmin",
    "processing-time": "10 seconds", "output-mode": "both", "starting-offsets": "latest",
  },
};

describe("the documented parameters", () => {
  const page = readFileSync(join(root, "docs", "documented-pipeline.md"), "utf8");
  const tab = shippedFlows().find((flow) => flow.name.startsWith("6 "))!.nodes.find((node) => node.type === "tab")!;
  const defaults = new Map((tab.env as { name: string; value: string }[]).map(({ name, value }) => [name, /\? "([^"]*)" :/.exec(value)?.[1]]));

  for (const [name, parameters] of Object.entries(DOCUMENTED)) describe(name, () => {
    const section = page.split(/^## /m).find((text) => text.includes(`\`ticklake ${name}\``))!;
    for (const [option, standard] of Object.entries(parameters)) it(`--${option} is ${standard} in the command, in the flow and in the docs`, () => {
      const parameter = command(name)!.parameters.find((one) => one.name === option);
      assert.equal(parameter?.default, standard);
      assert.ok(section.includes(`| \`--${option}\` | \`${standard}\` |${parameter.env ? ` \`${parameter.env}\`` : ""} |`), `docs/documented-pipeline.md has no row for --${option}`);
      // Keys are credentials and no part of a flow; the catalog is called local, which spark_catalog means as well.
      if (parameter.env !== undefined && !parameter.secret) assert.equal(defaults.get(parameter.env), option === "iceberg-catalog" ? "local" : standard);
    });
  });
});
