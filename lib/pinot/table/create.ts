/**
 * Making a table and changing it. Both look first: what is there as it is wanted is left alone.
 */
import { asTicklakeError, TicklakeError } from "../../errors";
import { reasonIn, statusOf } from "../http";
import { isCaseRefusal } from "./api";
import { foldedColumns, tableConfig, type TableConfig } from "./config";
import { type TableContext, until } from "./context";
import { changedSchema, changedTable, type Difference, differences, schemaDifferences } from "./diff";

export interface CreateResult {
  readonly operation: "create";
  readonly table: string;
  readonly version: string;
  /** False: it was there. */
  readonly created: boolean;
  /** What a table that was there does not have as the settings say; `update` makes it so. */
  readonly differences: readonly Difference[];
  /** Whether the broker answers queries on it already. */
  readonly queryable: boolean;
}

export interface UpdateResult {
  readonly operation: "update";
  readonly table: string;
  readonly version: string;
  readonly changed: boolean;
  /** What was changed. */
  readonly differences: readonly Difference[];
  /** Whether the servers were told to load their segments anew. */
  readonly reloaded: boolean;
}

/** A broker learns of a table some time after the controller. */
const QUERYABLE_MS = 30_000;

/** @throws TicklakeError PINOT_CASE_FOLDED; PINOT_REFUSED with the controller's reason; KAFKA_TOPIC_UNKNOWN, KAFKA_UNREACHABLE as Pinot sees Kafka; what requests throw */
export async function createTable(context: TableContext): Promise<CreateResult> {
  const { api, settings, cluster } = context;
  const version = await cluster.version(context.signal);
  const wanted = tableConfig(settings, version);
  const there = await present(context);
  if (there) return { operation: "create", table: settings.table, version: version.text, created: false, differences: differences(wanted, there), queryable: true };
  await checkCase(context, wanted);
  const undo = await ensureSchema(context, wanted);
  try {
    context.progress("checking the table");
    await api.validateTable(wanted.table);
    context.progress("creating the table");
    await api.addTable(wanted.table);
  } catch (caught) {
    // Somebody else was first: what they made counts.
    if (statusOf(caught) === 409) {
      const made = await present(context);
      if (made) return { operation: "create", table: settings.table, version: version.text, created: false, differences: differences(wanted, made), queryable: true };
    }
    await undo();
    throw kafkaReason(context, caught);
  }
  return { operation: "create", table: settings.table, version: version.text, created: true, differences: [], queryable: await queryable(context) };
}

/** @throws TicklakeError TABLE_NOT_FOUND; as `createTable` */
export async function updateTable(context: TableContext): Promise<UpdateResult> {
  const { api, settings, cluster } = context;
  const version = await cluster.version(context.signal);
  const wanted = tableConfig(settings, version);
  const is = await present(context);
  if (!is) throw api.notFound();
  const found = differences(wanted, is);
  if (found.length === 0) return { operation: "update", table: settings.table, version: version.text, changed: false, differences: [], reloaded: false };
  await checkCase(context, { ...wanted, schema: changedSchema(wanted.schema, is.schema) });
  if (schemaDifferences(wanted.schema, is.schema).length > 0) {
    context.progress("changing the schema");
    await refusingCase(context, () => api.putSchema(changedSchema(wanted.schema, is.schema)));
  }
  if (found.some(({ path }) => !path.startsWith("schema."))) {
    const table = changedTable(wanted.table, is.table);
    context.progress("checking the table");
    await api.validateTable(table);
    context.progress("changing the table");
    await api.putTable(table).catch((caught: unknown) => { throw kafkaReason(context, caught); });
  }
  context.progress("reloading");
  await api.reload();
  return { operation: "update", table: settings.table, version: version.text, changed: true, differences: found, reloaded: true };
}

async function present({ api }: TableContext): Promise<TableConfig | undefined> {
  const [table, schema] = await Promise.all([api.config(), api.schema()]);
  return table && { table, schema: schema ?? {} };
}

/** The schema, made or widened. @returns how to take back what was made */
async function ensureSchema(context: TableContext, wanted: TableConfig): Promise<() => Promise<void>> {
  const { api } = context;
  const is = await api.schema();
  if (is && schemaDifferences(wanted.schema, is).length === 0) return () => Promise.resolve();
  const schema = is ? changedSchema(wanted.schema, is) : wanted.schema;
  context.progress("checking the schema");
  await refusingCase(context, async () => {
    await api.validateSchema(schema);
    context.progress("creating the schema");
    await (is ? api.putSchema(schema) : api.addSchema(schema));
  });
  return async () => {
    if (is) return;
    // A schema without its table would only be in the way. The reason why there is none is what counts.
    await api.deleteSchema().catch((error: unknown) => context.warn(`The schema ${context.settings.table} was made, but not its table, and could not be taken away: ${asTicklakeError(error).message}`));
  };
}

/** @throws TicklakeError PINOT_CASE_FOLDED before anything is sent that such a cluster would refuse */
async function checkCase(context: TableContext, { schema }: TableConfig): Promise<void> {
  const folded = foldedColumns(schema);
  if (folded.length > 0 && await context.cluster.foldsCase(context.signal)) throw caseFolded(context, folded);
}

async function refusingCase(context: TableContext, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (caught) {
    if (!isCaseRefusal(caught)) throw caught;
    const folded = foldedColumns(tableConfig(context.settings, await context.cluster.version(context.signal)).schema);
    // Switched off, but controller and broker still run with what they read at their start.
    throw await context.cluster.foldsCase(context.signal) ? caseFolded(context, folded, caught) : new TicklakeError("PINOT_CASE_FOLDED",
      `The cluster's setting enable.case.insensitive is off, but its controller still folds case. Restart controller and broker; then create the table again.`, { cause: caught });
  }
}

function caseFolded({ settings }: TableContext, folded: readonly string[][], cause?: unknown): TicklakeError {
  const pairs = folded.map((names) => names.join(" and ")).join(", ");
  const readable = settings.names === "readable" ? "" : " Or choose names: readable, which calls the columns symbol, price, size, ... and fills them from the same topic.";
  return new TicklakeError("PINOT_CASE_FOLDED",
    `This Pinot folds the case of names, so ${pairs} would be one column of ${settings.table}. Run the operation case-sensitive (it switches enable.case.insensitive off for the whole cluster) and restart controller and broker.${readable}`,
    { cause, details: { columns: folded } });
}

/** A controller asks Kafka for the topic's partitions; what goes wrong there arrives as an exception of Java. */
function kafkaReason({ settings: { topic, kafkaBrokers } }: TableContext, caught: unknown): unknown {
  const reason = reasonIn(caught);
  const options = { cause: caught, details: { reason } };
  if (/partitionsFor\(.*is null|UnknownTopicOrPartition/i.test(reason)) {
    return new TicklakeError("KAFKA_TOPIC_UNKNOWN", `Pinot finds no topic ${topic} at ${kafkaBrokers}. Create it (kafka-out does so with its first message), or check topic and brokers.`, options);
  }
  if (/Timeout expired while fetching topic metadata|TransientConsumerException|Failed to construct kafka|No resolvable bootstrap/i.test(reason)) {
    return new TicklakeError("KAFKA_UNREACHABLE", `Pinot cannot reach Kafka at ${kafkaBrokers}. Give the addresses as Pinot's servers see them, which may be others than those that Node-RED uses (${reason}).`, options);
  }
  return caught;
}

/** Waits until a query finds the table. */
async function queryable(context: TableContext): Promise<boolean> {
  context.progress("waiting for the broker");
  try {
    const found = await until(context, QUERYABLE_MS, async () => {
      const { body } = await context.cluster.http.send("broker", { method: "POST", path: "/query/sql", body: { sql: `SELECT COUNT(*) FROM ${context.settings.table.split(".").map((part) => `"${part}"`).join(".")} LIMIT 1` }, ...(context.signal ? { signal: context.signal } : {}) });
      const { exceptions } = (body ?? {}) as { exceptions?: unknown[] };
      return (exceptions ?? []).length === 0;
    });
    if (!found) context.warn(`The table ${context.settings.table} is made, but the broker does not know it after ${QUERYABLE_MS / 1000} s.`);
    return found;
  } catch (caught) {
    const error = asTicklakeError(caught);
    if (error.code === "STOPPED") throw error;
    context.warn(`The table ${context.settings.table} is made, but the broker cannot be asked: ${error.message}`);
    return false;
  }
}
