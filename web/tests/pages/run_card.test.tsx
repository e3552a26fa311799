// @vitest-environment happy-dom
import { act, cleanup, fireEvent, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, describe, expect, it } from "vitest";
import { newRun, type RunState } from "../../src/app/run_state";
import { RunCard } from "../../src/panels/run_card";
import { TopBar } from "../../src/panels/top_bar";
import { FakeServer } from "../fake_server";
import { referenceCatalog } from "../reference_catalog";

afterEach(cleanup);

const nothing = () => undefined;

describe("the card of the last run", () => {
  it("names its workflow, is small until somebody wants it large, and shows the picture that was made last", async () => {
    const { session } = new FakeServer();
    const show = (job: string, more: Partial<RunState>) =>
      act(() => session.store.setState({ run: { ...newRun(job, session.store.getState().open, "work/Boats"), ...more } }));
    render(<RunCard session={session} />);
    show("1", { state: "ended", end: "succeeded", pictures: ["a", "b"] });
    expect(screen.getByRole("region", { name: "Last run" }).textContent).toContain("Donework/Boats");
    const opened: unknown[] = [];
    session.openPictures = (pictures, at) => opened.push([pictures, at]);
    expect(screen.getByRole("img").getAttribute("src")).toBe("/api/v1/assets/b");
    await userEvent.click(screen.getByRole("button", { name: "Show the picture large" }));
    expect(opened).toEqual([[["a", "b"], 1]]);
    await userEvent.click(screen.getByRole("button", { name: "Larger" }));
    show("2", { state: "ended", end: "failed", message: "<b>No</b>", pictures: ["c"] });
    await userEvent.click(screen.getByRole("button", { name: "Smaller" }));
    expect(screen.getByRole("img").getAttribute("src")).toBe("/api/v1/assets/c");
    expect(screen.getByText("<b>No</b>")).toBeTruthy();
    await userEvent.click(screen.getByRole("button", { name: "Close" }));
    expect(screen.queryByRole("region")).toBeNull();
  });
});

describe("the bar at the top", () => {
  it("queues as many jobs as the number says, and cancels the one that runs", async () => {
    const server = new FakeServer();
    let count = 0;
    server.on("POST /jobs", () => ({ job: { id: `j${(count += 1)}` }, complaints: [] })).on("POST /jobs/j1/cancel", () => ({}));
    const { session } = server;
    session.store.setState({ catalog: referenceCatalog() });
    render(<TopBar session={session} hasProperties onProperties={nothing} onWindow={nothing} />);
    fireEvent.change(screen.getByRole("spinbutton", { name: "How many times to run" }), { target: { value: "3" } });
    await userEvent.click(screen.getByRole("button", { name: "Run" }));
    await expect.poll(() => server.changes.filter(([what]) => what === "POST /jobs").length).toBe(3);
    act(() => session.store.setState({ run: { ...newRun("j1", session.store.getState().open), state: "running" } }));
    await userEvent.click(screen.getByRole("button", { name: "Cancel the job" }));
    await expect.poll(() => server.changes.at(-1)?.[0]).toBe("POST /jobs/j1/cancel");
  });
});
