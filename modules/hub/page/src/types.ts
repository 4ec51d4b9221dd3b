// What the hub sends, as docs/api.md describes it. Times are milliseconds since 1970, rates bytes per second.

export interface Status {
  name: string;
  version: string;
  started_at: number;
  now: number;
  nodes: number;
  nodes_max: number | null;
  waiting: number;
  torrents: number;
  catalogue: number;
  announce_peers: number;
  up_rate: number;
  announces_http: number;
  announces_udp: number;
  announces_rate: number;
  bytes_served: number;
}

export interface Node {
  id: string;
  address: string;
  client: string;
  kind: "session" | "announce";
  since_at: number;
  torrents: number;
  uploaded: number;
  downloaded: number;
  up_rate: number;
  down_rate: number;
  ratio: number | null;
}

export interface Torrent {
  hash: string;
  name: string;
  size: number;
  pieces: number;
  piece_length: number;
  file_count: number;
  private: boolean;
  /** In the catalogue: name and size are known. */
  shared: boolean;
  added_at: number | null;
  seeders: number;
  leechers: number;
  completed: number;
  /** Copies in the swarm; null when no peer tells what it has. */
  health: number | null;
  owners: string[];
}

export interface Peer {
  torrent: string;
  node: string;
  address: string;
  client: string;
  complete: boolean;
  have: number;
  /** One hex digit a cell, at most 240; empty when the peer does not tell. */
  cells: string;
  uploaded: number;
  downloaded: number;
  up_rate: number;
  down_rate: number;
}

export interface Transfer {
  torrent: string;
  from: string | null;
  to: string | null;
  from_address: string;
  to_address: string;
  rate: number;
  bytes: number;
}

export interface Entry {
  id: number;
  at: number;
  kind: string;
  node: string | null;
  address: string | null;
  torrent: string | null;
  text: string;
}

export interface History {
  step_s: number;
  end_at: number;
  up_rate: number[];
  down_rate: number[];
  announces_rate: number[];
  nodes: number[];
}

export type Sample = { [Series in "up_rate" | "down_rate" | "announces_rate" | "nodes"]: number };
type Keyed<Value> = Record<string, Value>;

export interface Snapshot {
  seq: number;
  status: Status;
  nodes: Keyed<Node>;
  torrents: Keyed<Torrent>;
  peers: Keyed<Peer>;
  transfers: Keyed<Transfer>;
  log: Entry[];
  history: History;
}

export interface Delta {
  seq: number;
  set?: {
    status?: Status;
    nodes?: Keyed<Node>;
    torrents?: Keyed<Torrent>;
    peers?: Keyed<Peer>;
    transfers?: Keyed<Transfer>;
  };
  del?: { nodes?: string[]; torrents?: string[]; peers?: string[]; transfers?: string[] };
  log?: Entry[];
  history?: Partial<Sample>;
}
