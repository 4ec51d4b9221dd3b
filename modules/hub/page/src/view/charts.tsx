import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { clock, nothing, per_second, rate } from "../format";
import type { State } from "../state";
import type { History } from "../types";
import { colours } from "../theme";
import { useSize, useThemeCount } from "./measure";
import { Panel } from "./panel";

type Series = { of: "up_rate" | "down_rate" | "announces_rate"; name: string; sign: string; colour: "accent" | "second"; filled: boolean };

const throughput: readonly Series[] = [
  { of: "up_rate", name: "sent", sign: "↑ ", colour: "accent", filled: true },
  { of: "down_rate", name: "received", sign: "↓ ", colour: "second", filled: false },
];
const announces: readonly Series[] = [{ of: "announces_rate", name: "announces", sign: "", colour: "accent", filled: true }];
const announce_rate = (value: number): string => `${per_second(value)} /s`;

export function Charts({ state }: { state: State }) {
  return (
    <Panel id="charts" title="The last half hour">
      <Chart title="Throughput" series={throughput} format={rate} history={state.history} steps={bytes_steps} />
      <Chart title="Announces" series={announces} format={announce_rate} history={state.history} />
    </Panel>
  );
}

/** Round in decimal bytes. */
const bytes_steps = [1, 2, 5].flatMap((digit) => Array.from({ length: 14 }, (_, power) => digit * 10 ** power)).sort((a, b) => a - b);

function Chart({ title, series, format, history, steps }: {
  title: string;
  series: readonly Series[];
  format: (value: number) => string;
  history: History;
  steps?: number[];
}) {
  const [box, [width, height]] = useSize<HTMLDivElement>();
  const plot = useRef<uPlot | null>(null);
  const themes = useThemeCount();
  const [pointed, set_pointed] = useState<number | null>(null);
  const length = history[series[0]!.of].length;
  const time_at = (place: number) => (history.end_at - (length - 1 - place) * history.step_s * 1000) / 1000;

  useLayoutEffect(() => {
    if (width < 40 || height < 40) return;
    const ink = colours();
    const em = Number.parseFloat(getComputedStyle(document.documentElement).fontSize) || 16;
    const font = `${Math.round(em * 0.78)}px ${getComputedStyle(document.body).fontFamily}`;
    const axis = { stroke: ink.soft, font, ticks: { show: false }, grid: { stroke: ink.line, width: 1 } };
    plot.current = new uPlot(
      {
        width,
        height,
        padding: [em * 0.6, em * 0.6, 0, 0],
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false } },
        select: { show: false, left: 0, top: 0, width: 0, height: 0 },
        scales: { x: { time: true }, y: { range: (_, __, most) => [0, Math.max(most * 1.1, 1)] } },
        axes: [
          { ...axis, grid: { show: false }, size: em * 1.6, space: em * 5, values: (_, times) => times.map((time) => clock(time * 1000, times.length > 1 && times[1]! - times[0]! < 60)) },
          { ...axis, size: em * 5.2, space: em * 2.2, values: (_, values) => values.map((value) => (value === 0 ? "0" : format(value))), ...(steps ? { incrs: steps } : {}) },
        ],
        series: [
          {},
          ...series.map((one) => ({
            stroke: ink[one.colour],
            width: 2,
            points: { show: false },
            ...(one.filled ? { fill: `${ink[one.colour]}33` } : { dash: [6, 4] }),
          })),
        ],
        hooks: { setCursor: [(chart) => set_pointed(chart.cursor.idx ?? null)] },
      },
      [[], ...series.map(() => [])] as unknown as uPlot.AlignedData,
      box.current!,
    );
    return () => {
      plot.current?.destroy();
      plot.current = null;
    };
  }, [width, height, themes]);

  useEffect(() => {
    const times = Array.from({ length }, (_, place) => time_at(place));
    plot.current?.setData([times, ...series.map((one) => history[one.of])] as uPlot.AlignedData);
  }, [history, history.end_at, length, width, height, themes]);

  const place = pointed !== null && pointed < length ? pointed : length - 1;
  return (
    <figure>
      <figcaption>
        <h3>{title}</h3>
        {pointed !== null && <span class="soft">{clock(time_at(place) * 1000)}</span>}
        {series.map((one) => (
          <span key={one.of} class={`key ${one.colour}`}>
            <span class="hidden">{one.name} </span><span class="soft" aria-hidden="true">{one.sign}</span><strong>{length > 0 ? format(history[one.of][place]!) : nothing}</strong>
          </span>
        ))}
        <span class="hidden">highest {format(history[series[0]!.of].reduce((most, value) => Math.max(most, value), 0))}</span>
      </figcaption>
      <div class="chart" ref={box} aria-hidden="true" />
    </figure>
  );
}
