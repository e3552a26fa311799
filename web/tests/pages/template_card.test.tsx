// @vitest-environment happy-dom
import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import { lackingFiles } from "../../src/files/templates";
import { Catalog, type NodeSpec } from "../../src/model/catalog";
import { TemplateCard } from "../../src/panels/template_card";
import { FakeServer } from "../fake_server";

afterEach(cleanup);

it("a template says which weight files this server lacks, and counts no pictures people choose themselves", async () => {
  const inputs = [
    { name: "ckpt_name", type: "COMBO", presence: "required", options: {}, choices: { files: { folder: "checkpoints", media: "", also: [] } } },
    { name: "image", type: "COMBO", presence: "required", options: {}, choices: { files: { folder: "input", media: "image", also: [] } } },
  ];
  const spec = { name: "Load", title: "", category: "", inputs, outputs: [], any_input: null };
  const server = new FakeServer()
    .on("GET /catalog/nodes/Load/choices", () => ({ ckpt_name: ["here.safetensors"], image: [] }))
    .on("GET /boats.json", () => ({ nodes: ["here", "<b>gone</b>"].map((name, id) => ({ id, type: "Load", widgets_values: [`${name}.safetensors`, "cat.png"] })), links: [], version: 0.4 }));
  const boats = { title: "Boats", url: "/boats.json", picture: "/boats.webp" };
  const catalog = new Catalog({ Load: spec as unknown as NodeSpec });
  const lacks = await lackingFiles(server.client, catalog, server.session.files, [boats, { ...boats, url: "/broken.json" }]);
  expect([...lacks]).toEqual([["/boats.json", ["<b>gone</b>.safetensors"]]]);
  render(<TemplateCard client={server.client} template={boats} lacks={lacks.get("/boats.json")} onOpen={() => undefined} />);
  expect(screen.getByRole("button", { name: "Boats Missing: 1" }).getAttribute("aria-description")).toBe("Files this server does not have: <b>gone</b>.safetensors");
  expect(screen.getByText("Missing: 1")).toBeTruthy();
});

const FILE = { nodes: [{ id: 1, type: "KSampler", pos: [0, 0], size: [9, 9] }, { id: 2, type: "Note", pos: [9, 9] }], links: [], version: 0.4 };

it("a template shows the picture it has, and its graph where there is none or it does not come", async () => {
  const { client, asked } = new FakeServer().on("GET /boats.json", () => FILE);
  let numOpened = 0;
  const shown = (picture: string | null) => render(
    <TemplateCard client={client} template={{ title: "Boats", url: "/boats.json", picture }} onOpen={() => void numOpened++} />,
  ).container;
  const page = shown("/boats.webp");
  const picture = page.querySelector("img") as HTMLElement;
  expect([picture.getAttribute("src"), picture.getAttribute("alt"), page.querySelector("svg"), asked.length]).toEqual(["/boats.webp", "", null, 0]);
  const drawn = shown(null);
  await waitFor(() => expect(drawn.querySelectorAll("rect").length).toBe(2));
  fireEvent.error(picture);
  await waitFor(() => expect(page.querySelectorAll("rect").length).toBe(2));
  expect(page.querySelector("img")).toBeNull();
  for (const button of screen.getAllByRole("button", { name: "Boats" })) fireEvent.click(button);
  expect(numOpened).toBe(2);
});
