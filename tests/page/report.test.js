// The pages of `luge eval` in a browser, from invented runs. Every test also fails on an
// error in the console and on any request: see `opened`.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { dataOf, opened, report, start, stop, withData } from "./pages.js";

before(start);
after(stop);

// One page, opened for one test.
function on(name, file, options, check) {
  test(name, async () => {
    const html = report(file);
    const { page, done } = await opened(html, options);
    await check(page, dataOf(html));
    await done();
  });
}

const text = async (locator) => (await locator.innerText()).replace(/\s+/g, " ").trim();
const texts = async (locator) =>
  (await locator.allInnerTexts()).map((text) => text.replace(/\s+/g, " ").trim());
const cards = (page) => page.locator(".report-card");
const card = (page, index) => page.locator(`.report-card[data-index="${index}"]`);
const counted = (page) => text(page.locator(".report-count"));
const show = (page, name) => page.getByLabel(name, { exact: true }).check({ force: true });

// Documents of the data whose answers `check` finds: (changed, value, greedy's value).
const having = (documents, check) =>
  documents.filter(([, , , , values, changed]) =>
    changed.some((changed, method) => check(changed, values[method], values[0])),
  );

on("a task's numbers are in its tables", "usual", {}, async (page, { results }) => {
  const [task] = results.tasks;
  const rows = page
    .locator(".report-task")
    .first()
    .locator(".report-metric")
    .first()
    .locator("tbody tr");
  assert.equal(await rows.count(), results.setup.methods.length);
  const sled = task.metrics[0].methods[2];
  const row = await text(rows.nth(2));
  const percent = (share) => (100 * share).toFixed(1);
  assert.ok(row.startsWith(`sled ${percent(sled.mean)} ${percent(sled.interval[0])} to`), row);
  assert.ok(row.includes(`+${percent(sled.versus_greedy.difference)} `), row);
  assert.ok(row.endsWith(`${sled.versus_greedy.better} ${sled.versus_greedy.worse}`), row);
  const finding = await texts(page.locator(".report-task").first().locator(".report-findings li"));
  assert.equal(finding.length, 2, "controls have none");
  assert.match(finding[1], /^sled ▲ Better than greedy: mc1 \+/);
  const { changed } = task.changes[1];
  assert.ok(finding[1].includes(`Another answer to ${changed} documents of ${task.documents}:`));
});

on("intervals are drawn where they are", "usual", {}, async (page, { results }) => {
  const { methods } = results.tasks[0].metrics[0];
  const plots = page.locator(".report-metric").first().locator("tbody tr td:nth-child(3) svg");
  const places = await plots.evaluateAll((plots) =>
    plots.map((plot) => {
      const at = (selector, name) => parseFloat(plot.querySelector(selector).getAttribute(name));
      return [
        at(".report-range", "x1"),
        at("circle", "cx"),
        at(".report-range", "x2"),
        at(".report-zero", "x1"),
      ];
    }),
  );
  const numbers = methods.map(({ mean, interval: [low, high] }) => [low, mean, high]);
  const [low, high] = [Math.min(...numbers.flat()), Math.max(...numbers.flat())];
  const room = 0.06 * (high - low);
  const x = (value) => (100 * (value - low + room)) / (high - low + 2 * room);
  for (const [i, place] of places.entries())
    for (const [j, value] of [...numbers[i], numbers[0][1]].entries())
      assert.ok(Math.abs(place[j] - x(value)) < 0.01, `${i} ${j}: ${place[j]}, not ${x(value)}`);
});

on("a difference that may be chance is a ring", "usual", {}, async (page, { results }) => {
  for (const [number, task] of results.tasks.entries()) {
    const plots = page
      .locator(".report-task")
      .nth(number)
      .locator(".report-metric")
      .first()
      .locator("tbody tr td:nth-child(5) svg");
    const filled = await plots.evaluateAll((plots) =>
      plots.map((plot) => plot.querySelector("circle")?.getAttribute("class") ?? null),
    );
    const wanted = task.metrics[0].methods.map(({ versus_greedy: versus }) =>
      versus ? (versus.p_corrected < 0.05 ? "report-dot" : "report-ring") : null,
    );
    assert.deepEqual(filled, wanted);
    assert.ok(wanted.includes("report-ring"));
  }
});

on(
  "only documents with other answers, until one asks for all",
  "usual",
  {},
  async (page, { tasks }) => {
    const { documents } = tasks[0];
    const said = (number) => `${number} of ${documents.length} documents`;
    assert.equal(await counted(page), said(having(documents, (changed) => changed).length));
    await show(page, "For better");
    assert.equal(
      await counted(page),
      said(having(documents, (changed, value, greedy) => changed && value > greedy).length),
    );
    await show(page, "For worse");
    assert.equal(
      await counted(page),
      said(having(documents, (changed, value, greedy) => changed && value < greedy).length),
    );
    await page.getByLabel("method", { exact: true }).selectOption("by sled");
    const sled = documents.filter(
      ([, , , , values, changed]) => changed[2] && values[2] < values[0],
    );
    assert.equal(await counted(page), said(sled.length));
    await show(page, "All documents");
    assert.equal(await counted(page), said(documents.length));
    assert.equal(await cards(page).count(), 20);
  },
);

on("groups and a search narrow it down", "usual", {}, async (page, { tasks }) => {
  const { documents, categories } = tasks[0];
  await show(page, "All documents");
  await page.getByLabel("group", { exact: true }).selectOption("Roads");
  const roads = documents.filter(([, , category]) => categories[category] === "Roads");
  assert.equal(await counted(page), `${roads.length} of ${documents.length} documents`);
  await page.getByRole("searchbox").fill("TWO hens");
  const hens = roads.filter((document) => JSON.stringify(document).includes("two hens"));
  await page.waitForFunction(
    (said) => document.querySelector(".report-count").textContent.startsWith(said),
    `${hens.length} of`,
  );
  for (const question of await texts(page.locator(".report-question")))
    assert.match(question, /two hens/);
  await page.getByRole("searchbox").fill("nothing has this");
  await page.getByText("No document is like that.").waitFor();
  await page.getByRole("button", { name: "Birds & trees" }).first().click();
  assert.equal(await page.getByRole("searchbox").inputValue(), "");
  assert.equal(
    await counted(page),
    `${documents.filter(([, , category]) => categories[category] === "Birds & trees").length} of ${documents.length} documents`,
  );
});

on(
  "candidates have marks, scores and who chose them",
  "usual",
  { hash: "#document=valley/0" },
  async (page, { tasks }) => {
    const [, , , question, , , , { candidates, chosen }] = tasks[0].documents[0];
    const first = card(page, 0);
    assert.equal(await first.locator(".report-question").evaluate((p) => p.textContent), question);
    const marks = await first
      .locator("tbody th i")
      .evaluateAll((marks) => marks.map((mark) => mark.getAttribute("aria-label")));
    assert.deepEqual(
      marks,
      candidates.map(([, mark]) => ["wrong", "right", "the best"][mark]),
    );
    const minus = (number) => number.toFixed(2).replace("-", "−");
    for (const [i, [, , , logprobs, logits]] of candidates.entries()) {
      const cells = first.locator("tbody tr").nth(i).locator("td");
      for (const [method, logprob] of logprobs.entries()) {
        const cell = await text(cells.nth(method));
        assert.ok(cell.startsWith(`${minus(logprob)} ${minus(logits[method])}`), cell);
        assert.equal(
          cell.endsWith("its answer"),
          chosen[method] === i,
          `candidate ${i}, method ${method}`,
        );
      }
    }
  },
);

on(
  "raw sums come first where they are compared",
  "many",
  { hash: "#document=valley/0" },
  async (page, { tasks }) => {
    const [, , , , , , , { candidates }] = tasks[0].documents[0];
    const cell = await text(card(page, 0).locator("tbody td").first());
    assert.ok(cell.startsWith(candidates[0][4][0].toFixed(2)), cell);
  },
);

on(
  "written answers stand beside the right ones",
  "usual",
  { hash: "#document=eggs/2" },
  async (page, { tasks }) => {
    const [, , , , values, , , { references, answers }] = tasks[1].documents[2];
    const third = card(page, 2);
    assert.equal(await text(third.locator(".report-references")), `right: ${references[0]}`);
    const rows = third.locator(".report-written li");
    assert.equal(await rows.count(), answers.length);
    for (const [method, [written, , , , found]] of answers.entries()) {
      const row = rows.nth(method);
      assert.equal(await text(row.locator(".report-found span")), found);
      assert.equal(
        await row.locator("i").first().getAttribute("aria-label"),
        values[method] ? "right" : "wrong",
      );
      const same = method > 0 && written === answers[0][0];
      assert.equal(await row.getByText("the same text as greedy’s").count(), same ? 1 : 0);
    }
    assert.equal(await page.getByLabel("task", { exact: true }).inputValue(), "1");
  },
);

on("layers open in the page, at an address of their own", "usual", {}, async (page, { tasks }) => {
  const [index, , , , , , layers] = tasks[0].documents.find(
    ([, , , , , , layers]) => layers.length,
  );
  const [method] = layers[0];
  const link = card(page, index).getByRole("link", { name: "layers" }).first();
  await link.click();
  const drawing = card(page, index).locator(".lens-depth");
  await drawing.locator(".lens-chart").waitFor();
  assert.equal(await drawing.locator("tbody tr").count(), 17);
  const name = ["greedy", "dola", "sled", "truncation"][method];
  assert.ok(page.url().endsWith(`#layers=valley/${index}/${name}`));
  await page.reload();
  await drawing.locator(".lens-chart").waitFor();
  await drawing.getByRole("button", { name: "close" }).click();
  assert.equal(await page.locator(".lens-depth").count(), 0);
  assert.ok(page.url().endsWith(`#document=valley/${index}`));
});

test("layers that had no room are said to be elsewhere", async () => {
  const html = report("usual");
  const data = dataOf(html);
  const document = data.tasks[0].documents.find(([, , , , , , layers]) => layers.length);
  document[6][0][1] = null;
  data.layers_left_out = 3;
  const { page, done } = await opened(withData(html, data));
  await card(page, document[0]).getByRole("link", { name: "layers" }).first().click();
  await page.getByText("nor for those of 2 other answers: documents.jsonl has them").waitFor();
  await page.getByRole("button", { name: "close" }).click();
  assert.equal(await page.locator(".report-layers").count(), 0);
  await done();
});

test("a tuned setting has its section, and the half that was asked is named", async () => {
  const html = report("usual");
  const data = dataOf(html);
  const [task] = data.results.setup.tasks;
  task.half = { half: "held-out", rows: 7 };
  data.tuning = {
    title: "Tuning sled: 2 settings tried",
    header: ["", "sled setting", "mc1, percent"],
    rows: [
      ["tuned", "evolution-rate=<b>1", "61.0"],
      ["", "greedy", "60.5"],
    ],
    notes: ["The tuned setting is not better than greedy."],
  };
  const { page, done } = await opened(withData(html, data));
  await page.getByRole("link", { name: "Tuning" }).click();
  const section = page.getByRole("region", { name: data.tuning.title });
  assert.deepEqual(await texts(section.locator("li")), data.tuning.notes);
  assert.deepEqual(await texts(section.locator("tbody tr")), [
    "tuned evolution-rate=<b>1 61.0",
    "greedy 60.5",
  ]);
  assert.match(await text(page.locator("#run")), /7 of [\d\s]+, held-out/);
  await done();
});

on("an address shows a document that was filtered away", "usual", {}, async (page, { tasks }) => {
  const same = tasks[0].documents.findLast(([, , , , , changed]) => !changed.includes(1));
  await page.getByRole("searchbox").fill("nothing has this");
  await page.getByText("No document is like that.").waitFor();
  await page.evaluate((index) => (location.hash = `#document=valley/${index}`), same[0]);
  await card(page, same[0]).waitFor();
  assert.equal(await page.getByRole("searchbox").inputValue(), "");
  for (const wrong of [
    "#document=valley/99999",
    "#document=%E0%A4%A",
    "#layers=other/1/sled",
    "#layers=valley",
  ])
    await page.evaluate((hash) => (location.hash = hash), wrong);
  assert.equal(await card(page, same[0]).count(), 1);
});

on("groups can be sorted by every column", "many", {}, async (page) => {
  const table = page.locator(".report-groups");
  const names = () => texts(table.locator("tbody th"));
  assert.equal((await names()).length, 38);
  assert.deepEqual((await names()).slice(0, 3), [
    "group 1 of the many",
    "group 2 of the many",
    "group 3 of the many",
  ]);
  await table.getByRole("button", { name: "sled", exact: true }).click();
  const means = (await texts(table.locator("tbody td:nth-child(5) b"))).map((mean) =>
    parseFloat(mean.replace(/[▲▼]/, "")),
  );
  assert.deepEqual(
    means,
    [...means].sort((a, b) => b - a),
  );
  assert.equal(await table.locator("[aria-sort=descending]").count(), 1);
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "sled");
});

on("ten thousand documents stay quick", "large", {}, async (page) => {
  assert.match(await counted(page), /of 10 000 documents$/);
  const took = await page.evaluate(() => {
    const start = performance.now();
    document.querySelector('input[value="all"]').click();
    for (let i = 0; i < 5; i += 1) document.querySelector('[aria-label="next page"]').click();
    return performance.now() - start;
  });
  assert.equal(await text(page.locator(".report-line nav span")), "page 6 of 500");
  assert.equal(await cards(page).count(), 20);
  assert.ok(took < 3000, `${took} ms for six pages`);
});

on("markup is text, and nothing turns a line", "hostile", {}, async (page) => {
  assert.ok((await text(page.locator("h1"))).includes("<img src=x"));
  assert.ok((await text(page.locator("h1"))).includes("U+202E"));
  assert.equal(await page.locator("img").count(), 0);
  assert.ok(!(await page.locator("main").evaluate((main) => main.textContent)).includes("\u202e"));
  await show(page, "All documents");
  const scores = await text(cards(page).first().locator("tbody td").nth(1));
  assert.match(scores, /−∞/, "what was ruled out");
  await page.getByLabel("task", { exact: true }).selectOption({ index: 1 });
  assert.match(await text(cards(page).first().locator(".report-references")), /<img src=x/);
  assert.equal(await page.locator("img").count(), 0);
});

on("nothing that could be asked is a page too", "empty", {}, async (page) => {
  await page.getByText("No document could be asked").waitFor();
  await page.getByText("300 rows could not be asked").click();
  assert.equal(await page.locator(".report-problems li:visible").count(), 100);
  await page.getByRole("button", { name: "Show all 300" }).click();
  assert.equal(await page.locator(".report-problems li:visible").count(), 300);
  assert.equal(await counted(page), "0 of 0 documents");
});

on("the command is copied", "usual", {}, async (page, { results }) => {
  await page.evaluate(() => {
    const clipboard = { writeText: async (text) => (window.copied = text) };
    Object.defineProperty(navigator, "clipboard", { value: clipboard });
  });
  await page.getByRole("button", { name: "copy" }).click();
  await page.getByRole("button", { name: "copied" }).waitFor();
  assert.equal(await page.evaluate(() => window.copied), results.setup.command);
});

for (const file of ["usual", "many", "hostile", "empty"])
  for (const width of [360, 700, 900, 1900])
    on(
      `${file} is not wider than ${width} pixels`,
      file,
      { viewport: { width, height: 800 } },
      async (page, { tasks }) => {
        const fits = () => page.evaluate(() => document.scrollingElement.scrollWidth <= innerWidth);
        assert.ok(await fits());
        const looked = tasks[0].documents.find(([, , , , , , layers]) => layers.length);
        if (looked) {
          await card(page, looked[0]).getByRole("link", { name: "layers" }).first().click();
          await page.locator(".lens-chart").waitFor();
          assert.ok(await fits(), "with layers open");
        }
      },
    );

// The lowest contrast of text on the page's ground, as WCAG counts it.
const contrast = (page) =>
  page.evaluate(() => {
    const brush = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const luminance = (colour) => {
      brush.fillStyle = colour;
      brush.fillRect(0, 0, 1, 1);
      const [r, g, b] = [...brush.getImageData(0, 0, 1, 1).data].map((value) =>
        value > 10 ? ((value / 255 + 0.055) / 1.055) ** 2.4 : value / 255 / 12.92,
      );
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = luminance(getComputedStyle(document.body).backgroundColor);
    const words = "td, th, p, li, a, .report-better, .report-worse, small, .report-axis text";
    return Math.min(
      ...[...document.querySelectorAll(words)].map((element) => {
        const style = getComputedStyle(element);
        const colour = luminance(element instanceof SVGElement ? style.fill : style.color);
        const [dark, light] = [colour, ground].sort((a, b) => a - b);
        return (light + 0.05) / (dark + 0.05);
      }),
    );
  });

for (const colorScheme of ["light", "dark"])
  on(`text can be read, ${colorScheme}`, "many", { colorScheme }, async (page) => {
    assert.ok((await contrast(page)) >= 4.5, `${await contrast(page)}`);
    const other = colorScheme === "dark" ? "light" : "dark";
    const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const was = await paper();
    await page.getByRole("button", { name: `Use ${other} colours` }).click();
    assert.notEqual(await paper(), was);
  });

on("it all works from the keyboard", "usual", {}, async (page) => {
  await page.getByLabel("Changed", { exact: true }).focus();
  await page.keyboard.press("ArrowRight");
  assert.ok(await page.getByLabel("For better", { exact: true }).isChecked());
  await page.getByRole("button", { name: "copy" }).focus();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "SUMMARY");
  await page.keyboard.press("Enter");
  await page.getByText("seed", { exact: true }).waitFor();
  const link = page.getByRole("link", { name: "layers" }).first();
  await link.focus();
  await page.keyboard.press("Enter");
  await page.locator(".lens-chart").waitFor();
  await page.getByRole("button", { name: "close" }).focus();
  await page.keyboard.press("Enter");
  assert.equal(await page.locator(".lens-chart").count(), 0);
  assert.match(
    await page.evaluate(() => document.activeElement.getAttribute("href")),
    /^#document=/,
  );
});

on("on paper it is whole, and in dark ink", "many", { colorScheme: "dark" }, async (page) => {
  await page.emulateMedia({ media: "print", colorScheme: "dark" });
  const box = page.locator(".report-groups .report-box");
  assert.ok(await box.evaluate((box) => box.scrollHeight <= box.clientHeight + 1));
  assert.ok(await page.locator(".report-toolbar").isHidden());
  await page.evaluate(() => (document.documentElement.dataset.theme = "dark"));
  const ink = await page.evaluate(() => getComputedStyle(document.body).color);
  assert.match(ink, /^oklch\(0\.22/);
});
