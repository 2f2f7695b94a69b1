// One document: what each method answered.

// The short arrays of the data with names.
function unpack([index, id, category, question, values, changed, layers, body]) {
  return { index, id, category, question, values, changed, layers: new Map(layers), ...body };
}

// How a method's other answer compares with greedy's; null where it is the same.
function turn({ changed, values }, method) {
  if (!changed[method]) return null;
  if (values[method] === values[0]) return "neither";
  return values[method] > values[0] ? "better" : "worse";
}

const address = (kind, ...parts) => `#${kind}=${parts.map(encodeURIComponent).join("/")}`;

const MARKS_OF = [
  ["✗", "wrong"],
  ["✓", "right"],
  ["✓✓", "the best"],
];

const ENDS = {
  eos: "ended",
  stop: "stopped",
  length: "cut at the most tokens",
  context: "cut at the end of the context",
};

// Draws the answers to a document under methods with these names.
function answersOf(names) {
  // How a method's answer compares, and the way to what the layers said.
  function turned(task, document, method) {
    const how = turn(document, method);
    const words = { better: "▲ for better", worse: "▼ for worse", neither: "= neither" };
    return [
      how ? el("span", { class: `report-turn report-${how}` }, words[how]) : null,
      document.layers.has(method)
        ? el("a", { href: address("layers", task.name, document.index, names[method]) }, "layers")
        : null,
    ];
  }

  // What a sum is for people: the compared one, and the other below it.
  const sums = ([, , , logprobs, logits], method, raw) => {
    const [first, second] = raw ? [logits, logprobs] : [logprobs, logits];
    return [el("b", {}, score(first[method])), " ", quietly(score(second[method]))];
  };

  function choices(task, document) {
    const both = document.candidates.some(([, mark]) => mark === 1);
    const row = (candidate, i) => {
      const [text, mark, tokens] = candidate;
      const [sign, word] = MARKS_OF[both ? mark : Math.min(mark, 1)];
      return el(
        "tr",
        { class: mark ? "report-right" : "report-wrong" },
        el(
          "th",
          { scope: "row", dir: "auto" },
          el("i", { title: word, role: "img", "aria-label": word }, sign),
          shown(text),
        ),
        names.map((_, method) =>
          document.chosen[method] === i
            ? el(
                "td",
                { class: "report-chosen", title: "its answer" },
                el("span", {}, sums(candidate, method, task.raw)),
                el("span", { class: "lens-unseen" }, "its answer"),
              )
            : el("td", {}, el("span", {}, sums(candidate, method, task.raw))),
        ),
        el("td", {}, count(tokens)),
      );
    };
    const head = (name, method) =>
      el("th", { scope: "col" }, el("span", {}, name), turned(task, document, method));
    return boxed(
      `Candidates of ${document.id}`,
      el(
        "table",
        { class: "report-table report-choices", style: { "--methods": names.length } },
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            el("th", { scope: "col" }, "answer"),
            names.map(head),
            el("th", { scope: "col" }, "tokens"),
          ),
        ),
        el("tbody", {}, document.candidates.map(row)),
      ),
    );
  }

  function written(task, document) {
    const row = ([text, tokens, changed, finish, extracted], method) => {
      const value = document.values[method];
      const [sign, word] =
        value == null
          ? ["", ""]
          : value >= 1
            ? MARKS_OF[1]
            : value > 0
              ? ["◐", "partly right"]
              : MARKS_OF[0];
      return el(
        "li",
        { class: value >= 1 ? "report-right" : "report-wrong" },
        el(
          "p",
          { class: "report-by" },
          el("b", {}, names[method] ?? `${method}`),
          el(
            "span",
            { class: "report-found" },
            el("i", { role: "img", title: word, "aria-label": word }, sign),
            extracted == null
              ? quietly("no answer found in it")
              : el("span", { dir: "auto" }, shown(clipped(extracted))),
            value > 0 && value < 1 ? quietly(` ${share(value)}%`) : null,
          ),
          turned(task, document, method),
        ),
        method && text === document.answers[0][0]
          ? el("p", {}, quietly("the same text as greedy’s"))
          : el(
              "p",
              { class: "report-text", dir: "auto" },
              text ? shown(text) : quietly("an empty text"),
            ),
        el(
          "p",
          { class: "lens-note" },
          `${many(tokens, "token")}${method ? `, ${count(changed)} changed` : ""}, ${ENDS[finish] ?? finish}`,
        ),
      );
    };
    return el(
      "div",
      {},
      el(
        "p",
        { class: "report-references" },
        quietly("right: "),
        document.references.map((text, i) => [
          i ? quietly(" or ") : null,
          el("span", { dir: "auto" }, shown(text)),
        ]),
      ),
      el("ul", { class: "report-written" }, document.answers.map(row)),
    );
  }

  // Where a whole text is the answer, its beginning will do.
  const clipped = (text) => (text.length > 90 ? `${text.slice(0, 80).trimEnd()}…` : text);

  return (task, document) =>
    document.candidates ? choices(task, document) : written(task, document);
}
