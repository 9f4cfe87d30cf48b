import tseslint from "typescript-eslint";

/** What the core may never import: it must stay usable as a plain library, without Node-RED. */
const nodeRed = ["node-red", "node-red/*", "@node-red/*", "node-red-node-test-helper"];

export default tseslint.config(
  { ignores: ["dist/", "examples/", "node_modules/", ".stack/", ".ticklake/", ".dist-*/", ".examples-*/"] },
  ...tseslint.configs.recommended,
  {
    files: ["**/*.ts"],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/no-misused-promises": ["error", { checksVoidReturn: { arguments: false } }],
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_", caughtErrors: "none" }],
      "eqeqeq": ["error", "always", { null: "ignore" }],
    },
  },
  {
    files: ["lib/**/*.ts"],
    rules: {
      "no-restricted-imports": ["error", {
        patterns: [{ group: [...nodeRed, "**/nodes/**", "**/runtime/**", "**/test/**"], message: "lib/ knows nothing of Node-RED or of its adapters." }],
      }],
      "no-console": "error",
    },
  },
  {
    // An adapter holds no logic worth a unit test: when one grows past this, the logic belongs into lib/.
    files: ["nodes/*/*.ts"],
    ignores: ["nodes/shared/**"],
    rules: {
      "max-lines": ["error", { max: 260, skipBlankLines: true, skipComments: true }],
      "no-restricted-imports": ["error", { patterns: [{ group: ["**/test/**", "**/runtime/**"], message: "Adapters import lib/ and nodes/shared only." }] }],
    },
  },
  { files: ["lib/**/*.ts"], rules: { "max-lines": ["error", { max: 400, skipBlankLines: true, skipComments: true }] } },
  { files: ["nodes/**/*.ts"], rules: { "@typescript-eslint/no-require-imports": "off" } },
  { files: ["**/*.mjs", "**/*.cjs", "**/*.js"], rules: { "@typescript-eslint/no-unused-vars": ["error", { args: "none" }], "@typescript-eslint/no-require-imports": "off", "no-undef": "off" } },
);
