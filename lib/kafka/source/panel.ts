import type { OpenPartition, TargetPosition } from "../../delivery/types";
import { plainOffset } from "./decode";
import type { PartitionReader, ReaderState } from "./reader";

type Offset = number | string;

/** "Where is my data", of one partition. Offsets are numbers, decimal text beyond 2^53; each is the next one: everything below is committed, delivered, read. */
export interface PartitionPanel {
  readonly topic: string;
  readonly partition: number;
  readonly state: ReaderState | "paused";
  /** What is wrong, in words. */
  readonly error?: string;
  readonly committed: Offset | null;
  readonly delivered: Offset | null;
  readonly read: Offset | null;
  readonly end: Offset | null;
  /** In the log and not read yet. */
  readonly lag: number | null;
  /** Tables (and topics) that are fed, and how far they are. */
  readonly targets: readonly { readonly target: string; readonly node: string; readonly next: Offset }[];
  /** The oldest batch that is not delivered, and who holds it. Times are Unix ms. */
  readonly oldest?: {
    readonly firstOffset: Offset;
    readonly lastOffset: Offset;
    readonly since: number;
    readonly holders: readonly { readonly node: string; readonly name: string; readonly messages: number; readonly since: number; /** It has the rows and waits to make them durable. */ readonly parked: boolean }[];
  };
  readonly inFlight: { readonly batches: number; readonly records: number };
}

export function partitionPanel(reader: PartitionReader, open: OpenPartition | undefined, targets: readonly TargetPosition[], nameOf: (id: string) => string): PartitionPanel {
  const { topic, partition, state, end } = reader;
  const placed = state !== "starting";
  const lineage = open?.lineage;
  return {
    topic, partition, state: reader.userPaused && state === "reading" ? "paused" : state,
    ...(reader.error && { error: reader.error.message }),
    committed: reader.committed === undefined ? null : plainOffset(reader.committed),
    delivered: placed ? plainOffset(reader.delivered) : null,
    read: placed ? plainOffset(reader.position) : null,
    end: end === undefined ? null : plainOffset(end),
    lag: placed && end !== undefined ? Math.max(0, Number(end - reader.position)) : null,
    targets: targets.map(({ target, node, nextOffset }) => ({ target, node: nameOf(node), next: plainOffset(nextOffset) })),
    ...(open && lineage && {
      oldest: {
        firstOffset: plainOffset(lineage.firstOffset), lastOffset: plainOffset(lineage.lastOffset), since: open.openedAt,
        holders: open.holders.map(({ node, parts, since, parked }) => ({ node, name: nameOf(node), messages: parts, since, parked })),
      },
    }),
    inFlight: { batches: open?.deliveries ?? 0, records: open?.records ?? 0 },
  };
}
