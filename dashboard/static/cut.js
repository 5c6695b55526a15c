// Spectra along a line across the map, one above the other, and s beside them.

import { Panel, fit } from "./panel.js";
import { Plot, range, ticks } from "./plot.js";
import { fixed, kelvin, make, write } from "./text.js";

const LEFT = 62, BOTTOM = 36, AGAIN_MS = 5000, OVERLAP = 1.7;

/** The line that is cut before anybody drew one: through the first two marked points, else across the middle. */
export function firstLine(points, [rows, columns]) {
  const [a, b] = points;
  if (!a || !b) return { x0: 2, y0: rows >> 1, x1: columns - 3, y1: rows >> 1 };
  const [dx, dy] = [b.x_px - a.x_px, b.y_px - a.y_px];
  const at = (share) => [a.x_px + share * dx, a.y_px + share * dy].map(Math.round);
  const inside = ([x, y]) => x >= 2 && y >= 2 && x < columns - 2 && y < rows - 2;
  const shares = [0.5, 0.4, 0.3, 0.2, 0.1, 0];
  const [x0, y0] = at(-(shares.find((share) => inside(at(-share))) ?? 0));
  const [x1, y1] = at(1 + (shares.find((share) => inside(at(1 + share))) ?? 0));
  return { x0, y0, x1, y1 };
}

/** Split the arrays of a reply, one place after the other: [{count, values, frequency_mhz, signal, model, ...}]. */
function rowsOf({ header, arrays }) {
  let start = 0;
  return header.places.map((place) => {
    const part = (name) => arrays[name].data.subarray(start, start + place.count);
    const row = { ...place, ghz: Array.from(part("frequency_mhz"), (f) => f / 1000), signal: part("signal"), model: part("model") };
    start += place.count;
    return row;
  });
}

export class CutPanel extends Panel {
  constructor(view, page) {
    super(view, page);
    this.canvas = make("canvas");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", "Spectra along the line; Shift and drag on a map draws it, H or V at a map with the keyboard");
    this.body.append(this.canvas);
    page.cutPanel = this;
  }

  get value() { return this.reply?.header && !this.store.isOther(this.reply) ? this.reply : undefined; }

  /** Ask for the spectra of the line; a line that nobody drew begins at the marked points. */
  async ask(line) {
    const field = this.store.get("map/s")?.arrays.value;
    if (!field || !this.page.shown.includes(this)) return;
    if (line) this.drawn = true;
    if (!this.drawn || !this.page.cut) this.page.cut = firstLine(this.store.header("curve/s").points ?? [], field.shape);
    if (line) this.page.cut = line;
    for (const map of this.page.maps) map.paintOverlay();
    const asked = this.page.cut;
    this.askedAt = performance.now();
    const reply = await this.page.link.ask({ sweep: -1, ...asked }, "cut");
    if (asked !== this.page.cut) return;
    this.why = reply.refused;
    // A refusal does not wipe out the spectra that are shown: they grow old, and say so.
    if (!reply.refused) this.reply = { ...reply, line: asked, time_s: this.store.now(), source: "builder" };
    this.dirty = true;
    this.page.request();
  }

  /** Follow the map that changes, every few seconds. */
  follow() {
    if (this.timer || !this.page.shown.includes(this)) return;
    const wait = this.askedAt === undefined ? 0 : Math.max(0, AGAIN_MS - (performance.now() - this.askedAt));
    this.timer = setTimeout(() => { this.timer = 0; this.ask(); }, wait);
  }

  beat() {
    super.beat();
    if (!this.value && !this.timer && !(performance.now() - this.askedAt < AGAIN_MS)) this.ask();
  }

  tick() {
    super.tick();
    if (this.why && this.root.dataset.state === "waiting") write(this.waiting, `No spectra along the line: ${this.why}.`);
  }

  paint() {
    const surface = this.value && fit(this.canvas);
    if (!surface) return;
    const { context, width, height } = surface;
    const { theme } = this.page;
    const { pixel_size_um: um = 1 } = this.store.header("run");
    const rows = rowsOf(this.value);
    const from = rows[0];
    for (const row of rows) row.um = um * Math.hypot(row.x_px - from.x_px, row.y_px - from.y_px);
    const known = rows.filter((row) => row.count);
    const right = Math.min(190, width * 0.24);
    const box = { x: LEFT, y: 8, width: width - LEFT - right - 14, height: height - 8 - BOTTOM };
    const gap = rows.at(-1).um / Math.max(rows.length - 1, 1) || 1;
    const ys = [rows.at(-1).um + gap * 0.9, -gap * 1.9];
    const plot = new Plot(context, box, range(known.map((row) => row.ghz), 0.012), ys, theme);
    plot.axes({ xLabel: "Microwave frequency (GHz)", yLabel: "Distance along the line (µm)" });
    for (const f of known[0].values.guides_mhz ?? []) plot.vertical(f / 1000, theme.soft, { dash: [2, 3], label: "s = 1" });
    // One scale for all, so that a shallow line looks shallow: the deepest takes somewhat more than a row.
    const deepest = Math.max(...known.map((row) => Math.max(...row.model.map(Math.abs), ...row.signal.map(Math.abs).sort().slice(0, -2))), 1e-9);
    for (const row of known) {
      const at = (list) => Array.from(list, (v) => row.um - (v / deepest) * gap * OVERLAP);
      plot.dots(row.ghz, at(row.signal), null, theme.point, 1);
      if (row.model.some((v) => v !== 0)) plot.path(row.ghz, at(row.model), theme.orange, 1.5);
    }
    this.drawProfile(context, { ...box, x: box.x + box.width + 14, width: right - 10 }, ys, known, theme);
    const header = known[0].values;
    const words = [`${known.length} of ${rows.length} places, 3 × 3 px each`, `(${from.x_px}, ${from.y_px}) to (${rows.at(-1).x_px}, ${rows.at(-1).y_px})`];
    if (Number.isFinite(header.temperature_k)) words.push(kelvin(header.temperature_k));
    if (this.why) words.push(`not renewed: ${this.why}`);
    write(this.sub, words.join(" · "));
    this.canvas.dataset.rows = known.length;
  }

  /** s at each place, beside its spectrum. */
  drawProfile(context, box, ys, rows, theme) {
    const with_s = rows.filter((row) => Number.isFinite(row.values.s));
    const xs = range([with_s.map((row) => row.values.s), [0.99, 1.01]], 0.12);
    const plot = new Plot(context, box, xs, ys, theme);
    const c = context;
    c.strokeStyle = theme.line;
    c.strokeRect(box.x, box.y, box.width, box.height);
    c.textAlign = "center";
    c.textBaseline = "top";
    const marks = ticks(...xs, box.width / 46);
    for (const value of marks.at) {
      c.fillStyle = theme.soft;
      c.fillText(value.toFixed(marks.digits), plot.x(value), box.y + box.height + 5);
      plot.vertical(value, theme.grid);
    }
    c.fillStyle = theme.text;
    c.fillText("s = B/H", box.x + box.width / 2, box.y + box.height + 19);
    plot.vertical(1, theme.soft, { dash: [2, 3] });
    plot.path(with_s.map((row) => row.values.s), with_s.map((row) => row.um), theme.yellow, 1.3);
    plot.dots(with_s.map((row) => row.values.s), with_s.map((row) => row.um), null, theme.yellow, 2.6);
    if (!with_s.length) plot.word("no s along the line", box.x + 6, box.y + box.height / 2, theme.faint);
    else plot.word(`lowest ${fixed(Math.min(...with_s.map((row) => row.values.s)), 3)}`, box.x + 6, box.y + 4, theme.soft);
  }
}
