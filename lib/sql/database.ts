/**
 * DuckDB in this process, locked down: it reads files below the folders of the tables, copies that were made for it, and nothing else, loads no
 * extension, and its settings cannot be changed by a query.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type DuckDBConnection, DuckDBInstance } from "@duckdb/node-api";
import { Turns } from "../turns";
import { makeWorkspace, removeWorkspace } from "./copies/workspace";
import { stopped } from "./errors";
import { literal } from "./names";

export interface DatabaseOptions {
  /** Threads of the engine (2). */
  threads?: number;
  /** Memory of all queries together, as DuckDB writes it ("1GB"). Beyond it, sorts and aggregates go to the temporary folder. */
  memoryLimit?: string;
  /** Queries that run at a time (2); more wait. Each occupies one of Node's few I/O threads. */
  concurrency?: number;
}

/** Queries that wait at the most: a dashboard that asks faster than it is answered must not fill the memory. */
const MAX_WAITING = 100;

interface Opened { instance: DuckDBInstance; folders: ReadonlySet<string>; users: number; retired: boolean }

/** Hands out connections. One engine serves all queries of a process; it is opened anew only when a table lies in a folder not seen before. */
export class Database {
  private opened: Promise<Opened> | undefined;
  private temporary: Promise<string> | undefined;
  private closed = false;
  private readonly turns: Turns;
  /** Functions that give another value at each call: no constants. */
  private volatile: ReadonlySet<string> | undefined;

  constructor(private readonly options: DatabaseOptions = {}) {
    this.turns = new Turns(options.concurrency ?? 2, MAX_WAITING);
  }

  /** Waits for its turn, then runs `work` with a connection of its own that is closed afterwards. */
  async use<T>(folders: readonly string[], signal: AbortSignal | undefined, work: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
    await this.turn(signal);
    try {
      const opened = await this.open(folders);
      opened.users++;
      let connection: DuckDBConnection | undefined;
      let again: NodeJS.Timeout | undefined;
      // An interrupt stops the statement that runs at that moment, and is lost between two: it is repeated until the work ends.
      const interrupt = (): void => {
        connection?.interrupt();
        again ??= setInterval(interrupt, 20);
      };
      try {
        connection = await opened.instance.connect();
        signal?.addEventListener("abort", interrupt, { once: true });
        if (signal?.aborted) throw stopped();
        return await work(connection);
      } finally {
        signal?.removeEventListener("abort", interrupt);
        clearInterval(again);
        connection?.disconnectSync();
        opened.users--;
        retire(opened);
      }
    } finally {
      this.turns.end();
    }
  }

  /** Names of functions whose calls are no constants. */
  async volatileFunctions(connection: DuckDBConnection): Promise<ReadonlySet<string>> {
    if (!this.volatile) {
      const reader = await connection.runAndReadAll("SELECT DISTINCT lower(function_name) FROM duckdb_functions() WHERE stability = 'VOLATILE' OR function_type <> 'scalar'");
      this.volatile = new Set(reader.getRows().map(([name]) => String(name)));
    }
    return this.volatile;
  }

  /** Words of SQL, lower case. */
  async keywords(connection: DuckDBConnection): Promise<ReadonlySet<string>> {
    const reader = await connection.runAndReadAll("SELECT lower(keyword_name) FROM duckdb_keywords()");
    return new Set(reader.getRows().map(([word]) => String(word)));
  }

  /** Closes the engine; queries under way end by their own signal. */
  async close(): Promise<void> {
    this.closed = true;
    this.turns.wake();
    const opened = await this.opened?.catch(() => undefined);
    this.opened = undefined;
    if (opened) {
      opened.retired = true;
      retire(opened);
    }
    const folder = await this.temporary?.catch(() => undefined);
    if (folder) await removeWorkspace(folder);
  }

  /** The folder for copies of data files: the engine may read there, and `close` removes it. */
  async copies(): Promise<string> {
    return join(await this.workspace(), "copies");
  }

  private workspace(): Promise<string> {
    return this.temporary ??= makeWorkspace().then(async (folder) => {
      for (const part of ["copies", "spill"]) await mkdir(join(folder, part), { mode: 0o700 });
      return folder;
    });
  }

  private async turn(signal: AbortSignal | undefined): Promise<void> {
    await this.turns.begin();
    if (!this.closed && !signal?.aborted) return;
    this.turns.end();
    throw stopped();
  }

  private async open(folders: readonly string[]): Promise<Opened> {
    const before = await this.opened?.catch(() => undefined);
    if (before && folders.every((folder) => before.folders.has(folder))) return before;
    // Several queries may come here at once: each opening builds on the one before it.
    const chain = this.opened;
    const next = (async () => {
      const previous = await chain?.catch(() => undefined);
      if (previous && folders.every((folder) => previous.folders.has(folder))) return previous;
      const opened = await this.start(new Set([...(previous?.folders ?? []), ...folders]));
      if (previous) {
        previous.retired = true;
        retire(previous);
      }
      return opened;
    })();
    this.opened = next;
    return next;
  }

  private async start(folders: ReadonlySet<string>): Promise<Opened> {
    const workspace = await this.workspace();
    const instance = await DuckDBInstance.create(":memory:", {
      threads: String(this.options.threads ?? 2),
      memory_limit: this.options.memoryLimit ?? "1GB",
      temp_directory: join(workspace, "spill"),
      autoinstall_known_extensions: "false",
      autoload_known_extensions: "false",
      errors_as_json: "true",
    });
    const connection = await instance.connect();
    for (const setting of [
      "GLOBAL TimeZone = 'UTC'",
      "GLOBAL parquet_metadata_cache = true",
      // Blocks of files are the operating system's to keep; and a copy's are filled in as queries need them.
      "GLOBAL enable_external_file_cache = false",
      `allowed_directories = [${[...folders, await this.copies()].map(literal).join(", ")}]`,
      "enable_external_access = false",
      "lock_configuration = true",
    ]) await connection.run(`SET ${setting}`);
    connection.disconnectSync();
    return { instance, folders, users: 0, retired: false };
  }
}

function retire(opened: Opened): void {
  if (opened.retired && opened.users === 0) opened.instance.closeSync();
}
