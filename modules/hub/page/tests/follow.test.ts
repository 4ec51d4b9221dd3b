import { expect, it } from "vitest";
import { Follower, rates, stay } from "../src/follow";
import type { Torrent, Transfer } from "../src/types";

const torrents = (...hashes: string[]) => new Map(hashes.map((hash, i) => [hash, { hash, leechers: i } as Torrent]));

it("adds up rates by torrent", () => {
  const transfer = (torrent: string, rate: number) => ({ torrent, rate }) as Transfer;
  expect([...rates([transfer("a", 1), transfer("b", 2), transfer("a", 3)])]).toEqual([["a", 4], ["b", 2]]);
});

it("looks at the busiest torrent, stays a while, and leaves only for a much busier one", () => {
  const follower = new Follower();
  const all = torrents("a", "b", "c");
  expect(follower.choose(all, new Map([["a", 10], ["b", 5]]), 0)).toBe("a");
  expect(follower.choose(all, new Map([["a", 10], ["b", 500]]), stay - 1)).toBe("a");
  expect(follower.choose(all, new Map([["a", 10], ["b", 15]]), stay)).toBe("a");
  expect(follower.choose(all, new Map([["a", 10], ["b", 21]]), stay)).toBe("b");
  expect(follower.choose(torrents("a", "c"), new Map(), stay + 1)).toBe("c"); // b is gone: one that is waited for
  expect(new Follower().choose(new Map(), new Map(), 0)).toBe("");
});
