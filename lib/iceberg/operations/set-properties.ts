/** Table properties: set and removed in one commit. */
import { TicklakeError } from "../../errors";
import type { Table } from "../catalog/types";
import { commitChange, type Proposal } from "../commit-change";
import type { TableMetadata } from "../types";
import type { MetadataUpdate } from "../updates";
import { WATERMARKS } from "../watermarks";
import type { OperationContext } from "./context";

export interface PropertiesChange { readonly set?: Readonly<Record<string, string>>; readonly remove?: readonly string[] }

export interface PropertiesResult {
  /** What the table has afterwards, our own bookkeeping left out. */
  readonly properties: Readonly<Record<string, string>>;
  readonly set: readonly string[];
  readonly removed: readonly string[];
}

/** Names that Iceberg keeps for what is no property. */
const RESERVED: ReadonlySet<string> = new Set([
  "format-version", "uuid", "snapshot-count", "current-snapshot-summary", "current-snapshot-id", "current-snapshot-timestamp-ms", "current-schema", "default-partition-spec", "default-sort-order",
]);

/** @throws TicklakeError CONFIG_INVALID for names that are no properties, and what commitChange throws */
export async function setProperties(table: Table, change: PropertiesChange, context: OperationContext = {}): Promise<PropertiesResult> {
  const { set = {}, remove = [] } = change;
  for (const name of [...Object.keys(set), ...remove]) checkName(name);
  const twice = remove.find((name) => Object.hasOwn(set, name));
  if (twice !== undefined) throw new TicklakeError("CONFIG_INVALID", `The property ${twice} cannot be set and removed at once.`);
  const before = (await table.refresh()).metadata;
  if (context.dryRun) return result(before, { ...without(before.properties, remove), ...set }, change);
  const done = await commitChange(table, {
    what: "the change of properties is in",
    build: async ({ metadata }): Promise<Proposal<undefined> | undefined> => {
      const updates: MetadataUpdate[] = [];
      const setting = Object.entries(set).filter(([name, value]) => metadata.properties[name] !== value);
      const removals = remove.filter((name) => Object.hasOwn(metadata.properties, name));
      if (setting.length > 0) updates.push({ action: "set-properties", updates: Object.fromEntries(setting) });
      if (removals.length > 0) updates.push({ action: "remove-properties", removals });
      return updates.length > 0 ? { updates, value: undefined } : undefined;
    },
    landed: ({ metadata: { properties } }) => Object.entries(set).every(([name, value]) => properties[name] === value) && !remove.some((name) => Object.hasOwn(properties, name)),
  }, context, context.tools);
  return result(before, (done?.state ?? table.state).metadata.properties, change);
}

function checkName(name: string): void {
  if (name.trim() === "") throw new TicklakeError("CONFIG_INVALID", "A property needs a name.");
  if (RESERVED.has(name)) throw new TicklakeError("CONFIG_INVALID", `${name} is no property that can be set; Iceberg keeps the name for itself.`);
  if (name === WATERMARKS) throw new TicklakeError("CONFIG_INVALID", `${name} holds how far Kafka was read and must fit the rows of the table. Use reset-offsets to read again.`);
}

function result({ properties: before }: TableMetadata, after: Readonly<Record<string, string>>, { set = {}, remove = [] }: PropertiesChange): PropertiesResult {
  return {
    properties: without(after, [WATERMARKS]),
    set: Object.keys(set).filter((name) => before[name] !== set[name]), removed: remove.filter((name) => Object.hasOwn(before, name)),
  };
}

function without(properties: Readonly<Record<string, string>>, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(Object.entries(properties).filter(([name]) => !names.includes(name)));
}
