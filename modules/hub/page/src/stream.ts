import { EventParser, type ServerEvent } from "./sse";
import type { Outcome } from "./state";

/** The hub is silent for 15 s at most; two and a half of that is a dead connection. */
export const silence_max = 37_500;
/** Waits before the first, second, ... further try; the last one repeats. A wall display comes back by itself. */
export const retry_after = [500, 1000, 2000, 4000, 8000, 15_000] as const;
/** A connection that lasted this long was a good one: the waits begin anew. */
export const good_after = 5000;
/** However long the hub asks for, a page that is looked at tries again. */
export const retry_max = 60_000;

export interface Link {
  phase: "connecting" | "live" | "lost";
  /** When the hub was last heard, on `Outside.now`'s clock; null before the first byte. */
  heard_at: number | null;
  /** When the next try begins, while lost and waiting. */
  retry_at: number | null;
  /** Why it was lost, in a few words. */
  why: string;
}

/** What the stream needs of the browser; the tests bring their own. */
export interface Outside {
  fetch(url: string, options: { headers: Record<string, string>; signal: AbortSignal }): Promise<Response>;
  now(): number;
  /** In [0, 1). */
  random(): number;
  set_timer(action: () => void, delay: number): unknown;
  clear_timer(timer: unknown): void;
}

/**
 * Keeps one event stream to the hub open.
 *
 * Reads it with `fetch`, not `EventSource`: that one hides comments, so it cannot tell a quiet hub from a connection
 * that died while a laptop slept, and it gives up for good when the hub answers 503.
 */
export class Stream {
  link: Link = { phase: "connecting", heard_at: null, retry_at: null, why: "" };

  private last_id = "";
  private tries = 0;
  private current: AbortController | null = null;
  private timer: unknown = null;
  private watch: unknown = null;

  constructor(
    private readonly url: string,
    private readonly outside: Outside,
    /** Takes an event; says `gap` when the stream has to start over. */
    private readonly take: (event: ServerEvent) => Outcome,
    private readonly changed: () => void,
  ) {}

  start(): void {
    if (this.current || this.timer !== null) return;
    void this.open();
  }

  stop(): void {
    this.cancel_timers();
    this.current?.abort();
    this.current = null;
  }

  /** Tries now instead of at `retry_at`: the network came back, or somebody looks. */
  hurry(): void {
    if (this.timer === null) return;
    this.cancel_timers();
    void this.open();
  }

  private async open(): Promise<void> {
    const attempt = new AbortController();
    this.current = attempt;
    let why = "the connection ended";
    let wait_at_least = 0;
    const opened_at = this.outside.now();
    try {
      this.listen_for_silence(attempt);
      const headers: Record<string, string> = { Accept: "text/event-stream" };
      if (this.last_id) headers["Last-Event-ID"] = this.last_id;
      const reply = await this.outside.fetch(this.url, { headers, signal: attempt.signal });
      if (!reply.ok || !reply.body) {
        wait_at_least = Number(reply.headers.get("Retry-After") ?? 0) * 1000 || 0;
        void reply.body?.cancel();
        throw new Error(reply.status === 200 ? "the answer is empty" : `the hub answered ${reply.status}`);
      }
      if (!/^text\/event-stream\b/i.test(reply.headers.get("Content-Type") ?? "")) {
        void reply.body.cancel();
        throw new Error("the answer is no event stream");
      }
      why = await this.read(reply.body, attempt);
    } catch (error) {
      if (attempt.signal.reason === "silent") why = "the hub is silent";
      else if (error instanceof TypeError) why = "the hub cannot be reached";
      else if (error instanceof Error) why = error.message;
    }
    if (this.current !== attempt) return; // stopped
    attempt.abort(); // lets go of the connection when this side ended it
    this.current = null;
    if (this.outside.now() - opened_at >= good_after) this.tries = 0;
    this.try_again(why, wait_at_least);
  }

  private async read(body: ReadableStream<Uint8Array>, attempt: AbortController): Promise<string> {
    const reader = body.getReader();
    const decoder = new TextDecoder();
    const parser = new EventParser();
    for (;;) {
      const { done, value } = await reader.read();
      if (attempt.signal.aborted) throw new Error("the hub is silent");
      if (done) return "the connection ended";
      this.listen_for_silence(attempt);
      const now = this.outside.now();
      for (const event of parser.push(decoder.decode(value, { stream: true }))) {
        const outcome = this.take(event);
        if (outcome === "gap") {
          this.last_id = "";
          return "an update is missing";
        }
        if (event.id) this.last_id = event.id;
      }
      const was = this.link.phase;
      // Bytes alone do not make the page live: it is once an event was taken, or when it resumed what it has.
      const live = this.last_id !== "";
      this.link = live ? { phase: "live", heard_at: now, retry_at: null, why: "" } : { ...this.link, heard_at: now };
      if (was !== this.link.phase) this.changed();
    }
  }

  private listen_for_silence(attempt: AbortController): void {
    if (this.watch !== null) this.outside.clear_timer(this.watch);
    this.watch = this.outside.set_timer(() => attempt.abort("silent"), silence_max);
  }

  private try_again(why: string, wait_at_least: number): void {
    this.cancel_timers();
    const delay = retry_after[Math.min(this.tries++, retry_after.length - 1)]!;
    // Spread out, so that fifty pages do not come back to a restarted hub in one instant.
    const wait = Math.min(Math.max(delay, wait_at_least), retry_max) * (0.8 + 0.4 * this.outside.random());
    this.link = { phase: "lost", heard_at: this.link.heard_at, retry_at: this.outside.now() + wait, why };
    this.timer = this.outside.set_timer(() => {
      this.timer = null;
      void this.open();
    }, wait);
    this.changed();
  }

  private cancel_timers(): void {
    if (this.timer !== null) this.outside.clear_timer(this.timer);
    if (this.watch !== null) this.outside.clear_timer(this.watch);
    this.timer = this.watch = null;
  }
}
