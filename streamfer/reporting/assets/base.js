"use strict";
// What the other scripts of the page share: the data, the choices of the reader, and the making of elements.
// Text and attributes are set, markup never: what a model or a file name says stays text.
const data = JSON.parse(document.getElementById("data").textContent);
const state = { selected: null, sortKey: "apex_s", sortDown: false, range: null };
const NONE = 255, STEP = 0.02; // as in curves.py

const $ = (id) => document.getElementById(id);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const fillNode = (node, props, children) => {
  for (const [key, value] of Object.entries(props)) {
    if (key === "class") node.setAttribute("class", value);
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== null) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
};
const make = (tag, props = {}, ...children) => fillNode(document.createElement(tag), props, children);
const svg = (tag, props = {}, ...children) => fillNode(document.createElementNS("http://www.w3.org/2000/svg", tag), props, children);

const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const intensities = (text) => Array.from(bytes(text), (v) => (v === NONE ? null : Math.round(v * STEP * 100) / 100));
const milliseconds = (text) => Array.from(new Uint16Array(bytes(text).buffer));

const clock = (s, digits = 2) => {
  const total = Math.round(s * 10 ** digits) / 10 ** digits;
  const hours = Math.floor(total / 3600), minutes = Math.floor(total / 60) % 60;
  const seconds = (total % 60).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${seconds}` : `${minutes}:${seconds}`;
};
const span = (s) => (s >= 90 ? clock(s, 0) : `${s.toFixed(1)} s`);
const plural = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;

const who = (person) => person || "not identified";
const auName = (au) => data.names[au] || "";
const labelOf = (event) => (event.result && event.result.cot ? event.result.cot.label : "");
const codeOf = (change) => ({ left: "L", right: "R", both: "" })[change.side] + Number(change.au.slice(2));
const codes = (event) => event.aus.map(codeOf).join(" + ") || "none";
const eventOf = Object.fromEntries(data.events.map((event) => [event.id, event]));
const colour = (i) => css(`--c${i % 8}`);
