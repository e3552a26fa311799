import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseAst } from "vite";
import { describe, expect, it } from "vitest";

const SOURCE = new URL("../../src/", import.meta.url).pathname;
/** Attributes people read or hear. */
const READ = new Set(["aria-label", "title", "placeholder", "alt", "label", "aria-description", "aria-valuetext"]);
const WORD = /\p{L}{2,}/u;
/** Names of keys are the same in every language. */
const KEYS = /^(Ctrl|Shift|Alt|Enter|\W|[A-Z])+$/;

interface Tree {
  readonly type: string;
  readonly [key: string]: unknown;
}

function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && typeof (value as Tree).type === "string";
}

function below(node: Tree): Tree[] {
  return Object.values(node).flatMap((value) => (Array.isArray(value) ? value : [value])).filter(isTree);
}

/** The literal texts an expression may come out as; what is said by a function is no literal. */
function texts(node: unknown): string[] {
  if (!isTree(node)) return [];
  switch (node.type) {
    case "JSXText": case "Literal": return typeof node.value === "string" ? [node.value] : [];
    case "TemplateLiteral": return (node.quasis as { value: { raw: string } }[]).map((part) => part.value.raw);
    case "ConditionalExpression": return [...texts(node.consequent), ...texts(node.alternate)];
    case "LogicalExpression": return node.operator === "&&" ? texts(node.right) : [...texts(node.left), ...texts(node.right)];
    case "BinaryExpression": return node.operator === "+" ? [...texts(node.left), ...texts(node.right)] : [];
    case "JSXExpressionContainer": return texts(node.expression);
    default: return [];
  }
}

function bare(node: Tree): string[] {
  const own = node.type === "JSXElement" || node.type === "JSXFragment"
    ? (node.children as unknown[]).flatMap(texts)
    : node.type === "JSXAttribute" && READ.has(String((node.name as Tree).name)) ? texts(node.value)
    : node.type === "CallExpression" && isTree(node.callee) && node.callee.type === "MemberExpression"
      && (node.callee.property as Tree).name === "say" ? (node.arguments as unknown[]).slice(0, 1).flatMap(texts)
    : [];
  return [...own.filter((text) => WORD.test(text) && !KEYS.test(text.trim())), ...below(node).flatMap(bare)];
}

describe("the source of the page", () => {
  it("holds no text in one language alone: everything people read is said by its key", () => {
    const found = readdirSync(SOURCE, { recursive: true, encoding: "utf-8" }).filter((name) => /\.tsx?$/.test(name)).flatMap((name) =>
      bare(parseAst(readFileSync(join(SOURCE, name), "utf-8"), { lang: name.endsWith("x") ? "tsx" : "ts" }) as unknown as Tree)
        .map((text) => `${name}: ${text.trim()}`));
    expect(found).toEqual([]);
  });

  it("would be caught: attributes, children, conditions and messages", () => {
    const wrong = (code: string) => bare(parseAst(code, { lang: "tsx" }) as unknown as Tree);
    expect(wrong('<p title="Hello there">Hi all {isOn ? "yes" : `no ${x}`}</p>')).toEqual(["Hi all ", "yes", "no ", "Hello there"]);
    expect(wrong('session.say("It broke", true)')).toEqual(["It broke"]);
    expect(wrong('<p title="Ctrl+Enter" className="flex">{say("app.close")}</p>')).toEqual([]);
  });
});
