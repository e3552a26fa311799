import { describe, expect, it } from "vitest";
import { heightOf, resampled, sigmaAt, sigmasFrom, sigmaText, takesSigmas, withMore, without, withSigma } from "../../src/model/sigma_curve";

const LEVELS = [14.6, 7, 2, 0.5, 0];

describe("noise levels written as text", () => {
  it("are read in every form people write them, and nothing else is", () => {
    expect(sigmasFrom("1., 0.978453,.5\n1e-3 0")).toEqual([1, 0.978453, 0.5, 0.001, 0]);
    for (const text of ["", "karras", "1, x", "1 -2", "1/2"]) expect(sigmasFrom(text)).toBeNull();
  });

  it("are written back as they were, without the noise of binary fractions", () => {
    expect(sigmaText([0.1 + 0.2, 14.6, 0])).toBe("0.3, 14.6, 0");
    expect(sigmasFrom(sigmaText(LEVELS))).toEqual(LEVELS);
  });

  it("go on going down when one is dragged, and are free where they did not", () => {
    expect(withSigma(LEVELS, 1, 99)[1]).toBe(14.6);
    expect(withSigma(LEVELS, 1, 0.1)[1]).toBe(2);
    expect(withSigma(LEVELS, 4, -3)[4]).toBe(0);
    expect(withSigma([1, 2, 1], 1, 50)[1]).toBe(50);
  });

  it("have one more between two, and one less, but never fewer than two", () => {
    expect(withMore(LEVELS, 1)).toEqual([14.6, 7, 4.5, 2, 0.5, 0]);
    expect(withMore(LEVELS, 4)).toEqual(LEVELS);
    expect(without(LEVELS, 0)).toEqual([7, 2, 0.5, 0]);
    expect(without([1, 0], 0)).toEqual([1, 0]);
  });

  it("keep their ends in another number of steps, a last 0 as a step of its own", () => {
    expect(resampled(LEVELS, 4)).toEqual(LEVELS);
    const more = resampled(LEVELS, 9);
    expect([more.length, more[0], more.at(-2), more.at(-1)]).toEqual([10, 14.6, 0.5, 0]);
    expect(resampled([1, 0.5], 2)).toEqual([1, 0.75, 0.5]);
    expect(resampled(LEVELS, 1)).toEqual([14.6, 0]);
  });

  it("lie on the picture where their factor says, and come back from there", () => {
    expect([heightOf(0, 14.6), heightOf(14.6, 14.6)]).toEqual([0, 1]);
    for (const value of LEVELS) expect(sigmaAt(heightOf(value, 14.6), 14.6)).toBeCloseTo(value, 9);
  });

  it("are taken by one line of text that is called so, or says so", () => {
    const spec = (name: string, options = {}, type = "STRING") => ({ name, type, presence: "required", options, choices: null, is_wildcard: false }) as const;
    expect([spec("sigmas"), spec("levels", { display: "sigmas" }), spec("sigmas", {}, "SIGMAS"), spec("text")].map(takesSigmas)).toEqual([true, true, false, false]);
  });
});
