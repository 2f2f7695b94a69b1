// The documents with their answers, a page of them at a time, and what the layers said
// where a method's answer parts from greedy's. Addresses: #document=TASK/INDEX and
// #layers=TASK/INDEX/METHOD.

const PAGE = 20;

const SHOW = {
  changed: "Changed",
  better: "For better",
  worse: "For worse",
  neither: "Neither",
  all: "All documents",
};

function documentBrowser(root, data) {
  const { setup, tasks: found } = data.results;
  const names = setup.methods.map(({ name }) => name);
  const answers = answersOf(names);
  const tasks = data.tasks.map((task, i) => ({
    ...task,
    name: found[i].task,
    title: setup.tasks[i]?.title ?? found[i].task,
    documents: task.documents.map(unpack),
  }));
  const filter = { task: 0, show: "changed", method: null, category: null, text: "" };
  let page = 0;
  let open = null; // { task, index, method } whose layers are shown
  let layerLines = null;

  const option = (value, text, selected) => el("option", { value, selected }, text);
  const select = (label, act) => {
    const made = el("select", { "aria-label": label });
    made.addEventListener("change", () => act(made.value));
    return made;
  };
  const change = (what) => {
    Object.assign(filter, what);
    page = 0;
    draw();
  };

  const chooseTask = select("task", (value) => {
    filter.task = Number(value);
    listCategories();
    change({ category: null });
  });
  chooseTask.append(...tasks.map(({ title }, i) => option(i, shownPlain(title))));
  const chooseMethod = select("method", (value) =>
    change({ method: value ? Number(value) : null }),
  );
  chooseMethod.append(
    option("", "by any method"),
    ...names.slice(1).map((name, i) => option(i + 1, `by ${name}`)),
  );
  const chooseCategory = select("group", (value) =>
    change({ category: value ? Number(value) : null }),
  );
  const search = el("input", {
    type: "search",
    placeholder: "Search",
    "aria-label": "Search in questions and answers",
  });
  let typing;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => change({ text: search.value.trim().toLowerCase() }), 120);
  });
  const shows = el(
    "fieldset",
    { "aria-label": "Which documents" },
    Object.entries(SHOW).map(([value, text]) =>
      el(
        "label",
        {},
        el("input", { type: "radio", name: "show", value, checked: value === filter.show }),
        text,
      ),
    ),
  );
  shows.addEventListener("change", ({ target }) => change({ show: target.value }));

  function listCategories() {
    const { categories = [] } = tasks[filter.task] ?? {};
    chooseCategory.hidden = !categories.length;
    chooseCategory.replaceChildren(
      option("", "all groups"),
      ...categories.map((name, i) => option(i, shownPlain(name))),
    );
  }

  const counted = el("p", { class: "lens-note report-count", role: "status" });
  const list = el("div", { class: "report-list" });
  const pagers = [
    el("nav", { "aria-label": "Pages" }),
    el("nav", { "aria-label": "Pages, below" }),
  ];

  // What a search looks through, made when it is first wanted.
  function textOf(document) {
    document.text ??= [
      document.id,
      document.question,
      ...(document.candidates ?? []).map(([text]) => text),
      ...(document.references ?? []),
      ...(document.answers ?? []).map(([text]) => text),
    ]
      .join("\n")
      .toLowerCase();
    return document.text;
  }

  function matches(document) {
    if (filter.category != null && document.category !== filter.category) return false;
    if (filter.text && !textOf(document).includes(filter.text)) return false;
    if (filter.show === "all") return true;
    const methods = filter.method == null ? names.keys() : [filter.method];
    for (const method of methods) {
      const how = turn(document, method);
      if (how && (filter.show === "changed" || filter.show === how)) return true;
    }
    return false;
  }

  function draw() {
    const { documents = [] } = tasks[filter.task] ?? {};
    const wanted = documents.filter(matches);
    const pages = Math.max(1, Math.ceil(wanted.length / PAGE));
    page = clamp(page, 0, pages - 1);
    counted.textContent = `${count(wanted.length)} of ${many(documents.length, "document")}`;
    list.replaceChildren(...wanted.slice(page * PAGE, (page + 1) * PAGE).map(card));
    if (!wanted.length) list.append(el("p", { class: "report-empty" }, nothing(documents)));
    for (const pager of pagers) drawPager(pager, pages);
  }

  function nothing(documents) {
    if (!documents.length) return "There are no documents.";
    if (
      filter.show === "changed" &&
      filter.method == null &&
      filter.category == null &&
      !filter.text
    )
      return "No method gives another answer than greedy to any document.";
    return "No document is like that.";
  }

  function drawPager(pager, pages) {
    const go = (to, text, label) =>
      button(
        text,
        { class: "report-button", "aria-label": label, disabled: to < 0 || to >= pages },
        () => {
          page = to;
          draw();
          root.scrollIntoView();
          pagers[0]
            .querySelector(`[aria-label="${label}"]:enabled`)
            ?.focus({ preventScroll: true });
        },
      );
    pager.hidden = pages < 2;
    pager.replaceChildren(
      go(page - 1, "←", "previous page"),
      el("span", {}, `page ${count(page + 1)} of ${count(pages)}`),
      go(page + 1, "→", "next page"),
    );
  }

  function card(document) {
    const task = tasks[filter.task];
    const category = task.categories[document.category];
    const isOpen = open?.task === filter.task && open.index === document.index;
    const layers = isOpen ? el("section", { class: "report-layers" }) : null;
    const made = el(
      "article",
      { class: "report-card", "data-index": document.index },
      el(
        "header",
        {},
        el("a", { href: address("document", task.name, document.index) }, shown(document.id)),
        category == null ? null : el("span", { class: "report-tag" }, shown(category)),
      ),
      el("p", { class: "report-question", dir: "auto" }, shown(document.question)),
      answers(task, document),
      layers,
    );
    if (layers) drawLayers(layers, document);
    return made;
  }

  function drawLayers(section, document) {
    const { method } = open;
    const close = () => {
      history.replaceState(null, "", address("document", tasks[filter.task].name, document.index));
      open = null;
      section.remove();
      list.querySelector(`[data-index="${document.index}"] header a`)?.focus();
    };
    const what = `${names[method]} and greedy, where their answers part`;
    section.append(el("p", { class: "lens-note" }, what));
    const line = document.layers.get(method);
    if (line == null) {
      section.append(
        el(
          "p",
          { class: "report-empty" },
          `The page has no more room for these layers, nor for those of ${many(data.layers_left_out - 1, "other answer")}: documents.jsonl has them.`,
        ),
        button("close", { class: "report-button" }, close),
      );
      return;
    }
    layerLines ??= $("layers").textContent.split("\n");
    const drawing = el("div", {});
    section.append(drawing);
    // It measures itself, so it has to be in the page.
    requestAnimationFrame(() =>
      lensDepth(drawing, JSON.parse(layerLines[line]), 0, { onClose: close }),
    );
  }

  // To the document that the address names, whatever is filtered.
  function fromAddress() {
    const [, kind, rest] = location.hash.match(/^#(document|layers)=(.*)$/) ?? [];
    if (!kind) return;
    let parts;
    try {
      parts = rest.split("/").map(decodeURIComponent);
    } catch {
      return;
    }
    const task = tasks.findIndex(({ name }) => name === parts[0]);
    const document = tasks[task]?.documents.find(({ index }) => `${index}` === parts[1]);
    if (!document) return;
    const method = kind === "layers" ? names.indexOf(parts[2]) : -1;
    open = document.layers.has(method) ? { task, index: document.index, method } : null;
    if (task !== filter.task || !matches(document)) {
      const show = document.changed.includes(1) ? "changed" : "all";
      Object.assign(filter, { task, show, method: null, category: null, text: "" });
      listCategories();
      chooseTask.value = task;
      chooseMethod.value = chooseCategory.value = search.value = "";
      shows.querySelector(`[value="${show}"]`).checked = true;
    }
    page = Math.floor(tasks[task].documents.filter(matches).indexOf(document) / PAGE);
    draw();
    const here = list.querySelector(`[data-index="${document.index}"]`);
    here.classList.add("report-here");
    (here.querySelector(".report-layers") ?? here).scrollIntoView();
    here.querySelector("header a").focus({ preventScroll: true });
  }

  function showCategory(task, category) {
    Object.assign(filter, {
      task,
      show: "all",
      method: null,
      text: "",
      category: tasks[task].categories.indexOf(category),
    });
    listCategories();
    chooseTask.value = task;
    chooseCategory.value = filter.category;
    chooseMethod.value = search.value = "";
    shows.querySelector('[value="all"]').checked = true;
    page = 0;
    draw();
    root.scrollIntoView();
    chooseCategory.focus({ preventScroll: true });
  }

  const anyRaw = tasks.some(({ raw }) => raw);
  const anyChoice = tasks.some(({ documents }) => documents.some(({ candidates }) => candidates));
  root.append(
    anyChoice
      ? el(
          "p",
          { class: "lens-note" },
          "Beside each candidate its log-probability in nats, below that the sum of the method’s output as it is",
          anyRaw ? ", or the other way round where such sums are compared. " : ". ",
          "A frame marks the method’s answer; ✓ is right, ✗ wrong, ✓✓ the best of several that are right.",
        )
      : "",
    el(
      "div",
      { class: "lens-toolbar report-toolbar" },
      tasks.length > 1 ? chooseTask : null,
      shows,
      names.length > 2 ? chooseMethod : null,
      chooseCategory,
      search,
    ),
    el("div", { class: "report-line" }, counted, pagers[0]),
    list,
    pagers[1],
  );
  listCategories();
  draw();
  addEventListener("hashchange", fromAddress);
  return { fromAddress, showCategory };
}

// For where only characters can stand.
const shownPlain = (text) =>
  shown(text)
    .map((part) => part.textContent ?? part)
    .join("");
