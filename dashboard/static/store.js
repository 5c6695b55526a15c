// The newest value of each channel, and the server's clock.

const EMPTY = Object.freeze({});

export class Store {
  constructor() {
    this.values = new Map();
    this.offset = 0;
  }

  put(envelope, arrays) {
    if (envelope.channel === "events") envelope.channel = `events/${envelope.source}`;
    this.values.set(envelope.channel, { ...envelope, header: envelope.header ?? EMPTY, arrays });
    if (envelope.channel === "run") this.forgetOtherRuns(envelope.header.run_uid);
  }

  /** A picture of another run is not part of this one. */
  forgetOtherRuns(uid) {
    if (uid === this.run) return;
    this.run = uid;
    for (const [channel, value] of this.values) {
      if (value.header.run_uid && value.header.run_uid !== uid && value.source === "builder") this.values.delete(channel);
    }
  }

  get(channel) { return this.values.get(channel); }
  header(channel) { return this.values.get(channel)?.header ?? EMPTY; }

  /** All values whose channel begins with `prefix`. */
  all(prefix) {
    const found = [];
    for (const [channel, value] of this.values) if (channel.startsWith(prefix)) found.push(value);
    return found;
  }

  /** Learn the server's clock: a browser on another machine may be minutes off. */
  clock(now) { this.offset = now - Date.now() / 1000; }

  /** Seconds since the epoch on the server's clock. */
  now() { return Date.now() / 1000 + this.offset; }
}
