/** A member of a group in a process of its own, to be stopped and continued: prints what it is told, a line each. */
import { Recorder, keyOf } from "./kafka-consumer";

const [brokers, groupId, topic, sessionTimeoutMs] = process.argv.slice(2) as [string, string, string, string];
const recorder = new Recorder(brokers, { topics: [topic], groupId, sessionTimeoutMs: Number(sessionTimeoutMs), onRecords: (set) => say(`records ${keyOf(set)} ${set.offset(0)}`) });
let told = 0;

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

setInterval(() => {
  for (; told < recorder.log.length; told++) say(recorder.log[told]!);
}, 5);
// What it would commit goes on being committed: a zombie does not know that it is one.
setInterval(() => {
  for (const [key, offset] of recorder.next) {
    const [name, partition] = key.split("/") as [string, string];
    recorder.consumer.commit([{ topic: name, partition: Number(partition), offset }]).then(() => say(`committed ${key} ${offset}`), (error: Error) => say(`refused ${key} ${(error as { code?: string }).code}`));
  }
}, 100);
