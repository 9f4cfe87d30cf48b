export { releaseBatch } from "./memory";
export type { ColumnBatch, ColumnData } from "./batch";
export { ColumnAccumulator, type Reject, type RowRange } from "./accumulator";
export type { BulkColumn, BulkRows, CodeDictionary } from "./bulk";
export { carryColumns, originsById, type Origins } from "./carry";
