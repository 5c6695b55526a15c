// The websocket: decodes messages, frees the credit after painting, asks for spectra, comes back by itself.

const KINDS = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, i2: Int16Array, i4: Int32Array, f4: Float32Array, f8: Float64Array };
const SILENCE_MS = 3000;

/** Split a binary message into its packets: of each the JSON envelope and the arrays. */
export function* decode(buffer) {
  const view = new DataView(buffer);
  for (let start = 0; start < buffer.byteLength; start += view.getUint32(start + 4, true)) {
    const length = view.getUint32(start, true);
    const envelope = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, start + 8, length)));
    const arrays = {};
    for (const entry of envelope.arrays) {
      const count = entry.shape.reduce((a, b) => a * b, 1);
      arrays[entry.name] = { ...entry, data: new KINDS[entry.dtype](buffer, start + 8 + length + entry.offset, count) };
    }
    yield { envelope, arrays };
  }
}

export class Link {
  /**
   * @param {string[]} channels what to be sent
   * @param {{put: Function, clock: Function, paint: Function, online: Function}} page
   */
  constructor(channels, page) {
    this.channels = channels;
    this.page = page;
    this.waiting = new Map();
    this.commands = new Map();
    this.asked = 0;
    this.retry = 300;
    this.heard = performance.now();
    setInterval(() => this.watch(), 500);
    // A page that the browser keeps for going back must not keep a viewer's place.
    addEventListener("pagehide", () => this.socket.close());
    this.open();
  }

  open() {
    this.socket = new WebSocket(`ws://${location.host}/state`);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => {
      this.retry = 300;
      this.heard = performance.now();
      this.say({ show: this.channels });
      if (this.replay) this.say(this.replay);
    };
    this.socket.onmessage = (event) => this.hear(event.data);
    this.socket.onclose = (event) => {
      // A replay that was refused is not asked for again.
      if (event.code === 1008) this.replay = null;
      this.page.online(false);
      for (const answer of this.waiting.values()) answer({ refused: "the connection was lost" });
      this.waiting.clear();
      for (const answer of this.commands.values()) answer({ accepted: false, said: "the connection was lost; it is not known whether that was heard" });
      this.commands.clear();
      setTimeout(() => this.open(), this.retry);
      this.retry = Math.min(this.retry * 1.7, 4000);
    };
  }

  say(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  hear(data) {
    this.heard = performance.now();
    if (typeof data === "string") {
      const said = JSON.parse(data);
      if (said.did !== undefined) {
        this.commands.get(said.did)?.(said);
        this.commands.delete(said.did);
        return;
      }
      this.page.clock(said.now_s);
      this.page.online(true);
      this.page.gone(said.gone);
      // What is gone is to leave the picture even where nothing else comes.
      if (said.gone.length) this.page.request();
      return;
    }
    let batch = 0;
    for (const { envelope, arrays } of decode(data)) {
      if (envelope.batch !== undefined) batch = envelope.batch;
      else if (envelope.reply === undefined) this.put(envelope, arrays);
      else {
        this.waiting.get(envelope.reply)?.({ ...envelope, arrays });
        this.waiting.delete(envelope.reply);
      }
    }
    // The credit comes back whatever happens while painting, or the page would stand still. A hidden tab gets no
    // animation frame, keeps its credit, and so is sent nothing.
    if (batch) requestAnimationFrame(() => { try { this.page.paint(); } finally { this.say({ ack: batch }); } });
  }

  /** One update that the page stumbles over does not cost it the others of its batch. */
  put(envelope, arrays) {
    try {
      this.page.put(envelope, arrays);
    } catch (error) {
      console.error(envelope.channel, error);
    }
  }

  /** A connection can be half dead: the server beats once a second, so a longer silence means that it is gone. */
  watch() {
    if (performance.now() - this.heard < SILENCE_MS) return;
    this.page.online(false);
    if (this.socket.readyState === WebSocket.OPEN) this.socket.close();
  }

  /** Ask the session for something; resolves to {accepted, said}. */
  command(request) {
    if (this.socket.readyState !== WebSocket.OPEN) return Promise.resolve({ accepted: false, said: "no connection to the page's server" });
    const id = ++this.asked;
    return new Promise((resolve) => {
      this.commands.set(id, resolve);
      this.say({ control: { ...request, id } });
    });
  }

  /**
   * Ask for the spectrum of a region, or with `what` "cut" for those along a line; resolves to {header, arrays} or
   * {refused}. Only the newest question of a kind is answered.
   */
  ask(region, what = "ask") {
    if (this.socket.readyState !== WebSocket.OPEN) return Promise.resolve({ refused: "no connection to the server" });
    const id = ++this.asked;
    return new Promise((resolve) => {
      this.waiting.set(id, resolve);
      if (this.waiting.size > 8) this.waiting.delete(this.waiting.keys().next().value);
      this.say({ [what]: { id, ...region } });
    });
  }
}
