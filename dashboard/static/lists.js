// Devices, workers, events, filmstrip: lists of small things.

import { Panel, fit } from "./panel.js";
import { Raster } from "./raster.js";
import { brief, clock, duration, fixed, kelvin, make, shape, significant, write } from "./text.js";

const SILENT_S = 3;
const DEVICE_ORDER = ["sample_temperature", "magnet", "cryostat", "microwave", "laser", "pressure", "transport", "ruby"];

/** A panel over all channels that begin with the view's channel. */
class ManyPanel extends Panel {
  get values() { return this.store.all(this.view.channel); }
  get value() { return this.values.reduce((newest, v) => (!newest || v.time_s > newest.time_s ? v : newest), undefined); }
}

export class DevicesPanel extends ManyPanel {
  /** The panel is as old as its oldest device: one that is silent must not hide behind the others. */
  ageNow() {
    const values = this.values;
    return values.length ? Math.max(...values.map((v) => this.store.now() - v.time_s)) : undefined;
  }

  beat() {
    super.beat();
    this.paint();
  }

  paint() {
    const values = this.values;
    if (!values.length) return;
    const rank = (v) => { const i = DEVICE_ORDER.indexOf(v.channel.slice(7)); return i < 0 ? 99 : i; };
    values.sort((a, b) => rank(a) - rank(b) || (a.channel < b.channel ? -1 : 1));
    this.body.replaceChildren(...values.map((value) => this.row(value)));
    const bad = values.filter((v) => v.header.connected === false).length;
    this.sub.textContent = bad ? `${bad} not connected` : "";
  }

  row({ channel, header, time_s }) {
    const heard = this.store.now() - time_s;
    const gone = header.connected === false;
    const old = gone || heard > this.view.stale_s || !this.page.isOnline;
    const severity = gone ? "INVALID" : header.severity ?? "INVALID";
    const taken = this.store.now() - (header.time_s ?? time_s);
    let note = Number.isFinite(header.setpoint) ? `set ${brief(header.setpoint)}` : "";
    if (header.on_demand && Number.isFinite(header.value) && taken > 60) note = `${duration(taken)} ago`;
    if (header.note) note = header.note;
    if (gone) note = "not connected";
    else if (old) note = `silent ${duration(heard)}`;
    const value = make("span", "val", `${significant(header.value)} `, make("i", "", header.unit ?? ""));
    const off = Boolean(header.note) && !old;
    const row = make("div", "device", make("span", "shape", off && severity === "NO_ALARM" ? "○" : shape(severity)), make("span", "name", header.label ?? channel), make("span", "set", note), value);
    row.dataset.severity = severity;
    row.dataset.key = channel.slice(7);
    if (old) row.dataset.old = "";
    if (off) row.dataset.off = "";
    row.title = `${header.label}: ${significant(header.value, 6)} ${header.unit ?? ""}, ${severity}, value of ${clock(header.time_s ?? time_s)}`;
    return row;
  }
}

export class WorkersPanel extends Panel {
  /** Who is heard: a killed process shows here within two seconds. */
  sources() {
    const all = Object.entries(this.store.header("sources").silence_s ?? {});
    return make("div", "sources", ...all.map(([name, silent]) => {
      const lost = this.page.silence(name) > 0;
      const state = silent === null ? "never" : lost ? "lost" : silent > 5 ? "ended" : "heard";
      const sign = make("span", "shape", { heard: "●", lost: "✕", never: "○", ended: "○" }[state]);
      const chip = make("span", "source", sign, ` ${name}${lost ? ` silent ${duration(silent)}` : ""}`);
      chip.dataset.severity = { heard: "NO_ALARM", lost: "MAJOR" }[state] ?? "";
      chip.dataset.source = name;
      chip.dataset.heard = state;
      if (lost) chip.dataset.silent = silent;
      return chip;
    }));
  }

  paint() {
    const header = this.value?.header;
    if (!header) return;
    const camera = this.store.header("camera");
    const words = [`${header.frames_lost ?? 0} frames lost`];
    if (camera.frames_lost) words.push(`${camera.frames_lost} lost by the camera`);
    const cameraAge = this.store.get("camera") ? this.store.now() - this.store.get("camera").time_s : 0;
    if (cameraAge > SILENT_S) words.push(`camera silent ${duration(cameraAge)}`);
    else if (camera.rate_hz > 0) words.push(`camera ${fixed(camera.rate_hz, 0)} Hz`);
    if (Number.isFinite(camera.ring_fill)) words.push(`ring ${fixed(camera.ring_fill * 100, 0)} %`);
    if (camera.reassignments) words.push(`${camera.reassignments} reassigned`);
    this.sub.textContent = words.join(" · ");
    const workers = (header.workers ?? []).map((worker) => {
      const bar = make("div", "bar", make("div"));
      bar.firstChild.style.width = `${Math.round(100 * Math.min(worker.busy_fraction ?? 0, 1))}%`;
      const busy = worker.fits_per_s > 0 ? `${fixed(worker.fits_per_s / 1000, 1)} k fits/s` : "idle";
      const rate = worker.alive ? busy : `lost, ${worker.leases_lost} leases moved`;
      const box = make("div", "worker", make("div", "row", make("b", "", `${worker.alive ? "" : "✕ "}${worker.name}`), rate), bar);
      box.dataset.alive = worker.alive;
      box.title = `${worker.bands} bands, busy ${fixed(100 * (worker.busy_fraction ?? 0), 0)} %, ${worker.leases_lost} leases lost`;
      return box;
    });
    this.body.replaceChildren(this.sources(), make("div", "team", ...workers));
  }
}

/** Of events, newest first: the warnings that a later event of the same source about the same says to have passed. */
function passed(events) {
  const [newest, over] = [new Map(), new Set()];
  for (const event of events) {
    if (!event.about) continue;
    const key = `${event.source} ${event.about}`;
    if (event.severity !== "NO_ALARM" && newest.has(key)) over.add(event);
    else if (event.severity !== "NO_ALARM") newest.delete(key);
    else newest.set(key, event);
  }
  return over;
}

export class EventsPanel extends ManyPanel {
  get values() { return this.store.all("events/"); }

  reads(channel) { return channel.startsWith("events/"); }

  paint() {
    const events = this.values.flatMap((v) => (v.header.events ?? []).map((event) => ({ source: v.source, ...event })));
    if (!events.length) return;
    events.sort((a, b) => b.time_s - a.time_s);
    const over = passed(events);
    const told = events.filter((e) => e.severity !== "NO_ALARM").length;
    const open = told - over.size;
    const words = open ? [`${open} ${open === 1 ? "warning" : "warnings"}`] : [];
    if (over.size) words.push(`${over.size} passed`);
    write(this.sub, words.join(" · "));
    this.body.replaceChildren(make("ol", "", ...events.slice(0, 120).map((event) => {
      const item = make("li", "", make("time", "", clock(event.time_s)), make("span", "shape", shape(event.severity)), make("span", "text", event.text));
      item.dataset.severity = event.severity;
      item.title = event.text;
      item.dataset.source = event.source;
      if (over.has(event)) item.dataset.passed = "";
      return item;
    })));
  }
}

export class FilmPanel extends ManyPanel {
  constructor(view, page) {
    super(view, page);
    this.tiles = new Map();
  }

  get values() { return this.store.all(this.view.channel); }

  paint() {
    const { store, view } = this;
    const plan = store.header("plan");
    const run = store.header("run");
    const done = this.values.filter((v) => !v.header.run_uid || !run.run_uid || v.header.run_uid === run.run_uid);
    if (!done.length && !plan.planned_temperatures_k?.length) return;
    done.sort((a, b) => a.header.sweep - b.header.sweep);
    const items = done.map((value) => {
      const reference = String(value.header.role).endsWith("REFERENCE") ? "ref " : "";
      return this.picture(value.channel, value, `${reference}${kelvin(value.header.temperature_k)}`, "");
    });
    const live = store.get("map/s");
    if (live && !live.header.final) items.push(this.picture("now", live, `▸ ${kelvin(live.header.temperature_k)}`, "now"));
    const { next, measuring } = this.page.aim();
    const planned = plan.planned_temperatures_k ?? [];
    for (const t of planned) {
      if (measuring && Math.abs(t - next) < 0.05) continue;
      const isNext = Math.abs(t - next) < 0.05;
      items.push(make("div", `tile plan${isNext ? " next" : ""}`, make("b", "", kelvin(t)), isNext ? "next" : "planned"));
    }
    const key = items.map((item) => `${item.className} ${item.textContent}`).join();
    if (key !== this.key) {
      this.key = key;
      this.body.replaceChildren(...items);
      write(this.sub, `${done.length} done · ${planned.length} planned · same colours as the large map (${view.limits?.join("–")})`);
      const last = this.body.querySelector(".now") ?? (planned.length ? null : items.at(-1));
      // Not `scrollIntoView`: that would scroll the page as well.
      if (last) this.body.scrollLeft = last.offsetLeft - (this.body.clientWidth - last.offsetWidth) / 2;
    }
    for (const tile of this.tiles.values()) this.draw(tile);
  }

  ageNow() {
    const age = super.ageNow();
    return age ?? (this.store.header("plan").planned_temperatures_k?.length ? 0 : undefined);
  }

  /** Paint a tile whose map or size has changed. */
  draw(tile) {
    const size = `${tile.root.clientWidth}x${tile.root.clientHeight}`;
    if (tile.drawn === size || !tile.root.isConnected) return;
    const surface = fit(tile.canvas);
    if (!surface) return;
    tile.drawn = size;
    tile.raster.draw(surface.context, { x: 0, y: 0, width: surface.width, height: surface.height }, surface.scale);
  }

  picture(key, value, label, kind) {
    let tile = this.tiles.get(key);
    if (!tile) {
      const [raster, text, canvas] = [new Raster(), make("span", "t"), make("canvas")];
      tile = { raster, text, canvas, root: make("div", `tile ${kind}`, canvas, text) };
      this.tiles.set(key, tile);
    }
    if (tile.of !== value && value.arrays.value) {
      tile.of = value;
      tile.drawn = "";
      tile.raster.update(value.arrays.value, this.view.colours, this.view.limits);
    }
    write(tile.text, label);
    tile.root.title = `${value.header.role ?? ""} sweep ${value.header.sweep} at ${kelvin(value.header.temperature_k)}`.trim();
    return tile.root;
  }
}
