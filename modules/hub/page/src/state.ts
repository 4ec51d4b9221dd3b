import type { Delta, Entry, History, Node, Peer, Snapshot, Status, Torrent, Transfer } from "./types";

/** Values kept of each series; the hub sends no more. */
export const history_max = 900;
/** Log entries kept: a wall display runs for weeks. */
export const log_max = 500;

/** What became of an event. After `gap` the stream has to be opened anew without an id. */
export type Outcome = "applied" | "ignored" | "gap";

/** The hub as the page knows it: a snapshot and the deltas since. Needs no DOM. */
export class State {
  status: Status | null = null;
  nodes = new Map<string, Node>();
  torrents = new Map<string, Torrent>();
  transfers = new Map<string, Transfer>();
  /** By torrent, then by the hub's key, since one torrent is looked at and there may be thousands of peers. */
  peers = new Map<string, Map<string, Peer>>();
  log: Entry[] = [];
  history: History = { step_s: 2, end_at: 0, up_rate: [], down_rate: [], announces_rate: [], nodes: [] };
  /** Add to the browser's clock to get the hub's, in milliseconds. */
  clock_ahead = 0;
  /** Counts what was applied: what is computed from the state is computed again when it moves. */
  version = 0;

  private boot = "";
  private seq = -1;

  /** Takes one event of the stream. `now` is the browser's clock. */
  apply(name: string, id: string, data: string, now: number): Outcome {
    if (name !== "snapshot" && name !== "delta") return "ignored"; // a later version of the hub may send more
    let body: unknown;
    try {
      body = JSON.parse(data);
    } catch {
      return "gap";
    }
    if (typeof body !== "object" || body === null || typeof (body as Delta).seq !== "number") return "gap";
    const boot = id.slice(0, Math.max(0, id.lastIndexOf("-")));
    if (name === "snapshot") {
      this.replace(body as Snapshot, now);
      this.boot = boot;
    } else {
      const delta = body as Delta;
      if (this.seq < 0 || boot !== this.boot) return "gap"; // of another run of the hub
      if (delta.seq <= this.seq) return "ignored"; // seen before the stream was resumed
      if (delta.seq !== this.seq + 1) return "gap";
      this.change(delta, now);
    }
    this.seq = (body as Delta).seq;
    ++this.version;
    return "applied";
  }

  peers_of(torrent: string): Peer[] {
    return [...(this.peers.get(torrent)?.values() ?? [])];
  }

  private replace(all: Snapshot, now: number): void {
    // Maps, because a key may be "__proto__".
    this.nodes = new Map(Object.entries(all.nodes ?? {}));
    this.torrents = new Map(Object.entries(all.torrents ?? {}));
    this.transfers = new Map(Object.entries(all.transfers ?? {}));
    this.peers = new Map();
    for (const [key, peer] of Object.entries(all.peers ?? {})) this.set_peer(key, peer);
    this.log = (all.log ?? []).slice(-log_max);
    const past: Partial<History> = all.history ?? {};
    this.history = {
      step_s: past.step_s || 2,
      end_at: past.end_at ?? now,
      up_rate: [...(past.up_rate ?? [])],
      down_rate: [...(past.down_rate ?? [])],
      announces_rate: [...(past.announces_rate ?? [])],
      nodes: [...(past.nodes ?? [])],
    };
    if (all.status) this.set_status(all.status, now);
  }

  private change({ set = {}, del = {}, log, history }: Delta, now: number): void {
    if (set.status) this.set_status(set.status, now);
    for (const kind of ["nodes", "torrents", "transfers"] as const) {
      const kept = this[kind] as Map<string, Node | Torrent | Transfer>;
      for (const [key, value] of Object.entries(set[kind] ?? {})) kept.set(key, value);
      for (const key of del[kind] ?? []) kept.delete(key);
    }
    for (const [key, peer] of Object.entries(set.peers ?? {})) this.set_peer(key, peer);
    for (const key of del.peers ?? []) this.drop_peer(key);
    if (log?.length) {
      const newest = this.log.at(-1)?.id ?? -1;
      this.log = [...this.log, ...log.filter((entry) => entry.id > newest)].slice(-log_max);
    }
    if (history) {
      for (const series of ["up_rate", "down_rate", "announces_rate", "nodes"] as const) {
        // A value that is left out is as before: the series stay of one length.
        const values = this.history[series];
        values.push(history[series] ?? values.at(-1) ?? 0);
        if (values.length > history_max) values.splice(0, values.length - history_max);
      }
      this.history.end_at += this.history.step_s * 1000;
    }
  }

  private set_status(status: Status, now: number): void {
    this.status = status;
    if (status.now > 0) this.clock_ahead = status.now - now;
  }

  private set_peer(key: string, peer: Peer): void {
    const hash = torrent_of(key);
    let of_torrent = this.peers.get(hash);
    if (!of_torrent) this.peers.set(hash, (of_torrent = new Map()));
    of_torrent.set(key, peer);
  }

  private drop_peer(key: string): void {
    const hash = torrent_of(key);
    const of_torrent = this.peers.get(hash);
    of_torrent?.delete(key);
    if (of_torrent?.size === 0) this.peers.delete(hash);
  }
}

/** The hash in a peer's key, "hash/n12". */
function torrent_of(key: string): string {
  const slash = key.indexOf("/");
  return slash < 0 ? key : key.slice(0, slash);
}
