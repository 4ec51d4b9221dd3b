import "uplot/dist/uPlot.min.css";
import "./page.css";
import { render } from "preact";
import { api } from "./api";
import { State } from "./state";
import { Stream } from "./stream";
import { App } from "./view/app";

const place = document.getElementById("page")!;
const state = new State();

const stream = new Stream(
  `${api}/events`,
  {
    fetch: (url, options) => fetch(url, { ...options, cache: "no-store" }),
    now: () => performance.now(),
    random: Math.random,
    set_timer: (action, delay) => setTimeout(action, delay),
    clear_timer: (timer) => clearTimeout(timer as number),
  },
  (event) => {
    const outcome = state.apply(event.name, event.id, event.data, Date.now());
    if (outcome === "applied") draw_soon();
    return outcome;
  },
  () => draw_soon(),
);

let drawing = 0;
function draw_soon(): void {
  // A hidden tab gets no frame: it takes the events in, and is drawn once when somebody looks.
  if (!drawing) drawing = requestAnimationFrame(draw);
}
function draw(): void {
  drawing = 0;
  render(<App state={state} link={stream.link} />, place);
}

draw();
stream.start();
setInterval(draw_soon, 1000); // ages and clocks
addEventListener("online", () => stream.hurry());
document.addEventListener("visibilitychange", () => document.hidden || stream.hurry());
// A page that is kept for "back" must not keep a connection of the hub.
addEventListener("pagehide", () => stream.stop());
addEventListener("pageshow", (event) => event.persisted && stream.start());
