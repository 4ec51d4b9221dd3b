/** One server-sent event. */
export interface ServerEvent {
  name: string;
  /** The last id that the stream has named, as the standard has it. */
  id: string;
  data: string;
}

/** Takes a stream of server-sent events apart. Text in, events out. */
export class EventParser {
  private rest = "";
  /** Up to here `rest` has no line end: a snapshot comes in hundreds of parts, and each is looked at once. */
  private searched = 0;
  private after_return = false;
  private name = "";
  private id = "";
  private data: string[] = [];

  push(text: string): ServerEvent[] {
    const events: ServerEvent[] = [];
    if (this.after_return && text.startsWith("\n")) text = text.slice(1); // CR LF that came in two parts
    if (text !== "") this.after_return = false;
    this.rest += text;
    let from = 0;
    const line_end = /\r\n|\r|\n/g;
    line_end.lastIndex = this.searched;
    for (let end = line_end.exec(this.rest); end; end = line_end.exec(this.rest)) {
      this.line(this.rest.slice(from, end.index), events);
      from = line_end.lastIndex;
      if (end[0] === "\r" && from === this.rest.length) this.after_return = true;
    }
    this.rest = this.rest.slice(from);
    this.searched = this.rest.length;
    return events;
  }

  private line(line: string, events: ServerEvent[]): void {
    if (line === "") {
      if (this.data.length > 0) events.push({ name: this.name || "message", id: this.id, data: this.data.join("\n") });
      this.name = "";
      this.data = [];
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment: it only says that the hub is alive
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "event") this.name = value;
    else if (field === "data") this.data.push(value);
    else if (field === "id" && !value.includes("\0")) this.id = value;
  }
}
