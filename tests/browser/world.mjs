// A team that shares and fetches, as the hub sees it. Moves by itself when `step` is called; seeded, so that every run
// is the same.

export function random_of(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The contract's cells of a bitfield (one byte a piece). */
export function cells_of(pieces) {
  const count = Math.min(pieces.length, 240);
  let cells = "";
  for (let cell = 0; cell < count; ++cell) {
    const from = Math.floor((cell * pieces.length) / count);
    const to = Math.floor(((cell + 1) * pieces.length) / count);
    let have = 0;
    for (let piece = from; piece < to; ++piece) have += pieces[piece];
    const level = have === 0 ? 0 : have === to - from ? 15 : Math.min(14, Math.max(1, Math.round(1 + (13 * have) / (to - from))));
    cells += "0123456789abcdef"[level];
  }
  return cells;
}

function held(pieces) {
  let count = 0;
  for (let piece = 0; piece < pieces.length; ++piece) count += pieces[piece];
  return count;
}

export function base64_of(pieces) {
  const bytes = Buffer.alloc(Math.ceil(pieces.length / 8));
  pieces.forEach((held, piece) => held && (bytes[piece >> 3] |= 0x80 >> (piece & 7)));
  return bytes.toString("base64");
}

export class World {
  constructor(seed = 7) {
    this.random = random_of(seed);
    this.now = Date.now();
    this.started_at = this.now - 3 * 86_400_000;
    this.nodes = new Map();
    this.torrents = new Map();
    this.peers = new Map(); // by "hash/node": {torrent, node, pieces: Uint8Array | null, ...}
    this.transfers = new Map();
    this.log = [];
    this.entries = 0;
    this.served = 0;
    this.announces = [0, 0];
    this.announces_rate = 0;
    this.history = { step_s: 2, end_at: this.now, up_rate: [], down_rate: [], announces_rate: [], nodes: [] };
    this.next_node = 1;
    this.fit = new Map(); // how well two nodes are connected
  }

  hash() {
    return Array.from({ length: 40 }, () => Math.floor(this.random() * 16).toString(16)).join("");
  }

  say(kind, text, { node = null, torrent = null, at = this.now } = {}) {
    this.log.push({ id: ++this.entries, at, kind, node, address: node ? this.nodes.get(node)?.address ?? null : null, torrent, text });
    if (this.log.length > 1000) this.log.shift();
  }

  add_node({ address, client = "Shoal 0.1", kind = "session", since_at = this.now, capacity = 20e6, quiet = false }) {
    const id = `n${this.next_node++}`;
    this.nodes.set(id, { id, address, client, kind, since_at, torrents: 0, uploaded: 0, downloaded: 0, up_rate: 0, down_rate: 0, ratio: null, capacity });
    if (!quiet) this.say("connected", `${address} connected with ${client}`, { node: id });
    return id;
  }

  drop_node(id) {
    const node = this.nodes.get(id);
    if (!node) return;
    this.say("disconnected", `${node.address} left`, { node: id });
    for (const [key, peer] of this.peers) if (peer.node === id) this.peers.delete(key);
    for (const [key, transfer] of this.transfers) if (transfer.from === id || transfer.to === id) this.transfers.delete(key);
    this.nodes.delete(id);
  }

  add_torrent({ name, size, piece_length = 524_288, files = 1, owners = [], shared = true, private: secret = false, quiet = false, at = this.now }) {
    const hash = this.hash();
    const pieces = shared ? Math.max(1, Math.ceil(size / piece_length)) : 0;
    this.torrents.set(hash, {
      hash, name: shared ? name : "", size: shared ? size : 0, pieces, piece_length: shared ? piece_length : 0, file_count: files,
      private: secret, shared, added_at: shared ? at : null, seeders: 0, leechers: 0, completed: 0, health: null,
      owners: owners.map((id) => this.nodes.get(id).address),
    });
    if (!quiet) this.say("published", `${this.nodes.get(owners[0])?.address ?? "a node"} shares ${name}`, { node: owners[0], torrent: hash });
    for (const id of owners) this.join(hash, id, 1, { quiet: true });
    return hash;
  }

  /** `share` of the pieces is there from the start; `tells` says whether the peer reports its pieces. */
  join(hash, id, share = 0, { tells = true, quiet = false } = {}) {
    const torrent = this.torrents.get(hash);
    const pieces = new Uint8Array(torrent.pieces || 1);
    for (let piece = 0; piece < pieces.length; ++piece) pieces[piece] = share >= 1 || this.random() < share ? 1 : 0;
    this.peers.set(`${hash}/${id}`, { torrent: hash, node: id, pieces, tells, cursor: 0, owed: 0, uploaded: 0, downloaded: 0, up_rate: 0, down_rate: 0 });
    if (!quiet) this.say("joined", `${this.nodes.get(id).address} fetches ${torrent.name.slice(0, 80) || hash.slice(0, 8)}`, { node: id, torrent: hash });
  }

  complete(peer) {
    return held(peer.pieces) === peer.pieces.length;
  }

  /** Moves everything on by so many seconds. */
  step(seconds) {
    this.now += seconds * 1000;
    for (const node of this.nodes.values()) node.up_rate = node.down_rate = 0;
    const swarms = new Map();
    for (const [key, peer] of this.peers) {
      peer.up_rate = peer.down_rate = 0;
      if (!swarms.has(peer.torrent)) swarms.set(peer.torrent, []);
      swarms.get(peer.torrent).push([key, peer]);
    }
    const alive = new Set();
    for (const [hash, swarm] of swarms) {
      const torrent = this.torrents.get(hash);
      if (!torrent.shared) continue;
      const had = new Map(swarm.map(([key, peer]) => [key, this.complete(peer)]));
      for (const [key, to] of swarm) {
        if (had.get(key)) continue;
        for (const [, from] of swarm) {
          if (from === to || this.next_piece(from, to) < 0) continue;
          // Pairs differ, as in life; a seeder is always good for something.
          const pair = `${to.node} ${from.node}`;
          if (!this.fit.has(pair)) this.fit.set(pair, this.random() ** 2);
          const fit = Math.max(this.fit.get(pair), this.complete(from) ? 0.3 : 0);
          if (fit < 0.25) continue;
          const sharing = swarm.filter(([other]) => !had.get(other)).length;
          const rate = (this.nodes.get(from.node).capacity / Math.max(1, sharing)) * fit * (1.2 + 0.4 * this.random());
          this.move(hash, torrent, from, to, rate, seconds, alive);
        }
        if (this.complete(to)) {
          torrent.completed += 1;
          this.say("completed", `${this.nodes.get(to.node).address} has all of ${torrent.name.slice(0, 80)}`, { node: to.node, torrent: hash });
        }
      }
    }
    for (const key of this.transfers.keys()) if (!alive.has(key)) this.transfers.delete(key);
    this.count(swarms);
  }

  /** A piece that `from` has and `to` lacks, from a place that differs between peers, so that the picture fills all over. */
  next_piece(from, to) {
    const { length } = to.pieces;
    if (to.cursor === 0) to.cursor = 1 + Math.floor(this.random() * length);
    for (let i = 0; i < length; ++i) {
      const piece = (to.cursor + i) % length;
      if (!to.pieces[piece] && from.pieces[piece]) return piece;
    }
    return -1;
  }

  move(hash, torrent, from, to, rate, seconds, alive) {
    const [sender, receiver] = [this.nodes.get(from.node), this.nodes.get(to.node)];
    const key = `${hash}/${sender.address}/${receiver.address}`;
    const bytes = Math.round(rate * seconds);
    const transfer = this.transfers.get(key) ?? { torrent: hash, from: sender.id, to: receiver.id, from_address: sender.address, to_address: receiver.address, rate: 0, bytes: 0 };
    transfer.rate = Math.round(rate);
    transfer.bytes += bytes;
    this.transfers.set(key, transfer);
    alive.add(key);
    to.owed += bytes;
    for (; to.owed >= torrent.piece_length; to.owed -= torrent.piece_length) {
      if (this.random() < 0.15) to.cursor = 1 + Math.floor(this.random() * to.pieces.length);
      const piece = this.next_piece(from, to);
      if (piece < 0) break;
      to.pieces[piece] = 1;
    }
    for (const [one, rates, totals] of [[from, "up_rate", "uploaded"], [sender, "up_rate", "uploaded"], [to, "down_rate", "downloaded"], [receiver, "down_rate", "downloaded"]]) {
      one[rates] += Math.round(rate);
      one[totals] += bytes;
    }
    this.served += bytes;
  }

  count(swarms) {
    for (const node of this.nodes.values()) {
      node.torrents = 0;
      node.ratio = node.downloaded > 0 ? node.uploaded / node.downloaded : null;
    }
    for (const torrent of this.torrents.values()) {
      torrent.seeders = torrent.leechers = 0;
      let sums = null;
      for (const [, peer] of swarms.get(torrent.hash) ?? []) {
        this.nodes.get(peer.node).torrents += 1;
        if (this.complete(peer)) torrent.seeders += 1;
        else torrent.leechers += 1;
        if (!peer.tells || !torrent.pieces) continue;
        sums ??= new Uint16Array(torrent.pieces);
        for (let piece = 0; piece < sums.length; ++piece) sums[piece] += peer.pieces[piece];
      }
      if (sums === null) torrent.health = null;
      else {
        const least = sums.reduce((a, b) => Math.min(a, b), Infinity);
        torrent.health = least + sums.reduce((more, value) => more + (value > least ? 1 : 0), 0) / sums.length;
      }
    }
    this.announces_rate = this.nodes.size * 0.12 * (0.6 + 0.8 * this.random());
    this.announces[0] += Math.round(this.announces_rate);
    this.announces[1] += Math.round(this.announces_rate * 0.4);
  }

  up_rate() {
    let sum = 0;
    for (const node of this.nodes.values()) sum += node.up_rate;
    return sum;
  }

  /** One further value of each series. */
  sample() {
    const value = { up_rate: this.up_rate(), down_rate: this.up_rate(), announces_rate: Math.round(this.announces_rate * 100) / 100, nodes: this.nodes.size };
    for (const [series, one] of Object.entries(value)) {
      this.history[series].push(one);
      if (this.history[series].length > 900) this.history[series].shift();
    }
    this.history.end_at = this.now;
    return value;
  }

  status() {
    return {
      name: "Shoal tracker", version: "0.1.0", started_at: this.started_at, now: Math.round(this.now), nodes: this.nodes.size, nodes_max: this.nodes_max ?? null,
      waiting: this.waiting ?? 0, torrents: this.torrents.size, catalogue: [...this.torrents.values()].filter((one) => one.shared).length,
      announce_peers: this.peers.size, up_rate: this.up_rate(), announces_http: this.announces[0], announces_udp: this.announces[1],
      announces_rate: Math.round(this.announces_rate * 100) / 100, bytes_served: this.served,
    };
  }

  /** The collections as the API has them. Texts may be lone surrogates: JSON.stringify escapes those. */
  collections() {
    const nodes = {}, peers = {};
    for (const [id, { capacity, ...node }] of this.nodes) nodes[id] = node;
    for (const [key, peer] of this.peers) {
      const node = this.nodes.get(peer.node);
      const tells = peer.tells && this.torrents.get(peer.torrent).shared;
      peers[key] = {
        torrent: peer.torrent, node: peer.node, address: node.address, client: node.client, complete: this.complete(peer),
        have: tells ? held(peer.pieces) : 0, cells: tells ? cells_of(peer.pieces) : "",
        uploaded: peer.uploaded, downloaded: peer.downloaded, up_rate: peer.up_rate, down_rate: peer.down_rate,
      };
    }
    return { nodes, torrents: Object.fromEntries(this.torrents), peers, transfers: Object.fromEntries(this.transfers) };
  }
}
