// Curves of the chosen runs: a grid of charts, one for each metric, in sections.

import { Chart, xText } from "./chart.js";
import { curvesIfThere, curvesOf, onCurves, setInUse } from "./curvestore.js";
import { isReport } from "./data.js";
import { debounced, h, icon, iconButton, openDialog, own, put, throttled } from "./dom.js";
import { count, cut, number, toNumber } from "./format.js";
import { bandChoices, bandsOf } from "./groups.js";
import { link, on, runs, watch } from "./live.js";
import { metricsOf, runName, visibleRuns } from "./model.js";
import { isDark, lineStyle } from "./palette.js";
import { blank, drawerButton, select, toggle } from "./parts.js";
import { RunPicker } from "./picker.js";
import { band, oddities, smoothed } from "./series.js";
import { choose, chosen, idPath, onState, setState, slotOf, state } from "./state.js";
import { swatch } from "./chart.js";

const SIZES = { s: [230, 150], m: [300, 200], l: [520, 290] };
const FIRST_CHOICE = 8;
const FEW = 9; // so many charts need no sections
const SYNC = "expman";

/** The view that the state asks for; `points` falls with the number of runs. */
function viewNow(many, zoomed) {
	const points = many <= 4 ? 2000 : many <= 12 ? 1200 : 600;
	const view = { x: state.x, points: zoomed ? Math.max(points, 1200) : points };
	if (zoomed && state.zoom) {
		const [from, to] = state.zoom;
		const air = (to - from) * 0.02;
		view.from = from - air;
		view.to = to + air;
	}
	return view;
}

const smoothCache = new WeakMap();
function smoothOf(curve) {
	if (!state.smooth) return null;
	const known = smoothCache.get(curve);
	if (known && known.strength === state.smooth && known.x === curve.x) return known.y;
	const y = smoothed(curve.x, curve.y, state.smooth);
	smoothCache.set(curve, { strength: state.smooth, x: curve.x, y });
	return y;
}

/** The curves of one metric, ready to be drawn. */
function prepare(metric, ids, groups) {
	const view = viewNow(ids.length, false);
	const zoomView = state.zoom ? viewNow(ids.length, true) : null;
	const inGroups = new Map();
	const result = { curves: [], waiting: 0, bad: "", nan: 0, infinite: 0, rows: 0, decimated: false };
	for (const id of ids) {
		if (!runs.has(id) || own(runs.get(id).last, metric) === undefined) continue;
		const whole = curvesOf(id, metric, view);
		let entry = whole;
		if (zoomView && whole.state === "ready" && whole.decimated) {
			const detail = curvesOf(id, metric, zoomView);
			if (detail.state === "ready") entry = detail;
			else result.waiting += detail.state === "loading" ? 1 : 0;
		}
		if (entry.state === "loading") result.waiting += 1;
		if (entry.state === "bad") result.bad = entry.error;
		result.rows += entry.rows;
		result.decimated ||= entry.decimated;
		const base = { id, name: runName(id, ids), ...lineStyle(slotOf(id, ids.indexOf(id)), isDark()) };
		for (const curve of entry.curves) {
			const odd = oddities(curve.y);
			result.nan += odd.nan;
			result.infinite += odd.infinite;
		}
		if (groups) {
			const group = groups.get(id);
			if (!inGroups.has(group)) inGroups.set(group, []);
			if (entry.curves.length) inGroups.get(group).push(entry.curves);
			continue;
		}
		if (state.by === "band" && entry.curves.length > 1) {
			const { x, y, low, high } = band(entry.curves);
			result.curves.push({ ...base, name: `${base.name} (median of ${entry.curves.length})`, x, y, low, high });
			continue;
		}
		entry.curves.forEach((curve, at) => {
			const several = entry.curves.length > 1;
			const alone = several && ids.length === 1 ? lineStyle(at, isDark()) : {};
			result.curves.push({
				...base, ...alone, name: several ? `${base.name} ${curve.producer}` : base.name, faint: several && at > 0 && ids.length > 1,
				x: curve.x, y: curve.y, attempt: curve.attempt, smooth: smoothOf(curve),
			});
		});
	}
	for (const [group, members] of inGroups) {
		if (!members.length) continue;
		const { x, y, low, high } = band(members.flat());
		const name = `${group.name} (median of ${count(members.length, "run")})`;
		result.curves.push({ id: group.key, group, name, ...lineStyle(group.at, isDark()), x, y: state.smooth ? smoothed(x, y, state.smooth) : y, low, high });
	}
	result.curves.sort((one, other) => (one.group?.at ?? 0) - (other.group?.at ?? 0));
	return result;
}

/** One chart with its title and tools. */
class Card {
	constructor(view, metric) {
		this.view = view;
		this.metric = metric;
		this.chart = null;
		this.visible = false;
		this.plot = h("div.plot");
		this.badges = h("span.badges");
		this.logButton = h("button.icon", {
			type: "button", title: "Logarithmic y axis", "aria-label": `logarithmic y axis of ${cut(metric, 80)}`, onclick: () => this.toggleLog(),
		}, icon("log"));
		this.title = h("h2", { title: metric }, h("bdi", null, cut(shortName(metric), 120)));
		this.element = h("article.card", {
			tabindex: "0", "aria-label": `chart of ${cut(metric, 120)}`, onkeydown: (event) => this.key(event),
		}, h("header", null, this.title, this.badges, h("span.tools", null, this.logButton,
			iconButton("full", `Full screen: ${cut(metric, 80)}`, () => setState({ full: metric }, { push: true })))), this.plot);
		this.element.cardOf = this;
	}

	/** The title: in a section, its name is left out. */
	rename(inSection) {
		this.title.firstChild.textContent = cut(inSection ? shortName(this.metric) : this.metric, 120);
	}

	toggleLog() {
		const list = state.logy.includes(this.metric) ? state.logy.filter((one) => one !== this.metric) : [...state.logy, this.metric];
		setState({ logy: list });
	}

	key(event) {
		if (event.target !== this.element) return;
		if (event.key === "ArrowRight" || event.key === "ArrowLeft") this.chart?.nudge(event.key === "ArrowRight" ? 0.02 : -0.02);
		else if (event.key === "Enter") setState({ full: this.metric }, { push: true });
		else if (event.key === "Escape" && state.zoom) setState({ zoom: null });
		else if (event.key === "l") this.toggleLog();
		else return;
		event.preventDefault();
	}

	show(visible) {
		this.visible = visible;
		if (visible) this.draw();
		else {
			this.chart?.destroy();
			this.chart = null;
			this.plot.replaceChildren();
		}
	}

	draw() {
		if (!this.visible) return;
		const { curves, waiting, bad, nan, infinite } = prepare(this.metric, this.view.ids, this.view.groups);
		const logY = state.logy.includes(this.metric) || state.logy.includes("*");
		this.logButton.classList.toggle("on", logY);
		this.logButton.setAttribute("aria-pressed", String(logY));
		const settings = {
			kind: state.x, logX: state.logx, logY, outliers: state.outliers, sync: SYNC, xName: xName(),
			onZoom: (zoom) => setState({ zoom: tidy(zoom) }, { push: true }), onHover: (id) => this.view.hover(id),
		};
		this.chart ??= new Chart(this.plot, settings);
		this.element.classList.toggle("busy", waiting > 0);
		put(this.badges,
			nan ? h("span.badge.bad", { title: "NaN values, marked × at the bottom" }, `NaN ${number(nan)}`) : null,
			infinite ? h("span.badge.bad", { title: "infinite values, marked with triangles" }, `∞ ${number(infinite)}`) : null,
			bad ? h("span.badge.bad", { title: bad }, "not loaded") : null);
		if (waiting && !curves.length) return;
		this.chart.show(curves, { ...settings, zoom: state.zoom });
		this.summary(curves);
	}

	summary(curves) {
		const lasts = curves.slice(0, 6).map(({ name, y }) => `${cut(name, 40)} ${y.length ? number(y[y.length - 1]) : "no rows"}`);
		this.element.setAttribute("aria-label", `chart of ${cut(this.metric, 120)}, last values: ${lasts.join(", ")}`);
	}
}

function xName() {
	return state.x === "step" ? "step" : state.x === "time" || state.x === "relative" ? "" : cut(state.x, 40);
}

/** A range with few digits, so that the address stays short. */
function tidy(zoom) {
	if (!zoom) return null;
	const step = 10 ** Math.floor(Math.log10((zoom[1] - zoom[0]) / 500));
	return zoom.map((value) => Number((Math.round(value / step) * step).toPrecision(12)));
}

function sectionOf(metric) {
	const slash = metric.indexOf("/");
	return slash > 0 ? metric.slice(0, slash) : "";
}

function shortName(metric) {
	const slash = metric.indexOf("/");
	return slash > 0 ? metric.slice(slash + 1) || metric : metric;
}

/** The newest runs of one experiment; all of a report. */
function firstChoice() {
	const list = visibleRuns();
	if (!list.length) return [];
	const same = isReport ? list : list.filter((run) => run.experiment === list[0].experiment).slice(0, FIRST_CHOICE);
	return same.map((run) => run.id);
}

export class CurvesView {
	/** `only`: the id of a run whose curves alone are shown, without the list of runs. */
	constructor(root, { only = null } = {}) {
		this.only = only;
		this.cards = new Map();
		this.ids = [];
		this.unwatch = null;
		this.grid = h("div.sections");
		this.bar = h("div.bar");
		this.bands = h("div.strip.bands", { role: "group", "aria-label": "Bands", hidden: true });
		this.main = h("section.curves", { "aria-label": "Curves" }, this.bar, this.bands, this.grid);
		if (only) root.append(this.main);
		else {
			this.side = h("aside.side", { "aria-label": "Runs" });
			root.append(h("div.split", null, this.side, this.main));
			if (!chosen().length && !location.hash.includes("sel=")) choose(firstChoice(), true);
			this.picker = new RunPicker(this.side, { onHover: (id) => this.hover(id) });
		}
		this.observer = new IntersectionObserver((seen) => {
			for (const { target, isIntersecting } of seen) target.cardOf?.show(isIntersecting);
		}, { rootMargin: "300px" });
		this.redraw = throttled(200, () => this.drawCards());
		this.relist = throttled(300, () => this.update());
		this.off = [
			onState((patch) => this.changed(patch)),
			onCurves((entries) => this.arrived(entries)),
			on("runs", () => this.relist()),
		];
		setInUse((entry) => this.shows(entry));
		this.makeBar();
		this.update();
		if (state.full) this.openFull();
	}

	shows(entry) {
		const metric = state.full === entry.metric || this.cards.get(entry.metric)?.visible;
		return Boolean(metric) && this.ids.includes(entry.id) && entry.view.x === state.x &&
			entry.view.points >= viewNow(this.ids.length, false).points;
	}

	changed(patch) {
		if ("sel" in patch || "q" in patch || "sort" in patch || "find" in patch || "closed" in patch || "size" in patch || "colors" in patch) this.update();
		if ("band" in patch) this.update();
		if (["x", "by", "logx", "outliers", "smooth", "zoom", "size", "logy"].some((key) => key in patch)) {
			this.updateBar();
			this.redraw();
		}
		if ("full" in patch) this.openFull();
	}

	arrived(entries) {
		const metrics = new Set(entries.map((entry) => entry.metric));
		this.dirty = this.dirty ? new Set([...this.dirty, ...metrics]) : metrics;
		this.drawDirty ??= throttled(120, () => {
			const names = this.dirty ?? new Set();
			this.dirty = null;
			for (const name of names) this.cards.get(name)?.draw();
			if (names.has(state.full)) this.drawFull?.();
			if (this.several() !== this.offersProcesses) this.updateBar();
		});
		this.drawDirty();
	}

	hover(id) {
		const lit = this.groups?.get(id)?.key ?? id;
		for (const card of this.cards.values()) card.chart?.setHighlight(lit);
		this.fullChart?.setHighlight(lit);
	}

	drawCards() {
		for (const card of this.cards.values()) card.draw();
		this.drawFull?.();
	}

	// ---- the bar

	makeBar() {
		this.find = h("input.find", {
			type: "search", placeholder: "Find metrics", "aria-label": "Find metrics", value: state.find, spellcheck: "false", autocomplete: "off",
			oninput: debounced(150, () => setState({ find: this.find.value })),
		});
		this.smooth = h("input", {
			type: "range", min: "0", max: "1", step: "0.01", value: String(state.smooth), "aria-label": "Smoothing",
			oninput: () => setState({ smooth: Number(this.smooth.value) }),
		});
		this.rest = h("div.barrest");
		this.bar.append(this.find, this.rest);
		this.updateBar();
	}

	updateBar() {
		const metrics = metricsOf(this.ids);
		const known = ["step", "time", "relative"];
		const xs = [["step", "step"], ["relative", "time since start"], ["time", "time of day"],
			...(known.includes(state.x) || metrics.includes(state.x) ? [] : [[state.x, cut(state.x, 40)]]),
			...metrics.slice(0, 500).map((name) => [name, cut(name, 40)])];
		const focused = this.rest.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
		if (focused !== "Smoothing") {
			put(this.rest,
				select("x", xs, state.x, (x) => setState({ x, zoom: null })),
				h("label.field", null, h("span", null, "smooth"), this.smooth),
				toggle("log x", state.logx, (logx) => setState({ logx })),
				toggle("log y", state.logy.includes("*"), (all) => setState({ logy: all ? ["*"] : [] }), "Logarithmic y axes of all charts"),
				toggle("no outliers", state.outliers, (outliers) => setState({ outliers }), "Fit the y axes to the middle 98 % of the values"),
				(this.offersProcesses = this.several()) ? select("processes", [["each", "each"], ["band", "min–median–max"]], state.by, (by) => setState({ by })) : null,
				this.ids.length > 1 ? select("bands", bandChoices(this.ids, state.band), state.band, (column) => setState({ band: column }, { push: true }), { plain: true }) : null,
				this.only ? null : drawerButton(this.side),
				h("span.grow"),
				state.zoom ? h("button.toggle.on", { type: "button", title: "Show all again (double click in a chart)", onclick: () => setState({ zoom: null }, { push: true }) },
					`${xText(state.x, state.zoom[0])} – ${xText(state.x, state.zoom[1])} ×`) : null,
				select("size", [["s", "small"], ["m", "medium"], ["l", "large"]], state.size, (size) => setState({ size }), { plain: true }),
			);
			if (focused) this.rest.querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
		}
	}

	/** Whether some run has rows of several processes. */
	several() {
		const view = viewNow(this.ids.length, false);
		for (const metric of this.cards.keys()) {
			for (const id of this.ids) if (curvesIfThere(id, metric, view)?.curves.length > 1) return true;
		}
		return state.by === "band";
	}

	// ---- the grid

	update() {
		this.ids = this.only ? [this.only] : chosen().filter((id) => runs.has(id));
		this.picker?.update();
		const key = JSON.stringify(this.ids);
		if (key !== this.watchKey) {
			this.unwatch?.();
			this.unwatch = watch(this.ids);
			this.watchKey = key;
		}
		this.groups = bandsOf(this.ids, state.band);
		this.bands.hidden = !this.groups;
		put(this.bands, [...new Set(this.groups?.values())].map((group) => h("span", {
			onpointerenter: () => this.hover(group.members[0]), onpointerleave: () => this.hover(null), title: group.members.join("\n"),
		}, swatch(lineStyle(group.at, isDark())), h("bdi", null, `${cut(group.name, 60)} · ${group.members.length}`))));
		const wanted = state.find.toLowerCase().split(/\s+/).filter(Boolean);
		const metrics = metricsOf(this.ids).filter((name) => wanted.every((word) => name.toLowerCase().includes(word)));
		const layout = JSON.stringify([metrics, state.closed, state.size, this.ids.length > 0, link.loaded]);
		if (layout !== this.layout) {
			this.layout = layout;
			this.layOut(metrics);
		}
		this.updateBar();
		this.drawCards();
	}

	layOut(metrics) {
		const names = new Set(metrics);
		for (const [name, card] of this.cards) {
			if (names.has(name)) continue;
			this.observer.unobserve(card.element);
			card.show(false);
			this.cards.delete(name);
		}
		const sections = new Map();
		const few = metrics.length <= FEW;
		for (const name of metrics) {
			const section = few ? "" : sectionOf(name);
			if (!sections.has(section)) sections.set(section, []);
			sections.get(section).push(name);
		}
		const [width, height] = SIZES[state.size] ?? SIZES.m;
		this.grid.style.setProperty("--card", `${width}px`);
		this.grid.style.setProperty("--plot", `${metrics.length <= 2 ? Math.max(height, SIZES.l[1]) : height}px`);
		const parts = [];
		for (const [section, list] of sections) {
			const closed = state.closed.includes(section);
			if (sections.size > 1) {
				parts.push(h("button.sectionhead", {
					type: "button", "aria-expanded": String(!closed),
					onclick: () => setState({ closed: closed ? state.closed.filter((one) => one !== section) : [...state.closed, section] }),
				}, icon("chevron"), h("bdi", null, cut(section || "metrics", 80)), h("span.soft", null, String(list.length))));
			}
			if (closed) {
				for (const name of list) this.cards.get(name)?.show(false);
				continue;
			}
			parts.push(h("div.grid", null, list.map((name) => {
				if (!this.cards.has(name)) {
					const card = new Card(this, name);
					this.cards.set(name, card);
					this.observer.observe(card.element);
				}
				this.cards.get(name).rename(sections.size > 1);
				return this.cards.get(name).element;
			})));
		}
		if (!parts.length) parts.push(this.nothing());
		put(this.grid, parts);
	}

	nothing() {
		if (!link.loaded) return h("div.waiting", null, "loading…");
		if (state.find) return blank("No metric of this name", "The shown runs have others.");
		if (!this.ids.length) return blank("No run is shown", runs.size ? "Choose some in the list of runs." : "There is no run yet. The first appears here as soon as it begins.");
		return blank("No metrics yet", "They appear as soon as the first row is logged.");
	}

	// ---- one chart on the whole screen

	openFull() {
		this.closeFull?.();
		const metric = state.full;
		if (!metric) return;
		const place = h("div.fullplot");
		const legend = h("div.legend");
		const close = openDialog(cut(metric, 200), h("div.fullbody", null, place, legend), {
			wide: true,
			onclose: () => {
				this.fullChart?.destroy();
				this.fullChart = this.drawFull = this.closeFull = null;
				if (!this.over && state.full === metric) setState({ full: "" }, { push: true });
			},
		});
		this.closeFull = close;
		this.drawFull = () => {
			const { curves, waiting, rows, decimated } = prepare(metric, this.ids, this.groups);
			const settings = {
				kind: state.x, logX: state.logx, logY: state.logy.includes(metric) || state.logy.includes("*"), outliers: state.outliers,
				xName: xName(), onZoom: (zoom) => setState({ zoom: tidy(zoom) }), onHover: (id) => this.hover(id),
			};
			this.fullChart ??= new Chart(place, settings);
			this.fullChart.show(curves, { ...settings, zoom: state.zoom });
			put(legend, curves.slice(0, 200).map((curve) => h(curve.group ? "div.legendrow" : "a.legendrow", {
				href: curve.group ? null : `#/run/${idPath(curve.id)}`, onpointerenter: () => this.hover(curve.id), onpointerleave: () => this.hover(null),
			}, swatch(curve), h("span.name", null, cut(curve.name, 80)), h("span.value", null, curve.y.length ? number(lastOf(curve.y)) : ""))),
			h("p.soft", null, waiting ? "loading…" : decimated ? `${count(rows, "row")}; of each stretch the least and the greatest are drawn. Drag to look closer.` : count(rows, "row")));
		};
		this.drawFull();
	}

	restyle() {
		for (const card of this.cards.values()) card.chart?.restyle();
		this.update();
		this.drawCards();
	}

	destroy() {
		this.over = true;
		this.closeFull?.();
		this.observer.disconnect();
		this.unwatch?.();
		this.redraw.stop();
		this.relist.stop();
		this.drawDirty?.stop();
		for (const off of this.off) off();
		for (const card of this.cards.values()) card.chart?.destroy();
		this.picker?.destroy();
		setInUse(() => true);
	}
}

function lastOf(values) {
	return toNumber(values[values.length - 1]);
}
