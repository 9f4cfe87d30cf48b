import { codecAvailable } from "../../lib/iceberg/parquet";
import type { Codec, Schema } from "../../lib/iceberg/types";

/** Every codec that this Node can write (zstd from 22.15 on). */
export const CODECS: Codec[] = (["snappy", "gzip", "none", "zstd"] as const).filter((codec) => codecAvailable(codec));

/** A column of every type of format version 2, nested ones included. */
export const EVERY_TYPE: Schema = {
  type: "struct", "schema-id": 0,
  fields: [
    { id: 1, name: "boolean", required: false, type: "boolean" }, { id: 2, name: "int", required: false, type: "int" }, { id: 3, name: "long", required: false, type: "long" },
    { id: 4, name: "float", required: false, type: "float" }, { id: 5, name: "double", required: false, type: "double" }, { id: 6, name: "decimal", required: false, type: "decimal(20, 4)" },
    { id: 7, name: "date", required: false, type: "date" }, { id: 8, name: "ts", required: false, type: "timestamp" }, { id: 9, name: "tz", required: false, type: "timestamptz" },
    { id: 10, name: "string", required: false, type: "string" }, { id: 11, name: "binary", required: false, type: "binary" }, { id: 12, name: "fixed", required: false, type: "fixed[4]" },
    { id: 13, name: "uuid", required: false, type: "uuid" },
    { id: 14, name: "struct", required: false, type: { type: "struct", fields: [{ id: 18, name: "Bid", required: false, type: "double" }, { id: 19, name: "ask", required: false, type: "double" }] } },
    { id: 15, name: "list", required: false, type: { type: "list", "element-id": 20, "element-required": false, element: { type: "struct", fields: [{ id: 21, name: "level", required: false, type: "int" }] } } },
    { id: 16, name: "map", required: false, type: { type: "map", "key-id": 22, key: "string", "value-id": 23, value: "long", "value-required": false } },
    { id: 17, name: "time", required: false, type: "time" },
  ],
};

/** One row with a value in every column, one with none. */
export const EVERY_TYPE_ROWS: Record<string, unknown>[] = [
  {
    boolean: true, int: -5, long: "9223372036854775807", float: 0.5, double: 1e300, decimal: "1234567890123456.7891", date: "2024-02-29", ts: "2024-11-01T10:00:00.123456", tz: "2024-11-01T12:00:00.001+02:00",
    string: "a 'quoted' \"double\" ✓😀", binary: Buffer.from([0xff, 0]), fixed: Buffer.from([0, 1, 254, 255]), uuid: "f79c3e09-677c-4bbd-a479-3f349cb785e7",
    struct: { Bid: 1.5, ask: null }, list: [{ level: 1 }, null], map: { k: 1, Ü: null }, time: "23:59:59.123456",
  },
  {},
];

/** The first row as plain values. */
export const EVERY_TYPE_PLAIN: Record<string, unknown> = {
  boolean: true, int: -5, long: "9223372036854775807", float: 0.5, double: 1e300, decimal: "1234567890123456.7891", date: "2024-02-29", ts: "2024-11-01T10:00:00.123456", tz: "2024-11-01T10:00:00.001Z",
  string: "a 'quoted' \"double\" ✓😀", binary: "/wA=", fixed: "AAH+/w==", uuid: "f79c3e09-677c-4bbd-a479-3f349cb785e7",
  struct: { Bid: 1.5, ask: null }, list: [{ level: 1 }, null], map: { k: 1, Ü: null }, time: "23:59:59.123456",
};
