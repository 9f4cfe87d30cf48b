// Loaded before node-red-dev (node --require): answers its look-ups in the public catalogue of nodes, which a closed network
// does not reach, with an empty catalogue. Everything else of the scorecard runs as it is.
const Module = require("node:module");
const load = Module._load;
Module._load = function (request, parent, isMain) {
  const loaded = load.call(this, request, parent, isMain);
  if (request !== "axios" || loaded.__offline) return loaded;
  const get = loaded.get.bind(loaded);
  loaded.get = (url, ...rest) => (String(url).startsWith("https://catalogue.nodered.org/")
    ? Promise.resolve({ data: { modules: [] } })
    : get(url, ...rest));
  loaded.__offline = true;
  return loaded;
};
