// The map gallery: stored runs as rows of rising pressure, temperatures as columns, one locked colour scale.

import { Panel, fit } from "./panel.js";
import { ticks } from "./plot.js";
import { Raster, entry, percentiles } from "./raster.js";
import { fixed, kelvin, make, write } from "./text.js";

const COLUMN_K = 2.5;

export class GalleryPanel extends Panel {
  constructor(view, page) {
    super(view, page);
    this.grid = make("div", "grid");
    this.bar = make("canvas", "bar-canvas");
    this.body.append(this.grid, make("div", "scale", this.bar));
    this.cells = new Map();
  }

  get values() { return [...this.store.all(this.view.channel), ...this.store.all("gallery-stress/")]; }
  get value() { return this.values.reduce((newest, v) => (!newest || v.time_s > newest.time_s ? v : newest), undefined); }

  paint() {
    const maps = this.values.filter((value) => value.arrays.value);
    if (!maps.length) return;
    const rows = new Map();
    for (const map of maps) {
      const run = map.header.of_run;
      if (!rows.has(run)) rows.set(run, { run, pressure: map.header.sigma_zz_gpa, maps: [], stress: null });
      if (map.channel.startsWith("gallery-stress/")) rows.get(run).stress = map;
      else rows.get(run).maps.push(map);
    }
    const ordered = [...rows.values()].sort((a, b) => (b.pressure ?? 0) - (a.pressure ?? 0));
    const columns = gather(maps.filter((map) => !map.channel.startsWith("gallery-stress/")).map((map) => map.header.temperature_k));
    const key = JSON.stringify([maps.map((map) => [map.channel, map.sequence]), this.page.theme.name, this.sized]);
    if (key === this.key) return;
    this.key = key;
    this.grid.style.gridTemplateColumns = `84px minmax(44px, 150px) repeat(${columns.length}, minmax(44px, 150px))`;
    const stress = ordered.flatMap((row) => (row.stress ? [percentiles(row.stress.arrays.value)] : [])).filter(Boolean);
    this.stress = stress.length ? [Math.min(...stress.map((pair) => pair[0])), Math.max(...stress.map((pair) => pair[1]))] : null;
    const items = [make("span"), make("span", "t", "σ", make("sub", "", "ZZ"), " map"), ...columns.map((t) => make("span", "t", kelvin(Math.round(t))))];
    for (const row of ordered) {
      const known = Number.isFinite(row.pressure);
      const label = make("button", "pressure", make("b", "", known ? fixed(row.pressure, 1) : "?"), " GPa", make("small", "", String(row.run).slice(0, 8)));
      label.type = "button";
      label.title = `run ${row.run}: play it`;
      label.addEventListener("click", () => this.page.play(row.run));
      items.push(label, row.stress ? this.cell(row.stress, "acton", this.stress) : make("div", "cell none"));
      for (const t of columns) {
        const map = row.maps.find((one) => Math.abs(one.header.temperature_k - t) <= COLUMN_K / 2 + 0.01);
        items.push(map ? this.cell(map, this.view.colours, this.view.limits) : make("div", "cell none"));
      }
    }
    this.grid.replaceChildren(...items);
    write(this.sub, `${ordered.length} ${ordered.length === 1 ? "run" : "runs"} · ${maps.length} maps · one colour scale for all`);
    for (const cell of this.cells.values()) this.draw(cell);
    this.drawScale();
  }

  cell(value, colours, limits) {
    let cell = this.cells.get(value.channel);
    if (!cell) {
      const canvas = make("canvas");
      cell = { canvas, raster: new Raster(), root: make("div", "cell", canvas) };
      this.cells.set(value.channel, cell);
    }
    if (cell.of !== value || cell.limits !== String(limits)) {
      [cell.of, cell.limits] = [value, String(limits)];
      cell.raster.update(value.arrays.value, colours, limits ?? [0, 1]);
    }
    const { header } = value;
    cell.root.title = `${kelvin(header.temperature_k)}, ${fixed(header.field_gauss, 0)} G, ${fixed(header.sigma_zz_gpa, 1)} GPa, run ${String(header.of_run).slice(0, 8)}`;
    return cell.root;
  }

  draw({ root, canvas, raster, of }) {
    const surface = root.isConnected && fit(canvas);
    if (!surface) return;
    const box = { x: 0, y: 0, width: surface.width, height: surface.height };
    raster.draw(surface.context, box, surface.scale);
    const { regions, pixel_size_um: um } = of.header;
    const outline = regions?.sample;
    if (!outline || !um) return;
    // The small map has every n-th pixel: its width in um is that of the whole map.
    const scale = surface.width / (of.arrays.value.shape[1] * um * (of.header.step ?? 1));
    surface.context.beginPath();
    outline.forEach(([x, y], i) => surface.context[i ? "lineTo" : "moveTo"](surface.width / 2 + x * scale, surface.height / 2 + y * scale));
    surface.context.closePath();
    surface.context.setLineDash([3, 2]);
    surface.context.strokeStyle = "#101318";
    surface.context.stroke();
  }

  drawScale() {
    const surface = fit(this.bar);
    if (!surface) return;
    const tall = Math.min(surface.height / 2 - 50, 360);
    this.drawBar(surface.context, 14, tall, this.view.colours, this.view.limits, "s = B/H");
    if (this.stress) this.drawBar(surface.context, tall + 70, tall, "acton", this.stress, "σzz (GPa)");
  }

  drawBar(context, top, tall, colours, limits, words) {
    for (let i = 0; i < 256; i++) {
      context.fillStyle = entry(colours, 255 - i);
      context.fillRect(2, top + (i * tall) / 256, 14, tall / 256 + 0.6);
    }
    context.fillStyle = this.page.theme.soft;
    context.font = "11.5px system-ui, 'DejaVu Sans', sans-serif";
    context.textBaseline = "middle";
    const marks = ticks(...limits, tall / 60);
    for (const value of marks.at) context.fillText(value.toFixed(marks.digits), 22, top + ((limits[1] - value) / (limits[1] - limits[0])) * tall);
    context.fillStyle = this.page.theme.text;
    context.fillText(words, 2, top + tall + 16);
  }
}

/** Temperatures that differ by less than a column's width share one. */
function gather(temperatures) {
  const columns = [];
  for (const t of [...temperatures].sort((a, b) => a - b)) if (!columns.length || t - columns.at(-1) > COLUMN_K) columns.push(t);
  return columns;
}
