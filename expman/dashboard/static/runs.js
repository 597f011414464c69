// The view of all runs: the table, its filter, its columns, and what can be done with the chosen ones.

import { data, isReport } from "./data.js";
import { h, icon, notify, openDialog, put, throttled } from "./dom.js";
import { count, cut, number, toNumber } from "./format.js";
import { info, link, on, refresh, runs } from "./live.js";
import { columnCatalog, columnLabel, columnValue, grouped, shownColumns, standing, visibleRuns } from "./model.js";
import { blank, filterBox, select } from "./parts.js";
import { chosen, onState, setState, state } from "./state.js";
import { RunTable } from "./table.js";

const REDRAW_MS = 400;

export class RunsView {
	constructor(root) {
		this.closedGroups = new Set();
		this.filter = filterBox();
		this.tools = h("div.barrest");
		this.place = h("div.tableplace");
		this.tray = h("div.tray", { role: "region", "aria-label": "Chosen runs" });
		root.append(h("section.runs", { "aria-label": "Runs" }, h("div.bar", null, this.filter.element, this.tools), this.place, this.tray));
		this.redraw = throttled(REDRAW_MS, () => this.update());
		this.off = [on("runs", () => this.redraw()), onState((patch) => this.changed(patch)), on("link", () => this.redraw())];
		// Times such as "2 min ago" go on.
		this.clock = setInterval(() => document.hidden || this.redraw(), 15000);
		this.update();
	}

	changed(patch) {
		if (["q", "sort", "cols", "group", "pins", "sel", "colors"].some((key) => key in patch)) this.update();
	}

	update() {
		this.filter.update();
		const kept = visibleRuns();
		this.makeTools(kept);
		if (!kept.length) {
			this.table?.destroy();
			this.table = null;
			put(this.place, runs.size ? blank("No run passes the filter", `${count(runs.size, "run")} are hidden by it.`) : this.nothing());
		} else {
			if (!this.table) {
				put(this.place);
				this.table = new RunTable(this.place, { onGroup: (name) => this.toggleGroup(name) });
			}
			this.table.show(this.rowsOf(kept));
		}
		this.makeTray();
	}

	rowsOf(kept) {
		if (!state.group) return kept.map((run) => ({ run }));
		const rows = [];
		for (const { name, runs: members } of grouped(kept, state.group)) {
			const closed = this.closedGroups.has(name);
			rows.push({ group: name, count: members.length, closed, summary: this.summary(members) });
			if (!closed) rows.push(...members.map((run) => ({ run })));
		}
		return rows;
	}

	/** What a group's line says: how its runs stand, and the mean of what the table is sorted by. */
	summary(members) {
		const ways = new Map();
		for (const run of members) ways.set(standing(run), (ways.get(standing(run)) || 0) + 1);
		const parts = [...ways].map(([way, many]) => `${many} ${way.toLowerCase()}`);
		const column = state.sort.replace(/^-/, "");
		const values = members.map((run) => toNumber(columnValue(run, column))).filter((value) => value !== null && Number.isFinite(value));
		if (values.length && column.includes(":")) {
			const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
			const spread = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
			parts.push(`${columnLabel(column)}: mean ${number(mean)}${values.length > 1 ? ` ± ${number(spread, 3)}` : ""}`);
		}
		return parts.join(" · ");
	}

	toggleGroup(name) {
		if (!this.closedGroups.delete(name)) this.closedGroups.add(name);
		this.update();
	}

	nothing() {
		if (link.state === "gone") return blank("The base directory is gone", link.why || "", "It is looked at again as soon as it is back.");
		if (!link.loaded) return h("div.waiting", { role: "status" }, "loading…");
		return blank("No runs yet", `Nothing is recorded in ${info.base_dir}.`, "A run appears here within a second of its beginning.");
	}

	makeTools(kept) {
		const live = [...runs.values()].filter((run) => run.status === "RUNNING").length;
		const key = JSON.stringify([state.group, kept.length, runs.size, live, link.complete, shownColumns()]);
		if (key === this.toolsKey) return;
		this.toolsKey = key;
		const groups = [["", "no groups"], ...groupColumns().map((id) => [id, cut(columnLabel(id), 40)])];
		put(this.tools,
			h("span.soft.counts", { role: "status" }, `${kept.length === runs.size ? count(runs.size, "run") : `${number(kept.length)} of ${count(runs.size, "run")}`}${live ? ` · ${live} live` : ""}${link.complete ? "" : " · loading more…"}`),
			h("span.grow"),
			select("Group by", groups, state.group, (group) => setState({ group }), { plain: true }),
			h("button.toggle", { type: "button", onclick: () => chooseColumns() }, icon("columns"), "Columns"));
	}

	makeTray() {
		const ids = chosen().filter((id) => runs.has(id));
		this.tray.hidden = !ids.length;
		if (!ids.length) return;
		put(this.tray,
			h("b", null, `${count(ids.length, "run")} chosen`),
			h("button.main", { type: "button", onclick: () => setState({ view: "curves" }, { push: true }) }, "Curves"),
			h("button.main.second", { type: "button", onclick: () => setState({ view: "compare" }, { push: true }) }, "Compare"),
			h("button.plain", {
				type: "button", onclick: () => {
					const all = ids.every((id) => state.pins.includes(id));
					setState({ pins: all ? state.pins.filter((id) => !ids.includes(id)) : [...new Set([...state.pins, ...ids])] });
				},
			}, ids.every((id) => state.pins.includes(id)) ? "Unpin" : "Pin"),
			info.read_only || isReport ? null : h("button.plain.danger", { type: "button", onclick: () => deleteRuns(ids) }, "Delete…"),
			h("span.grow"),
			h("button.plain", { type: "button", onclick: () => setState({ sel: [] }) }, "Choose none"));
	}

	destroy() {
		clearInterval(this.clock);
		this.redraw.stop();
		for (const off of this.off) off();
		this.table?.destroy();
	}

	restyle() {
		this.update();
	}
}

/** Columns by which runs can be grouped: those with few values. */
function groupColumns() {
	const columns = ["experiment", "project", "group", "status", "host"];
	const many = new Map();
	for (const id of columnCatalog().keys()) if (/^(param|tag):/.test(id)) many.set(id, new Set());
	let looked = 0;
	for (const run of runs.values()) {
		looked += 1;
		if (looked > 2000) break;
		for (const [id, values] of many) {
			const value = columnValue(run, id);
			if (value !== undefined && values.size <= 30) values.add(typeof value === "object" ? JSON.stringify(value) : value);
		}
	}
	const few = [...many].filter(([, values]) => values.size >= 2 && values.size <= 30).map(([id]) => id);
	return [...columns, ...few.slice(0, 100)];
}

/** Lets the user choose what the table shows. */
function chooseColumns() {
	const catalog = columnCatalog();
	const search = h("input.filter", { type: "search", placeholder: "Search columns", "aria-label": "Search columns" });
	const list = h("div.columnlist");
	const titles = { "": "Run", param: "Parameters", tag: "Tags", scalar: "Scalars", last: "Metrics, last value", min: "Metrics, least value", max: "Metrics, greatest value" };
	const draw = () => {
		const on = shownColumns();
		const words = search.value.toLowerCase();
		const groups = new Map();
		for (const id of catalog.keys()) {
			if (id === "run" || id === "status" || !columnLabel(id).toLowerCase().includes(words)) continue;
			const kind = /^(param|tag|scalar|last|min|max):/.exec(id)?.[1] ?? "";
			if (!groups.has(kind)) groups.set(kind, []);
			groups.get(kind).push(id);
		}
		put(list, [...groups].map(([kind, ids]) => h("fieldset", null, h("legend", null, titles[kind]),
			ids.slice(0, 300).map((id) => h("label.check", { title: id }, h("input", {
				type: "checkbox", checked: on.includes(id),
				onchange: (event) => {
					const now = shownColumns();
					setState({ cols: event.target.checked ? [...now, id] : now.filter((one) => one !== id) });
				},
			}), h("bdi", null, cut(columnLabel(id), 60)))),
			ids.length > 300 ? h("p.soft", null, `${ids.length - 300} more: search for them`) : null)));
	};
	search.addEventListener("input", draw);
	draw();
	openDialog("Columns", h("div.pad.columnsheet", null, h("div.bar", null, search,
		h("button.plain", { type: "button", onclick: () => { setState({ cols: null }); draw(); } }, "As at first")), list));
}

/** Asks, and then deletes runs with all their files. */
export function deleteRuns(ids, done) {
	const names = ids.slice(0, 12).map((id) => h("li", null, h("bdi", null, cut(id, 120))));
	const button = h("button.main.danger", { type: "button" }, `Delete ${count(ids.length, "run")}`);
	const say = h("p.bad", { role: "alert" });
	const close = openDialog(`Delete ${count(ids.length, "run")}?`, h("div.pad", null,
		h("p", null, "All files of these runs are removed from the disk. This cannot be undone."),
		h("ul.names", null, names, ids.length > 12 ? h("li.soft", null, `and ${ids.length - 12} more`) : null), say,
		h("div.buttons", null, h("button.plain", { type: "button", onclick: () => close() }, "Keep"), button)));
	button.addEventListener("click", async () => {
		button.disabled = true;
		let gone = 0;
		say.textContent = "";
		for (const id of ids) {
			try {
				await data.remove(id);
				gone += 1;
			} catch (error) {
				say.textContent += `${cut(id, 80)}: ${error.message} `;
			}
		}
		await refresh().catch(() => {});
		if (gone) notify(`${count(gone, "run")} deleted`);
		if (gone === ids.length) close();
		button.disabled = false;
		if (gone && done) done();
	});
}
