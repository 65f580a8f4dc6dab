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
    // The tick that is under way is played to its end, and no other begins.
    const at = await page.evaluate(() => document.querySelector("buffer-sim").at);
    await page.waitForTimeout(900);
    assert.equal((await shown(page)).tick, `tick ${at}`, "it plays on");
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
    assert.deepEqual(changed.places, three.places, "the bytes stay where they are");
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
        for (const [preset, moment] of [["chapter-1", 20], ["chapter-2", 30], ["chapter-3", 14], ["chapter-3", 60], ["chapter-4", 28], ["chapter-5", 26], ["four-buffers", 26], ["spill", 25]]) {
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
    for (const [preset, moment] of [["chapter-2", 20], ["chapter-3", 14], ["chapter-5", 26], ["four-buffers", 26], ["spill", 25]]) {
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

test("by touch, on a telephone: play, pause, step, scrub, another preset, another policy", async () => {
    const telephone = await start({ hasTouch: true, isMobile: true, viewport: { width: 390, height: 844 } });
    try {
        const page = await open(FOUR, { context: telephone.context, width: 390 });
        const sim = page.locator("buffer-sim").first();
        await sim.evaluate((sim) => (sim.touched = true)); // it would play by itself
        const tap = (action) => sim.locator(`[data-do=${action}]`).tap();
        await tap("play");
        await page.waitForFunction(() => document.querySelector("buffer-sim").shadowRoot.querySelector("[data-tick]").textContent === "tick 2");
        await tap("play");
        assert.equal((await shown(page)).play, "Play");
        const paused = await sim.evaluate((sim) => sim.at);
        await tap("step");
        assert.equal(await sim.evaluate((sim) => sim.at), paused + 1);

        // A finger on the scrubber, which then moves to the right.
        const { x, y, width, height } = await sim.locator("#moment").boundingBox();
        await page.touchscreen.tap(x + width / 4, y + height / 2);
        const quarter = await sim.evaluate((sim) => sim.at / (sim.frames.length - 1));
        assert.ok(quarter > 0.15 && quarter < 0.35, `${quarter} of the way`);
        const finger = await telephone.context.newCDPSession(page);
        const touch = (type, at) => finger.send("Input.dispatchTouchEvent", { type, touchPoints: at === undefined ? [] : [{ x: x + width * at, y: y + height / 2 }] });
        await touch("touchStart", quarter);
        for (const at of [0.3, 0.5, 0.7, 0.8]) await touch("touchMove", at);
        await touch("touchEnd");
        await page.waitForFunction(() => {
            const sim = document.querySelector("buffer-sim");
            return sim.at > 0.7 * sim.frames.length;
        });

        // What a touch of a select opens is the telephone's own; what was chosen there comes as a change.
        for (const [select, value] of [["[data-preset]", "chapter-3"], ["[data-policy]", "hold"]]) {
            const folded = sim.locator("details").filter({ has: page.locator("[data-policy]") });
            if (select === "[data-policy]") await folded.locator("summary").tap();
            const list = sim.locator(select);
            await list.tap();
            assert.ok(await list.evaluate((list) => list.getRootNode().activeElement === list), `${select} does not take a touch`);
            await list.selectOption(value);
        }
        const { policy, tick, lost } = await shown(page);
        assert.deepEqual([policy, tick, lost], ["hold", "tick 0", "0"]);
        await tap("play");
        await page.waitForFunction(() => document.querySelector("buffer-sim").at > 2);
        await tap("reset");
        assert.equal((await shown(page)).tick, "tick 0");

        const low = await sim.evaluate((sim) => [...sim.shadowRoot.querySelectorAll("button, select, input, summary")]
            .filter((control) => control.checkVisibility() && control.getBoundingClientRect().height < 44).map((control) => control.outerHTML.slice(0, 60)));
        assert.deepEqual(low, [], "too low for a finger");
        assert.deepEqual(page.complaints, []);
    } finally {
        await telephone.close();
    }
});

test("the marks of backpressure: who is stopped by whom, from the client back to the backend's write", async () => {
    const page = await open(FOUR, { hash: "#sim=chapter-5" });
    const stage = (tick) => page.locator("buffer-sim").first().evaluate((sim, tick) => {
        sim.seek(tick);
        const root = sim.shadowRoot;
        const texts = (selector) => [...root.querySelectorAll(selector)].map((box) => box.innerText.replaceAll("\n", " ").trim()).filter(Boolean);
        const top = (selector) => root.querySelector(selector).getBoundingClientRect().top;
        return {
            barriers: texts(".arrowword"), waits: texts(".wait"), marks: texts(".mark"), queues: texts(".queue"), tally: texts(".tally"),
            paused: sim.state.paused, memory: model(sim), highest: Math.min(...[...root.querySelectorAll(".piece.proxy")].map((piece) => piece.getBoundingClientRect().top)),
            high: top(".mark.high"), low: top(".mark.low"),
        };
        function model({ state }) {
            return state.proxy.reduce((sum, [from, to]) => sum + to - from, 0);
        }
    }, tick);
    const early = await stage(10);
    assert.deepEqual([early.barriers, early.waits, early.marks], [["full"], [], ["high 512 KiB", "low 256 KiB"]]);
    assert.ok(early.high < early.low && early.highest > early.high);
    const paused = await stage(20);
    assert.deepEqual([paused.barriers, paused.waits, paused.tally], [["paused", "full"], [], ["1 pauses 0 resumes"]]);
    assert.ok(paused.highest < paused.high + 4, "what waits reaches the mark");
    const stopped = await stage(26);
    assert.deepEqual([stopped.barriers, stopped.waits], [["window 0", "paused", "full"], ["write waits"]]);
    assert.deepEqual(stopped.queues, ["Recv-Q 262,144", "Send-Q 262,144"]);
    const resumed = await stage(34);
    assert.deepEqual([resumed.paused, resumed.tally], [false, ["1 pauses 1 resumes"]]);
    assert.ok(resumed.memory > 256 * 1024 - 65536 && resumed.memory < 512 * 1024);

    // The low mark is folded away, goes where it is set, and on the high one there are many more pauses.
    const count = () => page.locator("buffer-sim").first().evaluate((sim) => {
        sim.seek(sim.frames.length);
        return Number(sim.shadowRoot.querySelector("[data-pauses]").textContent);
    });
    const two = await count();
    await press(page, "reset");
    await page.locator("buffer-sim summary").first().click();
    await page.locator("buffer-sim #low").first().fill("512");
    const one = await stage(10);
    assert.ok(Math.abs(one.high - one.low) < 1 && one.marks.includes("low 512 KiB"));
    const many = await count();
    assert.ok(many >= 3 * two, `${many} pauses, and ${two} with two marks`);
    assert.equal(await page.locator("buffer-sim #receive").first().isVisible(), true);
    await page.locator("buffer-sim [data-preset]").first().selectOption("chapter-4");
    for (const name of ["receive", "memory", "low"]) assert.equal(await page.locator(`buffer-sim #${name}`).first().isVisible(), false, name);
    await page.close();
});

test("four buffers where the page teaches four, and one in the chapters before chapter 5", async () => {
    const buffers = (page, nth = 0) => page.locator("buffer-sim").nth(nth).evaluate((sim) => {
        sim.seek(sim.frames.length);
        const names = [...sim.shadowRoot.querySelectorAll(".name")].map((name) => name.innerText.replaceAll("\n", " "));
        return { tanks: sim.shadowRoot.querySelectorAll(".tank").length, names, full: sim.shadowRoot.querySelectorAll(".tank.full").length };
    });
    const where = await open("where-bytes-wait.html");
    const four = await buffers(where);
    assert.deepEqual([four.tanks, four.full], [4, 4]);
    assert.deepEqual(four.names.filter((name) => /buffer/.test(name)), ["send buffer", "receive buffer", "send buffer", "receive buffer"]);
    assert.match((await shown(where)).says, /All four buffers are full\. The proxy’s write waits, and so does the backend’s/);
    await where.locator("buffer-sim #client").first().fill("64");
    await press(where, "play");
    assert.match((await shown(where)).says, /Every byte has arrived/);
    assert.deepEqual((await shown(where)).places.delivered, Array.from({ length: 30 }, (_, i) => i + 1));
    await where.close();
    for (const preset of ["chapter-1", "chapter-2", "chapter-3", "chapter-4"]) {
        const page = await open(THREE, { hash: `#sim=${preset}` });
        assert.equal((await buffers(page)).tanks, 1, preset);
        await page.close();
    }
});

test("what a newcomer stumbled over: nothing vanishes uncounted, looks stuck, or stands in the wrong place", async () => {
    const page = await open(THREE);
    const look = (tick) => page.locator("buffer-sim").first().evaluate((sim, tick) => {
        sim.seek(tick);
        const root = sim.shadowRoot;
        const rect = (selector) => root.querySelector(selector).getBoundingClientRect();
        const blocks = (ranges) => globalThis.BufferStage.pieces(ranges).length;
        const hidden = [...root.querySelectorAll(".piece")].filter((piece) => getComputedStyle(piece.firstChild).visibility === "hidden").map((piece) => piece.textContent);
        const beside = [...root.querySelectorAll(".tag, .square")].map((tag) => tag.textContent).filter(Boolean);
        const small = [...root.querySelectorAll(".sim *")].filter((box) => [...box.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())
            && box.checkVisibility({ visibilityProperty: true }) && !box.closest("style") && parseFloat(getComputedStyle(box).fontSize) < 11);
        return {
            lost: blocks(sim.state.lost), seen: root.querySelectorAll(".piece.lost").length, more: (root.querySelector(".more.lost") || { textContent: "+0" }).textContent,
            counter: rect(".counter").left, proxy: [rect(".box.proxy").left, rect(".box.proxy").right],
            hidden, beside, small: small.map((box) => box.className), hand: root.querySelector(".free")?.textContent,
            strip: root.querySelector("[data-strip]").hidden ? "" : root.querySelector(".stripword").textContent,
        };
    }, tick);
    let counted = 0;
    for (const width of [1280, 390]) {
        await page.setViewportSize({ width, height: 844 });
        await page.waitForTimeout(60);
        for (let tick = 0; tick < 90; tick += 3) {
            const now = await look(tick);
            assert.equal(now.seen + Number(now.more), now.lost, `lost blocks at tick ${tick}`);
            counted = Math.max(counted, Number(now.more));
            assert.ok(now.counter >= now.proxy[0] - 1 && now.counter < now.proxy[1], "the lost counter stands under the proxy");
            assert.deepEqual(now.hidden.filter((block) => !now.beside.includes(block)), [], `slivers without a number at tick ${tick}`);
            assert.deepEqual(now.small, [], "words smaller than 11 pixels");
            assert.equal(now.hand, "free");
            assert.match(now.strip, /chunks.*size line/);
        }
    }
    assert.ok(counted > 5);
    // Chunks are explained where they matter, and folded away where they would only be a second kind of block.
    for (const preset of ["chapter-1", "chapter-2", "chapter-4", "chapter-5", "four-buffers"]) {
        await page.locator("buffer-sim [data-preset]").first().selectOption(preset);
        assert.equal((await look(20)).strip, "", preset);
    }
    await page.close();
});

test("the scrubber knows the end from the beginning, and leads there", async () => {
    const page = await open(FOUR);
    const scrubber = page.locator("buffer-sim #moment").first();
    const where = () => scrubber.evaluate(({ value, max }) => Number(value) / Number(max));
    await ticks(page, 10);
    const early = await where();
    assert.ok(early > 0.02 && early < 0.3, `${early} of the way after ten ticks`);
    await scrubber.focus();
    await page.keyboard.press("End");
    assert.equal(await where(), 1);
    assert.match((await shown(page)).says, /Every byte has arrived/);
    assert.equal((await shown(page)).play, "To the end");
    // Nobody who reads nothing gets to an end: it is where nothing more happens.
    await page.keyboard.press("Home");
    await page.locator("buffer-sim #client").first().fill("0");
    await press(page, "play");
    assert.equal(await where(), 1);
    await page.close();
});

test("words and counters come when the blocks have arrived", async () => {
    const page = await open(FOUR, { context: browser.context });
    const found = await page.evaluate(async () => {
        const sim = document.querySelector("buffer-sim");
        const root = sim.shadowRoot;
        sim.touched = true;
        sim.scrollIntoView();
        sim.load("chapter-3");
        const wrong = [];
        let changes = 0;
        const observer = new MutationObserver(() => {
            changes += 1;
            const layer = root.querySelector(".pieces").getBoundingClientRect();
            const says = root.querySelector("[data-say]").textContent;
            if (sim.at && says !== globalThis.BufferModel.sentence(sim.state)) wrong.push(`tick ${sim.at}: ${says}`);
            const lost = Number(root.querySelector("[data-sum=lost]").textContent.replaceAll(",", ""));
            if (lost !== globalThis.BufferModel.ledger(sim.state).lost) wrong.push(`tick ${sim.at}: ${lost} lost`);
            for (const piece of root.querySelectorAll(".piece:not(.gone)")) {
                const [, x, y, tilt] = piece.style.transform.match(/translate\((.+?)px, (.+?)px\) rotate\((.+?)deg/).map(Number);
                const now = piece.getBoundingClientRect();
                if (tilt === 0 && Math.hypot(now.left - layer.left - x, now.top - layer.top - y) > 2) wrong.push(`tick ${sim.at}: block ${piece.textContent} is on its way`);
            }
        });
        observer.observe(root.querySelector("[data-say]"), { childList: true, characterData: true, subtree: true });
        sim.run();
        while (sim.at < 14) await new Promise(requestAnimationFrame);
        sim.pause();
        return { wrong, changes };
    });
    assert.deepEqual(found.wrong, []);
    assert.ok(found.changes >= 3, `${found.changes} sentences`);
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
