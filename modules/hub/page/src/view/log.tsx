import { useState } from "preact/hooks";
import { clock, count, date_and_clock, machine_time, visible } from "../format";
import type { State } from "../state";
import { useNarrow } from "./measure";
import { Panel } from "./panel";
import { Foreign } from "./text";


/** What happened, newest first. */
export function Log({ state }: { state: State }) {
  const step = useNarrow() ? 12 : 60;
  const [more, set_more] = useState(0);
  const limit = step * (1 + more);
  const entries = state.log;
  const shown = entries.slice(-limit).reverse();
  return (
    <Panel id="log" title={<>Events <span class="count">{count(entries.length)}</span></>}>
      {entries.length === 0 && <div class="empty"><p>Nothing has happened yet.</p></div>}
      <ol>
        {shown.map((entry) => (
          <li key={entry.id}>
            <time dateTime={machine_time(entry.at)} title={date_and_clock(entry.at)}>{clock(entry.at)}</time>
            <span class="what">
              <span class={`kind ${kinds.get(entry.kind) ?? "plain"}`}>{visible(entry.kind, 20)}</span>{" "}
              {entry.torrent && state.torrents.has(entry.torrent)
                ? <a href={`#${entry.torrent}`}><Foreign text={entry.text} title={false} /></a>
                : <Foreign text={entry.text} title={false} />}
            </span>
          </li>
        ))}
      </ol>
      {entries.length > limit && (
        <button type="button" class="more" onClick={() => set_more(more + 1)}>
          Show {count(Math.min(step, entries.length - limit))} more of {count(entries.length - limit)}
        </button>
      )}
    </Panel>
  );
}

/** The word says it; the colour only helps. */
const kinds = new Map([
  ["connected", "good"],
  ["completed", "good"],
  ["published", "good"],
  ["waiting", "thin"],
  ["refused", "broken"],
]);
