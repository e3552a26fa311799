// Fails when what a first visit loads (the page's scripts and everything they import at once) is over the budget.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const BUDGET_BYTES = 350 * 1024;
const root = new URL("../dist/", import.meta.url).pathname;
const page = readFileSync(join(root, "index.html"), "utf-8");
const waiting = [...page.matchAll(/(?:src|href)="\/(static\/[^"]+\.js)"/g)].map((match) => match[1]);
const first = new Set();
for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
  if (first.has(name)) continue;
  first.add(name);
  const code = readFileSync(join(root, name), "utf-8");
  // Static imports only: import("…") is loaded later.
  for (const match of code.matchAll(/(?:\bfrom|\bimport)\s*"\.\/([^"]+\.js)"/g)) waiting.push(`static/${match[1]}`);
}
let total = 0;
for (const name of first) total += gzipSync(readFileSync(join(root, name)), { level: 9 }).length;
const late = readdirSync(join(root, "static")).filter((name) => name.endsWith(".js") && !first.has(`static/${name}`));
console.log(`first load: ${(total / 1024).toFixed(1)} KB of gzip JavaScript in ${first.size} files; ${late.length} files later`);
if (first.size === 0 || total > BUDGET_BYTES) {
  console.error(`The budget is ${BUDGET_BYTES / 1024} KB in at least one file.`);
  process.exit(1);
}
