// Small things that the pages of the book need a script for, each of them an addition: without it everything is there.
"use strict";

(function () {
    // What is folded away is opened on paper, and on the page that is made for printing.
    const folded = () => document.querySelectorAll("main details:not([open])");
    const whole = /(^|\/)print\.html$/.test(location.pathname);
    let opened = [];
    const open = () => {
        opened = [...folded()];
        for (const details of opened) details.open = true;
    };
    if (whole) open();
    addEventListener("beforeprint", open);
    addEventListener("afterprint", () => {
        if (!whole) for (const details of opened) details.open = false;
        opened = [];
    });

    // Paper is white, so it gets the colors of the light theme, whatever is on the screen.
    const page = document.documentElement.classList;
    const others = ["rust", "coal", "navy", "ayu"];
    let theme;
    addEventListener("beforeprint", () => {
        theme = others.find((name) => page.contains(name));
        if (theme) page.replace(theme, "light");
    });
    addEventListener("afterprint", () => {
        if (theme) page.replace("light", theme);
        theme = undefined;
    });

    // mdBook's button for the sidebar is a label, which no key reaches. Make it the button that it looks like.
    const toggle = document.getElementById("mdbook-sidebar-toggle");
    if (toggle && toggle.localName === "label") {
        toggle.setAttribute("role", "button");
        toggle.tabIndex = 0;
        toggle.addEventListener("keydown", (event) => {
            if (event.key !== "Enter" && event.key !== " ") return;
            event.preventDefault();
            toggle.click();
        });
    }

    // mdBook's search is three scripts that weigh more than most pages, so they come when somebody searches: with the button, with
    // its keys, or at an address that asks for it.
    const button = document.getElementById("mdbook-search-toggle");
    const isSearching = (event) => ["s", "/"].includes(event.key) && !(event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) &&
        !event.target.closest("input, select, textarea");
    const search = (event) => {
        if (event && event.type === "keydown" && !isSearching(event)) return;
        if (event) event.preventDefault();
        button.removeEventListener("click", search);
        removeEventListener("keydown", search);
        const scripts = window.search_scripts.map((src) => Object.assign(document.createElement("script"), { src, async: false }));
        if (event) scripts.at(-1).onload = () => button.click();
        document.head.append(...scripts);
    };
    if (button) {
        button.addEventListener("click", search);
        addEventListener("keydown", search);
        if (/[?&](search|highlight)=/.test(location.search)) search();
    }

    // A prediction is made before the answer is opened. The reader's choice stays in this browser, and the
    // answer begins with it. Where nothing can be kept, it lasts as long as the page.
    const remembered = (key, value) => {
        try {
            if (value !== undefined) localStorage.setItem(key, value);
            return localStorage.getItem(key);
        } catch {
            return null;
        }
    };
    document.querySelectorAll("main details.predict[data-choices]").forEach((details, number) => {
        if (whole) return;
        const page = location.pathname.split("/").pop();
        const key = `guess ${page} ${number}`;
        const choices = details.dataset.choices.split("|").map((choice) => choice.trim());
        const guess = document.createElement("fieldset");
        guess.className = "guess";
        guess.innerHTML = "<legend>Your guess</legend><div class='guess-choices'></div>";
        const said = document.createElement("p");
        said.className = "said";
        const say = (choice) => {
            said.innerHTML = "You said: <b></b>";
            said.querySelector("b").textContent = choice;
            details.querySelector("summary").after(said);
        };
        choices.forEach((choice) => {
            const label = document.createElement("label");
            const input = document.createElement("input");
            Object.assign(input, { type: "radio", name: key, checked: remembered(key) === choice });
            input.addEventListener("change", () => {
                remembered(key, choice);
                say(choice);
            });
            // mdBook turns pages with the arrow keys; here they choose.
            input.addEventListener("keydown", (event) => {
                if (event.key.startsWith("Arrow")) event.stopPropagation();
            });
            label.append(input, choice);
            guess.querySelector("div").append(label);
            if (input.checked) say(choice);
        });
        details.before(guess);
    });

    // A short piece of code is not broken at its hyphens; a long one must be, or it would stick out on a telephone.
    for (const code of document.querySelectorAll("main :not(pre) > code")) {
        if (code.textContent.length <= 24) code.classList.add("short");
    }

    // What scrolls sideways can be reached and scrolled with the keyboard; there the arrow keys scroll and do not turn pages.
    const wide = document.querySelectorAll("main pre > code, main .table-wrapper");
    const measure = () => {
        for (const box of wide) {
            if (box.scrollWidth > box.clientWidth + 1) {
                if (box.tabIndex < 0) {
                    box.tabIndex = 0;
                    box.dataset.scrolls = "";
                    if (!box.getAttribute("role")) box.setAttribute("role", "region");
                    if (!box.getAttribute("aria-label")) box.setAttribute("aria-label", named(box));
                }
            } else if ("scrolls" in box.dataset) {
                box.removeAttribute("tabindex");
                delete box.dataset.scrolls;
            }
        }
    };
    const named = (box) => {
        const figure = box.closest("figure");
        const title = figure && figure.querySelector(".listing-number, .listing-file, .terminal-title");
        if (title) return title.textContent;
        return box.matches("code") ? "Code" : "Table";
    };
    for (const box of wide) {
        box.addEventListener("keydown", (event) => {
            if (event.key.startsWith("Arrow") && box.tabIndex === 0) event.stopPropagation();
        });
    }
    addEventListener("resize", measure);
    document.addEventListener("toggle", measure, true);
    measure();
})();
