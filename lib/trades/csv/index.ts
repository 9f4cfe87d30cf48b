export * from "./cursor";
export * from "./dialects";
export * from "./file";
export type { RejectedRow, ReadPosition } from "./reader";
export * from "./source";
