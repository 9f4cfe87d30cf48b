import type { Node, NodeStatus } from "node-red";

/**
 * A node's status line. Node-RED sends every status to every open editor and leaks when that happens often, so at
 * most one update goes out per interval; the latest always arrives.
 */
export class StatusLine {
  private pending: NodeStatus | undefined;
  private last = "";
  private timer: NodeJS.Timeout | undefined;
  private sentAt = 0;

  constructor(private readonly node: Node, private readonly intervalMs = 500) {}

  /** Working normally. */
  ok(text: string): void { this.set({ fill: "green", shape: "dot", text }); }
  /** Idle, waiting, paused. */
  idle(text: string): void { this.set({ fill: "grey", shape: "ring", text }); }
  /** Trouble that mends itself: backing off, retrying, held up. */
  warn(text: string): void { this.set({ fill: "yellow", shape: "ring", text }); }
  /** Stopped until somebody acts. */
  fail(text: string): void { this.set({ fill: "red", shape: "ring", text }); }

  set(status: NodeStatus): void {
    this.pending = status;
    if (this.timer) return;
    const wait = this.sentAt + this.intervalMs - Date.now();
    if (wait <= 0) { this.flush(); return; }
    this.timer = setTimeout(() => { this.timer = undefined; this.flush(); }, wait);
    this.timer.unref();
  }

  /** Sends what is pending and stops the timer (for `close`). */
  end(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.flush();
  }

  private flush(): void {
    if (!this.pending) return;
    const text = JSON.stringify(this.pending);
    if (text !== this.last) {
      this.last = text;
      this.sentAt = Date.now();
      this.node.status(this.pending);
    }
    this.pending = undefined;
  }
}
