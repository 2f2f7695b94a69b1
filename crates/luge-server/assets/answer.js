// One answer: what came of it, and how it looks. The text is made of pieces, each with
// the token that wrote it, where the server tells of tokens.

// Lays texts as they come beside the tokens that wrote them. A token's text may come later
// than the token (where it could be the beginning of a stop), as a part of a character,
// or never, as that of a control token.
class Aligner {
  #tokens = []; // [{ index, text }], whose text has not come
  #text = ""; // that no token has claimed
  #emit;

  constructor(emit) {
    this.#emit = emit;
  }

  add(text, tokens) {
    this.#text += text;
    this.#tokens.push(...tokens);
    while (this.#tokens.length && this.#text) {
      const [{ index, text }] = this.#tokens;
      if (text && this.#text.startsWith(text)) {
        this.#tokens.shift();
        this.#take(text.length, index);
      } else if (text.startsWith(this.#text)) return;
      else this.#skip();
    }
    if (!this.#tokens.length) this.end();
  }

  // What has not found its token belongs to the first that waits.
  end() {
    if (this.#text) this.#take(this.#text.length, this.#tokens[0]?.index ?? null);
    this.#tokens = [];
  }

  #take(length, index) {
    this.#emit(this.#text.slice(0, length), index);
    this.#text = this.#text.slice(length);
  }

  // The first token has not the text that comes next: that belongs to it as far as the
  // next token that is found in it.
  #skip() {
    const next = this.#tokens.findIndex(
      ({ text }, i) => i && text && !text.includes("\ufffd") && this.#text.includes(text),
    );
    const length = next < 0 ? this.#text.length : this.#text.indexOf(this.#tokens[next].text);
    const [{ index }] = this.#tokens.splice(0, next < 0 ? this.#tokens.length : next);
    if (length) this.#take(length, index);
  }
}

class Answer {
  // What is exported.
  told = {
    method: "",
    model: "",
    decoding: null,
    parameters: {},
    pieces: [], // { kind: "text" or "reasoning", text, token: index or null }
    tokens: [],
    usage: null,
    seconds: null, // from the first token to the last
    ended: null, // as the API has it, or "cancelled" or "failed"
    failure: null, // { message, status, code }
  };
  running = false;
  element = el("article", { class: "answer" });

  #kind = "text";
  #aligners = {};
  #began = null;
  #heard = 0; // chunks with text
  #lens = null;
  #spoken = "";
  #parts;

  constructor(told) {
    Object.assign(this.told, told);
    for (const kind of ["reasoning", "text"]) {
      this.#aligners[kind] = new Aligner((text, token) => this.#piece({ kind, text, token }));
    }
    const text = () =>
      el("div", { class: "text", tabindex: 0, role: "group", dir: "auto", "aria-label": "Answer" });
    this.#parts = {
      label: el("h3", {}),
      reasoning: text(),
      text: text(),
      facts: el("p", { class: "facts" }),
      failure: el("div", { class: "failure", hidden: "" }),
      buttons: el("div", { class: "buttons" }),
    };
    this.#parts.thoughts = el(
      "details",
      { class: "thoughts", hidden: "" },
      el("summary", {}, "Thoughts"),
      this.#parts.reasoning,
    );
    this.#parts.reasoning.setAttribute("aria-label", "Thoughts");
    const { label, thoughts, text: answer, facts, failure, buttons } = this.#parts;
    this.element.append(label, thoughts, answer, failure, el("footer", {}, facts, buttons));
    this.told.pieces.forEach((piece) => this.#show(piece));
    this.draw();
  }

  get buttons() {
    return this.#parts.buttons;
  }

  get failure() {
    return this.#parts.failure;
  }

  #words(kind) {
    return this.told.pieces
      .filter((piece) => piece.kind === kind)
      .map(({ text }) => text)
      .join("");
  }

  get text() {
    return this.#words("text");
  }

  get reasoning() {
    return this.#words("reasoning");
  }

  // A chunk of the API.
  add(chunk) {
    const { told } = this;
    told.model ||= chunk.model ?? "";
    told.decoding ??= chunk.decoding ?? null;
    told.usage = chunk.usage ?? told.usage;
    const choice = chunk.choices?.[0];
    if (!choice) return;
    const { content, reasoning_content: reasoning } = choice.delta ?? {};
    const kind = reasoning ? "reasoning" : content ? "text" : this.#kind;
    if (kind !== this.#kind) this.#aligners[this.#kind].end();
    this.#kind = kind;
    const tokens = (choice.layers?.tokens ?? []).map((token) => ({
      index: told.tokens.push(token) - 1,
      text: token.text,
    }));
    if (reasoning || content || tokens.length) {
      const now = performance.now();
      this.#began ??= now;
      this.#heard += 1;
      told.seconds = (now - this.#began) / 1000;
    }
    if (reasoning && content) {
      this.#aligners.reasoning.add(reasoning, []);
      this.#aligners.text.add(content, tokens);
    } else this.#aligners[kind].add(reasoning || content || "", tokens);
    told.ended = choice.finish_reason ?? told.ended;
    this.draw();
  }

  start() {
    this.running = true;
    this.draw();
  }

  end(how, failure = null) {
    this.running = false;
    this.#aligners[this.#kind].end();
    this.told.ended = how ?? this.told.ended ?? "stop";
    this.told.failure = failure;
    this.#speak(true);
    this.draw();
  }

  #piece(piece) {
    this.told.pieces.push(piece);
    this.#show(piece);
    if (piece.kind === "text") {
      this.#spoken += piece.text;
      this.#speak(false);
    }
  }

  // Read out sentence by sentence, rather than token by token.
  #speak(all) {
    const end = all ? this.#spoken.length : this.#spoken.search(/[.!?]\s|\n/) + 1;
    if (end <= 0) return;
    $("spoken").replaceChildren(el("p", {}, this.#spoken.slice(0, end)));
    this.#spoken = this.#spoken.slice(end);
  }

  // A blank in front of a word is no part of what is underlined.
  #show({ kind, text, token }) {
    const [, blank, word] = text.match(/^(\s*)(.*)$/su);
    const told = this.told.tokens[token];
    const shown = word || blank;
    const element = el(
      "span",
      { class: told?.changed ? "token changed" : "token", "data-token": told ? token : null },
      shown,
    );
    if (told?.changed && !word) element.dataset.blank = blank.includes("\n") ? "⏎" : "·";
    const place = kind === "text" ? this.#parts.text : this.#parts.reasoning;
    if (word && blank) place.append(blank);
    place.append(element);
  }

  // The tokens' elements, of the answer and of its thoughts.
  at(index) {
    return this.element.querySelector(`[data-token="${index}"]`);
  }

  // All tokens' layers, as a lens has them.
  lens(question) {
    const { tokens } = this.told;
    if (!tokens.length) return null;
    if (this.#lens?.positions.length !== tokens.length) this.#lens = lensOf(this.told, question);
    return this.#lens;
  }

  draw() {
    const { told, running } = this;
    const { label, thoughts, text, facts, failure } = this.#parts;
    label.textContent = told.method;
    thoughts.hidden = !told.pieces.some(({ kind }) => kind === "reasoning");
    text.hidden = !told.pieces.some(({ kind }) => kind === "text");
    this.element.classList.toggle("running", running);
    this.element.setAttribute("aria-busy", running);
    facts.replaceChildren(...this.#facts());
    failure.hidden = !told.failure;
  }

  #facts() {
    const { told, running } = this;
    const count = told.usage?.completion_tokens ?? (told.tokens.length || null);
    const rate = count > 1 && told.seconds > 0 ? (count - 1) / told.seconds : null;
    const changed = told.tokens.filter((token) => token.changed).length;
    const plural = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;
    const how = {
      length: "cut off: no more tokens allowed",
      cancelled: "stopped",
      tool_calls: "asks for a tool, which this page has not",
      content_filter: "held back by the server",
    };
    const cached = told.usage?.prompt_tokens_details?.cached_tokens;
    const prompt = told.usage
      ? `prompt: ${plural(told.usage.prompt_tokens, "token")}${cached ? `, ${cached} from the cache` : ""}`
      : null;
    const isMade = told.tokens.length > 0 && told.decoding?.name !== "greedy";
    return [
      count == null ? null : el("span", { title: prompt }, plural(count, "token")),
      rate == null
        ? null
        : el("span", {}, `${rate < 10 ? rate.toFixed(1) : Math.round(rate)} tokens/s`),
      isMade ? el("span", { class: changed ? "some" : null }, `${changed} changed`) : null,
      running || !how[told.ended] ? null : el("span", { class: "how" }, how[told.ended]),
    ].filter(Boolean);
  }
}

// Marks in two answers what the other has not: what is left when the longest common row
// of words is taken out of both.
function markDifferences([a, b]) {
  const spans = [a, b].map((answer) => [...answer.element.querySelectorAll(".text > .token")]);
  const [x, y] = spans.map((list) => list.map((span) => span.textContent));
  let start = 0;
  while (start < Math.min(x.length, y.length) && x[start] === y[start]) start += 1;
  let end = 0;
  const room = Math.min(x.length, y.length) - start;
  while (end < room && x.at(-1 - end) === y.at(-1 - end)) end += 1;
  const differs = [x, y].map((texts) => texts.map((_, i) => i >= start && i < texts.length - end));
  const [rows, columns] = [x.length - end - start, y.length - end - start];
  if (rows * columns > 0 && rows * columns < 1e6) {
    // [rows + 1][columns + 1], the length of the longest common row from there on.
    const common = Array.from({ length: rows + 1 }, () => new Uint16Array(columns + 1));
    for (let i = rows - 1; i >= 0; i -= 1)
      for (let j = columns - 1; j >= 0; j -= 1)
        common[i][j] =
          x[start + i] === y[start + j]
            ? common[i + 1][j + 1] + 1
            : Math.max(common[i + 1][j], common[i][j + 1]);
    for (let i = 0, j = 0; i < rows && j < columns;) {
      if (x[start + i] === y[start + j]) {
        differs[0][start + i] = differs[1][start + j] = false;
        i += 1;
        j += 1;
      } else if (common[i + 1][j] >= common[i][j + 1]) i += 1;
      else j += 1;
    }
  }
  spans.forEach((list, k) =>
    list.forEach((span, i) => span.classList.toggle("differs", differs[k][i])),
  );
  return differs.some((list) => list.includes(true));
}
