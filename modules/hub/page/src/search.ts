import type { Torrent } from "./types";

/** For comparing: no case, no accents, no width variants. */
export function folded(text: string): string {
  return text.normalize("NFKD").replace(/\p{Mark}/gu, "").toLowerCase();
}

const known = new WeakMap<Torrent, string>();

function haystack(torrent: Torrent): string {
  let text = known.get(torrent);
  if (text === undefined) {
    text = folded(`${torrent.name.slice(0, 2000)} ${torrent.hash} ${torrent.owners?.slice(0, 50).join(" ") ?? ""}`);
    known.set(torrent, text);
  }
  return text;
}

/** The torrents whose name, hash or owners' addresses have every word of the query. */
export function matching(torrents: Iterable<Torrent>, query: string): Torrent[] {
  const words = folded(query).split(/\s+/).filter(Boolean);
  const found: Torrent[] = [];
  for (const torrent of torrents) {
    if (words.length === 0) found.push(torrent);
    else {
      const text = haystack(torrent);
      if (words.every((word) => text.includes(word))) found.push(torrent);
    }
  }
  return found;
}
