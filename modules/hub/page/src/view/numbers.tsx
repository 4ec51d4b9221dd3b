import type { ComponentChildren } from "preact";
import { count, nothing, per_second, quantity, rate, size } from "../format";
import type { State } from "../state";

/** The figures to be read from across the room. */
export function Numbers({ state }: { state: State }) {
  const { status, history } = state;
  const [value, unit] = status ? quantity(status.up_rate) : [nothing, ""];
  const peak = history.up_rate.reduce((most, one) => Math.max(most, one), 0);
  const moving = new Set<string>();
  for (const transfer of state.transfers.values()) moving.add(transfer.torrent);
  return (
    <section class="numbers" aria-label="Now">
      <Tile name="Throughput" class="main" value={value} unit={unit && `${unit}/s`} line={history.up_rate}>
        peak {rate(peak)} · {status ? size(status.bytes_served) : nothing} in all
      </Tile>
      <Tile name="Nodes" value={status ? count(status.nodes) : nothing}>
        {status?.nodes_max ? `of ${count(status.nodes_max)}` : "connected"}
        {status?.waiting ? ` · ${count(status.waiting)} waiting` : ""}
      </Tile>
      <Tile name="Torrents" value={status ? count(status.torrents) : nothing}>
        {status ? `${count(status.catalogue)} in the catalogue` : ""}
      </Tile>
      <Tile name="Transfers" value={status ? count(state.transfers.size) : nothing}>
        {moving.size === 1 ? "of 1 torrent" : `of ${count(moving.size)} torrents`}
      </Tile>
      <Tile name="Announces" value={status ? per_second(status.announces_rate) : nothing} unit="/s">
        {status ? `${count(status.announces_http)} HTTP · ${count(status.announces_udp)} UDP` : ""}
      </Tile>
    </section>
  );
}

function Tile({ name, value, unit, line, children, class: kind = "" }: {
  name: string;
  value: string;
  unit?: string;
  line?: readonly number[];
  children: ComponentChildren;
  class?: string;
}) {
  return (
    <div class={`tile ${kind}`}>
      {line && <Spark values={line} />}
      <h2>{name}</h2>
      <p class="value">
        {value}
        {unit && <span class="unit"> {unit}</span>}
      </p>
      <p class="soft">{children}</p>
    </div>
  );
}

/** The last five minutes as a shape; the charts have the figures. */
function Spark({ values }: { values: readonly number[] }) {
  const last = values.slice(-150);
  if (last.length < 2) return null;
  const most = Math.max(...last) || 1;
  const points = last.map((value, i) => `${((i / (last.length - 1)) * 100).toFixed(1)},${(38 - (value / most) * 34).toFixed(1)}`);
  return (
    <svg class="spark" viewBox="0 0 100 40" preserveAspectRatio="none" aria-hidden="true">
      <polygon points={`0,40 ${points.join(" ")} 100,40`} />
      <polyline points={points.join(" ")} />
    </svg>
  );
}
