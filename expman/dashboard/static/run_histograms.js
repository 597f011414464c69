// Histograms over time: as a picture of densities, or as ridges.

import { data } from "./data.js";
import { h, put } from "./dom.js";
import { cut, number } from "./format.js";
import { inks, isDark } from "./palette.js";
import { into, toggle } from "./parts.js";

const BINS = 120;
const RIDGES = 24;
const MARGIN = { left: 58, right: 12, top: 8, bottom: 24 };

/** The density of each histogram in bins that all have in common. */
function densities(items) {
	let low = Infinity;
	let high = -Infinity;
	for (const { edges } of items) {
		if (edges.length < 2) continue;
		low = Math.min(low, edges[0]);
		high = Math.max(high, edges[edges.length - 1]);
	}
	if (!(high > low)) return null;
	const width = (high - low) / BINS;
	const rows = items.map(({ edges, counts }) => {
		const row = new Float64Array(BINS);
		const total = counts.reduce((sum, one) => sum + one, 0) || 1;
		counts.forEach((many, at) => {
			if (!many) return;
			const from = edges[at];
			const span = edges[at + 1] - from || width;
			const first = Math.max(0, Math.floor((from - low) / width));
			const last = Math.min(BINS - 1, Math.floor((edges[at + 1] - low) / width - 1e-9));
			for (let bin = first; bin <= Math.max(first, last); bin += 1) {
				const overlap = Math.min(low + (bin + 1) * width, from + span) - Math.max(low + bin * width, from);
				row[Math.min(bin, BINS - 1)] += (many / total) * Math.max(0, Math.min(1, overlap / span));
			}
		});
		return row;
	});
	return { low, high, rows };
}

// Dark blue to light yellow: the lightness rises evenly, so it can be read without seeing colors.
const RAMP = [[37, 43, 113], [28, 92, 158], [13, 139, 168], [70, 178, 140], [168, 205, 98], [244, 226, 92]];
function ramp(share, dark) {
	const place = Math.min(0.9999, Math.max(0, dark ? share : 1 - share)) * (RAMP.length - 1);
	const at = Math.floor(place);
	const part = place - at;
	return RAMP[at].map((value, channel) => Math.round(value + (RAMP[at + 1][channel] - value) * part));
}

class Picture {
	constructor(host, tag, items) {
		this.items = items;
		this.grid = densities(items);
		this.canvas = h("canvas", { role: "img", "aria-label": this.text(tag) });
		this.tip = h("div.tip", { hidden: true });
		this.host = h("div.histogram", null, this.canvas, this.tip);
		host.append(this.host);
		this.observer = new ResizeObserver(() => this.draw());
		this.observer.observe(this.host);
		this.canvas.addEventListener("pointermove", (event) => this.point(event));
		this.canvas.addEventListener("pointerleave", () => { this.tip.hidden = true; });
	}

	text(tag) {
		if (!this.grid) return `histograms of ${cut(tag, 100)}: no values`;
		return `${this.items.length} histograms of ${cut(tag, 100)}, values from ${number(this.grid.low)} to ${number(this.grid.high)}`;
	}

	draw() {
		const ratio = devicePixelRatio || 1;
		const width = this.host.clientWidth;
		const height = this.host.clientHeight;
		if (!width || !this.grid) return;
		this.canvas.width = Math.round(width * ratio);
		this.canvas.height = Math.round(height * ratio);
		this.canvas.style.width = `${width}px`;
		this.canvas.style.height = `${height}px`;
		const ctx = this.canvas.getContext("2d");
		ctx.scale(ratio, ratio);
		this.area = { left: MARGIN.left, top: MARGIN.top, width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
		if (this.ridges) this.drawRidges(ctx);
		else this.drawMap(ctx);
	}

	drawMap(ctx) {
		const { rows, low, high } = this.grid;
		const { left, top, width, height } = this.area;
		const most = Math.max(...rows.map((row) => Math.max(...row))) || 1;
		const image = new ImageData(rows.length, BINS);
		const dark = isDark();
		rows.forEach((row, x) => row.forEach((value, bin) => {
			const at = ((BINS - 1 - bin) * rows.length + x) * 4;
			const share = Math.sqrt(value / most);
			const [red, green, blue] = ramp(share, dark);
			image.data[at] = red;
			image.data[at + 1] = green;
			image.data[at + 2] = blue;
			image.data[at + 3] = value > 0 ? 90 + 165 * share : 0;
		}));
		const small = document.createElement("canvas");
		small.width = rows.length;
		small.height = BINS;
		small.getContext("2d").putImageData(image, 0, 0);
		ctx.imageSmoothingEnabled = false;
		ctx.drawImage(small, left, top, width, height);
		this.axes(ctx, low, high, true);
	}

	drawRidges(ctx) {
		const { rows, low, high } = this.grid;
		const { left, top, width, height } = this.area;
		const every = Math.max(1, Math.ceil(rows.length / RIDGES));
		const kept = rows.map((row, at) => [row, at]).filter(([, at]) => at % every === 0 || at === rows.length - 1);
		const most = Math.max(...kept.map(([row]) => Math.max(...row))) || 1;
		const gap = height / (kept.length + 2);
		const { surface, soft } = inks();
		kept.forEach(([row, at], place) => {
			const base = top + gap * (place + 2.6);
			ctx.beginPath();
			ctx.moveTo(left, base);
			row.forEach((value, bin) => ctx.lineTo(left + ((bin + 0.5) / BINS) * width, base - (value / most) * gap * 3));
			ctx.lineTo(left + width, base);
			ctx.fillStyle = surface;
			ctx.fill();
			const [red, green, blue] = ramp(0.2 + 0.6 * (place / kept.length), isDark());
			ctx.fillStyle = `rgba(${red},${green},${blue},.45)`;
			ctx.fill();
			ctx.strokeStyle = `rgb(${red},${green},${blue})`;
			ctx.lineWidth = 1.2;
			ctx.stroke();
			if (place % Math.ceil(kept.length / 8) === 0 || at === rows.length - 1) {
				ctx.fillStyle = soft;
				ctx.font = "11px system-ui, sans-serif";
				ctx.textAlign = "right";
				ctx.fillText(number(this.items[at].step ?? at, 4), left - 6, base);
			}
		});
		this.axes(ctx, low, high, false);
	}

	axes(ctx, low, high, map) {
		const { left, top, width, height } = this.area;
		ctx.fillStyle = inks().soft;
		ctx.font = "11px system-ui, sans-serif";
		if (map) {
			ctx.textAlign = "right";
			for (const share of [0, 0.25, 0.5, 0.75, 1]) ctx.fillText(number(low + (high - low) * share, 3), left - 6, top + height * (1 - share) + (share === 1 ? 9 : share === 0 ? 0 : 4));
			for (const share of [0, 0.5, 1]) {
				ctx.textAlign = share === 0 ? "left" : share === 1 ? "right" : "center";
				const item = this.items[Math.round(share * (this.items.length - 1))];
				ctx.fillText(number(item.step ?? 0, 6), left + width * share, top + height + 17);
			}
		} else {
			for (const share of [0, 0.25, 0.5, 0.75, 1]) {
				ctx.textAlign = share === 0 ? "left" : share === 1 ? "right" : "center";
				ctx.fillText(number(low + (high - low) * share, 3), left + width * share, top + height + 17);
			}
		}
	}

	point(event) {
		if (!this.area || this.ridges) return;
		const { left, top, width, height } = this.area;
		const x = (event.offsetX - left) / width;
		const y = 1 - (event.offsetY - top) / height;
		this.tip.hidden = !(x >= 0 && x < 1 && y >= 0 && y < 1);
		if (this.tip.hidden) return;
		const at = Math.floor(x * this.items.length);
		const bin = Math.floor(y * BINS);
		const { low, high, rows } = this.grid;
		const value = low + ((bin + 0.5) / BINS) * (high - low);
		put(this.tip, h("div.tiphead", null, "step ", h("b", null, number(this.items[at].step ?? at))), h("div", null, `near ${number(value, 4)}: ${number(rows[at][bin] * 100, 3)} %`));
		const flip = event.offsetX > this.host.clientWidth - 170;
		this.tip.style.transform = `translate(${event.offsetX + (flip ? -160 : 14)}px, ${event.offsetY + 10}px)`;
	}

	destroy() {
		this.observer.disconnect();
	}
}

export class Histograms {
	constructor(root, id, details) {
		this.pictures = [];
		const tags = details.histograms.map((one) => (typeof one === "string" ? one : one.tag));
		const grid = h("div.grid.histograms");
		grid.style.setProperty("--card", "420px");
		this.ridges = false;
		const bar = h("div.bar");
		const drawBar = () => put(bar, toggle("as ridges", this.ridges, (on) => {
			this.ridges = on;
			drawBar();
			this.restyle();
		}), h("span.soft", null, "x: step, y: value, color: share of the values"));
		drawBar();
		root.classList.add("flush");
		this.root = root;
		root.append(bar, h("div.sections", { tabindex: "0", role: "region", "aria-label": "Histograms" }, grid));
		for (const tag of tags.slice(0, 200)) {
			const place = h("div");
			grid.append(h("article.card", null, h("header", null, h("h2", { title: cut(tag, 300) }, h("bdi", null, cut(tag, 120)))), place));
			into(place, () => data.histograms(id, tag), (items) => {
				if (this.over) return;
				const picture = new Picture(place, tag, items);
				picture.ridges = this.ridges;
				this.pictures.push(picture);
			});
		}
	}

	restyle() {
		for (const picture of this.pictures) {
			picture.ridges = this.ridges;
			picture.draw();
		}
	}

	destroy() {
		this.over = true;
		for (const picture of this.pictures) picture.destroy();
		this.root.classList.remove("flush");
	}
}
