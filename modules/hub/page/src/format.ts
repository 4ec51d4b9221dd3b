// Numbers, times and strangers' texts as people read them. Nothing here needs a DOM.

/** What is shown where there is no value. */
export const nothing = "–";

const steps = ["B", "kB", "MB", "GB", "TB", "PB"] as const;

/** Three digits and a unit: ["118", "MB"]. Decimal, as networks and disks are sold. */
export function quantity(bytes: number): [string, string] {
  if (!Number.isFinite(bytes) || bytes < 0) return [nothing, ""];
  let unit = 0;
  let value = bytes;
  // 999.5 would be rounded to "1000".
  while (value >= (unit === 0 ? 1000 : 999.5) && unit < steps.length - 1) {
    value /= 1000;
    ++unit;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return [value.toFixed(digits), steps[unit]!];
}

export function size(bytes: number): string {
  return quantity(bytes).join(" ").trim();
}

export function rate(bytes_per_second: number): string {
  const [value, unit] = quantity(bytes_per_second);
  return unit ? `${value} ${unit}/s` : value;
}

/** A rate in a column: nothing moves, nothing is shown. */
export function rate_or_nothing(bytes_per_second: number): string {
  return bytes_per_second >= 1 ? rate(bytes_per_second) : nothing;
}

/** 12 345 with a narrow space that does not break. */
export function count(value: number): string {
  if (!Number.isFinite(value)) return nothing;
  return Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

export function per_second(value: number): string {
  if (!Number.isFinite(value)) return nothing;
  return value >= 99.95 ? count(value) : value >= 9.95 || value === 0 ? value.toFixed(0) : value.toFixed(1);
}

/** A length of time in at most two units: "42 s", "5 min", "3 h 12 min", "4 d 2 h". */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return nothing;
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  const days = Math.floor(hours / 24);
  return hours % 24 && days < 10 ? `${days} d ${hours % 24} h` : `${days} d`;
}

/** The same in its greater unit, for a column. */
export function rough_duration(seconds: number): string {
  return duration(seconds).split(" ").slice(0, 2).join(" ");
}

/** Share of the pieces held. "100 %" is said of all of them only, "0 %" of none only. */
export function percent(have: number, pieces: number): string {
  if (!(pieces > 0)) return nothing;
  const part = Math.floor((have * 100) / pieces);
  if (have > 0 && part === 0) return "< 1 %";
  return `${Math.min(part, have >= pieces ? 100 : 99)} %`;
}

export function ratio(value: number | null): string {
  if (value === null || !Number.isFinite(value)) return nothing;
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export type Wellness = "unknown" | "broken" | "thin" | "good";

/** What a number of copies means: below one nobody can finish, below two one node more may leave. */
export function wellness(health: number | null): Wellness {
  if (health === null || !Number.isFinite(health)) return "unknown";
  return health < 1 ? "broken" : health < 2 ? "thin" : "good";
}

/** Copies, cut and not rounded: 0.999 is no whole copy. */
export function copies(health: number | null): string {
  if (health === null || !Number.isFinite(health)) return nothing;
  return health >= 10 ? count(Math.floor(health)) : (Math.floor(health * 100 + 1e-6) / 100).toFixed(2);
}

const two = (value: number): string => String(value).padStart(2, "0");

/** Time of day, here. */
export function clock(at: number, with_seconds = true): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return nothing;
  const short = `${two(date.getHours())}:${two(date.getMinutes())}`;
  return with_seconds ? `${short}:${two(date.getSeconds())}` : short;
}

export function date_and_clock(at: number): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return nothing;
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock(at)}`;
}

/** For `<time datetime>`. */
export function machine_time(at: number): string {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? "" : date.toISOString();
}

/** Characters of a stranger's text that are shown; the rest is an ellipsis. */
export const text_max = 300;

// Controls, and what has no shape of its own but moves or hides its neighbours: direction marks, separators, invisible
// and deprecated format characters, tags. The joiners U+200C and U+200D stay: scripts and emoji need them.
const unseen =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;
const lone_surrogate = /\p{Surrogate}/gu;

/** A stranger's text with nothing invisible left in it, and of bearable length. */
export function visible(text: unknown, max = text_max): string {
  if (typeof text !== "string") return "";
  // Cut before and after: the first bounds the work, the second the result.
  let cut = text.length > max * 2 ? text.slice(0, max * 2) : text;
  cut = cut.replace(lone_surrogate, "\ufffd").replace(unseen, (found) => {
    const code = found.codePointAt(0)!;
    if (code < 0x20) return String.fromCodePoint(0x2400 + code); // ␀ and its like
    if (code === 0x7f) return "\u2421";
    return `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  });
  const characters = [...cut];
  if (characters.length <= max && cut.length >= text.length) return cut;
  return characters.length > max || cut.length < text.length ? `${characters.slice(0, max).join("")}…` : cut;
}

export function short_hash(hash: string): string {
  return visible(hash, 10).replace("…", "");
}

/** A torrent's name, or its hash where nobody told the name. */
export function title(torrent: { name: string; hash: string }): string {
  return visible(torrent.name) || visible(torrent.hash, 40);
}
