/**
 * Who of a consumer group reads which partition. Pure; the member that the broker made leader computes it for all.
 *
 * `sticky` is what members of this package agree on: as balanced as the subscriptions allow, and among the balanced
 * assignments one that moves as little as possible. `range` is Kafka's oldest assignor, for groups with foreign members.
 */
import type { TopicPartition } from "../types";

/** What a member said when it joined. */
export interface GroupMember {
  readonly memberId: string;
  readonly topics: readonly string[];
  /** What it reads now, and since which generation (-1: nothing, or it does not say). */
  readonly owned: readonly TopicPartition[];
  readonly generation: number;
}

/** Partitions per member; members without any have an empty list. */
export type Assignment = Map<string, TopicPartition[]>;

export type Assignor = (members: readonly GroupMember[], partitions: ReadonlyMap<string, number>) => Assignment;

/** A key for maps: Kafka's topic names hold no slash. */
export function partitionKey(at: TopicPartition): string {
  return `${at.topic}/${at.partition}`;
}

/**
 * Range, as every Kafka client knows it: per topic, consecutive partitions go to the members in the order of their ids.
 *
 * @param partitions number of partitions of each topic that exists
 */
export const range: Assignor = (members, partitions) => {
  const sorted = [...members].sort(byId);
  const assignment: Assignment = new Map(sorted.map((member) => [member.memberId, []]));
  for (const topic of topicsOf(members)) {
    const count = partitions.get(topic) ?? 0;
    const readers = sorted.filter((member) => member.topics.includes(topic));
    const share = Math.floor(count / readers.length);
    const extra = count % readers.length;
    let next = 0;
    for (const [index, { memberId }] of readers.entries()) {
      const end = next + share + (index < extra ? 1 : 0);
      for (; next < end; next++) assignment.get(memberId)!.push({ topic, partition: next });
    }
  }
  return assignment;
};

/**
 * Sticky: what members own they keep unless balance requires a move; what is free goes to the least loaded.
 * The result is an optimal semi-matching (Harvey et al., 2003): as long as a chain of moves leads from a member to one
 * with at least two partitions less, the shortest such chain is made. With equal subscriptions that is one move each,
 * and their number is the smallest possible.
 *
 * @param partitions number of partitions of each topic that exists
 */
export const sticky: Assignor = (members, partitions) => {
  const readers = [...members].sort(byId).map((member) => new Reader(member));
  const claims = claimsOf(readers);
  const free: TopicPartition[] = [];
  for (const topic of topicsOf(members)) {
    for (let partition = 0; partition < (partitions.get(topic) ?? 0); partition++) {
      const owner = claims.get(partitionKey({ topic, partition }));
      if (owner?.topics.has(topic)) owner.take({ topic, partition }, true);
      else free.push({ topic, partition });
    }
  }
  // What only few can read is given out first, so that it does not end with somebody who is full of what all could read.
  const eligible = new Map(topicsOf(members).map((topic) => [topic, readers.filter((reader) => reader.topics.has(topic))]));
  free.sort((a, b) => eligible.get(a.topic)!.length - eligible.get(b.topic)!.length);
  for (const at of free) leastLoaded(eligible.get(at.topic)!, at.topic).take(at, false);
  while (improve(readers, eligible)) { /* one chain at a time */ }
  return new Map(readers.map((reader) => [reader.memberId, reader.list()]));
};

function byId(a: GroupMember, b: GroupMember): number {
  return a.memberId < b.memberId ? -1 : a.memberId > b.memberId ? 1 : 0;
}

function topicsOf(members: readonly GroupMember[]): string[] {
  return [...new Set(members.flatMap((member) => member.topics))].sort();
}

/** A member while the assignment is made. */
class Reader {
  readonly memberId: string;
  readonly topics: ReadonlySet<string>;
  readonly owned: readonly TopicPartition[];
  readonly generation: number;
  load = 0;
  /** Per topic: what it kept, and what it got (given away first: that moves nothing). */
  private readonly kept = new Map<string, number[]>();
  private readonly got = new Map<string, number[]>();

  constructor(member: GroupMember) {
    this.memberId = member.memberId;
    this.topics = new Set(member.topics);
    this.owned = member.owned;
    this.generation = member.generation;
  }

  take(at: TopicPartition, kept: boolean): void {
    const lists = kept ? this.kept : this.got;
    const list = lists.get(at.topic);
    if (list) list.push(at.partition); else lists.set(at.topic, [at.partition]);
    this.load++;
  }

  count(topic: string): number {
    return (this.kept.get(topic)?.length ?? 0) + (this.got.get(topic)?.length ?? 0);
  }

  has(topic: string, got: boolean): boolean {
    return ((got ? this.got : this.kept).get(topic)?.length ?? 0) > 0;
  }

  give(topic: string): TopicPartition {
    const list = this.has(topic, true) ? this.got.get(topic)! : this.kept.get(topic)!;
    this.load--;
    return { topic, partition: list.pop()! };
  }

  heldTopics(): string[] {
    return [...this.topics].filter((topic) => this.count(topic) > 0)
      .sort((a, b) => Number(this.has(b, true)) - Number(this.has(a, true)) || this.count(b) - this.count(a) || (a < b ? -1 : 1));
  }

  list(): TopicPartition[] {
    return [...this.topics].sort().flatMap((topic) => [...this.kept.get(topic) ?? [], ...this.got.get(topic) ?? []]
      .sort((a, b) => a - b).map((partition) => ({ topic, partition })));
  }
}

/** Who owns what. When two say so, the later generation is right; within one nobody can know, so the first id has it. */
function claimsOf(readers: readonly Reader[]): Map<string, Reader> {
  const claims = new Map<string, Reader>();
  for (const reader of readers) {
    for (const at of reader.owned) {
      const rival = claims.get(partitionKey(at));
      if (!rival || rival.generation < reader.generation) claims.set(partitionKey(at), reader);
    }
  }
  return claims;
}

function leastLoaded(readers: readonly Reader[], topic: string): Reader {
  let best = readers[0]!;
  for (const reader of readers) {
    if (reader.load < best.load || (reader.load === best.load && reader.count(topic) < best.count(topic))) best = reader;
  }
  return best;
}

/** Makes the shortest chain of moves that brings two members closer together; false when there is none: it is balanced. */
function improve(readers: readonly Reader[], eligible: ReadonlyMap<string, readonly Reader[]>): boolean {
  const lowest = Math.min(...readers.map((reader) => reader.load));
  for (const from of [...readers].sort((a, b) => b.load - a.load)) {
    if (from.load < lowest + 2) return false;
    const chain = shortestChain(from, eligible);
    if (!chain) continue;
    let giver = from;
    for (const { topic, to } of chain) {
      const at = giver.give(topic);
      to.take(at, to.owned.some((own) => own.topic === at.topic && own.partition === at.partition));
      giver = to;
    }
    return true;
  }
  return false;
}

interface Move { readonly topic: string; readonly to: Reader }

/** Breadth first from `from` to the least loaded of the nearest readers that have at least two partitions less. */
function shortestChain(from: Reader, eligible: ReadonlyMap<string, readonly Reader[]>): Move[] | undefined {
  const reached = new Map<Reader, { readonly previous?: Reader; readonly topic?: string }>([[from, {}]]);
  let layer: Reader[] = [from];
  while (layer.length > 0) {
    const next: Reader[] = [];
    for (const giver of layer) {
      for (const topic of giver.heldTopics()) {
        for (const to of eligible.get(topic)!) {
          if (reached.has(to)) continue;
          reached.set(to, { previous: giver, topic });
          next.push(to);
        }
      }
    }
    const targets = next.filter((reader) => reader.load <= from.load - 2).sort((a, b) => a.load - b.load);
    if (targets[0]) return chainTo(targets[0], reached);
    layer = next;
  }
  return undefined;
}

function chainTo(target: Reader, reached: ReadonlyMap<Reader, { readonly previous?: Reader; readonly topic?: string }>): Move[] {
  const chain: Move[] = [];
  for (let to: Reader | undefined = target; to; to = reached.get(to)!.previous) {
    const topic = reached.get(to)!.topic;
    if (topic !== undefined) chain.unshift({ topic, to });
  }
  return chain;
}
