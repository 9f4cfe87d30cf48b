/** Versions of Pinot, and what differs between them. Pure. */

export interface PinotVersion {
  /** `1.5.1`; `unknown` where the controller does not tell. */
  readonly text: string;
  readonly major: number;
  readonly minor: number;
}

/** Where nothing is known, what today's releases do. */
const UNKNOWN: PinotVersion = { text: "unknown", major: 1, minor: 5 };

/**
 * The version of a controller.
 *
 * @param body what `GET /version` answers: component -> `1.5.1-<commit>`
 */
export function parseVersion(body: unknown): PinotVersion {
  const components = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  for (const name of ["pinot-controller", "pinot-common", "pinot-spi", ...Object.keys(components)]) {
    const [, text, major, minor] = /^((\d+)\.(\d+)(?:\.\d+)?)/.exec(String(components[name] ?? "")) ?? [];
    if (text !== undefined) return { text, major: Number(major), minor: Number(minor) };
  }
  return UNKNOWN;
}

export const isAtLeast = ({ major, minor }: PinotVersion, wantedMajor: number, wantedMinor: number): boolean => major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);

/** Whether a cluster of that version folds the case of names unless it is told not to: since 1.0. */
export const foldsByDefault = (version: PinotVersion): boolean => isAtLeast(version, 1, 0);

/** The plugin that reads Kafka: the one of Kafka 2.0 until 1.0, that of 3.0 since 1.1. */
export const kafkaPlugin = (version: PinotVersion): "kafka20" | "kafka30" => (isAtLeast(version, 1, 1) ? "kafka30" : "kafka20");
