import { useEffect, useState } from "preact/hooks";
import { details, metainfo_address, type Details } from "../api";
import { cell_count, drawn_cells, holders } from "../cells";
import { copies, count, date_and_clock, nothing, percent, rate_or_nothing, size, title } from "../format";
import type { State } from "../state";
import type { Peer } from "../types";
import { Panel } from "./panel";
import { CopiesStrip, Strip } from "./strip";
import { Table, type Column } from "./table";
import { Foreign } from "./text";

/** Files listed under a torrent; the rest is counted. */
const files_max = 200;

/** One torrent: who has which pieces of it. */
export function Pieces({ state, hash, chosen, follow }: { state: State; hash: string; chosen: boolean; follow: () => void }) {
  const [open, set_open] = useState(false);
  const known = state.torrents.get(hash);
  const asked = useDetails(hash, open || (!known && state.status !== null));
  const torrent = known ?? asked ?? undefined;
  const tools = (
    <button type="button" aria-pressed={!chosen} onClick={follow} disabled={!chosen}>
      {chosen ? "Follow the busiest" : "Following the busiest"}
    </button>
  );
  if (!torrent) {
    return (
      <Panel id="pieces" title="Pieces" tools={chosen && tools}>
        <div class="empty">
          <p>{hash ? "The hub does not know this torrent (any more)." : "Here the pieces of a torrent fill up as they arrive."}</p>
        </div>
      </Panel>
    );
  }

  const peers = state.peers_of(hash);
  const drawn = peers.map((peer) => drawn_cells(peer, torrent.pieces)).filter((cells) => cells !== null && cells !== "");
  const swarm = holders(drawn as string[]);
  const columns: Column<Peer>[] = [
    {
      id: "peer", title: "Peer", value: (peer) => peer.address,
      cell: (peer) => (
        <>
          <Foreign text={peer.address} />
          <span class="soft client"><Foreign text={peer.client} max={80} /></span>
        </>
      ),
    },
    {
      id: "pieces", title: "Pieces",
      // The default order: those that still fetch, each at its place.
      value: (peer) => (peer.complete ? 1 : 0),
      cell: (peer) => {
        const cells = drawn_cells(peer, torrent.pieces);
        return cells ? <Strip cells={cells} /> : <span class="soft untold">does not tell</span>;
      },
    },
    {
      id: "have", title: "Has", numeric: true,
      value: (peer) => (peer.complete ? torrent.pieces || 1 : peer.cells === "" ? null : peer.have),
      cell: (peer) => (peer.complete ? "100 %" : peer.cells === "" ? nothing : percent(peer.have, torrent.pieces)),
    },
    { id: "down", title: "↓", spoken: "Receives", numeric: true, value: (peer) => peer.down_rate, cell: (peer) => <span class="down">{rate_or_nothing(peer.down_rate)}</span> },
    { id: "up", title: "↑", spoken: "Sends", numeric: true, value: (peer) => peer.up_rate, cell: (peer) => <span class="up">{rate_or_nothing(peer.up_rate)}</span> },
  ];
  return (
    <Panel id="pieces" title={<><span class="kicker">Pieces of</span> <Foreign text={title(torrent)} /></>} tools={tools}>
      <p class="facts soft">
        {torrent.shared && <span>{size(torrent.size)}</span>}
        {torrent.shared && <span>{count(torrent.pieces)} pieces of {size(torrent.piece_length)}</span>}
        <span>{count(torrent.seeders)} seeders, {count(torrent.leechers)} leechers</span>
        {torrent.completed > 0 && <span>completed {count(torrent.completed)} times</span>}
      </p>
      <Table
        caption="Peers of the torrent and the pieces they have"
        columns={columns}
        rows={peers}
        key_of={(peer) => `${peer.address} ${peer.node}`}
        order={{ column: "pieces", descending: false }}
        step={50}
        empty={<p>Nobody is in this swarm now.</p>}
        first={
          swarm.length > 0 && (
            <tr role="row" class="all">
              <th role="rowheader" scope="row">All</th>
              <td role="cell" class="of-pieces"><CopiesStrip copies={swarm} /></td>
              <td role="cell" class="of-have number" colSpan={3}>
                {copies(torrent.health)} copies
              </td>
            </tr>
          )
        }
      />
      <details onToggle={(event) => set_open(event.currentTarget.open)}>
        <summary>{torrent.shared ? `Files (${count(torrent.file_count)}) and torrent file` : "What the hub knows"}</summary>
        {open && <More of={asked} torrent={torrent} />}
      </details>
      <p class="hidden">The picture has {count(cell_count(torrent.pieces))} cells a peer; the column “Has” says the same in numbers.</p>
    </Panel>
  );
}

function More({ of, torrent }: { of: Details | null; torrent: Details }) {
  const files = of?.files ?? [];
  return (
    <>
      <dl>
        <dt>Info-hash</dt>
        <dd class="mono">{torrent.hash}</dd>
        {torrent.added_at !== null && <><dt>Added</dt><dd>{date_and_clock(torrent.added_at)}</dd></>}
        {torrent.owners.length > 0 && <><dt>Shared by</dt><dd>{torrent.owners.slice(0, 20).map((owner) => <><Foreign text={owner} /> </>)}</dd></>}
        {torrent.shared && <><dt>Torrent</dt><dd><a href={metainfo_address(torrent.hash)} download={`${torrent.hash}.torrent`}>download the torrent file</a></dd></>}
      </dl>
      {!of && <p class="soft">Asking the hub.</p>}
      <ul class="files">
        {files.slice(0, files_max).map((file, place) => (
          <li key={place}><Foreign text={file.path} /> <span class="soft">{size(file.size)}</span></li>
        ))}
        {files.length > files_max && <li class="soft">and {count(files.length - files_max)} more</li>}
      </ul>
    </>
  );
}

/** What the stream does not carry, asked for when it is looked at. */
function useDetails(hash: string, wanted: boolean): Details | null {
  const [answer, set_answer] = useState<{ hash: string; details: Details | null } | null>(null);
  useEffect(() => {
    if (!wanted || !hash) return;
    const asking = new AbortController();
    void details(hash, asking.signal).then((found) => asking.signal.aborted || set_answer({ hash, details: found }));
    return () => asking.abort();
  }, [hash, wanted]);
  return answer?.hash === hash ? answer.details : null;
}
