// Numbers and texts, as people read them.

const MINUS = "−";
const NONE = "–";

// Shares of one as percent, and differences of them as points.
const share = (value) => (value == null ? NONE : (100 * value).toFixed(1));
function points(value) {
  if (value == null) return NONE;
  const text = Math.abs(100 * value).toFixed(1);
  return text === "0.0" ? text : (value < 0 ? MINUS : "+") + text;
}
const interval = ([low, high], write) => `${write(low)} to ${write(high)}`;

function pValue(p) {
  if (p == null) return NONE;
  return p < 0.001 ? "<0.001" : p.toFixed(3);
}

// A sum of logits or of log-probabilities; none is that of what was ruled out.
function score(value) {
  if (value == null) return `${MINUS}∞`;
  const text = Math.abs(value).toFixed(2);
  return value < 0 && text !== "0.00" ? MINUS + text : text;
}

const count = (number) => number.toLocaleString("en").replaceAll(",", "\u202f");
const many = (number, one, more = `${one}s`) => `${count(number)} ${number === 1 ? one : more}`;

function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 1000 && unit < units.length - 1) {
    bytes /= 1000;
    unit += 1;
  }
  return `${bytes.toFixed(unit && bytes < 100 ? 1 : 0)} ${units[unit]}`;
}

function duration(seconds) {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// A text with its lines as they are, and marks for what has no shape or would turn a line
// around. The joiners that scripts and emoji need stay.
const UNSHOWN = /((?![\n\t\u200c\u200d])[\p{Cc}\p{Cf}\p{Co}\p{Cs}\u2028\u2029])/u;
function shown(text) {
  return text
    .replaceAll("\r\n", "\n")
    .split(UNSHOWN)
    .map((part, i) => (i % 2 ? el("i", { class: "report-mark" }, mark(part)) : part));
}

const quietly = (...children) => el("small", {}, children);
const fact = (name, ...what) => el("div", {}, el("dt", {}, name), el("dd", {}, what));

// A hash: the beginning is enough to compare, all of it is there to copy.
function hash(text) {
  return text.length > 16
    ? el("code", { title: text }, `${text.slice(0, 12)}…`)
    : el("code", {}, text);
}

// A table that scrolls in a box of its own, also by the keyboard.
const boxed = (label, table) =>
  el("div", { class: "report-box", tabindex: 0, role: "region", "aria-label": label }, table);

function button(text, attributes, act) {
  const made = el("button", { type: "button", ...attributes }, text);
  made.addEventListener("click", () => act(made));
  return made;
}

// `items` drawn by `draw` into `list`, the first few at once, the rest for who asks.
function someOf(items, few, list, draw) {
  list.append(...items.slice(0, few).map(draw));
  if (items.length <= few) return list;
  const more = button(`Show all ${count(items.length)}`, { class: "report-button" }, () => {
    const first = list.children[few - 1];
    list.append(...items.slice(few).map(draw));
    more.remove();
    first.nextElementSibling?.querySelector("button, a")?.focus();
  });
  return [list, more];
}
