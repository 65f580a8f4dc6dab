// <buffer-sim preset="chapter-3">: the simulator. A custom element without a framework, drawn with HTML and CSS in a
// shadow root, so that ids stay its own however many stand on a page. Its bytes are moved by buffer-model.js.
//
// What stands inside the element is the text equivalent: shown without JavaScript and in print, and on request.
// A link to #sim=NAME loads a preset into the nearest simulator.
"use strict";

(function () {
    const model = globalThis.BufferModel;
    if (!model || !globalThis.customElements || customElements.get("buffer-sim")) return;
    const { KIB } = model;

    /** Milliseconds between two ticks. */
    const BEAT = 170;

    /** Cells in the strip of chunks. */
    const CELLS = 48;

    const POLICIES = [
        ["one", "waits, and serves one client at a time (step 01)"],
        ["block", "waits inside write (step 02)"],
        ["drop", "forgets the rest (step 03)"],
        ["buffer", "keeps the rest in memory (step 04)"],
        ["hold", "stops reading: backpressure"],
        ["spill", "spills the rest to disk"],
    ];

    const PRESETS = globalThis.BufferPresets;

    const PLACES = [
        ["delivered", "with the client"],
        ["kernel", "in the kernel"],
        ["proxy", "in the proxy’s memory"],
        ["disk", "on disk"],
        ["lost", "lost"],
    ];

    const STYLE = `
:host { display: block; color: var(--press-ink, #222); font: 1.5rem/1.45 var(--press-sans, system-ui, sans-serif);
  container-type: inline-size; --d: var(--delivered, #1a7f5a); --k: var(--kernel, #2f6fc4); --p: var(--proxy, #7d52c7);
  --disk: var(--disk, #8a6d1d); --l: var(--lost, #c62f2f); --line: var(--press-line, #ccc); --soft: var(--press-soft, #666);
  --card: var(--press-card, #fff); --well: var(--press-well, #f4f4f4); }
:host([hidden]) { display: none; }
*, *::before, *::after { box-sizing: border-box; }
.fallback { display: none; }
.sim { border: 1px solid var(--line); border-radius: 12px; background: var(--card); overflow: clip; }
.top { display: flex; flex-wrap: wrap; gap: .6rem 1.6rem; align-items: center; justify-content: space-between;
  padding: 1rem 1.6rem; background: var(--well); border-bottom: 1px solid var(--line); }
.title { font-weight: 700; margin: 0; font-size: 1.6rem; }
label { color: var(--soft); font-size: 1.35rem; }
select, button { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--control, var(--press-control, #888));
  border-radius: 7px; padding: .5rem .9rem; min-height: 3.6rem; max-width: 100%; }
button { cursor: pointer; font-weight: 600; }
button:hover, select:hover { border-color: var(--press-accent, #225); }
button.play { background: var(--press-accent, #1f4e79); border-color: var(--press-accent, #1f4e79); color: var(--press-on-accent, #fff); min-width: 9.5rem; }
:focus-visible { outline: 3px solid var(--press-focus, #b35c00); outline-offset: 2px; }
.body { padding: 1.4rem 1.6rem 1.6rem; }

.stage { display: grid; grid-template-columns: 11rem 1fr auto 1fr 11rem 1fr 11rem; align-items: end; max-width: 78rem; margin-inline: auto; }
.station { text-align: center; min-width: 0; }
.station.proxy { min-width: 11rem; }
.name { font-weight: 600; font-size: 1.4rem; line-height: 1.2; min-height: 2.4em; display: grid; align-content: end; padding-bottom: .5rem; }
.machine { height: 15rem; display: grid; place-items: center; }
.machine svg { width: min(7.2rem, 90%); height: auto; overflow: visible; }
.value { font-variant-numeric: tabular-nums; font-size: 1.35rem; min-height: 3.9rem; padding-top: .5rem; line-height: 1.3; }
.value b { display: block; }
.value span { color: var(--soft); }
.tanks { height: 15rem; display: flex; gap: .8rem; justify-content: center; }
.tank { position: relative; width: 8rem; height: 100%; border: 2px solid var(--soft); border-radius: 4px 4px 9px 9px;
  background: var(--well); overflow: hidden; }
.tank.open { border-top: 2px dotted var(--soft); border-radius: 0 0 9px 9px; }
.tank.full { border-color: var(--press-warn, #b35c00); }
.fill { position: absolute; inset: auto 0 0 0; height: 0; background: var(--c); }
.tank.kernel { --c: var(--k); } .tank.memory { --c: var(--p); } .tank.disk { --c: var(--disk); }
.tank.disk { border-radius: 50% / 1.2rem; }
.tank[hidden] { display: none; }
.mark { position: absolute; inset: auto 0 50% 0; border-top: 2px dashed var(--press-ink, #222); opacity: .65; }
.in { position: absolute; inset: .4rem 0 auto; font-size: 1.15rem; line-height: 1.15; text-align: center; padding: .1rem .2rem; }
.in span { white-space: nowrap; background: var(--card); border-radius: 4px; padding: .05rem .4rem; box-decoration-break: clone; -webkit-box-decoration-break: clone; }
.moving .fill { transition: height .16s linear; }

.pipe { align-self: end; height: 15rem; margin-bottom: 3.9rem; position: relative; }
.pipe::before { content: ""; position: absolute; left: 2px; right: 2px; bottom: 5.4rem; height: 1.2rem; border-block: 2px solid var(--line); }
.pipe::after { content: ""; position: absolute; left: 3px; right: 3px; bottom: calc(5.4rem + 3px); height: calc(1.2rem - 6px); opacity: 0;
  background: repeating-linear-gradient(90deg, var(--c) 0 8px, transparent 8px 14px); }
.pipe.flows::after { opacity: 1; }
.pipe.a { --c: var(--press-ink, #222); } .pipe.b { --c: var(--p); } .pipe.c { --c: var(--k); }
.moving .pipe.flows::after { animation: flow .5s linear infinite; }
@keyframes flow { from { background-position: 0 0; } to { background-position: 14px 0; } }
.pipe .stop { position: absolute; left: 50%; bottom: 3.6rem; width: .5rem; height: 4.8rem; margin-left: -.25rem; border-radius: 3px; background: var(--press-warn, #b35c00); display: none; }
.pipe .word { position: absolute; bottom: 8.8rem; left: 50%; transform: translateX(-50%); font-size: 1.2rem; font-weight: 600; color: var(--press-warn, #b35c00);
  background: var(--card); padding: 0 .3rem; border-radius: 3px; display: none; white-space: nowrap; z-index: 1; }
.pipe.stopped .stop, .pipe.stopped .word { display: block; }
.drip { position: absolute; left: 50%; margin-left: -.35rem; bottom: 4.5rem; width: .7rem; height: .9rem; border-radius: 50% 50% 50% 50% / 65% 65% 35% 35%; background: var(--l); opacity: 0; }
.pipe.leaks .drip { opacity: 1; }
.pipe.leaks .drip:nth-of-type(2) { bottom: 2.9rem; } .pipe.leaks .drip:nth-of-type(3) { bottom: 1.3rem; }
.moving .pipe.leaks .drip { animation: drip .5s linear infinite; }
@keyframes drip { to { transform: translateY(1.6rem); } }

.under { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; margin-bottom: 1.4rem; align-items: stretch; }
.box { border: 1px solid var(--line); border-radius: 9px; padding: .7rem 1rem; min-width: 0; }
.box .head { margin: 0; font: inherit; font-size: 1.35rem; color: var(--soft); }
.box.bad { border-color: var(--l); box-shadow: inset 4px 0 0 var(--l); }
.lostcount { font-size: 2.2rem; font-weight: 700; line-height: 1.2; font-variant-numeric: tabular-nums; }
.bad .lostcount { color: var(--lost-ink, var(--l)); }
.people { display: flex; flex-wrap: wrap; gap: .5rem; margin: .3rem 0; }
.person { width: 2.5rem; height: 2.5rem; border-radius: 50%; border: 2px solid var(--soft); font-size: 1.3rem; line-height: 2.1rem; text-align: center; }
.person.waits { background: var(--press-warn, #b35c00); border-color: var(--press-warn, #b35c00); color: var(--press-on-warn, #fff); font-weight: 700; }
.note { font-size: 1.35rem; color: var(--soft); font-variant-numeric: tabular-nums; }

.status { margin: 1.2rem 0; padding: .9rem 1.2rem; border-left: 4px solid var(--press-accent, #1f4e79); background: var(--well); border-radius: 0 8px 8px 0; min-height: 6.2rem; }
.status p { margin: 0; }
.sum { margin-top: .2rem; display: flex; height: 1.6rem; border-radius: 5px; overflow: hidden; background: var(--well); border: 1px solid var(--line); }
.sum i { display: block; height: 100%; width: 0; }
.moving .sum i { transition: width .16s linear; }
i.delivered, .key.delivered { background: var(--d); } i.kernel, .key.kernel { background: var(--k); } i.proxy, .key.proxy { background: var(--p); }
i.disk, .key.disk { background: var(--disk); }
i.lost, .key.lost { background: repeating-linear-gradient(135deg, var(--l) 0 5px, var(--card) 5px 7px); }
.ledger { display: flex; flex-wrap: wrap; gap: .1rem 1.6rem; margin: .6rem 0 1.4rem; padding: 0; list-style: none; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.key { display: inline-block; width: 1.1rem; height: 1.1rem; border-radius: 3px; margin-right: .5rem; border: 1px solid var(--soft); }
.strip { margin: 0 0 .5rem; font: inherit; font-weight: 600; font-size: 1.4rem; }
.chunks { display: grid; grid-template-columns: repeat(24, 1fr); gap: 3px; }
.cell { height: 2.2rem; border: 1px solid var(--line); border-left: 4px solid var(--line); border-radius: 3px; font-size: 1.3rem; line-height: 2rem; text-align: center; font-weight: 700; position: relative; overflow: hidden; }
.cell.way { background: repeating-linear-gradient(90deg, var(--k) 0 2px, transparent 2px 6px); border-color: var(--k); }
.cell.whole { background: var(--d); border-color: var(--d); border-left-color: var(--press-ink, #222); color: var(--press-on-accent, #fff); }
.cell.damaged { border-color: var(--l); color: var(--lost-ink, var(--l)); background: var(--lost-soft, #fdecec); border-left-color: var(--press-ink, #222); }
.cell.missing { border: 1px dashed var(--l); border-left: 4px dotted var(--l); color: var(--lost-ink, var(--l)); }
.cell.headless { border-left: 4px dotted var(--l); }
.cell.end { outline: 3px solid var(--press-ink, #222); outline-offset: 0; z-index: 1; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; margin: .7rem 0 0; padding: 0; list-style: none; font-size: 1.25rem; color: var(--soft); }
.legend .cell { display: inline-block; width: 2rem; height: 1.6rem; line-height: 1.4rem; font-size: 1.1rem; vertical-align: -.25rem; margin-right: .5rem; }

.controls { margin-bottom: 1.6rem; padding-bottom: 1.6rem; border-bottom: 1px solid var(--line); display: grid; gap: 1.2rem 2.4rem; grid-template-columns: 1fr 1fr; }
.buttons { display: flex; flex-wrap: wrap; gap: .7rem; grid-column: 1 / -1; }
.field { display: grid; grid-template-columns: 1fr auto; gap: .1rem .8rem; align-items: baseline; min-width: 0; }
.field output { font-variant-numeric: tabular-nums; font-size: 1.35rem; }
.field input, .field select { grid-column: 1 / -1; width: 100%; margin: 0; }
input[type=range] { height: 2.8rem; accent-color: var(--press-accent, #1f4e79); cursor: pointer; }
.small { margin: 1.2rem 0 0; font-size: 1.25rem; color: var(--soft); }
details { margin-top: 1rem; font-size: 1.4rem; }
summary { cursor: pointer; color: var(--soft); }
.table { overflow-x: auto; margin-top: .8rem; }
.hide { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

@container (max-width: 560px) {
  .body { padding: 1rem; } .top { padding: .8rem 1rem; } .top label, .top select { width: 100%; }
  .stage { grid-template-columns: 5.8rem 1fr minmax(6.4rem, auto) 1fr 6.4rem 1fr 5.8rem; }
  .tank { width: 5.6rem; } .tank.disk { width: 4.6rem; } .station.proxy { min-width: 6.4rem; }
  .name, .value { font-size: 1.2rem; }
  .machine svg { width: min(5rem, 90%); }
  .tanks { gap: .3rem; }
  .under, .controls { grid-template-columns: 1fr; }
  .chunks { grid-template-columns: repeat(12, 1fr); }
  .buttons { display: grid; grid-template-columns: 1fr 1fr; } .in { font-size: 1.05rem; } .in span { padding-inline: .2rem; }
  .pipe .word { font-size: 1.1rem; }
}
@media (forced-colors: active) { .fill, .sum i, .cell, .key { forced-color-adjust: none; } }
@media (prefers-reduced-motion: reduce) { *, *::before, *::after { animation: none !important; transition: none !important; } }
@media print { .sim { display: none; } .fallback { display: block; } }
`;

    const SERVER = `<svg viewBox="0 0 48 60" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="2.5"><rect x="4" y="4" width="40" height="15" rx="3"/><rect x="4" y="23" width="40" height="15" rx="3"/><rect x="4" y="42" width="40" height="15" rx="3"/><path d="M11 11.5h12M11 30.5h12M11 49.5h12" stroke-linecap="round"/><circle cx="36" cy="11.5" r="1.6" fill="currentColor"/><circle cx="36" cy="30.5" r="1.6" fill="currentColor"/><circle cx="36" cy="49.5" r="1.6" fill="currentColor"/></svg>`;
    const LAPTOP = `<svg viewBox="0 0 60 48" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="2.5" stroke-linejoin="round"><rect x="9" y="5" width="42" height="28" rx="3"/><path d="M3 42l5-9h44l5 9z"/><text class="face" x="30" y="25" text-anchor="middle" font-size="17" font-weight="700" fill="currentColor" stroke="none">…</text></svg>`;

    const field = (name, label, max, step) => `
      <div class="field"><label for="${name}">${label}</label><output for="${name}" data-out="${name}"></output>
      <input type="range" id="${name}" data-set="${name}" min="${name === "kernel" ? step : 0}" max="${max}" step="${step}"></div>`;

    const TEMPLATE = `
<style>${STYLE}</style>
<div class="fallback"></div>
<section class="sim" aria-label="Simulator: where the bytes go">
  <div class="top">
    <p class="title">Where do the bytes go?</p>
    <label>Settings <select data-preset></select></label>
  </div>
  <div class="body">
    <div class="stage" role="img" data-stage>
      <div class="station"><div class="name">backend</div><div class="machine">${SERVER}</div><div class="value" data-value="backend"></div></div>
      <div class="pipe a"><div class="stop"></div><div class="word">waits</div></div>
      <div class="station proxy"><div class="name">proxy</div><div class="tanks">
        <div class="tank memory"><div class="fill" data-fill="proxy"></div><div class="mark" hidden></div><div class="in"><span>memory</span></div></div>
        <div class="tank disk" hidden><div class="fill" data-fill="disk"></div><div class="in"><span>disk</span></div></div>
      </div><div class="value" data-value="proxy"></div></div>
      <div class="pipe b"><i class="drip"></i><i class="drip"></i><i class="drip"></i></div>
      <div class="station"><div class="name">kernel’s send buffer</div><div class="tanks"><div class="tank kernel"><div class="fill" data-fill="kernel"></div></div></div><div class="value" data-value="kernel"></div></div>
      <div class="pipe c"><div class="stop"></div><div class="word">stalls</div></div>
      <div class="station"><div class="name">client</div><div class="machine">${LAPTOP}</div><div class="value" data-value="client"></div></div>
    </div>
    <div class="status" role="status" aria-live="polite"><p data-say></p></div>
    <div class="controls" role="group" aria-label="Controls">
      <div class="buttons">
        <button type="button" class="play" data-do="play">Play</button>
        <button type="button" data-do="step">Step</button>
        <button type="button" data-do="ten">Ten steps</button>
        <button type="button" data-do="reset">Start again</button>
      </div>
      ${field("backend", "The backend sends", 64, 4)}
      ${field("client", "The client reads", 64, 4)}
      ${field("kernel", "The kernel’s send buffer", 256, 16)}
      <div class="field"><label for="policy">When it is full, the proxy</label>
        <select id="policy" data-policy></select></div>
    </div>
    <div class="under">
      <div class="box" data-lostbox><p class="head">Lost</p><div class="lostcount" data-lost></div><div class="note" data-lostnote></div></div>
      <div class="box" data-crowd><p class="head">The other clients</p><div class="people" aria-hidden="true"></div><div class="note" data-others></div></div>
    </div>
    <div class="sum" aria-hidden="true">${PLACES.map(([place]) => `<i class="${place}"></i>`).join("")}</div>
    <ul class="ledger" data-ledger></ul>
    <p class="strip">The page, chunk by chunk</p>
    <div class="chunks" role="img" data-chunks></div>
    <ul class="legend" aria-hidden="true">
      <li><span class="cell"></span>not sent yet</li><li><span class="cell way"></span>under way</li><li><span class="cell whole">✓</span>whole</li>
      <li><span class="cell damaged">✕</span>bytes missing inside</li><li><span class="cell missing">–</span>all of it missing</li>
      <li>left edge: the chunk’s size line, dotted where it is lost</li>
    </ul>
    <p class="small">A model, not a measurement: a tick is one turn of the loop, and everything is made small enough to be seen. The page has 48 chunks of 20 KiB.</p>
    <details data-table><summary>The same in words</summary><div class="table"><slot></slot></div></details>
  </div>
</section>`;

    const number = new Intl.NumberFormat("en");
    const kib = (bytes) => {
        if (bytes === 0) return "0 KiB";
        return bytes < KIB ? `${number.format(bytes)} B` : `${number.format(Math.round(bytes / KIB))} KiB`;
    };
    const plural = (count, one, many) => `${number.format(count)} ${count === 1 ? one : many}`;

    const reduced = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

    class BufferSim extends HTMLElement {
        static observedAttributes = ["preset"];

        connectedCallback() {
            if (this.shadowRoot) return;
            const root = this.attachShadow({ mode: "open" });
            root.innerHTML = TEMPLATE;
            this.$ = (selector) => root.querySelector(selector);
            this.$$ = (selector) => [...root.querySelectorAll(selector)];
            this.timer = null;

            // Readers who have not come to chapter 3 are to find out for themselves what step 03 does with the rest, so
            // the pages before it offer only what came before them.
            const asked = this.getAttribute("preset");
            const first = Object.hasOwn(PRESETS, asked) ? asked : "chapter-3";
            const order = (policy) => POLICIES.findIndex(([name]) => name === policy);
            const own = order(PRESETS[first].policy);
            const last = own < order("drop") ? own : POLICIES.length;
            const offered = Object.entries(PRESETS).filter(([, { policy }]) => order(policy) <= last);
            this.$("[data-policy]").innerHTML = POLICIES.slice(0, last + 1)
                .map(([name, words]) => `<option value="${name}">${words}</option>`).join("");
            this.$("[data-preset]").innerHTML =
                offered.map(([name, { title }]) => `<option value="${name}">${title}</option>`).join("") +
                `<option value="" hidden>Your own</option>`;
            const cells = Math.min(CELLS, model.DEFAULTS.chunks);
            this.$("[data-chunks]").innerHTML = `<div class="cell"></div>`.repeat(cells);
            this.$(".people").innerHTML = `<div class="person"></div>`.repeat(model.DEFAULTS.others);
            this.$("[data-ledger]").innerHTML = PLACES.map(
                ([place, words]) => `<li><span class="key ${place}"></span>${words}: <b data-sum="${place}"></b></li>`,
            ).join("");
            // With little motion wanted, the reader takes the steps.
            this.$("[data-do=play]").hidden = reduced();

            root.addEventListener("click", (event) => {
                const button = event.target.closest("[data-do]");
                if (button) this[button.dataset.do]();
            });
            root.addEventListener("input", (event) => {
                const name = event.target.dataset.set;
                if (name) this.change({ [name]: event.target.value * KIB });
            });
            root.addEventListener("change", (event) => {
                if (event.target.matches("[data-policy]")) this.change({ policy: event.target.value });
                if (event.target.matches("[data-preset]")) this.load(event.target.value);
            });
            // mdBook turns pages with the arrow keys and searches at "s"; a key pressed in here is meant for here.
            root.addEventListener("keydown", (event) => {
                if (event.key !== "Tab" && event.key !== "Escape" && !event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
            });
            // In print the text stands in for the picture.
            const slot = root.querySelector("slot");
            addEventListener("beforeprint", () => this.$(".fallback").append(slot));
            addEventListener("afterprint", () => this.$(".table").append(slot));

            this.load(first);
        }

        disconnectedCallback() {
            this.pause();
        }

        attributeChangedCallback(_name, before, now) {
            if (this.shadowRoot && before !== now) this.load(now);
        }

        /** Loads a preset and starts again. A name that does not exist is ignored. */
        load(name) {
            if (!Object.hasOwn(PRESETS, name)) return false;
            this.preset = name;
            this.config = { ...model.DEFAULTS, ...model.PRESETS[name] };
            this.$("[data-preset]").value = name;
            this.reset();
            return true;
        }

        /** Back to the first tick, with the settings as they are. */
        reset() {
            this.pause();
            this.state = model.create(this.config);
            this.before = this.state;
            this.told = new Set();
            this.say(this.preset ? `${PRESETS[this.preset].intro} ${reduced() ? "Take a step." : "Press Play, or take a step."}` : "Your own settings, from the start.");
            this.show();
        }

        /** Another setting, from this tick on. */
        change(changes) {
            this.config = { ...this.config, ...changes };
            this.preset = null;
            this.$("[data-preset]").value = "";
            this.state = model.configure({ ...this.state, still: 0 }, changes);
            this.before = this.state;
            if (changes.policy) this.told = new Set();
            else this.told.delete("still");
            this.show();
        }

        play() {
            if (this.timer) return this.pause();
            if (model.settled(this.state)) this.reset();
            this.timer = setInterval(() => {
                if (document.hidden) return;
                this.advance();
                if (model.settled(this.state)) this.pause();
            }, BEAT);
            this.playing(true);
        }

        pause() {
            clearInterval(this.timer);
            this.timer = null;
            this.playing(false);
        }

        playing(yes) {
            this.$(".sim").classList.toggle("moving", yes && !reduced());
            this.$("[data-do=play]").textContent = yes ? "Pause" : "Play";
        }

        step() {
            this.pause();
            this.advance() || this.say(this.summary());
        }

        ten() {
            this.pause();
            let said = [];
            for (let i = 0; i < 10 && !model.settled(this.state); i += 1) {
                const news = this.advance();
                if (news) said = [news];
            }
            this.say([...said, this.summary()].join(" "));
        }

        /** One tick. Returns what was worth saying, and has said it. */
        advance() {
            this.before = this.state;
            this.state = model.step(this.state);
            const news = this.news().join(" ");
            if (news) this.say(news);
            this.show();
            return news;
        }

        say(text) {
            const p = this.$("[data-say]");
            if (p.textContent !== text) p.textContent = text;
        }

        summary() {
            const { sent, delivered, kernel, proxy, disk, lost } = model.ledger(this.state);
            const parts = [`${kib(delivered)} with the client`, `${kib(kernel)} in the kernel`];
            if (proxy) parts.push(`${kib(proxy)} in the proxy’s memory`);
            if (disk) parts.push(`${kib(disk)} on disk`);
            parts.push(lost ? `${kib(lost)} lost` : "nothing lost");
            return `Tick ${this.state.tick}: ${kib(sent)} sent; ${parts.join(", ")}.`;
        }

        /** What happened in the last tick that a reader would want to be told; each thing once. */
        news() {
            const { state, before } = this;
            const { policy } = state.config;
            const now = model.ledger(state);
            const then = model.ledger(before);
            const news = [];
            const once = (key, happened, words) => {
                if (!happened || this.told.has(key)) return;
                this.told.add(key);
                news.push(words);
            };
            const verdict = model.decode(state);
            once("queue", policy === "one" && state.frozen === 3, "The proxy has one client at a time. Whoever comes now waits until this page is over.");
            once("lost", now.lost > 0, "The kernel’s buffer is full, and write does not wait: it takes less than it was given. The proxy does not look at how much, and the rest is gone.");
            once("blocked", policy === "block" && state.frozen === 3,
                "The kernel’s buffer is full, so write waits until the client reads. It waits inside the only loop: everybody else is frozen.");
            once("slow", policy === "block" && state.blocked && state.frozen === 0 && state.config.client > 0,
                "The kernel’s buffer is full, and write waits for the client. Between two writes the loop comes round, and the others get a turn.");
            once("grows", policy === "buffer" && now.proxy > 0, "The kernel’s buffer is full. What it does not take waits in the proxy’s memory, and nothing says how much that may become.");
            once("paused", policy === "hold" && state.paused, "The proxy’s memory is full to its mark. It stops reading, and the backend has to wait.");
            once("resumed", policy === "hold" && before.paused && !state.paused, "Half of it is free again: the proxy reads on.");
            once("spills", now.disk > 0, "Memory is full. From here on bytes go into a temporary file, behind those that wait in memory.");
            once("unspilled", then.disk > 0 && now.disk === 0, "The file has been read back.");
            once("broken", verdict.kind === "broken",
                `The client reads a size, counts so many bytes of chunk ${verdict.chunk + 1}, and does not find a line end behind them. curl gives up here, with exit status 56.`);
            once("sent", state.sent === state.total && !state.finished, "The backend has sent everything.");
            once("finished", state.finished, this.ending(verdict, now));
            once("still", !state.finished && model.settled(state), this.standstill());
            return news;
        }

        ending(verdict, { lost }) {
            const peak = this.state.peak ? ` The proxy’s memory held ${kib(this.state.peak)} at most.` : "";
            switch (verdict.kind) {
                case "exact":
                    return `The page is over: every byte arrived, in order. curl says nothing, and exits with 0.${peak}`;
                case "broken":
                    return `The page is over, and ${kib(lost)} of it are lost. curl: exit status 56, at chunk ${verdict.chunk + 1}.`;
                case "cut off":
                    return `The page is over before its end: ${kib(lost)} are lost, the last chunk among them. curl: exit status 18.`;
                default:
                    return `The page is over. ${kib(lost)} are lost, and the chunks add up all the same: curl exits with 0, and nobody notices.`;
            }
        }

        standstill() {
            const { config } = this.state;
            if (config.client === 0) return "Nothing moves anymore, and nothing will until the client reads. Give it some speed.";
            return "Nothing moves anymore: the backend sends nothing.";
        }

        /** Draws the state. */
        show() {
            const { state, before } = this;
            const { config } = state;
            const now = model.ledger(state);
            const then = model.ledger(before);
            const verdict = model.decode(state);

            // Tanks. The proxy's memory has a lid only under the policies that give it one.
            const lid = config.policy === "hold" || config.policy === "spill";
            const scale = lid ? config.memory : config.policy === "buffer" ? state.total : 4 * model.BLOCK;
            this.fill("kernel", state.kernel, config.kernel);
            this.fill("proxy", state.proxy, Math.max(scale, now.proxy));
            this.fill("disk", state.disk, state.total);
            const memory = this.$(".tank.memory");
            memory.classList.toggle("open", config.policy === "buffer");
            memory.classList.toggle("full", lid && now.proxy >= config.memory);
            memory.querySelector("span").textContent = config.policy === "one" || config.policy === "block" ? "in hand" : "memory";
            this.$(".mark").hidden = config.policy !== "hold";
            this.$(".tank.disk").hidden = config.policy !== "spill" && now.disk === 0;
            this.$(".tank.kernel").classList.toggle("full", now.kernel >= config.kernel);

            // Pipes.
            const ended = state.sent === state.total;
            const into = this.$(".pipe.a");
            const held = !ended && (state.paused || state.blocked);
            into.classList.toggle("flows", now.sent > then.sent);
            into.classList.toggle("stopped", held);
            const gained = now.delivered + now.kernel - then.delivered - then.kernel;
            this.$(".pipe.b").classList.toggle("flows", gained > 0);
            this.$(".pipe.b").classList.toggle("leaks", now.lost > then.lost);
            const out = this.$(".pipe.c");
            out.classList.toggle("flows", now.delivered > then.delivered);
            out.classList.toggle("stopped", config.client === 0 && now.kernel > 0);

            // Words and numbers.
            const value = (name, strong, soft) => {
                this.$(`[data-value=${name}]`).innerHTML = `<b>${strong}</b><span>${soft}</span>`;
            };
            value("backend", kib(now.sent), ended ? "sent: all" : held ? "has to wait" : "sent");
            value("proxy", now.disk ? `${kib(now.proxy)} + ${kib(now.disk)}` : kib(now.proxy),
                lid ? `of ${kib(config.memory)}` : config.policy === "buffer" ? "no limit" : state.blocked ? "write waits" : config.policy === "drop" ? "keeps nothing" : "in hand");
            value("kernel", kib(now.kernel), `of ${kib(config.kernel)}`);
            const exit = { exact: "curl: 0", broken: "curl: 56", "cut off": "curl: 18", unnoticed: "curl: 0" }[verdict.kind];
            value("client", kib(now.delivered), exit || "arrived");
            this.$(".face").textContent = { exact: "✓", broken: "✕", "cut off": "✕", unnoticed: "?" }[verdict.kind] || "…";

            this.$("[data-lost]").textContent = now.lost ? kib(now.lost) : "0";
            this.$("[data-lostbox]").classList.toggle("bad", now.lost > 0);
            this.$("[data-lostnote]").textContent = now.lost
                ? `${number.format(now.lost)} bytes in ${plural(state.lost.length, "hole", "holes")}`
                : state.refused ? "The kernel was full, and nothing was forgotten." : "bytes";

            const waiting = state.others.filter((other) => other.since !== null).length;
            this.$$(".person").forEach((person, i) => {
                const waits = state.others[i].since !== null;
                person.classList.toggle("waits", waits);
                person.textContent = waits ? "!" : "";
            });
            const frozen = state.frozen >= 3 && waiting > 0;
            this.$("[data-crowd]").classList.toggle("bad", frozen);
            this.$("[data-others]").textContent =
                `${number.format(state.served)} pages served, ` + (waiting ? `${waiting} waiting${frozen ? `: nobody served for ${state.frozen} ticks` : ""}` : "nobody waits");

            for (const [place] of PLACES) {
                this.$(`.sum .${place}`).style.width = `${(100 * now[place]) / state.total}%`;
                this.$(`[data-sum=${place}]`).textContent = kib(now[place]);
            }

            const chunks = model.chunks(state, CELLS);
            const names = { ahead: "", "under way": "way", whole: "whole", damaged: "damaged", missing: "missing" };
            const signs = { ahead: "", "under way": "", whole: "✓", damaged: "✕", missing: "–" };
            const stopped = verdict.kind === "broken" || verdict.kind === "cut off" ? verdict.chunk : -1;
            this.$$("[data-chunks] .cell").forEach((cell, i) => {
                const { word, headless } = chunks[i];
                cell.className = `cell ${names[word]} ${headless && word !== "missing" ? "headless" : ""} ${i === stopped ? "end" : ""}`;
                cell.textContent = signs[word];
            });
            const count = (word) => chunks.filter((chunk) => chunk.word === word).length;
            const headless = chunks.filter((chunk) => chunk.headless).length;
            this.$("[data-chunks]").setAttribute("aria-label",
                `${chunks.length} chunks: ${count("whole")} whole, ${count("damaged")} with bytes missing inside, ${count("missing")} missing altogether, ` +
                `${count("under way")} under way, ${count("ahead")} not sent yet. ${plural(headless, "size line is", "size lines are")} lost.` +
                (stopped >= 0 ? ` The client stops at chunk ${stopped + 1}.` : ""));
            this.$("[data-stage]").setAttribute("aria-label",
                `Backend, proxy, the kernel’s send buffer and client, in a row. ${this.summary()}` +
                (held ? " The backend has to wait." : "") + (frozen ? " The other clients are frozen." : ""));

            // The controls show what is set, whoever set it.
            for (const input of this.$$("[data-set]")) {
                const name = input.dataset.set;
                input.value = config[name] / KIB;
                const words = name === "kernel" ? kib(config[name]) : config[name] ? `${kib(config[name])} a tick` : "nothing";
                this.$(`[data-out=${name}]`).textContent = words;
                input.setAttribute("aria-valuetext", words);
            }
            this.$("[data-policy]").value = config.policy;
        }

        /** Fills a tank, oldest bytes at the bottom; a red line where bytes are missing between two others. */
        fill(name, queue, capacity) {
            const fill = this.$(`[data-fill=${name}]`);
            const total = queue.reduce((sum, [from, to]) => sum + to - from, 0);
            fill.style.height = `${Math.min(100, (100 * total) / capacity)}%`;
            let below = 0;
            const stops = queue.map(([from, to], i) => {
                const start = (100 * below) / total;
                below += to - from;
                const seam = i > 0 ? `var(--l) ${start}% calc(${start}% + 3px), var(--c) calc(${start}% + 3px)` : `var(--c) 0%`;
                return `${seam} ${(100 * below) / total}%`;
            });
            fill.style.background = queue.length > 1 ? `linear-gradient(to top, ${stops.join(", ")})` : "var(--c)";
        }
    }

    customElements.define("buffer-sim", BufferSim);

    /** The simulator nearest to a link; without one, the first on the page. */
    function nearest(link) {
        const sims = [...document.querySelectorAll("buffer-sim")];
        if (!link) return sims[0];
        const top = (element) => element.getBoundingClientRect().top;
        const distance = (sim) => Math.abs(top(sim) - top(link));
        return sims.sort((a, b) => distance(a) - distance(b))[0];
    }

    function bring(sim, name) {
        if (!sim || !sim.load(name)) return false;
        sim.scrollIntoView({ block: "center", behavior: reduced() ? "auto" : "smooth" });
        const button = [...sim.shadowRoot.querySelectorAll("[data-do]")].find((one) => !one.hidden);
        button.focus({ preventScroll: true });
        return true;
    }

    document.addEventListener("click", (event) => {
        const link = event.target.closest && event.target.closest("a[href*='#sim=']");
        // A link to another page's simulator is followed.
        if (!link || link.pathname !== location.pathname) return;
        if (bring(nearest(link), link.hash.slice("#sim=".length))) event.preventDefault();
    });

    function fromHash() {
        const match = /^#sim=([a-z0-9-]+)$/.exec(location.hash);
        if (match) bring(nearest(null), match[1]);
    }
    addEventListener("hashchange", fromHash);
    fromHash();
})();
