// One run: how it stands, and everything that it has recorded, in tabs.

import { CurvesView } from "./curves.js";
import { data, isReport } from "./data.js";
import { h, iconButton, notify, openDialog, put, throttled } from "./dom.js";
import { count, cut, duration, moment } from "./format.js";
import { info, now, on, refresh, runs } from "./live.js";
import { blank, chooser, statusMark } from "./parts.js";
import { durationOf } from "./query.js";
import { Histograms } from "./run_histograms.js";
import { Media } from "./run_media.js";
import { Overview, Provenance } from "./run_overview.js";
import { System } from "./run_system.js";
import { Artifacts, Tables } from "./run_files.js";
import { Console, Messages, Stacks } from "./run_text.js";
import { deleteRuns } from "./runs.js";
import { chosen, onState, setState, state } from "./state.js";

const REREAD_MS = 3000;
const RUN_TABS = [
	["", "Overview", Overview, () => true],
	["curves", "Curves", null, (details) => (details.metric_names ?? Object.keys(details.last || {})).length > 0 || details.status === "RUNNING"],
	["console", "Console", Console, (details) => details.has_console],
	["messages", "Messages", Messages, () => true],
	["system", "System", System, (details) => details.has_system],
	["media", "Media", Media, (details) => (details.media || []).length > 0],
	["histograms", "Histograms", Histograms, (details) => (details.histograms || []).length > 0],
	["tables", "Tables", Tables, (details) => (details.tables || []).length > 0],
	["files", "Files", Artifacts, (details) => (details.artifacts || []).length > 0],
	["provenance", "Provenance", Provenance, (details) => details.provenance != null],
	["stacks", "Stacks", Stacks, (details) => (details.stacks || []).length > 0],
];

export class RunView {
	constructor(root) {
		this.id = state.run;
		this.details = null;
		this.inner = null;
		this.head = h("header.runhead");
		this.tabs = h("div.tabs", { role: "tablist", "aria-label": "Parts of the run", onkeydown: (event) => this.key(event) });
		this.body = h("div.runbody", { role: "tabpanel", "aria-label": "Part of the run" });
		this.body.append(h("div.waiting", { role: "status" }, "loading…"));
		root.append(this.head, this.tabs, this.body);
		this.reread = throttled(REREAD_MS, () => this.load());
		this.off = [on("runs", (changed) => this.changed(changed)), onState((patch) => { if ("tab" in patch) this.showTab(); if ("sel" in patch) this.drawHead(); })];
		this.load();
	}

	async load() {
		const id = this.id;
		try {
			const details = await data.run(id);
			if (this.over) return;
			this.details = details;
			this.drawHead();
			this.drawTabs();
			if (this.inner?.details) this.inner.details(details);
			else if (!this.inner) this.showTab();
		} catch (error) {
			if (this.over) return;
			if (!this.details || !runs.has(id)) this.gone(error);
		}
	}

	gone(error) {
		this.inner?.destroy?.();
		this.inner = null;
		this.tabs.replaceChildren();
		put(this.head, h("h1", null, h("bdi", null, cut(this.id, 200))));
		put(this.body, blank(error?.status === 404 || !runs.has(this.id) ? "This run is not there" : "The run cannot be read",
			error?.message ?? "", "It may have been deleted or moved."));
	}

	changed(changed) {
		if (!changed.has(this.id)) return;
		if (!runs.has(this.id)) {
			// What was read stays on the page, with a line that says that it is the last of it.
			this.parts = null;
			put(this.head, h("h1", null, h("bdi", null, cut(this.id, 200))), h("p.bad", { role: "alert" }, "This run has been deleted. What is shown is what was there."));
			return;
		}
		this.drawHead();
		this.reread();
	}

	drawHead() {
		const run = runs.get(this.id) ?? this.details;
		if (!run) return;
		const on = chosen().includes(this.id);
		const facts = [
			moment(run.started_at, true) && h("span", { title: "when it began" }, moment(run.started_at)),
			durationOf(run, now()) != null && h("span", { title: "how long" }, duration(durationOf(run, now()))),
			run.rows != null && h("span", null, count(run.rows, "row")),
			run.attempts > 1 && h("span", null, count(run.attempts, "attempt")),
			run.host && h("span", { title: "host" }, h("bdi", null, cut(run.host, 60))),
			run.foreign && h("span.badge", { title: "written by another program" }, "foreign"),
		];
		// The buttons stay the same elements: a click on one of them is not lost when the rest changes.
		if (!this.parts) {
			const changes = info.read_only || isReport ? [] : [
				h("button.toggle", { type: "button", onclick: () => this.edit() }, "Edit"),
				iconButton("trash", "Delete the run", () => deleteRuns([this.id], () => setState({ view: "runs" }, { push: true }))),
			];
			this.parts = { status: h("span"), choose: h("label.check", { title: "Show the run in Curves and Compare" }), facts: h("div.facts.soft"), texts: h("div") };
			put(this.head, h("div.runtitle", null, h("span.crumb", null, h("bdi", null, cut(run.experiment, 100)), " /"),
				h("h1", null, h("bdi", null, cut(run.run, 160))), this.parts.status, h("span.grow"), this.parts.choose, changes), this.parts.facts, this.parts.texts);
		}
		put(this.parts.status, statusMark(run));
		put(this.parts.choose, chooser(this.id, "show the run in curves and comparisons"), on ? "chosen" : "choose");
		put(this.parts.facts, facts, (run.tagList || []).map((tag) => h("span.badge", null, h("bdi", null, cut(tag, 80)))));
		put(this.parts.texts, run.description ? h("p.description", null, cut(String(run.description), 4000)) : null,
			run.notes ? h("p.description.soft", null, cut(String(run.notes), 20000)) : null);
	}

	drawTabs() {
		const there = RUN_TABS.filter(([, , , has]) => has(this.details));
		const key = JSON.stringify([there.map(([name]) => name), state.tab]);
		if (key === this.tabKey) return;
		this.tabKey = key;
		put(this.tabs, there.map(([name, label]) => h(`button.tab${name === state.tab ? ".on" : ""}`, {
			type: "button", role: "tab", "aria-selected": String(name === state.tab), tabindex: name === state.tab ? "0" : "-1",
			onclick: () => setState({ tab: name }, { push: true }),
		}, label)));
	}

	key(event) {
		const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
		if (!step) return;
		const buttons = [...this.tabs.children];
		const next = buttons[(buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length];
		next.click();
		[...this.tabs.children].find((one) => one.classList.contains("on"))?.focus();
	}

	showTab() {
		if (!this.details) return;
		this.inner?.destroy?.();
		this.inner = null;
		this.body.replaceChildren();
		this.body.scrollTop = 0;
		this.drawTabs();
		if (state.tab === "curves") {
			this.inner = new CurvesView(this.body, { only: this.id });
			return;
		}
		const [, , Part] = RUN_TABS.find(([name, , part, has]) => name === state.tab && part && has(this.details)) ?? RUN_TABS[0];
		this.inner = new Part(this.body, this.id, this.details);
	}

	/** Edits what a person says about the run. */
	edit() {
		const run = runs.get(this.id) ?? this.details;
		const description = h("input.edit", { value: run.description ?? "", "aria-label": "Description" });
		const tags = h("input.edit", { value: (run.tagList || []).join(", "), "aria-label": "Tags" });
		const notes = h("textarea.edit.tall", { "aria-label": "Notes", rows: "8" });
		notes.value = run.notes ?? "";
		const save = h("button.main", { type: "submit" }, "Save");
		const say = h("p.bad", { role: "alert" });
		const form = h("form.pad.form", null, h("label", null, "Description", description), h("label", null, "Tags, with commas between", tags),
			h("label", null, "Notes", notes), say, h("div.buttons", null, h("button.plain", { type: "button", onclick: () => close() }, "Cancel"), save));
		const close = openDialog(`Edit ${cut(run.run, 60)}`, form);
		form.addEventListener("submit", async (event) => {
			event.preventDefault();
			save.disabled = true;
			const values = {};
			if (description.value !== (run.description ?? "")) values.description = description.value;
			if (tags.value !== (run.tagList || []).join(", ")) values.tags = tags.value.split(",").map((tag) => tag.trim()).filter(Boolean);
			if (notes.value !== (run.notes ?? "")) values.notes = notes.value;
			try {
				if (Object.keys(values).length) await data.edit(this.id, values);
				close();
				notify("Saved");
				await refresh().catch(() => {});
				this.drawHead();
				this.load();
			} catch (error) {
				say.textContent = error.message;
				save.disabled = false;
			}
		});
	}

	restyle() {
		this.inner?.restyle?.();
	}

	destroy() {
		this.over = true;
		this.reread.stop();
		for (const off of this.off) off();
		this.inner?.destroy?.();
	}
}
