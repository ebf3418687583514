// Bundles the page into one classic script, since a page on disk may load no modules. `make page` runs it.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const into = here("../../animatic/review/static/");

process.chdir(here("."));

const { outputFiles, metafile } = await build({
  entryPoints: [here("src/main.js")],
  absWorkingDir: here("."),
  bundle: true,
  minify: true,
  format: "iife",
  target: ["chrome111", "firefox115", "safari16.4"],
  charset: "utf8",
  legalComments: "none",
  metafile: true,
  write: false,
});

// Observable Plot puts this style into each of its pictures; the page's policy allows it by its hash.
const source = await readFile(here("node_modules/@observablehq/plot/src/plot.js"), "utf8");
const named = await readFile(here("node_modules/@observablehq/plot/src/style.js"), "utf8");
const style = /\.text\(\s*`([^`]+)`/.exec(source)[1].replaceAll("${className}", /return "(plot-[0-9a-f]+)"/.exec(named)[1]);
const hash = createHash("sha256").update(style).digest("base64");

// All that others wrote and that is in the bundle, each with its version, licence and what was taken of it.
const files = new Map();
const [{ inputs }] = Object.values(metafile.outputs);
for (const path of Object.keys(inputs).sort().filter((each) => inputs[each].bytesInOutput)) {
  const part = /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1];
  if (part) files.set(part, [...(files.get(part) || []), path]);
}
const table = [], texts = [];
for (const [part, paths] of files) {
  const { version, license } = JSON.parse(await readFile(here(`node_modules/${part}/package.json`)));
  const digest = createHash("sha256");
  for (const path of paths) digest.update(await readFile(here(path)));
  table.push(`${part.padEnd(22)} ${version.padEnd(8)} ${license.padEnd(11)} ${digest.digest("hex")}`);
  const name = (await readdir(here(`node_modules/${part}`))).find((each) => /^licen[cs]e/i.test(each));
  texts.push(`${part} ${version}\n\n${(await readFile(here(`node_modules/${part}/${name}`), "utf8")).trim()}\n`);
}
const notice = "Parts of page.js that others wrote, with the SHA-256 of the files that were taken of each.\n\n";
await writeFile(`${into}LICENSES.txt`, `${notice}${table.join("\n")}\n\n${"-".repeat(80)}\n\n${texts.join("\n" + "-".repeat(80) + "\n\n")}`);

const head = [
  `// The review page of animatic, made by \`make page\` from tools/page. Do not edit.`,
  `// It holds Preact, htm, Observable Plot and D3, which others wrote: see LICENSES.txt.`,
  `// styles of charts: 'sha256-${hash}'`,
];
await writeFile(`${into}page.js`, `${head.join("\n")}\n${outputFiles[0].text}`);
