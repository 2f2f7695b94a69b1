// The pages of `luge lens` in a browser. Every test also fails on an error in the
// console and on any request: see `opened`.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { made, small } from "./data.js";
import { dataOf, lens, opened, pageOf, start, stop } from "./pages.js";

before(start);
after(stop);

// One page, opened for one test.
function on(name, html, options, check) {
  test(name, async () => {
    const { page, done } = await opened(html(), options);
    await check(page);
    await done();
  });
}

const cell = (page, row, column) =>
  page.locator(`.lens-cell[data-row="${row}"][data-column="${column}"]`);
const head = (page, column) => page.locator(`.lens-head[data-column="${column}"]`);
const chip = (page, id) => page.locator(`.lens-chip[data-id="${id}"]`);
const tooltip = (page) => page.locator(".lens-tooltip");
const depth = (page) => page.locator("#depth");
const text = (locator) => locator.innerText();
const texts = async (locator) =>
  (await locator.allInnerTexts()).map((text) => text.replace(/\s+/g, " ").trim());
const active = (page) => page.locator(".lens-grid").getAttribute("aria-activedescendant");

test("luge writes what the page reads", () => {
  const data = dataOf(lens("The capital of British Columbia is", "-n", "4", "--method", "sled"));
  const { layers, tokens, positions, pinned } = data;
  assert.ok(positions.length > 4 && layers.length > 4);
  assert.deepEqual(
    layers,
    [...layers].sort((a, b) => a - b),
  );
  const generated = positions.filter(({ next }) => next !== null).map(({ generated }) => generated);
  assert.ok(generated.at(-1) && !generated[0]);
  assert.deepEqual(generated, [...generated].sort(), "the prompt comes first");
  for (const [i, position] of positions.entries()) {
    for (const list of [position.entropy, position.jsd, position.top])
      assert.equal(list.length, layers.length);
    for (const path of position.paths) assert.equal(path.length, layers.length + 1);
    assert.equal(position.ranks.length, pinned.length);
    assert.ok(layers.includes(position.settling_depth));
    assert.equal(position.jsd.at(-1), 0);
    assert.equal(position.top.at(-1)[0], position.before[0]);
    assert.equal(position.changed, position.before[0] !== position.after[0]);
    if (i + 1 < positions.length) assert.equal(position.next, positions[i + 1].id);
    const ids = [
      position.id,
      position.next,
      position.before[0],
      position.after[0],
      ...position.paths.map(([id]) => id),
      ...position.top.flatMap((flat) => flat.filter((_, i) => i % 2 === 0)),
    ];
    for (const id of ids) assert.ok(id === null || id in tokens, `token ${id}`);
  }
});

const real = () => lens("The capital of British Columbia is", "-n", "2");
on("a page of luge has its layers and positions", real, {}, async (page) => {
  const { title, layers, positions, tokens } = await page.evaluate(() =>
    JSON.parse(document.getElementById("data").textContent),
  );
  assert.equal(await page.locator(".lens-row").count(), layers.length);
  assert.equal(await page.locator(".lens-head").count(), positions.length);
  assert.equal(await page.locator(".lens-cell").count(), layers.length * positions.length);
  assert.equal(await text(page.locator("h1")), title);
  const [id] = positions[1].top[layers.length - 1];
  assert.equal(await text(cell(page, layers.length - 1, 1)), tokens[id].replace(" ", "·"));
  await cell(page, 0, 1).click();
  assert.equal(await page.locator("tbody tr").count(), layers.length);
});

// The heading may be no more than the prompt's end.
const hostile = `<!-- <b> "quoted" 'single' &amp; </script><img src=x onerror=alert(1)>`;
on(
  "markup in a prompt is text",
  () => lens(hostile, "-n", "1"),
  {},
  async (page) => {
    assert.ok((await text(page.locator("h1"))).includes("<img src=x"));
    assert.ok((await page.title()).includes("<img src=x"));
    assert.equal(await page.locator("img, b:has-text('quoted')").count(), 0);
    const last = page.locator(".lens-cell").last();
    await last.hover();
    await last.click();
    assert.ok(await depth(page).isVisible());
    assert.equal(await page.locator("img, #depth script").count(), 0);
  },
);

const markup = () => {
  const data = small();
  data.tokens[12] = `</script><img src=x onerror=alert(1)>"'&\u2028`;
  data.model = data.method = data.method_name = "<img src=x onerror=alert(2)>";
  return pageOf(data);
};
on("markup in tokens and names is text", markup, {}, async (page) => {
  await cell(page, 2, 2).click();
  await cell(page, 2, 2).hover();
  assert.equal(await text(cell(page, 2, 2)), `</script><img·src=x·onerror=alert(1)>"'&U+2028`);
  await page.locator(".lens-chart").hover({ position: { x: 200, y: 100 } });
  assert.equal(await page.locator("img").count(), 0);
});

on(
  "cells name their layer's first token",
  () => pageOf(small()),
  {},
  async (page) => {
    assert.deepEqual(await texts(page.locator(".lens-side")).then((labels) => labels.sort()), [
      "0",
      "2",
      "4",
      "final 6",
    ]);
    const [top, bottom] = [
      await cell(page, 3, 0).boundingBox(),
      await cell(page, 0, 0).boundingBox(),
    ];
    assert.ok(top.y < bottom.y, "the final layer is on top");
    assert.equal(await text(cell(page, 3, 0)), "·capital");
    assert.equal(await text(cell(page, 0, 1)), "∅");
    assert.equal(await text(cell(page, 0, 2)), "⏎");
    assert.deepEqual(await texts(head(page, 0)), ["The ·capital"]);
    assert.deepEqual(await texts(head(page, 2)), ["·is ·Victoria ·Vancouver"]);
    const classes = (column) => head(page, column).locator(":nth-child(2)").getAttribute("class");
    assert.match(await classes(2), /lens-generated lens-changed/);
    assert.doesNotMatch(await classes(1), /lens-generated|lens-changed/);
    assert.deepEqual(
      await page
        .locator(".lens-cell.lens-settled")
        .evaluateAll((cells) => cells.map(({ dataset }) => [dataset.column, dataset.row]).sort()),
      [
        ["0", "2"],
        ["1", "1"],
        ["2", "3"],
      ],
    );
  },
);

on(
  "the tooltip has the cell's numbers",
  () => pageOf(small()),
  {},
  async (page) => {
    assert.ok(await tooltip(page).isHidden());
    await cell(page, 2, 2).hover();
    assert.deepEqual(await texts(tooltip(page)), [
      "Layer 4 after ·is ·Victoria 45.0% ·Vancouver 30.0% entropy 2.00 nats, divergence 0.20",
    ]);
    await head(page, 2).hover();
    assert.match(
      await text(tooltip(page)),
      /next ·Victoria \(generated\)\s+final layer ·Vancouver 41.0%\s+sled ·Victoria 36.0%/,
    );
    await page.locator("h1").hover();
    assert.ok(await tooltip(page).isHidden());
  },
);

on(
  "a click opens the position",
  () => pageOf(small()),
  {},
  async (page) => {
    assert.ok(await depth(page).isHidden());
    await cell(page, 1, 2).click();
    assert.match(
      await text(page.locator("#depth-title")),
      /Position 2\s+The capital is\s*·Victoria/,
    );
    assert.deepEqual(await texts(depth(page).locator(".lens-facts > div")), [
      "final layer ·Vancouver 41.0%",
      "sled ·Victoria 36.0% changed",
      "generated ·Victoria",
      "settles at the final layer",
      "contrasted with layer 2",
      "lead, in logits −0.28 → +0.50",
      "votes +1.00, carried by layers 4 (+0.75), 2 (+0.25)",
    ]);
    const lines = page.locator(".lens-line");
    assert.deepEqual(
      (await lines.evaluateAll((lines) => lines.map((line) => line.dataset.id))).sort(),
      ["12", "17"],
    );
    const points = (await page.locator(`.lens-line[data-id="12"] path`).getAttribute("d"))
      .match(/[\d.]+ [\d.]+/g)
      .map((point) => point.split(" ").map(Number));
    assert.equal(points.length, 4);
    assert.ok(
      points[2][1] < points[3][1] && points[3][1] < points[0][1],
      "45% is above 31%, which is above 2%",
    );
    assert.deepEqual(await page.locator(".lens-name text").allTextContents(), [
      "·Vancouver",
      "·Victoria",
    ]);
    assert.deepEqual(await texts(page.locator("tbody tr")), [
      "final 6 ·Vancouver 41.0% ·Victoria 31.0% 1.00 0.00 31.0% #2",
      "4 ·Victoria 45.0% ·Vancouver 30.0% 2.00 0.20 75.0% 45.0% #2",
      "contrast 2 ·Victoria 20.0% ·Vancouver 10.0% 3.00 0.40 25.0% 20.0% #3",
      "0 ⏎ 5.0% ∅ 4.0% 4.00 0.60 0.0% 2.0% #9",
    ]);
    const widths = await page
      .locator(`tr[data-row="2"] .lens-vote i`)
      .evaluateAll((parts) => parts.map((part) => part.offsetWidth));
    assert.ok(widths[0] > 2.5 * widths[1] && widths[1] > 0, `${widths}`);
  },
);

on(
  "the chart reads out a layer",
  () => pageOf(small()),
  { hash: "#position=2" },
  async (page) => {
    const { x, y } = await page.locator(`.lens-line[data-id="12"] circle`).nth(2).boundingBox();
    await page.mouse.move(x + 5, y + 30);
    assert.deepEqual(await texts(tooltip(page)), ["Layer 4 ·Victoria 45.0% ·Vancouver 30.0%"]);
    assert.deepEqual(
      await page
        .locator("tr.lens-now")
        .evaluateAll((lines) => lines.map(({ dataset }) => dataset.row)),
      ["2"],
    );
  },
);

on(
  "the scale can be logarithmic",
  () => pageOf(small()),
  { hash: "#position=2" },
  async (page) => {
    const points = async () =>
      (await page.locator(`.lens-line[data-id="17"] path`).getAttribute("d"))
        .match(/ [\d.]+/g)
        .map(Number);
    const linear = await points();
    await page.getByLabel("logarithmic scale").check();
    const [low, ...high] = await points();
    assert.ok(
      linear[0] - linear[1] < 100 && low - high[0] > 100,
      "from 0.01% to 10% are three of five decades",
    );
    await page.getByRole("button", { name: "previous position" }).click();
    assert.ok(await page.getByLabel("logarithmic scale").isChecked());
  },
);

on(
  "pins draw lines and stay from position to position",
  () => pageOf(small()),
  { hash: "#position=2" },
  async (page) => {
    const lines = page.locator(".lens-line");
    const columns = page.locator("thead .lens-pin");
    assert.equal(await lines.count(), 2);
    assert.deepEqual(await texts(columns), ["·Victoria"]);
    await chip(page, 20).click();
    assert.equal(await chip(page, 20).getAttribute("aria-pressed"), "true");
    assert.equal(await lines.count(), 3);
    assert.deepEqual(await texts(columns), ["·Victoria", "⏎"]);
    await page.getByRole("button", { name: "previous position" }).click();
    assert.match(page.url(), /#position=1$/);
    assert.deepEqual(await texts(columns), ["·Victoria", "⏎"]);
    assert.equal(await page.locator(`.lens-line[data-id="20"]`).count(), 1);
    await chip(page, 20).click();
    await chip(page, 12).click();
    assert.equal(await columns.count(), 0);
    assert.deepEqual(await lines.evaluateAll((lines) => lines.map((line) => line.dataset.id)), [
      "3",
    ]);
    // One that only a layer's list has can be pinned too.
    await chip(page, 30).click();
    assert.deepEqual(await texts(page.locator("tbody .lens-pin")), [
      "5.0% #2",
      "20.0% #2",
      "–",
      "–",
    ]);
  },
);

// The map once marked any change of a first choice as one of the text.
on(
  "a text that goes on with another token than the method's is not changed",
  () => {
    const data = small();
    Object.assign(data.positions[1], { changed: true, before: [3, 0.9], after: [30, 0.5] });
    Object.assign(data.positions[2], { changed: false, after: data.positions[2].before });
    return pageOf(data);
  },
  {},
  async (page) => {
    assert.deepEqual(await texts(head(page, 1)), ["·capital ·is"]);
    assert.equal(await page.locator(".lens-head .lens-changed, .lens-instead").count(), 0);
  },
);

on(
  "the colouring can be switched",
  () => pageOf(small()),
  {},
  async (page) => {
    const colours = () =>
      page
        .locator(".lens-cell")
        .evaluateAll((cells) => cells.map((cell) => getComputedStyle(cell).backgroundColor));
    const lightness = async (row, column) =>
      Number(
        (
          await cell(page, row, column).evaluate((cell) => getComputedStyle(cell).backgroundColor)
        ).match(/oklch\(([\d.]+)/)[1],
      );
    const probability = await colours();
    assert.ok((await lightness(3, 1)) < (await lightness(0, 1)), "more is darker");
    await page.getByLabel("Entropy").check({ force: true });
    const entropy = await colours();
    assert.equal(
      await text(page.locator(".lens-scale")).then((scale) => scale.replace(/\s+/g, " ")),
      "0 4.00 nats",
    );
    assert.ok((await lightness(3, 1)) > (await lightness(0, 1)));
    await page.keyboard.press("d");
    const divergence = await colours();
    assert.ok(await page.getByLabel("Divergence").isChecked());
    assert.notDeepEqual(entropy, probability);
    assert.notDeepEqual(divergence, entropy);
    await page.keyboard.press("p");
    assert.deepEqual(await colours(), probability);
  },
);

on(
  "it all works from the keyboard",
  () => pageOf(small()),
  {},
  async (page) => {
    while (!(await page.locator(".lens-grid").evaluate((grid) => grid === document.activeElement)))
      await page.keyboard.press("Tab");
    assert.equal(await active(page), "lens-3-0");
    assert.ok(await tooltip(page).isVisible());
    for (const key of ["ArrowRight", "ArrowDown", "ArrowDown", "ArrowUp"])
      await page.keyboard.press(key);
    assert.equal(await active(page), "lens-2-1");
    assert.match(await text(tooltip(page)), /Layer 4 after ·capital/);
    const outline = await cell(page, 2, 1).evaluate((cell) => getComputedStyle(cell).outlineStyle);
    assert.equal(outline, "solid");
    await page.keyboard.press("End");
    assert.equal(await active(page), "lens-2-2");
    await page.keyboard.press("ArrowRight");
    assert.equal(await active(page), "lens-2-2");
    await page.keyboard.press("Enter");
    assert.ok(await depth(page).isVisible());
    assert.match(page.url(), /#position=2$/);
    assert.equal(await page.locator("tr.lens-now").getAttribute("data-row"), "2");
    await page.keyboard.press("Home");
    assert.equal(await active(page), "lens-2-0");
    await page.keyboard.press("Escape");
    assert.ok(await depth(page).isHidden());
    assert.ok(await tooltip(page).isHidden());
    assert.doesNotMatch(page.url(), /#/);
  },
);

on(
  "the address keeps the open position",
  () => pageOf({ ...small(), open: 0 }),
  {},
  async (page) => {
    const title = () => text(page.locator("#depth-title small"));
    assert.equal(await title(), "Position 0");
    await cell(page, 0, 1).click();
    await page.reload();
    assert.equal(await title(), "Position 1");
    await page.evaluate(() => (location.hash = "#position=2"));
    await page.waitForFunction(
      () => document.querySelector("#depth-title small").textContent === "Position 2",
    );
  },
);

// The lowest contrast of text in cells, as WCAG counts it.
const contrast = (page) =>
  page.locator(".lens-cell").evaluateAll((cells) => {
    const brush = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const luminance = (colour) => {
      brush.fillStyle = colour;
      brush.fillRect(0, 0, 1, 1);
      const [r, g, b] = [...brush.getImageData(0, 0, 1, 1).data].map((value) =>
        value > 10 ? ((value / 255 + 0.055) / 1.055) ** 2.4 : value / 255 / 12.92,
      );
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    return Math.min(
      ...cells.map((cell) => {
        const { color, backgroundColor } = getComputedStyle(cell);
        const [dark, light] = [luminance(color), luminance(backgroundColor)].sort((a, b) => a - b);
        return (light + 0.05) / (dark + 0.05);
      }),
    );
  });

for (const colorScheme of ["light", "dark"]) {
  const extremes = () => {
    const data = small();
    data.positions[0].top[0][1] = 1;
    data.positions[0].top[1][1] = 0;
    return pageOf(data);
  };
  on(
    `text can be read on every colour, ${colorScheme}`,
    extremes,
    { colorScheme },
    async (page) => {
      for (const key of ["p", "e", "d"]) {
        await page.keyboard.press(key);
        assert.ok((await contrast(page)) >= 4.5, `${key}: ${await contrast(page)}`);
      }
    },
  );
}

on(
  "dark and light",
  () => pageOf(small()),
  { colorScheme: "dark" },
  async (page) => {
    const paper = () =>
      page.evaluate(() =>
        Number(getComputedStyle(document.body).backgroundColor.match(/[\d.]+/)[0]),
      );
    assert.ok((await paper()) < 0.3, "oklch, nearly black");
    const dark = await cell(page, 3, 1).evaluate((cell) => getComputedStyle(cell).backgroundColor);
    await page.getByRole("button", { name: "Use light colours" }).click();
    assert.equal(await paper(), 255);
    assert.notEqual(
      await cell(page, 3, 1).evaluate((cell) => getComputedStyle(cell).backgroundColor),
      dark,
    );
    await page.getByRole("button", { name: "Use dark colours" }).click();
    assert.ok((await paper()) < 0.3);
  },
);

on(
  "a phone's width is enough",
  () => pageOf(made(12, 40)),
  { viewport: { width: 390, height: 844 }, hash: "#position=12" },
  async (page) => {
    assert.ok(await depth(page).isVisible());
    assert.ok(await page.evaluate(() => document.scrollingElement.scrollWidth <= innerWidth));
    const side = page.locator(".lens-side").first();
    const { x } = await side.boundingBox();
    await page.locator(".lens-box").evaluate((box) => (box.scrollLeft = box.scrollWidth));
    await head(page, 39).waitFor();
    assert.equal((await side.boundingBox()).x, x, "the layers stay in view");
    const [chart, map] = [
      await page.locator(".lens-chart").boundingBox(),
      await page.locator(".lens-box").boundingBox(),
    ];
    assert.ok(chart.y > map.y + map.height && chart.x + chart.width <= 390);
  },
);

on(
  "80 layers and 500 positions",
  () => pageOf(made(80, 500)),
  {},
  async (page) => {
    const cells = page.locator(".lens-cell");
    const few = async () => assert.ok((await cells.count()) < 1500, `${await cells.count()} cells`);
    const inView = async (row, column) => {
      const [box, found] = [
        await page.locator(".lens-box").boundingBox(),
        await cell(page, row, column).boundingBox(),
      ];
      assert.ok(
        found.x >= box.x && found.x + found.width <= box.x + box.width + 1,
        "in the box's width",
      );
      assert.ok(
        found.y >= box.y && found.y + found.height <= box.y + box.height + 1,
        "in the box's height",
      );
    };
    await few();
    await page.locator(".lens-grid").focus();
    await page.keyboard.press("End");
    assert.equal(await active(page), "lens-79-499");
    await inView(79, 499);
    for (let i = 0; i < 8; i += 1) await page.keyboard.press("PageDown");
    assert.equal(await active(page), "lens-0-499");
    await inView(0, 499);
    await few();
    await page.locator(".lens-box").evaluate((box) => box.scrollTo(0, 0));
    await cell(page, 79, 0).waitFor();
    assert.equal(await cell(page, 79, 499).count(), 0);
    const { width, height } = await page.locator(".lens-overview").boundingBox();
    await page.locator(".lens-overview").click({ position: { x: width / 2, y: height / 2 } });
    await cell(page, 79, 250).waitFor();
    await cell(page, 79, 250).click();
    assert.equal(await page.locator("tbody tr").count(), 80);
    await few();
  },
);

on(
  "greedy has nothing to add",
  () => pageOf({ ...small(), method: "greedy", method_name: "greedy" }),
  { hash: "#position=0" },
  async (page) => {
    assert.deepEqual(await texts(depth(page).locator("dt")), [
      "final layer",
      "in the prompt",
      "settles at",
    ]);
    assert.equal(await page.locator(".lens-result").count(), 0);
  },
);

on(
  "a text without positions",
  () => pageOf({ ...small(), positions: [] }),
  {},
  async (page) => {
    assert.match(await text(page.locator("#map")), /no positions/);
  },
);
