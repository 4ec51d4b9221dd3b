import { count, rate_or_nothing, ratio, size } from "../format";
import type { State } from "../state";
import type { Node } from "../types";
import { Panel } from "./panel";
import { Table, type Column } from "./table";
import { Age, Foreign } from "./text";

/** Who is connected. */
export function Nodes({ state, now }: { state: State; now: number }) {
  const columns: Column<Node>[] = [
    { id: "address", title: "Address", value: (node) => node.address, cell: (node) => <Foreign text={node.address} /> },
    {
      id: "client", title: "Client", value: (node) => node.client,
      cell: (node) => <span class={node.kind === "session" ? "" : "soft"} title={node.kind === "session" ? "holds a session" : "announces only"}><Foreign text={node.client} max={80} title={false} /></span>,
    },
    { id: "since", title: "For", spoken: "Connected for", numeric: true, value: (node) => -node.since_at, cell: (node) => <Age at={node.since_at} now={now} /> },
    { id: "up", title: "↑", spoken: "Sends", numeric: true, value: (node) => node.up_rate, cell: (node) => <span class="up" title={`${size(node.uploaded)} sent`}>{rate_or_nothing(node.up_rate)}</span> },
    { id: "down", title: "↓", spoken: "Receives", numeric: true, value: (node) => node.down_rate, cell: (node) => <span class="down" title={`${size(node.downloaded)} received`}>{rate_or_nothing(node.down_rate)}</span> },
    { id: "ratio", title: "Ratio", numeric: true, value: (node) => node.ratio, cell: (node) => ratio(node.ratio) },
  ];
  return (
    <Panel id="nodes" title={<>Nodes <span class="count">{count(state.nodes.size)}</span></>}>
      <Table
        caption="Nodes"
        columns={columns}
        rows={[...state.nodes.values()]}
        key_of={(node) => node.id}
        order={{ column: "up", descending: true }}
        step={50}
        empty={<p>Nobody is connected.</p>}
      />
    </Panel>
  );
}
