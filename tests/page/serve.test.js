// The page of `luge serve` in a browser. What any server must do is tested with `luge
// serve` and with a server of the tests' own; what no model can be made to do, and faults,
// with the latter. Every test also fails on an error in the console, and on any request
// to elsewhere: see `chatOn`.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { ANSWERS, layersOf, refuse, stream } from "./mock.js";
import { start, stop } from "./pages.js";
import { chatOn, hasServer, mock, real } from "./serving.js";

before(start);
after(stop);

const ASKED = "What is the capital of British Columbia?";

const text = (locator) => locator.innerText();
const answer = (page, i = -1) =>
  i < 0 ? page.locator(".answer").last() : page.locator(".answer").nth(i);
const words = (page, i) => answer(page, i).locator(".text").last();
const depth = (page) => page.locator("#depth");
const send = async (page, question = ASKED) => {
  await page.locator("#question").fill(question);
  await page.keyboard.press("Enter");
};
// Until all answers have ended.
const ended = (page) =>
  page.waitForFunction(
    () => document.querySelector(".answer") && !document.querySelector(".running"),
  );
const ask = async (page, question) => {
  await send(page, question);
  await ended(page);
};
const download = async (page) => {
  const waiting = page.waitForEvent("download");
  await page.getByRole("button", { name: "Export" }).click();
  const file = await (await waiting).path();
  return JSON.parse(readFileSync(file, "utf8"));
};
const load = (page, content) =>
  page.locator("#file").setInputFiles({
    name: "chat.json",
    mimeType: "application/json",
    buffer: Buffer.from(content),
  });

// A test on a server of the tests' own. `server.asked` has what the page asked.
function on(name, options, check) {
  test(name, async () => {
    const server = await mock(options);
    const { page, done } = await chatOn(server, options);
    await page.locator("#empty li").first().waitFor();
    await check(page, server);
    await done();
  });
}

// A test on every server there is.
function everywhere(name, check, options = {}) {
  on(name, options, check);
  test(`${name}, with luge serve`, { skip: !hasServer && "luge serve is not built" }, async () => {
    const { page, done } = await chatOn(await real(), options);
    await page.locator("#empty li").first().waitFor();
    await check(page);
    await done();
  });
}

everywhere("an answer comes with its tokens and what the method changed", async (page) => {
  assert.match(await page.title(), /atlas/);
  await ask(page);
  assert.equal(await text(page.locator(".question p")), ASKED);
  const shown = await words(page).textContent();
  const told = await download(page);
  assert.equal(told.messages[0].content, ASKED);
  assert.equal(told.messages[1].content, shown);
  const [{ tokens, ended: how, usage, decoding }] = told.turns[0].answers;
  assert.equal(how, "stop");
  assert.equal(decoding.name, "sled");
  assert.ok(tokens.length > 3 && usage.completion_tokens >= tokens.length);
  assert.equal(
    await words(page).locator(".changed").count(),
    tokens.filter(({ changed }) => changed).length,
  );
  const facts = await text(answer(page).locator(".facts"));
  assert.match(facts, new RegExp(`${usage.completion_tokens} tokens\\s.*tokens/s`, "s"));
  assert.match(facts, /\d+ changed/);
});

everywhere("a click on a token opens its layers", async (page) => {
  await ask(page);
  assert.ok(await depth(page).isHidden());
  const token = words(page).locator("[data-token]").nth(2);
  await token.click();
  assert.ok(await depth(page).isVisible());
  assert.match(await token.getAttribute("class"), /open/);
  const name = (await text(token)).trim();
  assert.ok((await text(depth(page).locator(".lens-follows"))).includes(name));
  assert.equal(await depth(page).locator("tbody tr").count(), 13);
  assert.ok((await depth(page).locator(".lens-line").count()) > 0);
  const place = () => text(depth(page).locator("#depth-title small"));
  const first = await place();
  await page.getByRole("button", { name: "next position" }).click();
  assert.notEqual(await place(), first);
  await page.getByRole("button", { name: "previous position" }).click();
  assert.equal(await place(), first);
  await page.keyboard.press("Escape");
  assert.ok(await depth(page).isHidden());
  assert.doesNotMatch(await token.getAttribute("class"), /open/);
});

everywhere("two methods answer side by side, each with its own history", async (page) => {
  await page.getByLabel("Compare with a second method").check();
  await page.getByLabel("Second method", { exact: true }).selectOption("dola");
  await ask(page);
  await ask(page, "Which river flows through Vienna?");
  assert.deepEqual(await page.locator(".answer h3").allInnerTexts(), [
    "sled",
    "dola",
    "sled",
    "dola",
  ]);
  const [left, right] = [await answer(page, 2).boundingBox(), await answer(page, 3).boundingBox()];
  assert.ok(left.x + left.width <= right.x && left.y === right.y);
  const texts = await page.locator(".answer .text:visible").allInnerTexts();
  const marked = await page.locator(".turn:last-child .differs").count();
  assert.equal(marked > 0, texts[2] !== texts[3]);
  assert.match(
    await text(page.locator(".parts").last()),
    texts[2] === texts[3] ? /the same/ : /one answer only/,
  );
  const { turns } = await download(page);
  const [one, other] = turns[1].answers;
  assert.deepEqual([one.decoding.name, other.decoding.name], ["sled", "dola"]);
  assert.equal(one.parameters.seed, other.parameters.seed);
});

everywhere("a conversation goes to a file and comes back", async (page) => {
  await ask(page);
  const told = await download(page);
  const shown = await words(page).textContent();
  await page.getByRole("button", { name: "New chat" }).click();
  assert.ok(await page.locator("#empty").isVisible());
  assert.equal(await page.locator(".turn").count(), 0);
  await load(page, JSON.stringify(told));
  await page.locator(".turn").waitFor();
  assert.equal(await words(page).textContent(), shown);
  await words(page).locator("[data-token]").nth(1).click();
  assert.ok(await depth(page).isVisible());
  assert.deepEqual((await download(page)).turns, told.turns);
  await ask(page, "Which river flows through Vienna?");
  assert.equal(await page.locator(".answer").count(), 2);
});

everywhere("an example is asked at once, and retried", async (page) => {
  await page.locator("#empty li button").first().click();
  await ended(page);
  assert.ok(await page.locator("#empty").isHidden());
  const first = await words(page).textContent();
  await page.getByRole("button", { name: "Retry" }).click();
  await ended(page);
  assert.equal(await page.locator(".answer").count(), 1);
  assert.equal(await words(page).textContent(), first);
});

everywhere(
  "a wrong parameter is told in words",
  async (page) => {
    await page.locator(".params summary").click();
    await page.locator(".params").getByLabel("layers").fill("400");
    await ask(page);
    assert.match(await text(answer(page).locator(".failure")), /layer/);
    await page.getByRole("button", { name: "Reset all settings" }).click();
    await page.getByRole("button", { name: "Retry" }).click();
    await ended(page);
    assert.ok(await answer(page).locator(".failure").isHidden());
  },
  {
    expected: /status of 400/,
    chat: (response, body) =>
      body.decoding?.layers === 400
        ? refuse(response, 400, "decoding.layers: there is no layer 400")
        : stream(response, body),
  },
);

on("what is asked has what was set", {}, async (page, { asked }) => {
  await ask(page);
  assert.deepEqual(asked[0].body, {
    model: "atlas",
    messages: [{ role: "user", content: ASKED }],
    stream: true,
    stream_options: { include_usage: true },
    layers: { top: 5, paths: true },
  });
  await page.locator(".params summary").click();
  await page.getByLabel("evolution rate").fill("1.5");
  await page.locator(".params").getByLabel("layers").fill("0,2");
  await page.getByLabel("Temperature").fill("0.7");
  await page.getByLabel("Max tokens").fill("40");
  await page.getByLabel("System prompt").fill("Be short.");
  await page.getByLabel("Stop before").fill("Q:\n\nUser");
  await page.getByLabel("Look at the layers").uncheck();
  await ask(page, "And of Canada?");
  assert.deepEqual(asked[1].body, {
    model: "atlas",
    messages: [
      { role: "system", content: "Be short." },
      { role: "user", content: ASKED },
      { role: "assistant", content: "The capital is Victoria." },
      { role: "user", content: "And of Canada?" },
    ],
    stream: true,
    stream_options: { include_usage: true },
    temperature: 0.7,
    max_tokens: 40,
    stop: ["Q:", "User"],
    decoding: { method: "sled", evolution_rate: 1.5, layers: "0,2" },
  });
  assert.equal(await words(page).locator("[data-token]").count(), 0);
  assert.equal(await text(words(page)), "The capital is Victoria.");

  await page.reload();
  assert.equal(await page.getByLabel("evolution rate").inputValue(), "1.5");
  assert.equal(await page.getByLabel("System prompt").inputValue(), "Be short.");
  await page.getByRole("button", { name: "Reset all settings" }).click();
  assert.equal(await page.getByLabel("Temperature").inputValue(), "");
  await page.getByLabel("Method", { exact: true }).selectOption("several in a row");
  await page.getByLabel("Methods").fill("sled(layers=0,2)+dola");
  await ask(page);
  assert.equal(asked[2].body.decoding, "sled(layers=0,2)+dola");
  await page.getByLabel("Method", { exact: true }).selectOption("greedy");
  await ask(page);
  assert.equal(asked[3].body.decoding, "greedy");
});

on("what is out of range is not sent", {}, async (page, { asked }) => {
  await page.getByLabel("Top p").fill("1.5");
  await page.getByRole("button", { name: "Settings", exact: true }).click();
  await send(page);
  assert.equal(await page.locator("#question").inputValue(), ASKED);
  assert.ok(await page.getByLabel("Top p").evaluate((input) => input === document.activeElement));
  assert.equal(asked.length, 0);
});

const slow = { chat: (response, body) => stream(response, body, { pace: 150 }) };
on("an answer can be read while it is written, and stopped", slow, async (page, { asked }) => {
  await send(page);
  await words(page).locator("[data-token]").nth(1).waitFor();
  assert.ok(await page.getByRole("button", { name: "Stop" }).isVisible());
  assert.ok(await page.locator("#send").isHidden());
  await words(page).locator("[data-token]").first().click();
  assert.ok(await depth(page).isVisible(), "layers open while the answer is written");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await ended(page);
  const partial = await text(words(page));
  assert.ok(partial.startsWith("The capital") && partial !== "The capital is Victoria.");
  assert.match(await text(answer(page).locator(".facts")), /stopped/);
  await page.waitForTimeout(200);
  assert.ok(asked[0].gone, "the server hears of it");
  await send(page, "Go on.");
  await page.getByRole("button", { name: "Stop" }).click();
  await ended(page);
  assert.deepEqual(asked[1].body.messages[1], { role: "assistant", content: partial });
});

on("a changed token names the final layer's choice", {}, async (page) => {
  await ask(page);
  const changed = words(page).locator(".changed");
  assert.equal(await text(changed), "Victoria");
  assert.match(
    await changed.evaluate((token) => getComputedStyle(token).textDecorationLine),
    /underline/,
  );
  await changed.hover();
  const note = (await text(page.locator(".lens-tooltip"))).replace(/\s+/g, " ");
  assert.equal(note, "final layer ·Vancouver 44.0% sled ·Victoria 46.0%");
  await page.locator("h1").hover();
  assert.ok(await page.locator(".lens-tooltip").isHidden());
  assert.match(await text(answer(page).locator(".facts")), /1 changed/);
  await changed.click();
  assert.match(
    await text(page.locator("#depth-title")),
    /What is the capital of British Columbia\? ⏎ The capital is\s*·Victoria/,
  );
  assert.match(await text(depth(page).locator(".lens-facts")), /−0.20 → \+0.60/);
});

on("what differs is marked", {}, async (page) => {
  await page.getByLabel("Compare with a second method").check();
  await ask(page);
  assert.deepEqual(await page.locator(".differs").allInnerTexts(), ["Victoria", "Vancouver"]);
  await page.getByLabel("Second method", { exact: true }).selectOption("dola");
  await page.getByRole("button", { name: "Retry" }).last().click();
  await ended(page);
  assert.equal(await page.locator(".differs").count(), 0);
  assert.match(await text(page.locator(".parts")), /the same/);
});

const byMethod = {
  chat: (response, body) => {
    const { decoding = "sled", messages } = body;
    const tokens = [[`${decoding} ${messages.length}`]];
    return stream(response, body, { tokens });
  },
};
on("each method goes on with its own answers", byMethod, async (page, { asked }) => {
  await ask(page, "one");
  await page.getByLabel("Compare with a second method").check();
  await page.getByRole("button", { name: "Answer with greedy" }).click();
  await ended(page);
  await ask(page, "two");
  const said = (lane) =>
    asked
      .filter(({ body }) => (body.decoding ?? "sled") === lane)
      .at(-1)
      .body.messages.map(({ content }) => content);
  assert.deepEqual(said("sled"), ["one", "sled 1", "two"]);
  assert.deepEqual(said("greedy"), ["one", "greedy 1", "two"]);
});

on("a question is edited, and what followed it is dropped", {}, async (page, { asked }) => {
  await ask(page, "one");
  await ask(page, "two");
  await page.keyboard.press("ArrowUp");
  assert.equal(await page.locator("#question").inputValue(), "two");
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("#question").inputValue(), "");
  await page.locator(".question").first().hover();
  await page.getByRole("button", { name: "Edit" }).first().click();
  await ask(page, "three");
  assert.deepEqual(await page.locator(".question p").allInnerTexts(), ["three"]);
  assert.equal(asked.at(-1).body.messages.length, 1);
});

const chunk = (content, tokens, kind = "content") => ({
  delta: { [kind]: content },
  layers: { tokens: tokens.map((text) => layersOf(text)) },
});
const reasons = {
  chat: (response, body) =>
    stream(response, body, {
      chunks: [
        chunk("", ["<think>"], "reasoning_content"),
        chunk("Let me see.", ["Let me", " see."], "reasoning_content"),
        chunk("", ["</think>"]),
        chunk("Caf", ["Caf"]),
        chunk("", ["\ufffd"]),
        chunk("é ", ["\ufffd", " "]),
        chunk("", ["St"]),
        chunk("Stop", ["op"]),
        chunk("", ["<|end|>"]),
      ],
    }),
};
on("thoughts are folded; tokens find their texts", reasons, async (page, { asked }) => {
  await ask(page);
  assert.ok(await page.locator(".thoughts .text").isHidden());
  await page.getByText("Thoughts", { exact: true }).click();
  assert.equal(await text(page.locator(".thoughts .text")), "Let me see.");
  assert.equal(await text(words(page)), "Café Stop");
  const tokens = await words(page)
    .locator("[data-token]")
    .evaluateAll((all) => all.map(({ textContent, dataset }) => [textContent, dataset.token]));
  assert.deepEqual(tokens, [
    ["Caf", "4"],
    ["é", "5"],
    [" ", "7"],
    ["St", "8"],
    ["op", "9"],
  ]);
  await ask(page, "And?");
  assert.equal(asked[1].body.messages[1].content, "Café Stop", "thoughts are not sent again");
});

const hostile = `<img src=x onerror=alert(1)></script><b>&amp;\u202e`;
const markup = {
  chat: (response, body) =>
    stream(response, body, { tokens: [[hostile, { instead: "<i>x</i>" }], ["\n"]] }),
};
on("markup in questions and answers is text", markup, async (page) => {
  await ask(page, hostile);
  assert.equal(await text(words(page)).then((text) => text.trimEnd()), hostile);
  assert.equal(await text(page.locator(".question p")), hostile);
  await words(page).locator("[data-token]").first().hover();
  await words(page).locator("[data-token]").first().click();
  assert.ok(await depth(page).isVisible());
  assert.equal(await page.locator("img, b:text-is('&')").count(), 0);
});

on("nothing of the page's texts can run", { expected: /Content Security Policy/ }, async (page) => {
  const ran = await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "globalThis.ran = true";
    document.body.append(script);
    const box = document.createElement("div");
    box.innerHTML = "<img src=x onerror='globalThis.ran = true'>";
    document.body.append(box);
    return new Promise((go) => setTimeout(() => go(globalThis.ran ?? false), 100));
  });
  assert.equal(ran, false);
});

// A server that fails until it is mended. (A browser may ask twice of its own accord.)
const failing = (act, expected) => {
  const options = { expected, mended: false };
  options.chat = (response, body) => (options.mended ? stream : act)(response, body);
  return options;
};
for (const [name, options, sentence] of [
  [
    "a busy server",
    failing(
      (response) => refuse(response, 429, "too many", { headers: { "retry-after": "7" } }),
      /status of 429/,
    ),
    /busy.*Retry in 7 s/,
  ],
  [
    "a server that is not there",
    failing((response) => response.destroy(), /ERR_EMPTY_RESPONSE/),
    /does not answer.*luge serve/,
  ],
  [
    "a connection that breaks",
    failing(
      (response, body) => stream(response, body, { broken: true }),
      /ERR_INCOMPLETE_CHUNKED_ENCODING/,
    ),
    /ended before the answer did/,
  ],
  [
    "an error in the middle",
    failing((response, body) =>
      stream(response, body, { error: { message: "The time for this request is over." } }),
    ),
    /The time for this request is over/,
  ],
  [
    "a server in trouble",
    failing((response) => response.writeHead(500).end("<b>no JSON"), /status of 500/),
    /The server says 500/,
  ],
]) {
  on(`${name} is told in words, and retried`, options, async (page) => {
    await ask(page);
    const failure = answer(page).locator(".failure");
    assert.match(await text(failure), sentence);
    assert.match(await text(page.locator("#status")), sentence);
    options.mended = true;
    await page.getByRole("button", { name: "Retry" }).click();
    await ended(page);
    assert.ok(await failure.isHidden());
    assert.equal(await text(words(page)), "The capital is Victoria.");
  });
}

const full = {
  expected: /status of 400/,
  chat: (response, body) =>
    body.messages.length > 1
      ? refuse(response, 400, "The context of 512 tokens is full.", {
          code: "context_length_exceeded",
        })
      : stream(response, body),
};
on("a full context has a way out", full, async (page, { asked }) => {
  await ask(page);
  await ask(page, "And then?");
  assert.match(await text(answer(page).locator(".failure")), /512 tokens is full/);
  await page.getByRole("button", { name: "Ask without what came before" }).click();
  await ended(page);
  assert.ok(await answer(page).locator(".failure").isHidden());
  assert.deepEqual(asked.at(-1).body.messages, [{ role: "user", content: "And then?" }]);
  assert.match(await text(page.locator(".turn").last()), /What came before is not sent/);
});

test("a key is asked for, and kept for the tab", async () => {
  const isKnown = (request) => request.headers.authorization === "Bearer secret";
  const deny = (response) => refuse(response, 401, "no key");
  let known = "secret";
  const server = await mock({
    models: (response, request) => !isKnown(request) && (deny(response), true),
    chat: (response, body, request) =>
      isKnown(request) && known ? stream(response, body) : deny(response),
  });
  const { page, done } = await chatOn(server, { expected: /status of 401/ });
  const dialog = page.locator("#login");
  await dialog.waitFor();
  assert.match(await text(dialog), /No key was given/);
  await page.getByLabel("Key", { exact: true }).fill("wrong");
  await page.keyboard.press("Enter");
  await dialog.getByText("does not know this key").waitFor();
  await page.getByLabel("Key", { exact: true }).fill("secret");
  await page.keyboard.press("Enter");
  await page.locator("#empty li").first().waitFor();
  await ask(page);
  assert.equal(await text(words(page)), "The capital is Victoria.");
  assert.equal(
    await page.evaluate(() => Object.values(localStorage).join().includes("secret")),
    false,
  );

  known = null;
  await send(page);
  await dialog.waitFor();
  await page.getByRole("button", { name: "Cancel" }).click();
  assert.match(await text(answer(page).locator(".failure")), /does not know this key/);
  known = "secret";
  await page.getByRole("button", { name: "Give a key" }).click();
  await page.getByLabel("Key", { exact: true }).fill("secret");
  await page.keyboard.press("Enter");
  await answer(page).getByRole("button", { name: "Copy" }).waitFor();
  assert.equal(await text(words(page)), "The capital is Victoria.");
  await done();
});

test("a model that is being loaded is waited for", async () => {
  let loading = true;
  const server = await mock({
    models: (response) => loading && (refuse(response, 503, "The model is being loaded."), true),
  });
  const { page, done } = await chatOn(server, { expected: /status of 503/ });
  await page.getByText("The model is being loaded.").waitFor();
  assert.ok(await page.locator("#send").isDisabled());
  loading = false;
  await page.locator("#empty li").first().waitFor();
  assert.ok(await page.locator("#notice").isHidden());
  await done();
});

for (const [name, content, sentence] of [
  ["no JSON", "{", /not JSON/],
  ["another JSON", `{"a": 1}`, /no messages/],
  [
    "damaged layers",
    JSON.stringify({
      format: "luge conversation 1",
      turns: [{ question: "?", answers: [{ pieces: [], tokens: [{ id: 1, layers: [null] }] }] }],
    }),
    /no conversation of luge/,
  ],
  [
    "answers without texts",
    JSON.stringify({ format: "luge conversation 1", turns: [{ question: "?", answers: [{}] }] }),
    /no text/,
  ],
]) {
  on(`a file with ${name} is refused in words`, {}, async (page) => {
    await ask(page);
    await load(page, content);
    await page.locator("#notice").waitFor();
    assert.match(await text(page.locator("#notice")), sentence);
    assert.equal(await page.locator(".answer").count(), 1, "what was there stays");
    await page.getByRole("button", { name: "Close" }).click();
    assert.ok(await page.locator("#notice").isHidden());
  });
}

on("a chat that luge chat saved is read", {}, async (page, { asked }) => {
  const messages = [
    { role: "system", content: "Be short." },
    { role: "user", content: "one" },
    { role: "assistant", content: "two", reasoning_content: "hm" },
  ];
  const saved = JSON.stringify({ model: "atlas", method: { name: "sled" }, messages });
  await load(page, saved);
  await page.locator(".turn").waitFor();
  assert.equal(await text(words(page)), "two");
  await ask(page, "three");
  assert.deepEqual(
    asked[0].body.messages.map(({ content }) => content),
    ["Be short.", "one", "two", "three"],
  );
});

on(
  "an answer is copied as text",
  { permissions: ["clipboard-read", "clipboard-write"] },
  async (page) => {
    await ask(page);
    await page.getByRole("button", { name: "Copy" }).click();
    await page.getByRole("button", { name: "Copied" }).waitFor();
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    assert.equal(copied, "The capital is Victoria.");
  },
);

on("it all works from the keyboard", {}, async (page) => {
  const focused = (selector) =>
    page.evaluate((selector) => document.activeElement.matches(selector), selector);
  assert.ok(await focused("#question"));
  await page.keyboard.type("first");
  await page.keyboard.press("Shift+Enter");
  await page.keyboard.type("second");
  await page.keyboard.press("Enter");
  await ended(page);
  assert.equal(await text(page.locator(".question p")), "first\nsecond");
  assert.ok(await focused("#question"), "the next question can be typed");
  while (!(await focused(".text"))) await page.keyboard.press("Shift+Tab");
  assert.equal(await words(page).evaluate((text) => getComputedStyle(text).outlineStyle), "solid");
  for (let i = 0; i < 4; i += 1) await page.keyboard.press("ArrowRight");
  assert.equal(await text(page.locator(".token.at")), "Victoria");
  assert.match(await text(page.locator("#status")), /Victoria, changed/);
  assert.ok(await page.locator(".lens-tooltip").isVisible());
  await page.keyboard.press("Enter");
  assert.ok(await depth(page).isVisible());
  assert.ok(await focused("#depth"));
  await page.keyboard.press("ArrowRight");
  assert.match(await text(page.locator("#depth-title small")), /4/);
  await page.keyboard.press("ArrowLeft");
  assert.match(await text(page.locator("#depth-title small")), /3/);
  await page.keyboard.press("Escape");
  assert.ok(await focused(".text"));
});

on("answers are read out", {}, async (page) => {
  await ask(page);
  assert.equal(await page.locator("#spoken").getAttribute("role"), "log");
  assert.equal(await page.locator("#spoken").textContent(), "The capital is Victoria.");
  assert.equal(await answer(page).getAttribute("aria-busy"), "false");
});

const long = { chat: (response, body) => stream(response, body, { tokens: ANSWERS.long }) };
on(
  "a phone's width is enough",
  { viewport: { width: 375, height: 740 }, hasTouch: true, isMobile: true, ...long },
  async (page) => {
    const fits = () =>
      page.evaluate(
        () => document.scrollingElement.scrollWidth <= document.documentElement.clientWidth,
      );
    assert.ok(await page.locator("#settings").isHidden());
    assert.ok(await fits());
    await page.getByRole("button", { name: "Settings", exact: true }).tap();
    await page.getByLabel("Compare with a second method").check();
    assert.ok(await fits());
    await page.getByRole("button", { name: "Settings", exact: true }).tap();
    await page.locator("#question").fill("a".repeat(200));
    await page.getByRole("button", { name: "Send" }).tap();
    await ended(page);
    assert.ok(await fits());
    const [one, other] = [await answer(page, 0).boundingBox(), await answer(page, 1).boundingBox()];
    assert.ok(other.y >= one.y + one.height, "one answer below the other");
    await words(page, 0).locator("[data-token]").nth(3).tap();
    assert.ok(await depth(page).isVisible());
    assert.ok(await fits());
    const { x, width } = await depth(page).locator(".lens-chart").boundingBox();
    assert.ok(x >= 0 && x + width <= 375);
    const token = await words(page, 0).locator(".open").boundingBox();
    const { y } = await depth(page).boundingBox();
    assert.ok(token.y + token.height <= y, `${token.y} + ${token.height} is above ${y}`);
  },
);

on("the end of a long answer stays in view", long, async (page) => {
  for (let i = 0; i < 3; i += 1) await ask(page, `Question ${i}`);
  const bottom = () =>
    page
      .locator("#turns")
      .evaluate((turns) => turns.scrollHeight - turns.clientHeight - turns.scrollTop);
  assert.ok((await bottom()) < 5);
  assert.ok(await page.evaluate(() => document.scrollingElement.scrollHeight <= innerHeight));
});

// The lowest contrast of texts to the paper, as WCAG counts it.
const contrast = (page, selector) =>
  page.locator(selector).evaluateAll((elements) => {
    const brush = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const paper = getComputedStyle(document.body).backgroundColor;
    const luminance = (...colours) => {
      for (const colour of colours) {
        brush.fillStyle = colour;
        brush.fillRect(0, 0, 1, 1);
      }
      const [r, g, b] = [...brush.getImageData(0, 0, 1, 1).data].map((value) =>
        value > 10 ? ((value / 255 + 0.055) / 1.055) ** 2.4 : value / 255 / 12.92,
      );
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    return Math.min(
      ...elements.map((element) => {
        const { color, backgroundColor } = getComputedStyle(element);
        const pair = [luminance(paper, backgroundColor, color), luminance(paper, backgroundColor)];
        const [dark, light] = pair.sort((a, b) => a - b);
        return (light + 0.05) / (dark + 0.05);
      }),
    );
  });

for (const colorScheme of ["light", "dark"]) {
  on(`all texts can be read, ${colorScheme}`, { colorScheme }, async (page) => {
    await page.getByLabel("Compare with a second method").check();
    await ask(page);
    await page.locator(".changed").first().click();
    for (const selector of [
      ".question p",
      ".answer h3",
      ".differs",
      ".token.open",
      ".facts span",
      ".buttons button",
      "#send",
      ".field span",
      ".keys",
      "#settings .lens-note",
    ])
      assert.ok((await contrast(page, selector)) >= 4.5, selector);
  });
}

on("dark and light are kept", { colorScheme: "dark" }, async (page) => {
  const scheme = () => page.evaluate(() => getComputedStyle(document.documentElement).colorScheme);
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await paper();
  await page.getByRole("button", { name: "Use light colours" }).click();
  assert.equal(await scheme(), "light");
  assert.notEqual(await paper(), dark);
  await page.reload();
  assert.equal(await scheme(), "light");
});

on(
  "settings of another server do no harm",
  {
    storage: {
      "luge.settings": JSON.stringify({
        lanes: [{ method: "gone", params: 7 }, null],
        seed: 5,
        top_p: "0.5",
      }),
    },
  },
  async (page, { asked }) => {
    await ask(page);
    assert.equal(asked[0].body.top_p, 0.5);
    assert.equal("seed" in asked[0].body, false);
    assert.equal(await text(answer(page).locator("h3")), "sled");
  },
);
