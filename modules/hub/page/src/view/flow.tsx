import { count, rate, rate_or_nothing, size, title, visible } from "../format";
import { flow_picture, written_rates, type End } from "../flow";
import type { State } from "../state";
import type { Transfer } from "../types";
import { useSize } from "./measure";
import { Panel } from "./panel";
import { Table, type Column } from "./table";
import { Foreign } from "./text";

/** Who sends to whom: a picture, and the same as a table. */
export function Flow({ state }: { state: State }) {
  const [box, [width, height]] = useSize<SVGSVGElement>();
  const transfers = [...state.transfers.values()];
  const flow = flow_picture(transfers, state.nodes, width || 400, height || 300);
  const busiest = Math.max(1, ...flow.ends.map((end) => end.sends + end.receives));
  const label = (end: End) => visible(end.address, 40);
  const address = (id: string | null, otherwise: string) => (id !== null && state.nodes.get(id)?.address) || otherwise;
  const columns: Column<Transfer>[] = [
    { id: "from", title: "From", value: (row) => address(row.from, row.from_address), cell: (row) => <Foreign text={address(row.from, row.from_address)} /> },
    { id: "to", title: "To", value: (row) => address(row.to, row.to_address), cell: (row) => <Foreign text={address(row.to, row.to_address)} /> },
    {
      id: "what", title: "Torrent", value: (row) => state.torrents.get(row.torrent)?.name ?? row.torrent,
      cell: (row) => <a href={`#${row.torrent}`}><Foreign text={title(state.torrents.get(row.torrent) ?? { name: "", hash: row.torrent })} /></a>,
    },
    { id: "rate", title: "Rate", numeric: true, value: (row) => row.rate, cell: (row) => rate_or_nothing(row.rate) },
    { id: "bytes", title: "Sent", numeric: true, value: (row) => row.bytes, cell: (row) => size(row.bytes) },
  ];
  return (
    <Panel id="flow" title={<>Who sends to whom <span class="count">{count(transfers.length)}</span></>}>
      <svg
        class="flow"
        ref={box}
        role="img"
        aria-label={flow.arrows.length === 0
          ? "Nobody sends now."
          : `${flow.arrows.length} arrows between ${flow.ends.length} nodes. Fastest: ${label(flow.arrows[0]!.from)} to ${label(flow.arrows[0]!.to)}, ${rate(flow.arrows[0]!.rate)}. The table below has them all.`}
      >
        <defs>
          <marker id="point" viewBox="0 0 8 8" refX="5" refY="4" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse" orient="auto">
            <path d="M0 0.5L8 4L0 7.5L2 4z" />
          </marker>
        </defs>
        {flow.arrows.map((arrow) => (
          <path key={arrow.key} class={arrow.rate >= 1 ? "arrow moving" : "arrow"} d={arrow.path} stroke-width={(1 + 4 * arrow.weight).toFixed(1)} opacity={(0.22 + 0.75 * arrow.weight).toFixed(2)} marker-end="url(#point)" />
        ))}
        {written_rates(flow, 5).map((arrow) => (
          <text key={arrow.key} class="speed" text-anchor="middle" x={arrow.label[0].toFixed(1)} y={(arrow.label[1] + 5).toFixed(1)}>{rate(arrow.rate)}</text>
        ))}
        {flow.ends.map((end) => (
          <g key={end.key} transform={`translate(${end.x.toFixed(1)} ${end.y.toFixed(1)})`}>
            <circle r={(4 + 6 * Math.sqrt((end.sends + end.receives) / busiest)).toFixed(1)} class={end.sends > end.receives ? "sender" : "receiver"} />
            <Label end={end} max={flow.label_max} two_lines={flow.two_lines} />
          </g>
        ))}
        {flow.ends.length === 0 && width > 0 && (
          <text class="quiet" x={width / 2} y={height / 2} text-anchor="middle">Nobody sends now</text>
        )}
      </svg>
      {flow.hidden > 0 && <p class="soft note">The picture shows the fastest, between {flow.ends.length} nodes; the table has all transfers.</p>}
      <Table
        caption="Transfers under way"
        columns={columns}
        rows={transfers}
        key_of={(row) => `${row.torrent}/${row.from_address}/${row.to_address}`}
        order={{ column: "rate", descending: true }}
        step={50}
        empty={<p class="hidden">No transfer is under way.</p>}
      />
    </Panel>
  );
}

/** A node's address, and below it the greater of what it sends and receives. */
function Label({ end, max, two_lines }: { end: End; max: number; two_lines: boolean }) {
  const x = end.side === "start" ? 14 : -14;
  return (
    <text text-anchor={end.side}>
      <tspan x={x} y={two_lines ? 0 : 5}>{visible(end.label, max)}</tspan>
      {two_lines && <tspan class="rates" x={x} y={16}>{end.sends >= end.receives ? `↑ ${rate(end.sends)}` : `↓ ${rate(end.receives)}`}</tspan>}
    </text>
  );
}
