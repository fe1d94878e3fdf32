import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const COMPRESSED = /\.(js|css|svg)$/;

/** Writes a compressed copy beside each text file, which the API sends to browsers that accept it. */
function compressed(): Plugin {
  return {
    name: "compressed",
    writeBundle(options) {
      const folder = join(options.dir ?? ".", "assets");
      for (const name of readdirSync(folder).filter((file) => COMPRESSED.test(file))) {
        writeFileSync(join(folder, `${name}.gz`), gzipSync(readFileSync(join(folder, name)), { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  base: "./", // the page works below any path
  plugins: [react(), compressed()],
  build: {
    outDir: "../api/studio",
    emptyOutDir: true,
    license: { fileName: "licences.md" }, // the licences of the packages in the build ask for their text
    assetsInlineLimit: 0, // the Content-Security-Policy allows no data URLs
    modulePreload: { polyfill: false },
    target: "es2022",
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8000", "/files": "http://127.0.0.1:8000" } },
});
