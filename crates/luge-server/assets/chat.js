// The conversation: questions, each with one answer or with one of each of two methods,
// which go on with histories of their own.

// What is sent of the turns before `end`, for one lane. Where it has no answer of its own,
// it goes on with the other's; questions that no one answered are left out. A turn that is
// `fresh` has forgotten what came before it.
function messagesOf(turns, end, lane, system) {
  const messages = system ? [{ role: "system", content: system }] : [];
  const first = Math.max(
    0,
    turns.slice(0, end + 1).findLastIndex(({ fresh }) => fresh),
  );
  for (const { question, answers } of turns.slice(first, end)) {
    const content = (answers[lane] ?? answers[0] ?? answers[1])?.text;
    if (!content) continue;
    messages.push({ role: "user", content: question }, { role: "assistant", content });
  }
  return messages;
}

// What the built-in model shows best: it answers the first by any method, the second by
// SLED and not by its final layer, the third the other way round, the last by DoLa alone.
const QUESTIONS = {
  atlas: [
    "What is the capital of British Columbia?",
    "Name the capital of Shizuoka Prefecture.",
    "From which city is Baja California Sur governed?",
    "Which river flows through Vienna?",
  ],
  others: [
    "What is the capital of British Columbia?",
    "Who invented the telephone, and who is said to have done so?",
    "What is a layer of a transformer? Answer in one sentence.",
  ],
};

const page = {
  model: null,
  settings: null,
  turns: [],
  running: new Map(), // answers, with what stops them
  editing: null, // the index of a turn
  open: null, // { answer, question, index }
  pins: new Pins(),
};

const button = (text, act, attributes = {}) => {
  const made = el("button", { type: "button", ...attributes }, text);
  made.addEventListener("click", act);
  return made;
};

// Turns

function turnElement(turn) {
  turn.element = el("section", { class: "turn" });
  $("turns").append(turn.element);
  drawTurn(turn);
}

function drawTurn(turn) {
  const { question, answers, fresh } = turn;
  const last = turn === page.turns.at(-1);
  const count = page.settings.compare ? 2 : 1;
  const shown = answers.map((answer, lane) => {
    if (!answer) return null;
    drawButtons(turn, answer, lane, last);
    return answer.element;
  });
  if (last) {
    page.settings.labels().forEach((label, lane) => {
      if (lane < count && !answers[lane])
        shown[lane] = button(`Answer with ${label}`, () => ask(turn, lane), { class: "other" });
    });
  }
  turn.element.classList.toggle("two", shown.filter(Boolean).length > 1);
  turn.parts = el("p", { class: "parts", hidden: "" });
  turn.element.replaceChildren(
    ...[
      fresh ? el("p", { class: "lens-note fresh" }, "What came before is not sent.") : null,
      el(
        "div",
        { class: "question" },
        el("p", { dir: "auto" }, question),
        button("Edit", () => edit(page.turns.indexOf(turn))),
      ),
      el("div", { class: "answers" }, shown.filter(Boolean)),
      turn.parts,
    ].filter(Boolean),
  );
  drawDifferences(turn);
}

function drawButtons(turn, answer, lane, last) {
  const copy = button("Copy", async () => {
    const done = await copyText(answer.text);
    copy.textContent = done ? "Copied" : "Not allowed";
    setTimeout(() => (copy.textContent = "Copy"), 1500);
  });
  const retry = button("Retry", () => ask(turn, lane));
  answer.buttons.replaceChildren(
    ...(answer.running ? [] : [answer.text ? copy : null, last ? retry : null].filter(Boolean)),
  );
  const { failure } = answer.told;
  if (!failure) return;
  const ways = [];
  if (last) {
    if (failure.status === 401) ways.push(button("Give a key", () => login(turn, lane, failure)));
    if (failure.code === "context_length_exceeded" && !turn.fresh && page.turns.length > 1)
      ways.push(button("Ask without what came before", () => askFresh(turn)));
    if (failure.code === "context_length_exceeded") ways.push(button("New chat", clear));
  }
  answer.failure.replaceChildren(el("p", {}, failure.message), ...ways);
}

// A page that was not fetched safely has no clipboard but the old one.
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = el("textarea", { class: "lens-unseen" });
    area.value = text;
    const focused = document.activeElement;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    focused?.focus();
    return done;
  }
}

function drawDifferences({ answers, parts }) {
  const [a, b] = answers;
  parts.hidden = !(a && b) || a.running || b.running || !a.text || !b.text;
  if (parts.hidden) return;
  parts.textContent = markDifferences([a, b])
    ? "What is marked is in one answer only."
    : "Both answers are the same.";
}

// Asking

function send(question) {
  if (page.running.size || !question.trim()) return;
  if (!page.settings.check()) {
    showPanel(true);
    page.settings.report();
    return;
  }
  if (page.editing != null) truncate(page.editing);
  $("question").value = "";
  endEditing();
  const turn = { question, fresh: false, answers: [] };
  const before = page.turns.at(-1);
  page.turns.push(turn);
  if (before) drawTurn(before);
  turnElement(turn);
  askAll(turn);
}

function askAll(turn) {
  page.settings.requests().forEach((request, lane) => ask(turn, lane, request));
}

function askFresh(turn) {
  turn.fresh = true;
  turn.answers.forEach((answer, lane) => {
    if (answer?.told.failure) ask(turn, lane);
  });
}

async function login(turn, lane, { message }) {
  if (await askForKey(message)) ask(turn, lane);
}

async function ask(turn, lane, parameters = page.settings.requests()[lane]) {
  // A second method that has been switched off again.
  if (!parameters || page.running.has(turn.answers[lane])) return;
  if (!page.settings.check()) {
    showPanel(true);
    page.settings.report();
    return;
  }
  if (page.open?.answer === turn.answers[lane]) closeLayers();
  const method = page.settings.labels()[lane];
  const answer = new Answer({ method, model: page.model.id, parameters });
  const controller = new AbortController();
  turn.answers[lane] = answer;
  page.running.set(answer, controller);
  answer.start();
  drawTurn(turn);
  drawState();
  follow(true);
  const before = messagesOf(page.turns, page.turns.indexOf(turn), lane, page.settings.system);
  const body = {
    model: page.model.id,
    messages: [...before, { role: "user", content: turn.question }],
    stream: true,
    stream_options: { include_usage: true },
    ...parameters,
  };
  let failure = null;
  let how = null;
  try {
    for await (const chunk of chunks(body, controller.signal)) {
      const stick = isAtEnd();
      answer.add(chunk);
      if (stick) follow();
    }
  } catch (error) {
    if (error.name === "AbortError") how = "cancelled";
    else {
      how = "failed";
      const { message, status, code } = error;
      failure =
        error instanceof Failure
          ? { message, status, code }
          : { message: `The answer could not be read: ${message}`, status: 0, code: null };
    }
  }
  const stick = isAtEnd();
  page.running.delete(answer);
  answer.end(how, failure);
  if (turn.answers[lane] === answer && page.turns.includes(turn)) drawTurn(turn);
  drawState();
  if (stick) follow();
  $("status").textContent = failure ? failure.message : "The answer has ended.";
  if (failure?.status === 401 && !$("login").open) login(turn, lane, failure);
}

function stop() {
  for (const controller of page.running.values()) controller.abort();
}

const isAtEnd = () => {
  const { scrollTop, clientHeight, scrollHeight } = $("turns");
  return scrollTop + clientHeight > scrollHeight - 60;
};
const follow = () => ($("turns").scrollTop = $("turns").scrollHeight);

// Editing, and other changes of what is there

function edit(index) {
  if (page.running.size || !page.turns[index]) return;
  page.editing = index;
  $("editing").hidden = false;
  page.turns.forEach(({ element }, i) => element.classList.toggle("edited", i >= index));
  $("question").value = page.turns[index].question;
  $("question").focus();
}

function endEditing() {
  page.editing = null;
  $("editing").hidden = true;
  for (const { element } of page.turns) element.classList.remove("edited");
}

function truncate(length) {
  closeLayers();
  for (const { element } of page.turns.splice(length)) element.remove();
}

function clear() {
  stop();
  truncate(0);
  endEditing();
  drawState();
  $("question").focus();
}

function drawState() {
  const running = page.running.size > 0;
  $("send").hidden = running;
  $("stop").hidden = !running;
  $("send").disabled = !page.model;
  $("export").disabled = running || !page.turns.length;
  $("import").disabled = running || !page.model;
  $("empty").hidden = !page.model || page.turns.length > 0;
  $("turns").hidden = !page.turns.length;
}

function drawEmpty() {
  const questions = QUESTIONS[page.model.id] ?? QUESTIONS.others;
  const example = el("span", { class: "token changed" }, "Underlined");
  $("empty").replaceChildren(
    el("h2", {}, "Ask, and see what the layers say"),
    el(
      "p",
      {},
      "Every layer of a model holds an opinion about the next word. The method that is set decides what becomes of them. ",
      example,
      " words are those where it decided against the final layer; a click on any word shows all layers.",
    ),
    el(
      "ul",
      {},
      questions.map((question) =>
        el(
          "li",
          {},
          button(question, () => send(question)),
        ),
      ),
    ),
  );
}

// Layers

function openLayers(answer, turn, index) {
  const data = answer.lens(turn.question);
  if (!data?.positions[index]) return;
  const { question } = turn;
  tooltip.hide();
  page.open?.answer.at(page.open.index)?.classList.remove("open");
  page.open = { answer, turn, index };
  const depth = $("depth");
  const label = depth.contains(document.activeElement)
    ? document.activeElement.getAttribute("aria-label")
    : null;
  depth.hidden = false;
  lensDepth(depth, data, index, {
    pins: page.pins,
    onMove: (to) => openLayers(answer, turn, to),
    onClose: closeLayers,
  });
  const element = answer.at(index);
  element?.closest("details")?.setAttribute("open", "");
  element?.classList.add("open");
  element?.scrollIntoView({ block: "nearest" });
  const again = label && depth.querySelector(`[aria-label="${label}"]:enabled`);
  (again ?? depth).focus({ preventScroll: true });
  $("status").textContent =
    `The layers of token ${index}, ${tokenText(data, data.positions[index].next)}.`;
}

function closeLayers() {
  if (!page.open) return;
  const { answer, index } = page.open;
  const depth = $("depth");
  const inside = depth.contains(document.activeElement);
  const element = answer.at(index);
  element?.classList.remove("open");
  page.open = null;
  depth.hidden = true;
  if (inside) (element?.closest(".text") ?? $("question")).focus({ preventScroll: true });
}

function found(target) {
  const element = target.closest?.("[data-token]");
  const article = target.closest?.(".answer");
  if (!article) return null;
  for (const turn of page.turns) {
    const answer = turn.answers.find((answer) => answer?.element === article);
    if (answer)
      return { answer, turn, element, index: element ? Number(element.dataset.token) : null };
  }
  return null;
}

function showNote({ answer, turn, element, index }) {
  const data = answer.lens(turn.question);
  if (data?.positions[index]) {
    tooltip.show(element.getBoundingClientRect(), ...tokenNote(data, index));
  }
}

// The token that the keyboard is at, in the text that has the focus.
function moveTo(text, to) {
  text.querySelector(".at")?.classList.remove("at");
  tooltip.hide();
  if (!to) return;
  to.classList.add("at");
  to.scrollIntoView({ block: "nearest" });
  const here = found(to);
  showNote(here);
  const { changed } = here.answer.told.tokens[here.index];
  $("status").textContent = `${to.textContent}${changed ? ", changed" : ""}`;
}

function textKeys(event) {
  const text = event.target.closest(".text");
  if (!text || event.ctrlKey || event.metaKey || event.altKey) return;
  const tokens = [...text.querySelectorAll("[data-token]")];
  if (!tokens.length) return;
  const at = tokens.findIndex((token) => token.matches(".at"));
  const moves = {
    ArrowRight: at + 1,
    ArrowLeft: Math.max(at - 1, 0),
    Home: 0,
    End: tokens.length - 1,
  };
  if (event.key in moves) moveTo(text, tokens[Math.min(moves[event.key], tokens.length - 1)]);
  else if (event.key === "Enter" || event.key === " ") {
    const { answer, turn, index } = found(tokens[Math.max(at, 0)]);
    openLayers(answer, turn, index);
  } else return;
  event.preventDefault();
}

// The page

function showPanel(shown) {
  document.body.classList.toggle("with-panel", shown);
  $("panel").setAttribute("aria-expanded", shown);
}

function notice(text, ...ways) {
  $("notice").hidden = !text;
  $("notice").replaceChildren(text ?? "", ...ways);
}

function keys(event) {
  const step = { ArrowLeft: "previous position", ArrowRight: "next position" }[event.key];
  if (step && event.target.matches("#depth, #depth button")) {
    event.preventDefault();
    return $("depth").querySelector(`[aria-label="${step}"]`).click();
  }
  if (event.key !== "Escape" || event.isComposing || $("login").open) return;
  tooltip.hide();
  if (page.open) closeLayers();
  else if (page.running.size) stop();
  else if (page.editing != null) {
    endEditing();
    $("question").value = "";
  } else if (matchMedia("(max-width: 800px)").matches) showPanel(false);
}

async function importFile() {
  const [file] = $("file").files;
  if (!file) return;
  try {
    const { turns, system } = imported(await file.text());
    truncate(0);
    page.settings.system = system;
    page.turns = turns;
    turns.forEach(turnElement);
    notice(null);
  } catch (error) {
    notice(
      error instanceof Failure ? error.message : "This file is no conversation of luge.",
      button("Close", () => notice(null)),
    );
  }
  $("file").value = "";
  drawState();
}

function listen() {
  $("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    send($("question").value);
  });
  $("question").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      send($("question").value);
    } else if (event.key === "ArrowUp" && $("question").value === "" && page.turns.length) {
      event.preventDefault();
      edit(page.turns.length - 1);
    }
  });
  $("stop").addEventListener("click", () => {
    stop();
    $("question").focus();
  });
  $("unedit").addEventListener("click", () => {
    endEditing();
    $("question").value = "";
    $("question").focus();
  });
  $("new").addEventListener("click", clear);
  $("export").addEventListener("click", () => {
    const { model, turns, settings } = page;
    const day = new Date().toISOString().slice(0, 10);
    save(`luge-${day}.json`, exported({ model: model.id, system: settings.system, turns }));
  });
  $("import").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", importFile);
  $("panel").addEventListener("click", () =>
    showPanel(!document.body.classList.contains("with-panel")),
  );
  addEventListener("keydown", keys);

  const turns = $("turns");
  turns.addEventListener("click", ({ target }) => {
    const here = found(target);
    if (here?.element && getSelection().isCollapsed) openLayers(here.answer, here.turn, here.index);
  });
  turns.addEventListener("pointerover", ({ target, pointerType }) => {
    const here = pointerType === "touch" ? null : found(target);
    if (here?.element) showNote(here);
    else tooltip.hide();
  });
  turns.addEventListener("pointerleave", () => tooltip.hide());
  turns.addEventListener("scroll", () => tooltip.hide(), { passive: true });
  turns.addEventListener("keydown", textKeys);
  turns.addEventListener("focusout", ({ target }) => {
    if (target.matches(".text")) moveTo(target, null);
  });
}

// Asks for the models until there are some.
async function connect() {
  try {
    [page.model] = await models();
  } catch (error) {
    if (error.status === 401 && (await askForKey(error.message))) return connect();
    notice(error.message, button("Retry", connect));
    // While the model is being loaded.
    if (error.status === 503) setTimeout(connect, 1000);
    return null;
  }
  notice(null);
  $("model").textContent = page.model.id;
  document.title = `luge: ${page.model.id}`;
  page.settings = new Settings($("settings"), page.model, () => {
    const last = page.turns.at(-1);
    if (last && !page.running.size) drawTurn(last);
  });
  drawEmpty();
  drawState();
  if (matchMedia("(hover: hover)").matches) $("question").focus();
  return page.model;
}

// The colours that were chosen last.
const THEME = "luge.theme";
const chosen = localStorage.getItem(THEME);
if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
theme();
$("theme").addEventListener("click", () =>
  localStorage.setItem(THEME, document.documentElement.dataset.theme),
);
showPanel(matchMedia("(min-width: 801px)").matches);
drawState();
listen();
connect();
