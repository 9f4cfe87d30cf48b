import type { PartRecord } from "./model";

/** Node types that queue what they receive, handle one message in each turn of the event loop, and never say `done`: Node-RED's switch, in every version so far. */
const QUEUEING: ReadonlySet<string> = new Set(["switch"]);
/** Turns more than the queue is long: which of the callbacks of one turn comes first nobody knows. */
const SLACK = 2;

/**
 * Messages in nodes that return before they have handled them and never tell when they have. A handler's return counts as completion where there is no `done`; here it would end
 * the delivery of every message of a burst but the first before it is sent on. So each is held for as many turns as messages were before it.
 */
export class Lingering {
  private readonly nodes = new Map<string, { readonly part: PartRecord; readonly due: number }[]>();
  private tick = 0;
  private ticking = false;

  /**
   * @param later calls back in the next turn of the event loop
   * @param over called for each part when its node has surely handled it, in a turn of its own
   */
  constructor(private readonly later: (callback: () => void) => void, private readonly over: (part: PartRecord) => void) {}

  /** Whether the return of this node's handler says nothing. */
  isNode(type: string): boolean { return QUEUEING.has(type); }

  /** A node's handler has returned. */
  add(part: PartRecord): void {
    let queue = this.nodes.get(part.node);
    if (!queue) this.nodes.set(part.node, queue = []);
    queue.push({ part, due: this.tick + queue.length + 1 + SLACK });
    this.schedule();
  }

  private schedule(): void {
    if (this.ticking) return;
    this.ticking = true;
    this.later(() => {
      this.ticking = false;
      this.tick++;
      for (const [node, queue] of this.nodes) {
        let due = 0;
        while (due < queue.length && queue[due]!.due <= this.tick) due++;
        for (const { part } of queue.splice(0, due)) this.over(part);
        if (queue.length === 0) this.nodes.delete(node);
      }
      if (this.nodes.size > 0) this.schedule();
    });
  }
}
