// A task's numbers: what they come to in words, each metric as a table with its intervals
// drawn, and groups of documents.

const SURE = 0.05;
const sure = (versus) => versus?.p_corrected != null && versus.p_corrected < SURE;

// What one may say about a method: `better`, `worse`, or nothing.
function finding(versus) {
  if (!sure(versus)) return null;
  return versus.difference > 0 ? "better" : "worse";
}

// A sentence or two for each method that was asked for.
function findings(results, task) {
  const [metric] = task.metrics;
  const roles = new Map(results.setup.methods.map(({ name, role }) => [name, role]));
  const sentence = ({ method, changed, better, worse }) => {
    const versus = metric?.methods.find((entry) => entry.method === method)?.versus_greedy;
    const what = finding(versus);
    const said =
      what === "better"
        ? "Better than greedy"
        : what === "worse"
          ? "Worse than greedy"
          : "No difference to greedy shown";
    return el(
      "li",
      {},
      el("b", {}, method),
      el(
        "span",
        {},
        el("strong", { class: `report-${what}` }, arrow(what), said),
        versus
          ? `: ${metric.name} ${points(versus.difference)} points (${interval(versus.interval, points)}), p ${equals(versus.p_corrected)}. `
          : ". ",
        changed
          ? `Another answer to ${many(changed, "document")} of ${count(task.documents)}: ${count(better)} for better, ${count(worse)} for worse.`
          : "The same answer to every document.",
      ),
    );
  };
  const asked = task.changes.filter(({ method }) => roles.get(method) === "asked");
  return asked.length && task.documents
    ? el("ul", { class: "report-findings" }, asked.map(sentence))
    : null;
}

const equals = (p) => (p != null && p < 0.001 ? "< 0.001" : `= ${pValue(p)}`);
const arrow = (what) => (what === "better" ? "▲ " : what === "worse" ? "▼ " : "");

// The ends of an axis and the marks on it, for numbers from `low` to `high`.
function axis(numbers) {
  const known = numbers.filter((number) => number != null);
  let [low, high] = known.length ? [Math.min(...known), Math.max(...known)] : [0, 1];
  if (high - low < 0.01) [low, high] = [low - 0.005, high + 0.005];
  const step = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5].find(
    (step) => (high - low) / step <= 4.5,
  );
  const room = 0.06 * (high - low);
  [low, high] = [low - room, high + room];
  const marks = [];
  for (let i = Math.ceil(low / step); i * step <= high; i += 1) marks.push(i * step);
  const digits = step < 0.01 ? 1 : 0;
  return { marks, digits, x: (value) => `${(100 * (value - low)) / (high - low)}%` };
}

// A dot with its interval over the axis. Where lines are: at marks, and at `zero`.
function drawInterval({ x, marks }, zero, value, range, filled = false) {
  const line = (value, name) =>
    svg("line", { class: name, x1: x(value), x2: x(value), y1: 0, y2: "100%" });
  return svg(
    "svg",
    { class: "report-plot", "aria-hidden": "true" },
    marks.map((mark) => line(mark, "report-rule")),
    zero == null ? null : line(zero, "report-zero"),
    value == null || range.includes(null)
      ? null
      : [
          svg("line", {
            class: "report-range",
            x1: x(range[0]),
            x2: x(range[1]),
            y1: "50%",
            y2: "50%",
          }),
          svg("circle", {
            class: filled ? "report-dot" : "report-ring",
            cx: x(value),
            cy: "50%",
            r: 4.5,
          }),
        ],
  );
}

function drawAxis({ x, marks, digits }, sign) {
  const name = (value) => {
    const text = Math.abs(100 * value).toFixed(digits);
    const zero = Number(text) === 0;
    return zero ? "0" : (value < 0 ? MINUS : sign) + text;
  };
  return svg(
    "svg",
    { class: "report-plot report-axis", "aria-hidden": "true" },
    marks.map((mark) => svg("text", { x: x(mark), y: 12, "text-anchor": "middle" }, name(mark))),
  );
}

function metricTable(results, metric) {
  const roles = new Map(results.setup.methods.map(({ name, role }) => [name, role]));
  const { methods } = metric;
  const differences = methods.map(({ versus_greedy }) => versus_greedy).filter((one) => one);
  const means = axis(methods.flatMap(({ mean, interval }) => [mean, ...interval]));
  const apart = axis([0, ...differences.flatMap((one) => [one.difference, ...one.interval])]);
  const greedy = methods.find(({ versus_greedy }) => !versus_greedy)?.mean;

  const th = (text, attributes) => el("th", { scope: "col", ...attributes }, text);
  // What greedy lacks is left out where each method has a block of its own.
  const td = (label, what, attributes) =>
    el(
      "td",
      { "data-label": label, class: what === NONE ? "report-lacks" : null, ...attributes },
      what,
    );
  const row = ({ method, mean, interval: range, versus_greedy: versus }) => {
    const what = finding(versus);
    return el(
      "tr",
      { class: roles.get(method) === "asked" ? null : "report-aside" },
      el(
        "th",
        { scope: "row" },
        method,
        roles.get(method) === "control" ? quietly(" control") : null,
      ),
      td("mean, %", [el("b", {}, share(mean)), " ", quietly(interval(range, share))]),
      td(null, drawInterval(means, greedy, mean, range, true), { class: "report-drawn" }),
      td(
        "difference, points",
        versus
          ? [
              el("b", {}, points(versus.difference)),
              " ",
              quietly(interval(versus.interval, points)),
            ]
          : NONE,
      ),
      td(
        null,
        versus
          ? drawInterval(apart, 0, versus.difference, versus.interval, sure(versus))
          : drawInterval(apart, 0, null, []),
        { class: versus ? "report-drawn" : "report-drawn report-lacks" },
      ),
      td("p", versus ? pValue(versus.p) : NONE),
      td(
        "p, corrected",
        versus
          ? el("span", { class: `report-${what}` }, arrow(what), pValue(versus.p_corrected))
          : NONE,
      ),
      td("better", versus ? count(versus.better) : NONE),
      td("worse", versus ? count(versus.worse) : NONE),
    );
  };
  const tests = [...new Set(differences.map(({ test }) => test))].join(", ");
  return el(
    "div",
    { class: "report-metric" },
    el("h3", {}, el("code", {}, metric.name), " ", quietly(metric.about)),
    el(
      "table",
      { class: "report-table report-forest" },
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          th("method"),
          th("mean, %", { colspan: 2 }),
          th("difference to greedy, points", { colspan: 2 }),
          th("p"),
          th("corrected"),
          th("better", { title: "documents where the metric is higher than greedy’s" }),
          th("worse", { title: "documents where it is lower" }),
        ),
      ),
      el("tbody", {}, methods.map(row)),
      el(
        "tfoot",
        { "aria-hidden": "true" },
        el(
          "tr",
          {},
          el("td", { colspan: 2 }),
          el("td", { class: "report-drawn" }, drawAxis(means, "")),
          el("td", {}),
          el("td", { class: "report-drawn" }, drawAxis(apart, "+")),
          el("td", { colspan: 4 }),
        ),
      ),
    ),
    tests
      ? el(
          "p",
          { class: "lens-note" },
          `Test: ${tests}; p corrected for the number of methods that were asked for, by Holm.`,
        )
      : null,
  );
}

// Means by group. A click on a column's name sorts by it, on a group's shows its documents.
function categoryTable(task, metrics, onCategory) {
  let metric = metrics[0];
  let by = { column: "category", down: false };
  const names = metric.methods.map(({ method }) => method);
  const root = el("div", { class: "report-groups" });

  const value = (entry) => {
    if (by.column === "category") return entry.category;
    return by.column === "documents" ? entry.documents : (entry.means[by.column] ?? -1);
  };
  const inOrder = () => {
    const order = (a, b) =>
      typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
    return [...metric.categories].sort((a, b) => order(value(a), value(b)) * (by.down ? -1 : 1));
  };

  function head(column, text) {
    const sorted = by.column === column;
    const sort = button(text, { class: "report-sort", "data-column": column }, () => {
      by = { column, down: sorted ? !by.down : column !== "category" };
      draw();
      root.querySelector(`[data-column="${column}"]`).focus();
    });
    const direction = by.down ? "descending" : "ascending";
    return el(
      "th",
      { scope: "col", "aria-sort": sorted ? direction : "none" },
      sort,
      sorted ? (by.down ? " ↓" : " ↑") : null,
    );
  }

  function row({ category, documents, means, intervals }) {
    const cell = (mean, i) => {
      const apart = i && mean != null && means[0] != null ? mean - means[0] : 0;
      const side = Math.abs(apart) < 1e-9 ? null : apart > 0 ? "better" : "worse";
      return el(
        "td",
        { title: side ? `${points(apart)} points to greedy` : null },
        el("b", { class: `report-${side}` }, arrow(side).trim(), share(mean)),
        " ",
        quietly(
          interval(intervals[i] ?? [null, null], (number) =>
            number == null ? NONE : (100 * number).toFixed(0),
          ),
        ),
      );
    };
    const show = { class: "report-link", title: "show its documents" };
    return el(
      "tr",
      {},
      el(
        "th",
        { scope: "row" },
        button(shown(category), show, () => onCategory(category)),
      ),
      el("td", {}, count(documents)),
      means.map(cell),
    );
  }

  const choose = el(
    "select",
    {},
    metrics.map(({ name }) => el("option", {}, name)),
  );
  choose.addEventListener("change", () => {
    metric = metrics[choose.selectedIndex];
    draw();
  });

  function draw() {
    const table = el(
      "table",
      { class: "report-table" },
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          head("category", "group"),
          head("documents", "documents"),
          names.map((name, i) => head(i, name)),
        ),
      ),
      el("tbody", {}, inOrder().map(row)),
    );
    const box = boxed("By group", table);
    root.querySelector(".report-box")?.replaceWith(box);
    return box;
  }

  root.append(
    el("h3", {}, "By group ", quietly(many(metric.categories.length, "group"))),
    el(
      "p",
      { class: "lens-note report-choose" },
      metrics.length > 1 ? el("label", {}, "metric ", choose) : null,
      el("span", {}, "Mean in percent, its 95% interval below; ▲ above greedy’s, ▼ below."),
    ),
  );
  root.append(draw());
  return root;
}
