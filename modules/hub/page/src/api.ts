import type { Peer, Torrent } from "./types";

/** Relative to the page, so that it works below a path of another server too. */
export const api = "api/v1";

export interface Details extends Torrent {
  files?: { path: string; size: number }[];
  peers?: Peer[];
}

async function get<Answer>(path: string, signal: AbortSignal): Promise<Answer | null> {
  try {
    const reply = await fetch(`${api}/${path}`, { signal });
    return reply.ok ? ((await reply.json()) as Answer) : null;
  } catch {
    return null; // the stream tells when the hub is away
  }
}

export function details(hash: string, signal: AbortSignal): Promise<Details | null> {
  return get(`torrents/${encodeURIComponent(hash)}`, signal);
}

export async function find(text: string, limit: number, signal: AbortSignal): Promise<Torrent[]> {
  const answer = await get<{ torrents: Torrent[] }>(`torrents?search=${encodeURIComponent(text)}&limit=${limit}`, signal);
  return answer?.torrents ?? [];
}

export function metainfo_address(hash: string): string {
  return `${api}/torrents/${encodeURIComponent(hash)}/metainfo`;
}
