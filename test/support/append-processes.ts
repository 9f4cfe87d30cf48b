import { spawn } from "node:child_process";
import { join } from "node:path";
import type { CommitPoint } from "../../lib/iceberg/catalog/types";
import type { ChildJob } from "./append-child";

const root = join(__dirname, "../..");

export const COMMIT_POINTS: readonly CommitPoint[] = [
  "before-data", "after-data", "after-manifest", "after-manifest-list", "before-metadata", "after-temp-metadata", "after-link", "before-hint", "after-hint", "after-trim",
];

/** Runs append-child.ts to its end. `killed` says whether it died as planned. */
export function runWriter(job: ChildJob, killAt?: { point: CommitPoint; count: number }): Promise<{ killed: boolean }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["--require", "tsx/cjs", join(__dirname, "append-child.ts"), JSON.stringify(job)], {
      cwd: root, stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, TICKLAKE_TEST_KILL_AT: killAt ? `${killAt.point}:${killAt.count}` : "" },
    });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (signal === "SIGKILL" && killAt) resolve({ killed: true });
      else if (code === 0) resolve({ killed: false });
      else reject(new Error(`writer ${job.writer} ended with ${signal ?? code}: ${output}`));
    });
  });
}
