import type { Torrent, Transfer } from "./types";

/** A wall display shows a torrent at least this long before it goes to a busier one. */
export const stay = 20_000;

/** Bytes per second moved now, by torrent. */
export function rates(transfers: Iterable<Transfer>): Map<string, number> {
  const sums = new Map<string, number>();
  for (const { torrent, rate } of transfers) sums.set(torrent, (sums.get(torrent) ?? 0) + rate);
  return sums;
}

/** Chooses the torrent to look at while nobody has chosen one. */
export class Follower {
  private hash = "";
  private since = 0;

  choose(torrents: ReadonlyMap<string, Torrent>, busy: ReadonlyMap<string, number>, now: number): string {
    const rate = busy.get(this.hash) ?? 0;
    if (torrents.has(this.hash) && (now - this.since < stay || rate > 0)) {
      // Among busy ones the view changes only to one that is much busier, or it would flicker between two.
      if (now - this.since < stay || !this.beaten(torrents, busy, rate)) return this.hash;
    }
    let best = "";
    let most = -1;
    for (const [hash, torrent] of torrents) {
      const here = busy.get(hash) ?? 0;
      // When nothing moves: one that people wait for, else any.
      const weight = here > 0 ? 1e6 + here : torrent.leechers;
      if (weight > most) [best, most] = [hash, weight];
    }
    if (best !== this.hash) [this.hash, this.since] = [best, now];
    return best;
  }

  private beaten(torrents: ReadonlyMap<string, Torrent>, busy: ReadonlyMap<string, number>, rate: number): boolean {
    for (const [hash, other] of busy) if (other > 2 * rate && torrents.has(hash)) return true;
    return false;
  }
}
