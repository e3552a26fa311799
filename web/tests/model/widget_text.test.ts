import { describe, expect, it } from "vitest";
import type { InputSpec } from "../../src/model/catalog";
import { nearestName } from "../../src/model/near_match";
import { evaluated, numberFrom, rangeOf, shownNumber, stepped } from "../../src/model/number_text";
import { weighted } from "../../src/model/prompt_weight";

const spec = (type: string, options: InputSpec["options"]): InputSpec =>
  ({ name: "n", type, presence: "required", options, choices: null, is_wildcard: false });

describe("numbers as they are typed", () => {
  it.each([
    ["512*2", 1024], ["(3+1)/8", 0.5], ["2^10", 1024], ["-2^2", -4], ["50%", 0.5], ["1e3", 1000], ["pi*0", 0], ["2*-3", -6],
  ])("%s is %d", (text, value) => expect(evaluated(text)).toBe(value));
  it.each(["", "abc", "1+", "(2", "2 3", "alert(1)"])("'%s' is no number", (text) => expect(evaluated(text)).toBeNull());
  it("stay within the range and whole where they must be", () => {
    const range = rangeOf(spec("INT", { min: 1, max: 100 }), 5);
    expect([numberFrom("7.6", range), numberFrom("1000", range)]).toEqual([8, 100]);
  });
  it("keep every digit of large seeds", () => {
    const range = rangeOf(spec("INT", { min: 0, max: 18446744073709551615n }), 0);
    expect(numberFrom("18446744073709551615", range)).toBe(18446744073709551615n);
    expect(stepped(9007199254740993n, 1, range)).toBe(9007199254740994n);
  });
  it("may have a comma for the point, and their unit after them", () => {
    const range = rangeOf(spec("FLOAT", { unit: "px" }), 1);
    expect([range.unit, numberFrom("0,5", range), numberFrom("512*1.5 px", range), numberFrom("512 em", range)]).toEqual(["px", 0.5, 768, null]);
  });
  it("are multiples of what the declaration rounds to", () => {
    const range = rangeOf(spec("FLOAT", { step: 0.1, round: 0.01, min: 0 }), 1);
    expect([numberFrom("1/3", range), stepped(1, 0.1, range), numberFrom("-1", range)]).toEqual([0.33, 1.01, 0]);
    expect(numberFrom("1/3", rangeOf(spec("FLOAT", { round: false }), 1))).toBeCloseTo(1 / 3, 9);
  });
  it("are stepped without the noise of binary fractions", () => {
    expect(shownNumber(stepped(0.1, 2, rangeOf(spec("FLOAT", { step: 0.1 }), 0.1)))).toBe("0.3");
  });
});

describe("weight keys", () => {
  it("give the word under the caret a weight and take it away again", () => {
    const once = weighted("a red boat", 3, 3, 0.05);
    expect(once.text).toBe("a (red:1.05) boat");
    expect(weighted(once.text, once.start, once.end, -0.05).text).toBe("a red boat");
  });
  it("change the weight the caret is in", () => expect(weighted("a (red boat:1.2)", 5, 5, 0.05).text).toBe("a (red boat:1.25)"));
  it("leave blanks around a selection alone", () => expect(weighted("a red boat", 1, 6, 0.1).text).toBe("a (red:1.1) boat"));
});

describe("the nearest name", () => {
  const files = ["sd1/v1-5-pruned-emaonly.safetensors", "sdxl_base.safetensors", "anime.safetensors"];
  it("is the file that was moved or saved in another format", () =>
    expect(nearestName("v1-5-pruned-emaonly.ckpt", files)).toBe(files[0]));
  it("is none where nothing is alike", () => expect(nearestName("zzz", files)).toBeNull());
});
