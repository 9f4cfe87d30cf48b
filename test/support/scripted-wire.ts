/** Brokers for a consumer, in memory and with a clock that stands still: what goes wrong, and when, is the test's. */
import { KafkaCode, kafkaError } from "../../lib/kafka/errors";
import { TicklakeError } from "../../lib/errors";
import { partitionKey } from "../../lib/kafka/consumer/assignment";
import type { Clock } from "../../lib/kafka/consumer/clock";
import { decodeAssignment, decodeSubscription, encodeAssignment } from "../../lib/kafka/consumer/member-protocol";
import type { ConsumerWire, FetchRequest, JoinRequest, Joined, Member, TopicState } from "../../lib/kafka/consumer/wire";
import type { FetchedPartition } from "../../lib/kafka/protocol/fetch";
import { RecordBatchBuilder } from "../../lib/kafka/records/builder";
import { decodeRecords, type Decoded } from "../../lib/kafka/records/decode";
import type { PartitionOffset, TopicPartition } from "../../lib/kafka/types";

/** Time that moves when the test says so. */
export class ManualClock implements Clock {
  private time = 1_000_000;
  private readonly timers = new Set<{ at: number; call: () => void }>();

  now(): number { return this.time; }

  after(ms: number, call: () => void): () => void {
    const timer = { at: this.time + Math.max(0, ms), call };
    this.timers.add(timer);
    return () => { this.timers.delete(timer); };
  }

  /** Lets `ms` pass: every timer in its order, and all that follows from it. */
  async advance(ms: number): Promise<void> {
    const end = this.time + ms;
    await settle();
    for (;;) {
      const next = [...this.timers].filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.timers.delete(next);
      this.time = Math.max(this.time, next.at);
      next.call();
      await settle();
    }
    this.time = end;
    await settle();
  }

  /** The process was stopped: time has passed and nothing ran. */
  jump(ms: number): void { this.time += ms; }
}

/** Everything that waits only for turns of the event loop has happened. */
export async function settle(): Promise<void> {
  for (let k = 0; k < 30; k++) await new Promise((resolve) => setImmediate(resolve));
}

export const refusal = (code: keyof typeof KafkaCode): TicklakeError => kafkaError(KafkaCode[code], { doing: "A request" });
export const unreachable = (): TicklakeError => new TicklakeError("KAFKA_UNREACHABLE", "A request failed: nothing listens at broker:9092.", { details: { connection: true } });

type Method = "join" | "sync" | "heartbeat" | "leave" | "commit" | "committed" | "metadata" | "bounds";
/** Thrown, or waited for before the method goes on. */
type Trouble = Error | (() => Promise<void>);

interface Log { batches: { base: bigint; end: bigint; bytes: Buffer }[]; start: bigint; end: bigint; stable: bigint; error: number }

export class ScriptedWire implements ConsumerWire {
  /** Somebody has begun to commit offsets in a transaction, and died. */
  pendingTransaction = false;
  readonly calls: string[] = [];
  readonly topics = new Map<string, TopicState>();
  readonly offsets = new Map<string, bigint>();
  readonly fetches: { node: number; lane: number; request: FetchRequest }[] = [];
  /** Members besides the one under test, with what they subscribe to; without any it leads. */
  leader: string | undefined;
  /** What the foreign leader gives to the member under test. */
  given: readonly TopicPartition[] = [];
  protocol: string | undefined;
  otherMembers: { memberId: string; metadata: Buffer }[] = [];
  generation = 0;
  memberId = "";
  joined: JoinRequest | undefined;
  assignments: readonly { readonly memberId: string; readonly assignment: Buffer }[] = [];
  /** Answers a fetch instead of the log. */
  onFetch: ((node: number, lane: number, request: FetchRequest) => Promise<readonly FetchedPartition[]> | undefined) | undefined;
  onDecode: ((fetched: FetchedPartition, position: bigint) => Promise<Decoded>) | undefined;
  commitCodes: number[] = [];
  closed = false;
  private readonly troubles = new Map<Method, Trouble[]>();
  private readonly lasting = new Map<Method, Trouble>();
  private readonly logs = new Map<string, Log>();
  private readonly polls = new Set<() => void>();
  private members = 0;

  constructor(private readonly clock: Clock, topics: Readonly<Record<string, number>> = { t: 1 }, node: (partition: number) => number = () => 1) {
    for (const [topic, count] of Object.entries(topics)) this.topics.set(topic, { leaders: Array.from({ length: count }, (_, partition) => node(partition)) });
  }

  /** The next calls of a method go wrong, one after the other. */
  next(method: Method, ...troubles: Trouble[]): void {
    this.troubles.set(method, [...this.troubles.get(method) ?? [], ...troubles]);
  }

  /** From now on every call goes wrong; undefined ends that. */
  always(method: Method, trouble: Trouble | undefined): void {
    if (trouble) this.lasting.set(method, trouble); else this.lasting.delete(method);
  }

  count(method: string): number {
    return this.calls.filter((call) => call.split(" ")[0] === method).length;
  }

  log(at: TopicPartition): Log {
    const key = partitionKey(at);
    let log = this.logs.get(key);
    if (!log) this.logs.set(key, log = { batches: [], start: 0n, end: 0n, stable: 0n, error: 0 });
    return log;
  }

  /** Appends one batch of these values. */
  async append(at: TopicPartition, ...values: string[]): Promise<void> {
    const builder = new RecordBatchBuilder({ maxBytes: 64 << 20 });
    for (const value of values) builder.add({ key: null, value: Buffer.from(value), timestamp: 1 });
    const bytes = Buffer.from(await builder.encode({ compression: "none" }));
    const log = this.log(at);
    bytes.writeBigInt64BE(log.end, 0);
    log.batches.push({ base: log.end, end: log.end + BigInt(values.length), bytes });
    log.end += BigInt(values.length);
    log.stable = log.end;
    this.wakePolls();
  }

  wakePolls(): void {
    for (const poll of [...this.polls]) poll();
  }

  async metadata(topics: readonly string[]): Promise<ReadonlyMap<string, TopicState>> {
    await this.enter("metadata", topics.join(","));
    return new Map(topics.map((topic) => [topic, this.topics.get(topic) ?? { leaders: [], error: new TicklakeError("KAFKA_TOPIC_UNKNOWN", `There is no topic "${topic}".`) }]));
  }

  async join(request: JoinRequest): Promise<Joined | { assignedMemberId: string }> {
    this.joined = request;
    await this.enter("join", request.memberId || "-");
    if (request.memberId === "") return { assignedMemberId: `member-${++this.members}` };
    this.memberId = request.memberId;
    this.generation++;
    const members = [{ memberId: request.memberId, metadata: request.protocols[0]!.metadata }, ...this.otherMembers];
    return {
      generation: this.generation, protocol: this.protocol ?? request.protocols[0]!.name, memberId: request.memberId, leaderId: this.leader ?? request.memberId,
      members: this.leader ? [] : members,
    };
  }

  async sync(member: Member, assignments: readonly { readonly memberId: string; readonly assignment: Buffer }[]): Promise<Buffer> {
    await this.enter("sync", member.generation);
    this.assignments = assignments;
    if (this.leader) return encodeAssignment(this.given);
    return assignments.find(({ memberId }) => memberId === member.memberId)?.assignment ?? Buffer.alloc(0);
  }

  async heartbeat(member: Member): Promise<void> { await this.enter("heartbeat", `${member.memberId} ${member.generation}`); }

  async leave(memberId: string): Promise<void> { await this.enter("leave", memberId); }

  async commit(member: Member, offsets: readonly PartitionOffset[]): Promise<number[]> {
    await this.enter("commit", member.generation);
    if (member.generation !== this.generation) throw refusal("illegalGeneration");
    return offsets.map((at, index) => {
      const code = this.commitCodes[index] ?? 0;
      if (code === 0) this.offsets.set(partitionKey(at), at.offset);
      return code;
    });
  }

  async committed(partitions: readonly TopicPartition[], stable: boolean): Promise<bigint[]> {
    await this.enter("committed", "");
    if (stable && this.pendingTransaction) throw refusal("unstableOffsetCommit");
    return partitions.map((at) => this.offsets.get(partitionKey(at)) ?? -1n);
  }

  forgetCoordinator(): void { this.calls.push("forgetCoordinator"); }

  async fetch(node: number, lane: number, request: FetchRequest): Promise<readonly FetchedPartition[]> {
    this.fetches.push({ node, lane, request });
    const own = this.onFetch?.(node, lane, request);
    if (own) return own;
    const deadline = this.clock.now() + request.maxWaitMs;
    for (;;) {
      const answers = this.answers(request);
      if (answers.some((answer) => answer.errorCode !== 0 || answer.records.length > 0) || this.clock.now() >= deadline) return answers;
      await new Promise<void>((resolve) => {
        const end = (): void => { cancel(); this.polls.delete(end); resolve(); };
        const cancel = this.clock.after(deadline - this.clock.now(), end);
        this.polls.add(end);
      });
    }
  }

  decode(fetched: FetchedPartition, position: bigint): Promise<Decoded> {
    return this.onDecode?.(fetched, position)
      ?? decodeRecords(fetched.records, { topic: fetched.topic, partition: fetched.partition, position, abortedTransactions: fetched.abortedTransactions });
  }

  async bounds(at: TopicPartition): Promise<{ earliest: bigint; end: bigint }> {
    await this.enter("bounds", partitionKey(at));
    return { earliest: this.log(at).start, end: this.log(at).stable };
  }

  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }

  /** What the member under test said that it owns, when it joined last. */
  subscription(): ReturnType<typeof decodeSubscription> { return decodeSubscription(this.joined!.protocols[0]!.metadata); }

  /** What the member under test gave to another one, as leader. */
  gave(memberId: string): TopicPartition[] { return decodeAssignment(this.assignments.find((given) => given.memberId === memberId)?.assignment ?? null); }

  answer(at: TopicPartition, position: bigint, maxBytes: number, minOne: boolean): FetchedPartition {
    const log = this.log(at);
    const base = { ...at, highWatermark: log.end, lastStableOffset: log.stable, logStartOffset: log.start, abortedTransactions: [], preferredReadReplica: -1 };
    const errorCode = log.error || (position < log.start || position > log.end ? KafkaCode.offsetOutOfRange : 0);
    if (errorCode !== 0) return { ...base, errorCode, records: Buffer.alloc(0) };
    const batches: Buffer[] = [];
    let bytes = 0;
    for (const batch of log.batches) {
      if (batch.end <= position || batch.base >= log.stable) continue;
      if (bytes + batch.bytes.length > maxBytes && !(minOne && batches.length === 0)) break;
      batches.push(batch.bytes);
      bytes += batch.bytes.length;
    }
    return { ...base, errorCode, records: Buffer.concat(batches) };
  }

  /** As a broker fills its answer: in the order of the request, up to maxBytes, the first batch whole. */
  private answers(request: FetchRequest): FetchedPartition[] {
    let left = request.maxBytes;
    let some = false;
    return request.positions.map(({ topic, partition, offset, maxBytes }) => {
      const answer = this.answer({ topic, partition }, offset, Math.min(maxBytes, left), !some);
      left -= answer.records.length;
      some ||= answer.records.length > 0;
      return answer;
    });
  }

  private async enter(method: Method, text: string | number): Promise<void> {
    this.calls.push(`${method} ${text}`.trim());
    await Promise.resolve();
    const trouble = this.lasting.get(method) ?? this.troubles.get(method)?.shift();
    if (typeof trouble === "function") await trouble();
    else if (trouble) throw trouble;
  }
}
