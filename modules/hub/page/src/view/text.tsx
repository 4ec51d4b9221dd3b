import { date_and_clock, machine_time, rough_duration, visible } from "../format";

/** A stranger's text: shown as text, its direction kept to itself, cut by the style sheet where it is long. */
export function Foreign({ text, max, title = true }: { text: string; max?: number; title?: boolean }) {
  const shown = visible(text, max);
  return (
    <bdi class="foreign" title={title && shown.length > 12 ? shown : undefined}>
      {shown}
    </bdi>
  );
}

/** How long ago, with the date for who points at it. */
export function Age({ at, now }: { at: number; now: number }) {
  return (
    <time dateTime={machine_time(at)} title={date_and_clock(at)}>
      {rough_duration((now - at) / 1000)}
    </time>
  );
}
