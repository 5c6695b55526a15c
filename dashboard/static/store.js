// The newest value of each channel, and the server's clock.

const EMPTY = Object.freeze({});

export class Store {
  constructor() {
    this.values = new Map();
    this.offset = 0;
  }

  put(envelope, arrays) {
    if (envelope.channel === "events" || envelope.channel === "alarms") envelope.channel += `/${envelope.source}`;
    this.values.set(envelope.channel, { ...envelope, header: envelope.header ?? EMPTY, arrays });
  }

  /** Drop a channel that its publisher dropped. */
  drop(channel) { this.values.delete(channel); }

  /** Whether a value belongs to a run other than the one shown: a picture of another run is not part of this one. */
  isOther(value) {
    const uid = this.header("run").run_uid;
    return Boolean(uid && value.header.run_uid && value.header.run_uid !== uid);
  }

  get(channel) {
    const value = this.values.get(channel);
    return value && channel !== "run" && this.isOther(value) ? undefined : value;
  }

  header(channel) { return this.get(channel)?.header ?? EMPTY; }

  /** All values whose channel begins with `prefix`. */
  all(prefix) {
    const found = [];
    for (const [channel, value] of this.values) if (channel.startsWith(prefix) && !this.isOther(value)) found.push(value);
    return found;
  }

  /** Learn the server's clock: a browser on another machine may be minutes off. */
  clock(now) { this.offset = now - Date.now() / 1000; }

  /** Seconds since the epoch on the server's clock. */
  now() { return Date.now() / 1000 + this.offset; }
}
