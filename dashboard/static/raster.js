// Pixel codes to colours: 0 nothing, 1 unresolved, 2 excluded, 3... the value between low and high.

export const NOTHING = 0, UNRESOLVED = 1, EXCLUDED = 2, FIRST = 3, LAST = 65535;

let palette = null;

/** Take the colour tables that the server sent. */
export function setPalette(colour) { palette = colour; }

export function css([r, g, b], alpha = 1) { return `rgb(${r} ${g} ${b} / ${alpha})`; }
export function pointColour(index, alpha = 1) { return css(palette.points[index % palette.points.length], alpha); }
export function excludedColour() { return css(palette.excluded); }

/** The colour of the i-th of 256 entries of a table. */
export function entry(name, i) { return css(palette.tables[name].slice(3 * i, 3 * i + 3)); }

export function valueOf(code, field) { return field.low + ((code - FIRST) / (LAST - FIRST)) * (field.high - field.low); }

function word([r, g, b]) { return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0; }

/** 65536 RGBA words: the colour of every code of a field under some limits, written into `words`. */
function lookUp(words, field, name, limits) {
  const table = palette.tables[name];
  words[UNRESOLVED] = word(palette.unresolved[0]);
  words[EXCLUDED] = word(palette.excluded);
  const first = (field.low - limits[0]) / (limits[1] - limits[0]) * 256;
  const step = (field.high - field.low) / (LAST - FIRST) / (limits[1] - limits[0]) * 256;
  let from = FIRST;
  for (let i = 0; i < 256; i++) {
    const to = i === 255 ? LAST + 1 : Math.min(Math.max(Math.ceil(FIRST + (i + 1 - first) / step), from), LAST + 1);
    words.fill(word(table.slice(3 * i, 3 * i + 3)), from, to);
    from = to;
  }
}

/** Turns fields into canvases of one canvas pixel per map pixel, never smoothed. */
export class Raster {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.mask = document.createElement("canvas");
    this.layer = document.createElement("canvas");
    this.unresolved = 0;
    this.hasValues = false;
    this.key = "";
    this.words = new Uint32Array(LAST + 1);
    this.maskSum = -1;
  }

  /** Paint a field {shape, data, low, high}. */
  update(field, name, limits) {
    const [height, width] = field.shape;
    for (const canvas of [this.canvas, this.mask]) {
      if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    }
    const key = [field.low, field.high, name, ...limits].join();
    if (key !== this.key) {
      this.key = key;
      lookUp(this.words, field, name, limits);
    }
    if (this.image?.width !== width || this.image.height !== height) {
      this.image = new ImageData(width, height);
      this.target = new Uint32Array(this.image.data.buffer);
      this.maskSum = -1;
    }
    const { data } = field;
    const { target, words } = this;
    let unresolved = 0, sum = 0, values = 0;
    for (let i = 0; i < data.length; i++) {
      const code = data[i];
      target[i] = words[code];
      if (code >= FIRST) values++;
      else if (code === UNRESOLVED) { unresolved++; sum = (sum * 31 + i) | 0; }
    }
    this.canvas.getContext("2d").putImageData(this.image, 0, 0);
    this.unresolved = unresolved;
    this.hasValues = values > 0;
    // The unresolved pixels are mostly the same from one revision to the next: the hatch is kept while they are.
    if (unresolved && sum !== this.maskSum) {
      this.maskSum = sum;
      this.layerKey = "";
      this.paintMask(data, width, height);
    }
  }

  paintMask(data, width, height) {
    const image = new ImageData(width, height);
    const target = new Uint32Array(image.data.buffer);
    for (let i = 0; i < data.length; i++) if (data[i] === UNRESOLVED) target[i] = 0xffffffff;
    this.mask.getContext("2d").putImageData(image, 0, 0);
  }

  /** Draw into a box {x, y, width, height} of a context whose device scale is `scale`. */
  draw(context, box, scale) {
    context.imageSmoothingEnabled = false;
    context.drawImage(this.canvas, box.x, box.y, box.width, box.height);
    if (this.unresolved) {
      this.paintLayer(Math.round(box.width * scale), Math.round(box.height * scale), scale);
      context.drawImage(this.layer, box.x, box.y, box.width, box.height);
    }
  }

  /** Green hatch where the mask is set: unresolved differs from every colour by pattern, not by hue alone. */
  paintLayer(width, height, scale) {
    const key = `${width}x${height}@${scale}`;
    if (key === this.layerKey) return;
    this.layerKey = key;
    [this.layer.width, this.layer.height] = [width, height];
    const c = this.layer.getContext("2d");
    c.imageSmoothingEnabled = false;
    c.drawImage(this.mask, 0, 0, width, height);
    c.globalCompositeOperation = "source-in";
    c.fillStyle = hatchPattern(c, scale);
    c.fillRect(0, 0, width, height);
    c.globalCompositeOperation = "source-over";
  }
}

export function hatchPattern(context, scale = 1) {
  const size = Math.max(4, Math.round(5 * scale));
  const tile = document.createElement("canvas");
  tile.width = tile.height = size;
  const c = tile.getContext("2d");
  c.fillStyle = css(palette.unresolved[0]);
  c.fillRect(0, 0, size, size);
  c.strokeStyle = css(palette.unresolved[1]);
  c.lineWidth = Math.max(1.6, 1.8 * scale);
  c.beginPath();
  for (const shift of [-size, 0, size]) {
    c.moveTo(shift - 1, size + 1);
    c.lineTo(shift + size + 1, -1);
  }
  c.stroke();
  return context.createPattern(tile, "repeat");
}

/** u1 mask of the pixels inside a polygon in um from the image centre (x right, y down); all ones without one. */
export function polygonMask(polygon, shape, pixelSize) {
  const [height, width] = shape;
  const mask = new Uint8Array(width * height);
  if (!polygon || polygon.length < 3) return mask.fill(1);
  for (let row = 0; row < height; row++) {
    const y = (row + 0.5 - height / 2) * pixelSize;
    for (let column = 0; column < width; column++) {
      const x = (column + 0.5 - width / 2) * pixelSize;
      let inside = false;
      for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
        const [xi, yi] = polygon[i], [xj, yj] = polygon[j];
        if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
      }
      if (inside) mask[row * width + column] = 1;
    }
  }
  return mask;
}

/** Values below which the given shares of a field's values lie, or null without values. */
export function quantiles(field, shares) {
  const counts = new Uint32Array(LAST + 1);
  for (const code of field.data) counts[code]++;
  const total = field.data.length - counts[NOTHING] - counts[UNRESOLVED] - counts[EXCLUDED];
  if (!total) return null;
  const at = (q) => {
    let [code, left] = [FIRST, q * (total - 1)];
    while (left >= counts[code]) left -= counts[code++];
    return valueOf(code, field);
  };
  return shares.map(at);
}

/** Limits that hold the 2nd to 98th percentile of the values, or null without values. */
export function percentiles(field) {
  const found = quantiles(field, [0.02, 0.98]);
  if (!found) return null;
  const [low, high] = found;
  const margin = Math.max((high - low) * 0.08, Math.abs(high) * 1e-4, 1e-9);
  return [low - margin, high + margin];
}

/** Counts of the values (of a mask, where one is given) over the limits, in `bins` bins. */
export function histogram(field, mask, limits, bins) {
  const counts = new Float32Array(bins);
  const first = (field.low - limits[0]) / (limits[1] - limits[0]) * bins;
  const step = (field.high - field.low) / (LAST - FIRST) / (limits[1] - limits[0]) * bins;
  const { data } = field;
  for (let i = 0; i < data.length; i++) {
    const code = data[i];
    if (code < FIRST || (mask && !mask[i])) continue;
    const bin = Math.floor(first + (code - FIRST) * step);
    counts[bin < 0 ? 0 : bin >= bins ? bins - 1 : bin]++;
  }
  return counts;
}
