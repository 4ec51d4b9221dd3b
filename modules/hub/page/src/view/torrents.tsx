import { useEffect, useMemo, useState } from "preact/hooks";
import { find } from "../api";
import { copies, count, rate_or_nothing, size, title, wellness, nothing, visible } from "../format";
import { matching } from "../search";
import type { State } from "../state";
import type { Torrent } from "../types";
import { Panel } from "./panel";
import { Table, type Column } from "./table";
import { Foreign } from "./text";

/** Asked of the hub at once, when the stream does not carry all torrents. */
const found_max = 200;

/** What the hub finds besides: nothing to ask while the stream has told of every torrent. */
function useFound(query: string, complete: boolean): Torrent[] {
  const [found, set_found] = useState<Torrent[]>([]);
  useEffect(() => {
    set_found([]);
    if (complete || query.trim() === "") return;
    const asking = new AbortController();
    const timer = setTimeout(async () => {
      const answer = await find(query, found_max, asking.signal);
      if (!asking.signal.aborted) set_found(answer);
    }, 250);
    return () => {
      clearTimeout(timer);
      asking.abort();
    };
  }, [query, complete]);
  return found;
}

export function Torrents({ state, busy, selected, select }: {
  state: State;
  busy: ReadonlyMap<string, number>;
  selected: string;
  select: (hash: string) => void;
}) {
  const [query, set_query] = useState("");
  const complete = !state.status || state.torrents.size >= Math.max(state.status.torrents, state.status.catalogue);
  const elsewhere = useFound(query, complete);
  const rows = useMemo(
    () => [...matching(state.torrents.values(), query), ...elsewhere.filter((one) => !state.torrents.has(one.hash))],
    [state.version, query, elsewhere],
  );
  const columns: Column<Torrent>[] = [
    { id: "name", title: "Name", value: (row) => row.name || null, cell: (row) => <Name torrent={row} current={row.hash === selected} /> },
    { id: "size", title: "Size", numeric: true, value: (row) => (row.shared ? row.size : null), cell: (row) => (row.shared ? size(row.size) : nothing) },
    { id: "seeders", title: "Seeders", numeric: true, value: (row) => row.seeders, cell: (row) => count(row.seeders) },
    { id: "leechers", title: "Leechers", numeric: true, value: (row) => row.leechers, cell: (row) => count(row.leechers) },
    { id: "health", title: "Copies", spoken: "Health, in copies", numeric: true, value: (row) => row.health, cell: (row) => <Health value={row.health} /> },
    // Those that move come first, then those that are waited for: the top of the list is what happens.
    {
      id: "now", title: "Now", spoken: "Rate now", numeric: true,
      value: (row) => (busy.get(row.hash) ?? 0) + Math.min(row.leechers, 999) / 1000,
      cell: (row) => rate_or_nothing(busy.get(row.hash) ?? 0),
    },
  ];
  return (
    <Panel
      id="torrents"
      title={<>Torrents <span class="count">{query ? `${count(rows.length)} of ${count(state.torrents.size)}` : count(state.torrents.size)}</span></>}
      tools={
        <input
          type="search"
          aria-label="Search torrents by name, hash or owner"
          placeholder="Search"
          autocomplete="off"
          spellcheck={false}
          maxLength={200}
          value={query}
          onInput={(event) => set_query(event.currentTarget.value)}
        />
      }
    >
      <Table
        caption="Torrents"
        columns={columns}
        rows={rows}
        key_of={(row) => row.hash}
        order={{ column: "now", descending: true }}
        step={50}
        selected={selected}
        select={(row) => select(row.hash)}
        empty={query ? <p>Nothing is called “{visible(query, 60)}”.</p> : <Invitation ready={state.status !== null} />}
      />
    </Panel>
  );
}

function Name({ torrent, current }: { torrent: Torrent; current: boolean }) {
  return (
    <a href={`#${torrent.hash}`} aria-current={current ? "true" : undefined} class={torrent.name ? "" : "mono"}>
      <Foreign text={title(torrent)} />
      {torrent.private && <span class="tag">private</span>}
    </a>
  );
}

const meanings = { unknown: "not told", broken: "pieces are missing", thin: "one node may not leave", good: "safe" } as const;

export function Health({ value }: { value: number | null }) {
  const state = wellness(value);
  if (state === "unknown") return <span class="soft" title={meanings.unknown}>{nothing}</span>;
  return (
    <span class={`health ${state}`} title={meanings[state]}>
      {copies(value)}
      {state === "broken" && <span class="hidden"> ({meanings.broken})</span>}
    </span>
  );
}

function Invitation({ ready }: { ready: boolean }) {
  if (!ready) return <p>Waiting for the hub.</p>;
  return (
    <>
      <p>Nothing is shared yet. Share a folder:</p>
      <p><code>peer share FOLDER --tracker {location.origin}/announce</code></p>
    </>
  );
}
