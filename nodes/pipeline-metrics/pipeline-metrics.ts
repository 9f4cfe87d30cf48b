import type { Request, Response } from "express";
import type { NodeAPI, NodeMessage } from "node-red";
import { asTicklakeError } from "../../lib/errors";
import { parseMetricsInterval } from "../../lib/metrics/options";
import { PrometheusText } from "../../lib/metrics/prometheus";
import { Sampler, type Sample } from "../../lib/metrics/sample";
import { defineNode, short } from "../shared/define";
import { metricsOf, observe } from "../shared/observe";
import { packageVersion } from "../shared/package-version";
import { StatusLine } from "../shared/status";

/** One for all nodes and all time: the client's watch over garbage collection and event loop has no end. */
let prometheus: PrometheusText | undefined;

/** Tells the figures of all nodes of this package, in messages and to Prometheus. */
export = (RED: NodeAPI): void => {
  /** The samplers of the nodes that are deployed; the first one's rates are scraped. */
  const samplers = new Set<{ latest: Sample }>();

  defineNode(RED, "pipeline-metrics", (node, config) => {
    const intervalMs = parseMetricsInterval(config["interval"]);
    const registry = metricsOf(RED);
    observe(node, { read: () => ({}), listed: false });
    const status = new StatusLine(node, 1000);
    const sampler = new Sampler(registry);
    const self = { latest: sampler.sample(Date.now()) };
    samplers.add(self);
    let scraped = true;
    try {
      prometheus ??= new PrometheusText();
    } catch (error) {
      scraped = false;
      node.warn((error as Error).message);
    }

    const timer = setInterval(() => {
      const sample = self.latest = sampler.sample(Date.now());
      const unready = sample.nodes.find(({ ready }) => !ready);
      const count = `${sample.nodes.length} node${sample.nodes.length === 1 ? "" : "s"}`;
      if (unready) status.warn(short(`${unready.name || unready.type}: ${unready.reason ?? "not ready"}`));
      else if (!scraped) status.warn(`${count}; no prom-client, so no /ticklake/metrics`);
      else status.ok(`${count}, all ready`);
      node.send({ topic: "metrics", payload: sample } as NodeMessage);
    }, intervalMs).unref();

    node.on("close", () => {
      clearInterval(timer);
      samplers.delete(self);
      status.end();
    });
  });

  // Where HTTP nodes are served, so with their password (httpNodeAuth). Without `httpNodeRoot` there is none.
  RED.httpNode?.get("/ticklake/metrics", (_request: Request, response: Response) => {
    const [first] = samplers;
    if (!first) { response.status(404).type("text/plain").send("No pipeline-metrics node is deployed.\n"); return; }
    if (!prometheus) { response.status(501).type("text/plain").send("The optional package prom-client is not installed: npm install prom-client in Node-RED's user directory.\n"); return; }
    // Totals are those of this moment; rates those of the last look.
    const sample = withRatesOf(new Sampler(metricsOf(RED)).sample(Date.now()), first.latest);
    prometheus.text({ sample, version: packageVersion(), durations: (id) => metricsOf(RED).node(id)?.durations }).then(
      (text) => { response.setHeader("Content-Type", prometheus!.contentType); response.end(text); },
      (error: unknown) => { response.status(500).type("text/plain").send(`${asTicklakeError(error).message}\n`); },
    );
  });
};

function withRatesOf(now: Sample, before: Sample): Sample {
  const known = new Map(before.nodes.map((node) => [node.id, node]));
  return { ...now, nodes: now.nodes.map((node) => ({ ...node, inputRate: known.get(node.id)?.inputRate ?? 0, outputRate: known.get(node.id)?.outputRate ?? 0 })) };
}
