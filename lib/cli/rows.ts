/** Rows of a query as text. Pure. */

/** As a table with a line under the head; numbers stand to the right. */
export function rowsAsTable(columns: readonly string[], rows: readonly Readonly<Record<string, unknown>>[]): string {
  const cells = rows.map((row) => columns.map((name) => cell(row[name])));
  const right = columns.map((name) => rows.length > 0 && rows.every((row) => row[name] === null || typeof row[name] === "number" || /^-?[\d,]+(\.\d+)?$/.test(String(row[name]))));
  const widths = columns.map((name, k) => Math.max(name.length, ...cells.map((line) => line[k]!.length), 1));
  const line = (words: readonly string[]): string => words.map((word, k) => (right[k] ? word.padStart(widths[k]!) : word.padEnd(widths[k]!))).join("  ").trimEnd();
  return [line(columns), widths.map((width) => "-".repeat(width)).join("  "), ...cells.map(line)].join("\n");
}

/** One JSON object per line, which programs read as they come. */
export function rowsAsJson(rows: readonly Readonly<Record<string, unknown>>[]): string {
  return rows.map((row) => JSON.stringify(row)).join("\n");
}

/** RFC 4180 with a head: quotes where they are needed, nothing for null. */
export function rowsAsCsv(columns: readonly string[], rows: readonly Readonly<Record<string, unknown>>[]): string {
  const field = (value: unknown): string => {
    const text = value === null || value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
    return /[",\r\n]/.test(text) || (text === "" && value === "") ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...rows.map((row) => columns.map((name) => row[name]))].map((line) => line.map(field).join(",")).join("\n");
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return "NULL";
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  // A line break or a control character would break the table, or steer the terminal.
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, " ");
}
