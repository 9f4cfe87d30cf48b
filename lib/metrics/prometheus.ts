import { createRequire } from "node:module";
import type * as Client from "prom-client";
import { TicklakeError } from "../errors";
import { METRICS, type Look, type Metric } from "./catalogue";

/** Prometheus text of our figures and of the process (CPU, memory, event loop, garbage collection). */
export class PrometheusText {
  private readonly register: Client.Registry;
  private look!: Look;

  /**
   * @param load gives the client; by default the optional package prom-client
   * @throws TicklakeError CONFIG_INVALID saying how to install it
   */
  constructor(load: () => typeof Client = installed) {
    const client = load();
    this.register = new client.Registry();
    for (const metric of METRICS) this.register.registerMetric(this.collected(metric));
    client.collectDefaultMetrics({ register: this.register });
  }

  get contentType(): string { return this.register.contentType; }

  async text(look: Look): Promise<string> {
    this.look = look;
    return this.register.metrics();
  }

  /** What the client asks of a metric: our nodes count themselves, so nothing is counted a second time. */
  private collected({ name, help, type, values }: Metric): Client.Metric {
    const get = (): Promise<object> => Promise.resolve({ name, help, type, aggregator: "sum", values: values(this.look) });
    return { name, help, type, get } as unknown as Client.Metric;
  }
}

function installed(): typeof Client {
  try {
    return createRequire(__filename)("prom-client") as typeof Client;
  } catch (cause) {
    throw new TicklakeError("CONFIG_INVALID", "The optional package prom-client is not installed, so /ticklake/metrics has nothing to answer: run npm install prom-client in Node-RED's user directory, and restart. Messages of this node come all the same.", { cause });
  }
}
