import { describe, expect, it } from "vitest";
import * as cells from "../src/cells";
import { arrows_max, ends_max, flow_picture } from "../src/flow";
import { matching } from "../src/search";
import { sorted } from "../src/sort";
import type { Torrent, Transfer } from "../src/types";

describe("cells", () => {
  it("cover every piece once", () => {
    for (const pieces of [1, 7, 239, 240, 241, 1000, 65_537]) {
      let next = 0;
      for (let cell = 0; cell < cells.cell_count(pieces); ++cell) {
        const [first, end] = cells.pieces_of_cell(cell, pieces);
        expect(first).toBe(next);
        expect(end).toBeGreaterThan(first);
        next = end;
      }
      expect(next).toBe(pieces);
    }
    expect(cells.cell_count(0)).toBe(0);
  });

  it("are hex digits, and anything else is an empty cell", () => {
    expect([...cells.levels("0f8Ez<")]).toEqual([0, 15, 8, 14, 0, 0]);
  });

  it("say which grew", () => {
    expect(cells.grown("0008f", "0f08f")).toEqual([1]);
    expect(cells.grown("f8", "8f")).toEqual([1]);
    expect(cells.grown("00", "000")).toEqual([]);
  });

  it("are full for a seeder that tells nothing, unknown for others", () => {
    expect(cells.drawn_cells({ cells: "", complete: true }, 3)).toBe("fff");
    expect(cells.drawn_cells({ cells: "", complete: false }, 3)).toBeNull();
    expect(cells.drawn_cells({ cells: "0", complete: false }, 1)).toBe("0");
  });

  it("add up to copies", () => {
    expect(cells.holders(["ff0", "f00"])).toEqual([2, 1, 0]);
    expect(cells.holders([])).toEqual([]);
  });
});

describe("the picture of who sends to whom", () => {
  const transfer = (from: number, to: number, rate: number, torrent = "t"): Transfer => ({
    torrent, from: `n${from}`, to: `n${to}`, from_address: `10.0.0.${from}:1`, to_address: `10.0.0.${to}:1`, rate, bytes: 0,
  });

  it("joins the torrents between two nodes into one arrow", () => {
    const flow = flow_picture([transfer(1, 2, 10), transfer(1, 2, 5, "u"), transfer(2, 1, 3)], new Map(), 400, 300);
    expect(flow.ends.map((end) => end.key)).toEqual(["n1", "n2"]);
    expect(flow.arrows.map((arrow) => [arrow.from.key, arrow.to.key, arrow.rate])).toEqual([["n1", "n2", 15], ["n2", "n1", 3]]);
  });

  it("has room for a swarm and says what it left out", () => {
    const many = Array.from({ length: 500 }, (_, i) => transfer(i % 50, (i * 7 + 1) % 50, i));
    const flow = flow_picture(many, new Map(), 400, 300);
    expect(flow.ends.length).toBe(ends_max);
    expect(flow.arrows.length).toBeLessThanOrEqual(arrows_max);
    expect(flow.hidden).toBeGreaterThan(0);
    for (const end of flow.ends) expect(end.x >= 0 && end.x <= 400 && end.y >= 0 && end.y <= 300).toBe(true);
    for (const arrow of flow.arrows) expect(arrow.path).not.toMatch(/NaN|Infinity/);
  });

  it("has arrows in a swarm in which the busiest nodes do not send to each other", () => {
    const many = Array.from({ length: 8000 }, (_, i) => transfer(i % 2000, ((i % 2000) * 7 + (i >> 3) + 3) % 2000, 1 + ((i * 7919) % 8000)));
    const flow = flow_picture(many, new Map(), 400, 300);
    expect(flow.ends.length).toBe(ends_max);
    expect(flow.arrows.length).toBeGreaterThanOrEqual(ends_max / 2);
    expect(flow.arrows[0]!.rate).toBe(8000);
  });

  it("stands still when rates change", () => {
    const before = flow_picture([transfer(1, 2, 10), transfer(3, 2, 5)], new Map(), 400, 300);
    const after = flow_picture([transfer(3, 2, 50), transfer(1, 2, 1)], new Map(), 400, 300);
    expect(after.ends.map((end) => [end.key, end.x])).toEqual(before.ends.map((end) => [end.key, end.x]));
  });

  it("takes an end that is no node of the hub by its address", () => {
    const flow = flow_picture([{ ...transfer(1, 2, 1), to: null }], new Map(), 400, 300);
    expect(flow.ends.map((end) => end.key).sort()).toEqual(["10.0.0.2:1", "n1"]);
  });
});

describe("search", () => {
  const torrent = (name: string, hash: string) => ({ name, hash, owners: ["192.0.2.7:1"] }) as Torrent;
  const all = [torrent("Übung Eins.pdf", "aa11"), torrent("holiday 2024", "bb22"), torrent("", "cc33")];

  it("wants every word, in any order, without case and accents", () => {
    expect(matching(all, "eins ubung")).toEqual([all[0]]);
    expect(matching(all, "HOLI 2024")).toEqual([all[1]]);
    expect(matching(all, "holi 2025")).toEqual([]);
    expect(matching(all, "  ")).toEqual(all);
  });

  it("knows hashes and owners", () => {
    expect(matching(all, "cc3")).toEqual([all[2]]);
    expect(matching(all, "192.0.2.7")).toEqual(all);
  });
});

describe("order", () => {
  const rows = [{ k: "a", v: 2 }, { k: "b", v: null }, { k: "c", v: 1 }, { k: "d", v: 2 }];
  const keys = (descending: boolean) => sorted(rows, (row) => row.v, (row) => row.k, descending).map((row) => row.k).join("");

  it("puts what has no value last either way and keeps equals in place", () => {
    expect(keys(false)).toBe("cadb");
    expect(keys(true)).toBe("adcb");
  });

  it("counts numbers in names", () => {
    const names = ["file 10", "file 9", "File 1"];
    expect(sorted(names, (name) => name, (name) => name, false)).toEqual(["File 1", "file 9", "file 10"]);
  });
});
