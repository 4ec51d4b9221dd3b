export type Choice = "system" | "light" | "dark";
const choices: readonly Choice[] = ["system", "light", "dark"];
const place = "shoal-theme";
const wants_light = matchMedia("(prefers-color-scheme: light)");

let choice: Choice = "system";
const listeners = new Set<() => void>();

try {
  const kept = localStorage.getItem(place) as Choice;
  if (choices.includes(kept)) choice = kept;
} catch {
  // storage is forbidden: the choice lasts as long as the page
}

/** What is drawn on canvases, in the theme's colours. */
export type Palette = Record<"text" | "soft" | "line" | "track" | "accent" | "second" | "fresh" | "thin" | "broken", string>;
let palette: Palette | null = null;

function show(): void {
  const light = choice === "system" ? wants_light.matches : choice === "light";
  document.documentElement.dataset["theme"] = light ? "light" : "dark";
  palette = null;
  for (const listener of listeners) listener();
}

export function theme(): Choice {
  return choice;
}

export function next_theme(): void {
  choice = choices[(choices.indexOf(choice) + 1) % choices.length]!;
  try {
    localStorage.setItem(place, choice);
  } catch {
    // as above
  }
  show();
}

export function colours(): Palette {
  if (!palette) {
    const style = getComputedStyle(document.documentElement);
    const of = (name: string) => style.getPropertyValue(`--${name}`).trim();
    palette = {
      text: of("text"), soft: of("soft"), line: of("line"), track: of("track"), accent: of("accent"),
      second: of("second"), fresh: of("fresh"), thin: of("thin"), broken: of("broken"),
    };
  }
  return palette;
}

export function on_theme(listener: () => void): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

wants_light.addEventListener("change", show);
show();
