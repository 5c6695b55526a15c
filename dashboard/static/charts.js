// Spectra, s(T) over R(T), and the gain of the next temperature.

import { Panel, fit } from "./panel.js";
import { Plot, range, star } from "./plot.js";
import { FIRST, histogram, pointColour, valueOf } from "./raster.js";
import { clock, duration, fixed, kelvin, make, withSigma, write } from "./text.js";

const LEFT = 62, RIGHT = 10, BOTTOM = 36;

class ChartPanel extends Panel {
  constructor(view, page) {
    super(view, page);
    this.canvas = make("canvas");
    this.body.append(this.canvas);
  }
}

/** Draw a spectrum {frequency_mhz, signal, sigma, model} in percent over GHz. */
function drawSpectrum(surface, arrays, guides, colour, theme, held, run) {
  const { context, width, height } = surface;
  const ghz = Array.from(arrays.frequency_mhz.data, (f) => f / 1000);
  const percent = (list) => Array.from(list, (v) => v * 100);
  const [signal, sigma, model] = [arrays.signal, arrays.sigma, arrays.model].map((a) => percent(a?.data ?? []));
  const found = range([signal, model], 0.1, 0.2);
  // The axis keeps still unless the data leave it or use less than half of it.
  const keep = held.ys && found[0] >= held.ys[0] && found[1] <= held.ys[1] && found[1] - found[0] > 0.5 * (held.ys[1] - held.ys[0]);
  const few = held.run === run && ghz.length < 0.5 * held.count;
  if (held.run !== run || ghz.length > held.count) held.count = ghz.length;
  if (!keep && !few) held.ys = range([found], 0.04);
  const box = { x: LEFT, y: 5, width: width - LEFT - RIGHT, height: height - 5 - BOTTOM };
  // A sweep fills its spectrum in from one end: the frequency axis stays that of the sweep before.
  held.xs = range([ghz, held.run === run ? held.xs ?? [] : []], 0);
  held.run = run;
  const plot = new Plot(context, box, range([held.xs], 0.015), held.ys, theme);
  plot.axes({ xLabel: "Microwave frequency (GHz)", yLabel: "PL change (%)" });
  guides.forEach((f, i) => plot.vertical(f / 1000, theme.soft, { dash: [2, 3], label: i === guides.length - 1 ? "s = 1" : "" }));
  plot.dots(ghz, signal, sigma, theme.point, 1.9);
  if (model.some((value) => value !== 0)) plot.path(ghz, model, colour, 1.8);
}

/** Mean square of the distance of the points from their model, in their standard deviations; NaN where there is no model. */
function misfitOf({ signal, sigma, model }) {
  let [sum, count] = [0, 0];
  if (!model?.data.some((value) => value !== 0)) return NaN;
  for (let i = 0; i < signal.data.length; i++) {
    const off = (signal.data[i] - model.data[i]) / (sigma?.data[i] ?? NaN);
    if (Number.isFinite(off)) [sum, count] = [sum + off * off, count + 1];
  }
  return count ? sum / count : NaN;
}

export class SpectrumPanel extends ChartPanel {
  paint() {
    const value = this.value;
    const surface = value?.arrays.frequency_mhz?.data.length && fit(this.canvas);
    if (!surface) return;
    const { header, arrays } = value;
    this.held ??= {};
    drawSpectrum(surface, arrays, header.guides_mhz ?? [], this.page.theme.orange, this.page.theme, this.held, header.run_uid);
    const words = [];
    // Where the model misses the points by more than their noise, the noise alone would promise too much.
    const misfit = misfitOf(arrays);
    const widened = misfit > 1 ? header.sigma_s * Math.sqrt(misfit) : header.sigma_s;
    if (Number.isFinite(header.s)) words.push(`s = ${withSigma(header.s, widened, 4)}`);
    if (Number.isFinite(misfit)) words.push(`χ² ${fixed(misfit, misfit < 10 ? 2 : 0)}${misfit > 1 ? ", error widened by √χ²" : ""}`);
    if (Number.isFinite(header.temperature_k)) words.push(kelvin(header.temperature_k));
    words.push(header.final ? "final" : "running average");
    write(this.sub, words.join(" · "));
  }
}

export class InspectPanel extends ChartPanel {
  get value() { return this.page.spectrum; }
  isStale() { return !this.page.isOnline || this.page.silence("builder") > 0; }

  paint() {
    const reply = this.value;
    if (!reply) return;
    const region = this.page.inspected;
    const where = region.x1 - region.x0 > 1 || region.y1 - region.y0 > 1
      ? `${region.x1 - region.x0} × ${region.y1 - region.y0} px at (${region.x0}, ${region.y0})` : `(${region.x0}, ${region.y0}) px`;
    const surface = fit(this.canvas);
    if (!surface) return;
    const { context, width, height } = surface;
    if (reply.refused || !reply.arrays.frequency_mhz.data.length) {
      this.sub.textContent = `${where} · ${reply.refused ?? reply.header.status}`;
      context.font = "12.5px system-ui, 'DejaVu Sans', sans-serif";
      context.fillStyle = this.page.theme.faint;
      context.textAlign = "center";
      context.fillText("No spectrum: the line above says why", width / 2, height / 2);
      return;
    }
    const { values, status } = reply.header;
    this.held ??= {};
    drawSpectrum(surface, reply.arrays, values.guides_mhz ?? [], this.page.theme.yellow, this.page.theme, this.held, reply.header.run_uid);
    const words = [where];
    if (Number.isFinite(values.s)) words.push(`s = ${withSigma(values.s, values.sigma_s, 4)}`);
    if (Number.isFinite(values.sigma_zz_gpa)) words.push(`σZZ ${withSigma(values.sigma_zz_gpa, values.sigma_sigma_zz_gpa, 2)} GPa`);
    if (Number.isFinite(values.chi2)) words.push(`χ² ${fixed(values.chi2, 2)}`);
    if (Number.isFinite(values.temperature_k)) words.push(kelvin(values.temperature_k));
    words.push(String(status).toLowerCase().replaceAll("_", " "));
    write(this.sub, words.join(" · "));
    this.sub.title = this.sub.textContent;
  }
}

export class CurvesPanel extends ChartPanel {
  /** One temperature axis for both: measured, planned and now. */
  temperatures() {
    const measured = [...(this.value?.arrays.temperature_k?.data ?? []), ...(this.store.get("transport")?.arrays.temperature_k?.data ?? [])];
    const planned = this.store.header("plan").planned_temperatures_k ?? [];
    return range([measured, planned, measured.length + planned.length ? [] : [20, 150]], 0.055, 20);
  }

  ageNow() {
    const ages = [super.ageNow(), this.store.get("transport") && this.store.now() - this.store.get("transport").time_s];
    return ages.filter((age) => age !== undefined).sort((a, b) => a - b)[0];
  }

  paint() {
    const surface = (this.value || this.store.get("transport")) && fit(this.canvas);
    if (!surface) return;
    const { context, width, height } = surface;
    const { theme } = this.page;
    const xs = this.temperatures();
    const tall = height - 5 - BOTTOM - 8;
    const upper = { x: LEFT, y: 5, width: width - LEFT - RIGHT, height: tall * 0.6 };
    const lower = { ...upper, y: upper.y + upper.height + 8, height: tall * 0.4 };
    this.drawRatio(context, upper, xs, theme);
    this.drawResistance(context, lower, xs, theme);
  }

  marks(plot, labelled) {
    const { theme } = this.page;
    const { next: decided, measuring, after } = this.page.aim();
    const next = measuring ? after[0] : decided;
    for (const t of this.store.header("plan").planned_temperatures_k ?? []) {
      if (Math.abs(t - next) > 0.05) plot.vertical(t, theme.faint, { dash: [1.5, 4] });
    }
    const now = this.store.header("device/sample_temperature").value ?? this.store.header("sweep").temperature_k;
    plot.vertical(next, theme.orange, { dash: [5, 3], width: 1.4, label: labelled ? `${measuring ? "then" : "next"} ${kelvin(next)}` : "", row: 1 });
    plot.vertical(now, theme.blue, { width: 1.4, label: labelled ? "now" : "", side: -1 });
  }

  drawRatio(context, box, xs, theme) {
    const { arrays = {}, header = {} } = this.value ?? {};
    const t = arrays.temperature_k?.data ?? [];
    const s = arrays.s?.data ?? [];
    const foretold = this.foretold(header.points ?? []);
    const edges = foretold.flatMap(({ low, high }) => [low, high]);
    const plot = new Plot(context, box, xs, range([s, ...edges].map((list) => list.filter(Number.isFinite)).concat([[1]]), 0.12, 0.04), theme);
    plot.axes({ yLabel: "s = B/H", xTicks: false });
    const label = this.drawOnsets(plot);
    const ahead = this.drawExpected(plot);
    plot.horizontal(1, theme.soft);
    foretold.forEach(({ at, mean, low, high }, i) => {
      plot.band(at, low, high, pointColour(i, 0.22));
      plot.path(at, mean, pointColour(i), 1.4, [5, 4]);
    });
    this.marks(plot, true);
    label?.();
    ahead?.();
    const words = [];
    (header.points ?? []).forEach((point, i) => {
      const values = s.slice(i * t.length, (i + 1) * t.length);
      const sigma = arrays.sigma_s?.data.slice(i * t.length, (i + 1) * t.length);
      const order = Array.from(t.keys()).sort((a, b) => t[a] - t[b]);
      plot.path(order.map((k) => t[k]), order.map((k) => values[k]), pointColour(i), 1.3);
      const known = order.filter((k) => Number.isFinite(values[k]));
      plot.dots(known.map((k) => t[k]), known.map((k) => values[k]), sigma && known.map((k) => sigma[k]), pointColour(i), 1);
      plot.clipped((c) => known.forEach((k) => star(c, plot.x(t[k]), plot.y(values[k]), 5.5, pointColour(i))));
      const tc = this.onset(point);
      if (tc !== null) plot.vertical(tc, pointColour(i), { dash: [6, 3], width: 1.2 });
      const name = make("span", "", `★ ${point.name}`, tc === null ? "" : ` Tc ${fixed(tc, 0)} K`);
      name.style.color = `color-mix(in srgb, ${pointColour(i)} 68%, var(--text))`;
      words.push(name, "  ");
    });
    this.canvas.dataset.foretold = foretold.length;
    if (foretold.length) plot.word("dashed: expected ± 2σ", box.x + box.width, box.y + 4, theme.soft, "right");
    const told = make("span", "", ...words);
    if (told.innerHTML !== this.sub.innerHTML) this.sub.replaceChildren(...told.childNodes);
  }

  /** s at the marked points ahead of what was measured, as far as it can be expected: {at, mean, low, high} of each. */
  foretold(points) {
    const { arrays = {}, header = {} } = this.store.get("curve/expected") ?? {};
    const at = arrays.temperature_k?.data ?? [];
    if (!at.length || !points.length || header.points?.length !== points.length) return [];
    return points.map((_, i) => {
      const [mean, sigma] = [arrays.s, arrays.sigma_s].map(({ data }) => Array.from(data.slice(i * at.length, (i + 1) * at.length)));
      const edge = (sign) => mean.map((value, k) => value + sign * header.band_sigmas * sigma[k]);
      return { at, mean, low: edge(-1), high: edge(1) };
    });
  }

  /** Tc of the map at a marked point, K, or null where it has none (yet). */
  onset({ x_px: x, y_px: y }) {
    const field = this.store.get("map/tc")?.arrays.value;
    const code = field?.data[Math.round(y) * field.shape[1] + Math.round(x)] ?? 0;
    return code >= FIRST ? valueOf(code, field) : null;
  }

  /**
   * How many pixels have their onset at each temperature, as a shade along the axis: the marked points among all.
   * Returns what writes the label, for after the marks.
   */
  drawOnsets(plot) {
    const field = this.store.get("map/tc")?.arrays.value;
    if (!field) return undefined;
    const bins = 60;
    const counts = histogram(field, null, plot.xs, bins);
    const most = Math.max(...counts);
    if (!most) return undefined;
    plot.clipped((c) => {
      c.fillStyle = this.page.theme.shade;
      const wide = plot.box.width / bins;
      for (let i = 0; i < bins; i++) {
        const tall = (counts[i] / most) * plot.box.height * 0.32;
        c.fillRect(plot.box.x + i * wide, plot.box.y + plot.box.height - tall, wide + 0.4, tall);
      }
    });
    const last = counts.findLastIndex((count) => count > 0.05 * most) + 1.5;
    return () => plot.word("Tc of all pixels", plot.box.x + (last * plot.box.width) / bins, plot.box.y + plot.box.height - 17, this.page.theme.soft);
  }

  /** Ahead of now: where the maps so far say that the open pixels will lose their diamagnetism. */
  drawExpected(plot) {
    const value = this.store.get("analysis");
    const t = value?.arrays.candidate_temperature_k?.data ?? [];
    const density = value?.arrays.tc_density_per_k?.data ?? [];
    const most = Math.max(...density);
    if (t.length < 2 || !(most > 0) || !(value.header.open_fraction > 0.02)) return undefined;
    const { orange } = this.page.theme;
    const level = (d) => plot.ys[0] + (d / most) * (plot.ys[1] - plot.ys[0]) * 0.32;
    const heights = Array.from(density, level);
    plot.fill(t, heights, plot.ys[0], `color-mix(in srgb, ${orange} 16%, transparent)`);
    plot.path(t, heights, orange, 1.3, [4, 3]);
    const at = density.indexOf(most);
    return () => plot.word("expected Tc", plot.x(t[at]) + 4, plot.y(heights[at]) - 15, orange);
  }

  drawResistance(context, box, xs, theme) {
    const value = this.store.get("transport");
    const t = value?.arrays.temperature_k?.data ?? [];
    const ohm = value?.arrays.resistance_ohm?.data ?? [];
    const plot = new Plot(context, box, xs, ohm.length ? range([ohm, [0]], 0.08) : [0, 1], theme);
    plot.axes({ xLabel: "Temperature (K)", yLabel: "R (Ω)" });
    this.marks(plot, false);
    // A line joins what was measured one after the other on the way up: none crosses what was only cooled through.
    const [line, height] = [[], []];
    t.forEach((kelvins, k) => {
      if (k && kelvins < t[k - 1]) { line.push(kelvins); height.push(NaN); }
      line.push(kelvins);
      height.push(ohm[k]);
    });
    plot.path(line, height, theme.blue, 1.6);
    plot.dots(t, ohm, null, theme.blue, 2.2);
    const drop = value?.header.tc_k;
    if (Number.isFinite(drop)) plot.vertical(drop, theme.text, { dash: [6, 3], label: `drop ${fixed(drop, 1)} K` });
    if (!ohm.length) plot.word("no resistance yet", box.x + box.width / 2, box.y + box.height / 2 - 6, theme.faint, "center");
  }
}

export class DecisionPanel extends Panel {
  constructor(view, page) {
    super(view, page);
    this.next = make("div", "next-value");
    this.reason = make("p", "reason");
    this.wishes = make("span", "wishes");
    const pin = page.control.button("Pin…", "pin", () => page.control.open("pin", this.coming));
    const veto = page.control.button("Veto…", "veto", () => page.control.open("veto", this.coming));
    pin.hidden = veto.hidden = true;
    this.steer = make("div", "steer", pin, veto, this.wishes);
    this.chart = make("div", "chart", (this.canvas = make("canvas")));
    this.body.append(this.next, this.reason, this.steer, this.chart);
  }

  /** The temperature that the plan has not decided yet: the one that can be pinned or vetoed. */
  get coming() {
    const here = this.page.control.state.ladder?.here_k;
    return (this.store.header("plan").planned_temperatures_k ?? []).find((t) => !(t <= here + 0.05));
  }

  beat() {
    super.beat();
    this.showSteer();
  }

  showSteer() {
    const { control } = this.page;
    const { ladder = {} } = control.state;
    const open = control.may && ladder.here_k < ladder.top_k;
    for (const button of this.steer.querySelectorAll("button")) if (button.hidden === open) button.hidden = !open;
    const words = [];
    if (Number.isFinite(ladder.pin_k)) words.push(`${kelvin(ladder.pin_k)} is pinned by ${ladder.pin_by}`);
    if (ladder.veto_k?.length) words.push(`vetoed: ${ladder.veto_k.map(kelvin).join(", ")}`);
    if (!words.length && open) words.push(`for the decision after ${kelvin(ladder.here_k)}`);
    write(this.wishes, words.join(" · "));
  }

  paint() {
    const value = this.value;
    if (!value) return;
    const { header, arrays } = value;
    const { measuring, after } = this.page.aim();
    const now = [measuring ? "(stage) is being measured" : "(stage)", after.length ? `then ${after.slice(0, 3).map((t) => fixed(t, 0)).join(", ")} K if unchanged` : ""];
    const then = make("small", "", Number.isFinite(header.next_temperature_k) ? now.filter(Boolean).join(", ") : "");
    this.root.classList.toggle("content", header.next_temperature_k === null);
    this.next.replaceChildren(Number.isFinite(header.next_temperature_k) ? kelvin(header.next_temperature_k) : "complete", then);
    this.reason.textContent = header.reason ?? "";
    const words = [];
    if (header.n !== undefined) words.push(`decision ${header.n}`);
    if (header.step_k > 0) words.push(`step ${fixed(header.step_k, 1)} K`);
    words.push(header.fallback ? "fixed ladder: the analysis did not answer" : "adaptive");
    write(this.sub, words.join(" · "));
    this.sub.classList.toggle("fallback", Boolean(header.fallback));
    this.showSteer();
    this.sub.title = `decided at ${clock(value.time_s)}, ${duration(this.ageNow())} ago`;
    this.drawGain(header, arrays);
  }

  drawGain(header, arrays) {
    const t = arrays.candidate_temperature_k?.data ?? [];
    const surface = fit(this.canvas);
    if (!surface || t.length < 2 || surface.height < 70) return;
    const { theme } = this.page;
    const gain = arrays.gain.data;
    const box = { x: LEFT, y: 6, width: surface.width - LEFT - 8, height: surface.height - 6 - BOTTOM };
    const plot = new Plot(surface.context, box, range([t], 0.02), range([gain, [0]], 0.08), theme);
    plot.axes({ xLabel: "Temperature (K)", yLabel: box.height > 60 ? "expected gain" : "" });
    plot.fill(t, gain, 0, `color-mix(in srgb, ${theme.orange} 22%, transparent)`);
    plot.path(t, gain, theme.orange, 1.7);
    plot.vertical(header.next_temperature_k, theme.orange, { dash: [5, 3], width: 1.4, label: kelvin(header.next_temperature_k) });
  }
}
