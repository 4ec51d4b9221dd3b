#!/usr/bin/env node
// A hub that only pretends: serves the built page and the API over a scripted world.
//
//   node tests/browser/fake_hub.mjs [--scene team|small|hostility|crowd] [--page FOLDER] [--port N]
//
// Listens on 127.0.0.1 only. The tests start it by `start_fake_hub` and pull its strings.
import { readFile } from "node:fs/promises";
import http from "node:http";
import { fileURLToPath } from "node:url";
import * as scenes from "./scenes.mjs";
import { base64_of } from "./world.mjs";

const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const types = { "index.html": "text/html; charset=utf-8", "page.js": "text/javascript; charset=utf-8", "page.css": "text/css; charset=utf-8" };
export const built_page = fileURLToPath(new URL("../../modules/hub/page/dist/", import.meta.url));

export class FakeHub {
  boot = 1;
  seq = 0;
  /** What a page that was away may still get. */
  recent = [];
  recent_max = 200;
  clients = new Set();
  /** Every request: method, path, Last-Event-ID. */
  requests = [];
  /** What the streams began with: "snapshot" or the number of deltas that were resumed. */
  openings = [];
  sent = {};
  logged = 0;

  constructor(world, page = built_page) {
    this.world = world;
    this.page = page;
    this.remember(world.collections());
    this.server = http.createServer((request, reply) => {
      this.answer(request, reply).catch((error) => {
        console.error("fake hub:", error);
        reply.destroy();
      });
    });
  }

  async listen(port = 0) {
    await new Promise((done, failed) => this.server.once("error", failed).listen(port, "127.0.0.1", done));
    this.port = this.server.address().port;
    this.url = `http://127.0.0.1:${this.port}/`;
    return this;
  }

  async close() {
    this.run(0);
    clearInterval(this.beat);
    this.cut();
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }

  /** Moves the world on `speed` times as fast as the clock, twice a second. 0 stops it. */
  run(speed = 1, keep_alive = 15_000) {
    clearInterval(this.timer);
    clearInterval(this.beat);
    this.timer = this.beat = undefined;
    if (speed === 0) return;
    let ticks = 0;
    this.timer = setInterval(() => {
      this.world.step(0.5 * speed);
      this.push(++ticks % 4 === 0);
    }, 500);
    this.beat = setInterval(() => this.clients.forEach((client) => client.write(": keep-alive\n\n")), keep_alive);
  }

  remember(all) {
    this.sent = {};
    for (const kind of ["nodes", "torrents", "peers", "transfers"]) {
      this.sent[kind] = new Map(Object.entries(all[kind]).map(([key, value]) => [key, JSON.stringify(value)]));
    }
    this.logged = this.world.entries;
  }

  /** Sends what changed since the last time. */
  push(sample = false) {
    const all = this.world.collections();
    const set = { status: this.world.status() };
    const del = {};
    const before = this.sent;
    const log = this.world.log.filter((entry) => entry.id > this.logged);
    this.remember(all);
    for (const [kind, now] of Object.entries(this.sent)) {
      for (const [key, text] of now) {
        if (before[kind].get(key) === text) continue;
        set[kind] ??= {};
        set[kind][key] = all[kind][key];
      }
      const gone = [...before[kind].keys()].filter((key) => !now.has(key));
      if (gone.length > 0) del[kind] = gone;
    }
    const delta = { seq: ++this.seq, set };
    if (Object.keys(del).length > 0) delta.del = del;
    if (log.length > 0) delta.log = log;
    if (sample) delta.history = this.world.sample();
    const text = `id: ${this.boot}-${this.seq}\nevent: delta\ndata: ${JSON.stringify(delta)}\n\n`;
    this.recent.push([this.seq, text]);
    if (this.recent.length > this.recent_max) this.recent.shift();
    for (const client of this.clients) client.write(text);
  }

  /** Ends every stream, as a network does. */
  cut() {
    for (const client of this.clients) client.destroy();
    this.clients.clear();
  }

  /** Counts on without telling: the next delta does not follow the last. */
  lose_one() {
    ++this.seq;
    this.recent = [];
  }

  /** Goes away and comes back as another run, on the same port. */
  async restart(world = this.world, away = 0) {
    await this.stop();
    await new Promise((done) => setTimeout(done, away));
    this.world = world;
    this.boot += 1;
    this.seq = 0;
    this.recent = [];
    this.remember(world.collections());
    await this.listen(this.port);
  }
  async stop() {
    this.cut();
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }

  async answer(request, reply) {
    const url = new URL(request.url, "http://hub");
    const last_id = request.headers["last-event-id"];
    this.requests.push({ method: request.method, path: url.pathname + url.search, last_id });
    reply.setHeader("Content-Security-Policy", policy);
    reply.setHeader("X-Content-Type-Options", "nosniff");
    reply.setHeader("Referrer-Policy", "no-referrer");
    reply.setHeader("Cache-Control", "no-store");
    const name = url.pathname === "/" ? "index.html" : url.pathname.slice(1);
    if (types[name]) {
      reply.setHeader("Content-Type", types[name]);
      return reply.end(await readFile(this.page.replace(/\/?$/, "/") + name));
    }
    if (url.pathname === "/api/v1/events") return this.stream(reply, last_id);
    const found = this.object(url);
    reply.setHeader("Content-Type", "application/json; charset=utf-8");
    if (found === undefined) reply.statusCode = 404;
    reply.end(JSON.stringify(found ?? { error: "not found" }));
  }

  object(url) {
    const { world } = this;
    const all = world.collections();
    const torrents = Object.values(all.torrents);
    switch (url.pathname) {
      case "/api/v1/status": return world.status();
      case "/api/v1/nodes": return { nodes: Object.values(all.nodes) };
      case "/api/v1/transfers": return { transfers: Object.values(all.transfers) };
      case "/api/v1/history": return world.history;
      case "/api/v1/log": return { log: world.log.slice(-(url.searchParams.get("limit") ?? 200)) };
      case "/api/v1/torrents": {
        const text = (url.searchParams.get("search") ?? "").toLowerCase();
        const found = torrents.filter((one) => one.name.toLowerCase().includes(text));
        return { torrents: found.slice(0, Number(url.searchParams.get("limit") ?? 100)), total: found.length, next: null };
      }
    }
    const [, hash] = url.pathname.match(/^\/api\/v1\/torrents\/([0-9a-f]{40})$/) ?? [];
    if (!hash || !Object.hasOwn(all.torrents, hash)) return undefined;
    const torrent = all.torrents[hash];
    const files = world.files?.() ?? Array.from({ length: Math.min(torrent.file_count, 300) }, (_, i) => ({ path: `part ${i + 1}.bin`, size: Math.floor(torrent.size / torrent.file_count) }));
    const peers = Object.entries(all.peers).filter(([, peer]) => peer.torrent === hash);
    return { ...torrent, files, peers: peers.map(([key, peer]) => ({ ...peer, bitfield: base64_of(world.peers.get(key).pieces) })) };
  }

  stream(reply, last_id) {
    reply.writeHead(200, { "Content-Type": "text/event-stream" });
    reply.on("close", () => this.clients.delete(reply));
    const [boot, seq] = (last_id ?? "").split("-").map(Number);
    const missing = this.recent.filter(([number]) => number > seq);
    const resumable = boot === this.boot && (seq === this.seq || missing[0]?.[0] === seq + 1);
    if (resumable) {
      this.openings.push(missing.length);
      reply.write(`: resumed\n\n${missing.map(([, text]) => text).join("")}`);
    } else {
      this.openings.push("snapshot");
      const { world } = this;
      // What `push` has not told yet belongs to the next delta; replacing whole objects makes telling it twice harmless.
      const all = { seq: this.seq, status: world.status(), ...world.collections(), log: world.log.filter((entry) => entry.id <= this.logged).slice(-200), history: world.history };
      reply.write(`id: ${this.boot}-${this.seq}\nevent: snapshot\ndata: ${JSON.stringify(all)}\n\n`);
    }
    this.clients.add(reply);
  }
}

export async function start_fake_hub(world, page) {
  return new FakeHub(world, page).listen();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const option = (name, otherwise) => {
    const place = process.argv.indexOf(`--${name}`);
    return place < 0 ? otherwise : process.argv[place + 1];
  };
  const { world } = scenes[option("scene", "team")]();
  world.step(0.5);
  scenes.past(world);
  const hub = await new FakeHub(world, option("page", built_page)).listen(Number(option("port", 0)));
  hub.run(Number(option("speed", 1)));
  console.log(hub.url);
}
