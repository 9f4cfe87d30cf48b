import type { LogPosition, Part, Run, TargetPosition } from "../../delivery/types";
import { asTicklakeError, TicklakeError } from "../../errors";
import { guarded } from "../../guarded";
import { compareWithMark } from "./marks";
import { LazyRows, objectsOf, type Incoming } from "./lazy-rows";
import { LogCheck } from "./log-check";
import { cutOf, isBelow, Selection, straddles, type Entry } from "./selection";
import { Committer } from "./committer";
import type { TableState } from "../catalog/types";
import type { TableSinkDeps } from "./contract";
import { OpenTable } from "./open-table";
import { forgetPosition, positionsIn, tableOf } from "./positions";
import { describeReversal, type Standing } from "./standing";
import { UnprotectedRows } from "./unprotected";
import { pause, retrying } from "../../retry";

/** What makes a schema drawn from a first message impossible: that message is to blame, not those behind it. */
const SAMPLE_ERRORS: ReadonlySet<string> = new Set(["SCHEMA_INVALID", "SCHEMA_MISMATCH", "PARTITION_SPEC_INVALID"]);
/** What a commit meets when the table that rows were laid out for is no more. */
const TABLE_GONE: ReadonlySet<string> = new Set(["TABLE_REPLACED", "TABLE_NOT_FOUND", "PARTITION_SPEC_INVALID"]);

/** A message and its rows. */
interface Message { readonly rows: Incoming; readonly part: Part }

/**
 * Appends to one table in micro-batches. Rows become columns as they arrive; a commit takes what is settled, when
 * the interval has passed, rows or bytes reach their bound, a source is under pressure, or on `flush`. While one commit is
 * written the next rows accumulate.
 */
export class TableSink {
  readonly #deps: TableSinkDeps;
  readonly #now: () => number;
  readonly #stop = new AbortController();
  #open: OpenTable | undefined;
  #opening: Promise<void> | undefined;
  /** Messages that came before the table was open. */
  #backlog: Message[] = [];
  /** Parked and not in a commit, oldest first. */
  readonly #entries = new Map<Part, Entry>();
  /** Messages that are in the table by the watermarks that we know: done when those have been read anew, for it may have been rolled back. */
  #doubles: Message[] = [];
  /** Messages of partitions of which it is not certain yet that they are the ones that the table knows. */
  readonly #check: LogCheck<Message>;
  /** Where the table stood when it was last open. */
  #stood: Standing | undefined;
  readonly #unprotected: UnprotectedRows;
  #duplicates = 0;
  #timer: NodeJS.Timeout | undefined;
  /** A commit is due (as soon as something is settled). */
  #wanted = false;
  /** Something changed since the pump last looked. */
  #nudged = false;
  #pumping: Promise<void> | undefined;
  /** Those who wait until what is settled now has been committed. */
  #flushes: (() => void)[] = [];
  /** Clock of the last selection: what it left behind could not be committed, and waits an interval from then. */
  #selectedAt = -Infinity;
  #closing = false;

  constructor(deps: TableSinkDeps) {
    this.#deps = { ...deps, events: guarded(deps.events, ["committed", "unwritten", "rejected", "retrying", "failed", "warn", "changed"]) };
    this.#now = deps.now ?? Date.now;
    this.#unprotected = new UnprotectedRows(deps.options);
    const { events } = this.#deps;
    this.#check = new LogCheck({ table: deps.name, signal: this.#stop.signal, onRetry: events.retrying, warn: events.warn });
  }

  /** Rows that wait for a commit. */
  get waiting(): number {
    const count = (messages: readonly Message[]): number => messages.reduce((sum, { rows }) => sum + rows.length, 0);
    return (this.#open?.columns.rows ?? 0) + count(this.#backlog) + count(this.#check.waiting);
  }

  /**
   * Gets ready ahead of the first row: loads the table if it is there (it is created only when there is something to write) and starts
   * the encoder's thread. A setting that does not fit the table is told now.
   */
  warm(): void {
    this.#deps.encoder.warm();
    if (!this.#open) this.#opening ??= this.#openTable(true);
  }

  /** Takes a message's rows. Completes, parks or fails the part; never throws. */
  add(rows: Incoming, part: Part): void {
    if (part.state !== "held") return;
    if (rows.length === 0) { this.#unwritten(part, 0); return; }
    if (this.#closing) { part.fail(new TicklakeError("STOPPED", "The node is stopping; these rows were not written.")); return; }
    if (part.deliveries.length === 0 && this.#unprotected.refuses(rows.length, this.#open?.columns.bytes ?? 0)) {
      part.fail(new TicklakeError("STORAGE_FAILED", `${this.#unprotected.rows} rows without delivery wait for ${this.#deps.options.table} already and more are refused: commits do not keep up or the storage is away (see the status).`));
      return;
    }
    this.#unprotected.add(part, rows.length);
    this.#release(rows, part);
  }

  /** The table is open: its columns hold memory. */
  get isOpen(): boolean { return this.#open !== undefined; }

  /** Lets go of the table and its columns; the next message opens it again. False, and nothing happens, while something waits or is under way. */
  rest(): boolean {
    if (this.#entries.size > 0 || this.#backlog.length > 0 || this.#doubles.length > 0 || this.#check.waiting.length > 0 || this.#opening || this.#pumping) return false;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#wanted = false;
    this.#letGo();
    return true;
  }

  /** The ledger: how far the table is with a partition. Reads it anew; a table that is not open is only looked at. */
  async positions(at: LogPosition): Promise<TargetPosition[]> {
    const table = await tableOf(this.#deps, this.#open?.table);
    return table ? positionsIn(table, this.#deps, at) : [];
  }

  /** The ledger: makes the table forget how far it is with a partition. What comes again is written again. */
  async forget(at: LogPosition): Promise<string[]> {
    const table = await tableOf(this.#deps, this.#open?.table);
    const state = table && await forgetPosition(table, at, this.#deps.options.writerId, (cluster) => this.#check.reads(cluster));
    this.#open?.standing.forget(at);
    if (state) this.#follow(state);
    return state ? [this.#deps.name] : [];
  }

  /** The ledger: a source begins to read a partition. The table may have gone back while nothing of it came. */
  assigned(at: LogPosition): void {
    const open = this.#open;
    if (!open || !this.#deps.options.exactlyOnce) return;
    open.standing.askAgain(at);
    retrying(() => open.table.refresh(), { signal: this.#stop.signal, onRetry: this.#deps.events.retrying }).then((state) => { if (this.#open === open) this.#follow(state); }, () => undefined);
  }

  #follow(state: TableState): void {
    try {
      this.#open?.follow(state);
    } catch (error) {
      this.#failed(asTicklakeError(error), []);
      return;
    }
    this.#sendBack();
  }

  /** Asks sources for what the table held and holds no longer. What is open of those partitions is aborted by that. */
  #sendBack(): void {
    const { ledger, events, name } = this.#deps;
    const standing = this.#open?.standing;
    for (const reversal of standing?.reversals ?? []) {
      const reason = describeReversal(name, reversal);
      if (!ledger.rewind(reversal.at, reversal.to, reversal.from, reason)) continue;
      standing!.asked(reversal);
      events.warn(reason);
    }
  }

  #letGo(): void {
    this.#stood = this.#open?.standing;
    this.#open = undefined;
  }

  /** Commits what is settled now; resolves when that is done. What comes later is waited for by nobody: under load there is no end to it. */
  async flush(): Promise<void> {
    while (this.#opening) await this.#opening;
    if (!this.#open || this.#stop.signal.aborted) return;
    const done = new Promise<void>((resolve) => { this.#flushes.push(resolve); });
    this.#want();
    await done;
  }

  /** The ledger: something became committable. */
  settled(): void {
    if (this.#wanted || this.#overBound()) this.#want();
  }

  /** The ledger: a source is at its bound. */
  pressure(): void {
    if (this.#entries.size > 0) this.#want();
  }

  /** The ledger: these were aborted; their rows go (those in a commit under way are looked after there). */
  aborted(parts: readonly Part[]): void {
    const gone = new Set(parts);
    this.#backlog = this.#backlog.filter(({ part }) => !gone.has(part));
    this.#doubles = this.#doubles.filter(({ part }) => !gone.has(part));
    this.#check.drop(gone);
    const ranges: [number, number][] = [];
    for (const part of parts) {
      const entry = this.#entries.get(part);
      if (!entry) continue;
      this.#entries.delete(part);
      if (entry.to > entry.from) ranges.push([entry.from, entry.to]);
    }
    if (ranges.length > 0) this.#open?.columns.drop(ranges.sort((a, b) => a[0] - b[0]));
    if (this.#entries.size === 0) this.#wanted = false;
    this.#deps.events.changed();
  }

  /**
   * Commits what is settled, within `timeoutMs`, and fails the rest.
   */
  async close(timeoutMs: number): Promise<void> {
    this.#closing = true;
    clearTimeout(this.#timer);
    if (this.#entries.size > 0 || this.#backlog.length > 0 || this.#pumping) {
      const over = new AbortController();
      await Promise.race([this.flush().finally(() => over.abort()), pause(timeoutMs, over.signal)]);
    }
    this.#stop.abort();
    const stopped = new TicklakeError("STOPPED", "The node stopped before these rows were committed.");
    for (const part of [...this.#backlog.map((b) => b.part), ...this.#entries.keys()]) {
      if (part.deliveries.length === 0 && (part.state === "held" || part.state === "parked")) part.fail(stopped);
    }
    this.#deps.ledger.close();
  }

  async #openTable(ahead = false): Promise<void> {
    const { events } = this.#deps;
    const first = this.#backlog[0];
    try {
      const sample = this.#deps.options.schema === "infer" ? objectsOf(first?.rows ?? []) : [];
      const deps = { ...this.#deps, ...(this.#stood ? { before: this.#stood } : {}) };
      const open = await retrying(() => (ahead ? OpenTable.load(deps) : OpenTable.open(deps, sample)), { signal: this.#stop.signal, onRetry: events.retrying });
      this.#open = open;
      this.#sendBack();
      if (open) for (const { rows, part } of this.#backlog.splice(0)) if (part.state === "held") this.#accept(open, rows, part);
      if (!open && !ahead) for (const message of this.#takeOut(first)) if (message.part.state === "held") this.#rejectUndrawn(message);
    } catch (caught) {
      const error = asTicklakeError(caught);
      // The first message draws the schema: where that cannot be done, it alone is to blame.
      const drawn = !ahead && this.#deps.options.schema === "infer" && SAMPLE_ERRORS.has(error.code);
      const failed = drawn ? this.#takeOut(first) : this.#backlog.splice(0);
      if (!this.#stop.signal.aborted) events.failed(error);
      for (const { rows, part } of failed) {
        this.#unprotected.remove(part, rows.length);
        if (part.state === "held") part.fail(error);
      }
    } finally {
      this.#opening = this.#backlog.length > 0 && !this.#stop.signal.aborted ? this.#openTable() : undefined;
    }
  }

  /** Takes a message out of the backlog, if it was not aborted meanwhile. */
  #takeOut(message: Message | undefined): Message[] {
    const at = message ? this.#backlog.indexOf(message) : -1;
    return at < 0 ? [] : this.#backlog.splice(at, 1);
  }

  /** There is no table yet, and no field of this message has a value that a column could be drawn from: sent again it would not have one either. */
  #rejectUndrawn({ rows, part }: Message): void {
    const { events, name } = this.#deps;
    this.#unprotected.remove(part, rows.length);
    for (const row of objectsOf(rows)) events.rejected(row, `no field has a value: there is no table ${name} yet, and its columns are drawn from values`, part);
    this.#unwritten(part, 0);
  }

  /** Never throws: one message that cannot be taken must not leave those behind it neither done nor failed. */
  #accept(open: OpenTable, rows: Incoming, part: Part): void {
    try {
      this.#take(open, rows, part);
    } catch (caught) {
      if (part.state !== "held") throw caught;
      this.#unprotected.remove(part, rows.length);
      part.fail(asTicklakeError(caught));
    }
  }

  #take(open: OpenTable, rows: Incoming, part: Part): void {
    const { options, events } = this.#deps;
    if (options.exactlyOnce && (this.#isUnsure(open, { rows, part }) || this.#known(open, rows, part))) return;
    this.#layOut(open, rows, part);
    part.park();
    if (this.#overBound()) this.#want();
    else this.#schedule();
    events.changed();
  }

  #layOut(open: OpenTable, rows: Incoming, part: Part): void {
    const refused = new Set<unknown>();
    const { from, to } = (rows instanceof LazyRows ? open.rows.appendColumns(rows) : undefined)
      ?? open.rows.append(objectsOf(rows), (row, reason) => {
        refused.add(row);
        this.#unprotected.remove(part, 1);
        this.#deps.events.rejected(row, reason, part);
      });
    const taken = refused.size > 0 ? objectsOf(rows).filter((row) => !refused.has(row)) : rows;
    this.#entries.set(part, { part, from, to, arrivedAt: this.#now(), ...(part.deliveries.length === 0 ? { rows: taken } : {}) });
  }

  /** True when the message has to wait until it is known that the table's watermarks speak of its log. */
  #isUnsure(open: OpenTable, message: Message): boolean {
    if (open.standing.reversals.length > 0) this.#sendBack();
    if (message.part.state !== "held") return true;
    return this.#check.holds(message, open.standing, ({ rows, part }) => { this.#release(rows, part); }, (error, messages) => { this.#failed(error, messages.map(({ part }) => part)); });
  }

  #release(rows: Incoming, part: Part): void {
    if (part.state !== "held") return;
    if (this.#open) this.#accept(this.#open, rows, part);
    else {
      this.#backlog.push({ rows, part });
      this.#opening ??= this.#openTable();
    }
  }

  /** Looks the message up in the table's watermarks; true when it needs no writing (or must come again in two pieces). */
  #known(open: OpenTable, rows: Incoming, part: Part): boolean {
    if (isBelow(part, open.marks)) {
      this.#doubles.push({ rows, part });
      this.#run();
      return true;
    }
    const cutAt = cutOf(part, open.marks);
    if (cutAt !== undefined) { part.fail(straddles(cutAt), { cutAt }); return true; }
    for (const delivery of part.deliveries) {
      if (!delivery.lineage || compareWithMark(delivery.lineage, open.marks) === "new") continue;
      this.#deps.events.warn(`A message joined from several batches is in ${open.name} in part. It is written whole: joining across batches is at least once after a restart.`);
      break;
    }
    return false;
  }

  /** Reads the watermarks anew and completes what is in the table by them; anything else is written after all. */
  async #confirm(open: OpenTable): Promise<void> {
    const { events } = this.#deps;
    const doubles = this.#doubles.splice(0);
    try {
      open.follow(await retrying(() => open.table.refresh(), { signal: this.#stop.signal, onRetry: events.retrying }));
    } catch (caught) {
      this.#failed(asTicklakeError(caught), doubles.map(({ part }) => part));
      return;
    }
    this.#sendBack();
    for (const { rows, part } of doubles) {
      if (part.state !== "held") continue;
      if (!isBelow(part, open.marks)) { this.#accept(open, rows, part); continue; }
      // Its rejects may have been under way when the process that committed it died: they go out again, at least once.
      const refused = this.#refused(open, rows, part);
      this.#unwritten(part, rows.length - refused);
    }
  }

  #refused(open: OpenTable, incoming: Incoming, part: Part): number {
    if (incoming instanceof LazyRows && open.rows.fits(incoming)) return 0;
    return open.rows.refused(objectsOf(incoming), (row, reason) => { this.#deps.events.rejected(row, reason, part); });
  }

  #unwritten(part: Part, duplicates: number): void {
    this.#duplicates += duplicates;
    this.#deps.events.unwritten(part, duplicates);
    part.done();
  }

  #overBound(): boolean {
    const { options } = this.#deps;
    const columns = this.#open?.columns;
    return columns !== undefined && (columns.rows >= options.maxRows || columns.bytes >= options.maxBytes);
  }

  /** Arms the timer for the oldest row that waits: the interval is its longest wait. */
  #schedule(): void {
    if (this.#timer || this.#closing) return;
    const oldest = this.#entries.values().next().value;
    if (!oldest) return;
    const since = Math.max(oldest.arrivedAt, this.#selectedAt);
    const wait = Math.max(0, since + this.#deps.options.commitIntervalMs - this.#now());
    this.#timer = setTimeout(() => { this.#timer = undefined; this.#want(); }, wait);
  }

  #want(): void {
    this.#wanted = true;
    this.#run();
  }

  #run(): void {
    this.#nudged = true;
    this.#pumping ??= this.#pump().finally(() => {
      this.#pumping = undefined;
      if (this.#nudged && this.#open && !this.#stop.signal.aborted) { this.#run(); return; }
      // A wish that arose while nothing was settled waits for `settled`.
      if (!this.#wanted) this.#schedule();
      for (const resolve of this.#flushes.splice(0)) resolve();
    });
  }

  async #pump(): Promise<void> {
    // Later in the same turn more may park: let the turn end first, so that it goes into the same commit.
    await new Promise((resolve) => setImmediate(resolve));
    // All that was wished for may have been aborted meanwhile: then there is nothing to look at, and nobody to look again.
    this.#nudged = false;
    while ((this.#wanted || this.#doubles.length > 0) && this.#open && !this.#stop.signal.aborted) {
      this.#nudged = false;
      if (this.#doubles.length > 0) { await this.#confirm(this.#open); continue; }
      const flushes = this.#flushes.splice(0);
      const selection = this.#select();
      if (!selection) {
        this.#wanted = this.#entries.size > 0;
        for (const resolve of flushes) resolve();
        return;
      }
      this.#selectedAt = this.#now();
      this.#wanted = false;
      clearTimeout(this.#timer);
      this.#timer = undefined;
      await this.#commit(this.#open, selection);
      for (const resolve of flushes) resolve();
      if (this.#overBound()) this.#wanted = true;
    }
  }

  /** What may be committed now: settled runs, and all that has no delivery. */
  #select(): Selection | undefined {
    const runs = this.#deps.ledger.take();
    const entries: Entry[] = [];
    for (const part of new Set(runs.flatMap((run) => run.parts))) {
      const entry = this.#entries.get(part);
      if (entry) entries.push(entry);
    }
    for (const entry of this.#entries.values()) if (entry.part.deliveries.length === 0) entries.push(entry);
    for (const { part } of entries) this.#entries.delete(part);
    return runs.length === 0 && entries.length === 0 ? undefined : Selection.of(runs, entries);
  }

  async #commit(open: OpenTable, selection: Selection): Promise<void> {
    const { ledger, events, options } = this.#deps;
    for (const { part, from, to } of selection.entries) this.#unprotected.remove(part, to - from);
    const committer = new Committer({
      open, options, encoder: this.#deps.encoder, signal: this.#stop.signal, now: this.#now, onRetry: events.retrying,
      followed: () => { this.#sendBack(); },
      duplicate: ({ part, from, to }) => this.#unwritten(part, to - from), ...(this.#deps.at ? { at: this.#deps.at } : {}),
    });
    const outcome = await committer.commit(selection).catch((caught: unknown) => asTicklakeError(caught));
    open.rows.loosen();
    if (outcome instanceof TicklakeError) {
      if (outcome.code === "SCHEMA_MISMATCH") this.#judgeAnew(open, outcome, selection);
      else this.#failed(outcome, selection.parts, selection.runs);
    } else {
      const { result, landed } = outcome;
      ledger.committed(landed.runs);
      const kept = new Set(landed.runs);
      ledger.giveBack(selection.runs.filter((run) => !kept.has(run)));
      if (result) {
        events.committed({ ...result, duplicates: this.#duplicates }, landed.parts);
        this.#duplicates = 0;
      }
      for (const part of landed.parts) if (result) part.done(); else this.#unwritten(part, 0);
      if (this.#open === open) this.#followLayout(open);
    }
    events.changed();
  }

  #followLayout(open: OpenTable): void {
    try {
      open.followLayout();
    } catch (caught) {
      this.#judgeAnew(open, asTicklakeError(caught));
    }
  }

  /**
   * Columns changed under rows so that those cannot be written as they were judged. Their sources send them again, and they are judged by the new columns; those that
   * nobody sends again are laid out anew from what arrived.
   *
   * @param selection what could not be written; without it: what waits
   */
  #judgeAnew(open: OpenTable, error: TicklakeError, selection?: Selection): void {
    const { ledger, events } = this.#deps;
    const entries = selection ? selection.entries : [...this.#entries.values()];
    if (!this.#stop.signal.aborted) events.warn(error.message);
    if (selection) {
      ledger.giveBack(selection.runs);
      if (this.#open === open) this.#followLayout(open);
    } else {
      this.#entries.clear();
      open.rows.restart(open.metadata);
      for (const { part, from, to } of entries) this.#unprotected.remove(part, to - from);
    }
    for (const { part, rows } of entries) {
      if (part.state !== "taken" && part.state !== "parked") continue;
      if (!rows) { part.fail(error); continue; }
      this.#unprotected.add(part, rows.length);
      this.#layOut(open, rows, part);
      this.#wanted = true;
    }
  }

  #failed(error: TicklakeError, of: readonly Part[], runs: readonly Run[] = []): void {
    const { ledger, events } = this.#deps;
    const parts = [...of];
    if (TABLE_GONE.has(error.code)) {
      // What waits was laid out for a table that is no more: it comes again, or fails where nobody can send it again.
      parts.push(...this.#entries.keys(), ...[...this.#doubles.splice(0), ...this.#check.clear()].map(({ part }) => part));
      this.#entries.clear();
      this.#unprotected.clear();
      this.#letGo();
    }
    if (!this.#stop.signal.aborted) events.failed(error);
    ledger.giveBack(runs);
    for (const part of parts) if (part.state === "taken" || part.state === "parked" || part.state === "held") part.fail(error);
  }
}
