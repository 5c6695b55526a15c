// The page: puts up the declared views, keeps what was published, paints what changed.

import { CurvesPanel, DecisionPanel, InspectPanel, SpectrumPanel } from "./charts.js";
import { Control } from "./control.js";
import { CutPanel } from "./cut.js";
import { showHead } from "./head.js";
import { Link } from "./link.js";
import { DevicesPanel, EventsPanel, FilmPanel, WorkersPanel } from "./lists.js";
import { GalleryPanel } from "./gallery.js";
import { MapPanel } from "./map.js";
import { setPalette } from "./raster.js";
import { PlaybackBar, RunsPanel } from "./runs.js";
import { Store } from "./store.js";
import { AlarmsPanel, ProcessesPanel } from "./system.js";
import { Tabs } from "./tabs.js";

const KINDS = {
  map: MapPanel, spectrum: SpectrumPanel, inspect: InspectPanel, cut: CutPanel, curves: CurvesPanel, decision: DecisionPanel,
  devices: DevicesPanel, workers: WorkersPanel, events: EventsPanel, film: FilmPanel,
  gallery: GalleryPanel, runs: RunsPanel, processes: ProcessesPanel, alarms: AlarmsPanel,
};
const ASK_AGAIN_MS = 1000;
const AT_K = 1.5;

class Page {
  constructor(description) {
    this.store = new Store();
    this.isOnline = true;
    this.cursor = null;
    this.inspected = null;
    this.spectrum = null;
    this.cut = null;
    this.description = description;
    setPalette(description.colour);
    this.readTheme();
    this.control = new Control(this);
    this.panels = description.views.map((view) => {
      const panel = new KINDS[view.kind](view, this);
      document.querySelector(`[data-place="${view.place}"]`).append(panel.root);
      return panel;
    });
    this.tabs = new Tabs(Object.keys(description.pages), () => this.showPage());
    this.bar = new PlaybackBar(this);
    this.link = new Link(this.channels(), this);
    this.tabs.show();
    this.tick();
    setInterval(() => this.beat(), 500);
  }

  /** The panels of the page that is shown. */
  get shown() {
    const places = this.description.pages[this.tabs.now];
    return this.panels.filter((panel) => places.includes(panel.view.place));
  }

  /** What to be sent: only what the shown page reads. */
  channels() {
    const names = new Set(this.description.always);
    for (const { view } of this.shown) for (const name of [view.channel, ...view.reads]) names.add(name === "events" ? "events/" : name);
    return [...names];
  }

  showPage() {
    for (const panel of this.shown) panel.dirty = true;
    this.link.channels = this.channels();
    this.link.say({ show: this.link.channels });
    this.cutPanel?.follow();
    this.request();
  }

  /** Play a stored run instead of what is live. */
  play(run) {
    this.forgetInspected();
    this.link.replay = { play: run, speed: 60 };
    this.link.say(this.link.replay);
    location.hash = "live";
  }

  goLive() {
    this.forgetInspected();
    this.link.replay = null;
    this.link.say({ live: true });
  }

  forgetInspected() { this.inspected = this.spectrum = this.cut = null; }

  get maps() { return this.panels.filter((panel) => panel instanceof MapPanel); }

  put(envelope, arrays) {
    this.store.put(envelope, arrays);
    for (const panel of this.panels) if (panel.reads(envelope.channel)) panel.dirty = true;
    if (envelope.channel === "map/s") {
      this.askAgain();
      this.cutPanel?.follow();
    }
    if (envelope.channel === "curve/s") this.inspectFirstPoint();
  }

  gone(channels) {
    for (const channel of channels) {
      this.store.drop(channel);
      for (const panel of this.panels) if (panel.reads(channel)) panel.dirty = true;
    }
  }

  clock(now) { this.store.clock(now); }

  online(isOnline) {
    if (isOnline === this.isOnline) return;
    this.isOnline = isOnline;
    document.getElementById("offline").hidden = isOnline;
    this.tick();
  }

  paint() {
    this.bar.show();
    for (const panel of this.shown) {
      if (!panel.dirty) continue;
      panel.dirty = false;
      try {
        panel.paint();
      } catch (error) {
        // One panel that stumbles over its data must not hold the others up, nor the credit.
        console.error(panel.view.key, error);
        panel.sub.textContent = `cannot be drawn: ${error.message}`;
      }
    }
    this.tick();
  }

  /** Paint at the next animation frame. */
  request() {
    if (this.requested) return;
    this.requested = true;
    requestAnimationFrame(() => { this.requested = false; this.paint(); });
  }

  /** The head cannot take the panels down with it, whatever it is given. */
  showHead() {
    try {
      showHead(this);
    } catch (error) {
      console.error("head", error);
      document.getElementById("story").textContent = `The state of the plan cannot be shown: ${error.message}`;
    }
  }

  tick() {
    this.showHead();
    for (const panel of this.shown) panel.tick();
  }

  /** Twice a second: ages run on even where nothing comes. */
  beat() {
    this.showHead();
    this.bar.show();
    for (const panel of this.shown) panel.beat();
  }

  /** Seconds for which a publisher is silent; 0 where it is heard, or where nothing is known. */
  silence(source) {
    const silent = this.store.header("sources").silence_s?.[source];
    // A session that ended its run has nothing more to say.
    if (source === "session" && this.store.header("run").finished) return 0;
    return Number.isFinite(silent) && silent > this.description.silent_s ? silent : 0;
  }

  /**
   * Where the plan goes: {next, measuring, after}. A decision stands until the next one, so its temperature may be the one
   * that is being measured (the sample is a little off the stage); then the next one is not decided yet.
   */
  aim() {
    const next = this.store.header("decision").next_temperature_k;
    const here = this.sweepRuns() ? this.store.header("sweep").temperature_k : NaN;
    const measuring = Math.abs(here - next) < AT_K;
    const planned = this.store.header("plan").planned_temperatures_k ?? [];
    return { next, measuring, after: Number.isFinite(next) ? planned.filter((t) => t > next + 0.05) : planned };
  }

  sweepRuns() {
    const run = this.store.header("run");
    if (run.finished) return false;
    const sweep = this.store.header("sweep");
    const camera = this.store.header("camera");
    return sweep.final === false || (camera.frames_total > 0 && camera.frames_sent < camera.frames_total);
  }

  /** The cursor is linked over all maps. */
  hover(at) {
    this.cursor = at;
    for (const map of this.maps) { map.paintOverlay(); map.refreshSub(); }
  }

  inspect(region) {
    this.inspected = region;
    for (const map of this.maps) map.paintOverlay();
    this.askSpectrum();
  }

  /** Cut along a line: the page that shows it comes up. */
  cutAlong([x0, y0], [x1, y1]) {
    if (Math.hypot(x1 - x0, y1 - y0) < 3) return;
    this.cut = { x0, y0, x1, y1 };
    if (this.tabs.now !== "stress") location.hash = "stress";
    this.cutPanel.ask(this.cut);
  }

  /** Cut through the inspected pixel, from edge to edge: `h` across, `v` down. */
  cutThrough(direction, [rows, columns]) {
    const { x0: x = columns >> 1, y0: y = rows >> 1 } = this.inspected ?? {};
    if (direction === "h") this.cutAlong([2, y], [columns - 3, y]);
    else this.cutAlong([x, 2], [x, rows - 3]);
  }

  /** Until someone clicks, the first marked point is inspected: an empty panel explains nothing. */
  inspectFirstPoint() {
    const point = this.store.header("curve/s").points?.[0];
    if (this.inspected || !point) return;
    const [x, y] = [Math.round(point.x_px), Math.round(point.y_px)];
    this.inspect({ x0: x, x1: x + 1, y0: y, y1: y + 1 });
  }

  move(dx, dy, [rows, columns]) {
    const { x0 = columns >> 1, y0 = rows >> 1 } = this.inspected ?? {};
    const [x, y] = [Math.min(Math.max(x0 + dx, 0), columns - 1), Math.min(Math.max(y0 + dy, 0), rows - 1)];
    this.inspect({ x0: x, x1: x + 1, y0: y, y1: y + 1 });
  }

  async askSpectrum() {
    const region = this.inspected;
    this.askedAt = performance.now();
    const reply = await this.link.ask({ sweep: -1, ...region });
    if (region !== this.inspected) return;
    // A refusal does not wipe out a spectrum of the same region that is already shown, but says so.
    this.spectrum = { ...reply, time_s: this.store.now() };
    this.panels.filter((panel) => panel instanceof InspectPanel).forEach((panel) => { panel.dirty = true; });
    this.request();
  }

  /** Follow the running average: ask again when the map has changed, once a second at most. */
  askAgain() {
    if (!this.inspected || this.againTimer) return;
    const wait = Math.max(0, ASK_AGAIN_MS - (performance.now() - this.askedAt));
    this.againTimer = setTimeout(() => { this.againTimer = 0; this.askSpectrum(); }, wait);
  }

  readTheme() {
    const style = getComputedStyle(document.documentElement);
    this.theme = {};
    for (const name of ["panel", "line", "grid", "text", "soft", "faint", "blue", "orange", "yellow", "green", "red", "violet", "plate", "point", "shade"]) {
      this.theme[name] = style.getPropertyValue(`--${name}`).trim();
    }
    this.theme.name = document.documentElement.dataset.theme;
  }

  setTheme(name) {
    document.documentElement.dataset.theme = name;
    localStorage.setItem("theme", name);
    this.readTheme();
    for (const panel of this.panels) panel.dirty = true;
    for (const map of this.maps) map.legendKey = "";
    this.request();
  }
}

const wanted = new URLSearchParams(location.search).get("theme") ?? localStorage.getItem("theme");
if (wanted === "light" || wanted === "dark") document.documentElement.dataset.theme = wanted;
const page = new Page(await (await fetch("/page.json")).json());
document.getElementById("theme").addEventListener("click", () => page.setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
