import { deflateSync, zlibSync } from "fflate";
import { describe, expect, it } from "vitest";
import { missingIn } from "../../src/files/missing";
import { textsOf } from "../../src/files/picture_metadata";
import { UnreadableFile, workflowIn } from "../../src/files/reading";
import type { JsonObject } from "../../src/model/json";
import { loadWorkflow } from "../../src/model/workflow_file";
import { referenceCatalog } from "../reference_catalog";

const bytes = (text: string) => new TextEncoder().encode(text);
const WORKFLOW = '{"nodes":[{"id":1,"type":"Ä","pos":[0,0]}],"links":[],"seed":18446744073709551615,"version":0.4}';

function joined(...parts: readonly (readonly number[] | Uint8Array)[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

function big(value: number): number[] {
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
}
const small = (value: number) => big(value).reverse();

function png(kind: string, body: Uint8Array): Uint8Array {
  const chunk = (name: string, data: Uint8Array) => joined(big(data.length), bytes(name), data, [0, 0, 0, 0]);
  return joined([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a], chunk(kind, body), chunk("IEND", new Uint8Array()));
}

function webp(text: string): Uint8Array {
  const value = bytes(`${text}\0`);
  const entry = [0x10, 0x01, 2, 0, ...small(value.length), ...small(26)];
  const block = joined(bytes("II"), [42, 0], small(8), [1, 0], entry, small(0), value);
  return joined(bytes("RIFF"), small(0), bytes("WEBP"), bytes("EXIF"), small(block.length), block, [0]);
}

describe("the texts of pictures", () => {
  it("are read from every kind of chunk a PNG has for them", () => {
    const name = bytes("workflow\0");
    const text = bytes(WORKFLOW);
    for (const data of [
      png("tEXt", joined(name, text)),
      png("zTXt", joined(name, [0], zlibSync(text))),
      png("iTXt", joined(name, [0, 0, 0, 0], text)),
      png("iTXt", joined(name, [1, 0, 0, 0], zlibSync(text))),
    ]) expect(textsOf(data).get("workflow")).toBe(WORKFLOW);
  });

  it("are read from WebP and from the header of a latent", () => {
    expect(textsOf(webp(`Workflow:${WORKFLOW}`)).get("workflow")).toBe(WORKFLOW);
    const header = bytes(JSON.stringify({ __metadata__: { workflow: WORKFLOW } }));
    expect(textsOf(joined(small(header.length), [0, 0, 0, 0], header)).get("workflow")).toBe(WORKFLOW);
  });

  it("are none where a file is cut or lies about its lengths", () => {
    const whole = png("tEXt", joined(bytes("workflow\0"), bytes(WORKFLOW)));
    for (let end = 0; end < whole.length; end += 7) expect(() => textsOf(whole.subarray(0, end))).not.toThrow();
    expect(textsOf(webp("workflow:x").subarray(0, 30)).size).toBe(0);
    expect(textsOf(png("zTXt", joined(bytes("workflow\0"), [0], deflateSync(bytes("x")).subarray(1)))).get("workflow")).not.toBe("x");
    expect(textsOf(joined([255, 255, 255, 255, 255, 255, 255, 255], bytes("{}"))).size).toBe(0);
  });
});

describe("a dropped file", () => {
  it("gives its workflow with whole numbers as they are", () => {
    const value = workflowIn(png("tEXt", joined(bytes("workflow\0"), bytes(WORKFLOW))), "a.png") as JsonObject;
    expect(value.seed).toBe(18446744073709551615n);
    expect(workflowIn(bytes(WORKFLOW), "a.json")).toEqual(value);
  });

  it("says why it cannot be opened", () => {
    const reason = (data: Uint8Array, name: string) => {
      try {
        return workflowIn(data, name);
      } catch (error) {
        return (error as UnreadableFile).reason;
      }
    };
    expect(reason(bytes("{"), "a.json")).toBe("file.notJson");
    expect(reason(bytes(""), "a.json")).toBe("file.notJson");
    expect(reason(bytes('{"1":{"class_type":"A","inputs":{}}}'), "a.json")).toBe("file.apiFormat");
    expect(reason(bytes("GIF89a"), "a.gif")).toBe("file.noGraph");
  });
});

describe("what is missing", () => {
  it("is listed once, files with the folder they belong in", () => {
    const node = (id: number, type: string, values: readonly string[]) => ({ id, type, widgets_values: values });
    const document = loadWorkflow({
      nodes: [node(1, "CheckpointLoaderSimple", ["a.safetensors"]), node(2, "CheckpointLoaderSimple", ["b.safetensors"]), node(3, "Nobody's", [])],
      links: [], version: 0.4,
    });
    const found = missingIn(document, referenceCatalog(), () => ["b.safetensors"]);
    expect(found).toEqual({ types: ["Nobody's"], files: [{ name: "a.safetensors", folder: "checkpoints", source: null }] });
  });

  it("is listed with the terms the file states, whether it can be fetched or not", () => {
    const models = [{ name: "a.safetensors", directory: "checkpoints", license: "Open RAIL" }];
    const document = loadWorkflow({
      nodes: [{ id: 1, type: "CheckpointLoaderSimple", widgets_values: ["a.safetensors"], properties: { models } }], links: [], version: 0.4,
    });
    const { files } = missingIn(document, referenceCatalog(), () => []);
    expect(files).toEqual([{ name: "a.safetensors", folder: "checkpoints", source: null, license: "Open RAIL" }]);
  });

  it("can be fetched where the file says from where, and only over HTTPS as safetensors", () => {
    const sha256 = "AB".repeat(32);
    const model = (name: string, url: string, more = {}) => ({ name, url, directory: "checkpoints", ...more });
    const node = (id: number, value: string, models: JsonObject[]) =>
      ({ id, type: "CheckpointLoaderSimple", widgets_values: [value], properties: { models } });
    const document = loadWorkflow({
      nodes: [
        node(1, "sd/a.safetensors", [model("a.safetensors", "https://hub.test/a", { hash: sha256, hash_type: "SHA256" })]),
        node(2, "b.safetensors", [model("b.safetensors", "http://hub.test/b")]),
        node(3, "c.ckpt", [model("c.ckpt", "https://hub.test/c")]),
        node(4, "d.safetensors", []),
        node(5, "e.safetensors", [model("e.safetensors", "https://hub.test/e", { hash: "12", hash_type: "md5" })]),
      ],
      links: [], version: 0.4, models: [model("d.safetensors", "https://hub.test/d"), 7, { name: 8 }],
    } as unknown as JsonObject);
    const { files } = missingIn(document, referenceCatalog(), () => []);
    expect(files.map(({ name, source }) => [name, source])).toEqual([
      ["sd/a.safetensors", { url: "https://hub.test/a", sha256 }], ["b.safetensors", null], ["c.ckpt", null],
      ["d.safetensors", { url: "https://hub.test/d" }], ["e.safetensors", { url: "https://hub.test/e" }],
    ]);
  });
});
