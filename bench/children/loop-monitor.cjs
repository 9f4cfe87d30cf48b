// Preloaded into Node-RED by the event-loop benchmark: prints, once a second, how late the event loop was, as `@@{...}` lines.
const { isMainThread } = require("node:worker_threads");
const { monitorEventLoopDelay } = require("node:perf_hooks");

if (isMainThread) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  let cpu = process.cpuUsage();
  setInterval(() => {
    const used = process.cpuUsage(cpu);
    cpu = process.cpuUsage();
    console.log("@@" + JSON.stringify({ ev: "loop", p50: delay.percentile(50) / 1e6, p99: delay.percentile(99) / 1e6, max: delay.max / 1e6, rss: process.memoryUsage.rss() / 1048576, ...(process.env.TICKLAKE_BENCH_MEMORY ? Object.fromEntries(Object.entries(process.memoryUsage()).map(([k, v]) => [k, Math.round(v / 1048576)])) : {}), cpu: (used.user + used.system) / 1e6 }));
    delay.reset();
  }, 1000).unref();
}
