// What map.js and depth.js share: elements, tokens as text, numbers, the tooltip; and
// what pages do, the button for light and dark.

const $ = (id) => document.getElementById(id);

// An element with attributes and children. Strings become text, never markup:
// tokens can be anything.
function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(element, { style = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value != null && value !== false) element.setAttribute(name, value);
  }
  // Not as an attribute, so that a server's stricter policy allows it too.
  for (const [name, value] of Object.entries(style)) {
    if (value != null) element.style.setProperty(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null));
  return element;
}

// Spaces, and whatever else has no shape of its own. The joiner of emoji stays.
const UNSEEN = /((?!\u200d)[\p{Z}\p{C}])/u;
const MARKS = { " ": "·", "\n": "⏎", "\r": "␍", "\t": "⇥" };
const mark = (c) => MARKS[c] ?? `U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;

// A token's text as one sees it in a line: in plain characters, and as nodes with
// the marks paler than the text that they are marks in.
function tokenText(data, id) {
  const text = data.tokens[id] ?? `#${id}`;
  return (
    text
      .split(UNSEEN)
      .map((part, i) => (i % 2 ? mark(part) : part))
      .join("") || "∅"
  );
}

function token(data, id, attributes = {}) {
  const text = data.tokens[id] ?? `#${id}`;
  const parts = text.split(UNSEEN);
  const nodes = parts.every((part, i) => i % 2 || part === "")
    ? tokenText(data, id)
    : parts.map((part, i) => (i % 2 ? el("i", {}, mark(part)) : part));
  return el("span", { ...attributes, class: `lens-token ${attributes.class ?? ""}` }, nodes);
}

// Some of the text up to a position, for headings: spaces as they are, and marks
// for what could break or turn the line.
function context(data, index, tokens = 12) {
  const first = Math.max(0, index - tokens + 1);
  const ids = data.positions.slice(first, index + 1).map((position) => position.id);
  const text = ids
    .map((id) => data.tokens[id] ?? "")
    .join("")
    .split(UNSEEN)
    .map((part, i) => (i % 2 && part !== " " ? ` ${mark(part)} ` : part))
    .join("");
  const start = first > 0 || data.positions[0].position > 0 ? "…" : "";
  return start + text.trim().replace(/ +/g, " ");
}

function percent(probability) {
  if (probability == null) return "";
  if (probability > 0 && probability < 0.0005) return "<0.1%";
  return `${(100 * probability).toFixed(1)}%`;
}

const nats = (number) => (number == null ? "" : number.toFixed(2));

const clamp = (number, low, high) => Math.max(low, Math.min(high, number));

// The tokens of a row's `top` as [{ id, prob }].
function ranked(flat) {
  return Array.from({ length: flat.length / 2 }, (_, i) => ({
    id: flat[2 * i],
    prob: flat[2 * i + 1],
  }));
}

// A method that is only the final layer has nothing of its own to show.
const hasMethod = (data) => data.method_name !== "greedy";

// One tooltip a page. It never takes the pointer.
const tooltip = {
  element: el("div", { class: "lens-tooltip", role: "tooltip", hidden: "" }),

  // Below the rectangle, or above it where there is no room.
  show(rectangle, ...children) {
    if (!this.element.isConnected) document.body.append(this.element);
    this.element.replaceChildren(...children);
    this.element.hidden = false;
    const { width, height } = this.element.getBoundingClientRect();
    const page = document.documentElement;
    const below = rectangle.bottom + 6;
    const left = clamp(rectangle.left, 8, Math.max(8, page.clientWidth - width - 8));
    const top =
      below + height < page.clientHeight ? below : Math.max(8, rectangle.top - height - 6);
    this.element.style.translate = `${Math.round(left)}px ${Math.round(top)}px`;
  },

  hide() {
    this.element.hidden = true;
  },
};

// Rows of a token and its probability, with a bar each.
function probabilities(data, entries) {
  return el(
    "ol",
    { class: "lens-bars" },
    entries.map(({ id, prob, colour }) =>
      el(
        "li",
        { style: { "--share": prob ?? 0, "--line": colour } },
        token(data, id),
        el("b", {}, prob == null ? "–" : percent(prob)),
      ),
    ),
  );
}

// The button #theme. The page follows the system until someone says otherwise;
// `repaint` is called whenever its colours are others.
function theme(repaint = () => {}) {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const current = () => root.dataset.theme ?? (dark.matches ? "dark" : "light");
  const label = () => {
    $("theme").textContent = current() === "dark" ? "light" : "dark";
    $("theme").setAttribute("aria-label", `Use ${$("theme").textContent} colours`);
    repaint();
  };
  $("theme").addEventListener("click", () => {
    root.dataset.theme = $("theme").textContent;
    label();
  });
  dark.addEventListener("change", label);
  label();
}
