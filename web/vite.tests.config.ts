import { readdirSync } from "node:fs";
import { defineConfig } from "vite";

/** Bundles the unit tests for Node, which runs no TypeScript before version 23. `npm run test` runs them. */
export default defineConfig({
  build: {
    ssr: true,
    outDir: "node_modules/.unit-tests",
    emptyOutDir: true,
    target: "node20",
    rolldownOptions: {
      input: readdirSync("tests")
        .filter((name) => name.endsWith(".test.ts"))
        .map((name) => `tests/${name}`),
      output: { entryFileNames: "[name].mjs" },
    },
  },
});
