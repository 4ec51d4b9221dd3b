import { beforeEach, describe, expect, it } from "vitest";
import { State, history_max, log_max } from "../src/state";

const node = (id: string, up_rate = 0) => ({ id, address: "192.0.2.1:6881", client: "c", up_rate });
const entry = (id: number) => ({ id, at: id, kind: "hub", node: null, address: null, torrent: null, text: `line ${id}` });
const snapshot = (seq: number, more: object = {}) =>
  JSON.stringify({
    seq,
    status: { name: "hub", now: 5000, nodes: 1 },
    nodes: { n1: node("n1") },
    torrents: { aa: { hash: "aa", name: "a" } },
    peers: { "aa/n1": { torrent: "aa", node: "n1", cells: "0f" } },
    transfers: {},
    log: [entry(1)],
    history: { step_s: 2, end_at: 4000, up_rate: [1], down_rate: [1], announces_rate: [1], nodes: [1] },
    ...more,
  });
const delta = (seq: number, more: object = {}) => JSON.stringify({ seq, ...more });

describe("the state", () => {
  let state: State;
  beforeEach(() => {
    state = new State();
    expect(state.apply("snapshot", "b1-10", snapshot(10), 1000)).toBe("applied");
  });

  it("takes a snapshot whole", () => {
    expect(state.status?.name).toBe("hub");
    expect(state.nodes.get("n1")?.address).toBe("192.0.2.1:6881");
    expect(state.peers_of("aa")).toHaveLength(1);
    expect(state.clock_ahead).toBe(4000);
  });

  it("replaces and deletes objects by a delta", () => {
    const change = {
      set: { nodes: { n1: node("n1", 7), n2: node("n2") }, peers: { "aa/n2": { torrent: "aa", cells: "ff" } } },
      del: { torrents: ["aa"], peers: ["aa/n1"] },
    };
    expect(state.apply("delta", "b1-11", delta(11, change), 1000)).toBe("applied");
    expect(state.nodes.get("n1")?.up_rate).toBe(7);
    expect(state.nodes.size).toBe(2);
    expect(state.torrents.size).toBe(0);
    expect(state.peers_of("aa").map((peer) => peer.cells)).toEqual(["ff"]);
  });

  it("sees a gap, and leaves what it has", () => {
    expect(state.apply("delta", "b1-12", delta(12, { del: { nodes: ["n1"] } }), 1000)).toBe("gap");
    expect(state.nodes.size).toBe(1);
  });

  it("ignores a delta that it has already", () => {
    expect(state.apply("delta", "b1-10", delta(10, { del: { nodes: ["n1"] } }), 1000)).toBe("ignored");
    expect(state.nodes.size).toBe(1);
  });

  it("takes a delta of another run of the hub for a gap", () => {
    expect(state.apply("delta", "b2-11", delta(11), 1000)).toBe("gap");
  });

  it("takes a delta before any snapshot for a gap", () => {
    expect(new State().apply("delta", "b1-1", delta(1), 0)).toBe("gap");
  });

  it("starts over with the snapshot of a restarted hub", () => {
    expect(state.apply("snapshot", "b2-0", snapshot(0, { nodes: {}, log: [] }), 1000)).toBe("applied");
    expect(state.nodes.size).toBe(0);
    expect(state.log).toHaveLength(0);
    expect(state.apply("delta", "b2-1", delta(1, { set: { nodes: { n9: node("n9") } } }), 1000)).toBe("applied");
    expect([...state.nodes.keys()]).toEqual(["n9"]);
  });

  it("takes broken JSON for a gap and leaves unknown events alone", () => {
    expect(state.apply("delta", "b1-11", "{", 0)).toBe("gap");
    expect(state.apply("delta", "b1-11", "null", 0)).toBe("gap");
    expect(state.apply("news", "b1-11", "{}", 0)).toBe("ignored");
  });

  it("keeps keys like __proto__ as keys", () => {
    const set = `{"seq":11,"set":{"nodes":{"__proto__":{"id":"x","polluted":true}}}}`;
    expect(state.apply("delta", "b1-11", set, 0)).toBe("applied");
    expect(state.nodes.has("__proto__")).toBe(true);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  it("bounds history and log, and fills series that are left out", () => {
    for (let i = 1; i <= history_max + 5; ++i) {
      state.apply("delta", `b1-${10 + i}`, delta(10 + i, { history: { up_rate: i }, log: [entry(i + 1)] }), 0);
    }
    expect(state.history.up_rate).toHaveLength(history_max);
    expect(state.history.nodes).toHaveLength(history_max);
    expect(state.history.nodes.at(-1)).toBe(1);
    expect(state.history.up_rate.at(-1)).toBe(history_max + 5);
    expect(state.log).toHaveLength(log_max);
  });

  it("does not repeat log entries", () => {
    state.apply("delta", "b1-11", delta(11, { log: [entry(1), entry(2)] }), 0);
    expect(state.log.map((line) => line.id)).toEqual([1, 2]);
  });
});
