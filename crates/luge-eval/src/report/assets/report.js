// Starts the page of a report: reads the data, says what was run, and for each task what
// was found.

const data = JSON.parse($("data").textContent);
const { results } = data;
const { setup } = results;

const SCORING = {
  normalised:
    "Candidates are compared by normalised log-probabilities: the log-softmax of the method’s output, summed over the answer’s tokens.",
  reference:
    "Candidates are compared as the public scripts of SLED and DoLa do it: where they use sums of the method’s raw output, so does this run. Such sums are not on one scale for different methods.",
};
const ROLES = { baseline: "compared with", asked: "", control: "control" };

function heading() {
  const titles = setup.tasks.map(({ title }) => title);
  $("title").append(...shown(titles.length ? titles.join(", ") : "No task"));
  const documents = results.tasks.reduce((sum, task) => sum + task.documents, 0);
  $("facts").append(
    fact("model", shown(setup.model.name), ` ${quietSize(setup.model.bytes)}`),
    fact("methods", setup.methods.map(({ name }) => name).join(", ") || NONE),
    fact("documents", count(documents)),
    fact("scoring", setup.scoring),
    fact("finished", results.times.finished.replace("T", " ").replace("Z", " UTC")),
    fact("at work", duration(results.times.seconds), speed()),
    fact("luge", setup.luge),
  );
  const link = (id, text) => el("a", { href: `#${id}` }, text);
  $("nav").append(
    link("run", "What was run"),
    ...titles.map((title, i) => link(`task-${i}`, shown(title))),
    data.tuning ? link("tuning", "Tuning") : "",
    link("documents", "Documents"),
  );
}
// Tokens through the transformer, of all tasks, in a second.
function speed() {
  const tokens = results.tasks.reduce((sum, { cost }) => sum + cost.tokens, 0);
  const { seconds } = results.times;
  return tokens && seconds ? ` (${count(Math.round(tokens / seconds))} tokens a second)` : "";
}
const quietSize = (bytes) => (bytes ? `(${size(bytes)})` : "");

// The command, with a button that puts it into the clipboard where a page may do so.
function command() {
  const text = el("code", {}, shown(results.setup.command));
  const copy = button("copy", { class: "report-button" }, async () => {
    try {
      await navigator.clipboard.writeText(results.setup.command);
      $("status").textContent = copy.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(text);
      $("status").textContent = copy.textContent = "selected";
    }
    setTimeout(() => (copy.textContent = "copy"), 2000);
  });
  return el("div", { class: "report-command" }, el("pre", { tabindex: 0 }, text), copy);
}

function whatWasRun() {
  const method = ({ name, text, role }) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, name),
      el("td", {}, el("code", {}, text)),
      el("td", {}, ROLES[role] ?? role),
    );
  const taskRow = ({ name, title, data, data_sha256, definition_sha256, rows, limit, half }) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, shown(title), quietly(` ${name}`)),
      el("td", { class: "report-path" }, shown(data)),
      el("td", {}, asked(rows, limit, half)),
      el("td", {}, hash(data_sha256)),
      el("td", {}, hash(definition_sha256)),
    );
  const asked = (rows, limit, half) => {
    const all = half ? half.rows : limit;
    return all < rows ? `${count(all)} of ${count(rows)}${half ? `, ${half.half}` : ""}` : count(rows);
  };
  const th = (text) => el("th", { scope: "col" }, text);
  const value = (value) => (typeof value === "string" ? value : JSON.stringify(value));
  const engine =
    setup.engine && typeof setup.engine === "object" ? Object.entries(setup.engine) : [];
  $("run").append(
    boxed(
      "Methods",
      el(
        "table",
        { class: "report-table report-words" },
        el("tbody", {}, setup.methods.map(method)),
      ),
    ),
    el("p", {}, SCORING[setup.scoring] ?? ""),
    boxed(
      "Tasks",
      el(
        "table",
        { class: "report-table report-words" },
        el(
          "thead",
          {},
          el("tr", {}, ["task", "data", "rows", "data, SHA-256", "task, SHA-256"].map(th)),
        ),
        el("tbody", {}, setup.tasks.map(taskRow)),
      ),
    ),
    el("p", { class: "lens-note report-above" }, "The command that makes it again:"),
    command(),
    el(
      "details",
      { class: "report-details" },
      el("summary", {}, "Model, seed and how the model was run"),
      el(
        "dl",
        { class: "lens-facts" },
        fact("model, SHA-256", el("code", {}, setup.model.sha256)),
        fact("seed", `${setup.seed}`),
        engine.map(([name, what]) => fact(name.replaceAll("_", " "), value(what))),
      ),
    ),
  );
}

// What one forward pass for all has saved.
function sharing({ tokens, tokens_alone, exits, exits_alone }) {
  const line = (name, was, alone) =>
    was
      ? el(
          "tr",
          {},
          el("th", { scope: "row" }, name),
          el("td", {}, count(was)),
          el("td", {}, count(alone)),
          el("td", {}, `${(alone / was).toFixed(1)} ×`),
        )
      : null;
  if (!tokens && !exits) return null;
  const th = (text) => el("th", { scope: "col" }, text);
  return el(
    "div",
    { class: "report-sharing" },
    el("h3", {}, "What sharing saved"),
    boxed(
      "What sharing saved",
      el(
        "table",
        { class: "report-table" },
        el("thead", {}, el("tr", {}, ["", "computed", "each alone", "ratio"].map(th))),
        el("tbody", {}, line("tokens", tokens, tokens_alone), line("exits", exits, exits_alone)),
      ),
    ),
    el(
      "p",
      { class: "lens-note" },
      "Tokens through the transformer and layers read, beside what they would have been with each method and each candidate on its own.",
    ),
  );
}

function problems(list) {
  if (!list.length) return null;
  const row = ({ place, what }) =>
    el("li", {}, el("b", {}, shown(place)), " ", el("span", {}, shown(what)));
  return el(
    "details",
    { class: "report-details", open: list.length <= 5 },
    el("summary", {}, `${many(list.length, "row")} could not be asked`),
    someOf(list, 100, el("ul", { class: "report-problems" }), row),
  );
}

function taskSection(task, number, show) {
  const title = setup.tasks[number]?.title ?? task.task;
  const id = `task-${number}`;
  const grouped = task.metrics.filter(({ categories }) => categories?.length);
  const isFirst = results.tasks.findIndex(({ documents }) => documents) === number;
  const note =
    "Lines are 95% intervals. The dashed line is greedy; a filled dot beside it is a difference that chance alone would make in fewer than 5 of 100 runs (p corrected < 0.05), a ring one that it might well make.";
  return el(
    "section",
    { class: "report-task", "aria-labelledby": id },
    el("h2", { id }, shown(title), " ", quietly(many(task.documents, "document"))),
    task.documents
      ? [
          findings(results, task),
          task.metrics.map((metric) => metricTable(results, metric)),
          isFirst ? el("p", { class: "lens-note" }, note) : null,
          grouped.length
            ? categoryTable(task, grouped, (category) => show(number, category))
            : null,
        ]
      : el(
          "p",
          { class: "report-empty" },
          "No document could be asked: there is nothing to measure.",
        ),
    problems(task.problems),
    sharing(task.cost),
  );
}

// How a setting was chosen, and what came of it on the documents it was not chosen on.
function tuningSection({ title, header, rows, notes }) {
  const row = ([place, setting, mean]) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, place),
      el("td", {}, el("code", {}, shown(setting))),
      el("td", {}, mean),
    );
  return el(
    "section",
    { class: "report-task", "aria-labelledby": "tuning" },
    el("h2", { id: "tuning" }, shown(title)),
    el(
      "ul",
      { class: "report-findings" },
      notes.map((note) => el("li", {}, el("span", {}, shown(note)))),
    ),
    boxed(
      "The best settings",
      el(
        "table",
        { class: "report-table report-words" },
        el("thead", {}, el("tr", {}, header.map((text) => el("th", { scope: "col" }, text)))),
        el("tbody", {}, rows.map(row)),
      ),
    ),
  );
}

heading();
whatWasRun();
const browser = documentBrowser($("documents"), data);
$("tasks").append(...results.tasks.map((task, i) => taskSection(task, i, browser.showCategory)));
if (data.tuning) $("tasks").append(tuningSection(data.tuning));
browser.fromAddress();
theme();
