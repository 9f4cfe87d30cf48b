// Alpaca's official SDK as the client of bench/alpaca.ts: counts trades, prints `@@{...}` lines as Node-RED does there.
const { Alpaca } = require("@alpacahq/alpaca-trade-api");

const [url, total] = process.argv.slice(2);
const stream = new Alpaca({ keyId: "test-key", secret: "test-secret" }).marketData.stockStream({ url });
let count = 0;
const late = [];
stream.onTrade((trade) => {
  count++;
  if (process.env.BENCH_LATENCY) late.push(Date.now() - trade.timestamp.getTime());
  if (count === 1 || count === Number(total)) console.log("@@" + JSON.stringify({ ev: count === 1 ? "first" : "done", at: Date.now(), count, late }));
});
stream.onConnect(() => stream.subscribeForTrades(["*"]));
stream.connect();
