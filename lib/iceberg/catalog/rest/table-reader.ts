/**
 * Reads the answers about one table, one after the other. A server answers every load and every commit with the whole metadata, whose history alone is a megabyte after a
 * thousand commits: what was read before is not read again.
 */
import { itemsOf, membersOf, standsAt } from "../../json-parts";
import { parseJson } from "../../json";
import { shareHistory } from "../../metadata";
import { metadataOf } from "../../metadata-json";
import type { TableState } from "../types";
import { checkTable, type LoadedTable, parseTable } from "./answers";

/** Lists whose items never change. */
const HISTORY: ReadonlySet<string> = new Set(["snapshots", "snapshot-log"]);

/** A list as it was read: its text up to the end of the last item, and the items. */
interface History { readonly beginning: string; readonly items: readonly unknown[] }

export class TableReader {
  /** Of the last answer, by name. */
  readonly #known = new Map<string, History>();

  /**
   * @param state what is known of the table. Where the answer names the same metadata file it is taken over as it is: such a file never changes
   * @param name for errors
   * @throws TicklakeError as parseTable
   */
  read(text: string, name: string, etag: string | null, state: TableState): LoadedTable {
    const members = membersOf(text, this.#beginnings()), metadata = members?.get("metadata");
    if (!members || !metadata?.startsWith("{")) return parseTable(text, name, etag);
    let answer: Record<string, unknown>, value: unknown;
    try {
      answer = Object.fromEntries(Array.from(members, ([key, part]) => [key, key === "metadata" ? {} : parseJson(part)]));
      if (answer["metadata-location"] === state.metadataLocation) return checkTable(answer, name, etag, () => state);
      value = this.#metadata(metadata);
    } catch {
      // What is wrong, and where, the parser says best that reads all of it.
      return parseTable(text, name, etag);
    }
    const table = checkTable(answer, name, etag, (_, what) => metadataOf(value, what));
    shareHistory(table.metadata, state.metadata);
    return table;
  }

  #beginnings(): string[] {
    return Array.from(this.#known.values(), ({ beginning }) => beginning);
  }

  #metadata(text: string): unknown {
    const members = membersOf(text, this.#beginnings());
    return members ? Object.fromEntries(Array.from(members, ([key, part]) => [key, HISTORY.has(key) ? this.#list(key, part) : parseJson(part)])) : parseJson(text);
  }

  /** Commits add to the end. Where something else has happened, an expiry say, all is read. */
  #list(key: string, text: string): unknown {
    const known = this.#known.get(key);
    const added = known && addedTo(known.beginning, text);
    const items: unknown = added ? [...known.items, ...added.map(parseJson)] : parseJson(text);
    const end = text.lastIndexOf("}") + 1;
    if (Array.isArray(items) && end > 0 && added?.length !== 0) this.#known.set(key, { beginning: copyOf(text.slice(0, end)), items: [...items as unknown[]] });
    return items;
  }
}

/** A piece of a text would keep the whole of it in memory; joined with another it becomes a text of its own. */
function copyOf(piece: string): string {
  return ` ${piece}`.slice(1);
}

/** The items behind the beginning of a list; undefined where it begins otherwise. */
function addedTo(beginning: string, text: string): string[] | undefined {
  if (!standsAt(text, beginning, 0)) return undefined;
  const rest = text.slice(beginning.length).trimStart();
  if (!rest.startsWith(",")) return rest === "]" ? [] : undefined;
  const added = itemsOf(`[${rest.slice(1)}`);
  return added?.length === 0 ? undefined : added;
}
