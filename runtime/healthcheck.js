// The container's health check: asks the runtime in this container, ends with 0 when it is up and with 1 and a reason when not.
//
//   node runtime/healthcheck.js            /healthz: the process lives and serves
//   node runtime/healthcheck.js /readyz    the flows run and no node of ours is in error
const { get } = require("node:http");

const path = process.argv[2] || "/healthz";
const port = Number(process.env.PORT || 1880);
const end = (code, text) => { console.log(text); process.exit(code); };

get({ host: "127.0.0.1", port, path, timeout: 4000 }, (response) => {
  let body = "";
  response.setEncoding("utf8").on("data", (text) => { body += text; });
  response.on("end", () => end(response.statusCode === 200 ? 0 : 1, `${path} ${response.statusCode} ${body.slice(0, 2000)}`));
}).on("timeout", function () { this.destroy(new Error("no answer within 4 s")); })
  .on("error", (error) => end(1, `http://127.0.0.1:${port}${path}: ${error.message}`));
