module.exports = {
  require: ["tsx/cjs"],
  extension: ["ts"],
  timeout: 20000,
  "node-option": ["no-warnings=ExperimentalWarning"],
};
