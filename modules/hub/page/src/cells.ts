// A torrent's pieces gathered into at most 240 cells, one hex digit each: 0 none, f all.

/** Full cell. */
export const full = 15;

/** What a character counts; `parseInt` for each of 2 000 x 240 of them would be the most of an update's work. */
const level_of = new Uint8Array(128);
for (const digit of "0123456789abcdefABCDEF") level_of[digit.charCodeAt(0)] = Number.parseInt(digit, 16);

/** The digits as numbers; what is no hex digit counts as none. */
export function levels(cells: string): Uint8Array {
  const values = new Uint8Array(cells.length);
  for (let i = 0; i < cells.length; ++i) values[i] = level_of[cells.charCodeAt(i)] ?? 0;
  return values;
}

/** How many cells the hub makes of so many pieces. */
export function cell_count(pieces: number): number {
  return Math.max(0, Math.min(240, Math.floor(pieces) || 0));
}

/** The pieces in a cell: from the first up to, not including, the second. */
export function pieces_of_cell(cell: number, pieces: number): [number, number] {
  const cells = cell_count(pieces);
  return [Math.floor((cell * pieces) / cells), Math.floor(((cell + 1) * pieces) / cells)];
}

/** What to draw for a peer: a complete one that tells nothing has everything all the same. Null: nobody knows. */
export function drawn_cells(peer: { cells: string; complete: boolean }, pieces: number): string | null {
  if (peer.cells !== "") return peer.cells;
  return peer.complete ? "f".repeat(cell_count(pieces)) : null;
}

/** The cells that grew. None when the torrent's width changed: that is another picture. */
export function grown(before: string, after: string): number[] {
  if (before.length !== after.length) return [];
  const [old, now] = [levels(before), levels(after)];
  const found: number[] = [];
  for (let i = 0; i < now.length; ++i) if (now[i]! > old[i]!) found.push(i);
  return found;
}

/** Copies of each cell among peers: a partly filled cell counts as its part. */
export function holders(all: readonly string[]): number[] {
  const width = all.reduce((most, cells) => Math.max(most, cells.length), 0);
  const sums = new Uint32Array(width);
  for (const cells of all) {
    for (let i = 0; i < cells.length; ++i) sums[i]! += level_of[cells.charCodeAt(i)] ?? 0;
  }
  return Array.from(sums, (sum) => sum / full);
}
