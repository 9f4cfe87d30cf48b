/** Record batches of trades: written and read, beside kafkajs' own encoder and decoder (no broker: the wire format alone). */
import { createRequire } from "node:module";
import { RecordBatchBuilder } from "../lib/kafka/records/builder";
import { supportedCompressions } from "../lib/kafka/records/codecs";
import { decodeRecords } from "../lib/kafka/records/decode";
import { benchTrades, median, table } from "./lib/support";

const load = createRequire(__filename);
/** Records of a batch: about a megabyte of values of 104 bytes. */
const RECORDS = 9000;
const rounds = Number(process.argv[2] ?? 9);

interface Message { key: Buffer; value: Buffer; timestamp: number }
interface ForeignEncoder { buffer: Buffer }
const foreignRecord = load("kafkajs/src/protocol/recordBatch/record/v0") as (message: unknown) => ForeignEncoder;
const { RecordBatch: foreignBatch } = load("kafkajs/src/protocol/recordBatch/v0") as { RecordBatch: (options: unknown) => Promise<ForeignEncoder> };
const foreignDecode = load("kafkajs/src/protocol/recordBatch/v0/decoder") as (decoder: unknown) => Promise<{ records: unknown[] }>;
const ForeignDecoder = load("kafkajs/src/protocol/decoder") as new (bytes: Buffer) => unknown;

/** What kafkajs does for a batch of a produce request (requests/produce/v3). */
async function encodeByKafkajs(messages: readonly Message[]): Promise<Buffer> {
  const firstTimestamp = messages[0]!.timestamp;
  const records = messages.map((message, k) => foreignRecord({ ...message, offsetDelta: k, timestampDelta: message.timestamp - firstTimestamp }));
  return (await foreignBatch({ compression: 0, records, firstTimestamp, maxTimestamp: messages.at(-1)!.timestamp, lastOffsetDelta: records.length - 1, producerId: -1 })).buffer;
}

async function samples(): Promise<{ messages: Message[]; texts: string[] }> {
  const messages: Message[] = [];
  const texts: string[] = [];
  for await (const trades of benchTrades(RECORDS)) {
    for (const trade of trades) {
      const text = JSON.stringify(trade);
      texts.push(text);
      messages.push({ key: Buffer.from(trade.S), value: Buffer.from(text), timestamp: trade.timestamp });
    }
  }
  return { messages, texts };
}

/** Median microseconds of CPU a record, other threads (gzip, zstd) included: unlike the clock it does not count what else runs here. */
async function measure(work: () => Promise<unknown>): Promise<number> {
  for (let k = 0; k < 5; k++) await work();
  const times: number[] = [];
  for (let k = 0; k < rounds; k++) {
    const begun = process.cpuUsage();
    for (let n = 0; n < 10; n++) await work();
    const { user, system } = process.cpuUsage(begun);
    times.push((user + system) / (10 * RECORDS));
  }
  return median(times);
}

async function main(): Promise<void> {
  const { messages, texts } = await samples();
  const size = messages.reduce((sum, message) => sum + message.value.length, 0) / RECORDS;
  const builder = new RecordBatchBuilder({ maxBytes: 1 << 24 });
  const keys = messages.map((message) => message.key.toString());
  const none = { compression: "none" } as const;
  const ours: [string, () => Promise<unknown>][] = [
    ["write: add (Buffers)", () => {
      builder.reset();
      for (const message of messages) builder.add(message);
      return builder.encode(none);
    }],
    ["write: addText (strings)", () => {
      builder.reset();
      for (let k = 0; k < RECORDS; k++) builder.addText(keys[k]!, texts[k]!, messages[k]!.timestamp);
      return builder.encode(none);
    }],
    ["write: open, copy of the bytes, close", () => {
      builder.reset();
      for (let k = 0; k < RECORDS; k++) {
        const { value, timestamp } = messages[k]!;
        const at = builder.open(keys[k]!, value.length, timestamp);
        builder.buffer.set(value, at);
        builder.close(at + value.length);
      }
      return builder.encode(none);
    }],
  ];
  const rows: string[][] = [];
  const row = (name: string, us: number, beside?: number): void => {
    rows.push([name, us.toFixed(3), `${(1 / us).toFixed(2)} M`, ((size * 1e6) / us / 1e6).toFixed(0), beside === undefined ? "" : `${(beside / us).toFixed(1)} x`]);
  };
  const theirs = await measure(() => encodeByKafkajs(messages));
  row("write: kafkajs", theirs);
  for (const [name, work] of ours) row(name, await measure(work), theirs);

  builder.reset();
  for (const message of messages) builder.add(message);
  const batch = Buffer.from(await builder.encode(none));
  const at = { topic: "t", partition: 0, position: 0n, abortedTransactions: [] };
  const read = async (bytes: Buffer): Promise<void> => {
    const { set } = await decodeRecords(bytes, at);
    if (set?.count !== RECORDS) throw new Error("records are missing");
  };
  const theirRead = await measure(() => foreignDecode(new ForeignDecoder(batch)));
  row("read: kafkajs (checksum not verified)", theirRead);
  row("read: decodeRecords (checksum verified)", await measure(() => read(batch)), theirRead);
  console.log(`Batches of ${RECORDS} records with values of ${size.toFixed(0)} bytes, medians of ${rounds}\n`);
  console.log(table(["", "CPU us a record", "records/s a core", "MB/s of values", "beside kafkajs"], rows));

  const packed: string[][] = [];
  for (const compression of supportedCompressions().filter((name) => name !== "none")) {
    const bytes = Buffer.from(await builder.encode({ compression }));
    const write = await measure(() => {
      builder.reset();
      for (const message of messages) builder.add(message);
      return builder.encode({ compression });
    });
    packed.push([compression, write.toFixed(3), (await measure(() => read(bytes))).toFixed(3), (batch.length / bytes.length).toFixed(1)]);
  }
  console.log(`\n${table(["codec", "write CPU us", "read CPU us", "smaller by"], packed)}`);
}

void main();
