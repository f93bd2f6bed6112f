// Filters, the table of events, choosing one, and the start of the page.
const fillSelect = (select, values, text = (v) => v) => values.forEach((v) => select.append(make("option", { value: v }, text(v))));
fillSelect($("f-person"), data.people.map((p) => p.person), who);
fillSelect($("f-au"), [...new Set(data.events.flatMap((e) => e.aus.map((c) => c.au)))].sort(), (au) => `${au} ${auName(au)}`);
fillSelect($("f-label"), [...new Set(data.events.map(labelOf).filter(Boolean))].sort());

const passes = (event) =>
  ["*", event.person].includes($("f-person").value) && ["*", event.kind].includes($("f-kind").value) &&
  ($("f-au").value === "*" || event.aus.some((c) => c.au === $("f-au").value)) &&
  ["*", labelOf(event)].includes($("f-label").value) && event.score >= Number($("f-score").value);
let filtered = null; // of the choices as they are; refresh() forgets it
const shownEvents = () => (filtered ??= data.events.filter(passes));

const valueOf = (event, key) => (key === "label" ? labelOf(event) : event[key]);
const sorted = () => [...shownEvents()].sort((a, b) => {
  const x = valueOf(a, state.sortKey), y = valueOf(b, state.sortKey);
  return (x < y ? -1 : x > y ? 1 : a.apex_s - b.apex_s) * (state.sortDown ? -1 : 1);
});

let rowOf = {};
const drawTable = () => {
  const events = sorted();
  const cell = (text, kind = "") => make("td", { class: kind }, text);
  rowOf = Object.fromEntries(events.map((e) => [e.id, make("tr", { tabindex: "-1", "data-id": e.id, onclick: () => choose(e.id) },
    cell(clock(e.apex_s), "time"), cell(who(e.person)), make("td", {}, make("span", { class: `key ${e.kind}` }, e.kind)), cell(codes(e), "wide"),
    make("td", {}, labelOf(e) || "\u2013", e.result && !e.result.verified ? make("span", { class: "doubt", title: "not verified" }, " ?") : null),
    cell(`${e.duration_s.toFixed(2)} s`, "num"), cell(e.score.toFixed(2), "num"))]));
  const rows = events.map((e) => rowOf[e.id]);
  document.querySelector("#events tbody").replaceChildren(...rows);
  if (rows.length && !rowOf[state.selected]) rows[0].setAttribute("tabindex", "0");
  $("no-events").hidden = rows.length > 0;
  $("no-events").textContent = data.events.length ? "No event passes these filters." : "No facial action was found.";
  document.querySelectorAll("#events th button").forEach((button) => {
    const on = button.dataset.key === state.sortKey;
    button.parentNode.setAttribute("aria-sort", on ? (state.sortDown ? "descending" : "ascending") : "none");
  });
  $("count").textContent = rows.length === data.events.length ? `${rows.length}` : `${rows.length} of ${data.events.length}`;
  markRow();
};
const markRow = () => {
  document.querySelectorAll("#events tr[aria-current]").forEach((row) => { row.removeAttribute("aria-current"); row.setAttribute("tabindex", "-1"); });
  const row = rowOf[state.selected];
  if (row) { row.setAttribute("aria-current", "true"); row.setAttribute("tabindex", "0"); }
};

const choose = (id, go = true) => {
  const before = eventOf[state.selected], event = eventOf[id];
  state.selected = id;
  const order = sorted();
  showDetail(event, order.indexOf(event) + 1, order.length);
  markRow();
  lanes.filter((lane) => lane.person === event.person || (before && lane.person === before.person)).forEach(markChosen);
  if (state.range && (event.apex_s < state.range[0] || event.apex_s > state.range[1])) zoom(around(event, state.range[1] - state.range[0]));
  $("near").disabled = false;
  const row = rowOf[id];
  if (row && go) { row.scrollIntoView({ block: "nearest" }); row.focus({ preventScroll: true }); }
  if (go && matchMedia("(max-width: 1050px)").matches) $("detail").scrollIntoView({ block: "start" });
  history.replaceState(null, "", `#${encodeURIComponent(id)}`);
};
const step = (by) => {
  const order = sorted(), at = order.findIndex((e) => e.id === state.selected);
  const to = order[at < 0 ? 0 : Math.max(0, Math.min(order.length - 1, at + by))];
  if (to) choose(to.id);
};
const around = (event, width) => [event.apex_s - width / 2, event.apex_s + width / 2];

document.querySelectorAll("#events th button").forEach((button) => button.addEventListener("click", () => {
  state.sortDown = state.sortKey === button.dataset.key ? !state.sortDown : button.dataset.key === "score";
  state.sortKey = button.dataset.key;
  drawTable();
}));
document.addEventListener("keydown", (event) => {
  const at = document.activeElement;
  if (["SELECT", "INPUT"].includes(at.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Enter" && at.dataset.id) choose(at.dataset.id);
  else if (event.key === "ArrowDown" && (at === document.body || at.dataset.id)) step(1);
  else if (event.key === "ArrowUp" && (at === document.body || at.dataset.id)) step(-1);
  else return;
  event.preventDefault();
});
$("whole").addEventListener("click", () => zoom(null));
$("near").addEventListener("click", () => {
  const event = eventOf[state.selected];
  if (event) zoom(around(event, Math.max(4, event.duration_s * 3)));
});

const refresh = () => {
  filtered = null;
  $("f-score-value").textContent = Number($("f-score").value).toFixed(2);
  const person = $("f-person").value;
  lanes.forEach((lane) => { lane.node.hidden = person !== "*" && lane.person !== person; });
  drawTable();
  lanes.filter((lane) => !lane.node.hidden).forEach(drawLane);
};
["input", "change"].forEach((kind) => $("filters").addEventListener(kind, refresh));
$("filters").addEventListener("reset", () => setTimeout(refresh));
$("filters").addEventListener("submit", (event) => event.preventDefault());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", refresh);
$("coarse").hidden = data.bin_s < 0.1;
$("coarse").textContent = `In a video of this length a lane shows the lowest and the highest value of each ${data.bin_s.toFixed(1)} s; the close-up beside the pictures shows every frame.`;
let resized = 0;
window.addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(() => lanes.forEach(drawLane), 100); });

const named = data.people.filter((p) => p.person).length;
const microCount = data.events.filter((e) => e.kind === "micro").length;
$("summary").textContent = `${plural(named, "person", "people")}, ${microCount} micro and ${data.events.length - microCount} macro events in ${span(data.end_s)}`;
lanes.push(...data.people.map(buildLane));
if (!lanes.length) $("lanes").append(make("p", { class: "lane quiet" }, "No face was found in this source."));
if (typeof Plotly === "undefined") $("no-plot").hidden = false;
refresh();
let wanted = "";
try { wanted = decodeURIComponent(location.hash.slice(1)); } catch { wanted = ""; } // a broken address is no address
const first = eventOf[wanted] || [...data.events].sort((a, b) => b.score - a.score)[0];
if (first) choose(first.id, false);
