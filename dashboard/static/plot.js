// A chart on a canvas: axes, grid, lines, points, marks. Knows nothing of what it shows.

const FONT = "11px system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";

/** Round steps: at most about `count` ticks between low and high. */
export function ticks(low, high, count) {
  const raw = (high - low) / Math.max(count, 1);
  if (!(raw > 0)) return { at: [], digits: 0 };
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 2.5, 5, 10].find((m) => m * power >= raw * 0.999) ?? 10);
  const at = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) at.push(i * step);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9) + (step / power === 2.5 ? 1 : 0));
  return { at, digits };
}

/** Lowest and highest of some lists, with a margin; `least` is the smallest span. */
export function range(lists, margin = 0.06, least = 0) {
  let [low, high] = [Infinity, -Infinity];
  for (const list of lists) {
    for (const value of list) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (!(high >= low)) return [0, 1];
  const extra = Math.max((least - (high - low)) / 2, 0) + Math.max(high - low, least, 1e-12) * margin;
  return [low - extra, high + extra];
}

export class Plot {
  /** A plot in a box {x, y, width, height} of a context, over x in `xs` and y in `ys`. */
  constructor(context, box, xs, ys, theme) {
    Object.assign(this, { context, box, xs, ys, theme, written: [] });
    context.font = FONT;
    context.lineJoin = "round";
  }

  x(value) { return this.box.x + ((value - this.xs[0]) / (this.xs[1] - this.xs[0])) * this.box.width; }
  y(value) { return this.box.y + this.box.height - ((value - this.ys[0]) / (this.ys[1] - this.ys[0])) * this.box.height; }

  axes({ xLabel = "", yLabel = "", xTicks = true } = {}) {
    const { context: c, box, theme } = this;
    c.strokeStyle = theme.grid;
    c.fillStyle = theme.soft;
    c.lineWidth = 1;
    const across = ticks(...this.xs, box.width / 70);
    const [low, high] = [Math.min(...this.ys), Math.max(...this.ys)];
    // One tick alone gives no scale.
    const up = [34, 20, 14].map((px) => ticks(low, high, box.height / px)).find(({ at }) => at.length > 1) ?? ticks(low, high, 3);
    c.beginPath();
    for (const value of across.at) line(c, this.x(value), box.y, this.x(value), box.y + box.height);
    for (const value of up.at) line(c, box.x, this.y(value), box.x + box.width, this.y(value));
    c.stroke();
    c.textBaseline = "middle";
    c.textAlign = "right";
    for (const value of up.at) c.fillText(value.toFixed(up.digits).replace("-", "−"), box.x - 6, this.y(value));
    c.textAlign = "center";
    c.textBaseline = "top";
    if (xTicks) for (const value of across.at) c.fillText(value.toFixed(across.digits), this.x(value), box.y + box.height + 5);
    c.fillStyle = theme.text;
    if (xLabel) c.fillText(xLabel, box.x + box.width / 2, box.y + box.height + 19);
    if (yLabel) {
      c.save();
      // Where a label is longer than its axis it hangs out below, never out of the canvas.
      c.translate(box.x - 47, Math.max(box.y + box.height / 2, c.measureText(yLabel).width / 2 + 2));
      c.rotate(-Math.PI / 2);
      c.textBaseline = "middle";
      c.fillText(yLabel, 0, 0);
      c.restore();
    }
    c.strokeStyle = theme.line;
    c.strokeRect(box.x, box.y, box.width, box.height);
  }

  clipped(draw) {
    const { context: c, box } = this;
    c.save();
    c.beginPath();
    c.rect(box.x, box.y, box.width, box.height);
    c.clip();
    draw(c);
    c.restore();
  }

  path(xs, ys, colour, width = 1.5, dash = []) {
    this.clipped((c) => {
      c.strokeStyle = colour;
      c.lineWidth = width;
      c.setLineDash(dash);
      c.beginPath();
      let pen = false;
      for (let i = 0; i < xs.length; i++) {
        if (!Number.isFinite(ys[i])) { pen = false; continue; }
        if (pen) c.lineTo(this.x(xs[i]), this.y(ys[i]));
        else c.moveTo(this.x(xs[i]), this.y(ys[i]));
        pen = true;
      }
      c.stroke();
    });
  }

  /** Fill between a curve and a level. */
  fill(xs, ys, level, colour) {
    this.clipped((c) => {
      c.fillStyle = colour;
      c.beginPath();
      c.moveTo(this.x(xs[0]), this.y(level));
      for (let i = 0; i < xs.length; i++) c.lineTo(this.x(xs[i]), this.y(ys[i]));
      c.lineTo(this.x(xs[xs.length - 1]), this.y(level));
      c.fill();
    });
  }

  /** Fill between two curves, where both are known. */
  band(xs, lows, highs, colour) {
    const known = Array.from(xs.keys()).filter((i) => Number.isFinite(lows[i]) && Number.isFinite(highs[i]));
    if (known.length < 2) return;
    this.clipped((c) => {
      c.fillStyle = colour;
      c.beginPath();
      for (const i of known) c.lineTo(this.x(xs[i]), this.y(highs[i]));
      for (const i of known.reverse()) c.lineTo(this.x(xs[i]), this.y(lows[i]));
      c.fill();
    });
  }

  /** Dots, with error bars where `sigma` is given. */
  dots(xs, ys, sigma, colour, radius = 1.8) {
    this.clipped((c) => {
      c.strokeStyle = colour;
      c.fillStyle = colour;
      c.lineWidth = 1;
      if (sigma) {
        c.globalAlpha = 0.45;
        c.beginPath();
        for (let i = 0; i < xs.length; i++) line(c, this.x(xs[i]), this.y(ys[i] - sigma[i]), this.x(xs[i]), this.y(ys[i] + sigma[i]));
        c.stroke();
        c.globalAlpha = 1;
      }
      c.beginPath();
      for (let i = 0; i < xs.length; i++) {
        const [x, y] = [this.x(xs[i]), this.y(ys[i])];
        c.moveTo(x + radius, y);
        c.arc(x, y, radius, 0, 2 * Math.PI);
      }
      c.fill();
    });
  }

  vertical(value, colour, { dash = [], width = 1, label = "", side = 1, row = 0 } = {}) {
    if (!(value >= this.xs[0] && value <= this.xs[1])) return;
    const { context: c, box } = this;
    const x = this.x(value);
    c.save();
    c.strokeStyle = colour;
    c.lineWidth = width;
    c.setLineDash(dash);
    c.beginPath();
    line(c, x, box.y, x, box.y + box.height);
    c.stroke();
    c.restore();
    if (label) this.word(label, x + 5 * side, box.y + 4 + 14 * row, colour, side > 0 ? "left" : "right");
  }

  horizontal(value, colour, dash = [2, 3]) {
    this.clipped((c) => {
      c.strokeStyle = colour;
      c.setLineDash(dash);
      c.lineWidth = 1;
      c.beginPath();
      line(c, this.box.x, this.y(value), this.box.x + this.box.width, this.y(value));
      c.stroke();
    });
  }

  /** Text with a halo of the panel's colour, kept inside the box and below the words that are there already. */
  word(text, x, y, colour, align = "left") {
    const { context: c, box, theme } = this;
    const width = c.measureText(text).width;
    let left = align === "right" ? x - width : align === "center" ? x - width / 2 : x;
    left = Math.min(Math.max(left, box.x + 3), box.x + box.width - width - 3);
    const meets = (word) => left < word.right + 4 && left + width + 4 > word.left && Math.abs(y - word.y) < 13;
    for (let other = this.written.find(meets); other && y < box.y + box.height - 26; other = this.written.find(meets)) y = other.y + 13;
    this.written.push({ left, right: left + width, y });
    c.save();
    c.textAlign = "left";
    c.textBaseline = "top";
    c.lineWidth = 3;
    c.strokeStyle = theme.panel;
    c.strokeText(text, left, y);
    c.fillStyle = colour;
    c.fillText(text, left, y);
    c.restore();
  }
}

export function line(context, x0, y0, x1, y1) {
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
}

/** A five-pointed star with a white rim: a marked point. */
export function star(context, x, y, radius, colour) {
  context.save();
  context.beginPath();
  for (let i = 0; i < 10; i++) {
    const r = i % 2 ? radius * 0.45 : radius;
    const a = (i * Math.PI) / 5 - Math.PI / 2;
    if (i) context.lineTo(x + r * Math.cos(a), y + r * Math.sin(a));
    else context.moveTo(x + r * Math.cos(a), y + r * Math.sin(a));
  }
  context.closePath();
  context.setLineDash([]);
  context.lineJoin = "round";
  context.lineWidth = radius > 7 ? 3.6 : 2.4;
  context.strokeStyle = "rgb(0 0 0 / .65)";
  context.stroke();
  context.lineWidth = radius > 7 ? 2 : 1.5;
  context.strokeStyle = "#fff";
  context.stroke();
  context.fillStyle = colour;
  context.fill();
  context.restore();
}
