// @vitest-environment happy-dom
import { cleanup, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, expect, it } from "vitest";
import { selectionOf } from "../../src/model/selection";
import PropertiesPanel from "../../src/panels/properties_panel";
import { preferences } from "../../src/settings/preferences";
import { FakeServer } from "../fake_server";
import { referenceCatalog } from "../reference_catalog";

afterEach(cleanup);

const FILE = {
  version: 0.4, last_node_id: 1, last_link_id: 0, links: [], groups: [],
  nodes: [{ id: 1, type: "KSampler", pos: [0, 0], size: [200, 100], inputs: [], outputs: [], widgets_values: [0, "fixed", 20, 8, "euler", "normal", 1] }],
};

async function opened() {
  const { session } = new FakeServer();
  session.store.setState({ catalog: referenceCatalog() });
  await session.openValue(FILE);
  const { open } = session.store.getState();
  open.select(selectionOf({ nodes: ["1"] }));
  render(<PropertiesPanel session={session} onClose={() => undefined} />);
  const type = async (name: string, text: string) => {
    const field = screen.getByRole<HTMLInputElement>("textbox", { name });
    await userEvent.clear(field);
    await userEvent.type(field, text);
  };
  const values = () => {
    const list = open.document.graphs.get("")?.nodes.byId.get("1")?.widgets_values as readonly unknown[];
    return { seed: list[0], steps: list[2], cfg: list[3] };
  };
  return { type, values };
}

it("values are found by words, changed ones are shown alone and put back, and a star brings one to the front", async () => {
  const { values } = await opened();
  const names = () => screen.getAllByRole("button", { name: /^Star for / }).map((button) => button.getAttribute("aria-label")?.slice(9));
  expect(names()).toEqual(["seed", "steps", "cfg", "sampler_name", "scheduler", "denoise"]);
  await userEvent.type(screen.getByRole("searchbox", { name: "Find a value" }), "S eul");
  expect(names()).toEqual(["sampler_name"]);
  await userEvent.clear(screen.getByRole("searchbox"));
  await userEvent.type(screen.getByRole("textbox", { name: "steps" }), "{ArrowUp}{Shift>}{ArrowUp}{/Shift}");
  expect(values().steps).toBe(31);
  await userEvent.click(screen.getByRole("button", { name: "Only changed values" }));
  expect(names()).toContain("steps");
  expect(names()).not.toContain("cfg");
  await userEvent.click(screen.getByRole("button", { name: "Star for steps" }));
  await userEvent.click(screen.getByRole("button", { name: "Put steps back" }));
  expect([values().steps, names().includes("steps")]).toEqual([20, false]);
  cleanup();
  await opened();
  expect(names()[0]).toBe("steps");
  preferences.setState({ favourites: {} });
});

it("numbers of the properties are typed with decimals, and count at once", async () => {
  const { type, values } = await opened();
  await type("cfg", "1.5");
  expect(values()).toMatchObject({ cfg: 1.5, steps: 20 });
});

it("numbers of the properties may be maths, are kept within their limits, and are left where they are none", async () => {
  const { type, values } = await opened();
  await type("steps", "10*2+1{Enter}");
  expect(values().steps).toBe(21);
  await type("cfg", "7,5");
  await type("seed", "18446744073709551615");
  await type("steps", "99999999");
  expect(values().cfg).toBe(7.5);
  await type("cfg", "many");
  await userEvent.tab();
  expect(values()).toEqual({ seed: 18446744073709551615n, steps: 10000, cfg: 7.5 });
});
