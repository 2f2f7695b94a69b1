// The chart of depth.js.

// The ends of the axis of probabilities, and the steps on it.
const FLOOR = 1e-5; // of the logarithmic one, which has a step a decade
const SCALES = [
  [0.01, 0.002],
  [0.02, 0.005],
  [0.05, 0.01],
  [0.1, 0.02],
  [0.2, 0.05],
  [0.3, 0.1],
  [0.4, 0.1],
  [0.5, 0.1],
  [0.6, 0.2],
  [0.8, 0.2],
  [1, 0.2],
];

// Probability by layer, a line a token, named at its right end. Behind the final
// layer stands what the method makes of it. `lines` is [{ id, probs, colour }],
// without a colour for those in the background.
function lensChart(figure, data, position, lines, { log, onPoint }) {
  const { layers } = data;
  const final = layers.length - 1;
  const { after, before } = position;
  const width = Math.max(figure.clientWidth, 260);
  const height = 270;
  const beyond = hasMethod(data) ? 46 : 0;
  const edge = { left: 52, right: width < 480 ? 92 : 124, top: 10, bottom: 40 };
  const right = width - edge.right;
  const bottom = height - edge.bottom;

  const highest = Math.max(...lines.flatMap(({ probs }) => probs), after[1]);
  const [top, step] = SCALES.find(([limit]) => highest <= limit) ?? SCALES.at(-1);
  const part = log
    ? (prob) => 1 - Math.log(Math.max(prob, FLOOR)) / Math.log(FLOOR)
    : (prob) => prob / top;
  const marks = log
    ? Array.from({ length: 6 }, (_, i) => 10 ** -i)
    : Array.from({ length: Math.round(top / step) + 1 }, (_, i) => i * step);
  const span = Math.max(layers[final] - layers[0], 1);
  const x = (row) => edge.left + ((layers[row] - layers[0]) / span) * (right - beyond - edge.left);
  const y = (prob) => bottom - part(prob) * (bottom - edge.top);

  // Where nothing is known, the pen is lifted.
  const path = (probs) =>
    probs
      .map((prob, row) =>
        prob == null
          ? ""
          : `${probs[row - 1] == null ? "M" : "L"}${x(row).toFixed(1)} ${y(prob).toFixed(1)}`,
      )
      .join("");
  const dots = (probs, colour) =>
    probs.map((prob, row) =>
      prob == null || (layers.length > 40 && probs[row - 1] != null)
        ? null
        : svg("circle", { cx: x(row), cy: y(prob), r: 2, style: { fill: colour } }),
    );

  const grid = marks.map((prob) => [
    svg("line", { class: "lens-rule", x1: edge.left, x2: right, y1: y(prob), y2: y(prob) }),
    svg(
      "text",
      { class: "lens-tick", x: edge.left - 8, y: y(prob) + 4, "text-anchor": "end" },
      `${+(100 * prob).toFixed(4)}%`,
    ),
  ]);
  // Numbers of layers: round ones, as many as fit, and the final one.
  const gap = 26;
  const every = [1, 2, 5, 10, 20, 50].find((step) => (x(final) - x(0)) * step >= gap * span) ?? 100;
  const ticks = layers.map((layer, row) =>
    row === final || (layer % every === 0 && x(final) - x(row) >= gap)
      ? svg(
          "text",
          { class: "lens-tick", x: x(row), y: bottom + 16, "text-anchor": "middle" },
          `${layer}`,
        )
      : null,
  );

  const shown = lines.filter(({ colour }) => colour);
  const drawn = lines.map(({ id, probs, colour }) =>
    svg(
      "g",
      {
        "data-id": id,
        class: colour ? "lens-line" : "lens-faint",
        style: { "--line": colour ?? "var(--faint)" },
      },
      svg("path", { d: path(probs) }),
      colour ? dots(probs, colour) : null,
    ),
  );

  // From the final layer's probability to the method's.
  const known = lines.find(({ id }) => id === after[0]);
  const colour = known?.colour ?? "var(--line-after)";
  const from = known?.probs[final] ?? (after[0] === before[0] ? before[1] : null);
  const method = !beyond
    ? []
    : [
        svg(
          "text",
          { class: "lens-tick", x: right, y: bottom + 16, "text-anchor": "middle" },
          data.method_name,
        ),
        from == null
          ? null
          : svg("line", {
              class: "lens-step-line",
              x1: x(final),
              y1: y(from),
              x2: right,
              y2: y(after[1]),
              style: { "--line": colour },
            }),
        svg("circle", {
          class: "lens-result",
          cx: right,
          cy: y(after[1]),
          r: 4,
          style: { "--line": colour },
        }),
      ];

  // Names beside the ends of their lines, moved apart where they would overlap.
  const ends = shown
    .map(({ id, probs, colour }) => {
      const atMethod = beyond && id === after[0];
      const end = atMethod ? after[1] : probs[final];
      return {
        id,
        colour,
        x: atMethod ? right : x(final),
        y: y(end ?? 0),
        at: y(end ?? 0),
        known: end != null,
      };
    })
    .sort((a, b) => a.y - b.y);
  const apart = 15;
  ends.forEach(
    (end, i) => (end.at = Math.max(end.at, edge.top + 4, i ? ends[i - 1].at + apart : 0)),
  );
  ends.reduceRight((limit, end) => (end.at = Math.min(end.at, limit)) - apart, bottom);
  const most = Math.floor((edge.right - 14) / 7);
  const names = ends.map(({ id, colour, x, y, at, known }) => {
    const text = tokenText(data, id);
    return svg(
      "g",
      { class: "lens-name", style: { "--line": colour } },
      known
        ? svg("path", {
            d: `M${x + 6} ${y}L${right + 4} ${y}L${right + 10} ${at}`,
            class: "lens-leader",
          })
        : null,
      svg(
        "text",
        { x: right + 14, y: at + 4 },
        [...text].length > most ? `${[...text].slice(0, most - 1).join("")}…` : text,
      ),
      svg("title", {}, text),
    );
  });

  const guide = svg("line", {
    class: "lens-guide",
    y1: edge.top,
    y2: bottom,
    visibility: "hidden",
  });
  const summary = shown
    .map(({ id, probs }) => `${tokenText(data, id)} ${percent(probs[final]) || "unknown"}`)
    .join(", ");
  const drawing = svg(
    "svg",
    {
      class: "lens-chart",
      width,
      height,
      viewBox: `0 0 ${width} ${height}`,
      role: "img",
      "aria-label": `Probability by layer. At the final layer: ${summary}. The table has all numbers.`,
    },
    grid,
    ticks,
    svg(
      "text",
      {
        class: "lens-tick",
        x: (edge.left + right - beyond) / 2,
        y: height - 4,
        "text-anchor": "middle",
      },
      "layer",
    ),
    guide,
    drawn,
    method,
    names,
  );
  figure.replaceChildren(drawing);

  function pointAt(row) {
    guide.setAttribute("visibility", "visible");
    guide.setAttribute("x1", x(row));
    guide.setAttribute("x2", x(row));
  }

  drawing.addEventListener("pointermove", ({ clientX }) => {
    const box = drawing.getBoundingClientRect();
    const at = clientX - box.left;
    const row = layers.reduce(
      (best, _, row) => (Math.abs(x(row) - at) < Math.abs(x(best) - at) ? row : best),
      0,
    );
    onPoint(row);
    const [id, prob] = position.top[row];
    const entries = shown.map(({ id, probs, colour }) => ({ id, prob: probs[row], colour }));
    if (id != null && !entries.some((entry) => entry.id === id)) entries.push({ id, prob });
    entries.sort((a, b) => (b.prob ?? 0) - (a.prob ?? 0));
    tooltip.show(
      { left: box.left + x(row) + 12, bottom: box.top + edge.top, top: box.top },
      el("p", {}, el("strong", {}, `Layer ${layers[row]}`)),
      probabilities(data, entries),
    );
  });
  drawing.addEventListener("pointerleave", () => tooltip.hide());
  return { width, pointAt };
}
