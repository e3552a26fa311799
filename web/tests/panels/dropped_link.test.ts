import { describe, expect, it } from "vitest";
import { fileBehind, ownLink } from "../../src/files/dropped_link";
import { Client } from "../../src/server/client";

const HERE = "http://127.0.0.1:8188";

describe("a dropped link", () => {
  it("is taken when it is one of this server, and no other", () => {
    expect(ownLink(`# a list\r\nhttps://elsewhere.example/a.png\r\n${HERE}/view?filename=a.png`, HERE)).toBe("/view?filename=a.png");
    for (const list of ["", "no address", "https://elsewhere.example/a.png", "javascript:alert(1)", "data:image/png,x"]) {
      expect(ownLink(list, HERE)).toBeNull();
    }
  });

  it("becomes a file named as its address says, with the ending of what it is", async () => {
    const asked: string[] = [];
    const client = new Client((url) => {
      asked.push(url);
      return Promise.resolve(new Response("x", { headers: { "Content-Type": "image/webp" } }));
    });
    const files = [await fileBehind(client, "/api/v1/assets/7f3a"), await fileBehind(client, "/view?filename=%C3%84.png&type=output")];
    expect(files.map((file) => file.name)).toEqual(["7f3a.webp", "Ä.png"]);
    expect([files[0]?.type, await files[0]?.text(), asked.length]).toEqual(["image/webp", "x", 2]);
  });
});
