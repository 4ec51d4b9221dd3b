// A torrent's pieces gathered into at most 240 cells, one hex digit each: 0 none, f all.

/** Full cell. */
export const full = 15;

/** The digits as numbers; what is no hex digit counts as none. */
export function levels(cells: string): Uint8Array {
  const values = new Uint8Array(cells.length);
  for (let i = 0; i < cells.length; ++i) {
    const value = Number.parseInt(cells[i]!, 16);
    values[i] = Number.isNaN(value) ? 0 : value;
  }
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
  const found: number[] = [];
  for (let i = 0; i < after.length; ++i) {
    if (after[i] !== before[i] && Number.parseInt(after[i]!, 16) > Number.parseInt(before[i]!, 16)) found.push(i);
  }
  return found;
}

/** Copies of each cell among peers: a partly filled cell counts as its part. */
export function holders(all: readonly string[]): number[] {
  const width = all.reduce((most, cells) => Math.max(most, cells.length), 0);
  const sums = new Array<number>(width).fill(0);
  for (const cells of all) {
    const values = levels(cells);
    for (let i = 0; i < values.length; ++i) sums[i]! += values[i]! / full;
  }
  return sums;
}
