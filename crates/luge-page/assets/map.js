// The heat map: layers, the final one on top, by positions.

const COLOURINGS = {
  probability: {
    label: "Probability",
    key: "p",
    unit: "of the cell’s token",
    format: (max) => `${100 * max}%`,
    value: (position, row) => position.top[row][1] ?? 0,
    max: () => 1,
  },
  entropy: {
    label: "Entropy",
    key: "e",
    unit: "nats",
    format: nats,
    value: (position, row) => position.entropy[row],
    max: (data) => largest(data.positions.map((position) => position.entropy)),
  },
  divergence: {
    label: "Divergence",
    key: "d",
    unit: "nats from the final layer (Jensen–Shannon)",
    format: nats,
    value: (position, row) => position.jsd[row],
    max: (data) => largest(data.positions.map((position) => position.jsd)),
  },
};

// Above 0, so that one can divide by it.
const largest = (lists) => lists.flat().reduce((a, b) => Math.max(a, b), 1e-9);

// Pixels. Only the cells in view are in the document, so the sizes must be known.
const ROW = 22;
const MARGIN = 3; // cells beyond the edge of the view, for smooth scrolling

// Whether the method put its choice in the final layer's place. A given text may go
// on with a token that neither chose.
const isChanged = ({ changed, next, after }) => changed && (next == null || next === after[0]);

// Draws the map into `root`. `onOpen(column, row)` is called for a click or
// Enter. Returns what the page needs to steer it.
function lensMap(root, data, { onOpen = () => {} } = {}) {
  const { positions, layers } = data;
  const rows = layers.length;
  const columns = positions.length;
  const column_width = root.clientWidth < 600 ? 66 : 78;
  const side = 52;
  const head = positions.some(isChanged) ? 60 : 44;
  const y = (row) => (rows - 1 - row) * ROW;

  let colouring = "probability";
  let max = 1;
  let active = { row: rows - 1, column: 0 };
  let open = null;
  const shown = { rows: new Map(), heads: new Map(), cells: new Map() };

  const corner = el(
    "div",
    { class: "lens-corner", role: "columnheader", "aria-label": "layer" },
    el("span", {}, "after"),
    el("span", {}, "next"),
    head > 44 ? el("span", {}, "final") : null,
  );
  const heads = el("div", { class: "lens-heads", role: "row", "aria-rowindex": 1 }, corner);
  const outline = el("div", { class: "lens-outline", hidden: "" });
  const grid = el(
    "div",
    {
      class: "lens-grid",
      role: "grid",
      tabindex: 0,
      "aria-rowcount": rows + 1,
      "aria-colcount": columns + 1,
      "aria-label":
        "Most probable next token by layer and position. Arrow keys move, Enter opens a position.",
    },
    heads,
    outline,
  );
  const box = el("div", { class: "lens-box" }, grid);
  const overview = lensOverview(box, data, (position, row) => share(position, row));
  root.classList.add("lens-map");
  root.append(toolbar(), overview.element, box, key());
  for (const [name, pixels] of Object.entries({ column: column_width, side, head, row: ROW })) {
    root.style.setProperty(`--${name}`, `${pixels}px`);
  }
  grid.style.width = `${side + columns * column_width}px`;
  grid.style.height = `${head + rows * ROW}px`;

  function share(position, row) {
    return clamp(COLOURINGS[colouring].value(position, row) / max, 0, 1);
  }

  function toolbar() {
    const choices = Object.entries(COLOURINGS).map(([name, { label, key }]) => {
      const input = el("input", {
        type: "radio",
        name: "lens-colouring",
        value: name,
        checked: name === colouring,
      });
      input.addEventListener("change", () => colour(name));
      return el("label", { title: `key ${key}` }, input, label);
    });
    return el(
      "div",
      { class: "lens-toolbar" },
      el("fieldset", {}, el("legend", { class: "lens-unseen" }, "Colour by"), choices),
      el(
        "div",
        { class: "lens-scale" },
        el("span", {}, "0"),
        el("span", { class: "lens-ramp" }),
        el("span", { class: "lens-max" }),
        el("span", { class: "lens-unit" }),
      ),
    );
  }

  function key() {
    const item = (sample, text) => el("span", {}, sample, ` ${text}`);
    const changed = positions.some(isChanged);
    return el(
      "p",
      { class: "lens-key" },
      item(el("b", {}, "bold"), "the layer’s first token is what follows in the text"),
      item(el("i", { class: "lens-step" }), "from this layer up, the first token stays the same"),
      positions.some((position) => position.generated)
        ? item(el("span", { class: "lens-generated" }, "generated"), "tokens, not of the prompt")
        : null,
      changed
        ? item(
            el("span", { class: "lens-generated lens-changed" }, "changed"),
            "by the method, above what the final layer alone would say",
          )
        : null,
    );
  }

  function headCell(column) {
    const position = positions[column];
    const { next, after, before, generated } = position;
    const changed = isChanged(position);
    const classes = [
      generated && "lens-generated",
      next == null && "lens-guess",
      changed && "lens-changed",
    ];
    return el(
      "div",
      {
        class: "lens-head",
        role: "columnheader",
        "aria-colindex": column + 2,
        "data-column": column,
        style: { left: `${side + column * column_width}px` },
      },
      token(data, position.id),
      token(data, next ?? after[0], { class: classes.filter(Boolean).join(" ") }),
      changed ? token(data, before[0], { class: "lens-instead" }) : null,
    );
  }

  function cell(row, column) {
    const position = positions[column];
    const [id, prob] = position.top[row];
    const classes = [
      "lens-cell",
      "lens-fill",
      id === position.next && "lens-right",
      layers[row] === position.settling_depth && "lens-settled",
    ];
    return el(
      "div",
      {
        class: classes.filter(Boolean).join(" "),
        role: "gridcell",
        id: `lens-${row}-${column}`,
        "aria-colindex": column + 2,
        "data-row": row,
        "data-column": column,
        "aria-label": `${tokenText(data, id)} ${percent(prob)}, layer ${layers[row]}, after ${tokenText(data, position.id)}`,
        style: {
          left: `${side + column * column_width}px`,
          "--v": share(position, row).toFixed(3),
        },
      },
      id == null ? null : token(data, id),
    );
  }

  function rowElement(row) {
    const final = row === rows - 1;
    return el(
      "div",
      {
        class: "lens-row",
        role: "row",
        "aria-rowindex": rows - row + 1,
        style: { top: `${head + y(row)}px` },
      },
      el(
        "div",
        { class: "lens-side", role: "rowheader" },
        final ? el("small", {}, "final ") : null,
        `${layers[row]}`,
      ),
    );
  }

  // Brings `kept` to exactly the wanted keys.
  function sync(kept, wanted, make, parent) {
    for (const [key, element] of kept) {
      if (!wanted.has(key)) {
        element.remove();
        kept.delete(key);
      }
    }
    for (const key of wanted) {
      if (kept.has(key)) continue;
      const element = make(key);
      kept.set(key, element);
      parent(key).append(element);
    }
  }

  function render() {
    const range = (first, end, count) => {
      const from = clamp(Math.floor(first) - MARGIN, 0, count);
      const to = clamp(Math.ceil(end) + MARGIN, from, count);
      return Array.from({ length: to - from }, (_, i) => from + i);
    };
    const { scrollLeft, scrollTop, clientWidth, clientHeight } = box;
    const inView = range(
      scrollLeft / column_width,
      (scrollLeft + clientWidth - side) / column_width,
      columns,
    );
    const lines = range(scrollTop / ROW, (scrollTop + clientHeight - head) / ROW, rows).map(
      (line) => rows - 1 - line,
    );
    sync(shown.heads, new Set(inView), headCell, () => heads);
    sync(shown.rows, new Set(lines), rowElement, () => grid);
    const keys = new Set(lines.flatMap((row) => inView.map((column) => row * columns + column)));
    sync(
      shown.cells,
      keys,
      (key) => cell(Math.floor(key / columns), key % columns),
      (key) => shown.rows.get(Math.floor(key / columns)),
    );
    markActive();
    overview.follow();
  }

  const cellAt = ({ row, column }) => shown.cells.get(row * columns + column);

  function markActive() {
    grid.querySelector(".lens-active")?.classList.remove("lens-active");
    const element = cellAt(active);
    element?.classList.add("lens-active");
    if (element) grid.setAttribute("aria-activedescendant", element.id);
    else grid.removeAttribute("aria-activedescendant");
  }

  // Scrolls no further than needed for a step, and a leap to the middle. The
  // heads cover part of the view.
  function reveal() {
    const scrolled = (now, start, size, room) => {
      const near = clamp(now, start + size - room, start);
      return Math.abs(near - now) > 2 * size ? start - (room - size) / 2 : near;
    };
    box.scrollLeft = scrolled(
      box.scrollLeft,
      active.column * column_width,
      column_width,
      box.clientWidth - side,
    );
    box.scrollTop = scrolled(box.scrollTop, y(active.row), ROW, box.clientHeight - head);
    render();
  }

  function select(row, column) {
    active = { row: clamp(row, 0, rows - 1), column: clamp(column, 0, columns - 1) };
    reveal();
  }

  function showCell(element) {
    const row = Number(element.dataset.row);
    const position = positions[element.dataset.column];
    tooltip.show(
      element.getBoundingClientRect(),
      el("p", {}, el("strong", {}, `Layer ${layers[row]}`), " after ", token(data, position.id)),
      probabilities(data, ranked(position.top[row])),
      el(
        "p",
        { class: "lens-note" },
        `entropy ${nats(position.entropy[row])} nats`,
        row < rows - 1 ? `, divergence ${nats(position.jsd[row])}` : "",
      ),
    );
  }

  function showHead(element) {
    const { id, position, next, generated, before, after, settling_depth } =
      positions[element.dataset.column];
    const line = (name, what, note) =>
      el("p", {}, el("span", { class: "lens-note" }, `${name} `), what, ` ${note ?? ""}`);
    tooltip.show(
      element.getBoundingClientRect(),
      el("p", {}, el("strong", {}, `Position ${position}`)),
      line("after", token(data, id)),
      next == null ? null : line("next", token(data, next), generated ? "(generated)" : ""),
      line("final layer", token(data, before[0]), percent(before[1])),
      hasMethod(data) ? line(data.method_name, token(data, after[0]), percent(after[1])) : "",
      line("settles at", `layer ${settling_depth}`),
    );
  }

  function colour(name) {
    colouring = name;
    max = COLOURINGS[name].max(data);
    root.dataset.colouring = name;
    root.querySelector(`input[value=${name}]`).checked = true;
    root.querySelector(".lens-max").textContent = COLOURINGS[name].format(max);
    root.querySelector(".lens-unit").textContent = COLOURINGS[name].unit;
    for (const element of shown.cells.values()) {
      const { row, column } = element.dataset;
      element.style.setProperty("--v", share(positions[column], Number(row)).toFixed(3));
    }
    overview.paint();
  }

  function setOpen(column) {
    open = column;
    outline.hidden = open == null;
    if (open != null) outline.style.left = `${side + open * column_width - 1}px`;
    reveal();
  }

  let frame = 0;
  const later = () => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      render();
    });
  };
  box.addEventListener(
    "scroll",
    () => {
      tooltip.hide();
      later();
    },
    { passive: true },
  );
  new ResizeObserver(later).observe(box);

  grid.addEventListener("pointerover", ({ target, pointerType }) => {
    if (pointerType === "touch") return;
    const found = target.closest(".lens-cell, .lens-head");
    if (!found) tooltip.hide();
    else if (found.matches(".lens-cell")) showCell(found);
    else showHead(found);
  });
  grid.addEventListener("pointerleave", () => tooltip.hide());
  grid.addEventListener("click", ({ target }) => {
    const found = target.closest(".lens-cell, .lens-head");
    if (!found) return;
    tooltip.hide();
    select(Number(found.dataset.row ?? rows - 1), Number(found.dataset.column));
    onOpen(active.column, active.row);
  });
  grid.addEventListener("focus", () => {
    if (!grid.matches(":focus-visible")) return;
    reveal();
    showCell(cellAt(active));
  });
  grid.addEventListener("blur", () => tooltip.hide());

  const moves = {
    ArrowLeft: () => [active.row, active.column - 1],
    ArrowRight: () => [active.row, active.column + 1],
    ArrowUp: () => [active.row + 1, active.column],
    ArrowDown: () => [active.row - 1, active.column],
    Home: () => [active.row, 0],
    End: () => [active.row, columns - 1],
    PageUp: () => [active.row + 10, active.column],
    PageDown: () => [active.row - 10, active.column],
  };
  grid.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in moves) {
      select(...moves[event.key]());
      showCell(cellAt(active));
    } else if (event.key === "Enter" || event.key === " ") {
      tooltip.hide();
      onOpen(active.column, active.row);
    } else return;
    event.preventDefault();
  });

  render();
  colour(colouring);
  return { colour, select, setOpen, repaint: () => overview.paint(), focus: () => grid.focus() };
}

// The whole map at one pixel a cell, above the map where that is much wider than
// its box: shows where one is, and goes elsewhere.
function lensOverview(box, data, share) {
  const { positions, layers } = data;
  const canvas = el("canvas", { width: positions.length, height: layers.length });
  const view = el("div", { class: "lens-view" });
  const element = el(
    "div",
    { class: "lens-overview", "aria-hidden": "true", hidden: "" },
    canvas,
    view,
  );

  // The stylesheet knows the colours; a canvas must be told.
  function shades(count) {
    const probe = element.appendChild(el("i", { class: "lens-fill" }));
    const colours = Array.from({ length: count + 1 }, (_, i) => {
      probe.style.setProperty("--v", i / count);
      return getComputedStyle(probe).backgroundColor;
    });
    probe.remove();
    return colours;
  }

  let painting = 0;
  function paint() {
    cancelAnimationFrame(painting);
    painting = requestAnimationFrame(() => {
      if (element.hidden) return;
      const colours = shades(50);
      const brush = canvas.getContext("2d");
      positions.forEach((position, column) =>
        layers.forEach((_, row) => {
          brush.fillStyle = colours[Math.round(50 * share(position, row))];
          brush.fillRect(column, layers.length - 1 - row, 1, 1);
        }),
      );
    });
  }

  function follow() {
    const wide = box.scrollWidth > 1.5 * box.clientWidth;
    if (element.hidden === wide) {
      element.hidden = !wide;
      paint();
    }
    view.style.left = `${(100 * box.scrollLeft) / box.scrollWidth}%`;
    view.style.width = `${(100 * box.clientWidth) / box.scrollWidth}%`;
  }

  function go({ clientX, buttons }) {
    if (!(buttons & 1)) return;
    const { left, width } = element.getBoundingClientRect();
    box.scrollLeft = ((clientX - left) / width) * box.scrollWidth - box.clientWidth / 2;
  }
  element.addEventListener("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    go(event);
  });
  element.addEventListener("pointermove", go);
  return { element, paint, follow };
}
