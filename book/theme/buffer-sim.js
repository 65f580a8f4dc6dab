// <buffer-sim preset="chapter-3">: the simulator. A custom element without a framework, drawn with HTML and CSS in a
// shadow root, so that ids stay its own however many stand on a page. Its bytes are moved by buffer-model.js, and its
// blocks are drawn by buffer-stage.js; what is left for here is the frame around them, and the reader's hands.
//
// What stands inside the element is the text equivalent: shown without JavaScript and in print, and on request.
// A link to #sim=NAME loads a preset into the nearest simulator.
"use strict";

(function () {
    const model = globalThis.BufferModel;
    const stage = globalThis.BufferStage;
    if (!model || !stage || !globalThis.customElements || customElements.get("buffer-sim")) return;
    const { KIB, BLOCK, CHUNK } = model;

    /** Milliseconds between two ticks; and while only the client has something left to do. */
    const BEAT = 620;
    const QUICK = 260;

    /** Ticks after which the proxy counts as frozen. */
    const FROZEN = 3;

    const POLICIES = [
        ["one", "waits, and serves one client at a time (step 01)"],
        ["block", "waits inside write (step 02)"],
        ["drop", "forgets the rest (step 03)"],
        ["buffer", "keeps the rest in memory (step 04)"],
        ["hold", "stops reading: backpressure (step 05)"],
        ["spill", "spills the rest to disk"],
    ];

    const PRESETS = globalThis.BufferPresets;

    /** Where a byte can be: the word for it, and the sign that stands for it in the strip of chunks. */
    const PLACES = [
        ["delivered", "client", "✓"],
        ["kernel", "kernel", "k"],
        ["proxy", "proxy", "p"],
        ["disk", "file", "f"],
        ["lost", "lost", "✕"],
    ];
    const SIGN = Object.fromEntries(PLACES.map(([place, , sign]) => [place, sign]));

    const STYLE = `
:host { display: block; color: var(--press-ink, #222); font: 1.5rem/1.45 var(--press-sans, system-ui, sans-serif); container-type: inline-size; }
:host([hidden]) { display: none; }
*, *::before, *::after { box-sizing: border-box; }
[hidden] { display: none !important; }
.fallback { display: none; }
.sim { border: 1px solid var(--press-line); border-radius: 12px; background: var(--press-card); overflow: clip; }
.top { display: flex; gap: .4rem 1.6rem; align-items: center; justify-content: space-between; padding: .5rem 1.6rem; border-bottom: 1px solid var(--press-line); background: var(--press-well); }
.title { font-weight: 700; margin: 0; font-size: 1.5rem; }
label { color: var(--press-soft); font-size: 1.35rem; }
select, button { font: inherit; color: inherit; background: var(--press-card); border: 1px solid var(--press-control); border-radius: 7px; padding: .4rem .9rem; min-height: 3.4rem; max-width: 100%; }
.top select { min-height: 2.8rem; padding: .1rem .6rem; font-size: 1.35rem; }
button { cursor: pointer; font-weight: 600; }
button:hover, select:hover { border-color: var(--press-accent); }
button.play { background: var(--press-accent); border-color: var(--press-accent); color: var(--press-on-accent); min-width: 9.5rem; }
:focus-visible { outline: 3px solid var(--press-focus); outline-offset: 2px; }
.body { padding: .8rem 1.6rem 1.4rem; }

.live { display: flex; align-items: center; gap: .3rem 1.2rem; height: 30px; padding: 0 12px; border-radius: 7px; background: var(--press-term, #1d2229); color: #e8e6e1;
  font: 13px/1 var(--mono-font, monospace); white-space: nowrap; overflow: hidden; margin-bottom: 8px; }
.live .answer { font-weight: 700; }
.live .rest { margin-left: auto; }
.live.part .answer, .live.waits .answer { color: #f6c177; } .live.none .answer { color: #ff9d94; } .live.ok .answer { color: #9be0b4; }
.live .rest.lose { color: #ff9d94; } .live .rest.keep { color: #d0bbfb; } .live .rest.spill { color: #f0c674; }

.stage { position: relative; font-size: 12px; line-height: 1.2; }
.stage > *, .scenery > * { position: absolute; }
.scenery { inset: 0; }
.name { font-weight: 600; font-size: 13px; text-align: center; white-space: nowrap; width: max-content; translate: -50%; top: 0; }
.name.two { font-size: 12px; line-height: 15px; color: var(--kernel-ink); }
.box { border: 1.5px solid var(--press-control); border-radius: 8px; background: var(--press-well); }
.box.backend, .box.client { border-color: var(--press-line); }
.box.proxy { border-color: var(--proxy); border-bottom: 0; border-radius: 8px 8px 0 0; background: var(--proxy-soft); }
.tank { border: 2px solid var(--kernel); border-top: 0; border-radius: 0 0 8px 8px; background: var(--kernel-soft); }
.tank.full { box-shadow: 0 -3px 0 0 var(--press-warn); }
.tankword { width: max-content; translate: -50%; text-align: center; font-weight: 600; color: var(--kernel-ink); }
.full + .tankword { color: var(--press-warn); }
.floor { height: 4px; background: var(--proxy); border-radius: 1px; }
.door { width: 4px; height: 15px; background: var(--proxy); border-radius: 2px; transform-origin: top; }
.hand { border: 2px solid var(--proxy); border-top: 0; border-radius: 0 0 8px 8px; opacity: .75; }
.code { font: 12px/17px var(--mono-font, monospace); white-space: pre; color: var(--proxy-ink); overflow: hidden; }
.code div { padding: 0 6px 0 5px; border-left: 3px solid transparent; border-radius: 3px; }
.code .now { background: var(--press-card); border-left-color: var(--proxy); font-weight: 700; color: var(--press-ink); }
.held { font-size: 11px; font-weight: 600; text-align: center; color: var(--proxy-ink); }
.free { display: grid; place-items: center; color: var(--proxy-ink); font-size: 11px; }
.trace { display: flex; flex-direction: column; justify-content: end; font: 11.5px/17px var(--mono-font, monospace); color: var(--proxy-ink); white-space: nowrap; overflow: hidden; }
.trace div:last-child { font-weight: 700; } .trace span { display: inline-block; width: 2.2ch; text-align: right; } .trace b { color: var(--lost-ink); }
.mark { border: 0 dashed var(--proxy-ink); border-top-width: 2px; }
.mark.rise { border-width: 0 0 0 2px; }
.mark.high { border-color: var(--press-warn); }
.mark span { position: absolute; right: 100%; top: -2px; transform: translateY(-50%); padding-right: 5px; white-space: nowrap; font-size: 11px; line-height: 12px; font-weight: 600; color: var(--proxy-ink); text-align: right; }
.more { font-weight: 700; font-size: 13px; text-align: center; white-space: nowrap; font-variant-numeric: tabular-nums; }
.more.proxy { color: var(--proxy-ink); } .more.disk { color: var(--disk-ink); } .more.lost { color: var(--lost-ink); } .more.ahead { color: var(--press-soft); }
.ground { height: 0; border-top: 2px solid var(--press-line); }
.file { border: 2px solid var(--disk); border-top-style: dashed; border-radius: 5px; background: var(--disk-soft); }
.fileword { font-size: 11px; font-weight: 600; color: var(--disk-ink); }
.counter { line-height: 1.15; border-left: 4px solid var(--press-line); padding-left: 8px; }
.counter b { display: block; font-size: 18px; font-variant-numeric: tabular-nums; }
.counter.bad { border-left-color: var(--lost); } .counter.bad b { color: var(--lost-ink); }
.counter span { color: var(--press-soft); }
.counter.tally { border-left-color: var(--proxy); line-height: 20px; white-space: nowrap; } .counter.tally b { display: inline-block; min-width: 2ch; text-align: right; font-size: 15px; color: var(--proxy-ink); }
.queue { font-size: 11px; line-height: 14px; text-align: center; width: max-content; translate: -50%; color: var(--kernel-ink); font-variant-numeric: tabular-nums; }
.wait { font-size: 12px; line-height: 15px; font-weight: 600; color: var(--press-warn); }
.arrow { height: 0; border-top: 2px solid var(--press-control); }
.arrow::after { content: ""; position: absolute; right: 0; top: -6px; border: 5px solid transparent; border-left: 7px solid var(--press-control); border-right: 0; }
.arrow.stopped { border-top-style: dotted; border-color: var(--press-warn); }
.arrow.stopped::after { border: 0; width: 4px; height: 20px; top: -11px; background: var(--press-warn); border-radius: 2px; }
.arrowword { font-size: 11px; font-weight: 600; color: var(--press-warn); text-align: center; width: max-content; translate: -50%; }
.arrowword.upright { translate: 0; writing-mode: vertical-rl; rotate: 180deg; text-align: left; line-height: 18px; }
.arrow.down { border-top: 0; border-left: 2px solid var(--press-control); }
.arrow.down::after { top: auto; right: auto; left: -6px; bottom: 0; border: 5px solid transparent; border-top: 7px solid var(--press-control); border-bottom: 0; }
.arrow.down.stopped { border-left: 2px dotted var(--press-warn); }
.arrow.down.stopped::after { border: 0; top: auto; width: 20px; height: 4px; left: -11px; }
.slot { border: 1px dashed var(--press-line); border-radius: 5px; }
.slot.hole { border: 1.5px dashed var(--lost); background: repeating-linear-gradient(135deg, transparent 0 5px, var(--lost-soft) 5px 8px); }
.verdict { font-weight: 700; white-space: nowrap; }
.verdict.bad { color: var(--lost-ink); } .verdict.good { color: var(--delivered-ink); }

.pieces { inset: 0; pointer-events: none; }
.piece, .square { position: absolute; left: 0; top: 0; border-radius: 5px; }
.piece { display: grid; place-items: center; border: 1.5px solid transparent; font-variant-numeric: tabular-nums; line-height: 1; overflow: hidden; }
.piece.part { border-radius: 3px; } .piece b { font-weight: 700; }
.piece.ahead { background: var(--press-card); border-color: var(--press-control); color: var(--press-soft); }
.piece.proxy { background: var(--proxy); color: var(--on-place); }
.piece.kernel { background: var(--kernel); color: var(--on-place); box-shadow: inset 0 0 0 1px var(--kernel-soft); border: 0; }
.piece.delivered { background: var(--delivered); color: var(--on-place); }
.piece.disk { background: var(--disk); color: var(--on-place); }
.piece.lost { background: var(--lost-soft); border: 2px dashed var(--lost); color: var(--lost-ink); }
.piece.gone { opacity: 0; }
.square { border: 1.5px dashed var(--press-control); }
.square { display: grid; place-items: center; font-size: 11px; line-height: 1; }
.square.proxy { border-color: var(--proxy); color: var(--proxy-ink); } .square.lost { border-color: var(--press-line); color: var(--lost-ink); } .square.disk { border-color: var(--disk); color: var(--disk-ink); }
.square:is(.delivered, .ahead) { border: 0; color: var(--press-soft); }
.tag { position: absolute; left: 0; top: 0; padding: 0 2px; font: 600 11px/14px var(--press-sans, sans-serif); background: var(--press-card); color: var(--kernel-ink); border-radius: 3px; }

.crowd { line-height: 1.2; }
.people { display: flex; gap: 6px; margin-top: 3px; }
.person { width: 26px; height: 28px; position: relative; color: var(--press-soft); }
.person svg { width: 20px; height: 26px; position: absolute; left: 3px; bottom: 0; overflow: visible; }
.person.waits { color: var(--press-warn); }
.person.waits svg { fill: currentColor; }
.person.ice::before { content: ""; position: absolute; inset: -1px 0 -1px; border: 2px solid var(--kernel); border-radius: 4px; background: var(--kernel-soft); transform: skew(-3deg); }
.person.ice svg { fill: var(--kernel); stroke: var(--kernel); }
.person i { position: absolute; right: -2px; top: -5px; font: 700 12px/1 var(--press-sans, sans-serif); font-style: normal; color: var(--delivered-ink); }
.person.waits i { color: var(--press-warn); } .person.ice i { color: var(--kernel-ink); }

.stripword { margin: 5px 0 3px; font-size: 12px; line-height: 15px; color: var(--press-soft); }
.strip { display: grid; grid-auto-flow: column; grid-auto-columns: 1fr; gap: 2px; }
.cell { min-width: 0; text-align: center; font: 700 11px/14px system-ui, sans-serif; color: var(--press-ink); border-radius: 3px; }
.cell i { display: block; height: 12px; border: 1px solid var(--press-control); border-radius: 3px; }
.cell.damaged, .cell.missing { color: var(--lost-ink); }
.cell.missing i, .cell.damaged i { border-style: dashed; border-color: var(--lost); }
.cell.end { outline: 2px solid var(--press-ink); outline-offset: 1px; }
.ledger { display: flex; flex-wrap: wrap; gap: 0 1.4rem; margin: 2px 0 0; padding: 0; list-style: none; font-size: 12px; line-height: 18px; font-variant-numeric: tabular-nums; color: var(--press-ink); }
.ledger li:first-child { font-weight: 600; }
.sign { font-family: system-ui, sans-serif; }
.key { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 4px; vertical-align: -1px; }
.key.lost { background: var(--lost); }
.key.delivered { background: var(--delivered); } .key.kernel { background: var(--kernel); } .key.proxy { background: var(--proxy); } .key.disk { background: var(--disk); }

.status { margin: 1.2rem 0; min-height: 4.8rem; font-size: 1.65rem; line-height: 1.45; }
.status p { margin: 0; }
.buttons { display: flex; flex-wrap: wrap; gap: .7rem; align-items: center; }
.scrub { flex: 1 1 16rem; display: flex; align-items: center; gap: .8rem; min-width: 0; }
.scrub input { flex: 1; min-width: 0; }
.scrub output { font-size: 1.3rem; color: var(--press-soft); font-variant-numeric: tabular-nums; min-width: 6.4rem; }
.fields { display: grid; gap: .4rem 2rem; grid-template-columns: 1fr 1fr 1fr; margin-top: 1rem; }
.fields.two { grid-template-columns: 2fr 1fr; margin-top: .4rem; }
.field { display: grid; grid-template-columns: 1fr auto; gap: .1rem .8rem; align-items: baseline; min-width: 0; }
.field output { font-variant-numeric: tabular-nums; font-size: 1.35rem; }
.field input, .field select { grid-column: 1 / -1; width: 100%; margin: 0; }
input[type=range] { height: 2.4rem; accent-color: var(--press-accent); cursor: pointer; }
.small { margin: 1.2rem 0 0; font-size: 1.3rem; color: var(--press-soft); }
details { margin-top: .8rem; font-size: 1.4rem; }
summary { cursor: pointer; color: var(--press-soft); width: fit-content; padding: .3rem 0; }
.table { overflow-x: auto; margin-top: .8rem; }
.hide { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

@container (max-width: 630px) {
  .body { padding: .8rem 1rem 1.2rem; } .top { padding: .5rem 1rem; } .title, .top label > span { display: none; } .top label, .top select { width: 100%; }
  .live { font-size: 11.5px; gap: .2rem .8rem; padding: 0 8px; } .live .rest { display: none; }
  .fields, .fields.two { grid-template-columns: 1fr; } .status { min-height: 7.2rem; } .code { font-size: 11px; line-height: 16px; } .trace { font-size: 11px; }
  .counter b { font-size: 16px; } .more { font-size: 11.5px; } .people { gap: 1px; } .scrub { flex-basis: 100%; }
  .ledger { gap: 0 1rem; font-size: 11.5px; }
}
@media (pointer: coarse) {
  button, select, .top select, input[type=range] { min-height: 4.4rem; } summary { padding: 1.3rem 0; }
}
@media (forced-colors: active) {
  .piece, .key, .cell i, .tank, .floor, .door, .person, .arrow { forced-color-adjust: none; }
  .code div { border-color: Canvas; } .code .now { border-color: Highlight; } .live { border: 1px solid; }
}
@media print { .sim { display: none; } .fallback { display: block; } }
`;

    const PERSON = `<svg viewBox="0 0 20 26" fill="none" stroke="currentColor" stroke-width="1.8" aria-hidden="true"><circle cx="10" cy="7" r="4.6"/><path d="M2 25c0-8 3.5-11 8-11s8 3 8 11z" stroke-linejoin="round"/></svg>`;

    const field = (name, label, min, max, step) => `
      <div class="field"><label for="${name}">${label}</label><output for="${name}" data-out="${name}"></output>
      <input type="range" id="${name}" data-set="${name}" min="${min}" max="${max}" step="${step}"></div>`;

    const TEMPLATE = `
<style>${STYLE}</style>
<div class="fallback"></div>
<section class="sim" aria-label="Simulator: where the bytes go">
  <div class="top">
    <p class="title">Where do the bytes go?</p>
    <label><span>Settings </span><select data-preset aria-label="Settings"></select></label>
  </div>
  <div class="body">
    <div data-picture>
    <div class="live" data-live><span class="call"></span><span>→</span><span class="answer"></span><span class="rest"></span></div>
    <div class="stage" role="img" data-stage>
      <div class="scenery"></div>
      <div class="pieces"></div>
    </div>
    <div data-strip><p class="stripword">The same page in <b>chunks</b>, as curl counts: each is a size line and then that many bytes.</p>
    <div class="strip" role="img" data-chunks></div></div>
    <ul class="ledger" data-ledger></ul>
    </div>
    <div class="status" role="status" aria-live="polite"><p data-say></p></div>
    <div class="controls" role="group" aria-label="Controls">
      <div class="buttons">
        <button type="button" class="play" data-do="play">Play</button>
        <button type="button" data-do="step">Step</button>
        <button type="button" data-do="reset">Start again</button>
        <div class="scrub"><label for="moment" class="hide">Moment</label><input type="range" id="moment" data-moment min="0" max="0" step="1" value="0"><output for="moment" data-tick></output></div>
      </div>
      <div class="fields">
        ${field("backend", "The backend sends", 0, 64, 4)}
        ${field("client", "The client reads", 0, 96, 4)}
        ${field("send", "Send buffer", 64, 384, 32)}
      </div>
      <details><summary>More to change</summary><div class="fields">
        ${field("receive", "Receive buffer", 64, 384, 32)}
        ${field("memory", "High mark", 64, 768, 64)}
        ${field("low", "Low mark", 0, 768, 64)}
      </div><div class="fields two">
        <div class="field"><label for="policy">When the send buffer is full, the proxy</label><select id="policy" data-policy></select></div>
        <div class="field"><label for="pace">Playback</label><select id="pace" data-pace><option value="2">slow</option><option value="1" selected>normal</option><option value="0.4">fast</option></select></div>
      </div></details>
    </div>
    <details data-table><summary>The same in words</summary><div class="table"><slot></slot></div>
    <p class="small">A model, not a measurement. A tick is one turn of the loop: at most one block of 65,536 bytes is read. The client reads up to ${model.GULP.toLocaleString("en-US")} bytes at a time. A block is what one read of the proxy returns. A chunk is what the backend announces with a size: the page is ${model.DEFAULTS.chunks} chunks long.</p></details>
  </div>
</section>`;

    const number = new Intl.NumberFormat("en-US");
    const plural = (count, one, many) => `${number.format(count)} ${count === 1 ? one : many}`;
    const reduced = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

    /** Ticks after which a run is taken to have no end. */
    const MOST = 1200;

    class BufferSim extends HTMLElement {
        static observedAttributes = ["preset"];

        connectedCallback() {
            if (this.shadowRoot) return;
            const root = this.attachShadow({ mode: "open" });
            root.innerHTML = TEMPLATE;
            this.$ = (selector) => root.querySelector(selector);
            this.$$ = (selector) => [...root.querySelectorAll(selector)];
            this.timer = null;
            this.stop = () => {};
            this.touched = false; // a reader who has taken a control is not played to

            // Readers who have not come to chapter 3 are to find out for themselves what step 03 does with the rest, so
            // the pages before it offer only what came before them, and show no place for lost bytes.
            const asked = this.getAttribute("preset");
            const first = Object.hasOwn(PRESETS, asked) ? asked : "chapter-3";
            const order = (policy) => POLICIES.findIndex(([name]) => name === policy);
            const own = order(PRESETS[first].policy);
            this.early = own < order("drop");
            const last = this.early ? own : POLICIES.length;
            const offered = Object.entries(PRESETS).filter(([, { policy }]) => order(policy) <= last);
            this.$("[data-policy]").innerHTML = POLICIES.slice(0, last + 1)
                .map(([name, words]) => `<option value="${name}">${words}</option>`).join("");
            this.$("[data-preset]").innerHTML =
                offered.map(([name, { title }]) => `<option value="${name}">${title}</option>`).join("") +
                `<option value="" hidden>Your own</option>`;
            this.places = PLACES.filter(([place]) => !this.early || !["lost", "disk"].includes(place));
            this.$("[data-ledger]").innerHTML = `<li>Bytes, by place:</li>` + this.places.map(
                ([place, words, sign]) => `<li data-place="${place}"><span class="key ${place}"></span><span class="sign">${sign}</span> ${words} <b data-sum="${place}"></b></li>`,
            ).join("");
            this.$("[data-chunks]").innerHTML = `<div class="cell"><i></i><span></span></div>`.repeat(model.DEFAULTS.chunks);

            root.addEventListener("click", (event) => {
                const button = event.target.closest("[data-do]");
                if (!button) return;
                this.touched = true;
                this[button.dataset.do]();
            });
            root.addEventListener("input", (event) => {
                this.touched = true;
                const { target } = event;
                if (target.dataset.set) this.change({ [target.dataset.set]: target.value * KIB });
                if (target.matches("[data-moment]")) this.seek(Number(target.value));
            });
            root.addEventListener("change", (event) => {
                this.touched = true;
                if (event.target.matches("[data-policy]")) this.change({ policy: event.target.value });
                if (event.target.matches("[data-preset]")) this.load(event.target.value);
            });
            // mdBook turns pages with the arrow keys and searches at "s"; a key pressed in here is meant for here.
            root.addEventListener("keydown", (event) => {
                if (event.key !== "Tab") this.touched = true;
                if (event.key !== "Tab" && event.key !== "Escape" && !event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
            });
            // In print the text stands in for the picture.
            const slot = root.querySelector("slot");
            addEventListener("beforeprint", () => this.$(".fallback").append(slot));
            addEventListener("afterprint", () => this.$(".table").prepend(slot));

            this.load(first);
            new ResizeObserver(() => this.resize()).observe(this.$(".stage"));
            this.awaitReader();
        }

        disconnectedCallback() {
            this.pause();
        }

        attributeChangedCallback(_name, before, now) {
            if (this.shadowRoot && before !== now) this.load(now);
        }

        /** Plays once by itself, when most of the stage has come into view. */
        awaitReader() {
            const observer = new IntersectionObserver((entries) => {
                if (!entries.some((entry) => entry.isIntersecting)) return;
                observer.disconnect();
                if (!this.touched && !reduced() && this.at === 0) this.run();
            }, { threshold: 0.7 });
            observer.observe(this.$(".stage"));
        }

        get state() {
            return this.frames[this.at];
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
            this.at = 0;
            this.frames = [];
            this.foresee(model.create(this.config));
            this.show();
        }

        /** Another setting, from this tick on: what had been seen of the future is no longer true. */
        change(changes) {
            this.stop();
            this.config = { ...this.config, ...changes };
            this.preset = null;
            this.$("[data-preset]").value = "";
            const state = model.configure(this.state, changes);
            this.frames.length = this.at;
            this.foresee(state);
            this.show();
        }

        /** All that will happen from this state on, so that the scrubber knows how far it is to the end. */
        foresee(state) {
            const most = this.frames.length + MOST;
            for (this.frames.push(state); this.frames.length < most && !model.settled(state); ) this.frames.push((state = model.step(state)));
        }

        /** Shows another moment. */
        seek(tick) {
            this.pause();
            this.at = Math.max(0, Math.min(this.frames.length - 1, tick));
            this.show();
        }

        play() {
            if (this.timer) return this.pause();
            if (this.ended()) this.reset();
            if (!reduced()) return this.run();
            // Little motion: to the end at once. The scrubber leads back to any moment.
            this.seek(this.frames.length - 1);
        }

        run() {
            this.pause();
            const beat = () => {
                if (this.ended()) return this.pause();
                const left = (this.state.sent === this.state.total ? QUICK : BEAT) * this.$("[data-pace]").value;
                if (!document.hidden) this.advance(left * 0.96);
                this.timer = setTimeout(beat, left);
            };
            this.timer = setTimeout(beat, 200);
            this.label();
        }

        pause() {
            clearTimeout(this.timer);
            this.timer = null;
            this.label();
        }

        label() {
            const ended = this.frames && this.ended();
            this.$("[data-do=play]").textContent = this.timer ? "Pause" : reduced() ? "To the end" : ended ? "Play again" : "Play";
        }

        ended() {
            return this.at === this.frames.length - 1;
        }

        step() {
            this.pause();
            if (!this.ended()) this.advance(reduced() ? 0 : BEAT);
        }

        /** One tick on, played in `time` milliseconds. */
        advance(time) {
            const before = this.state;
            this.at += 1;
            this.show(before, time);
        }

        resize() {
            if (this.$(".stage").clientWidth !== this.width) this.show();
        }

        summary() {
            const now = model.ledger(this.state);
            const parts = this.places.filter(([place]) => now[place] || place === "delivered" || place === "lost")
                .map(([place]) => `${number.format(now[place])} ${stage.WORDS[place]}`);
            return `Tick ${this.state.tick}. Of ${number.format(now.sent)} bytes sent: ${parts.join(", ")}.`;
        }

        /** Draws the state; with a state before it and a time, the way from there to here. */
        show(before, time = 0) {
            this.stop();
            const { state } = this;
            this.width = this.$(".stage").clientWidth || 688;
            const g = stage.geometry(this.width, state.config, Math.ceil(state.total / BLOCK));
            this.$(".stage").style.height = `${g.height}px`;
            this.set(state.config);
            this.label();
            const pieces = this.$(".pieces");
            const settle = () => {
                this.around(state, g);
                stage.draw(pieces, state, g);
            };
            if (!before || time === 0) return settle();

            // While blocks are on their way, only the live line speaks, of what was read. Words and counters come when
            // the blocks have arrived: what they say is never ahead of the picture, nor behind it.
            const reads = state.calls.filter(({ call }) => call === "read");
            if (reads.length) this.live({ ...state, calls: reads }, model.ledger(before));
            const halt = stage.play(pieces, before, state, g, time, () => this.around(state, g));
            const timer = setTimeout(settle, time);
            this.stop = () => {
                clearTimeout(timer);
                halt();
                this.stop = () => {};
            };
        }

        /** Everything around the blocks: scenery, counters, words. */
        around(state, g) {
            const now = model.ledger(state);
            const verdict = model.decode(state);
            this.scenery(state, g, now, verdict);
            this.strip(state, verdict, now);
            this.live(state, now);
            this.say(state);
            this.moment();
        }

        /** Everything on the stage that is not a block. */
        scenery(state, g, now, verdict) {
            const { config } = state;
            const { policy, buffers } = config;
            const { more } = stage.place(state, g);
            const box = (x, y, w, h) => `left:${x}px;top:${y}px;width:${w}px;${h === undefined ? "" : `height:${h}px`}`;
            const middle = (part) => part.x + part.w / 2;
            const html = [];
            const add = (style, className, inside = "") => html.push(`<div class="${className}" style="${style}">${inside}</div>`);

            // Names: those of several buffers take two lines, and on a telephone, where they are closer, two heights.
            const above = (lines) => g.top - 5 - 15 * lines;
            const narrow = !g.wide && buffers > 1;
            add(g.wide ? `left:${middle(g.backend)}px;top:${above(1)}px` : `left:0;translate:0;top:${above(narrow ? 2 : 1)}px`, "name", "backend");
            add(`left:${middle(g.proxy)}px;top:${above(1)}px`, "name", "proxy");
            for (const queue of g.queues) {
                const kind = queue.endsWith("Send") ? "send" : "receive";
                if (buffers === 1) add(`top:${above(1)}px;${g.wide ? `left:${middle(g[queue])}px` : "right:0;translate:0"}`, "name", g.wide ? "kernel’s send buffer" : "send buffer");
                else if (narrow) add(`top:${above(buffers === 2 || kind === "send" ? 1 : 2)}px;${queue === g.order.at(-1) ? "right:0;translate:0" : `left:${middle(g[queue])}px`}`, "name two", kind);
                else add(`left:${middle(g[queue])}px;top:${above(2)}px`, "name two", `${kind}<br>buffer`);
            }
            const words = { exact: ["good", "✓ whole"], broken: ["bad", "✕ curl: 56"], "cut off": ["bad", "✕ curl: 18"], unnoticed: ["bad", "curl: 0, and wrong"] }[verdict.kind];
            const says = words ? ` <span class="verdict ${words[0]}">${words[1]}</span>` : config.client === 0 ? ` <span class="verdict">· doesn’t read</span>` : "";
            add(`left:${g.wide ? middle(g.client) : g.width / 2}px;top:${g.client.y - 20}px`, "name", `client${says}`);

            const part = (p, className) => add(box(p.x, p.y, p.w, p.h), className);
            part(g.backend, "box backend");
            part(g.proxy, "box proxy");
            part(g.client, "box client");

            // The kernel's buffers, each as high as it is large.
            for (const queue of g.queues) {
                const high = (model.capacity(config, queue) / BLOCK) * g.side;
                const x = g[queue].x + (g[queue].w - g.side) / 2 - 4;
                const full = model.isFull(state, queue);
                add(box(x, g.floor - 6 - high, g.side + 8, high + 3), `tank ${full ? "full" : ""}`);
                add(`left:${middle(g[queue])}px;top:${g.floor - 24 - high}px`, "tankword", full ? "full" : "");
                // As ss calls what waits in them.
                if (buffers > 1 && g.wide) {
                    const bytes = state[queue].reduce((sum, [from, to]) => sum + to - from, 0);
                    add(`left:${middle(g[queue])}px;top:${g.floor + 4}px`, "queue", `${queue.endsWith("Send") ? "Send-Q" : "Recv-Q"}<br>${number.format(bytes)}`);
                }
            }

            // The ways between them. Whoever waits stands at a barrier, and the barrier says why.
            const level = g.floor - 8 - g.side / 2;
            const more_to_read = state.read < state.total && state.tick > 0;
            const isFull = (queue) => g.queues.includes(queue) && model.isFull(state, queue);
            const stops = {
                backend: buffers === 1 ? more_to_read && (state.paused || state.blocked) && "waits" : state.stalled && (buffers === 2 ? "window 0" : "full"),
                backendSend: isFull("proxyReceive") && "window 0",
                proxyReceive: more_to_read && (state.paused || state.blocked) && (state.paused ? "paused" : "not read"),
                proxy: state.blocked ? "waits" : buffers > 1 && state.proxy.length && isFull("proxySend") && "full",
                proxySend: isFull("clientReceive") ? "window 0" : buffers < 4 && config.client === 0 && now.kernel > 0 && "stalls",
                clientReceive: config.client === 0 && state.clientReceive.length > 0 && "stalls",
            };
            const way = g.wide ? [...g.order, "client"] : g.order;
            way.slice(1).forEach((name, i) => {
                const from = g[way[i]].x + g[way[i]].w;
                const to = g[name].x;
                const word = stops[way[i]];
                add(box(from + 3, level, to - from - 6), `arrow ${word ? "stopped" : ""}`);
                if (!word) return;
                if (g.wide && g.gap >= 44) add(`left:${(from + to) / 2}px;top:${level + 13}px`, "arrowword", word);
                else if (g.gap > 10) add(`left:${from}px;top:${level - 72}px;width:${to - from}px;height:60px`, "arrowword upright", word);
            });
            const last = g[g.order.at(-1)];
            if (!g.wide) add(box(middle(last), g.floor + 5, 0, g.client.y - g.floor - 9), `arrow down ${stops[g.order.at(-1)] ? "stopped" : ""}`);
            if (state.stalled) add(box(0, g.floor + 6, g.proxy.x - 4), "wait", `write<br>waits`);

            // The proxy: its code, its hand, its floor; and in the floor of one that forgets, a hole.
            add(box(g.proxy.x + 4, g.proxy.y + 4, g.proxy.w - 8), "code", stage.code(policy, g).map((text) => `<div>${text}</div>`).join(""));
            add(box(g.hand.x - 4, g.hand.y + g.side - 9, g.side + 8, 13), "hand");
            add(`left:${g.hand.x - 22}px;top:${g.hand.y - 17}px;width:${g.side + 44}px`, "held", "block");
            // What was read last is lost or kept by now: the block may be read into again.
            if (!state.blocked) add(box(g.hand.x, g.hand.y, g.side, g.side), "free", "free");
            if (stage.CODE[policy].length === 2) {
                const lines = g.wide ? 8 : 6;
                add(box(g.proxy.x + 10, g.hand.y + g.side + 13 - lines * 17, g.hand.x - g.proxy.x - (g.wide ? 34 : 20), lines * 17), "trace", this.trace(lines).join(""));
            }
            const trap = policy === "drop" ? [g.hand.x - 7, g.hand.x + g.side + 7] : null;
            const right = g.proxy.x + g.proxy.w;
            add(box(g.proxy.x, g.floor - 2, (trap ? trap[0] : right) - g.proxy.x), "floor");
            if (trap) {
                add(box(trap[1], g.floor - 2, right - trap[1]), "floor");
                add(`left:${trap[0] - 3}px;top:${g.floor - 1}px;transform:rotate(14deg)`, "door");
                add(`left:${trap[1] - 1}px;top:${g.floor - 1}px;transform:rotate(-14deg)`, "door");
            }
            const { stack, cell } = g;
            const left = stack.right - (stack.columns - 1) * cell;
            if (g.wide && stage.CODE[policy].length > 2) add(`left:${g.proxy.x + 8}px;top:${stack.bottom + g.side / 2 - 2}px`, "held", "pending");
            if (policy === "hold") {
                // A mark goes round the blocks that are below it: in the last row they are fewer.
                for (const [bytes, word] of [[config.memory, "high"], [model.lowMark(config), "low"]]) {
                    const blocks = Math.min(bytes / BLOCK, stack.columns * stack.rows);
                    const row = Math.floor(blocks / stack.columns);
                    const rest = blocks - row * stack.columns;
                    const y = stack.bottom + g.side + 1 - row * cell;
                    const edge = stack.right + g.side + 2 - rest * cell;
                    const name = `<span>${word}${g.wide ? `<br>${Math.round(bytes / KIB)} KiB` : ""}</span>`;
                    add(box(left - 4, y, (rest ? edge : stack.right + g.side + 4) - left + 4), `mark ${word}`, name);
                    if (!rest) continue;
                    add(box(edge, y - cell, 0, cell), `mark rise ${word}`);
                    add(box(edge, y - cell, stack.right + g.side + 4 - edge), `mark ${word}`);
                }
            }
            const chip = (where, x, y, count) => count && add(box(x, y, g.side), `more ${where}`, `+${count}`);
            chip("proxy", left, stack.bottom - (stack.rows - 1) * cell + g.side / 2 - 8, more.proxy);
            chip("ahead", middle(g.backend) - g.side / 2, g.backend.y + 6, more.ahead);

            // Below the proxy's floor: the file, or what has been lost; and the others, who want pages of their own.
            const pit = !this.early || now.lost > 0;
            if (pit) {
                if (policy === "drop" || now.lost > 0) add(box(g.pit, g.ground, right - g.pit), "ground");
                add(`left:${g.proxy.x}px;top:${g.floor + 10}px`, `counter ${now.lost ? "bad" : ""}`, `<span>${now.lost ? "✕ lost" : "lost"}</span><b data-lost>${number.format(now.lost)}</b><span>bytes</span>`);
                const lying = Math.round((g.hand.x - g.pit - 28) / cell - 0.5);
                if (more.lost) add(`right:${g.width - g.hand.x + Math.max(0, lying) * cell + 6}px;top:${g.ground - 19}px`, "more lost", `+${more.lost}`);
            }
            if (policy === "hold" && !now.lost) {
                add(`left:${g.pit}px;top:${g.floor + 10}px`, "counter tally", `<b data-pauses>${state.pauses}</b> <span>pauses</span><br><b data-resumes>${state.resumes}</b> <span>resumes</span>`);
            }
            if (policy === "spill" || now.disk > 0) {
                const wide = Math.max(1, Math.floor((g.hand.x + g.side - g.pit) / cell)) * cell;
                const x = g.hand.x + g.side + 5 - wide;
                add(box(x - 4, g.ground - g.side - 8, wide + 4, g.side + 10), "file");
                add(`left:${x}px;top:${g.ground - g.side - 22}px`, "fileword", "temporary file");
                chip("disk", x, g.ground - g.side / 2 - 11, more.disk);
            }
            if ((policy === "one" || policy === "block") && state.others.length) {
                const waiting = state.others.filter((other) => other.since !== null).length;
                const ice = policy === "block" && state.frozen >= FROZEN;
                const people = state.others.map((other) => {
                    const waits = other.since !== null;
                    const served = !waits && other.asks > state.tick && state.served > 0 && other.asks - state.tick > 3;
                    return `<div class="person ${waits ? "waits" : ""} ${waits && ice ? "ice" : ""}">${PERSON}<i>${waits ? (ice ? "✻" : "…") : served ? "✓" : ""}</i></div>`;
                }).join("");
                const word = waiting === 0 ? "nobody waits" : `${waiting} ${ice ? "frozen" : policy === "one" ? "in line" : "waiting"}`;
                const x = g.wide ? g.client.x + 8 : pit ? g.pit + 4 : 4;
                add(`left:${x}px;top:${g.floor + 8}px`, "crowd", `the other clients: <b>${word}</b><div class="people">${people}</div>`);
            }

            // The client's page, a place for every block. A hole is one that later bytes have overtaken, or whose time is over.
            const end = state.delivered.length ? state.delivered.at(-1)[1] : 0;
            const missing = new Set(stage.pieces(state.lost).filter((piece) => state.finished || piece.to <= end).map((piece) => piece.block));
            for (let block = 0; block < Math.ceil(state.total / BLOCK); block += 1) {
                const hole = missing.has(block);
                add(box(g.client.x + 8 + (block % g.columns) * cell, g.client.y + 8 + Math.floor(block / g.columns) * cell, g.side, g.side), `slot ${hole ? "hole" : ""}`);
            }
            this.$(".scenery").innerHTML = html.join("");
        }

        /** What the last writes answered, the newest below: the proxy's diary, where it keeps nothing else. */
        trace(lines) {
            const list = [];
            const last = this.at;
            for (let i = last; i > 0 && list.length < lines; i -= 1) {
                const state = this.frames[i];
                const write = state.calls.findLast(({ call }) => call === "write");
                const { answer } = model.live(state);
                if (!write || (write.waits && i < last)) continue;
                const lost = state.calls.find(({ call }) => call === "lose");
                list.unshift(`<div><span>${Math.ceil(state.read / BLOCK)}</span> ${this.width < 600 ? "" : "→ "}${answer}${lost ? ` <b>−${number.format(lost.bytes)}</b>` : ""}</div>`);
            }
            return list;
        }

        /** The live line, and how many bytes are where. */
        live(state, now) {
            const { call, answer, rest, kind } = model.live(state);
            this.$(".live").className = `live ${kind}`;
            this.$(".live .call").textContent = call;
            this.$(".live .answer").textContent = answer;
            this.$(".live .rest").textContent = rest;
            this.$(".live .rest").className = `rest ${rest ? state.calls.at(-1)?.call : ""}`;
            const line = stage.line(state);
            this.$$(".code div").forEach((div, i) => div.classList.toggle("now", i === line));
            for (const [place] of this.places) this.$(`[data-sum=${place}]`).textContent = number.format(now[place]);
            if (!this.early) this.$("[data-place=disk]").hidden = state.config.policy !== "spill" && now.disk === 0;
        }

        /** The sentence. It is read out whenever it changes, so it is only touched when it does. */
        say(state) {
            const sentence = state.tick === 0 && this.preset ? PRESETS[this.preset].intro : model.sentence(state);
            const p = this.$("[data-say]");
            if (p.textContent !== sentence) p.textContent = sentence;
            this.$("[data-stage]").setAttribute("aria-label", `From left to right: ${this.way(state)}. ${this.summary()}`);
        }

        way({ config }) {
            const kernel = { 1: ["", "the kernel’s send buffer"], 2: ["the proxy’s receive buffer, ", "its send buffer"], 4: ["its send buffer, the proxy’s receive buffer, ", "its send buffer, the client’s receive buffer"] }[config.buffers];
            return `backend, ${kernel[0]}proxy, ${kernel[1]}, client`;
        }

        /** The scrubber, over all ticks up to the end. */
        moment() {
            const moment = this.$("[data-moment]");
            moment.max = this.frames.length - 1;
            moment.value = this.at;
            moment.setAttribute("aria-valuetext", `tick ${this.at} of ${this.frames.length - 1}`);
            this.$("[data-tick]").textContent = `tick ${this.at}`;
        }

        /** The page, chunk by chunk: in each, its bytes in the colors of where they are, and below it a sign. */
        strip(state, verdict, now) {
            // Chunks are for where bytes can be missing; elsewhere they would only be a second kind of block.
            this.$("[data-strip]").hidden = state.config.policy !== "drop" && now.lost === 0;
            const where = PLACES.flatMap(([place]) => model.ranges(state, place).map(([from, to]) => [from, to, place])).sort((a, b) => a[0] - b[0]);
            const chunks = model.chunks(state);
            const stopped = verdict.kind === "broken" || verdict.kind === "cut off" ? verdict.chunk : -1;
            this.$$("[data-chunks] .cell").forEach((cell, i) => {
                const start = i * CHUNK.wire;
                const inside = where.filter(([from, to]) => from < start + CHUNK.wire && to > start);
                const percent = (byte) => `${Math.max(0, Math.min(100, (100 * (byte - start)) / CHUNK.wire)).toFixed(1)}%`;
                const stops = inside.map(([from, to, place]) => `var(--${place}) ${percent(from)} ${percent(to)}`);
                const end = inside.length ? percent(inside.at(-1)[1]) : "0%";
                const { word } = chunks[i];
                cell.className = `cell ${word === "under way" ? "" : word} ${i === stopped ? "end" : ""}`;
                cell.firstChild.style.background = inside.length ? `linear-gradient(90deg, ${stops.join(", ")}, transparent ${end})` : "none";
                cell.lastChild.textContent = { ahead: "\u00a0", whole: "✓", damaged: "✕", missing: "–", "under way": inside.length ? SIGN[inside.at(-1)[2]].replace("✓", "…") : "\u00a0" }[word];
            });
            const count = (word) => chunks.filter((chunk) => chunk.word === word).length;
            const headless = chunks.filter((chunk) => chunk.headless).length;
            this.$("[data-chunks]").setAttribute("aria-label",
                `The page, chunk by chunk: ${chunks.length} chunks, ${count("whole")} whole, ${count("under way")} under way, ${count("ahead")} not sent yet` +
                (this.early ? "." : `, ${count("damaged")} with bytes missing inside, ${count("missing")} missing altogether. ${plural(headless, "size line is", "size lines are")} lost.`) +
                (stopped >= 0 ? ` The client stops at chunk ${stopped + 1}.` : ""));
        }

        /** The controls show what is set, whoever set it. */
        set(config) {
            const { policy, buffers } = config;
            const asked = { receive: buffers > 1, memory: policy === "hold" || policy === "spill", low: policy === "hold" };
            for (const input of this.$$("[data-set]")) {
                const name = input.dataset.set;
                const value = name === "low" ? model.lowMark(config) : config[name];
                input.value = value / KIB;
                input.parentNode.hidden = asked[name] === false;
                const isSpeed = name === "backend" || name === "client";
                const [size, words] = isSpeed ? [value ? `${number.format(value)} a tick` : "nothing", value ? `${number.format(value)} bytes a tick` : "nothing"] : Array(2).fill(`${number.format(value)} bytes`);
                this.$(`[data-out=${name}]`).textContent = size;
                input.setAttribute("aria-valuetext", words);
            }
            this.$("label[for=send]").textContent = buffers === 4 ? "Each send buffer" : "Send buffer";
            this.$("label[for=receive]").textContent = buffers === 4 ? "Each receive buffer" : "Receive buffer";
            this.$("label[for=memory]").textContent = policy === "hold" ? "High mark" : "Kept in memory";
            this.$("[data-policy]").value = config.policy;
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
        sim.shadowRoot.querySelector("[data-do=play]").focus({ preventScroll: true });
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
