// A map: pixels, outline, marked points, scale bar, colour bar with the histogram of the sample's pixels.

import { Panel, fit, zoom } from "./panel.js";
import { line, star, ticks } from "./plot.js";
import { EXCLUDED, FIRST, NOTHING, Raster, entry, excludedColour, hatchPattern, histogram, percentiles, pointColour, polygonMask, valueOf } from "./raster.js";
import { fixed, kelvin, make, write } from "./text.js";

const COUNT_AGAIN_MS = 400;

export class MapPanel extends Panel {
  constructor(view, page) {
    super(view, page);
    this.large = view.place === "main";
    this.raster = new Raster();
    this.base = make("canvas", "base");
    this.overlay = make("canvas", "overlay");
    this.overlay.tabIndex = 0;
    this.overlay.setAttribute("role", "img");
    this.overlay.setAttribute("aria-label", `${view.title}: click a pixel or drag a region; arrow keys move it. Shift and drag, H or V: a line to cut along`);
    this.body.append(this.base, this.overlay);
    if (this.large) this.root.append((this.legend = make("div", "legend")));
    this.listen();
  }

  /** The newest map that has something in it: a sweep that has just begun does not blank what the last one found. */
  get value() {
    const newest = super.value?.arrays.value ? super.value : undefined;
    if (newest !== this.newest) {
      this.newest = newest;
      const other = newest?.header.run_uid !== this.shown?.header.run_uid;
      if (!newest || other || newest.header.final || newest.arrays.value.data.some((code) => code >= FIRST)) this.shown = newest;
    }
    return this.shown;
  }

  /** Whether the map stands on the page of the line cut: elsewhere the line would only be in the way. */
  get cuts() { return this.page.cutPanel?.root.closest("main") === this.root.closest("main"); }

  get field() { return this.value?.arrays.value; }
  get run() { return this.store.header("run"); }

  listen() {
    const { overlay, page } = this;
    overlay.addEventListener("pointerdown", (event) => {
      const at = this.pixelAt(event);
      if (!at || event.button) return;
      overlay.setPointerCapture(event.pointerId);
      this.drag = { from: at, to: at, cut: event.shiftKey };
    });
    overlay.addEventListener("pointermove", (event) => {
      const at = this.pixelAt(event);
      if (this.drag && at) this.drag.to = at;
      page.hover(at);
    });
    overlay.addEventListener("pointerleave", () => page.hover(null));
    overlay.addEventListener("pointerup", () => {
      if (!this.drag) return;
      const { from, to, cut } = this.drag;
      this.drag = null;
      if (cut) page.cutAlong(from, to);
      else page.inspect(regionOf(from, to, this.field.shape));
    });
    overlay.addEventListener("pointercancel", () => { this.drag = null; });
    overlay.addEventListener("keydown", (event) => {
      if ("hv".includes(event.key.toLowerCase()) && this.field && !event.ctrlKey && !event.metaKey) page.cutThrough(event.key.toLowerCase(), this.field.shape);
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!step || !this.field) return;
      event.preventDefault();
      page.move(step[0] * (event.shiftKey ? 5 : 1), step[1] * (event.shiftKey ? 5 : 1), this.field.shape);
    });
  }

  /** Whether the map has other pixels than the run: one of another run. Then none of the run's pixels is marked on it. */
  get isOther() {
    const { height, width } = this.run;
    return Boolean(height && this.field && (this.field.shape[0] !== height || this.field.shape[1] !== width) && this.value.header.of_run);
  }

  /** Length of a pixel, um. */
  get pixelUm() { return this.value.header.pixel_size_um ?? this.run.pixel_size_um; }

  /** Pixel [x, y] under a pointer, or null. */
  pixelAt(event) {
    if (!this.box || !this.field || this.isOther) return null;
    const [rect, scale] = [this.overlay.getBoundingClientRect(), zoom()];
    const [height, width] = this.field.shape;
    const x = Math.floor((((event.clientX - rect.left) / scale - this.box.x) / this.box.width) * width);
    const y = Math.floor((((event.clientY - rect.top) / scale - this.box.y) / this.box.height) * height);
    return x >= 0 && y >= 0 && x < width && y < height ? [x, y] : null;
  }

  /** What is under the cursor, in words. */
  readOut([x, y]) {
    const { field, view } = this;
    if (!field || y >= field.shape[0] || x >= field.shape[1]) return "";
    const code = field.data[y * field.shape[1] + x];
    const what = code >= FIRST ? `${fixed(valueOf(code, field), view.digits)} ${view.unit}` : code === EXCLUDED ? "excluded" : code === NOTHING ? "nothing here" : "unresolved";
    return `(${x}, ${y}) ${what}`;
  }

  paint() {
    const { field, run } = this;
    if (!field) return;
    // Most of what a map reads changes only its words: the picture is drawn where the picture is another one.
    const key = JSON.stringify([this.points(), run.pixel_size_um, run.regions, this.sized, this.page.theme.name]);
    if (this.value === this.drawn && key === this.drawnKey) {
      this.describe();
      return;
    }
    if (this.value !== this.prepared || run !== this.preparedRun) this.prepare(field, run);
    const surface = fit(this.base);
    if (!surface) return;
    const { context, width, height, scale } = surface;
    const bar = this.large ? (width < 560 ? 112 : 134) : 48;
    const [rows, columns] = field.shape;
    const size = Math.min((width - bar) / columns, height / rows);
    const [w, h] = [size * columns, size * rows];
    this.box = { x: Math.max(0, (width - bar - w) / 2), y: (height - h) / 2, width: w, height: h };
    context.fillStyle = this.page.theme.plate;
    context.fillRect(this.box.x, this.box.y, w, h);
    this.raster.draw(context, this.box, scale);
    if (this.view.arrows) this.drawArrows(context, size);
    this.drawScaleBar(context, size);
    this.drawRegions(context, size);
    if (this.raster.hasValues) this.drawBar(context, this.box.x + w, height, bar);
    else this.say(context, this.raster.unresolved ? "no pixel is resolved" : "no value yet");
    [this.drawn, this.drawnKey] = [this.value, key];
    this.paintOverlay();
    this.describe();
  }

  prepare(field, run) {
    [this.prepared, this.preparedRun] = [this.value, run];
    const key = `${run.run_uid}|${field.shape}|${run.regions?.sample?.length}|${run.regions?.sample?.[0]}|${run.pixel_size_um}`;
    if (key !== this.maskKey) {
      [this.maskKey, this.autoLimits] = [key, null];
      this.mask = polygonMask(run.regions?.sample, field.shape, run.pixel_size_um ?? 1);
    }
    this.limits = this.view.limits ?? this.follow(percentiles(field));
    this.raster.update(field, this.view.colours, this.limits);
  }

  /** A word in the middle of an empty map. */
  say(context, text) {
    context.font = "12px system-ui, 'DejaVu Sans', sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    const [x, y] = [this.box.x + this.box.width / 2, this.box.y + this.box.height * 0.14];
    const wide = context.measureText(text).width + 16;
    context.fillStyle = "rgb(12 14 18 / .82)";
    context.fillRect(x - wide / 2, y - 11, wide, 22);
    context.fillStyle = "#fff";
    context.fillText(text, x, y);
  }

  /** Limits that follow the data, but not its every breath. */
  follow(found) {
    const now = this.autoLimits;
    const target = found ?? now ?? [0, 1];
    const span = target[1] - target[0];
    if (!now || Math.abs(target[0] - now[0]) > 0.12 * span || Math.abs(target[1] - now[1]) > 0.12 * span) this.autoLimits = target;
    return this.autoLimits;
  }

  describe() {
    const header = this.value.header;
    const words = [];
    if (this.view.unit) words.push(this.view.unit);
    if (header.of_run) words.push(`joint fit of run ${String(header.of_run).slice(0, 8)}`);
    if (header.arrow_from && this.value.arrays[this.view.arrows]?.data.length) words.push(`arrows: direction from the ${header.arrow_from}, drawn to the right`);
    if (this.large) {
      if (Number.isFinite(header.temperature_k)) words.push(`sample ${fixed(header.temperature_k, 1)} K`);
      const sweep = this.store.header("sweep");
      if (Number.isFinite(sweep.field_gauss)) words.push(`H ${fixed(sweep.field_gauss, 0)} G`);
      const plan = this.store.header("plan");
      const coming = this.newest !== this.shown && this.newest?.header;
      if (coming) words.push(`the sweep at ${kelvin(coming.temperature_k)} has no values yet`);
      else if (Number.isFinite(header.sweep)) {
        const number = header.sweep + 1;
        words.push(number <= plan.points_planned ? `sweep ${number} of ${plan.points_planned}` : `sweep ${number}`);
      }
      words.push(header.final ? "final" : "running average");
      const now = this.store.header("device/sample_temperature").value;
      if (!coming && header.final && Number.isFinite(now) && Math.abs(now - header.temperature_k) > 2) words.push(`the sample is at ${kelvin(now)} now`);
    }
    this.caption = words.join(" · ");
    this.refreshSub();
  }

  refreshSub() {
    const at = this.page.cursor;
    write(this.sub, at && this.field && !this.isOther ? this.readOut(at) : this.caption ?? "");
  }

  drawRegions(context, size) {
    const [um, { regions }] = [this.pixelUm, this.run];
    if (!um) return;
    if (regions?.ruby) this.outline(context, regions.ruby, size / um, [1.5, 3]);
    if (regions?.sample) this.outline(context, regions.sample, size / um, [6, 4]);
    if (this.isOther) return;
    const points = this.points().map((point) => ({
      name: point.name, x: this.box.x + (point.x_px + 0.5) * size, y: this.box.y + (point.y_px + 0.5) * size,
    }));
    if (this.large) this.drawLabels(context, points, size, size / um);
    points.forEach(({ x, y }, i) => star(context, x, y, this.large ? 9 : 5, pointColour(i)));
  }

  /** The names of the marked points, each where it covers neither the ruby nor the sample, with a line to its star. */
  drawLabels(context, points, size, scale) {
    const [cx, cy] = [this.box.x + this.box.width / 2, this.box.y + this.box.height / 2];
    const ruby = (this.run.regions?.ruby ?? []).map(([x, y]) => [cx + x * scale, cy + y * scale]);
    const across = (axis) => [Math.min(...ruby.map((at) => at[axis])), Math.max(...ruby.map((at) => at[axis]))];
    const taken = points.map(({ x, y }) => ({ x0: x - 10, x1: x + 10, y0: y - 10, y1: y + 10 }));
    const edge = this.box.y + this.box.height;
    taken.push({ x0: this.box.x + this.box.width * 0.68, x1: this.box.x + this.box.width, y0: edge - 32, y1: edge });
    if (ruby.length) taken.push({ x0: across(0)[0], x1: across(0)[1], y0: across(1)[0], y1: across(1)[1] });
    const columns = this.field.shape[1];
    const onSample = (x, y) => this.mask?.[Math.floor((y - this.box.y) / size) * columns + Math.floor((x - this.box.x) / size)] ? 1 : 0;
    context.font = "700 12px system-ui, 'DejaVu Sans', sans-serif";
    context.textAlign = "left";
    context.textBaseline = "middle";
    this.labels = [];
    for (const { name, x, y } of points) {
      const wide = context.measureText(name).width;
      const label = labelPlace(x, y, wide, this.box, taken, onSample);
      taken.push(label);
      this.labels.push({ name, ...label });
      const [xl, yl] = [Math.min(Math.max(x, label.x0), label.x1), (label.y0 + label.y1) / 2];
      if (label.far) {
        for (const [colour, width] of [["#fff", 3], ["#14171c", 1.2]]) {
          context.strokeStyle = colour;
          context.lineWidth = width;
          context.beginPath();
          line(context, x, y, xl, Math.min(Math.max(y, label.y0), label.y1));
          context.stroke();
        }
      }
      context.lineWidth = 3;
      context.strokeStyle = "#fff";
      context.strokeText(name, label.x0, yl);
      context.fillStyle = "#14171c";
      context.fillText(name, label.x0, yl);
    }
    this.overlay.dataset.labels = JSON.stringify(this.labels);
    this.overlay.dataset.ruby = ruby.length ? JSON.stringify([...across(0), ...across(1)]) : "";
  }

  points() {
    const shown = this.store.header("curve/s").points;
    if (shown?.length) return shown;
    const { regions, pixel_size_um: um, width, height } = this.run;
    return Object.entries(regions?.points ?? {}).map(([name, [x, y]]) => ({ name, x_px: x / um + width / 2 - 0.5, y_px: y / um + height / 2 - 0.5 }));
  }

  /** A dashed line, dark on a light halo: seen on every colour table. */
  outline(context, polygon, scale, dash) {
    const [cx, cy] = [this.box.x + this.box.width / 2, this.box.y + this.box.height / 2];
    context.save();
    context.beginPath();
    polygon.forEach(([x, y], i) => (i ? context.lineTo(cx + x * scale, cy + y * scale) : context.moveTo(cx + x * scale, cy + y * scale)));
    context.closePath();
    context.strokeStyle = "rgb(255 255 255 / .6)";
    context.lineWidth = this.large ? 3 : 2.4;
    context.stroke();
    context.setLineDash(dash);
    context.strokeStyle = "#101318";
    context.lineWidth = this.large ? 1.7 : 1.3;
    context.stroke();
    context.restore();
  }

  drawScaleBar(context, size) {
    const um = this.pixelUm;
    if (!um) return;
    const length = [1, 2, 5, 10, 20, 50, 100, 200, 500].findLast((l) => (l / um) * size <= (this.large ? this.box.width * 0.28 : 36)) ?? 1;
    const width = (length / um) * size;
    context.font = "600 11px system-ui, 'DejaVu Sans', sans-serif";
    context.textAlign = "center";
    context.textBaseline = "bottom";
    if (!this.large) {
      // A small map has no corner to spare: it goes below the colour bar.
      const [x, y] = [this.box.x + this.box.width + 26, this.box.y + this.box.height - 3];
      context.fillStyle = this.page.theme.soft;
      context.fillRect(x - width / 2, y - 3, width, 2.5);
      context.fillText(`${length} µm`, x, y - 4);
      return;
    }
    const bottom = this.box.y + this.box.height - 6;
    // A marked point is not to lie under it: then it goes to the other corner.
    const [rows, columns] = this.field.shape;
    const taken = this.points().some((p) => p.y_px > 0.88 * rows && p.x_px > 0.55 * columns);
    const plate = Math.max(width, context.measureText(`${length} µm`).width) + 12;
    const right = taken ? this.box.x + 6 + plate : this.box.x + this.box.width - 6;
    context.fillStyle = "rgb(12 14 18 / .82)";
    context.fillRect(right - plate, bottom - 24, plate, 24);
    context.fillStyle = "#fff";
    context.fillRect(right - (plate + width) / 2, bottom - 8, width, 3);
    context.fillText(`${length} µm`, right - plate / 2, bottom - 9);
  }

  drawBar(context, left, height, room) {
    const { theme } = this.page;
    const { limits, view } = this;
    const words = this.large && view.low_means ? 26 : 5;
    const top = Math.max(words, this.box.y + words);
    const tall = Math.min(height, this.box.y + this.box.height) - top - words - (this.large ? 0 : 22);
    const x = left + (this.large ? room - 82 : 8);
    const wide = this.large ? 16 : 9;
    for (let i = 0; i < 256; i++) {
      context.fillStyle = entry(view.colours, 255 - i);
      context.fillRect(x, top + (i * tall) / 256, wide, tall / 256 + 0.6);
    }
    context.strokeStyle = theme.line;
    context.lineWidth = 1;
    context.strokeRect(x, top, wide, tall);
    const marks = ticks(...limits, tall / (this.large ? 46 : 26));
    context.font = `${this.large ? 11.5 : 10.5}px system-ui, 'DejaVu Sans', sans-serif`;
    context.fillStyle = theme.soft;
    context.textAlign = "left";
    context.textBaseline = "middle";
    context.strokeStyle = theme.soft;
    context.beginPath();
    for (const value of marks.at) {
      const y = top + ((limits[1] - value) / (limits[1] - limits[0])) * tall;
      line(context, x + wide, y, x + wide + 4, y);
      context.fillText(Math.abs(value) >= 1000 ? `${+(value / 1000).toFixed(2)}k` : value.toFixed(marks.digits), x + wide + 7, y);
    }
    context.stroke();
    if (!this.large) return;
    this.drawHistogram(context, x - 3, top, tall, room - 90);
    context.fillStyle = theme.text;
    context.textAlign = "center";
    context.fillText(view.high_means, x + wide / 2 + 6, top - 16);
    context.fillText(view.low_means, x + wide / 2 + 6, top + tall + 16);
  }

  drawHistogram(context, right, top, tall, wide) {
    const bins = Math.max(24, Math.min(80, Math.round(tall / 5)));
    // Its shape changes slowly: it need not be counted for every revision, but always for the last one.
    const due = this.value.header.final || !(performance.now() - this.countedAt < COUNT_AGAIN_MS);
    if (this.counted !== this.prepared && (due || this.counts.length !== bins)) {
      this.counts = histogram(this.field, this.mask, this.limits, bins);
      [this.counted, this.countedAt] = [this.prepared, performance.now()];
    }
    const { counts } = this;
    const most = Math.max(...counts, 1);
    context.fillStyle = this.page.theme.point;
    for (let i = 0; i < bins; i++) {
      const length = wide * Math.sqrt(counts[i] / most);
      context.fillRect(right - length, top + tall - ((i + 1) * tall) / bins, length, Math.max(tall / bins - 1, 1));
    }
  }

  /** Ring of the inspected region, region being dragged, cursor linked over all maps. */
  paintOverlay() {
    if (!this.field || !this.box || this.isOther) return;
    const region = this.drag && !this.drag.cut ? regionOf(this.drag.from, this.drag.to, this.field.shape) : this.page.inspected;
    const cutting = this.drag?.cut ? lineOf(this.drag.from, this.drag.to) : this.cuts ? this.page.cut : null;
    const key = JSON.stringify([region, cutting, this.page.cursor, this.box, this.field.shape, this.sized]);
    const surface = key !== this.overlaid && fit(this.overlay);
    if (!surface) return;
    this.overlaid = key;
    const { context: c } = surface;
    const [rows, columns] = this.field.shape;
    const [sx, sy] = [this.box.width / columns, this.box.height / rows];
    if (region) {
      const [x, y] = [this.box.x + region.x0 * sx, this.box.y + region.y0 * sy];
      const [w, h] = [(region.x1 - region.x0) * sx, (region.y1 - region.y0) * sy];
      for (const [colour, width] of [["rgb(0 0 0 / .75)", 4.5], ["#ffae1a", 2.2]]) {
        c.strokeStyle = colour;
        c.lineWidth = width;
        c.beginPath();
        if (region.x1 - region.x0 > 1 || region.y1 - region.y0 > 1) c.rect(x, y, w, h);
        else c.arc(x + w / 2, y + h / 2, this.large ? 8 : 5.5, 0, 2 * Math.PI);
        c.stroke();
      }
    }
    if (cutting) this.drawLine(c, cutting, sx, sy);
    if (!this.page.cursor) return;
    const [x, y] = [this.box.x + (this.page.cursor[0] + 0.5) * sx, this.box.y + (this.page.cursor[1] + 0.5) * sy];
    for (const [colour, width] of [["rgb(0 0 0 / .5)", 3], ["#fff", 1]]) {
      c.strokeStyle = colour;
      c.lineWidth = width;
      c.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) line(c, x + dx * 4, y + dy * 4, x + dx * 10, y + dy * 10);
      c.stroke();
    }
  }

  /** The line that is cut: white on dark, from a dot to an arrow's head, as its distances run. */
  drawLine(c, { x0, y0, x1, y1 }, sx, sy) {
    const at = (x, y) => [this.box.x + (x + 0.5) * sx, this.box.y + (y + 0.5) * sy];
    const [xa, ya] = at(x0, y0), [xb, yb] = at(x1, y1);
    arrow(c, xa, ya, xb, yb, 7, "#fff");
    c.fillStyle = "#fff";
    c.strokeStyle = "rgb(0 0 0 / .8)";
    c.lineWidth = 1;
    c.beginPath();
    c.arc(xa, ya, 3.5, 0, 2 * Math.PI);
    c.fill();
    c.stroke();
  }

  /** Arrows of a second array: its length goes with the value, its direction is from +x towards +y. */
  drawArrows(context, size) {
    const arrows = this.value.arrays[this.view.arrows];
    if (!arrows?.data.length) return;
    const [count] = arrows.shape;
    const row = (i) => arrows.data.subarray(4 * i, 4 * i + 4);
    const most = Math.max(...Array.from({ length: count }, (_, i) => row(i)[2]));
    const longest = (0.85 * this.box.width) / 14;
    for (let i = 0; i < count; i++) {
      const [x, y, value, degrees] = row(i);
      const [half, angle] = [(0.5 * longest * value) / most, (degrees * Math.PI) / 180];
      const [cx, cy] = [this.box.x + (x + 0.5) * size, this.box.y + (y + 0.5) * size];
      const [dx, dy] = [half * Math.cos(angle), half * Math.sin(angle)];
      arrow(context, cx - dx, cy - dy, cx + dx, cy + dy, Math.min(5, 0.9 * half + 1), "#fff");
    }
  }

  /** Stale is a builder that publishes nothing, not a sweep whose first values are yet to come. */
  isStale(age) { return super.isStale(this.newest ? this.store.now() - this.newest.time_s : age); }

  tick() {
    super.tick();
    if (this.legend) this.fillLegend();
  }

  fillLegend() {
    const points = this.points();
    const key = `${points.map((p) => p.name)}|${this.page.inspected ? 1 : 0}`;
    if (key === this.legendKey) return;
    this.legendKey = key;
    const items = points.map((point, i) => sign(point.name, (c) => star(c, 15, 15, 11, pointColour(i))));
    items.push(sign("unresolved", (c) => { c.fillStyle = hatchPattern(c, 2); c.fillRect(2, 2, 26, 26); }));
    items.push(sign("excluded", (c) => { c.fillStyle = excludedColour(); c.fillRect(2, 2, 26, 26); }));
    items.push(sign("sample outline", (c) => {
      c.strokeStyle = this.page.theme.text;
      c.lineWidth = 3;
      c.setLineDash([8, 5]);
      c.beginPath();
      line(c, 0, 15, 30, 15);
      c.stroke();
    }));
    items.push(sign("inspected: click or drag", (c) => {
      c.strokeStyle = "#ffae1a";
      c.lineWidth = 4;
      c.beginPath();
      c.arc(15, 15, 10, 0, 2 * Math.PI);
      c.stroke();
    }));
    this.legend.replaceChildren(...items);
  }
}

function sign(text, draw) {
  const canvas = make("canvas");
  canvas.width = canvas.height = 30;
  draw(canvas.getContext("2d"));
  return make("span", "", canvas, text);
}

/**
 * Where a label `wide` px goes that belongs to a star at (x, y): around it, nearer ones first. What is `taken` and the edge of
 * the box count most, then the sample below it, then how far off it is. `far`: so far that it needs a line to its star.
 */
function labelPlace(x, y, wide, box, taken, onSample) {
  let best = null;
  for (const far of [0, 26, 50, 80, 115]) {
    for (let k = 0; k < 16; k++) {
      const [dx, dy] = [Math.cos((k * Math.PI) / 8), Math.sin((k * Math.PI) / 8)];
      const [cx, cy] = [x + dx * (13 + far + wide / 2), y + dy * (18 + far)];
      const place = { x0: cx - wide / 2, x1: cx + wide / 2, y0: cy - 7, y1: cy + 7, far: far > 0 };
      if (place.x0 < box.x + 2 || place.x1 > box.x + box.width - 2 || place.y0 < box.y + 2 || place.y1 > box.y + box.height - 2) continue;
      const met = taken.filter((t) => place.x0 < t.x1 && place.x1 > t.x0 && place.y0 < t.y1 && place.y1 > t.y0).length;
      let covered = 0;
      for (let i = 0; i < 9; i++) covered += (onSample(place.x0 + (i * wide) / 8, cy - 5) + onSample(place.x0 + (i * wide) / 8, cy + 5)) / 18;
      const cost = 10 * met + covered + far / 160;
      if (!best || cost < best.cost - 1e-9) best = { ...place, cost };
    }
  }
  return best ?? { x0: x + 12, x1: x + 12 + wide, y0: y - 7, y1: y + 7, far: false };
}

function lineOf([x0, y0], [x1, y1]) { return { x0, y0, x1, y1 }; }

/** An arrow, light with a dark edge: seen on every colour table. */
function arrow(c, xa, ya, xb, yb, head, colour) {
  const angle = Math.atan2(yb - ya, xb - xa);
  for (const [style, width] of [["rgb(0 0 0 / .8)", 3.4], [colour, 1.5]]) {
    c.strokeStyle = style;
    c.lineWidth = width;
    c.setLineDash([]);
    c.beginPath();
    line(c, xa, ya, xb, yb);
    for (const side of [-1, 1]) line(c, xb, yb, xb - head * Math.cos(angle + side * 0.5), yb - head * Math.sin(angle + side * 0.5));
    c.stroke();
  }
}

function regionOf([xa, ya], [xb, yb], shape) {
  const [x0, x1] = [Math.min(xa, xb), Math.max(xa, xb) + 1];
  const [y0, y1] = [Math.min(ya, yb), Math.max(ya, yb) + 1];
  return { x0, x1: Math.min(x1, shape[1]), y0, y1: Math.min(y1, shape[0]) };
}
