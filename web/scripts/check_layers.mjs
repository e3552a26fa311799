// Who may import whom. Lower layers know no higher one; the first three know neither React nor the browser (their
// own tsconfig has no DOM types).
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";

const MAY_IMPORT = {
  model: [],
  geometry: ["model"],
  interaction: ["model", "geometry"],
  server: ["model"],
  canvas: ["model", "geometry", "interaction"],
  nodes: ["model", "geometry", "interaction", "server", "canvas", "i18n"],
  i18n: [],
  files: ["model", "server"],
  ui: ["i18n", "model"],
  settings: ["i18n", "interaction", "canvas", "ui"],
  // These and app/ know each other by file, never in a circle.
  search: ["model", "geometry", "interaction", "canvas", "i18n", "ui", "settings", "app"],
  panels: ["model", "interaction", "server", "canvas", "i18n", "ui", "settings", "files", "search", "gallery", "app"],
  gallery: ["model", "server", "i18n", "ui", "files", "panels", "app"],
  app: [
    "model", "geometry", "interaction", "server", "canvas", "nodes", "i18n", "files", "ui", "settings", "search", "panels", "gallery",
  ],
};
const CORE = new Set(["model", "geometry", "interaction"]);
const MAX_LINES = 400;
const root = new URL("../src/", import.meta.url).pathname;
const problems = [];
const imports = new Map();

for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !/\.tsx?$/.test(entry.name)) continue;
  const path = join(entry.parentPath ?? entry.path, entry.name);
  const name = relative(root, path);
  const layer = name.split("/")[0];
  const code = readFileSync(path, "utf-8");
  if (code.split("\n").length > MAX_LINES && !name.endsWith("api_types.ts")) problems.push(`${name} is longer than ${MAX_LINES} lines`);
  const targets = [];
  for (const match of code.matchAll(/(?:from|import)\s*\(?"([^"]+)"/g)) {
    const isOwn = match[1].startsWith(".");
    if (!isOwn && CORE.has(layer)) problems.push(`${name} imports the package ${match[1]}`);
    if (!isOwn) continue;
    const target = relative(root, join(dirname(path), match[1]));
    targets.push(target);
    const other = target.split("/")[0];
    if (layer in MAY_IMPORT && other !== layer && !MAY_IMPORT[layer].includes(other)) problems.push(`${name} imports ${target}`);
  }
  imports.set(name.replace(/\.tsx?$/, ""), targets);
}

const done = new Set();
function walk(name, way) {
  if (way.includes(name)) return problems.push(`cycle: ${[...way.slice(way.indexOf(name)), name].join(" → ")}`);
  if (done.has(name)) return undefined;
  for (const target of imports.get(name) ?? []) walk(target, [...way, name]);
  return done.add(name);
}
for (const name of imports.keys()) walk(name, []);

if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exit(1);
}
console.log(`${imports.size} files, layers and cycles in order`);
