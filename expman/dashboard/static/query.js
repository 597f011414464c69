// The language of the filter box: lr<0.01 and status=finished, loss:min<0.2, team:vision, free text.

import { own } from "./dom.js";
import { toNumber } from "./format.js";

const FIELDS = new Map([
  ["status", "status"], ["run", "run"], ["name", "run"], ["experiment", "experiment"], ["id", "id"],
  ["project", "project"], ["group", "group"], ["host", "host"], ["rank", "rank"], ["rows", "rows"],
  ["attempts", "attempts"], ["commit", "commit"], ["description", "description"], ["notes", "notes"],
  ["error", "error"], ["reason", "reason"],
]);
const UNITS = new Map([["s", 1], ["m", 60], ["min", 60], ["h", 3600], ["d", 86400], ["w", 604800]]);
const STATISTICS = ["last", "min", "max"];
const OPERATORS = ["<=", ">=", "!=", "==", "<", ">", "=", "~"];

/** How long a run has taken so far. */
export function durationOf(run, now) {
  if (run.duration_s != null) return run.duration_s;
  if (run.started_at == null) return null;
  const end = run.finished_at ?? (run.status === "RUNNING" ? now : run.heartbeat_at);
  return end == null ? null : Math.max(0, end - run.started_at);
}

/** The value that a name stands for in a run: a field, parameter, scalar, metric or tag. */
export function lookUp(run, name, now = Date.now() / 1000) {
  if (FIELDS.has(name)) return run[FIELDS.get(name)];
  if (name === "duration") return durationOf(run, now);
  if (name === "age") return run.started_at == null ? null : now - run.started_at;
  const colon = name.lastIndexOf(":");
  if (colon > 0 && STATISTICS.includes(name.slice(colon + 1))) {
    const value = own(run[name.slice(colon + 1)], name.slice(0, colon));
    if (value !== undefined) return value;
  }
  const prefix = name.indexOf(":");
  if (prefix > 0) {
    const from = { param: "params", tag: "tags", scalar: "scalars", metric: "last" };
    const where = own(from, name.slice(0, prefix));
    if (where) return own(run[where], name.slice(prefix + 1));
  }
  for (const where of ["params", "scalars", "last", "tags"]) {
    const value = own(run[where], name);
    if (value !== undefined) return value;
  }
  return undefined;
}

function tokens(text) {
  const found = [];
  const pattern = /\s*(?:(\(|\)|<=|>=|!=|==|<|>|=|~)|"((?:[^"\\]|\\.)*)"?|'((?:[^'\\]|\\.)*)'?|([^\s()<>=!~"']+)|(.))/gy;
  let match;
  while (pattern.lastIndex < text.length && (match = pattern.exec(text))) {
    const quoted = match[2] ?? match[3];
    if (match[1]) found.push({ kind: "sign", text: match[1] });
    else if (quoted !== undefined) found.push({ kind: "quoted", text: quoted.replace(/\\(.)/g, "$1") });
    else if (match[4]) found.push({ kind: "word", text: match[4] });
    else if (match[5]) found.push({ kind: "word", text: match[5] });
  }
  return found;
}

/** Gives { test(run), error }: which runs a filter keeps, or what is wrong with it. */
export function parseFilter(text) {
  const list = tokens(text);
  let at = 0;
  const peek = () => list[at];
  const isWord = (word) => peek()?.kind === "word" && peek().text.toLowerCase() === word;
  const isSign = (sign) => peek()?.kind === "sign" && peek().text === sign;

  function either() {
    const parts = [both()];
    while (isWord("or")) {
      at += 1;
      parts.push(both());
    }
    return parts.length === 1 ? parts[0] : (run, now) => parts.some((part) => part(run, now));
  }
  function both() {
    const parts = [single()];
    while (peek() && !isWord("or") && !isSign(")")) {
      if (isWord("and")) at += 1;
      parts.push(single());
    }
    return parts.length === 1 ? parts[0] : (run, now) => parts.every((part) => part(run, now));
  }
  function single() {
    const token = peek();
    if (!token) throw new Error("the filter ends too early");
    if (isWord("not")) {
      at += 1;
      const inner = single();
      return (run, now) => !inner(run, now);
    }
    if (isSign("(")) {
      at += 1;
      const inner = either();
      if (!isSign(")")) throw new Error("a ) is missing");
      at += 1;
      return inner;
    }
    if (token.kind === "sign") throw new Error(`a name is missing before ${token.text}`);
    at += 1;
    const next = peek();
    if (next?.kind === "sign" && OPERATORS.includes(next.text)) {
      at += 1;
      const value = peek();
      if (!value || value.kind === "sign") throw new Error(`a value is missing after ${token.text} ${next.text}`);
      at += 1;
      return comparison(token.text, next.text, value.text);
    }
    const colon = token.kind === "word" ? token.text.indexOf(":") : -1;
    if (colon > 0) {
      let value = token.text.slice(colon + 1);
      if (!value && peek()?.kind === "quoted") {
        value = peek().text;
        at += 1;
      }
      return tagTest(token.text.slice(0, colon), value);
    }
    return freeText(token.text);
  }

  if (!list.length) return { test: () => true, error: null };
  try {
    const test = either();
    if (peek()) throw new Error(`${peek().text} is not expected here`);
    return { test: (run, now) => test(run, now ?? Date.now() / 1000), error: null };
  } catch (error) {
    return { test: () => true, error: error.message };
  }
}

function tagTest(key, value) {
  const wanted = matcher(value);
  if (key === "tag" || key === "tags") return (run) => run.tagList.some((tag) => wanted(tag));
  return (run, now) => {
    const tag = own(run.tags, key) ?? lookUp(run, key, now);
    return tag != null && (value === "" || wanted(String(tag)));
  };
}

function freeText(text) {
  const wanted = text.toLowerCase();
  const has = (value) => value != null && String(value).toLowerCase().includes(wanted);
  return (run) => has(run.id) || has(run.description) || has(run.notes) || has(run.status) || has(run.group) ||
    run.tagList.some(has);
}

function matcher(text) {
  const wanted = text.toLowerCase();
  if (!wanted.includes("*")) return (value) => value.toLowerCase() === wanted;
  const pieces = wanted.split("*").map((piece) => piece.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  const pattern = new RegExp(`^${pieces.join(".*")}$`, "su");
  return (value) => pattern.test(value.toLowerCase());
}

function comparison(name, sign, text) {
  const wanted = wantedNumber(name, text);
  const same = matcher(text);
  const empty = ["null", "none"].includes(text.toLowerCase());
  return (run, now) => {
    const value = lookUp(run, name, now);
    if (value == null) return sign === "!=" ? !empty : (sign === "=" || sign === "==") && empty;
    if (sign === "~") return String(value).toLowerCase().includes(text.toLowerCase());
    const given = typeof value === "boolean" ? null : toNumber(value);
    if (wanted !== null && given !== null) {
      if (sign === "<") return given < wanted;
      if (sign === ">") return given > wanted;
      if (sign === "<=") return given <= wanted;
      if (sign === ">=") return given >= wanted;
      const equal = Object.is(given, wanted) || given === wanted;
      return sign === "!=" ? !equal : equal;
    }
    const equal = same(String(value));
    if (sign === "!=") return !equal;
    return (sign === "=" || sign === "==") && equal;
  };
}

function wantedNumber(name, text) {
  const word = { nan: NaN, inf: Infinity, "+inf": Infinity, "-inf": -Infinity };
  if (Object.hasOwn(word, text.toLowerCase())) return word[text.toLowerCase()];
  const match = /^([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)([a-z]*)$/i.exec(text);
  if (!match) return null;
  if (!match[2]) return Number(match[1]);
  const time = name === "duration" || name === "age";
  return time && UNITS.has(match[2].toLowerCase()) ? Number(match[1]) * UNITS.get(match[2].toLowerCase()) : null;
}
