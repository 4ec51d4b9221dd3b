import { useEffect, useLayoutEffect, useReducer, useRef } from "preact/hooks";
import { full, grown, levels } from "../cells";
import { colours } from "../theme";
import { useSize, useThemeCount } from "./measure";

/** A cell that just grew stands out this long. */
const fresh_for = 1400;

/** Where cell `i` of `count` begins on a strip of `width` pixels: whole pixels, none left out. */
const edge = (i: number, count: number, width: number): number => Math.floor((i * width) / count);

/** Paints cells side by side; wide ones keep a gap, so that single pieces can be told. */
function paint(canvas: HTMLCanvasElement, width: number, height: number, count: number, colour: (cell: number) => [string, number]) {
  const scale = globalThis.devicePixelRatio || 1;
  const [across, down] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  if (canvas.width !== across) canvas.width = across;
  if (canvas.height !== down) canvas.height = down;
  const context = canvas.getContext("2d");
  if (!context) return;
  context.globalAlpha = 1;
  context.fillStyle = colours().track;
  context.fillRect(0, 0, across, down);
  const gap = across / count >= 5 * scale ? Math.round(scale) : 0;
  for (let cell = 0; cell < count; ++cell) {
    const [fill, strength] = colour(cell);
    if (strength <= 0) continue;
    const from = edge(cell, count, across);
    context.fillStyle = fill;
    context.globalAlpha = strength;
    context.fillRect(from, 0, Math.max(1, edge(cell + 1, count, across) - from - gap), down);
  }
}

/** What one peer has of a torrent. The percentage beside it says the same in words. */
export function Strip({ cells }: { cells: string }) {
  const [canvas, [width, height]] = useSize<HTMLCanvasElement>();
  const themes = useThemeCount();
  const before = useRef(cells);
  const fresh = useRef(new Map<number, number>());
  const [ended, redraw] = useReducer((value: number, _: void) => value + 1, 0);

  useLayoutEffect(() => {
    const now = performance.now();
    if (before.current.length !== cells.length) fresh.current.clear();
    for (const cell of grown(before.current, cells)) fresh.current.set(cell, now + fresh_for);
    before.current = cells;
    for (const [cell, until] of fresh.current) if (until <= now) fresh.current.delete(cell);
    const { accent, fresh: bright } = colours();
    const values = levels(cells);
    if (width > 0) {
      paint(canvas.current!, width, height, values.length, (cell) => {
        const level = values[cell]!;
        if (fresh.current.has(cell)) return [bright, 1];
        return [accent, level === 0 ? 0 : level === full ? 1 : 0.2 + (0.6 * level) / full];
      });
    }
  }, [cells, width, height, themes, ended]);

  useEffect(() => {
    if (fresh.current.size === 0) return;
    const timer = setTimeout(() => redraw(), fresh_for + 50);
    return () => clearTimeout(timer);
  }, [cells, ended]);

  return <canvas class="strip" ref={canvas} aria-hidden="true" />;
}

/** How often each cell is in the swarm: what is rare stands out. */
export function CopiesStrip({ copies }: { copies: readonly number[] }) {
  const [canvas, [width, height]] = useSize<HTMLCanvasElement>();
  const themes = useThemeCount();
  const key = copies.map((value) => value.toFixed(1)).join();
  useLayoutEffect(() => {
    const { accent, thin, broken } = colours();
    const most = Math.max(2, ...copies);
    if (width > 0) {
      paint(canvas.current!, width, height, copies.length, (cell) => {
        const value = copies[cell]!;
        if (value < 0.999) return [broken, 0.35 + 0.4 * value];
        if (value < 1.999) return [thin, 0.9];
        return [accent, 0.35 + (0.65 * value) / most];
      });
    }
  }, [key, width, height, themes]);
  return <canvas class="strip" ref={canvas} aria-hidden="true" />;
}
