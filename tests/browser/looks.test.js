// How the pages look, measured in Chromium: the contrast of the words in figures and terminals, what a
// telephone shows without scrolling sideways, what a page weighs, and what its small scripts do.
// `node --test tests/browser/looks.test.js`, after `cargo book build`.
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { after, before, test } = require("node:test");
const { fileURLToPath } = require("node:url");

const { BOOK, start, pages, address, prepare } = require("./browser.js");

const THEMES = ["light", "rust", "navy", "coal", "ayu"];
const names = pages().filter((name) => name !== "print.html");
const source = (name) => fs.readFileSync(path.join(BOOK, name), "utf8");

let browser;
before(async () => {
    browser = await start();
});
after(async () => {
    await browser.close();
});

/** Opens a page in a theme, as wide as this, with the sidebar out of the way. */
async function open(name, theme = "light", width = 1280) {
    const page = await browser.context.newPage();
    await prepare(page, theme);
    await page.addInitScript(() => localStorage.setItem("mdbook-sidebar", "hidden"));
    await page.setViewportSize({ width, height: 900 });
    await page.goto(address(name));
    await page.evaluate(() => document.fonts.ready);
    return page;
}

/**
 * In the page: the words below `selector` whose contrast with what is painted behind their middle is below
 * 4.5:1 (WCAG 2.2, 1.4.3). A pattern of lines is not a background.
 */
function tooFaint(selector) {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    /** Any CSS color as red, green, blue and alpha. */
    const parse = (color) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255];
    };
    const over = ([r, g, b, a], below) => [r, g, b].map((value, i) => value * a + below[i] * (1 - a));
    const luminance = (color) => {
        const [r, g, b] = color.map((value) => {
            const part = value / 255;
            return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const contrast = (one, other) => {
        const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
        return (light + 0.05) / (dark + 0.05);
    };
    const opacity = (element) => {
        let product = 1;
        for (let at = element; at && at.nodeType === 1; at = at.parentElement) product *= Number(getComputedStyle(at).opacity);
        return product;
    };
    /** What an element paints over its middle: an SVG shape its fill, anything else its background. */
    const paint = (element) => {
        const style = getComputedStyle(element);
        const isShape = element instanceof SVGGeometryElement;
        const color = isShape ? style.fill : style.backgroundColor;
        if (color === "none" || color.startsWith("url")) return [0, 0, 0, 0];
        const [r, g, b, a] = parse(color);
        return [r, g, b, a * (isShape ? Number(style.fillOpacity) : 1) * opacity(element)];
    };
    const found = [];
    for (const text of document.querySelectorAll(selector)) {
        if (!text.textContent.trim() || text.closest("title, .sr-only") || !text.checkVisibility()) continue;
        text.scrollIntoView({ block: "center" });
        const box = text.getBoundingClientRect();
        if (!box.width) continue;
        const stack = document.elementsFromPoint(box.x + box.width / 2, box.y + box.height / 2);
        // An element of HTML may have a background of its own.
        const isWord = (element) => element.closest("text") || (element !== text && text.contains(element));
        const behind = stack.filter((element) => !isWord(element));
        const background = behind.reverse().reduce((below, element) => over(paint(element), below), [255, 255, 255]);
        const style = getComputedStyle(text);
        const isSvg = text instanceof SVGElement;
        const [r, g, b, a] = parse(isSvg ? style.fill : style.color);
        const ink = over([r, g, b, a * (isSvg ? Number(style.fillOpacity) : 1) * opacity(text)], background);
        const ratio = contrast(ink, background);
        if (ratio < 4.5) found.push(`${ratio.toFixed(2)}: ${text.textContent.trim().slice(0, 40)}`);
    }
    return found;
}

test("every word in a figure can be read, in every theme", async () => {
    const wrong = [];
    let seen = 0;
    for (const name of names.filter((name) => source(name).includes('<figure class="figure"'))) {
        for (const theme of THEMES) {
            const page = await open(name, theme);
            seen += await page.locator("figure.figure svg text").count();
            // The cover has its own night around it, in every theme.
            const found = await page.evaluate(tooFaint, "figure.figure svg:not([viewBox='0 0 720 420']) text");
            wrong.push(...found.map((what) => `${name}, ${theme}: ${what}`));
            await page.close();
        }
    }
    assert.ok(seen > 100, `${seen} words`);
    assert.deepEqual(wrong, []);
});

test("so can every colored word in a terminal, every badge, and what opens a chapter", async () => {
    const parts = ".terminal-bar span, .terminal [class^=in-], .terminal .faint, .terminal .typed, .badge, .opening p, .rungs li, .notes li, .turn a, a.term";
    const wrong = [];
    for (const name of ["03-the-dropped-write.html", "04-every-byte-in-order.html", "01-one-at-a-time.html"]) {
        for (const theme of THEMES) {
            const page = await open(name, theme);
            const found = await page.evaluate(tooFaint, parts);
            wrong.push(...found.map((what) => `${name}, ${theme}: ${what}`));
            await page.close();
        }
    }
    assert.deepEqual(wrong, []);
});

test("at the width of a telephone nothing scrolls sideways but dumps of bytes", async () => {
    const wrong = [];
    for (const name of names) {
        const page = await open(name, "light", 390);
        const found = await page.evaluate(() => {
            document.querySelectorAll("main details").forEach((details) => (details.open = true));
            const wide = (element) => element.scrollWidth > element.clientWidth + 1;
            const found = wide(document.documentElement) ? ["the page"] : [];
            for (const box of document.querySelectorAll("main .table-wrapper")) {
                if (wide(box)) found.push(`a table: ${box.textContent.trim().slice(0, 60)}`);
            }
            for (const code of document.querySelectorAll("main pre > code")) {
                if (wide(code) && !code.querySelector(".hex")) found.push(code.textContent.trim().slice(0, 60));
            }
            return found;
        });
        wrong.push(...found.map((what) => `${name}: ${what}`));
        await page.close();
    }
    assert.deepEqual(wrong, []);
});

test("a telephone shows the whole bar of bytes", async () => {
    const page = await open("03-the-dropped-write.html", "light", 390);
    const bars = await page.locator(".terminal .strip").evaluateAll((bars) =>
        bars.map((bar) => ({
            width: bar.getBoundingClientRect().width,
            parts: [...bar.children].reduce((sum, part) => sum + part.getBoundingClientRect().width, 0),
            right: bar.getBoundingClientRect().right,
        })));
    await page.close();
    assert.ok(bars.length >= 3, `${bars.length} bars`);
    for (const { width, parts, right } of bars) {
        assert.ok(width > 250 && right <= 390 && Math.abs(width - parts) < 4, JSON.stringify({ width, parts, right }));
    }
});

test("a page weighs no more than 400 KB without its fonts, and the fonts no more than 300 KB", async () => {
    const weigh = (file) => fs.statSync(file).size;
    const fonts = fs.readdirSync(path.join(BOOK, "fonts")).filter((name) => name.endsWith(".woff2"));
    const all = fonts.reduce((sum, name) => sum + weigh(path.join(BOOK, "fonts", name)), 0);
    assert.ok(fonts.length >= 7 && all < 300_000, `${fonts.length} fonts, ${all} bytes`);
    for (const name of names) {
        // What the browser asks for, and not what the page names: some scripts are added by others.
        const page = await browser.context.newPage();
        const loaded = new Set();
        page.on("request", (request) => loaded.add(fileURLToPath(request.url().split(/[?#]/)[0])));
        await page.goto(address(name));
        await page.close();
        const files = [...loaded].filter((file) => /\.(js|css)$/.test(file) || file.endsWith(path.sep + name));
        assert.ok(files.some((file) => /press-\w+\.js$/.test(file)), `${name} without its scripts: ${files}`);
        const total = files.reduce((sum, file) => sum + weigh(file), 0);
        assert.ok(total < 400_000, `${name}: ${total} bytes: ${files.map((file) => path.basename(file))}`);
    }
});

test("a page loads the simulator only if it has one, and the search only when somebody searches", async () => {
    const page = await browser.context.newPage();
    let loaded = [];
    page.on("request", (request) => loaded.push(path.basename(request.url())));
    const has = (part) => loaded.some((file) => file.startsWith(part));
    await page.goto(address("map.html"));
    assert.ok(!has("simulator"), `${loaded}`);
    await page.goto(address("04-every-byte-in-order.html"));
    assert.ok(has("simulator"), `${loaded}`);

    const bar = page.locator("#mdbook-searchbar");
    const results = page.locator("#mdbook-searchresults a");
    for (const ask of ["/", "s", "button"]) {
        loaded = [];
        await page.goto(address("map.html"));
        assert.ok(!has("elasticlunr") && !has("searchindex"), `${loaded}`);
        if (ask === "button") await page.locator("#mdbook-search-toggle").click();
        else await page.keyboard.press(ask);
        await page.waitForFunction(() => document.activeElement.id === "mdbook-searchbar");
        assert.equal(await bar.inputValue(), "", "the key itself isn't searched for");
        await page.keyboard.type("watermark");
        await results.first().waitFor();
        assert.equal(loaded.filter((file) => file.startsWith("elasticlunr")).length, 1);
    }
    // What was found is marked on its page.
    await results.first().click();
    await page.locator("main mark").first().waitFor();
    await page.close();
});

test("no script stands in the way of the first paint", () => {
    for (const name of names) {
        const head = source(name).split("<body>")[0].split("</head>")[0];
        const blocking = [...head.matchAll(/<script[^>]* src="([^"]+)"[^>]*>/g)].filter(([tag]) => !/defer|async/.test(tag));
        // mdBook builds its table of contents from a script in the head. It is a few kilobytes.
        assert.deepEqual(blocking.map((found) => found[1]).filter((file) => !/toc/.test(file)), [], name);
    }
});

test("a word of the glossary explains itself under the mouse and under the keyboard", async () => {
    const page = await open("02-everyone-at-once.html");
    const term = page.locator("a.term").first();
    const isShown = () => term.evaluate((element) => getComputedStyle(element, "::after").display === "block");
    assert.equal(await isShown(), false);
    await term.hover();
    await page.waitForFunction(() => getComputedStyle(document.querySelector("a.term"), "::after").display === "block");
    await page.mouse.move(0, 0);
    await page.keyboard.press("Tab");
    await term.evaluate((element) => element.focus({ focusVisible: true }));
    await page.waitForFunction(() => getComputedStyle(document.querySelector("a.term"), "::after").display === "block");
    assert.ok((await term.getAttribute("aria-description")).length > 20);
    await page.close();
});

test("every prediction has two to four choices, none of them twice", () => {
    let found = 0;
    for (const name of names) {
        for (const [tag] of source(name).matchAll(/<details class="predict"[^>]*>/g)) {
            const choices = (tag.match(/data-choices="([^"]*)"/) || ["", ""])[1].split("|").map((choice) => choice.trim());
            assert.ok(choices.length >= 2 && choices.length <= 4 && choices.every(Boolean), `${name}: ${tag}`);
            assert.equal(new Set(choices).size, choices.length, `${name}: ${tag}`);
            found += 1;
        }
    }
    assert.ok(found > 20, `${found} predictions`);
});

test("a guess is kept, and the answer begins with it", async () => {
    const choice = "It is served at once";
    const asked = await open("02-everyone-at-once.html");
    await asked.locator(".guess").first().getByRole("radio", { name: choice }).check();
    const kept = await asked.evaluate((choice) => Object.entries(localStorage).find(([, value]) => value === choice), choice);
    await asked.close();
    assert.ok(kept, "nothing was kept");
    // Another visit. When Chromium gives what one process has stored to the next is its own affair, so we do.
    const page = await browser.context.newPage();
    await page.addInitScript(([key, value]) => localStorage.setItem(key, value), kept);
    await page.goto(address("02-everyone-at-once.html"));
    const guess = page.locator(".guess").first();
    assert.equal(await guess.getByRole("radio", { name: choice }).isChecked(), true);
    await page.locator("details.predict > summary").first().click();
    const first = page.locator("details.predict > summary + *").first();
    assert.equal(await first.textContent(), `You said: ${choice}`);
    // The arrow keys choose, and do not turn the page.
    await guess.getByRole("radio").first().focus();
    await page.keyboard.press("ArrowRight");
    assert.match(page.url(), /02-everyone-at-once/);
    await page.evaluate(() => localStorage.clear());
    await page.close();
});
