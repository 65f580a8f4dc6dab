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
