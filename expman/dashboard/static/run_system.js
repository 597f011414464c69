// The machine over time, with a metric of the run above on the same axis.

import { Chart, swatch } from "./chart.js";
import { curvesOf, onCurves } from "./curvestore.js";
import { data } from "./data.js";
import { h, put, throttled } from "./dom.js";
import { cut } from "./format.js";
import { on, runs, watch } from "./live.js";
import { metricsOf } from "./model.js";
import { isDark, lineStyle } from "./palette.js";
import { into, select } from "./parts.js";
import { onState, setState, state } from "./state.js";

const REREAD_MS = 5000;

// What belongs together, with the unit in the title: [title, pattern]
const CHARTS = [
	["GPU use, %", /^gpu\.\d+\.util_pct$/], ["GPU memory, MB", /^gpu\.\d+\.mem_used_mb$/], ["GPU power, W", /^gpu\.\d+\.power_w$/],
	["GPU temperature, °C", /^gpu\.\d+\.temp_c$/], ["GPU clock, MHz", /^gpu\.\d+\.sm_clock_mhz$/],
	["Processors, %", /^(cpu\.util_pct|cpu\.iowait_pct)$/], ["Processors of the run, % of one", /^(proc|tree|writer|cgroup)\.cpu_pct$/],
	["Memory, GB", /^(mem\.used_gb|mem\.total_gb|swap\.used_gb|shm\.used_gb|cgroup\.mem_used_gb|cgroup\.mem_limit_gb)$/], ["Memory of the run, GB", /^(proc|tree|writer)\.(rss_gb|uss_gb)$/],
	["Disk, MB/s", /^(disk|tree)\.(read|write)_mb_s$/], ["Network, MB/s", /^net\./], ["Pressure, %", /^(psi|cgroup\.psi)[._]/], ["Load", /load_1min$/],
	["Disk free, GB", /^disk\.free_gb$/], ["Threads and processes", /^(proc|tree)\.(threads|processes)$|^cgroup\.pids/], ["Open files", /open_files$/],
];

function charts(columns) {
	const left = new Set([...columns.keys()].filter((name) => !["time", "step", "timestamp", "_producer", "_seq"].includes(name) && columns.get(name)?.some?.(Number.isFinite)));
	const found = [];
	for (const [title, pattern] of CHARTS) {
		const names = [...left].filter((name) => pattern.test(name));
		for (const name of names) left.delete(name);
		if (names.length) found.push([title, names]);
	}
	for (const name of left) found.push([name, [name]]);
	return found;
}

export class System {
	constructor(root, id) {
		this.id = id;
		this.charts = new Map();
		this.grid = h("div.grid");
		this.bar = h("div.bar");
		this.root = h("div.system", null, this.bar, h("div.sections", { tabindex: "0", role: "region", "aria-label": "Charts of the machine" }, this.grid));
		this.root.style.setProperty("--card", "340px");
		this.root.style.setProperty("--plot", "160px");
		root.classList.add("flush");
		this.outer = root;
		root.append(this.root);
		this.reread = throttled(REREAD_MS, () => this.load());
		this.drawSoon = throttled(200, () => this.draw());
		this.off = [
			onState((patch) => ("zoom" in patch || "metric" in patch || "x" in patch) && this.drawSoon()),
			onCurves((entries) => entries.some((entry) => entry.id === id) && this.drawSoon()),
			on("runs", (changed) => changed.has(id) && runs.has(id) && this.reread()),
		];
		this.unwatch = watch([id]);
		into(this.grid, () => data.system(id), (columns) => {
			this.columns = columns;
			this.draw();
		});
	}

	async load() {
		try {
			this.columns = await data.system(this.id);
			if (!this.over) this.draw();
		} catch {
			// What is shown stays.
		}
	}

	draw() {
		if (!this.columns) return;
		const time = this.columns.get("time") ?? new Float64Array(0);
		const start = runs.get(this.id)?.started_at ?? time[0];
		const relative = time.map((value) => value - start);
		const zoom = state.x === "relative" ? state.zoom : null;
		const metrics = metricsOf([this.id]);
		const metric = metrics.includes(state.metric) ? state.metric : metrics[0];
		put(this.bar, metrics.length ? select("metric above", metrics.slice(0, 1000).map((name) => [name, cut(name, 50)]), metric, (next) => setState({ metric: next })) : null,
			h("span.soft", null, "x: time since the run began; drag to zoom"), h("span.grow"),
			zoom ? h("button.toggle.on", { type: "button", onclick: () => setState({ zoom: null }) }, "Show all ×") : null);
		const list = [];
		if (metric) {
			const entry = curvesOf(this.id, metric, { x: "time", points: 2000 });
			list.push(["metric", cut(metric, 80), entry.curves.map((curve, at) => ({
				id: `${at}`, name: curve.producer || metric, ...lineStyle(at, isDark()), x: curve.x.map((value) => value - start), y: curve.y, attempt: curve.attempt,
			}))]);
		}
		for (const [title, names] of charts(this.columns)) {
			list.push([title, title, names.map((name, at) => ({ id: name, name, ...lineStyle(at, isDark()), x: relative, y: this.columns.get(name) }))]);
		}
		// All charts have one range of time, so that what happens at once stands in one line.
		let low = Infinity;
		let high = -Infinity;
		for (const [, , curves] of list) {
			for (const { x } of curves) {
				for (const value of x) {
					if (value < low) low = value;
					if (value > high) high = value;
				}
			}
		}
		const range = zoom ?? (high > low ? [low, high] : null);
		for (const [key, title, curves] of list) this.one(key, title, curves, range);
	}

	one(key, title, curves, range) {
		if (!this.charts.has(key)) {
			const plot = h("div.plot");
			const head = h("h2");
			const legend = h("div.strip");
			const element = h("article.card", null, h("header", null, head), legend, plot);
			if (key === "metric") this.grid.prepend(element);
			else this.grid.append(element);
			this.charts.set(key, { head, legend, chart: new Chart(plot, { kind: "relative", sync: "expman-system", onZoom: (zoom) => setState({ x: "relative", zoom }) }) });
		}
		const { head, legend, chart } = this.charts.get(key);
		head.textContent = title;
		put(legend, curves.length > 1 ? curves.slice(0, 9).map((curve) => h("span", null, swatch(curve), cut(curve.name, 30))) : null, curves.length > 9 ? h("span", null, `+${curves.length - 9}`) : null);
		chart.show(curves, { zoom: range });
	}

	restyle() {
		for (const { chart } of this.charts.values()) chart.restyle();
		this.draw();
	}

	destroy() {
		this.over = true;
		this.reread.stop();
		this.drawSoon.stop();
		this.unwatch();
		for (const off of this.off) off();
		for (const { chart } of this.charts.values()) chart.destroy();
		this.outer.classList.remove("flush");
	}
}
