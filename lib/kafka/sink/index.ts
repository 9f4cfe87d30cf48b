import type { KafkaSink, KafkaSinkDeps } from "./contract";
import { PlainSink } from "./plain-sink";
import { TransactionalSink } from "./transactional-sink";

/** The sink that the options ask for. */
export function openKafkaSink(deps: KafkaSinkDeps): KafkaSink {
  return deps.options.transactional ? new TransactionalSink(deps) : new PlainSink(deps);
}
