// One chart: uPlot gives axes, zoom and cursors; the curves are drawn here, each with its own x.

import { h } from "./dom.js";
import { cut, duration, moment, number } from "./format.js";
import { faded, inks } from "./palette.js";
import { isSorted, nearest, xRange, yRange } from "./series.js";

const TOOLTIP_ROWS = 12;

function stepLabel(value) {
	const size = Math.abs(value);
	if (size >= 1e9) return `${number(value / 1e9, 4)}G`;
	if (size >= 1e6) return `${number(value / 1e6, 4)}M`;
	if (size >= 1e4) return `${number(value / 1e3, 4)}k`;
	return number(value, 4);
}

function timeLabels(splits) {
	const span = splits[splits.length - 1] - splits[0];
	return splits.map((value) => {
		if (value == null) return "";
		const text = moment(value, true);
		if (span > 3 * 86400) return text.slice(5, 10);
		return span > 600 ? text.slice(11, 16) : text.slice(11, 19);
	});
}

function valueLabels(splits) {
	const there = splits.filter((value) => value != null);
	const step = there.length > 1 ? Math.abs(there[1] - there[0]) : Math.abs(there[0]) || 1;
	const most = Math.max(...there.map(Math.abs));
	if (most >= 1e6 || step < 1e-5) {
		const digits = Math.min(6, Math.max(1, Math.ceil(Math.log10(most / step)) + 1));
		return splits.map((value) => (value == null ? "" : number(value, digits)));
	}
	let decimals = Math.max(0, Math.min(8, Math.ceil(-Math.log10(step) - 1e-6)));
	while (decimals < 8 && Math.abs(step * 10 ** decimals - Math.round(step * 10 ** decimals)) > 1e-3) decimals += 1;
	return splits.map((value) => (value == null ? "" : value.toFixed(decimals).replace("-", "−")));
}

function xLabels(kind) {
	if (kind === "time") return (_, splits) => timeLabels(splits);
	if (kind === "relative") return (_, splits) => splits.map((value) => (value == null ? "" : duration(value)));
	return (_, splits) => splits.map((value) => (value == null ? "" : stepLabel(value)));
}

/** A value of x as the tooltip shows it. */
export function xText(kind, value) {
	if (kind === "time") return moment(value, true);
	if (kind === "relative") return duration(value);
	return number(value, 8);
}

/**
 * A chart in `host`. `options`: { kind, height, logX, logY, sync, onZoom, onHover, outliers, label }.
 * `show(curves, { zoom })` draws; a curve is { id, name, color, dash, x, y, smooth?, low?, high?, attempt?, faint? }.
 */
export class Chart {
	constructor(host, options) {
		this.host = host;
		this.options = options;
		this.curves = [];
		this.zoom = null;
		this.highlight = null;
		this.range = { x: [0, 1], y: [0, 1] };
		this.plot = null;
		this.tip = h("div.tip", { hidden: true });
		this.observer = new ResizeObserver(() => this.resize());
		this.observer.observe(host);
	}

	/** Draws other curves; the same plot goes on unless its axes change. */
	show(curves, { zoom = null, ...changed } = {}) {
		const before = `${this.options.kind} ${this.options.logX} ${this.options.logY}`;
		Object.assign(this.options, changed);
		this.curves = curves;
		this.zoom = zoom;
		for (const curve of curves) curve.sorted ??= isSorted(curve.x);
		const x = zoom ?? xRange(curves, this.options.logX);
		const y = x && yRange(curves, x, { log: this.options.logY, outliers: this.options.outliers });
		this.empty = !x || !y;
		this.range = { x: x ?? [0, 1], y: y ?? (this.options.logY ? [0.1, 1] : [0, 1]) };
		if (this.options.logX && this.range.x[0] <= 0) this.range.x = [Math.min(1, this.range.x[1] / 10), this.range.x[1]];
		if (!this.plot || before !== `${this.options.kind} ${this.options.logX} ${this.options.logY}`) this.make();
		else this.update();
	}

	update() {
		this.plot.setData([this.range.x, [null, null]], false);
		this.plot.batch(() => {
			this.plot.setScale("x", { min: this.range.x[0], max: this.range.x[1] });
			this.plot.setScale("y", { min: this.range.y[0], max: this.range.y[1] });
		});
		this.plot.redraw(false, true);
	}

	make() {
		this.plot?.destroy();
		const { ink, soft, grid } = inks();
		const axis = { stroke: soft, font: "11px system-ui, sans-serif", ticks: { show: false }, gap: 6 };
		const lines = { stroke: grid, width: 1 };
		const { kind, logX, logY, sync } = this.options;
		const settings = {
			...this.size(),
			legend: { show: false },
			padding: [8, 12, 0, 0],
			scales: {
				x: { time: false, distr: logX ? 3 : 1, range: () => this.range.x },
				y: { distr: logY ? 3 : 1, range: () => this.range.y },
			},
			axes: [
				{ ...axis, grid: { show: false }, size: 26, values: xLabels(kind), space: kind === "step" || kind === "relative" ? 64 : 72 },
				{
					...axis, grid: lines, size: (_, values) => 14 + 6.3 * Math.max(3, ...(values || []).map((text) => (text || "").length)),
					values: (_, splits) => (logY ? splits.map((value) => (value == null ? "" : number(value, 3))) : valueLabels(splits)),
					space: 32,
				},
			],
			series: [{}, { show: true, stroke: ink, points: { show: false } }],
			cursor: {
				y: false,
				points: { show: false },
				drag: { x: true, y: false, setScale: false },
				sync: sync ? { key: sync, setSeries: false, scales: ["x", null] } : undefined,
				bind: { dblclick: () => () => this.options.onZoom?.(null) },
			},
			hooks: {
				draw: [(plot) => this.paint(plot)],
				setCursor: [(plot) => this.moved(plot)],
				setSelect: [(plot) => this.selected(plot)],
			},
		};
		this.plot = new globalThis.uPlot(settings, [this.range.x, [null, null]], this.host);
		this.plot.over.append(this.tip);
		this.plot.over.addEventListener("pointerenter", () => { this.inside = true; });
		this.plot.over.addEventListener("pointerleave", () => { this.inside = false; this.tip.hidden = true; this.hovered(null); });
	}

	size() {
		return { width: Math.max(120, this.host.clientWidth), height: this.options.height || Math.max(120, this.host.clientHeight) };
	}

	resize() {
		if (!this.plot) return;
		const size = this.size();
		if (size.width !== this.plot.width || size.height !== this.plot.height) this.plot.setSize(size);
	}

	destroy() {
		this.observer.disconnect();
		this.plot?.destroy();
		this.plot = null;
	}

	/** Draws again with other colors, of the other theme for example. */
	restyle() {
		if (this.plot) this.make();
	}

	setHighlight(id) {
		if (this.highlight === id) return;
		this.highlight = id;
		this.plot?.redraw(false, false);
	}

	selected(plot) {
		const { left, width } = plot.select;
		if (width < 4) return;
		const from = plot.posToVal(left, "x");
		const to = plot.posToVal(left + width, "x");
		plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
		if (this.inside) this.options.onZoom?.([from, to]);
	}

	// ---- drawing

	paint(plot) {
		const { ctx, bbox } = plot;
		const ratio = globalThis.devicePixelRatio || 1;
		const place = this.places(plot);
		ctx.save();
		ctx.beginPath();
		ctx.rect(bbox.left, bbox.top - 2 * ratio, bbox.width, bbox.height + 4 * ratio);
		ctx.clip();
		ctx.lineJoin = "bevel";
		const lit = this.highlight;
		const dim = (curve) => lit !== null && curve.id !== lit;
		const order = [...this.curves].sort((one, other) => Number(dim(other)) - Number(dim(one)));
		for (const curve of order) {
			const strength = dim(curve) ? 0.16 : 1;
			if (curve.low) this.fillBand(ctx, curve, place, 0.24 * strength);
			ctx.lineWidth = ratio * (lit === curve.id ? 2.4 : this.curves.length > 12 ? 1 : 1.5);
			if (curve.smooth) {
				ctx.lineWidth = ratio;
				ctx.strokeStyle = faded(curve.color, 0.26 * strength);
				this.line(ctx, curve, curve.y, place);
				ctx.lineWidth = ratio * (lit === curve.id ? 2.6 : 1.8);
			}
			ctx.strokeStyle = faded(curve.color, strength * (curve.faint ? 0.55 : 1));
			this.line(ctx, curve, curve.smooth ?? curve.y, place, curve.dash.map((part) => part * ratio));
			this.odd(ctx, curve, place, bbox, ratio, strength);
			if (curve.attempt) this.attempts(ctx, curve, place, bbox, ratio, strength);
		}
		if (this.empty) {
			ctx.fillStyle = inks().soft;
			ctx.font = `${12 * ratio}px system-ui, sans-serif`;
			ctx.textAlign = "center";
			ctx.fillText(this.emptyText(), bbox.left + bbox.width / 2, bbox.top + bbox.height / 2);
		}
		ctx.restore();
		this.drawPoints(plot);
	}

	emptyText() {
		if (!this.curves.some((curve) => curve.x.length)) return this.zoom ? "no rows in this range" : "no row has a value on this x axis";
		if (this.options.logY) return "no value above 0 to draw on a log axis";
		return this.zoom ? "no finite value in this range" : "no finite value";
	}

	/** How values become places on the canvas. */
	places(plot) {
		const { bbox } = plot;
		const [x0, x1] = this.range.x;
		const [y0, y1] = this.range.y;
		const { logX, logY } = this.options;
		const kx = bbox.width / (logX ? Math.log(x1 / x0) : x1 - x0);
		const ky = bbox.height / (logY ? Math.log(y1 / y0) : y1 - y0);
		const bottom = bbox.top + bbox.height;
		return {
			x: logX ? (value) => bbox.left + Math.log(value / x0) * kx : (value) => bbox.left + (value - x0) * kx,
			y: logY ? (value) => bottom - Math.log(value / y0) * ky : (value) => bottom - (value - y0) * ky,
		};
	}

	line(ctx, curve, y, place, dash = []) {
		const { x, attempt } = curve;
		const [from, to] = this.range.x;
		const { logY, logX } = this.options;
		const solid = ctx.strokeStyle;
		let start = 0;
		let end = x.length;
		if (curve.sorted && end > 8) {
			start = Math.max(0, nearest(x, from, true) - 1);
			end = Math.min(end, nearest(x, to, true) + 2);
		}
		// To stroke every zigzag, and dashes along it, would take most of the time until there is a picture.
		const isDense = curve.sorted && end - start > this.plot.bbox.width;
		const points = isDense ? extremes(curve, y, start, end, place.x) : null;
		const inGap = isDense && gaps(dash);
		let pen = false;
		let alone = null;
		const dots = [];
		ctx.setLineDash(isDense ? [] : dash);
		ctx.beginPath();
		for (let number = 0, last = start; number < (points?.length ?? end - start); number += 1) {
			const at = points ? points[number] : start + number;
			const broken = !Number.isFinite(y[at]) || Number.isNaN(x[at]) || (logY && y[at] <= 0) || (logX && x[at] <= 0);
			if (broken || (attempt && attempt[at] !== attempt[last])) {
				if (alone !== null) dots.push(alone);
				pen = false;
				alone = null;
			}
			last = at;
			if (broken) continue;
			const px = place.x(x[at]);
			const py = place.y(y[at]);
			if (inGap && inGap(px)) {
				pen = false;
				alone = null;
				continue;
			}
			if (pen) ctx.lineTo(px, py);
			else ctx.moveTo(px, py);
			alone = pen ? null : at;
			pen = true;
		}
		if (alone !== null) dots.push(alone);
		ctx.stroke();
		ctx.setLineDash([]);
		ctx.fillStyle = solid;
		for (const at of dots) {
			ctx.beginPath();
			ctx.arc(place.x(x[at]), place.y(y[at]), ctx.lineWidth * 1.5, 0, 7);
			ctx.fill();
		}
		ctx.strokeStyle = solid;
	}

	/** A line where another attempt of the run begins. */
	attempts(ctx, { x, attempt, color }, place, bbox, ratio, strength) {
		ctx.strokeStyle = faded(color, 0.5 * strength);
		ctx.lineWidth = ratio;
		ctx.setLineDash([3 * ratio, 3 * ratio]);
		ctx.beginPath();
		for (let at = 1; at < attempt.length; at += 1) {
			if (attempt[at] === attempt[at - 1]) continue;
			const px = Math.round(place.x(x[at])) + 0.5;
			ctx.moveTo(px, bbox.top);
			ctx.lineTo(px, bbox.top + bbox.height);
		}
		ctx.stroke();
		ctx.setLineDash([]);
	}

	fillBand(ctx, curve, place, alpha) {
		const { x, low, high } = curve;
		if (!x.length) return;
		const floor = this.range.y[0];
		const up = (value) => place.y(this.options.logY ? Math.max(value, floor) : value);
		ctx.beginPath();
		for (let at = 0; at < x.length; at += 1) ctx.lineTo(place.x(x[at]), up(high[at]));
		for (let at = x.length - 1; at >= 0; at -= 1) ctx.lineTo(place.x(x[at]), up(low[at]));
		ctx.fillStyle = faded(curve.color, alpha);
		ctx.fill();
	}

	/** NaN is a cross at the bottom, an infinity a triangle at its end of the axis. */
	odd(ctx, curve, place, bbox, ratio, strength) {
		const taken = new Set();
		const size = 3.5 * ratio;
		ctx.fillStyle = ctx.strokeStyle = faded(curve.color, strength);
		ctx.lineWidth = 1.6 * ratio;
		for (let at = 0; at < curve.y.length; at += 1) {
			const value = curve.y[at];
			if (Number.isFinite(value)) continue;
			const px = Math.round(place.x(curve.x[at]));
			const high = value === Infinity;
			const mark = `${Math.round(px / (9 * ratio))} ${value}`;
			if (!(px >= bbox.left - 1 && px <= bbox.left + bbox.width + 1) || taken.has(mark)) continue;
			taken.add(mark);
			const py = high ? bbox.top + size : bbox.top + bbox.height - size;
			ctx.beginPath();
			if (Number.isNaN(value)) {
				ctx.moveTo(px - size, py - size);
				ctx.lineTo(px + size, py + size);
				ctx.moveTo(px + size, py - size);
				ctx.lineTo(px - size, py + size);
				ctx.stroke();
			} else {
				const tip = high ? -size : size;
				ctx.moveTo(px - size, py - tip);
				ctx.lineTo(px + size, py - tip);
				ctx.lineTo(px, py + tip);
				ctx.fill();
			}
		}
	}

	// ---- the cursor

	/** Moves the cursor by keys: to the left, to the right. */
	nudge(share) {
		const { plot } = this;
		if (!plot) return;
		const width = plot.over.clientWidth;
		const now = plot.cursor.left >= 0 ? plot.cursor.left : width / 2;
		this.inside = true;
		plot.setCursor({ left: Math.max(0, Math.min(width, now + share * width)), top: plot.over.clientHeight / 2 });
	}

	moved(plot) {
		const { left, top } = plot.cursor;
		if (left == null || left < 0) {
			this.tip.hidden = true;
			this.points = null;
			this.drawPoints(plot);
			return;
		}
		const x = plot.posToVal(left, "x");
		const span = Math.abs(this.range.x[1] - this.range.x[0]);
		const found = [];
		for (const curve of this.curves) {
			const at = nearest(curve.x, x, curve.sorted);
			if (at === null || (curve.sorted && Math.abs(curve.x[at] - x) > span * 0.05)) continue;
			const value = curve.smooth ? curve.smooth[at] : curve.y[at];
			const py = Number.isFinite(value) ? plot.valToPos(value, "y") : Infinity;
			found.push({ curve, at, value, far: Math.abs(py - top) });
		}
		this.points = found;
		this.drawPoints(plot);
		if (!this.inside) {
			this.tip.hidden = true;
			return;
		}
		found.sort((one, other) => one.far - other.far);
		const close = found[0]?.far < 24 ? found[0].curve : null;
		this.hovered(close);
		this.fillTip(plot, found, close, x);
	}

	hovered(curve) {
		const id = curve?.id ?? null;
		if (this.hover === id) return;
		this.hover = id;
		this.options.onHover?.(id);
	}

	fillTip(plot, found, close, x) {
		if (!found.length) {
			this.tip.hidden = true;
			return;
		}
		const { kind } = this.options;
		const rows = found.slice(0, TOOLTIP_ROWS).sort((one, other) => other.value - one.value || 0);
		const head = kind === "step" && found.length ? xText(kind, found[0].curve.x[found[0].at]) : xText(kind, x);
		this.tip.replaceChildren(
			h("div.tiphead", null, this.options.xName ? `${this.options.xName} ` : "", h("b", null, head)),
			...rows.map(({ curve, at, value }) => h(`div.tiprow${curve === close ? ".near" : ""}`, null,
				swatch(curve), h("span.tipname", null, cut(curve.name, 60), curve.attempt ? ` · attempt ${curve.attempt[at]}` : ""),
				h("span.tipvalue", null, number(value, 6), curve.low ? h("i", null, ` ${number(curve.low[at], 4)} – ${number(curve.high[at], 4)}`) : null, curve.smooth ? h("i", null, ` (${number(curve.y[at], 4)})`) : null))),
		);
		if (found.length > TOOLTIP_ROWS) this.tip.append(h("div.tipmore", null, `and ${found.length - TOOLTIP_ROWS} more`));
		this.tip.hidden = false;
		const { left, top } = plot.cursor;
		const width = this.tip.offsetWidth;
		const height = this.tip.offsetHeight;
		const room = plot.over.clientWidth;
		let at = left + 14;
		if (at + width > room && left - width - 14 > -60) at = left - width - 14;
		this.tip.style.transform = `translate(${Math.round(at)}px, ${Math.round(Math.min(top + 12, Math.max(0, plot.over.clientHeight - height)))}px)`;
	}

	/** Marks the points at the cursor; they are elements, so that the curves are not drawn again. */
	drawPoints(plot) {
		this.marks ??= [];
		const points = (this.points || []).filter(({ value }) => Number.isFinite(value)).slice(0, 40);
		while (this.marks.length < points.length) this.marks.push(h("div.mark"));
		this.marks.forEach((mark, at) => {
			if (at >= points.length) {
				mark.remove();
				return;
			}
			const { curve, at: index, value } = points[at];
			const px = plot.valToPos(curve.x[index], "x");
			const py = plot.valToPos(value, "y");
			const out = px < 0 || py < 0 || px > plot.over.clientWidth || py > plot.over.clientHeight;
			mark.hidden = out;
			mark.style.background = curve.color;
			mark.style.transform = `translate(${px - 3.5}px, ${py - 3.5}px)`;
			if (mark.parentNode !== plot.over) plot.over.append(mark);
		});
	}
}

/** Of the points from `start` to `end`, the least and the greatest of each column of pixels, and what breaks the line. */
function extremes({ x, attempt }, y, start, end, place) {
	const kept = [];
	for (let at = start, next = start; at < end; at = next) {
		const column = Math.floor(place(x[at]));
		let [least, most] = [at, at];
		next = at + 1;
		while (next < end && Number.isFinite(y[at]) && Number.isFinite(y[next]) && Math.floor(place(x[next])) === column && attempt?.[next] === attempt?.[at]) {
			if (y[next] < y[least]) least = next;
			if (y[next] > y[most]) most = next;
			next += 1;
		}
		kept.push(Math.min(least, most));
		if (least !== most) kept.push(Math.max(least, most));
	}
	return kept;
}

/** Whether a place along x lies in a gap of a dashed line; null if it has none. */
function gaps(dash) {
	if (!dash.length) return null;
	const whole = dash.reduce((sum, part) => sum + part);
	return (px) => {
		let rest = px % whole;
		return dash.findIndex((part) => (rest -= part) < 0) % 2 === 1;
	};
}

/** A short piece of a curve's line. */
export function swatch({ color, dash }) {
	const canvas = h("canvas.swatch", { width: 36, height: 12, "aria-hidden": "true" });
	const ctx = canvas.getContext("2d");
	ctx.strokeStyle = color;
	ctx.lineWidth = 4;
	ctx.setLineDash(dash.map((part) => part * 1.6));
	ctx.beginPath();
	ctx.moveTo(0, 6);
	ctx.lineTo(36, 6);
	ctx.stroke();
	return canvas;
}
