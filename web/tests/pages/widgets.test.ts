// @vitest-environment happy-dom
import { fireEvent } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { GraphView } from "../../src/app/graph_view";
import { Catalog, type InputSpec, type NodeSpec } from "../../src/model/catalog";
import { isArray } from "../../src/model/json";
import { fakeHost } from "../app/fake_stage";
import { FakeServer } from "../fake_server";
import { referenceCatalog } from "../reference_catalog";

const input = (name: string, type: string, options: InputSpec["options"] = {}, choices: InputSpec["choices"] = null): InputSpec =>
  ({ name, type, presence: "required", options, choices, is_wildcard: false });
const basic = {
  title: "", category: "", description: "", outputs: [], is_output_node: true, is_deprecated: false, is_experimental: false,
  search_aliases: [], any_input: null, pack: "toys",
};
const TOY: NodeSpec = {
  ...basic, name: "Toy",
  inputs: [
    input("amount", "INT", { default: 20, min: 0, max: 100, display: "slider" }), input("tint", "INT", { default: 0, display: "color" }),
    input("loud", "BOOLEAN", { default: false, label_on: "loud", label_off: "soft" }),
    input("seed", "INT", { default: 7, min: 0, max: 1e15, control_after_generate: true }),
  ],
};
const frames = async (count: number) => {
  for (let i = 0; i < count; i++) await new Promise((done) => requestAnimationFrame(done));
};

describe("the widgets of a node", () => {
  let server: FakeServer;
  let view: GraphView;
  let host: HTMLElement;

  beforeEach(async () => {
    let count = 0;
    server = new FakeServer()
      .on("GET /catalog/nodes/LoadImage/choices", () => ({ image: ["lake.png", ...Array.from({ length: count }, (_, i) => `new${i + 1}.png`)] }))
      .on("POST /assets", () => ({ name: `new${(count += 1)}.png`, subfolder: "" }));
    const image = referenceCatalog().get("LoadImage") as NodeSpec;
    server.session.store.setState({ catalog: new Catalog({ Toy: TOY, LoadImage: image }) });
    const nodes = [
      { id: 1, type: "Toy", pos: [0, 0], size: [300, 200], widgets_values: [20, 0, false, 7, "randomize"] },
      { id: 2, type: "LoadImage", pos: [400, 0], size: [300, 400], widgets_values: ["lake.png", "image"] },
    ];
    await server.session.openValue({ version: 0.4, nodes, links: [] });
    host = fakeHost();
    view = new GraphView(host, server.session);
    await frames(6);
  });
  afterEach(() => {
    view.close();
    host.remove();
  });

  const inside = (node: number, selector: string): HTMLElement => {
    const found = host.querySelector<HTMLElement>(`[data-node='${node}'] ${selector}`);
    if (found === null) throw new Error(`no ${selector} in node ${node}`);
    return found;
  };
  const values = (node: string) => {
    const found = server.session.store.getState().open.graph.nodes.byId.get(node)?.widgets_values;
    return isArray(found) ? found : [];
  };

  it("are a slider, a colour, a switch and a seed that comes back from the last run", async () => {
    fireEvent.change(inside(1, "input[type=range]"), { target: { value: "64" } });
    fireEvent.change(inside(1, "input[type=color]"), { target: { value: "#ff8000" } });
    await userEvent.click(inside(1, "[role=switch]"));
    expect(values("1")).toEqual([64, 0xff8000, true, 7, "randomize"]);
    const { session } = server;
    session.board.submitted(session.store.getState().open, { "1": { class_type: "Toy", inputs: { seed: 41 }, _meta: {} } } as never, "j");
    session.board.take(session.store.getState().open, { job: "j", seq: 1, kind: "node_started", data: { node: "1" }, time_s: 0 });
    await frames(2);
    await userEvent.click(inside(1, "button[aria-label='Back to the last seed']"));
    expect(values("1").slice(3)).toEqual([41, "fixed"]);
    await userEvent.click(inside(1, "button[aria-label='A random seed now']"));
    expect(values("1")[3]).not.toBe(41);
    await userEvent.selectOptions(inside(1, ".after select"), "increment");
    expect(values("1")[4]).toBe("increment");
  });

  it("take a picture that is pasted, dropped from the disk or chosen, send it to the server and load it", async () => {
    const file = new File(["x"], "boat.png", { type: "image/png" });
    fireEvent.paste(inside(2, ".outputs"), { clipboardData: { files: [file] } });
    await expect.poll(() => values("2")[0]).toBe("new1.png");
    fireEvent.drop(inside(2, ".node-frame"), { dataTransfer: { files: [file], getData: () => "" } });
    await expect.poll(() => values("2")[0]).toBe("new2.png");
    await userEvent.upload(inside(2, "input[type=file]"), file);
    await expect.poll(() => values("2")[0]).toBe("new3.png");
    expect(server.changes.map(([what]) => what)).toEqual(["POST /assets", "POST /assets", "POST /assets"]);
    fireEvent.drop(inside(2, ".node-frame"), { dataTransfer: { files: [new File(["x"], "a.txt", { type: "text/plain" })], getData: () => "" } });
    await frames(2);
    expect(values("2")[0]).toBe("new3.png");
  });
});
