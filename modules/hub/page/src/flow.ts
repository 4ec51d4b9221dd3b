import type { Node, Transfer } from "./types";

/** Ends that the picture shows; the table has them all. */
export const ends_max = 24;
/** Of a label's line. */
const row_height = 19;
/** Width of a label's character, about. */
const character = 8.2;
/** Arrows that the picture shows. */
export const arrows_max = 80;

export interface End {
  key: string;
  address: string;
  /** The address without its port where that is enough to tell it from the others. */
  label: string;
  sends: number;
  receives: number;
  x: number;
  y: number;
  /** Label anchor: on the left half of the ring the text ends at the dot. */
  side: "start" | "end";
}

export interface Arrow {
  key: string;
  from: End;
  to: End;
  rate: number;
  path: string;
  /** 0..1, against the fastest. */
  weight: number;
  /** Where its rate can be written. */
  label: readonly [number, number];
}

export interface Flow {
  ends: End[];
  arrows: Arrow[];
  /** Characters that a label has room for, and whether there is room for a second line. */
  label_max: number;
  two_lines: boolean;
  /** What did not fit. */
  hidden: number;
}

/** Who sends to whom as a ring of nodes in a box of `width` x `height`, arrows bent towards the middle. */
export function flow_picture(
  transfers: Iterable<Transfer>,
  nodes: ReadonlyMap<string, Node>,
  width: number,
  height: number,
): Flow {
  const ends = new Map<string, End>();
  const pairs = new Map<string, { from: End; to: End; rate: number }>();
  const end_of = (id: string | null, address: string): End => {
    const key = id ?? address;
    let end = ends.get(key);
    if (!end) {
      const node = id === null ? undefined : nodes.get(id);
      end = { key, address: node?.address ?? address, label: "", sends: 0, receives: 0, x: 0, y: 0, side: "start" };
      ends.set(key, end);
    }
    return end;
  };
  for (const transfer of transfers) {
    const from = end_of(transfer.from, transfer.from_address);
    const to = end_of(transfer.to, transfer.to_address);
    from.sends += transfer.rate;
    to.receives += transfer.rate;
    const key = `${from.key}\n${to.key}`; // one arrow for all torrents between two
    const pair = pairs.get(key);
    if (pair) pair.rate += transfer.rate;
    else pairs.set(key, { from, to, rate: transfer.rate });
  }

  const fastest_first = [...pairs.entries()].filter(([, { from, to }]) => from !== to).sort(([, a], [, b]) => b.rate - a.rate);
  const fits = Math.max(2, Math.min(ends_max, 2 * Math.floor(height / row_height)));
  // The ends of the fastest arrows, not the busiest nodes: those of a large swarm hardly ever send to each other.
  const chosen = new Set<End>();
  for (const [, { from, to }] of fastest_first) {
    const missing = [from, to].filter((end) => !chosen.has(end));
    if (chosen.size + missing.length <= fits) for (const end of missing) chosen.add(end);
    if (chosen.size === fits) break;
  }
  // The place on the ring follows the address, not the rate, so that the picture stands still.
  const shown = [...chosen].sort((a, b) => (a.key.length - b.key.length || (a.key < b.key ? -1 : 1)));
  const [middle_x, middle_y] = [width / 2, height / 2];
  const hosts = new Map<string, number>();
  for (const end of shown) hosts.set(host_of(end.address), (hosts.get(host_of(end.address)) ?? 0) + 1);
  for (const end of shown) end.label = hosts.get(host_of(end.address)) === 1 ? host_of(end.address) : end.address;
  const longest = shown.reduce((most, end) => Math.max(most, end.label.length), 11);
  const margin = Math.min(26 + longest * character, width * 0.31);
  const [radius_x, radius_y] = [Math.max(20, width / 2 - margin), Math.max(20, height / 2)];
  // Clockwise, half of them on each side, with equal space between the rows: labels then never cover each other.
  const right = Math.ceil(shown.length / 2);
  shown.forEach((end, place) => {
    const on_right = place < right;
    const [row, rows] = on_right ? [place, right] : [shown.length - 1 - place, shown.length - right];
    const height_here = ((row + 0.5) / rows) * 2 - 1;
    const out = Math.sqrt(1 - (0.92 * height_here) ** 2);
    end.x = middle_x + (on_right ? 1 : -1) * radius_x * out;
    end.y = middle_y + radius_y * height_here;
    end.side = on_right ? "start" : "end";
  });

  const fitting = fastest_first.filter(([, { from, to }]) => chosen.has(from) && chosen.has(to)).slice(0, arrows_max);
  const fastest = fitting[0]?.[1].rate || 1;
  const arrows = fitting.map(([key, { from, to, rate }]) => ({
    key,
    from,
    to,
    rate,
    weight: Math.sqrt(rate / fastest), // the root, or slow ones would be invisible
    ...bent(from, to, middle_x, middle_y),
  }));
  const two_lines = height / Math.max(1, right) >= 2 * row_height;
  return { ends: shown, arrows, two_lines, label_max: Math.max(6, Math.ceil((margin - 22) / character)), hidden: pairs.size - arrows.length };
}

/** "192.0.2.1" of "192.0.2.1:6881"; what is no address with a port stays as it is. */
function host_of(address: string): string {
  return /^(\[[0-9a-f:.]{2,45}\]|[0-9.]{7,15}):\d{1,5}$/i.exec(address)?.[1] ?? address;
}

/** The rates that can be written without one covering another, fastest first. */
export function written_rates(flow: Flow, most: number): Arrow[] {
  const written: Arrow[] = [];
  for (const arrow of flow.arrows) {
    if (written.length >= most) break;
    const [x, y] = arrow.label;
    const free = (other: readonly [number, number], across: number) => Math.abs(other[0] - x) > across || Math.abs(other[1] - y) > 22;
    if (written.every((other) => free(other.label, 80)) && flow.ends.every((end) => free([end.x, end.y], 40))) written.push(arrow);
  }
  return written;
}

/** A curve that stops short of the dots and leaves room for the arrow that comes back. */
function bent(from: End, to: End, middle_x: number, middle_y: number): Pick<Arrow, "path" | "label"> {
  const [across_x, across_y] = [to.x - from.x, to.y - from.y];
  const length = Math.hypot(across_x, across_y) || 1;
  const aside = Math.min(22, length * 0.1);
  const control_x = (from.x + to.x) * 0.32 + middle_x * 0.36 - (across_y / length) * aside;
  const control_y = (from.y + to.y) * 0.32 + middle_y * 0.36 + (across_x / length) * aside;
  const towards = (end: End, gap: number): [number, number] => {
    const [x, y] = [control_x - end.x, control_y - end.y];
    const distance = Math.hypot(x, y) || 1;
    return [end.x + (x / distance) * gap, end.y + (y / distance) * gap];
  };
  const [start, end] = [towards(from, 9), towards(to, 15)];
  const [x1, y1, x2, y2, x3, y3] = [...start, control_x, control_y, ...end].map((value) => value.toFixed(1));
  // A third of the way: in the middle of the ring all arrows meet.
  const on_curve = (a: number, b: number, c: number) => 0.45 * a + 0.44 * b + 0.11 * c;
  return {
    path: `M${x1} ${y1}Q${x2} ${y2} ${x3} ${y3}`,
    label: [on_curve(start[0], control_x, end[0]), on_curve(start[1], control_y, end[1])],
  };
}
