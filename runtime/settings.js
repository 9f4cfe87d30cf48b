// Settings of Node-RED for a pipeline process. `npm start` uses them; so does
//   node-red --settings runtime/settings.js --userDir <folder> flows.json
//
// Environment:
//   PORT, HOST                   where to listen (1880 on 127.0.0.1)
//   TICKLAKE_USER_DIR            flows, warehouse, data (.ticklake in the clone)
//   TICKLAKE_HEADLESS            any value: no editor and no admin API; dashboards and HTTP nodes stay.
//                                "without-password" (the container's): so unless TICKLAKE_ADMIN_PASSWORD is set
//   TICKLAKE_ADMIN_PASSWORD      the editor and its API ask for it; the user is TICKLAKE_ADMIN_USER (admin)
//   TICKLAKE_DATA_DIRS           the only folders that csv-replay reads, separated by : (; on Windows)
//   TICKLAKE_WAREHOUSE_DIRS      the only places where tables lie: folders and s3:// prefixes, separated by commas
//   TICKLAKE_LOG                 fatal, error, warn (default), info, debug, trace
//   LOG_FORMAT                   text (default), json, gcp: see log.js
//   LOG_EXPORT                   gcp: the log goes to Google Cloud Logging's API as well: see log-export.js
//   NODE_RED_CREDENTIAL_SECRET   key that encrypts credentials; made once and kept in the user directory otherwise
const { createHash, randomBytes, timingSafeEqual } = require("node:crypto");
const { existsSync, mkdirSync, readFileSync, writeFileSync } = require("node:fs");
const { delimiter, dirname, join, resolve } = require("node:path");
const { logHandler, takeConsole } = require("./log.js");

takeConsole();

const root = dirname(__dirname);
const userDir = resolve(process.env.TICKLAKE_USER_DIR || join(root, ".ticklake"));
const password = process.env.TICKLAKE_ADMIN_PASSWORD || "";
const headless = process.env.TICKLAKE_HEADLESS === "without-password" ? password === "" : Boolean(process.env.TICKLAKE_HEADLESS);

/** The key that encrypts credentials: given, or made once and readable by this user only. */
function credentialSecret() {
  if (process.env.NODE_RED_CREDENTIAL_SECRET) return process.env.NODE_RED_CREDENTIAL_SECRET;
  const file = join(userDir, ".credential-secret");
  if (!existsSync(file)) {
    mkdirSync(userDir, { recursive: true });
    writeFileSync(file, randomBytes(32).toString("hex"), { mode: 0o600 });
  }
  return readFileSync(file, "utf8").trim();
}

/** One user, whose password comes from the environment. Digests are compared, in a time that tells nothing about them. */
function adminAuth() {
  const user = { username: process.env.TICKLAKE_ADMIN_USER || "admin", permissions: "*" };
  const digest = (text) => createHash("sha256").update(text).digest();
  const known = (name) => Promise.resolve(name === user.username ? user : null);
  return {
    type: "credentials",
    users: known,
    authenticate: (name, given) => (timingSafeEqual(digest(given), digest(password)) ? known(name) : Promise.resolve(null)),
  };
}

/** What the nodes may touch on this machine; nothing is confined where nothing is said. */
function confined() {
  const list = (variable, separator) => variable?.split(separator).map((one) => one.trim()).filter(Boolean);
  const dataDirs = list(process.env.TICKLAKE_DATA_DIRS, delimiter);
  const warehouseDirs = list(process.env.TICKLAKE_WAREHOUSE_DIRS, ",");
  return { ...(dataDirs?.length ? { dataDirs } : {}), ...(warehouseDirs?.length ? { warehouseDirs } : {}) };
}

module.exports = {
  userDir,
  flowFile: "flows.json",
  flowFilePretty: true,
  credentialSecret: credentialSecret(),

  uiPort: Number(process.env.PORT || 1880),
  // Whoever reaches the editor can run code: other machines only when somebody asks for it.
  uiHost: process.env.HOST || "127.0.0.1",
  ...(headless ? { httpAdminRoot: false, disableEditor: true } : password ? { adminAuth: adminAuth() } : {}),
  ticklake: confined(),

  // In a clone the package is the folder itself; in an image it is installed in the user directory or beside Node-RED.
  ...(existsSync(join(root, "dist", "nodes")) ? { nodesDir: root } : {}),

  // Nothing leaves this machine unasked, and no dialog stands before the first flow.
  telemetry: { enabled: false, updateNotification: false },
  editorTheme: {
    tours: false,
    page: { title: "ticklake" },
    header: { title: "ticklake" },
    projects: {},
  },
  paletteCategories: ["ticklake", "subflows", "common", "function", "network", "sequence", "parser", "storage", "dashboard 2"],

  logging: { console: { level: "off" }, ticklake: { level: process.env.TICKLAKE_LOG || "warn", metrics: false, audit: false, handler: () => logHandler() } },
  // Sinks write what they have in `close`; Node-RED's default, said aloud because data depends on it.
  nodeCloseTimeout: 15000,
  debugMaxLength: 1000,
};
