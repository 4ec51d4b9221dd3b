import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Follower, rates } from "../follow";
import { quantity } from "../format";
import type { State } from "../state";
import type { Link } from "../stream";
import { Charts } from "./charts";
import { Flow } from "./flow";
import { Head, Lost } from "./head";
import { Log } from "./log";
import { Nodes } from "./nodes";
import { Numbers } from "./numbers";
import { Pieces } from "./pieces";
import { Torrents } from "./torrents";

/** The torrent that the address names, so that a reload shows it again. */
function chosen_hash(): string {
  const hash = location.hash.slice(1).toLowerCase();
  return /^[0-9a-f]{40}$/.test(hash) ? hash : "";
}

export function App({ state, link }: { state: State; link: Link }) {
  const [chosen, set_chosen] = useState(chosen_hash);
  const follower = useRef(new Follower());
  const main = useRef<HTMLElement>(null);
  useEffect(() => {
    const look = () => set_chosen(chosen_hash());
    addEventListener("hashchange", look);
    return () => removeEventListener("hashchange", look);
  }, []);

  const busy = useMemo(() => rates(state.transfers.values()), [state.version]);
  const shown = chosen || follower.current.choose(state.torrents, busy, performance.now());
  const now = Date.now() + state.clock_ahead;

  // What stays the same object is not drawn again: a second that passes moves clocks and ages only.
  const still = useMemo(() => ({
    numbers: <Numbers state={state} />,
    left: [
      <Torrents key="torrents" state={state} busy={busy} selected={shown} select={(hash) => (location.hash = hash)} />,
      <Pieces key={shown} state={state} hash={shown} chosen={chosen !== ""} follow={() => (location.hash = "")} />,
    ],
    flow: <Flow state={state} />,
    right: [<Charts key="charts" state={state} />, <Log key="log" state={state} />],
  }), [state.version, shown, chosen]);

  useEffect(() => {
    const moved = state.status ? quantity(state.status.up_rate).join(" ") : "";
    const text = link.phase === "lost" ? "Connection lost · Shoal" : state.status ? `${state.status.nodes} nodes · ${moved}/s · Shoal` : "Shoal";
    if (document.title !== text) document.title = text;
  });

  return (
    <>
      <button type="button" class="skip" onClick={() => main.current?.focus()}>Skip to the content</button>
      <Head state={state} link={link} now={now} />
      <Lost state={state} link={link} />
      <main ref={main} tabIndex={-1} class={link.phase === "lost" && state.status ? "stale" : ""}>
        {still.numbers}
        <div class="panels">
          <div class="column">{still.left}</div>
          <div class="column">
            {still.flow}
            <Nodes state={state} now={now} />
          </div>
          <div class="column">{still.right}</div>
        </div>
      </main>
    </>
  );
}
