// The frame of the page: which view is shown, the theme, and how the connection stands.

import { CompareView } from "./compare.js";
import { CurvesView } from "./curves.js";
import { isReport } from "./data.js";
import { h, iconButton, put } from "./dom.js";
import { cut } from "./format.js";
import { info, link, on, start } from "./live.js";
import { blank } from "./parts.js";
import { RunView } from "./run.js";
import { RunsView } from "./runs.js";
import { onState, setState, state } from "./state.js";

const VIEWS = [["runs", "Runs"], ["curves", "Curves"], ["compare", "Compare"]];
const THEMES = ["auto", "light", "dark"];
const SIGNS = { auto: "auto", light: "sun", dark: "moon" };

const root = document.getElementById("view");
const head = document.getElementById("head");
const banner = document.getElementById("banner");
let view = null;
let shown = "";
let started = false;

function theme() {
	try {
		const kept = localStorage.getItem("expman-theme");
		return THEMES.includes(kept) ? kept : "auto";
	} catch {
		return "auto"; // a file or a frame may have no storage
	}
}

function setTheme(next) {
	const dark = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
	document.documentElement.dataset.theme = next === "auto" ? dark : next;
	try {
		localStorage.setItem("expman-theme", next);
	} catch {
		// The theme lasts as long as the page.
	}
	drawHead(next);
	view?.restyle?.();
}

function drawHead(chosenTheme = theme()) {
	const base = info.base_dir ? info.base_dir.replace(/\/+$/, "") : "";
	put(head,
		h("a.brand", { href: "#/runs", title: `expman ${info.version}` }, "expman"),
		h("nav", { "aria-label": "Views" }, VIEWS.map(([name, label]) => h(`button.tab${state.view === name ? ".on" : ""}`, {
			type: "button", "aria-current": state.view === name ? "page" : null, onclick: () => setState({ view: name, full: "" }, { push: true }),
		}, label))),
		h("span.grow"),
		isReport ? h("span.soft.base", null, "report") : h("span.soft.base", { title: base }, h("bdi", null, cut(base, 200))),
		info.read_only && !isReport ? h("span.badge", null, "read-only") : null,
		h(`span.link.${link.state}`, { role: "status", title: link.why || null }, { live: "live", lost: "reconnecting…", gone: "directory gone", starting: "…", report: "" }[link.state]),
		iconButton(SIGNS[chosenTheme], `Theme: ${chosenTheme}`, () => setTheme(THEMES[(THEMES.indexOf(chosenTheme) + 1) % 3])));
}

function drawBanner() {
	const text = link.state === "gone" ? `The directory ${info.base_dir} is gone. What is shown is what was there; it goes on as soon as the directory is back.`
		: link.state === "lost" ? "The server does not answer. What is shown is what was there; it goes on as soon as the server is back." : "";
	banner.hidden = !text;
	banner.textContent = text;
}

function route() {
	const wanted = state.view === "run" ? `run ${state.run}` : state.view;
	if (wanted === shown && view) return;
	shown = wanted;
	view?.destroy();
	root.replaceChildren();
	if (state.view !== "run") root.append(h("h1.unseen", null, VIEWS.find(([name]) => name === state.view)[1]));
	const make = { runs: RunsView, curves: CurvesView, compare: CompareView, run: RunView }[state.view];
	view = new make(root);
	document.title = state.view === "run" ? `${cut(state.run, 80)} · expman` : `${VIEWS.find(([name]) => name === state.view)[1]} · expman`;
	drawHead();
}

addEventListener("keydown", (event) => {
	if (event.target.closest?.("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
	if (event.key === "/") {
		const box = document.querySelector("input.filter, input.find");
		if (box) {
			event.preventDefault();
			box.focus();
			box.select();
		}
	}
	const at = ["1", "2", "3"].indexOf(event.key);
	if (at >= 0 && !document.querySelector("dialog[open]")) setState({ view: VIEWS[at][0], full: "" }, { push: true });
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTheme(theme()));
on("link", () => {
	drawHead();
	drawBanner();
});
onState(() => {
	// Before the first answers nothing is known, not even whether runs can be changed.
	if (started) route();
});

setTheme(theme());
root.replaceChildren(h("div.waiting", { role: "status" }, "loading…"));
start().then(() => {
	started = true;
	if (isReport && !location.hash) setState({ view: "curves" });
	drawHead();
	queueMicrotask(() => {
		route();
		document.documentElement.dataset.ready = "1";
	});
}).catch((error) => {
	put(root, blank("The page cannot start", error.message || "the server does not answer",
		error.status === 403 ? "Open the address with the token that expman ui has printed." : "Is expman ui still running?"));
});
