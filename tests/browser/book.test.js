// The built book in Chromium, opened from its files as a reader without a server opens it.
// `node --test tests/browser/book.test.js`, after `cargo book build` and `npm ci --prefix tests/browser --ignore-scripts`.
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { after, before, test } = require("node:test");

const { BOOK, start, pages, address, prepare } = require("./browser.js");

const AXE = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const names = pages();
// The pages before chapter 3 offer a part of the settings only.
const withAll = () => withSim.find((name) => fs.readFileSync(path.join(BOOK, name), "utf8").includes('preset="chapter-3"'));
const withSim = names.filter((name) => name !== "print.html" && fs.readFileSync(path.join(BOOK, name), "utf8").includes("<buffer-sim"));

let browser;
before(async () => {
    browser = await start();
});
after(async () => {
    await browser.close();
});

/** Opens a page in a theme; `complaints` collects what a reader would find in the console, and requests that go out. */
async function open(name, { theme = "light", width = 1280, context = browser.context } = {}) {
    const page = await context.newPage();
    const complaints = [];
    page.on("console", (message) => {
        if (message.type() === "error" || message.type() === "warning") complaints.push(`console: ${message.text()}`);
    });
    page.on("pageerror", (error) => complaints.push(`exception: ${error.message}`));
    page.on("requestfailed", (request) => complaints.push(`not found: ${request.url()}`));
    page.on("request", (request) => {
        if (!/^(file|data|blob):/.test(request.url())) complaints.push(`leaves the machine: ${request.url()}`);
    });
    await page.route(/^(https?|wss?):/, (route) => route.abort());
    await prepare(page, theme);
    await page.setViewportSize({ width, height: width < 600 ? 844 : 900 });
    await page.goto(address(name));
    return { page, complaints };
}

const unfold = (page) => page.evaluate(() => document.querySelectorAll("main details").forEach((details) => (details.open = true)));

/** What the simulator shows. */
const shown = (page, nth = 0) =>
    page.evaluate((nth) => {
        const root = document.querySelectorAll("buffer-sim")[nth].shadowRoot;
        const text = (selector) => root.querySelector(selector).textContent.trim();
        return {
            lost: text("[data-lost]"), note: text("[data-lostnote]"), says: text("[data-say]"), preset: root.querySelector("[data-preset]").value,
            policy: root.querySelector("[data-policy]").value, client: text("[data-value=client]"), chunks: root.querySelector("[data-chunks]").ariaLabel,
        };
    }, nth);

const press = (page, action) => page.locator(`buffer-sim [data-do=${action}]`).first().click();

/** Steps to the end, ten at a time. */
async function finish(page, tenMore) {
    for (let i = 0; i < 60; i += 1) {
        await tenMore();
        const { says } = await shown(page);
        if (/The page is over|Nothing moves/.test(says)) return says;
    }
    throw new Error("the simulator does not come to an end");
}

test("every page opens without a complaint, and nothing leaves the machine", async () => {
    const wrong = [];
    for (const name of names) {
        const { page, complaints } = await open(name);
        await unfold(page);
        wrong.push(...complaints.map((complaint) => `${name}: ${complaint}`));
        const found = await page.evaluate(() => {
            const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
            const errors = [...document.querySelectorAll(".press-error")].map((element) => element.textContent);
            for (const sim of document.querySelectorAll("buffer-sim")) {
                const loaded = sim.shadowRoot && sim.shadowRoot.querySelector("[data-preset]").value;
                if (loaded !== sim.getAttribute("preset")) errors.push(`the simulator shows ${loaded} in the place of ${sim.getAttribute("preset")}`);
            }
                        for (const link of document.querySelectorAll("a[href*='#sim=']")) {
                const name = link.hash.slice("#sim=".length);
                if (!Object.hasOwn(BufferModel.PRESETS, name)) errors.push(`no preset ${name}`);
            }
            return { twice: ids.filter((id, i) => ids.indexOf(id) !== i), errors, headings: document.querySelectorAll("main h1").length };
        });
        wrong.push(...found.twice.map((id) => `${name}: two elements have the id ${id}`));
        wrong.push(...found.errors.map((error) => `${name}: ${error}`));
        if (!found.headings) wrong.push(`${name}: no heading`);
        await page.close();
    }
    console.log(`${names.length} pages opened: ${names.join(" ")}`);
    assert.deepEqual(wrong, []);
    assert.ok(names.length >= 12, `only ${names.length} pages`);
});

// The other themes differ in colors only: there the pages with a simulator do, which have one of nearly everything.
for (const [theme, some] of [["light", names], ["navy", names], ["coal", withSim], ["ayu", withSim], ["rust", withSim]]) {
    test(`axe finds nothing serious on ${some === names ? "any page" : "pages with a simulator"} in ${theme}`, async () => {
        const wrong = [];
        for (const name of some) {
            if (name === "print.html") continue; // the same content once more
            const { page } = await open(name, { theme });
            await unfold(page);
            await page.evaluate(AXE);
            const violations = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }).then((results) => results.violations));
            for (const { id, impact, nodes } of violations) {
                if (impact !== "serious" && impact !== "critical") continue;
                for (const node of nodes) wrong.push(`${name}: ${impact}: ${id}: ${node.target.flat().join(" ")}: ${node.failureSummary.replaceAll("\n", " ")}`);
            }
            await page.close();
        }
        assert.deepEqual(wrong, []);
    });
}

test("no page scrolls sideways at 390 pixels, with everything unfolded", async () => {
    const wrong = [];
    for (const name of names) {
        const { page } = await open(name, { width: 390 });
        await unfold(page);
        const found = await page.evaluate(() => {
            const scrolls = [document.documentElement, document.body, ...document.querySelectorAll(".page, .content")];
            const wide = scrolls.filter((box) => box.scrollWidth > box.clientWidth + 1).map((box) => `${box.tagName} is ${box.scrollWidth} wide`);
            const sticks = [...document.querySelectorAll("main *")].filter((box) => {
                if (box.closest("pre, .table-wrapper, svg, .sr-only, .visually-hidden, buffer-sim > *")) return false;
                return box.getBoundingClientRect().right > innerWidth + 1;
            });
            return [...wide, ...sticks.map((box) => `${box.tagName}.${box.className} sticks out`)];
        });
        wrong.push(...found.map((words) => `${name}: ${words}`));
        await page.close();
    }
    assert.deepEqual(wrong, []);
});

test("on the page for printing, and on paper, everything folded is open", async () => {
    const { page } = await open("print.html");
    const count = await page.evaluate(() => ({
        all: document.querySelectorAll("main details").length,
        open: document.querySelectorAll("main details[open]").length,
        sims: document.querySelectorAll("buffer-sim").length,
    }));
    assert.ok(count.all > 0, "nothing to open");
    assert.equal(count.open, count.all);
    assert.ok(count.sims > 0, "no simulator");
    await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
    await page.emulateMedia({ media: "print" });
    assert.equal(await page.locator("buffer-sim .sim").first().isVisible(), false, "a simulator on paper");
    assert.equal(await page.locator("buffer-sim table").first().isVisible(), true, "no text in its place");
    await page.close();

    const name = names.find((name) => name !== "print.html" && fs.readFileSync(path.join(BOOK, name), "utf8").includes("<details"));
    const other = await open(name);
    const folded = () => other.page.evaluate(() => document.querySelectorAll("main details:not([open])").length);
    const here = await folded();
    assert.ok(here > 0);
    await other.page.evaluate(() => dispatchEvent(new Event("beforeprint")));
    assert.equal(await folded(), 0);
    await other.page.evaluate(() => dispatchEvent(new Event("afterprint")));
    assert.equal(await folded(), here, "folded again afterward");
    await other.page.close();
});

test("the book has a simulator", () => assert.ok(withSim.length > 0));

test("the simulator: chapter 3 loses bytes, chapter 4 does not, with the mouse", async () => {
    const { page, complaints } = await open(withAll());
    const choose = page.locator("buffer-sim [data-preset]").first();
    await choose.selectOption("chapter-3");
    const says = await finish(page, () => press(page, "ten"));
    const three = await shown(page);
    assert.match(three.lost, /^[1-9][0-9]* KiB$/);
    assert.match(three.note, /bytes in \d+ holes?/);
    assert.match(says, /are lost\. curl: exit status 56/);
    assert.match(three.client, /curl: 56/);
    assert.match(three.chunks, /[1-9][0-9]* with bytes missing inside/);

    await choose.selectOption("chapter-4");
    assert.match(await finish(page, () => press(page, "ten")), /every byte arrived, in order/);
    const four = await shown(page);
    assert.equal(four.lost, "0");
    assert.match(four.chunks, /48 whole, 0 with bytes missing/);

    await choose.selectOption("chapter-2");
    assert.match(await finish(page, () => press(page, "ten")), /Nothing moves anymore/);
    assert.deepEqual(complaints, []);
    await page.close();
});

test("the simulator plays, pauses, and starts again", async () => {
    const { page } = await open(withAll());
    await press(page, "play");
    await page.waitForFunction(() => !document.querySelector("buffer-sim").shadowRoot.querySelector("[data-value=backend]").textContent.startsWith("0 KiB"));
    const button = page.locator("buffer-sim [data-do=play]").first();
    assert.equal(await button.textContent(), "Pause");
    await button.click();
    assert.equal(await button.textContent(), "Play");
    await press(page, "reset");
    assert.match((await shown(page)).client, /^0 KiB/);
    await page.close();
});

test("the simulator from the keyboard, and no key of it turns the page", async () => {
    const { page } = await open(withAll());
    const here = page.url();
    await page.locator("buffer-sim [data-preset]").first().selectOption("chapter-3");
    await page.locator("buffer-sim [data-do=ten]").first().focus();
    await finish(page, () => page.keyboard.press("Enter"));
    assert.notEqual((await shown(page)).lost, "0");

    // Tab leads from the last button to the sliders; arrow keys move them and nothing else.
    await page.keyboard.press("Tab");
    await page.keyboard.press("Tab");
    const at = () => page.evaluate(() => document.querySelector("buffer-sim").shadowRoot.activeElement.id);
    assert.equal(await at(), "backend");
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("ArrowLeft");
    const value = () => page.evaluate(() => document.querySelector("buffer-sim").shadowRoot.activeElement.ariaValueText);
    assert.equal(await value(), "20 KiB a tick");
    assert.equal((await shown(page)).preset, "", "the settings are the reader's own now");

    // The policy, by typing: from "forgets" to "keeps".
    await page.locator("buffer-sim [data-policy]").first().focus();
    await page.keyboard.press("ArrowDown");
    assert.equal((await shown(page)).policy, "buffer");
    await page.locator("buffer-sim [data-do=reset]").first().focus();
    await page.keyboard.press("Space");
    await page.locator("buffer-sim [data-do=ten]").first().focus();
    await finish(page, () => page.keyboard.press("Enter"));
    assert.equal((await shown(page)).lost, "0");
    // mdBook searches at "s" and turns pages at arrow keys, but not while a control of the simulator has the focus.
    await page.keyboard.press("s");
    await page.keyboard.press("ArrowRight");
    await page.waitForTimeout(200);
    assert.equal(page.url(), here);
    assert.equal(await page.locator("#mdbook-search-wrapper").isVisible(), false);
    await page.close();
});

test("a link in the text, and one to the page, loads a preset", async () => {
    const { page } = await open(withAll());
    await page.evaluate(() => {
        document.querySelector("main").insertAdjacentHTML("beforeend", '<p><a id="a-link" href="#sim=spill">spill</a> <a id="b-link" href="#sim=backpressure">hold</a></p>');
    });
    await page.locator("#a-link").click();
    const last = (await page.locator("buffer-sim").count()) - 1;
    assert.equal((await shown(page, last)).preset, "spill");
    await page.locator("#b-link").click();
    assert.equal((await shown(page, last)).preset, "backpressure");
    await page.close();

    const other = await browser.context.newPage();
    await prepare(other, "light");
    await other.goto(`${address(withAll())}#sim=chapter-4`);
    assert.equal((await shown(other)).preset, "chapter-4");
    await other.close();
});

test("a chapter's own links load what they name, and bring the reader there", async () => {
    const { page, complaints } = await open("04-every-byte-in-order.html");
    await page.locator("a[href='#sim=chapter-3']").focus();
    await page.keyboard.press("Enter");
    assert.equal((await shown(page)).preset, "chapter-3");
    const focused = await page.evaluate(() => document.activeElement.shadowRoot.activeElement.dataset.do);
    assert.equal(focused, "play");
    assert.equal(await page.locator("buffer-sim [data-do=play]").isVisible(), true);
    await finish(page, () => press(page, "ten"));
    assert.notEqual((await shown(page)).lost, "0");
    await page.locator("a[href='#sim=backpressure']").click();
    await finish(page, () => press(page, "ten"));
    const held = await shown(page);
    assert.deepEqual([held.policy, held.lost], ["hold", "0"]);
    assert.deepEqual(complaints, []);
    await page.close();
});

test("before chapter 3 nothing in the simulator says what step 03 does", async () => {
    const { page } = await open("02-everyone-at-once.html");
    const words = await page.locator("buffer-sim").first().evaluate((sim) => sim.shadowRoot.textContent);
    assert.match(words, /waits inside write/);
    assert.doesNotMatch(words, /forgets|keeps the rest|dropped write/);
    await page.close();
});

test("several simulators on one page do not disturb one another", async () => {
    const { page } = await open("print.html");
    await page.evaluate(() => document.querySelectorAll("buffer-sim").length < 2 && document.querySelector("main").append(document.createElement("buffer-sim")));
    const last = await page.locator("buffer-sim").count() - 1;
    const two = page.locator("buffer-sim").nth(last);
    const before = await shown(page, last);
    await press(page, "ten");
    assert.deepEqual(await shown(page, last), before);
    await two.locator("[data-preset]").selectOption("spill");
    assert.notEqual((await shown(page, 0)).preset, "spill");
    await page.close();
});

test("without JavaScript the simulator is a table", async () => {
    const quiet = await start({ javaScriptEnabled: false });
    try {
        const page = await quiet.context.newPage();
        await page.goto(address(withSim[0]));
        assert.equal(await page.locator("buffer-sim table").first().isVisible(), true);
    } finally {
        await quiet.close();
    }
});

test("who wants little motion takes steps", async () => {
    const quiet = await start({ reducedMotion: "reduce" });
    try {
        const { page } = await open(withSim[0], { context: quiet.context });
        assert.equal(await page.locator("buffer-sim [data-do=play]").first().isVisible(), false);
        await press(page, "step");
        assert.match((await shown(page)).says, /^Tick 1: /);
        const moves = await page.evaluate(() =>
            document.querySelector("buffer-sim").shadowRoot.getAnimations().filter((animation) => animation.playState === "running").length);
        assert.equal(moves, 0);
    } finally {
        await quiet.close();
    }
});
