import { useReducer } from "preact/hooks";
import { clock, duration, visible } from "../format";
import type { State } from "../state";
import type { Link } from "../stream";
import { next_theme, theme } from "../theme";

const words = { connecting: "Connecting", live: "Live", lost: "Connection lost" } as const;

export function Head({ state, link, now }: { state: State; link: Link; now: number }) {
  const [, redraw] = useReducer((value: number, _: void) => value + 1, 0);
  const { status } = state;
  return (
    <header class="head">
      <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
        <path d="M3 9q8-7 16 0l5-3v6l-5-3q-8 7-16 0z" />
        <path d="M9 17q8-7 16 0l5-3v6l-5-3q-8 7-16 0z" />
        <path d="M3 25q8-7 16 0l5-3v6l-5-3q-8 7-16 0z" />
      </svg>
      <h1>Shoal</h1>
      <p class="host">
        <span>{location.host}</span>
        {status && (
          <span class="soft">
            {visible(status.name, 60)} {visible(status.version, 30)}, up {duration((now - status.started_at) / 1000)}
          </span>
        )}
      </p>
      {/* The one live region: it speaks when the connection comes or goes, and at no other time. */}
      <p class={`link ${link.phase}`} role="status">
        <span class="dot" aria-hidden="true" />
        {words[link.phase]}
      </p>
      <time class="clock" dateTime={clock(Date.now(), false)}>
        {clock(Date.now(), false)}
      </time>
      <button
        type="button"
        class="theme"
        onClick={() => {
          next_theme();
          redraw();
        }}
      >
        Theme: {theme()}
      </button>
    </header>
  );
}

/** Says how old what you see is, for as long as the hub does not answer. */
export function Lost({ state, link }: { state: State; link: Link }) {
  if (link.phase !== "lost") return null;
  const now = performance.now();
  const wait = link.retry_at === null ? 0 : Math.ceil((link.retry_at - now) / 1000);
  return (
    <div class="lost">
      <strong>Connection lost: {link.why}.</strong>{" "}
      {state.status && link.heard_at !== null
        ? `What you see is ${duration((now - link.heard_at) / 1000)} old.`
        : "Nothing has been received yet."}{" "}
      {wait > 0 ? `Next try in ${wait} s.` : "Trying now."}
    </div>
  );
}
