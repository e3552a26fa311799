// @vitest-environment happy-dom
import { act, cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import { addNode } from "../../src/model/node_edits";
import { ROOT } from "../../src/model/records";
import { EmptyGraph } from "../../src/panels/empty_graph";
import { FakeServer } from "../fake_server";
import { NO_FILES, referenceCatalog } from "../reference_catalog";

afterEach(cleanup);

it("an empty workflow says how to begin, until it has a node, and again when that is undone", () => {
  const { session } = new FakeServer();
  const catalog = referenceCatalog();
  const asked: string[] = [];
  render(<EmptyGraph session={session} onTemplates={() => void asked.push("templates")} onAdd={() => void asked.push("add")} />);
  const title = () => screen.queryByRole("heading", { name: "This workflow is empty" });
  expect(title()).toBeNull();
  act(() => session.store.setState({ catalog }));
  fireEvent.click(screen.getByRole("button", { name: "Start from a template" }));
  fireEvent.click(screen.getByRole("button", { name: "Add a node…" }));
  expect(asked).toEqual(["templates", "add"]);
  const { open } = session.store.getState();
  act(() => void open.edit("Add", (edit) => void addNode(edit, ROOT, "KSampler", { x: 0, y: 0 }, catalog, NO_FILES)));
  expect(title()).toBeNull();
  act(() => void open.undo());
  expect(title()).toBeTruthy();
});
