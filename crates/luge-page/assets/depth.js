// One position in depth: how probable its tokens are from layer to layer, and
// what each layer says.

const FEW = 18; // chips before "more"

// Tokens that a reader wants to see at every position, each with a colour.
class Pins {
  #slots = new Map();

  constructor(ids = []) {
    for (const id of new Set(ids)) this.toggle(id);
  }

  has = (id) => this.#slots.has(id);
  ids = () => [...this.#slots.keys()];
  colour = (id) => `var(--line-${this.#slots.get(id) % 6})`;

  // A token keeps its colour for as long as it is pinned.
  toggle(id) {
    if (this.#slots.delete(id)) return;
    const taken = new Set(this.#slots.values());
    let slot = 0;
    while (taken.has(slot)) slot += 1;
    this.#slots.set(id, slot);
  }
}

// Draws position `index` into `root`. `onMove(index)` is called for a neighbour,
// `onClose()` for the cross.
function lensDepth(
  root,
  data,
  index,
  { pins = new Pins(data.pinned), row = null, onMove, onClose } = {},
) {
  const { layers } = data;
  const position = data.positions[index];
  const final = layers.length - 1;
  const { before, after, next } = position;

  // Whose lines have a colour: what the method and the final layer choose, what
  // follows, and the pins, which come first as they keep theirs.
  function chosen() {
    const colours = new Map(pins.ids().map((id) => [id, pins.colour(id)]));
    const roles = [
      [after[0], "var(--line-after)"],
      [before[0], "var(--line-before)"],
      [next, "var(--line-next)"],
    ];
    for (const [id, colour] of roles) {
      if (id != null && !colours.has(id)) colours.set(id, colour);
    }
    return colours;
  }

  // Every token that is listed here, with what is known of its probability.
  // [id → [rows]], null where it is not among a layer's best.
  const known = new Map(position.paths.map(([id, ...probs]) => [id, probs]));
  position.top.forEach((flat, row) =>
    ranked(flat).forEach(({ id, prob }) => {
      if (!known.has(id)) known.set(id, Array(layers.length).fill(null));
      known.get(id)[row] ??= prob;
    }),
  );

  const swatch = (colour) => el("i", { class: "lens-swatch", style: { "--line": colour } });

  function header() {
    const button = (text, label, act) => {
      const made = el(
        "button",
        { type: "button", "aria-label": label, title: label, disabled: !act },
        text,
      );
      if (act) made.addEventListener("click", act);
      return made;
    };
    const step = (to) => (onMove && data.positions[to] ? () => onMove(to) : null);
    return el(
      "div",
      { class: "lens-depth-head" },
      el(
        "h2",
        { id: "depth-title" },
        el("small", {}, `Position ${position.position}`),
        el(
          "span",
          {},
          context(data, index),
          next == null ? null : token(data, next, { class: "lens-follows" }),
        ),
      ),
      button("←", "previous position", step(index - 1)),
      button("→", "next position", step(index + 1)),
      onClose ? button("×", "close", onClose) : null,
    );
  }

  function facts() {
    const colours = chosen();
    const said = ([id, prob]) => [swatch(colours.get(id)), token(data, id), ` ${percent(prob)}`];
    const fact = (name, ...what) => el("div", {}, el("dt", {}, name), el("dd", {}, what));
    const logits = (number) => (number < 0 ? "−" : "+") + Math.abs(number).toFixed(2);
    const carrier = ([layer, by]) => `${layer} (${logits(by)})`;
    const [ownLead, lead, votes] = position.margins ?? [];
    return el(
      "dl",
      { class: "lens-facts" },
      fact("final layer", said(before)),
      hasMethod(data)
        ? fact(
            data.method_name,
            said(after),
            position.changed ? [" ", el("em", {}, "changed")] : null,
          )
        : null,
      next == null
        ? null
        : fact(
            position.generated ? "generated" : "in the prompt",
            swatch(colours.get(next)),
            token(data, next),
          ),
      fact(
        "settles at",
        position.settling_depth === layers.at(-1)
          ? "the final layer"
          : `layer ${position.settling_depth}`,
      ),
      position.contrast == null ? null : fact("contrasted with", `layer ${position.contrast}`),
      position.margins
        ? fact(
            "lead, in logits",
            `${logits(ownLead)} → ${lead == null ? "the other ruled out" : logits(lead)}`,
          )
        : null,
      votes > 0 && position.carried.length
        ? fact(
            `votes ${logits(votes)}, carried by layers`,
            position.carried.slice(0, 4).map(carrier).join(", "),
          )
        : null,
    );
  }

  const figure = el("figure", { class: "lens-figure" });

  function lines() {
    const colours = chosen();
    const entry = ([id, probs]) => ({ id, probs, colour: colours.get(id) });
    return [...known].map(entry).sort((a, b) => !!a.colour - !!b.colour);
  }

  let chart = null;
  function drawChart() {
    chart = lensChart(figure, data, position, lines(), { log: log.checked, onPoint: pointAt });
  }

  // Kept on the element, for the next position that is drawn there.
  const log = el("input", { type: "checkbox", checked: root.dataset.log === "true" });
  log.addEventListener("change", () => {
    root.dataset.log = log.checked;
    drawChart();
  });

  // Marks a layer in figure and table alike.
  function pointAt(row) {
    chart.pointAt(row);
    for (const line of table.querySelectorAll("tbody tr")) {
      line.classList.toggle("lens-now", Number(line.dataset.row) === row);
    }
  }

  const hint = el(
    "p",
    { class: "lens-note" },
    "Pin tokens to follow them here and at other positions.",
  );
  const chips = el("div", { class: "lens-chips", role: "group", "aria-label": "Pinned tokens" });
  function makeChips() {
    const peak = (id) => Math.max(...(known.get(id) ?? [0]));
    const here = [...known.keys()].sort((a, b) => peak(b) - peak(a));
    const ids = [...new Set([...chosen().keys(), ...here])];
    const chip = (id) => {
      const made = el(
        "button",
        { type: "button", class: "lens-chip", "data-id": id },
        swatch(),
        token(data, id),
      );
      made.addEventListener("click", () => pin(id));
      return made;
    };
    chips.replaceChildren(...ids.slice(0, FEW).map(chip));
    if (ids.length > FEW) {
      const more = el("button", { type: "button", class: "lens-more" }, `${ids.length - FEW} more`);
      more.addEventListener("click", () => {
        const rest = ids.slice(FEW).map(chip);
        more.replaceWith(...rest);
        rest[0].focus();
        colourChips();
      });
      chips.append(more);
    }
    colourChips();
  }

  function colourChips() {
    const colours = chosen();
    for (const chip of chips.querySelectorAll(".lens-chip")) {
      const id = Number(chip.dataset.id);
      const pinned = pins.has(id);
      chip.setAttribute("aria-pressed", pinned);
      chip.title = `${pinned ? "unpin" : "pin"} ${tokenText(data, id)}${known.has(id) ? "" : ", which no layer lists here"}`;
      chip.classList.toggle("lens-absent", !known.has(id));
      chip.style.setProperty("--line", colours.get(id) ?? "var(--faint)");
    }
  }

  const table = el("div", {
    class: "lens-table",
    tabindex: 0,
    role: "region",
    "aria-label": "Layer by layer",
  });

  function rank(id, row) {
    const listed = data.pinned.indexOf(id);
    if (listed >= 0) return position.ranks[listed]?.[row];
    const place = ranked(position.top[row]).findIndex((entry) => entry.id === id);
    return place < 0 ? null : place + 1;
  }

  function drawTable() {
    const { votes } = position;
    const colours = chosen();
    const most = Math.max(...position.top.map((flat) => flat.length / 2));
    const total = (shares) => shares.reduce((a, b) => a + b, 0);
    const largest = votes ? Math.max(...votes.shares.map(total), 1e-9) : 1;
    const th = (text, attributes) => el("th", { scope: "col", ...attributes }, text);

    const bar = (row) => {
      const shares = votes.shares[votes.layers.indexOf(layers[row])];
      if (!shares) return el("td", {});
      const part = (share, i) =>
        el("i", {
          title: `${tokenText(data, votes.tokens[i])} ${percent(share)}`,
          style: {
            width: `${(100 * share) / largest}%`,
            "--line": colours.get(votes.tokens[i]) ?? "var(--faint)",
          },
        });
      return el(
        "td",
        { class: "lens-vote" },
        el("span", {}, shares.map(part)),
        percent(total(shares)),
      );
    };
    const line = (row) =>
      el(
        "tr",
        {
          "data-row": row,
          class: layers[row] === position.settling_depth ? "lens-settled" : null,
        },
        el(
          "th",
          { scope: "row" },
          row === final ? el("small", {}, "final ") : null,
          layers[row] === position.contrast ? el("small", {}, "contrast ") : null,
          `${layers[row]}`,
        ),
        Array.from({ length: most }, (_, i) => {
          const { id, prob } = ranked(position.top[row])[i] ?? {};
          if (id == null) return el("td", {});
          return el(
            "td",
            { class: "lens-choice", "data-id": id, style: { "--line": colours.get(id) } },
            el("span", {}, token(data, id), el("b", {}, percent(prob))),
          );
        }),
        el("td", {}, nats(position.entropy[row])),
        el("td", {}, nats(position.jsd[row])),
        votes ? bar(row) : null,
        pins.ids().map((id) => {
          const place = rank(id, row);
          return el(
            "td",
            { class: "lens-pin" },
            percent(known.get(id)?.[row]) || "–",
            " ",
            el("small", {}, place == null ? "" : `#${place}`),
          );
        }),
      );

    table.replaceChildren(
      el(
        "table",
        {},
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            th("layer"),
            th("the layer’s most probable tokens", { colspan: most, class: "lens-choice" }),
            th("entropy"),
            th("divergence"),
            votes ? th("share of vote", { class: "lens-vote" }) : null,
            pins
              .ids()
              .map((id) =>
                th(token(data, id), { class: "lens-pin", style: { "--line": colours.get(id) } }),
              ),
          ),
        ),
        el(
          "tbody",
          {},
          layers.map((_, i) => line(final - i)),
        ),
      ),
    );
  }

  function pin(id) {
    pins.toggle(id);
    summary.replaceWith((summary = facts()));
    drawChart();
    drawTable();
    colourChips();
  }

  table.addEventListener("pointerover", ({ target }) => {
    const line = target.closest("tbody tr");
    if (line) pointAt(Number(line.dataset.row));
  });
  // A shortcut for the chips, which keyboards reach.
  table.addEventListener("click", ({ target }) => {
    const choice = target.closest("td[data-id]");
    if (choice) pin(Number(choice.dataset.id));
  });

  let summary = facts();
  root.classList.add("lens-depth");
  root.replaceChildren(
    header(),
    summary,
    el(
      "div",
      { class: "lens-columns" },
      figure,
      el("div", {}, el("label", { class: "lens-log" }, log, " logarithmic scale"), hint, chips),
    ),
    table,
  );
  makeChips();
  drawTable();
  drawChart();
  if (row != null) pointAt(row);

  // One position is drawn after the other into the same element.
  root.lensSize?.disconnect();
  root.lensSize = new ResizeObserver(() => {
    if (Math.abs(figure.clientWidth - chart.width) > 1) drawChart();
  });
  root.lensSize.observe(figure);
}
