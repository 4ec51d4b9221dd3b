import { beforeEach, describe, expect, it } from "vitest";
import { EventParser } from "../src/sse";
import { State } from "../src/state";
import { Stream, retry_max, silence_max } from "../src/stream";

describe("the event parser", () => {
  const all = (...parts: string[]) => {
    const parser = new EventParser();
    return parts.flatMap((part) => parser.push(part));
  };

  it("gives the same events wherever the bytes are cut, with any line end", () => {
    for (const end of ["\n", "\r\n", "\r"]) {
      const text = ["id: b-1", "event: delta", "data: {\"seq\":1}", "", ": keep-alive", "", "data:two", "data: lines", "", ""].join(end);
      const whole = all(text);
      expect(whole).toEqual([
        { name: "delta", id: "b-1", data: '{"seq":1}' },
        { name: "message", id: "b-1", data: "two\nlines" },
      ]);
      for (let cut = 0; cut <= text.length; ++cut) expect(all(text.slice(0, cut), text.slice(cut))).toEqual(whole);
      expect(all(...text)).toEqual(whole);
    }
  });

  it("gives nothing for comments, empty events and what is not ended", () => {
    expect(all(":\n\n", ": keep-alive\n\n", "event: delta\n\n", "data: x\n")).toEqual([]);
  });
});

/** A browser whose clock, timers and network the test moves. */
class Bench {
  time = 0;
  timers = new Map<number, { at: number; action: () => void }>();
  requests: { headers: Record<string, string>; signal: AbortSignal; send(text: string): void; end(): void }[] = [];
  replies: (() => Response | Promise<Response>)[] = [];
  private next_timer = 1;

  now = () => this.time;
  random = () => 0.5;
  set_timer = (action: () => void, delay: number) => {
    this.timers.set(this.next_timer, { at: this.time + delay, action });
    return this.next_timer++;
  };
  clear_timer = (timer: unknown) => void this.timers.delete(timer as number);

  fetch = async (_url: string, { headers, signal }: { headers: Record<string, string>; signal: AbortSignal }) => {
    let controller!: ReadableStreamDefaultController<Uint8Array>;
    const body = new ReadableStream<Uint8Array>({ start: (given) => void (controller = given) });
    signal.addEventListener("abort", () => {
      try {
        controller.error(new DOMException("aborted", "AbortError"));
      } catch {
        // it has ended
      }
    });
    this.requests.push({
      headers,
      signal,
      send: (text) => controller.enqueue(new TextEncoder().encode(text)),
      end: () => controller.close(),
    });
    const scripted = this.replies.shift();
    if (scripted) return scripted();
    return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  };

  /** Lets everything that is ready happen. */
  async settle() {
    for (let i = 0; i < 20; ++i) await new Promise((done) => setTimeout(done));
  }
  async pass(duration: number) {
    const until = this.time + duration;
    await this.settle();
    for (;;) {
      const due = [...this.timers].filter(([, timer]) => timer.at <= until).sort(([, a], [, b]) => a.at - b.at)[0];
      if (!due) break;
      this.timers.delete(due[0]);
      this.time = Math.max(this.time, due[1].at);
      due[1].action();
      await this.settle();
    }
    this.time = until;
  }
  get last() {
    return this.requests.at(-1)!;
  }
}

const snapshot = (boot: string, seq: number) =>
  `id: ${boot}-${seq}\nevent: snapshot\ndata: ${JSON.stringify({ seq, status: { name: boot, now: 1 }, nodes: {}, log: [] })}\n\n`;
const delta = (boot: string, seq: number) =>
  `id: ${boot}-${seq}\nevent: delta\ndata: {"seq":${seq},"set":{"nodes":{"n${seq}":{"id":"n${seq}"}}}}\n\n`;

describe("the stream", () => {
  let bench: Bench;
  let state: State;
  let stream: Stream;
  beforeEach(() => {
    bench = new Bench();
    state = new State();
    stream = new Stream("events", bench, (event) => state.apply(event.name, event.id, event.data, bench.time), () => {});
    stream.start();
  });

  it("is live once the snapshot came, and takes deltas", async () => {
    await bench.settle();
    expect(stream.link.phase).toBe("connecting");
    bench.last.send(snapshot("b1", 5) + delta("b1", 6));
    await bench.settle();
    expect(stream.link.phase).toBe("live");
    expect([...state.nodes.keys()]).toEqual(["n6"]);
    expect(bench.last.headers["Last-Event-ID"]).toBeUndefined();
  });

  it("resumes by the last id after a cut", async () => {
    await bench.settle();
    bench.last.send(snapshot("b1", 5) + delta("b1", 6));
    await bench.settle();
    bench.last.end();
    await bench.settle();
    expect(stream.link.phase).toBe("lost");
    await bench.pass(1000);
    expect(bench.requests).toHaveLength(2);
    expect(bench.last.headers["Last-Event-ID"]).toBe("b1-6");
    bench.last.send(delta("b1", 7));
    await bench.settle();
    expect(stream.link.phase).toBe("live");
    expect([...state.nodes.keys()]).toEqual(["n6", "n7"]);
  });

  it("starts over without an id after a gap", async () => {
    await bench.settle();
    bench.last.send(snapshot("b1", 5) + delta("b1", 7));
    await bench.settle();
    expect(stream.link).toMatchObject({ phase: "lost", why: "an update is missing" });
    expect(bench.last.signal.aborted).toBe(true);
    await bench.pass(1000);
    expect(bench.last.headers["Last-Event-ID"]).toBeUndefined();
    bench.last.send(snapshot("b1", 7) + delta("b1", 8));
    await bench.settle();
    expect(stream.link.phase).toBe("live");
    expect([...state.nodes.keys()]).toEqual(["n8"]);
  });

  it("takes the snapshot of a restarted hub in place of what it has", async () => {
    await bench.settle();
    bench.last.send(snapshot("b1", 5) + delta("b1", 6));
    await bench.settle();
    bench.last.end();
    await bench.pass(1000);
    bench.last.send(snapshot("b2", 0) + delta("b2", 1));
    await bench.settle();
    expect(state.status?.name).toBe("b2");
    expect([...state.nodes.keys()]).toEqual(["n1"]);
  });

  it("gives up a silent connection, but not a quiet one", async () => {
    await bench.settle();
    bench.last.send(snapshot("b1", 5));
    for (let i = 0; i < 10; ++i) {
      await bench.pass(15_000);
      bench.last.send(": keep-alive\n\n");
      await bench.settle();
    }
    expect(bench.requests).toHaveLength(1);
    await bench.pass(silence_max + 1);
    expect(stream.link).toMatchObject({ phase: "lost", why: "the hub is silent" });
    await bench.pass(1000);
    expect(bench.requests).toHaveLength(2);
    expect(bench.last.headers["Last-Event-ID"]).toBe("b1-5");
  });

  it("waits longer from try to try while the hub is away, and comes back", async () => {
    await bench.settle();
    bench.last.send(snapshot("b1", 5));
    await bench.pass(10_000);
    bench.replies = Array.from({ length: 100 }, () => () => Promise.reject(new TypeError("refused")));
    bench.last.end();
    await bench.pass(600_000);
    const tries = bench.requests.length;
    expect(tries).toBeGreaterThan(30);
    expect(tries).toBeLessThan(60);
    expect(stream.link.why).toBe("the hub cannot be reached");
    bench.replies = [];
    await bench.pass(15_000);
    bench.last.send(snapshot("b2", 0));
    await bench.settle();
    expect(stream.link.phase).toBe("live");
  });

  it("waits as long as the hub asks, but not for ever", async () => {
    stream.stop();
    for (const [asked, least, most] of [["7", 5000, 9000], ["100000", 30_000, retry_max * 1.2]] as const) {
      bench = new Bench();
      bench.replies = [() => new Response("{}", { status: 503, headers: { "Retry-After": asked } })];
      stream = new Stream("events", bench, () => "ignored", () => {});
      stream.start();
      await bench.settle();
      expect(stream.link.why).toBe("the hub answered 503");
      await bench.pass(least);
      expect(bench.requests).toHaveLength(1);
      await bench.pass(most - least);
      expect(bench.requests).toHaveLength(2);
      stream.stop();
    }
  });

  it("takes nothing for a stream that is none", async () => {
    stream.stop();
    bench = new Bench();
    bench.replies = [() => new Response("<html>", { headers: { "Content-Type": "text/html" } })];
    stream = new Stream("events", bench, () => "applied", () => {});
    stream.start();
    await bench.settle();
    expect(stream.link).toMatchObject({ phase: "lost", why: "the answer is no event stream" });
  });

  it("tries at once when told to hurry, and never twice at a time", async () => {
    await bench.settle();
    stream.hurry();
    stream.start();
    await bench.settle();
    expect(bench.requests).toHaveLength(1);
    bench.last.end();
    await bench.settle();
    stream.hurry();
    stream.hurry();
    await bench.settle();
    expect(bench.requests).toHaveLength(2);
  });

  it("leaves nothing behind when stopped", async () => {
    await bench.settle();
    stream.stop();
    await bench.settle();
    expect(bench.timers.size).toBe(0);
    expect(bench.last.signal.aborted).toBe(true);
    await bench.pass(100_000);
    expect(bench.requests).toHaveLength(1);
  });
});
