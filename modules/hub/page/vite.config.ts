import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { defineConfig, type Plugin } from "vite";

// The three files are compiled into the tracker, so their names are fixed and their addresses relative: the page also
// works below a path of another server. SHOAL_PAGE_OUT names the folder (or --outDir), SHOAL_PAGE_DEPFILE a file that
// tells CMake what the page was made from.
const out = process.env.SHOAL_PAGE_OUT ?? "dist";
const depfile = process.env.SHOAL_PAGE_DEPFILE;

function write_depfile(path: string): Plugin {
  let root = "";
  return {
    name: "depfile",
    configResolved: (config) => void (root = config.root),
    buildEnd() {
      const used = [...this.getModuleIds()].map((id) => id.replace(/[\0?].*$/, "")).filter((id) => id.startsWith("/"));
      const fixed = ["index.html", "vite.config.ts", "tsconfig.json", "package-lock.json"].map((name) => resolve(root, name));
      const escaped = [...new Set([...fixed, ...used])].map((name) => name.replace(/[ #\\]/g, "\\$&"));
      writeFileSync(path, `${resolve(root, out, "index.html")}: \\\n  ${escaped.join(" \\\n  ")}\n`);
    },
  };
}

export default defineConfig({
  base: "./",
  publicDir: false,
  build: {
    outDir: out,
    emptyOutDir: true,
    sourcemap: false,
    cssCodeSplit: false,
    modulePreload: false,
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    rolldownOptions: {
      output: {
        entryFileNames: "page.js",
        assetFileNames: "page[extname]",
        codeSplitting: false,
        postBanner: "/*! Shoal monitor. Contains Preact (c) Jason Miller and uPlot (c) Leon Sorokin, both under the MIT licence. */",
      },
    },
  },
  plugins: depfile ? [write_depfile(depfile)] : [],
  test: { include: ["tests/**/*.test.ts"], environment: "node" },
} as Parameters<typeof defineConfig>[0]);
