// @vitest-environment happy-dom
import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, describe, expect, it, vi } from "vitest";
import GalleryPanel from "../../src/gallery/gallery_panel";
import Lightbox from "../../src/gallery/lightbox";
import { ComparedPictures } from "../../src/gallery/zoomed_picture";
import { FakeServer } from "../fake_server";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const asset = (id: string) => ({ id, filename: `${id}.png`, media_type: "image/png", url: `/api/v1/assets/${id}` });

describe("the gallery", () => {
  it("asks the server for pictures of a workflow, of a model and with words, together", async () => {
    const server = new FakeServer()
      .on("GET /assets/origins", () => ({ workflows: ["Boats"], models: ["sd/one.safetensors"] }))
      .on("GET /assets", ({ query }) => (query.get("text") === "nowhere" ? [] : [asset(query.get("workflow") ?? "any")]));
    render(<GalleryPanel session={server.session} />);
    await screen.findByRole("button", { name: "Show any.png" });
    await userEvent.selectOptions(await screen.findByRole("combobox", { name: "Workflow" }), "Boats");
    await screen.findByRole("button", { name: "Show Boats.png" });
    expect(screen.queryByRole("button", { name: "Show any.png" })).toBeNull();
    await userEvent.selectOptions(screen.getByRole("combobox", { name: "Model" }), "sd/one.safetensors");
    fireEvent.change(screen.getByRole("searchbox"), { target: { value: " nowhere " } });
    await screen.findByText("No picture fits.");
    const last = server.asked.filter(({ path }) => path === "/assets").at(-1)?.query;
    expect(Object.fromEntries(last ?? [])).toEqual({
      workflow: "Boats", model: "sd/one.safetensors", text: "nowhere", limit: "40", offset: "0",
    });
  });

  it("is empty without a filter, and offers none where there is nothing to choose", async () => {
    const server = new FakeServer().on("GET /assets/origins", () => ({ workflows: [], models: [] })).on("GET /assets", () => []);
    render(<GalleryPanel session={server.session} />);
    await screen.findByText("Pictures you make appear here.");
    expect(screen.queryAllByRole("combobox")).toEqual([]);
  });
});

describe("a gallery that is scrolled", () => {
  it("asks for the next pictures at its end, until there are no more", async () => {
    const ends: (() => void)[] = [];
    class FakeObserver {
      constructor(seen: (entries: readonly { isIntersecting: boolean }[]) => void) {
        ends.push(() => seen([{ isIntersecting: true }]));
      }
      observe(): void {
        return undefined;
      }
      disconnect(): void {
        return undefined;
      }
    }
    vi.stubGlobal("IntersectionObserver", FakeObserver);
    const all = Array.from({ length: 50 }, (_, i) => asset(`p${i}`));
    const server = new FakeServer()
      .on("GET /assets/origins", () => ({ workflows: [], models: [] }))
      .on("GET /assets", ({ query }) => all.slice(Number(query.get("offset")), Number(query.get("offset")) + Number(query.get("limit"))));
    render(<GalleryPanel session={server.session} />);
    await screen.findByRole("button", { name: "Show p39.png" });
    expect(screen.queryByRole("button", { name: "Show p40.png" })).toBeNull();
    ends.at(-1)?.();
    await screen.findByRole("button", { name: "Show p49.png" });
    expect(screen.getAllByRole("button").length).toBe(50);
    expect(server.asked.filter(({ path }) => path === "/assets").map(({ query }) => query.get("offset"))).toEqual(["0", "40"]);
  });
});

describe("a picture shown large", () => {
  it("goes to the input folder, and is compared with another one that is chosen", async () => {
    const server = new FakeServer()
      .on("GET /assets/b", () => ({})).on("POST /assets", () => ({ name: "b.png", subfolder: "" }));
    render(<Lightbox session={server.session} assets={["a", "b", "c"].map(asset) as never} first={asset("b") as never} onClose={() => undefined} />);
    await userEvent.click(screen.getByRole("button", { name: "Compare" }));
    await userEvent.selectOptions(screen.getByRole("combobox", { name: "Choose the picture to compare with" }), "a.png");
    expect(screen.getAllByRole("img").map((image) => image.getAttribute("alt"))).toEqual(["b.png", "a.png"]);
    await userEvent.click(screen.getByRole("button", { name: "Send to input" }));
    await waitFor(() => expect(server.session.store.getState().notice?.text).toBe("In the input folder as b.png."));
    expect(server.changes.map(([what]) => what)).toEqual(["POST /assets"]);
  });
});

describe("two pictures compared", () => {
  it("lie beside each other when that is wanted, with one zoom", async () => {
    render(<ComparedPictures one="/one" two="/two" names={["one.png", "two.png"]} />);
    await userEvent.click(screen.getByRole("button", { name: "Side by side" }));
    expect(screen.queryByRole("slider")).toBeNull();
    fireEvent.doubleClick(screen.getByRole("img", { name: "two.png" }));
    await waitFor(() => expect(screen.getByRole("img", { name: "one.png" }).style.transform).toContain("scale(3)"));
  });

  it("lie above each other and meet where the slider is", async () => {
    render(<ComparedPictures one="/one" two="/two" names={["one.png", "two.png"]} />);
    const cut = screen.getByRole("img", { name: "two.png" }).parentElement?.parentElement as HTMLElement;
    expect(cut.style.clipPath).toBe("inset(0 0 0 50%)");
    fireEvent.change(screen.getByRole("slider", { name: "Where the pictures meet" }), { target: { value: "20" } });
    await waitFor(() => expect(cut.style.clipPath).toBe("inset(0 0 0 20%)"));
    const one = screen.getByRole("img", { name: "one.png" });
    fireEvent.doubleClick(one);
    await waitFor(() => expect(one.style.transform).toContain("scale(3)"));
    expect(screen.getByRole("img", { name: "two.png" }).style.transform).toBe(one.style.transform);
  });
});
