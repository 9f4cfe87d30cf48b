/**
 * Real Kafka for tests, and an independent client to look into it: plain kafkajs and Kafka's own console tools, nothing of ours.
 */
import { createRequire } from "node:module";
import { randomBytes } from "node:crypto";
import { Kafka, logLevel, type Admin, type IHeaders, type ITopicConfig, type Message } from "kafkajs";

/** One broker process. */
export interface KafkaNode {
  readonly nodeId: number;
  readonly pid: number | undefined;
  readonly alive: boolean;
  readonly addresses: KafkaAddresses;
  start(): Promise<void>;
  /** SIGKILL by default. Resolves when the process is gone; at once for SIGSTOP and SIGCONT. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  stop(): Promise<void>;
  logs(): string;
}

/** host:port per listener. `proxied` tells clients to come to the proxy's port. */
export interface KafkaAddresses { readonly plaintext: string; readonly ssl: string; readonly sasl: string; readonly sasl_ssl: string; readonly proxied: string }

export interface KafkaStartOptions {
  /** Of the plaintext listener; a free one. */
  readonly port?: number;
  /** Beside plaintext. SASL takes PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512. */
  readonly listeners?: readonly ("ssl" | "sasl" | "sasl_ssl")[];
  /** Name -> password for SASL; by default ticklake, ticklake-secret. */
  readonly users?: Readonly<Record<string, string>>;
  /** A second plaintext listener that advertises this port (see proxy.ts). */
  readonly proxyPort?: number;
  /** Brokers; the first is the controller. */
  readonly nodes?: number;
  /** More of server.properties. */
  readonly properties?: Readonly<Record<string, string | number | boolean>>;
  /** Kept by `stop`; by default a temporary folder. */
  readonly dataDir?: string;
  readonly heapMb?: number;
  /** A JVM as Kafka's own script starts it, for benchmarks: slow to warm up, fast then. */
  readonly fast?: boolean;
}

export interface RunningKafka {
  /** Comma-separated, as kafka-broker takes them. */
  readonly brokers: string;
  readonly addresses: KafkaAddresses;
  readonly nodes: readonly KafkaNode[];
  readonly clusterId: string;
  readonly dataDir: string;
  readonly users: Readonly<Record<string, string>>;
  /** File with the certificate to trust, with a listener of TLS. */
  readonly certificate: string | undefined;
  readonly pid: number | undefined;
  logs(): string;
  /** Of the first node. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** The first node, on the same port and data; a running one gets `signal` first (SIGTERM). */
  restart(signal?: NodeJS.Signals): Promise<void>;
  stop(): Promise<void>;
}

interface ServerModule {
  startKafka(options?: KafkaStartOptions): Promise<RunningKafka>;
  kafkaTool(mainClass: string, args: readonly string[], options?: { stdin?: string | Buffer; timeoutMs?: number }): Promise<string>;
  kafkaToolLines(mainClass: string, args: readonly string[], each: (line: string) => void): Promise<void>;
  isFree(port: number): Promise<boolean>;
}
const server = createRequire(__filename)("../../scripts/kafka-server.mjs") as ServerModule;

/** A broker of your own: for kills, other listeners, other settings. Takes 2 to 4 s and 360 MB; stop it. */
export const startKafka = (options?: KafkaStartOptions): Promise<RunningKafka> => server.startKafka(options);

/** What a test may do with a broker that it shares: no kills. */
export interface SharedKafka { readonly brokers: string }

let shared: Promise<SharedKafka> | undefined;
let ours: Promise<RunningKafka> | undefined;
// A root hook of mocha: this file is loaded with the test files. Used outside of mocha, the broker ends with the process.
if (typeof after === "function") after(async function () { this.timeout(30_000); await (await ours)?.stop(); });

/**
 * The broker of this mocha process, started by the first call and stopped at the end of the process; the running one of TICKLAKE_KAFKA=host:port when
 * that is set. Topics and groups of other tests live there too: use `uniqueTopic`.
 */
export function sharedKafka(): Promise<SharedKafka> {
  return shared ??= process.env["TICKLAKE_KAFKA"] ? Promise.resolve({ brokers: process.env["TICKLAKE_KAFKA"] }) : (ours = startKafka());
}

/** For topics and groups. */
export const uniqueTopic = (prefix = "topic"): string => `${prefix}-${randomBytes(5).toString("hex")}`;

/** A plain kafkajs client that says nothing. */
export const plainClient = (brokers: string): Kafka => new Kafka({ clientId: "independent", brokers: brokers.split(","), logLevel: logLevel.NOTHING, retry: { retries: 10, initialRetryTime: 100, maxRetryTime: 1000 } });

/** A broker takes a moment to know what it leads and coordinates; kafkajs's admin does not ask again. */
const NOT_YET = /not the leader|does not host this topic|not the correct coordinator|coordinator is (not available|loading)/i;

async function withAdmin<T>(brokers: string, work: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = plainClient(brokers).admin();
  await admin.connect();
  try {
    for (const deadline = Date.now() + 20_000; ; await new Promise((resolve) => setTimeout(resolve, 100))) {
      try { return await work(admin); } catch (error) { if (Date.now() > deadline || !NOT_YET.test(String(error))) throw error; }
    }
  } finally { await admin.disconnect(); }
}

/** Creates a topic (1 partition) and gives its name. */
export async function createTopic(brokers: string, topic = uniqueTopic(), options: { partitions?: number; replicationFactor?: number; config?: Readonly<Record<string, string>>; replicaAssignment?: ITopicConfig["replicaAssignment"] } = {}): Promise<string> {
  const { partitions = 1, replicationFactor = 1, config = {}, replicaAssignment } = options;
  return withAdmin(brokers, async (admin) => {
    const made = await admin.createTopics({
      waitForLeaders: false,
      topics: [{
        topic, ...(replicaAssignment ? { replicaAssignment } : { numPartitions: partitions, replicationFactor }), configEntries: Object.entries(config).map(([name, value]) => ({ name, value })),
      }],
    });
    if (!made) throw new Error(`${topic} is there already`);
    // Until every leader answers for its partitions. Metadata name leaders before they know of it; a kafkajs producer that writes then writes what one of several
    // partitions has taken once more.
    for (const deadline = Date.now() + 20_000; ; await new Promise((resolve) => setTimeout(resolve, 50))) {
      try {
        await admin.fetchTopicOffsets(topic);
        return topic;
      } catch (error) { if (Date.now() > deadline) throw error; }
    }
  });
}

export const deleteTopics = (brokers: string, ...topics: string[]): Promise<void> => withAdmin(brokers, (admin) => admin.deleteTopics({ topics }));

/** Deletes records below an offset, as retention does. */
export const deleteRecords = (brokers: string, topic: string, partition: number, below: string): Promise<void> => withAdmin(brokers, async (admin) => {
  // kafkajs looks for the leader in what it has loaded before.
  await admin.fetchTopicOffsets(topic);
  await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: below }] });
});

/** Next offset of every partition, in their order. */
export const endOffsets = (brokers: string, topic: string): Promise<number[]> => withAdmin(brokers, async (admin) =>
  (await admin.fetchTopicOffsets(topic)).sort((a, b) => a.partition - b.partition).map((p) => Number(p.high)));

/** What a group has committed per partition, in their order; -1 for nothing. */
export const committedOffsets = (brokers: string, groupId: string, topic: string): Promise<number[]> => withAdmin(brokers, async (admin) =>
  ((await admin.fetchOffsets({ groupId, topics: [topic] }))[0]?.partitions ?? []).sort((a, b) => a.partition - b.partition).map((p) => Number(p.offset)));

/** Waits until groups have committed all of a topic that nobody writes to any more. */
export async function untilCommitted(brokers: string, topic: string, groups: readonly string[], timeoutMs = 60_000, explain: () => string = () => ""): Promise<void> {
  const ends = await endOffsets(brokers, topic);
  for (const deadline = Date.now() + timeoutMs; ;) {
    const committed = await Promise.all(groups.map((group) => committedOffsets(brokers, group, topic)));
    if (committed.every((offsets) => offsets.join() === ends.join())) return;
    if (Date.now() > deadline) throw new Error(`${topic} is not read to its end within ${timeoutMs} ms: ${JSON.stringify({ ends, committed })}\n${explain()}`);
    await new Promise((done) => { setTimeout(done, 250); });
  }
}

/** State and members of a group: `Stable`, `Empty`, `PreparingRebalance`, `Dead` ... */
export const describeGroup = (brokers: string, groupId: string): Promise<{ state: string; members: number }> => withAdmin(brokers, async (admin) => {
  const [group] = (await admin.describeGroups([groupId])).groups;
  return { state: group?.state ?? "Dead", members: group?.members.length ?? 0 };
});

export type Value = string | Buffer | null | Message;

/** Writes values in order, to their partition when they name one, else to partition 0. */
export async function produce(brokers: string, topic: string, values: readonly Value[]): Promise<void> {
  const producer = plainClient(brokers).producer({ createPartitioner: () => ({ message }) => message.partition ?? 0 });
  await producer.connect();
  try {
    for (let from = 0; from < values.length;) {
      // Requests of about a megabyte, the limit of a broker for one batch.
      const messages: Message[] = [];
      for (let bytes = 0; from < values.length && (messages.length === 0 || bytes + sizeOf(values[from]!) < 800_000); from++) {
        bytes += sizeOf(values[from]!);
        messages.push(asMessage(values[from]!));
      }
      await producer.send({ topic, acks: -1, messages });
    }
  } finally { await producer.disconnect(); }
}

const asMessage = (value: Value): Message => (value === null || typeof value === "string" || Buffer.isBuffer(value) ? { value } : value);
const sizeOf = (value: Value): number => 100 + (asMessage(value).value?.length ?? 0);

/** A record as an independent client read it. */
export interface ReadRecord {
  readonly partition: number;
  readonly offset: number;
  readonly key: string | null;
  readonly value: string | null;
  /** Unix ms. */
  readonly timestamp: number;
  readonly headers: IHeaders;
}

/** Waits until the group's coordinator answers: just after a start it is still loading, which a kafkajs consumer does not survive. */
async function coordinated(brokers: string, groupId: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await withAdmin(brokers, (admin) => admin.fetchOffsets({ groupId, topics: [] }));
      return;
    } catch (error) {
      if (tries === 50) throw error;
      await new Promise((done) => { setTimeout(done, 200); });
    }
  }
}

/**
 * Every record of a topic that readers of committed transactions see, as Kafka's own consumer reads it, in the order of each partition. Nothing may be written meanwhile.
 * For topics with aborted transactions: kafkajs does not leave out all of them. Values hold no line breaks, keys no tabs. Takes about five seconds, and a second per 200,000 records.
 */
export async function readCommitted(brokers: string, topic: string, each: (record: { partition: number; offset: number; key: string | null; value: string }) => void): Promise<void> {
  const shown = ["print.partition", "print.offset", "print.key"].flatMap((name) => ["--formatter-property", `${name}=true`]);
  await server.kafkaToolLines("org.apache.kafka.tools.consumer.ConsoleConsumer", [
    "--bootstrap-server", brokers, "--topic", topic, "--from-beginning", "--timeout-ms", "4000", "--isolation-level", "read_committed", ...shown,
  ], (line) => {
    const [partition, offset, key, ...value] = line.split("\t");
    if (value.length === 0 || !partition!.startsWith("Partition:")) return;
    each({ partition: Number(partition!.slice(10)), offset: Number(offset!.slice(7)), key: key === "null" ? null : key!, value: value.join("\t") });
  });
}

/**
 * Every record of a topic up to its end as of this call, by partition and offset.
 *
 * @param options.isolation committed (default): no open transaction, and most aborted ones left out (see readCommitted); uncommitted: all
 * @param options.each called per record instead of collecting them (millions of records)
 */
export async function consumeAll(brokers: string, topic: string, options: { isolation?: "committed" | "uncommitted"; each?: (record: ReadRecord) => void; timeoutMs?: number } = {}): Promise<ReadRecord[]> {
  const ends = await endOffsets(brokers, topic);
  const kafka = plainClient(brokers);
  const groupId = uniqueTopic("independent");
  await coordinated(brokers, groupId);
  const consumer = kafka.consumer({ groupId, readUncommitted: options.isolation === "uncommitted", maxWaitTimeInMs: 100, maxBytesPerPartition: 4 << 20 });
  const found: ReadRecord[] = [];
  const each = options.each ?? ((record: ReadRecord): void => { found.push(record); });
  const starts = await withAdmin(brokers, async (admin) => (await admin.fetchTopicOffsets(topic)).sort((a, b) => a.partition - b.partition).map((p) => Number(p.low)));
  const left = new Set(ends.flatMap((end, p) => (end > starts[p]! ? [p] : [])));
  if (left.size === 0) return found;
  await consumer.connect();
  try {
    await consumer.subscribe({ topic, fromBeginning: true });
    await new Promise<void>((done, fail) => {
      let timer: NodeJS.Timeout | undefined;
      const wait = (): void => {
        clearTimeout(timer);
        timer = setTimeout(() => fail(new Error(`${topic}: nothing more came for partitions ${[...left].join(", ")}`)), options.timeoutMs ?? 20_000);
      };
      wait();
      // Control records end a log of transactions: positions are looked at, not only records.
      const reached = (partition: number, next: number): void => {
        if (next >= ends[partition]!) left.delete(partition);
        wait();
        if (left.size === 0) { clearTimeout(timer); done(); }
      };
      consumer.on(consumer.events.CRASH, ({ payload }) => { clearTimeout(timer); fail(payload.error); });
      consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) => reached(payload.partition, Number(payload.lastOffset) + 1));
      consumer.run({
        autoCommit: false, eachBatchAutoResolve: true,
        eachBatch: async ({ batch }) => {
          const { partition } = batch;
          for (const m of batch.messages) {
            const offset = Number(m.offset);
            if (offset >= ends[partition]!) break;
            each({ partition, offset, key: m.key?.toString() ?? null, value: m.value?.toString() ?? null, timestamp: Number(m.timestamp), headers: m.headers ?? {} });
          }
        },
      }).catch(fail);
    });
  } finally { await consumer.disconnect(); }
  return found.sort((a, b) => a.partition - b.partition || a.offset - b.offset);
}

/** Values of a topic, by partition and offset. */
export const valuesOf = async (brokers: string, topic: string): Promise<(string | null)[]> => (await consumeAll(brokers, topic)).map((record) => record.value);

/** Kafka's own console producer: a line a record. Starting its JVM takes a second. */
export async function consoleProducer(brokers: string, topic: string, lines: readonly string[], options: { compression?: "none" | "gzip" | "snappy" | "lz4" | "zstd"; properties?: Readonly<Record<string, string>>; reader?: Readonly<Record<string, string>> } = {}): Promise<void> {
  const properties = [
    ...Object.entries(options.properties ?? {}).flatMap(([key, value]) => ["--command-property", `${key}=${value}`]),
    // How lines are read: parse.key, parse.headers ...
    ...Object.entries(options.reader ?? {}).flatMap(([key, value]) => ["--reader-property", `${key}=${value}`]),
  ];
  await server.kafkaTool("org.apache.kafka.tools.ConsoleProducer", ["--bootstrap-server", brokers, "--topic", topic, "--compression-codec", options.compression ?? "none", ...properties], { stdin: lines.map((line) => `${line}\n`).join("") });
}

/** Kafka's own console consumer: the values of the first `count` records, a line each. */
export async function consoleConsumer(brokers: string, topic: string, count: number, options: { isolation?: "committed" | "uncommitted" } = {}): Promise<string[]> {
  const text = await server.kafkaTool("org.apache.kafka.tools.consumer.ConsoleConsumer", [
    "--bootstrap-server", brokers, "--topic", topic, "--from-beginning", "--max-messages", String(count), "--timeout-ms", "20000", "--isolation-level", `read_${options.isolation ?? "committed"}`,
  ]);
  return text.split("\n").slice(0, -1);
}
