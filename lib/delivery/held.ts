import type { Group, PartRecord } from "./model";

/** Parts of aborted deliveries that a node may keep to itself for ever (it never calls done): so many are remembered. */
const MAX_GHOSTS = 10_000;

/** The parts that one foreign node has received and not completed, those of aborted deliveries ("ghosts") included. */
export class HeldParts {
  private readonly all = new Set<PartRecord>();
  private readonly byMsgid = new Map<unknown, PartRecord[]>();
  private ghosts = 0;
  private version = 0;
  private union: { version: number; groups: Group[] } | undefined;

  get size(): number { return this.all.size; }
  [Symbol.iterator](): Iterator<PartRecord> { return this.all[Symbol.iterator](); }

  add(part: PartRecord, msgid: unknown): void {
    part.msgid = msgid;
    this.all.add(part);
    this.version++;
    const same = this.byMsgid.get(msgid);
    if (same) same.push(part);
    else this.byMsgid.set(msgid, [part]);
    if (!part.group) this.countGhost();
  }

  delete(part: PartRecord): void {
    if (!this.all.delete(part)) return;
    this.version++;
    if (!part.group) this.ghosts--;
    const same = this.byMsgid.get(part.msgid);
    if (!same) return;
    if (same.length === 1) this.byMsgid.delete(part.msgid);
    else same.splice(same.indexOf(part), 1);
  }

  /** The delivery of a held part was aborted: from now on it marks what the node makes of it as aborted. */
  becameGhost(): void {
    this.version++;
    this.countGhost();
  }

  /** The parts with this `_msgid`. */
  withMsgid(msgid: unknown): readonly PartRecord[] { return this.byMsgid.get(msgid) ?? []; }

  /** The groups of all live parts, each once. */
  groups(): Group[] {
    if (this.union?.version !== this.version) this.union = { version: this.version, groups: liveGroups(this.all) };
    return this.union.groups;
  }

  /** Some ghost, where there is one. */
  ghost(): PartRecord | undefined {
    if (this.ghosts === 0) return undefined;
    for (const part of this.all) if (!part.group) return part;
    return undefined;
  }

  private countGhost(): void {
    if (++this.ghosts <= MAX_GHOSTS) return;
    for (const part of this.all) if (!part.group) { this.delete(part); return; }
  }
}

/** The groups of live parts, each once. */
export function liveGroups(parts: Iterable<PartRecord>): Group[] {
  const groups = new Set<Group>();
  for (const part of parts) if (part.group) groups.add(part.group);
  return [...groups];
}
