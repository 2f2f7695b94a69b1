// Conversations as files: all that is known of them, as JSON. `messages` is there for
// whatever reads chats of the OpenAI API, luge chat too.

const FORMAT = "luge conversation 1";

function exported({ model, system, turns }) {
  const messages = messagesOf(turns, turns.length, 0, system);
  const told = (answer) => answer && { ...answer.told, text: answer.text };
  return JSON.stringify(
    {
      format: FORMAT,
      exported: new Date().toISOString(),
      model,
      system,
      messages,
      turns: turns.map(({ question, fresh, answers }) => ({
        question,
        fresh,
        answers: answers.map(told),
      })),
    },
    null,
    1,
  );
}

// The turns of a file, as exported, or from its messages alone, and the system prompt.
function imported(text) {
  const refuse = (why) => {
    throw new Failure(`This file is no conversation of luge: ${why}.`);
  };
  let read;
  try {
    read = JSON.parse(text);
  } catch {
    refuse("it is not JSON");
  }
  const messages = Array.isArray(read) ? read : read?.messages;
  const words = (value) => (typeof value === "string" ? value : "");
  if (read?.format === FORMAT && Array.isArray(read.turns))
    return { system: words(read.system), turns: read.turns.map(turnFrom) };
  if (!Array.isArray(messages)) refuse("it has no messages");
  const turns = [];
  let system = "";
  for (const { role, content, reasoning_content: reasoning } of messages.map((m) => m ?? {})) {
    if (typeof content !== "string") refuse("a message has no text");
    if (role === "system") system = content;
    else if (role === "user") turns.push({ question: content, fresh: false, answers: [] });
    else if (role === "assistant" && turns.length) {
      const pieces = [
        { kind: "reasoning", text: reasoning, token: null },
        { kind: "text", text: content, token: null },
      ];
      const said = pieces.filter(({ text }) => typeof text === "string" && text !== "");
      turns.at(-1).answers[0] = new Answer({ pieces: said, ended: "stop" });
    }
  }
  return { system, turns };

  function turnFrom(turn) {
    if (typeof turn?.question !== "string" || !Array.isArray(turn.answers))
      refuse("a question or its answers are not there");
    const answers = turn.answers.slice(0, 2).map((told) => told && answerFrom(told));
    return { question: turn.question, fresh: turn.fresh === true, answers };
  }

  function answerFrom(told) {
    const isPiece = (piece) =>
      ["text", "reasoning"].includes(piece?.kind) && typeof piece.text === "string";
    if (!Array.isArray(told.pieces) || !told.pieces.every(isPiece)) refuse("an answer has no text");
    const tokens = told.tokens ?? [];
    const rows = tokens[0]?.layers?.length;
    if (!Array.isArray(tokens) || !tokens.every((t) => isLayers(t) && t.layers.length === rows))
      refuse("the layers of its tokens are damaged");
    const object = (value) => (value && typeof value === "object" ? value : null);
    return new Answer({
      method: words(told.method),
      model: words(told.model),
      decoding: object(told.decoding),
      parameters: object(told.parameters) ?? {},
      pieces: told.pieces.map(({ kind, text, token }) => ({ kind, text, token: token ?? null })),
      tokens,
      usage: object(told.usage),
      seconds: typeof told.seconds === "number" ? told.seconds : null,
      ended: words(told.ended) || "stop",
    });
  }
}

// Has the browser save a text.
function save(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  el("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
