// The system page: every process with age, queue, rate, lag and last error; alarms, latched until acknowledged.

import { Panel } from "./panel.js";
import { clock, duration, fixed, make, shape, write } from "./text.js";

const WHAT = {
  web: "this page's server", builder: "assembles and stores maps", camera: "frame source and archive",
  monitor: "watches the instruments", session: "runs the plan", guard: "holds interlocks and history", tiled: "catalogue of runs", worker: "fits spectra",
};
const KEPT = "acknowledged";

/** The newest error that a publisher told of. */
function lastError(store, source) {
  const events = store.get(`events/${source}`)?.header.events ?? [];
  return events.findLast((event) => event.severity === "MAJOR" || event.severity === "INVALID");
}

export class ProcessesPanel extends Panel {
  constructor(view, page) {
    super(view, page);
    this.metrics = page.description.metrics;
  }

  /** The name of a process, and the way to its numbers. */
  name(name) {
    const url = Object.hasOwn(this.metrics, name) && this.metrics[name];
    if (!url) return make("b", "", ` ${name}`);
    const link = make("a", "metrics", "metrics");
    link.href = url;
    link.title = `numbers of ${name} for Prometheus`;
    return make("span", "", make("b", "", ` ${name}`), " ", link);
  }

  reads(channel) { return super.reads(channel) || channel === "sources"; }

  beat() {
    super.beat();
    this.paint();
  }

  rows() {
    const { store } = this;
    const { silence_s: silence = {}, web } = store.header("sources");
    const [camera, sweep, workers] = [store.header("camera"), store.header("sweep"), store.header("workers")];
    const behind = Math.max(0, (sweep.frames_sent ?? 0) - (sweep.frames_added ?? 0) - (sweep.frames_lost ?? 0));
    const devices = store.all("device/");
    const rows = Object.entries(silence).map(([name, silent]) => {
      const lost = this.page.silence(name) > 0;
      const row = { name, state: silent === null ? "never" : lost ? "lost" : silent > 5 ? "ended" : "heard", age: silent };
      if (name === "camera") {
        Object.assign(row, { queue: Number.isFinite(camera.ring_fill) ? `ring ${fixed(100 * camera.ring_fill, 0)} %` : "" });
        Object.assign(row, { rate: camera.rate_hz > 0 ? `${fixed(camera.rate_hz, 0)} frames/s` : "", lag: camera.state ?? "" });
      } else if (name === "builder") {
        Object.assign(row, { queue: `${behind} frames`, lag: `${workers.frames_lost ?? 0} frames lost` });
        row.rate = Number.isFinite(sweep.revision) ? `revision ${sweep.revision}` : "";
      } else if (name === "monitor") {
        const gone = devices.filter((value) => value.header.connected === false).length;
        Object.assign(row, { queue: `${devices.length} instruments`, lag: gone ? `${gone} not connected` : "all connected" });
      } else if (name === "session") {
        const plan = store.header("plan");
        row.lag = silent === null ? "" : plan.points_planned ? `${plan.points_done} of ${plan.points_planned} temperatures` : "no plan";
      }
      return row;
    });
    for (const worker of workers.workers ?? []) {
      rows.push({
        name: worker.name, kind: "worker", state: worker.alive ? "heard" : "lost",
        age: Number.isFinite(worker.last_seen_s) && worker.last_seen_s > 1e9 ? store.now() - worker.last_seen_s : worker.last_seen_s,
        queue: `${worker.bands} bands`, rate: worker.fits_per_s > 0 ? `${fixed(worker.fits_per_s / 1000, 1)} k fits/s` : "idle",
        lag: `busy ${fixed(100 * (worker.busy_fraction ?? 0), 0)} %${worker.leases_lost ? `, ${worker.leases_lost} leases moved` : ""}`,
      });
    }
    if (web) rows.push({ name: "web", state: this.page.isOnline ? "heard" : "lost", age: this.ageNow(), queue: `${web.viewers} ${web.viewers === 1 ? "viewer" : "viewers"}`, rate: `${fixed(web.memory_mb, 0)} MB`, lag: `up ${duration(web.uptime_s)}` });
    const shelf = store.header("runs");
    if (shelf.tiled) rows.push({ name: "tiled", state: shelf.tiled_answers ? "heard" : "lost", age: store.now() - store.get("runs").time_s, queue: `${(shelf.runs ?? []).filter((run) => run.in_tiled).length} runs`, error: shelf.tiled_said });
    return rows;
  }

  paint() {
    if (!this.value) return;
    const head = make("tr", "", ...["process", "", "heard", "queue", "rate", "state", "last error"].map((text) => make("th", "", text)));
    const rows = this.rows().map((row) => {
      const sign = make("span", "shape", { heard: "●", lost: "✕", never: "○", ended: "○" }[row.state]);
      const error = row.error || lastError(this.store, row.name);
      const heard = { heard: row.age === undefined ? "" : row.age < 1.5 ? "now" : `${duration(row.age)} ago`, lost: row.age > 0 ? `silent ${duration(row.age)}` : "lost", never: "not started", ended: `ended ${duration(row.age)} ago` }[row.state];
      const said = typeof error === "string" ? error : error ? `${clock(error.time_s)} ${error.text}` : "none";
      const line = make("tr", "process", make("td", "", sign, this.name(row.name)), make("td", "what", WHAT[row.kind ?? row.name] ?? ""),
        make("td", "", heard), make("td", "", row.queue ?? ""), make("td", "", row.rate ?? ""), make("td", "", row.lag ?? ""), make("td", "error", said));
      line.dataset.severity = { heard: "NO_ALARM", lost: "MAJOR" }[row.state] ?? "";
      line.dataset.process = row.name;
      line.dataset.heard = row.state;
      line.lastChild.title = said;
      return line;
    });
    this.body.replaceChildren(make("table", "", make("thead", "", head), make("tbody", "", ...rows)));
  }
}

export class AlarmsPanel extends Panel {
  constructor(view, page) {
    super(view, page);
    this.latched = new Map();
    this.known = new Set(JSON.parse(localStorage.getItem(KEPT) ?? "[]"));
    this.list = make("ol");
    this.body.append(this.list);
  }

  ageNow() { return super.ageNow(); }

  beat() {
    super.beat();
    this.paint();
  }

  /** What is wrong now, and what was told as wrong: it stays until it is acknowledged, also when it is over. */
  look() {
    const { store } = this;
    const latch = (key, severity, time, text, now) => {
      if (!this.known.has(key) && !this.latched.has(key)) this.latched.set(key, { severity, time, text, now });
      else if (this.latched.has(key)) this.latched.get(key).now = now;
    };
    for (const alarm of this.latched.values()) alarm.now = false;
    for (const value of store.all("events/")) {
      for (const event of value.header.events ?? []) {
        if (event.severity !== "NO_ALARM") latch(`${value.source} ${event.time_s}`, event.severity, event.time_s, `${value.source}: ${event.text}`, false);
      }
    }
    for (const { source, header } of store.all("alarms/")) {
      for (const alarm of header.alarms ?? []) latch(`${source} ${alarm.name} ${alarm.count}`, alarm.severity, alarm.last_s, `${source}: ${alarm.text}${alarm.count > 1 ? ` (${alarm.count} times)` : ""}`, alarm.active);
    }
    for (const { channel, header } of store.all("device/")) {
      const gone = header.connected === false;
      const severity = gone ? "INVALID" : header.severity ?? "NO_ALARM";
      const key = `${channel} ${severity}`;
      if (severity === "NO_ALARM") for (const known of this.known) { if (known.startsWith(`${channel} `)) this.known.delete(known); }
      else latch(key, severity, store.now(), `${header.label ?? channel}: ${gone ? "not connected" : severity}`, true);
    }
    for (const name of Object.keys(store.header("sources").silence_s ?? {})) {
      if (this.page.silence(name) > 0) latch(`${name} silent`, "MAJOR", store.now(), `${name} is silent`, true);
      else this.known.delete(`${name} silent`);
    }
  }

  paint() {
    if (!this.value) return;
    this.look();
    const alarms = [...this.latched].sort((a, b) => b[1].time - a[1].time).slice(0, 100);
    write(this.sub, alarms.length ? `${alarms.length} not acknowledged` : "nothing is wrong, nothing waits to be acknowledged");
    const key = JSON.stringify(alarms);
    if (key === this.shownKey) return;
    this.shownKey = key;
    this.list.replaceChildren(...alarms.map(([id, alarm]) => {
      const button = make("button", "", "acknowledge");
      button.type = "button";
      button.addEventListener("click", () => this.acknowledge([id]));
      const item = make("li", "", make("time", "", clock(alarm.time)), make("span", "shape", shape(alarm.severity)), make("span", "text", `${alarm.text}${alarm.now ? " (still so)" : ""}`), button);
      item.dataset.severity = alarm.severity;
      return item;
    }));
    if (alarms.length > 1) {
      const all = make("button", "all", "acknowledge all");
      all.type = "button";
      all.addEventListener("click", () => this.acknowledge(alarms.map(([id]) => id)));
      this.list.prepend(make("li", "", all));
    }
  }

  acknowledge(ids) {
    for (const id of ids) {
      this.latched.delete(id);
      this.known.add(id);
    }
    localStorage.setItem(KEPT, JSON.stringify([...this.known].slice(-500)));
    this.paint();
  }
}
