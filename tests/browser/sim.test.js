// The simulator in Chromium, on the pages of the built book, as a reader with a mouse, a keyboard or a telephone has it.
// `node --test tests/browser/sim.test.js`, after `cargo book build`. What it claims is tested in model.test.js.
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { after, before, test } = require("node:test");

const { ROOT, start, address, prepare } = require("./browser.js");

const AXE = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const THREE = "03-the-dropped-write.html";
const FOUR = "04-every-byte-in-order.html";
const THEMES = ["light", "rust", "navy", "coal", "ayu"];

let browser;
let quiet; // for readers who want little motion, and for tests that want to see each tick as it stands
before(async () => {
    browser = await start();
    quiet = await start({ reducedMotion: "reduce" });
});
after(async () => {
    await browser.close();
    await quiet.close();
});

async function open(name, { theme = "light", width = 1280, context = quiet.context, hash = "" } = {}) {
    const page = await context.newPage();
    page.complaints = [];
    page.on("console", (message) => message.type() === "error" && page.complaints.push(message.text()));
    page.on("pageerror", (error) => page.complaints.push(error.message));
    await prepare(page, theme);
    await page.setViewportSize({ width, height: width < 600 ? 844 : 900 });
    await page.goto(address(name) + hash);
    return page;
}

/** A page whose first simulator is as wide as this. */
async function sized(name, width, options) {
    const page = await open(name, { ...options, width: width < 600 ? width : 1280 });
    if (width >= 600) await page.locator("buffer-sim").first().evaluate((sim, width) => (sim.style.cssText = `width:${width}px`), width);
    await page.waitForTimeout(50);
    return page;
}

/** What the simulator shows. */
const shown = (page, nth = 0) =>
    page.evaluate((nth) => {
        const root = document.querySelectorAll("buffer-sim")[nth].shadowRoot;
        const text = (selector) => (root.querySelector(selector) || { textContent: "" }).textContent.trim();
        const blocks = (place) => [...root.querySelectorAll(`.piece.${place}`)].map((piece) => Number(piece.textContent));
        return {
            lost: text("[data-lost]"), says: text("[data-say]"), live: text("[data-live]"), tick: text("[data-tick]"),
            preset: root.querySelector("[data-preset]").value, policy: root.querySelector("[data-policy]").value,
            play: text("[data-do=play]"), client: text(".verdict"), chunks: root.querySelector("[data-chunks]").ariaLabel,
            stage: root.querySelector("[data-stage]").ariaLabel,
            places: Object.fromEntries(["ahead", "proxy", "kernel", "delivered", "disk", "lost"].map((place) => [place, blocks(place)])),
        };
    }, nth);

const press = (page, action) => page.locator(`buffer-sim [data-do=${action}]`).first().click();

/** So many ticks further, without waiting for a film. */
const ticks = (page, count, nth = 0) =>
    page.evaluate(([count, nth]) => {
        const sim = document.querySelectorAll("buffer-sim")[nth];
        for (let i = 0; i < count; i += 1) sim.shadowRoot.querySelector("[data-do=step]").click();
    }, [count, nth]);

test("chapter 3 loses blocks through the floor, chapter 4 does not, with the mouse", async () => {
    const page = await open(THREE);
    await ticks(page, 10);
    const middle = await shown(page);
    assert.deepEqual(middle.places.lost, [10, 8, 7, 6], "the newest first");
    assert.deepEqual([...middle.places.kernel].sort((a, b) => a - b), [3, 4, 5, 6, 9, 10]);
    assert.deepEqual(middle.places.proxy, []);
    assert.match(middle.live, /write\(client, 65536\) *→ *Ok\(24000\) *41,536 lost/);

    await press(page, "play"); // to the end
    const three = await shown(page);
    assert.match(three.lost, /^[1-9][0-9,]+$/);
    assert.match(three.says, /bytes are lost\. curl notices at chunk \d+, framed in the strip: exit status 56/);
    assert.match(three.client, /curl: 56/);
    assert.match(three.chunks, /[1-9][0-9]* with bytes missing inside/);
    assert.deepEqual(three.places.delivered.slice(0, 8), [1, 2, 3, 4, 5, 6, 9, 10]);

    await page.locator("buffer-sim [data-preset]").first().selectOption("chapter-4");
    await ticks(page, 24);
    const growing = await shown(page);
    assert.ok(growing.places.proxy.length >= 12, `${growing.places.proxy} in the proxy`);
    await press(page, "play");
    const four = await shown(page);
    assert.match(four.says, /Every byte has arrived, in order\. Nothing is lost/);
    assert.equal(four.lost, "0");
    assert.deepEqual(four.places.delivered, Array.from({ length: 30 }, (_, i) => i + 1));

    await page.locator("buffer-sim [data-preset]").first().selectOption("chapter-2");
    await press(page, "play");
    assert.match((await shown(page)).says, /write waits.*other clients wait/);
    assert.deepEqual(page.complaints, []);
    await page.close();
});

test("a block that is split stands in two places with its number on both, and each part as high as its bytes", async () => {
    const page = await open(THREE);
    await ticks(page, 6);
    const parts = await page.evaluate(() =>
        [...document.querySelector("buffer-sim").shadowRoot.querySelectorAll(".piece")]
            .filter((piece) => piece.textContent === "6").map((piece) => [piece.classList[1], piece.getBoundingClientRect().height, getComputedStyle(piece.firstChild).visibility]));
    assert.deepEqual(parts.map(([place]) => place).sort(), ["kernel", "lost"]);
    for (const [, , visible] of parts) assert.equal(visible, "visible");
    const high = Object.fromEntries(parts);
    assert.ok(Math.abs(high.kernel / high.lost - 24000 / 41536) < 0.1, JSON.stringify(parts));
    await page.close();
});

test("it plays once by itself when it comes into view, and stops at the end", async () => {
    const page = await open(THREE, { context: browser.context });
    await page.waitForTimeout(400);
    assert.equal((await shown(page)).tick, "tick 0", "it plays where nobody sees it");
    await page.evaluate(() => (document.querySelector("buffer-sim").shadowRoot.querySelector("[data-pace]").value = "0.4"));
    await page.locator("buffer-sim").first().scrollIntoViewIfNeeded();
    await page.waitForFunction(() => Number(document.querySelector("buffer-sim").shadowRoot.querySelector("[data-tick]").textContent.slice(5)) > 2);
    assert.equal((await shown(page)).play, "Pause");
    await page.waitForFunction(() => document.querySelector("buffer-sim").shadowRoot.querySelector("[data-do=play]").textContent === "Play again", null, { timeout: 60000 });
    const end = (await shown(page)).tick;
    await page.evaluate(() => scrollTo(0, 0));
    await page.waitForTimeout(200);
    await page.locator("buffer-sim").first().scrollIntoViewIfNeeded();
    await page.waitForTimeout(600);
    assert.equal((await shown(page)).tick, end, "it plays a second time");
    await page.close();
});

test("it does not play by itself for a reader who has touched a control", async () => {
    const page = await open(THREE, { context: browser.context });
    await page.evaluate(() => {
        const slider = document.querySelector("buffer-sim").shadowRoot.querySelector("#client");
        slider.value = 40;
        slider.dispatchEvent(new Event("input", { bubbles: true, composed: true }));
    });
    await page.locator("buffer-sim").first().scrollIntoViewIfNeeded();
    await page.waitForTimeout(1200);
    assert.equal((await shown(page)).tick, "tick 0");
    await page.close();
});

test("with little motion wanted nothing moves by itself, and Play goes to the end at once", async () => {
    const page = await open(THREE);
    await page.locator("buffer-sim").first().scrollIntoViewIfNeeded();
    await page.waitForTimeout(1200);
    assert.equal((await shown(page)).tick, "tick 0");
    const moving = () => page.evaluate(() => document.querySelector("buffer-sim").shadowRoot.getAnimations().length);
    await press(page, "step");
    assert.equal((await shown(page)).tick, "tick 1");
    assert.equal(await moving(), 0);
    await press(page, "play");
    assert.match((await shown(page)).says, /bytes are lost/);
    assert.equal(await moving(), 0);
    await page.close();
});

test("play, pause, start again", async () => {
    const page = await open(THREE, { context: browser.context });
    await page.evaluate(() => (document.querySelector("buffer-sim").touched = true));
    await press(page, "play");
    await page.waitForFunction(() => document.querySelector("buffer-sim").shadowRoot.querySelector("[data-tick]").textContent === "tick 2");
    await press(page, "play");
    assert.equal((await shown(page)).play, "Play");
    const { tick } = await shown(page);
    await page.waitForTimeout(900);
    assert.equal((await shown(page)).tick, tick, "it plays on");
    await press(page, "reset");
    const again = await shown(page);
    assert.equal(again.tick, "tick 0");
    assert.deepEqual(again.places.delivered, []);
    await page.close();
});

test("the scrubber shows a moment that has been, and a new setting begins there", async () => {
    const page = await open(THREE);
    await ticks(page, 3);
    const three = await shown(page);
    await ticks(page, 12);
    const fifteen = await shown(page);
    const seek = (tick) => page.locator("buffer-sim #moment").first().evaluate((input, tick) => {
        input.value = tick;
        input.dispatchEvent(new Event("input", { bubbles: true, composed: true }));
    }, tick);
    await seek(3);
    assert.deepEqual(await shown(page), three);
    await ticks(page, 12);
    assert.deepEqual(await shown(page), fifteen, "on from there, the same way");
    await seek(3);
    await page.locator("buffer-sim #client").first().fill("64");
    const changed = await shown(page);
    assert.deepEqual([changed.tick, changed.preset], ["tick 3", ""]);
    assert.match(await page.locator("buffer-sim #moment").first().getAttribute("aria-valuetext"), /^tick 3 of \d\d+$/);
    await press(page, "play");
    assert.equal((await shown(page)).lost, "0");
    await page.close();
});

test("from the keyboard, and no key of it turns the page", async () => {
    const page = await open(THREE);
    const here = page.url();
    const sim = page.locator("buffer-sim").first();
    await sim.locator("[data-do=step]").focus();
    for (let i = 0; i < 12; i += 1) await page.keyboard.press("Enter");
    assert.notEqual((await shown(page)).lost, "0");

    // Tab leads from the buttons to the scrubber, and on to the sliders; arrow keys move them and nothing else.
    const at = () => page.evaluate(() => document.querySelector("buffer-sim").shadowRoot.activeElement.id);
    await page.keyboard.press("Tab");
    await page.keyboard.press("Tab");
    assert.equal(await at(), "moment");
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("ArrowLeft");
    assert.equal((await shown(page)).tick, "tick 10");
    await page.keyboard.press("Home");
    assert.equal((await shown(page)).tick, "tick 0");
    await page.keyboard.press("Tab");
    assert.equal(await at(), "backend");
    await page.keyboard.press("ArrowLeft");
    const value = () => page.evaluate(() => document.querySelector("buffer-sim").shadowRoot.activeElement.ariaValueText);
    assert.equal(await value(), "61,440 bytes a tick");
    assert.equal((await shown(page)).preset, "", "the settings are the reader's own now");

    // What is folded away opens with a key; then the policy, from "forgets" to "keeps".
    await sim.locator("summary").first().focus();
    await page.keyboard.press("Enter");
    await sim.locator("[data-policy]").focus();
    await page.keyboard.press("ArrowDown");
    assert.equal((await shown(page)).policy, "buffer");
    await sim.locator("[data-do=play]").focus();
    await page.keyboard.press("Space");
    assert.match((await shown(page)).says, /Nothing is lost/);

    // mdBook searches at "s" and turns pages at arrow keys, but not while a control of the simulator has the focus.
    await page.keyboard.press("s");
    await page.keyboard.press("ArrowRight");
    await page.waitForTimeout(200);
    assert.equal(page.url(), here);
    assert.equal(await page.locator("#mdbook-search-wrapper").isVisible(), false);
    await page.close();
});

test("stage, counter and strip fit a screen: 480 pixels high at 720 wide, 620 on a telephone, and nothing sticks out", async () => {
    for (const [width, most] of [[720, 480], [390, 620]]) {
        for (const preset of ["four-buffers", "chapter-1", "chapter-2", "chapter-3", "chapter-4", "chapter-5", "spill"]) {
            const page = await sized(THREE, width, { hash: `#sim=${preset}` });
            for (const moment of [0, 22, 200]) {
                await ticks(page, moment);
                const found = await page.locator("buffer-sim").first().evaluate((sim) => {
                    const root = sim.shadowRoot;
                    const rect = (element) => element.getBoundingClientRect();
                    const frame = rect(root.querySelector(".sim"));
                    const bottom = rect(root.querySelector("[data-ledger]")).bottom;
                    const out = [...root.querySelectorAll(".sim *")].filter((box) => {
                        if (box.closest(".hide, [hidden]") || !box.checkVisibility({ opacityProperty: true })) return false;
                        const { left, right, width } = rect(box);
                        return width > 0 && (left < frame.left - 1 || right > frame.right + 1);
                    });
                    // A name is centered over its station, and may be wider than it; its words may not be cut off.
                    const cut = [...root.querySelectorAll(".live, .code div, .trace, .counter, .ledger, select")].filter((box) => box.scrollWidth > box.clientWidth + 1);
                    return { high: bottom - frame.top, out: out.map((box) => box.className || box.tagName), cut: cut.map((box) => box.className || box.textContent) };
                });
                const where = `${preset} at tick ${moment}, ${width} wide`;
                assert.ok(found.high <= most, `${where}: ${found.high} high`);
                assert.deepEqual(found.out, [], where);
                assert.deepEqual(found.cut, [], where);
                await page.evaluate(() => document.querySelector("buffer-sim").reset());
            }
            const scrolls = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
            assert.equal(scrolls, false, `${preset}, ${width}`);
            await page.close();
        }
    }
});

/** The contrast of each text in the simulator with what lies under it, measured from the computed colors. */
const contrasts = () => {
    const root = document.querySelector("buffer-sim").shadowRoot;
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const rgba = (color) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const light = ([r, g, b]) => {
        const linear = (c) => ((c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    };
    // On the stage boxes lie on one another without being in one another: ask which of them are under the text.
    const boxes = [...root.querySelectorAll(".sim, .sim *")];
    const under = (element, { left, top, width, height }) => {
        const [x, y] = [left + width / 2, top + height / 2];
        const before = boxes.slice(0, boxes.indexOf(element) + 1).reverse();
        for (const box of before) {
            const r = box.getBoundingClientRect();
            if (x < r.left || x > r.right || y < r.top || y > r.bottom) continue;
            const [red, green, blue, alpha] = rgba(getComputedStyle(box).backgroundColor);
            if (alpha > 250) return [red, green, blue];
        }
        throw new Error("nothing under a text");
    };
    const found = [];
    for (const element of boxes) {
        const node = [...element.childNodes].find((child) => child.nodeType === 3 && child.textContent.trim());
        if (!node || element.localName === "style" || element.localName === "option") continue;
        if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
        const range = document.createRange();
        range.selectNodeContents(node);
        const rect = range.getBoundingClientRect();
        if (!rect.width) continue;
        const [a, b] = [light(rgba(getComputedStyle(element).color)), light(under(element, rect))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        found.push({ ratio, text: `${element.className || element.parentNode.className}: ${node.textContent.trim().slice(0, 30)}` });
    }
    return found;
};

test("every text has a contrast of 4.5 at least, in every theme", async () => {
    for (const theme of THEMES) {
        const weak = [];
        let measured = 0;
        for (const [preset, moment] of [["chapter-1", 20], ["chapter-2", 30], ["chapter-3", 14], ["chapter-3", 60], ["chapter-4", 28], ["chapter-5", 19], ["spill", 25]]) {
            const page = await open(THREE, { theme, hash: `#sim=${preset}` });
            await ticks(page, moment);
            const found = await page.evaluate(contrasts);
            measured += found.length;
            weak.push(...found.filter(({ ratio }) => ratio < 4.5).map(({ ratio, text }) => `${preset}: ${text}: ${ratio.toFixed(2)}`));
            await page.close();
        }
        assert.deepEqual([...new Set(weak)], [], theme);
        assert.ok(measured > 300, `${measured} texts`);
    }
});

test("axe finds nothing in the simulator, with everything unfolded and much on the stage", async () => {
    for (const [preset, moment] of [["chapter-2", 20], ["chapter-3", 14], ["spill", 25]]) {
        const page = await open(THREE, { hash: `#sim=${preset}` });
        await ticks(page, moment);
        await page.evaluate(() => document.querySelector("buffer-sim").shadowRoot.querySelectorAll("details").forEach((details) => (details.open = true)));
        await page.evaluate(AXE);
        const found = await page.evaluate(() => axe.run(document.querySelector("buffer-sim")).then(({ violations }) =>
            violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.target.flat().join(" ")}: ${node.failureSummary}`))));
        assert.deepEqual(found, [], preset);
        await page.close();
    }
});

test("before chapter 3 nothing in the simulator gives the cause away", async () => {
    const book = fs.readFileSync(path.join(ROOT, "tests/book.rs"), "utf8");
    const patterns = book.match(/GIVEAWAYS: &str = r"([^"]+)"/)[1].split("\n").map((line) => new RegExp(line, "i"));
    assert.ok(patterns.length > 15);
    for (const name of ["where-bytes-wait.html", "02-everyone-at-once.html"]) {
        const page = await open(name);
        for (let i = 0; i < 60; i += 1) {
            await ticks(page, 1);
            const words = await page.locator("buffer-sim").first().evaluate((sim) => {
                const labels = [...sim.shadowRoot.querySelectorAll("[aria-label]")].map((element) => element.ariaLabel);
                return [...labels, ...[...sim.shadowRoot.querySelectorAll(".sim")].map((element) => element.textContent)].join("\n");
            });
            for (const pattern of patterns) assert.doesNotMatch(words, pattern, name);
            assert.doesNotMatch(words, /\blost\b|keeps the rest|dropped write|spill/i, name);
        }
        await page.close();
    }
});

test("a link in the text, and one to the page, loads a preset", async () => {
    const page = await open(THREE);
    await page.evaluate(() => {
        document.querySelector("main").insertAdjacentHTML("beforeend", '<p><a id="a-link" href="#sim=spill">spill</a> <a id="b-link" href="#sim=chapter-5">hold</a></p>');
    });
    await page.locator("#a-link").click();
    const last = (await page.locator("buffer-sim").count()) - 1;
    assert.equal((await shown(page, last)).preset, "spill");
    await page.locator("#b-link").click();
    assert.equal((await shown(page, last)).preset, "chapter-5");
    await page.close();

    const other = await open(THREE, { hash: "#sim=chapter-4" });
    assert.equal((await shown(other)).preset, "chapter-4");
    await other.close();
});

test("a chapter's own links load what they name, and bring the reader there", async () => {
    const page = await open(FOUR);
    await page.locator("a[href='#sim=chapter-3']").focus();
    await page.keyboard.press("Enter");
    assert.equal((await shown(page)).preset, "chapter-3");
    const focused = await page.evaluate(() => document.activeElement.shadowRoot.activeElement.dataset.do);
    assert.equal(focused, "play");
    await press(page, "play");
    assert.notEqual((await shown(page)).lost, "0");
    await page.locator("a[href='#sim=chapter-5']").click();
    await ticks(page, 26);
    const held = await shown(page);
    assert.deepEqual([held.policy, held.lost], ["hold", "0"]);
    assert.match(held.says, /high mark, and doesn’t read.*window is zero, and the backend’s write waits/);
    assert.deepEqual(page.complaints, []);
    await page.close();
});

test("several simulators on one page do not disturb one another", async () => {
    const page = await open("print.html");
    await page.evaluate(() => document.querySelectorAll("buffer-sim").length < 2 && document.querySelector("main").append(document.createElement("buffer-sim")));
    const last = await page.locator("buffer-sim").count() - 1;
    const before = await shown(page, last);
    await ticks(page, 10);
    assert.deepEqual(await shown(page, last), before);
    await page.locator("buffer-sim").nth(last).locator("[data-preset]").selectOption("spill");
    assert.notEqual((await shown(page, 0)).preset, "spill");
    await page.close();
});

test("the sentence is only touched when it changes, so that it is not read out at every tick", async () => {
    const page = await open(FOUR);
    const count = await page.evaluate(() => {
        const root = document.querySelector("buffer-sim").shadowRoot;
        const said = root.querySelector("[role=status] p");
        let changes = 0;
        new MutationObserver((list) => (changes += list.length)).observe(said, { childList: true, characterData: true, subtree: true });
        for (let i = 0; i < 100; i += 1) root.querySelector("[data-do=step]").click();
        return new Promise((resolve) => setTimeout(() => resolve(changes), 50));
    });
    assert.ok(count > 2 && count < 12, `${count} changes in 96 ticks`);
    await page.close();
});
