import { describe, expect, it } from "vitest";
import * as format from "../src/format";

describe("numbers", () => {
  it("have three digits and never read 1000", () => {
    const cases: [number, string][] = [
      [0, "0 B"], [999, "999 B"], [1000, "1.00 kB"], [1004, "1.00 kB"], [9994, "9.99 kB"], [9996, "10.0 kB"],
      [99_960, "100 kB"], [999_499, "999 kB"], [999_500, "1.00 MB"], [118e6, "118 MB"], [1.5e9, "1.50 GB"], [2e18, "2000 PB"],
    ];
    for (const [bytes, text] of cases) expect(format.size(bytes)).toBe(text);
    expect(format.size(NaN)).toBe("–");
    expect(format.size(-1)).toBe("–");
    expect(format.rate(2500)).toBe("2.50 kB/s");
    expect(format.rate_or_nothing(0)).toBe("–");
  });

  it("are grouped by thousands", () => {
    expect(format.count(999)).toBe("999");
    expect(format.count(1_234_567)).toBe("1\u202f234\u202f567");
  });

  it("say 100 % and no copy only when that is so", () => {
    expect(format.percent(0, 10)).toBe("0 %");
    expect(format.percent(1, 1000)).toBe("< 1 %");
    expect(format.percent(9999, 10_000)).toBe("99 %");
    expect(format.percent(10, 10)).toBe("100 %");
    expect(format.percent(0, 0)).toBe("–");
    expect(format.copies(0.999)).toBe("0.99");
    expect(format.copies(2)).toBe("2.00");
    expect(format.copies(2.5)).toBe("2.50");
    expect(format.copies(12.7)).toBe("12");
    expect(format.copies(null)).toBe("–");
    expect([null, 0.99, 1, 1.99, 2].map(format.wellness)).toEqual(["unknown", "broken", "thin", "thin", "good"]);
  });

  it("have a ratio of bearable length", () => {
    expect([null, 0, 0.5, 12.345, 1234.5].map(format.ratio)).toEqual(["–", "0.00", "0.50", "12.3", "1235"]);
  });
});

describe("lengths of time", () => {
  it("have at most two units", () => {
    const cases: [number, string][] = [
      [-5, "0 s"], [0, "0 s"], [59.9, "59 s"], [60, "1 min"], [3599, "59 min"], [3600, "1 h"], [11_520, "3 h 12 min"],
      [86_400, "1 d"], [93_600, "1 d 2 h"], [864_000 + 7200, "10 d"],
    ];
    for (const [seconds, text] of cases) expect(format.duration(seconds)).toBe(text);
  });
});

describe("a stranger's text", () => {
  it("shows what would move, hide or break its neighbours", () => {
    expect(format.visible("a\u0000\n\tb\u007f")).toBe("a␀␊␉b␡");
    expect(format.visible("a\u202egpj.exe")).toBe("a⟨U+202E⟩gpj.exe");
    expect(format.visible("\u2028\u2029\u2066\ufeff\u200b\u0085")).toBe(
      "⟨U+2028⟩⟨U+2029⟩⟨U+2066⟩⟨U+FEFF⟩⟨U+200B⟩⟨U+0085⟩",
    );
    expect(format.visible("tag\u{e0041}")).toBe("tag⟨U+E0041⟩");
    expect(format.visible("lone \ud800 half")).toBe("lone \ufffd half");
  });

  it("leaves text of any script, emoji and markup as they are", () => {
    for (const text of ["<b>&amp;</b>", "日本語", "שלום", "👩‍👩‍👧", "می‌خواهم", "</script>"]) expect(format.visible(text)).toBe(text);
  });

  it("is cut at whole characters", () => {
    expect(format.visible("👍".repeat(400))).toBe(`${"👍".repeat(300)}…`);
    expect(format.visible("x".repeat(1e6), 10)).toBe(`${"x".repeat(10)}…`);
    expect(format.visible("x".repeat(300))).toBe("x".repeat(300));
    expect(format.visible(undefined)).toBe("");
  });
});
