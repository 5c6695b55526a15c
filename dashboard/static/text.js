// Numbers and times as words.

export const MISSING = "–";

export function fixed(value, digits) {
  return value === null || value === undefined || !Number.isFinite(value) ? MISSING : value.toFixed(digits).replace("-", "−");
}

/** A value and its standard deviation, with as many digits as show at least one of the latter. */
export function withSigma(value, sigma, digits) {
  if (!(sigma > 0)) return fixed(value, digits);
  const enough = Math.min(Math.max(Math.ceil(-Math.log10(sigma)), digits), 6);
  return `${fixed(value, enough)} ± ${fixed(sigma, enough)}`;
}

export function significant(value, digits = 4) {
  if (value === null || value === undefined || !Number.isFinite(value)) return MISSING;
  const magnitude = value === 0 ? 0 : Math.floor(Math.log10(Math.abs(value)));
  return fixed(value, Math.min(Math.max(digits - 1 - magnitude, 0), 4));
}

/** Like `significant`, without zeros at the end. */
export function brief(value) {
  const text = significant(value);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

export function duration(seconds) {
  if (!Number.isFinite(seconds)) return MISSING;
  const s = Math.max(0, seconds);
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 129600) return `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min`;
  return `${Math.round(s / 86400)} d`;
}

export function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString("en-GB");
}

export function kelvin(value) {
  return Number.isFinite(value) ? `${fixed(value, Math.abs(value - Math.round(value)) < 0.05 ? 0 : 1)} K` : MISSING;
}

/** Make an element: tag, class and text or children. */
export function make(tag, name = "", ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...children);
  return element;
}

const SHAPES = { NO_ALARM: "●", MINOR: "▲", MAJOR: "◆", INVALID: "✕" };

/** Write a text where it is another one: an equal one written again costs a layout of the page. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Severity is a shape as well as a colour. */
export function shape(severity) {
  return SHAPES[severity] ?? "●";
}
