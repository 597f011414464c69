// The chosen runs side by side: what differs, and what it does to a metric.

import { data, isReport } from "./data.js";
import { h, own, put, throttled } from "./dom.js";
import { cut, exact, number, shown, toNumber } from "./format.js";
import { on, runs } from "./live.js";
import { metricsOf, runName, visibleRuns } from "./model.js";
import { isDark, lineStyle } from "./palette.js";
import { parallel } from "./parallel.js";
import { blank, drawerButton, into, select, toggle } from "./parts.js";
import { RunPicker } from "./picker.js";
import { diffLines } from "./run_overview.js";
import { scatters } from "./scatter.js";
import { choose, chosen, idPath, onState, setState, slotOf, state } from "./state.js";
import { swatch } from "./chart.js";

const FIRST_CHOICE = 30;
const MOST_COLUMNS = 60;

function textOf(value) {
	return value === undefined ? "—" : typeof value === "object" && value !== null ? JSON.stringify(value) : String(value);
}

/** Names whose values are not the same in all runs: [[name, Map id → value]], and how many are the same. */
function differing(ids, key) {
	const names = new Map();
	for (const id of ids) {
		for (const [name, value] of Object.entries(runs.get(id)?.[key] || {})) {
			if (!names.has(name)) names.set(name, new Map());
			names.get(name).set(id, value);
		}
	}
	const rows = [];
	const same = [];
	for (const [name, values] of names) {
		const texts = new Set([...values.values()].map(textOf));
		(texts.size > 1 || values.size < ids.length ? rows : same).push([name, values]);
	}
	return { rows, same };
}

export class CompareView {
	constructor(root) {
		this.showSame = false;
		this.side = h("aside.side", { "aria-label": "Runs" });
		this.bar = h("div.bar");
		this.main = h("div.sections.compare");
		root.append(h("div.split", null, this.side, h("section.curves", { "aria-label": "Compare" }, this.bar, this.main)));
		if (!chosen().length && runs.size) choose(firstChoice(), true);
		this.picker = new RunPicker(this.side, { onHover: (id) => this.light?.(id) });
		this.redraw = throttled(1500, () => this.update());
		this.off = [
			onState((patch) => ["sel", "q", "sort", "colors", "metric", "goal", "axes"].some((key) => key in patch) && this.update()),
			on("runs", () => this.redraw()),
		];
		this.update();
	}

	update() {
		this.picker.update();
		this.ids = chosen().filter((id) => runs.has(id));
		const metrics = metricsOf(this.ids);
		const preferred = metrics.find((name) => /(^|\/)(val|valid|validation|eval|test)[_/].*loss/i.test(name)) ?? metrics.find((name) => /loss/i.test(name)) ?? metrics[0];
		this.metric = metrics.includes(state.metric) ? state.metric : preferred;
		put(this.bar,
			metrics.length ? select("metric", metrics.slice(0, 2000).map((name) => [name, cut(name, 60)]), this.metric, (metric) => setState({ metric })) : null,
			metrics.length ? select("of each run", [["min", "least"], ["max", "greatest"], ["last", "last"]], state.goal, (goal) => setState({ goal })) : null,
			toggle("what is the same, too", this.showSame, (on) => { this.showSame = on; this.update(); }),
			drawerButton(this.side),
			h("span.grow"), h("span.soft", null, `${this.ids.length} runs`));
		if (this.ids.length < 2) {
			put(this.main, blank("Choose two runs or more", "They are compared here: parameters that differ, metrics side by side, where the code and the packages differ."));
			return;
		}
		const params = differing(this.ids, "params");
		const value = (id) => toNumber(own(runs.get(id)?.[state.goal], this.metric));
		const scrolled = this.main.scrollTop;
		const style = (id) => lineStyle(slotOf(id, this.ids.indexOf(id)), isDark());
		const context = { ids: this.ids, params: params.rows, metric: this.metric, goal: state.goal, value, style, name: (id) => runName(id, this.ids) };
		put(this.main);
		const lights = [];
		if (this.metric && params.rows.length) {
			lights.push(parallel(this.main, context), scatters(this.main, context));
			this.importance();
		} else {
			put(this.main, h("p.panel.soft", null, `There is nothing to plot: ${this.metric ? "no parameter differs between these runs." : "none of these runs has a metric of numbers."}`));
		}
		this.light = (id) => lights.forEach((light) => light(id));
		this.table(params);
		this.provenance();
		this.main.scrollTop = scrolled;
	}

	/** How much each parameter says about the metric, where the server can work it out. */
	async importance() {
		const place = h("div.later");
		this.main.append(place);
		const key = JSON.stringify([this.ids, this.metric, state.goal]);
		this.importanceKey = key;
		try {
			const answer = await data.compare(this.ids, `${this.metric}:${state.goal}`);
			if (this.importanceKey !== key) return;
			const list = Object.entries(answer.importance || {}).map(([name, share]) => [name, toNumber(share) ?? 0]).sort((one, other) => other[1] - one[1]).slice(0, 15);
			if (!list.length) return;
			const most = list[0][1] || 1;
			put(place, h("section.panel", null, h("h2", null, "Importance", h("span.soft", null, ` of each parameter for ${cut(this.metric, 60)}`)),
				h("dl.bars", null, list.map(([name, share]) => {
					const bar = h("div.barfill");
					bar.style.width = `${Math.max(0.5, (share / most) * 100)}%`;
					return h("div", null, h("dt", { title: cut(name, 300) }, h("bdi", null, cut(name, 80))), h("dd", null, h("div.bartrack", null, bar), h("span", null, number(share, 3))));
				}))));
		} catch {
			// The comparison stands without it.
		}
	}

	table({ rows, same }) {
		const ids = this.ids.slice(0, MOST_COLUMNS);
		const metrics = metricsOf(ids);
		const section = (title, list, cell) => (list.length ? h("tbody", null, h("tr.part", null, h("th", { scope: "rowgroup", colspan: String(ids.length + 1) }, title)),
			list.slice(0, 500).map((row) => h("tr", null, h("th", { scope: "row", title: cut(row[0], 300) }, h("bdi", null, cut(row[0], 60))), cell(row)))) : null);
		const plain = ([, values]) => ids.map((id) => {
			const one = values.get(id);
			return h(`td${toNumber(one) === null ? "" : ".num"}`, { title: exact(one) }, one === undefined ? h("span.soft", null, "—") : h("bdi", null, shown(one, 60)));
		});
		const metricRow = ([name]) => {
			const values = ids.map((id) => toNumber(own(runs.get(id)?.[state.goal], name)));
			const finite = values.filter((one) => one !== null && Number.isFinite(one));
			const best = state.goal === "max" ? Math.max(...finite) : Math.min(...finite);
			return values.map((one) => h(`td.num${finite.length > 1 && one === best && state.goal !== "last" ? ".best" : ""}`, { title: exact(one) }, one === null ? h("span.soft", null, "—") : number(one, 6)));
		};
		const goal = { min: "least", max: "greatest", last: "last" }[state.goal];
		this.main.append(h("section.panel", null,
			h("h2", null, "Side by side", h("span.soft", null, ` ${rows.length} ${rows.length === 1 ? "parameter differs" : "parameters differ"}, ${same.length} ${same.length === 1 ? "is" : "are"} the same`)),
			h("div.scroll.tall", { tabindex: "0", role: "region", "aria-label": "Side by side" }, h("table.data.side-by-side", null,
				h("thead", null, h("tr", null, h("td"), ids.map((id) => h("th", { scope: "col", title: id }, swatch(lineStyle(slotOf(id, ids.indexOf(id)), isDark())), " ",
					h("a.name", { href: `#/run/${idPath(id)}` }, h("bdi", null, cut(runName(id, ids), 60))))))),
				section("Parameters that differ", rows, plain),
				this.showSame ? section("Parameters that are the same", same, plain) : null,
				section(`Metrics, ${goal} value`, metrics.map((name) => [name]), metricRow))),
			this.ids.length > ids.length ? h("p.soft", null, `${this.ids.length - ids.length} more runs are not in this table; the table of all runs has them.`) : null));
	}

	provenance() {
		const place = h("section.panel", null, h("h2", null, "Where they come from"));
		const body = h("div");
		place.append(body);
		this.main.append(place);
		const ids = [...this.ids];
		into(body, () => data.compare(ids), (answer) => {
			const rows = Object.entries(answer.provenance || {}).filter(([name]) => name !== "git.diff" && name !== "diff");
			const diffs = own(answer.provenance, "git.diff") ?? own(answer.provenance, "diff");
			if (!rows.length && !diffs) {
				body.append(h("p.soft", null, "Code, command, packages and host are the same, or not recorded."));
				return;
			}
			body.append(h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Where they come from" }, h("table.data", null,
				h("thead", null, h("tr", null, h("td"), ids.slice(0, MOST_COLUMNS).map((id) => h("th", { scope: "col" }, h("bdi", null, cut(runName(id, ids), 60)))))),
				h("tbody", null, rows.slice(0, 300).map(([name, values]) => h("tr", null, h("th", { scope: "row" }, h("bdi", null, cut(name, 80))), ids.slice(0, MOST_COLUMNS).map((id) => {
					const one = own(values, id);
					return h("td", { title: exact(one) }, h("bdi", null, one == null ? "—" : shown(one, 80)));
				})))))));
			for (const id of ids.slice(0, 8)) {
				const diff = own(diffs, id);
				if (diff) body.append(h("details", null, h("summary", null, `Uncommitted changes of ${cut(runName(id, ids), 80)}`), diffLines(String(diff))));
			}
		});
	}

	restyle() {
		this.update();
	}

	destroy() {
		this.importanceKey = null;
		this.redraw.stop();
		for (const off of this.off) off();
		this.picker.destroy();
	}
}

function firstChoice() {
	const list = visibleRuns();
	if (!list.length) return [];
	return (isReport ? list : list.filter((run) => run.experiment === list[0].experiment).slice(0, FIRST_CHOICE)).map((run) => run.id);
}
