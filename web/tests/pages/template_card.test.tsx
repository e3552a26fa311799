// @vitest-environment happy-dom
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import { TemplateCard } from "../../src/panels/template_card";

afterEach(cleanup);

const TEMPLATE = { title: "Boats", url: "/boats.json", boxes: [{ x: 0, y: 0, width: 9, height: 9, isNote: false }], view: "0 0 9 9" };

it("a template shows the picture it has, and its graph where there is none or it does not come", () => {
  let numOpened = 0;
  const shown = (picture: string | null) => render(<TemplateCard template={{ ...TEMPLATE, picture }} onOpen={() => void numOpened++} />).container;
  expect(shown(null).querySelectorAll("rect").length).toBe(1);
  const page = shown("/boats.webp");
  const picture = page.querySelector("img") as HTMLElement;
  expect([picture.getAttribute("src"), picture.getAttribute("alt"), page.querySelector("svg")]).toEqual(["/boats.webp", "", null]);
  fireEvent.error(picture);
  expect([page.querySelector("img"), page.querySelectorAll("rect").length]).toEqual([null, 1]);
  for (const button of screen.getAllByRole("button", { name: "Boats" })) fireEvent.click(button);
  expect(numOpened).toBe(2);
});
