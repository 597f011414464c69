// What is computed from curves before they are drawn: smoothing, bands, ranges.

/**
 * Smooths with a kernel that falls off to both sides with the distance in x, so that a smooth curve
 * does not lag behind. `strength` is within 0 and 1; the kernel's width is a share of the range of x.
 */
export function smoothed(x, y, strength) {
	const length = x.length;
	let low = Infinity;
	let high = -Infinity;
	for (const value of x) {
		if (value < low) low = value;
		if (value > high) high = value;
	}
	const width = 0.12 * strength ** 3 * (high - low) || 1e-300;
	const sum = new Float64Array(length);
	const weight = new Float64Array(length);
	const pass = (start, step) => {
		let total = 0;
		let share = 0;
		let before = NaN;
		for (let count = 0, at = start; count < length; count += 1, at += step) {
			if (!Number.isFinite(y[at]) || Number.isNaN(x[at])) continue;
			const decay = Number.isNaN(before) ? 0 : Math.exp(-Math.abs(x[at] - before) / width);
			total = total * decay + y[at];
			share = share * decay + 1;
			before = x[at];
			sum[at] += total;
			weight[at] += share;
		}
	};
	pass(0, 1);
	pass(length - 1, -1);
	const smooth = new Float64Array(length);
	for (let at = 0; at < length; at += 1) {
		smooth[at] = Number.isFinite(y[at]) ? (sum[at] - y[at]) / (weight[at] - 1) : y[at];
	}
	return smooth;
}

/** The least, the median and the greatest of several curves, in at most `points` places along x. */
export function band(curves, points = 400) {
	let low = Infinity;
	let high = -Infinity;
	const places = new Set();
	for (const { x } of curves) {
		for (const value of x) {
			if (value < low) low = value;
			if (value > high) high = value;
			if (places.size <= points) places.add(value);
		}
	}
	if (!(high >= low)) return { x: new Float64Array(0), y: new Float64Array(0), low: null, high: null };
	const few = places.size <= points;
	const grid = few ? [...places].filter((value) => !Number.isNaN(value)).sort((a, b) => a - b) : null;
	const total = few ? grid.length : points;
	const span = (high - low) / total || 1;
	const index = few ? new Map(grid.map((value, at) => [value, at])) : null;
	const place = (value) => (few ? index.get(value) : Math.min(total - 1, Math.floor((value - low) / span)));
	const least = new Float64Array(total).fill(Infinity);
	const most = new Float64Array(total).fill(-Infinity);
	const middles = Array.from({ length: total }, () => []);
	for (const { x, y } of curves) {
		const sums = new Float64Array(total);
		const counts = new Int32Array(total);
		for (let at = 0; at < x.length; at += 1) {
			if (!Number.isFinite(y[at]) || Number.isNaN(x[at])) continue;
			const where = place(x[at]);
			sums[where] += y[at];
			counts[where] += 1;
			if (y[at] < least[where]) least[where] = y[at];
			if (y[at] > most[where]) most[where] = y[at];
		}
		for (let at = 0; at < total; at += 1) if (counts[at]) middles[at].push(sums[at] / counts[at]);
	}
	const filled = middles.map((values, at) => (values.length ? at : -1)).filter((at) => at >= 0);
	return {
		x: Float64Array.from(filled, (at) => (few ? grid[at] : low + span * (at + 0.5))),
		y: Float64Array.from(filled, (at) => median(middles[at])),
		low: Float64Array.from(filled, (at) => least[at]),
		high: Float64Array.from(filled, (at) => most[at]),
	};
}

export function median(values) {
	const sorted = [...values].sort((a, b) => a - b);
	const half = sorted.length >> 1;
	return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** The range of x of several curves. */
export function xRange(curves, log) {
	let low = Infinity;
	let high = -Infinity;
	for (const { x } of curves) {
		for (const value of x) {
			if (!Number.isFinite(value) || (log && value <= 0)) continue;
			if (value < low) low = value;
			if (value > high) high = value;
		}
	}
	if (!(high >= low)) return null;
	if (low === high) return log ? [low / 2, high * 2] : [low - 0.5, high + 0.5];
	return [low, high];
}

/** The range of y that shows what lies within the range of x, with some air. */
export function yRange(curves, [from, to], { log, outliers }) {
	const values = [];
	let low = Infinity;
	let high = -Infinity;
	for (const curve of curves) {
		for (const y of [curve.y, curve.smooth, curve.low, curve.high]) {
			if (!y || (outliers && curve.smooth && y === curve.y)) continue;
			for (let at = 0; at < y.length; at += 1) {
				const value = y[at];
				if (!(curve.x[at] >= from && curve.x[at] <= to) || !Number.isFinite(value) || (log && value <= 0)) continue;
				if (outliers) values.push(value);
				if (value < low) low = value;
				if (value > high) high = value;
			}
		}
	}
	if (!(high >= low)) return null;
	if (outliers && values.length > 20) {
		values.sort((a, b) => a - b);
		low = values[Math.floor(values.length * 0.01)];
		high = values[Math.ceil(values.length * 0.99) - 1];
	}
	if (log) return low === high ? [low / 2, high * 2] : [low / (high / low) ** 0.04, high * (high / low) ** 0.04];
	const air = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
	return [low - air, high + air];
}

/** The point that is nearest in x; null if there is none. */
export function nearest(x, wanted, sorted) {
	if (!x.length) return null;
	if (!sorted) {
		let best = 0;
		for (let at = 1; at < x.length; at += 1) {
			if (Math.abs(x[at] - wanted) < Math.abs(x[best] - wanted)) best = at;
		}
		return best;
	}
	let low = 0;
	let high = x.length - 1;
	while (high - low > 1) {
		const half = (low + high) >> 1;
		if (x[half] <= wanted) low = half;
		else high = half;
	}
	return Math.abs(x[low] - wanted) <= Math.abs(x[high] - wanted) ? low : high;
}

export function isSorted(x) {
	for (let at = 1; at < x.length; at += 1) if (!(x[at] >= x[at - 1])) return false;
	return true;
}

/** How many values are NaN and how many infinite. */
export function oddities(y) {
	let nan = 0;
	let infinite = 0;
	for (const value of y) {
		if (Number.isNaN(value)) nan += 1;
		else if (!Number.isFinite(value)) infinite += 1;
	}
	return { nan, infinite };
}
