import { hostile } from "./hostile.mjs";
import { World } from "./world.mjs";

/** A team at work: what the picture in the README shows. */
export function team() {
  const world = new World(11);
  const hosts = [
    ["10.20.0.11:6881", "Shoal 0.1", 38e6], ["10.20.0.12:6881", "Shoal 0.1", 30e6], ["10.20.0.17:6881", "Shoal 0.1", 24e6],
    ["10.20.0.23:51413", "Transmission 4.0.6", 18e6], ["10.20.0.24:6881", "Shoal 0.1", 22e6], ["10.20.0.31:6881", "Shoal 0.1", 16e6],
    ["10.20.1.4:6999", "libtorrent 2.0.10", 14e6], ["10.20.1.9:6881", "Shoal 0.1", 12e6], ["[fd00:20::52]:6881", "Shoal 0.1", 20e6],
    ["10.20.1.33:6881", "Shoal 0.1", 9e6], ["10.20.1.40:6890", "aria2 1.37", 6e6], ["10.20.1.77:6881", "Shoal 0.1", 11e6],
  ];
  world.nodes_max = 64;
  const ids = hosts.map(([address, client, capacity], i) =>
    world.add_node({ address, client, capacity, kind: client.startsWith("Shoal") ? "session" : "announce", since_at: world.now - (i + 1) ** 2 * 700_000, quiet: true }));
  const GB = 1e9;
  const things = [
    ["Survey flight 2024-05, raw frames", 3.2 * GB, 412], ["debian-12.11.0-amd64-netinst.iso", 0.7 * GB, 1], ["Lecture recordings, spring term", 11.4 * GB, 38],
    ["genome-assembly-v3.fa.zst", 1.9 * GB, 1], ["Museum scans, room 7", 5.1 * GB, 906], ["climate-grid-1km-1980-2020.nc", 8.8 * GB, 1],
    ["Bauzeichnungen Brücke Nord", 0.09 * GB, 64], ["Звёздный каталог, 3-е издание.pdf", 0.04 * GB, 1], ["release-0.1.0-linux-x86_64.tar.zst", 0.02 * GB, 1],
    ["Field interviews (audio, 48 kHz)", 2.6 * GB, 121], ["telescope-night-0418", 6.3 * GB, 2210], ["map-tiles-z14.mbtiles", 4.4 * GB, 1],
    ["Oral history archive, tapes 40–61", 7.7 * GB, 22], ["point-cloud-harbour.laz", 3.9 * GB, 1],
  ];
  const hashes = things.map(([name, size, files], i) =>
    world.add_torrent({ name, size, files, piece_length: size > 4e9 ? 4_194_304 : 524_288, owners: [ids[i % 5], ...(i % 3 === 0 ? [ids[(i + 2) % 5]] : [])], quiet: true, private: i === 5, at: world.now - i * 7_200_000 }));
  world.torrents.get(hashes[12]).completed = 3;
  for (const [torrent, node, share] of [
    [0, 5, 0.82], [0, 7, 0.55], [0, 8, 0.35], [0, 9, 0.2], [0, 11, 0.06], [0, 4, 0.95], [2, 8, 0.4], [2, 11, 0.2], [4, 9, 0.6], [10, 5, 0.1], [3, 7, 0.3],
  ]) world.join(hashes[torrent], ids[node], share, { quiet: true });
  world.join(hashes[1], ids[3], 1, { tells: false, quiet: true });
  world.join(hashes[0], ids[6], 0.4, { tells: false, quiet: true });
  world.add_torrent({ name: "", size: 0, shared: false, quiet: true });
  // Something that nobody has whole any more.
  for (const [key, peer] of world.peers) if (peer.torrent === hashes[13]) peer.pieces.fill(0, 900, 1100);
  return { world, ids, hashes };
}

/** A half hour that has passed, for the charts. */
export function past(world, samples = 600) {
  const end = world.up_rate() || 150e6;
  let level = 0.5;
  for (let i = 0; i < samples; ++i) {
    level = Math.min(1, Math.max(0.05, level + (world.random() - 0.5) * 0.09));
    const wave = 0.55 + 0.45 * Math.sin(i / 70) ** 2;
    const settled = Math.min(1, (samples - 1 - i) / 40); // the last minute leads to what is now
    const up = Math.round(end * (settled * 1.3 * level * wave + (1 - settled) * (0.95 + 0.05 * world.random())));
    world.history.up_rate.push(up);
    world.history.down_rate.push(Math.round(up * (0.93 + 0.05 * world.random())));
    world.history.announces_rate.push(Math.round((0.8 + 2.2 * world.random() * level) * 100) / 100);
    world.history.nodes.push(Math.round(8 + 4 * Math.sin(i / 160) ** 2));
  }
  const told = [...world.nodes.values()];
  const shared = [...world.torrents.values()].filter((one) => one.shared);
  for (let i = 26; i > 0; --i) {
    const node = told[(i * 5) % told.length];
    const torrent = shared[(i * 3) % shared.length];
    const [kind, text] = [
      ["connected", `${node.address} connected with ${node.client}`], ["published", `${node.address} shares ${torrent.name}`],
      ["joined", `${node.address} fetches ${torrent.name}`], ["completed", `${node.address} has all of ${torrent.name}`],
      ["waiting", "10.20.1.90:6881 waits for a place"], ["joined", `${node.address} fetches ${torrent.name}`], ["disconnected", "10.20.1.51:6881 left"],
      ["refused", "203.0.113.9:40112 asked too often"],
    ][(i * 7) % 8];
    world.say(kind, text, { node: node.id, torrent: kind === "joined" || kind === "completed" ? torrent.hash : null, at: world.now - i * i * 9000 });
  }
  world.served = 1.84e12;
  world.announces = [48_211, 20_934];
}

/** Two nodes, one small torrent: complete after a few seconds. */
export function small() {
  const world = new World(3);
  const giver = world.add_node({ address: "192.0.2.1:6881", capacity: 8e6 });
  const hash = world.add_torrent({ name: "holiday photos", size: 48e6, owners: [giver] });
  world.add_torrent({ name: "Übungsblatt 4.pdf", size: 2e6, owners: [giver] });
  return { world, giver, hash };
}

/** Every text that a stranger can set is hostile. */
export function hostility() {
  const world = new World(5);
  const ids = hostile.map(({ text }) => world.add_node({ address: text, client: text, capacity: 3e4 }));
  const hashes = hostile.map(({ text }, i) => world.add_torrent({ name: text, size: 4e6, files: 2, owners: [ids[i]] }));
  hashes.forEach((hash, i) => world.join(hash, ids[(i + 1) % ids.length]));
  for (const { text } of hostile) world.say(text, text, { torrent: null });
  world.torrents.get(hashes[0]).owners = hostile.map(({ text }) => text);
  world.files = () => hostile.map(({ text }) => ({ path: text, size: 1 }));
  world.hostile_status = hostile[0].text;
  return { world, ids, hashes };
}

/** As many as a page has to bear: 500 nodes, 2 000 torrents, 5 000 peers. */
export function crowd() {
  const world = new World(9);
  const ids = Array.from({ length: 500 }, (_, i) => world.add_node({ address: `10.1.${i >> 8}.${i & 255}:6881`, capacity: 2e6, quiet: true }));
  const hashes = Array.from({ length: 2000 }, (_, i) => world.add_torrent({ name: `data set ${i}`, size: 60e6, owners: [ids[i % 500]], quiet: true }));
  for (let i = 0; i < 3000; ++i) world.join(hashes[i < 300 ? 0 : i % 2000], ids[(i * 7 + 3) % 500], i % 4 ? 1 : 0.5, { quiet: true });
  return { world, ids, hashes };
}

/** One torrent with 2 000 peers, all of which fetch. `move` lets so many of them report, as they do to a hub. */
export function swarm(peers = 2000, served = 4) {
  const world = new World(13);
  const ids = Array.from({ length: peers }, (_, i) => world.add_node({ address: `10.1.${i >> 8}.${i & 255}:6881`, since_at: world.now - i * 40_000, quiet: true }));
  const hash = world.add_torrent({ name: "The one that everybody wants", size: 480 * 4_194_304, piece_length: 4_194_304, owners: [ids[0]], quiet: true });
  ids.slice(1).forEach((id, i) => world.join(hash, id, 0.999 * (i / peers), { quiet: true }));
  const members = [...world.peers];
  let next = 0;
  const move = (reports) => {
    world.now += 500;
    for (let i = 0; i < reports; ++i) {
      const place = next++ % peers;
      const [, peer] = members[place];
      const node = world.nodes.get(peer.node);
      if (!world.complete(peer)) {
        const from = Math.floor(world.random() * peer.pieces.length);
        const lacks = peer.pieces.indexOf(0, from);
        peer.pieces[lacks < 0 ? peer.pieces.indexOf(0) : lacks] = 1;
        peer.down_rate = node.down_rate = Math.floor(4e6 * world.random());
        if (world.complete(peer)) {
          peer.down_rate = node.down_rate = 0;
          world.say("completed", `${node.address} is complete`, { node: node.id, torrent: hash });
        }
      }
      peer.up_rate = node.up_rate = Math.floor(3e6 * world.random());
      peer.uploaded = node.uploaded += peer.up_rate;
      peer.downloaded = node.downloaded += peer.down_rate;
      // What it sends is told by who sends.
      for (let j = 0; j < served; ++j) {
        const to = world.nodes.get(members[(place * 7 + 31 * j + 3) % peers][1].node);
        const key = `${hash}/${node.address}/${to.address}`;
        const bytes = (world.transfers.get(key)?.bytes ?? 0) + peer.up_rate;
        world.transfers.set(key, { torrent: hash, from: node.id, to: to.id, from_address: node.address, to_address: to.address, rate: peer.up_rate / served, bytes });
      }
    }
    world.count(new Map([[hash, members]]));
  };
  move(peers);
  return { world, ids, hash, move };
}
