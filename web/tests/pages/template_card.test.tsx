// @vitest-environment happy-dom
import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import { TemplateCard } from "../../src/panels/template_card";
import { FakeServer } from "../fake_server";

afterEach(cleanup);

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
