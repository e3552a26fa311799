// @vitest-environment happy-dom
import { cleanup, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, expect, it } from "vitest";
import { readForm } from "../../src/model/form";
import FormPanel from "../../src/panels/form_panel";
import { FakeServer } from "../fake_server";
import { referenceCatalog } from "../reference_catalog";

afterEach(cleanup);

const STEPS = { node: "1", widget: "steps" };
const GONE = { node: "9", widget: "text", label: "Prompt" };
const FILE = {
  version: 0.4, last_node_id: 1, last_link_id: 0, links: [], groups: [],
  nodes: [{ id: 1, type: "KSampler", pos: [0, 0], size: [200, 100], inputs: [], outputs: [], widgets_values: [0, "fixed", 20, 8, "euler", "normal", 1] }],
};

it("the form panel names a value that is gone, and keeps it until somebody removes it", async () => {
  const { session } = new FakeServer();
  session.store.setState({ catalog: referenceCatalog() });
  await session.openValue({ ...FILE, extra: { atelier_form: { title: "", fields: [STEPS, GONE], outputs: [] } } });
  render(<FormPanel session={session} onClose={() => undefined} />);
  const widgets = () => readForm(session.store.getState().open.document)?.fields.map(({ widget }) => widget);
  await userEvent.type(screen.getByRole("textbox", { name: "Title of the form" }), "B");
  expect(widgets()).toEqual(["steps", "text"]);
  screen.getByText("Prompt is not shown: its node is gone, or something else decides the value.");
  await userEvent.click(screen.getByRole("button", { name: "Remove Prompt" }));
  expect(widgets()).toEqual(["steps"]);
});

it("no form is made before the node types are there, for it would have no values", async () => {
  const { session } = new FakeServer();
  await session.openValue(FILE);
  render(<FormPanel session={session} onClose={() => undefined} />);
  await userEvent.type(screen.getByRole("textbox", { name: "Title of the form" }), "B");
  expect(readForm(session.store.getState().open.document)).toBe(null);
});
