"use strict";
// Shows the report's data. Only ever sets text and attributes: what a model or a file name says is never markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6bd1", "#7f7f00", "#a34b4b", "#4b7a7a"];
  const $ = (id) => document.getElementById(id);
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const make = (tag, props = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(props)) {
      if (key === "class") node.className = value;
      else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (value !== undefined) node.setAttribute(key, value);
    }
    node.append(...children.filter((child) => child !== null));
    return node;
  };
  const clock = (s, digits = 2) => {
    const hours = Math.floor(s / 3600), minutes = Math.floor(s / 60) % 60, seconds = (s % 60).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
    return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${seconds}` : `${minutes}:${seconds}`;
  };
  const who = (person) => person || "unknown";
  const labelOf = (event) => (event.result && event.result.cot ? event.result.cot.label : "");
  const sideOf = (side) => (side === "both" ? "both sides" : `${side} side`);
  const codes = (event) => event.aus.map((c) => ({ left: "L", right: "R", both: "" })[c.side] + Number(c.au.slice(2))).join(" + ") || "none";

  let selected = null;
  let sortKey = "apex_s", sortDown = false;
  const lanes = [];

  // ---------------------------------------------------------------- filters
  const fill = (select, values, text = (v) => v) => values.forEach((v) => select.append(make("option", { value: v }, text(v))));
  fill($("f-person"), data.people.map((p) => p.person), who);
  fill($("f-au"), [...new Set(data.events.flatMap((e) => e.aus.map((c) => c.au)))].sort(), (au) => `${au} ${data.names[au] || ""}`);
  fill($("f-label"), [...new Set(data.events.map(labelOf).filter(Boolean))].sort());
  const passes = (event) =>
    ["*", event.person].includes($("f-person").value) && ["*", event.kind].includes($("f-kind").value) &&
    ($("f-au").value === "*" || event.aus.some((c) => c.au === $("f-au").value)) &&
    ["*", labelOf(event)].includes($("f-label").value) && event.score >= Number($("f-score").value);
  const shown = () => data.events.filter(passes);

  // ---------------------------------------------------------------- lanes
  const mostActive = (curves) => Object.entries(curves.aus)
    .map(([au, values]) => [au, Math.max(0, ...values.filter((v) => v !== null))])
    .sort((a, b) => b[1] - a[1]).filter(([, top]) => top >= 0.5).slice(0, 4).map(([au]) => au);
  const buildLane = ({ person, curves }) => {
    const fromEvents = data.events.filter((e) => e.person === person).flatMap((e) => e.aus.map((c) => c.au)).filter((au) => curves.aus[au]);
    const counts = {};
    fromEvents.forEach((au) => (counts[au] = (counts[au] || 0) + 1));
    const first = Object.entries(counts).sort((a, b) => b[1] - a[1]).slice(0, 3).map(([au]) => au);
    const lane = { person, curves, chosen: new Set([...first, ...mostActive(curves)].slice(0, 4)), plot: make("div", { class: "plot" }) };
    lane.colour = Object.fromEntries(Object.keys(curves.aus).map((au, i) => [au, COLOURS[i % COLOURS.length]]));
    const chips = make("div", { class: "chips", role: "group", "aria-label": `Curves of ${who(person)}` });
    for (const au of Object.keys(curves.aus)) {
      const chip = make("button", { type: "button", class: "chip", title: data.names[au] || "", "aria-pressed": lane.chosen.has(au),
        onclick: () => { lane.chosen.has(au) ? lane.chosen.delete(au) : lane.chosen.add(au); chip.setAttribute("aria-pressed", lane.chosen.has(au)); draw(lane); } },
        make("i"), au);
      chip.style.setProperty("--c", lane.colour[au]);
      chips.append(chip);
    }
    lane.node = make("div", { class: "lane" }, make("div", { class: "lane-head" }, make("h2", {}, who(person)), chips), lane.plot);
    $("lanes").append(lane.node);
    return lane;
  };
  const draw = (lane) => {
    if (typeof Plotly === "undefined") return;
    const events = shown().filter((e) => e.person === lane.person);
    const traces = [...lane.chosen].map((au) => ({
      x: lane.curves.t, y: lane.curves.aus[au], name: au, mode: "lines", line: { width: 1.4, color: lane.colour[au] },
      hovertemplate: `${au} ${data.names[au] || ""}: %{y:.1f}<extra></extra>`,
    }));
    for (const kind of ["macro", "micro"]) {
      const own = events.filter((e) => e.kind === kind);
      traces.push({
        x: own.map((e) => e.apex_s), y: own.map(() => (kind === "micro" ? 5.62 : 5.28)), mode: "markers", name: kind, customdata: own.map((e) => e.id),
        marker: { symbol: kind === "micro" ? "diamond" : "circle", color: css(`--${kind}`), size: own.map((e) => (e.id === selected ? 15 : 10)),
          line: { width: own.map((e) => (e.id === selected ? 2 : 0)), color: css("--ink") } },
        text: own.map((e) => `${kind} ${codes(e)} ${labelOf(e)}`), hovertemplate: "%{text}<extra></extra>",
      });
    }
    const shapes = events.map((e) => ({ type: "rect", xref: "x", yref: "y", x0: e.onset_s, x1: e.offset_s, y0: 0, y1: 5.1, line: { width: 0 },
      fillcolor: css(`--${e.kind}`), opacity: e.id === selected ? 0.28 : 0.1 }));
    const narrow = lane.plot.clientWidth < 500;
    const end = data.duration_s || Math.max(1, ...data.people.map((p) => p.curves.t[p.curves.t.length - 1] || 0));
    const ticks = timeTicks(lane.range ? lane.range : [0, end], narrow ? 4 : 9);
    Plotly.react(lane.plot, traces, {
      height: 190, width: lane.plot.clientWidth, margin: { l: 28, r: 8, t: 6, b: 26 }, showlegend: false, shapes, hovermode: "closest", dragmode: narrow ? false : "zoom",
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { family: "inherit", size: 11, color: css("--quiet") },
      xaxis: { range: lane.range || [0, end], tickvals: ticks, ticktext: ticks.map((t) => clock(t, ticks.length > 1 && ticks[1] - ticks[0] < 1 ? 1 : 0)), gridcolor: css("--line"), zeroline: false },
      yaxis: { range: [0, 5.9], tickvals: [0, 1, 2, 3, 4, 5], gridcolor: css("--line"), zeroline: false, fixedrange: true },
    }, { displayModeBar: false, responsive: false, scrollZoom: false });
    if (!lane.wired) {
      lane.wired = true;
      lane.plot.on("plotly_click", ({ points }) => { const hit = points.find((p) => p.customdata); if (hit) choose(hit.customdata); });
      lane.plot.on("plotly_relayout", (change) => {
        let range = null;
        if (change["xaxis.range[0]"] !== undefined) range = [change["xaxis.range[0]"], change["xaxis.range[1]"]];
        else if (!change["xaxis.autorange"]) return;
        lanes.forEach((other) => { other.range = range; });  // all lanes show the same time
        lanes.forEach(draw);
      });
    }
  };
  const timeTicks = ([from, to], count) => {
    const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
    const step = steps.find((s) => (to - from) / s <= count) || 7200;
    const ticks = [];
    for (let t = Math.ceil(from / step) * step; t <= to; t += step) ticks.push(Math.round(t * 10) / 10);
    return ticks;
  };

  // ---------------------------------------------------------------- table
  const value = (event, key) => (key === "label" ? labelOf(event) : event[key]);
  const table = () => {
    const rows = shown().sort((a, b) => {
      const x = value(a, sortKey), y = value(b, sortKey);
      return (x < y ? -1 : x > y ? 1 : a.apex_s - b.apex_s) * (sortDown ? -1 : 1);
    });
    const body = document.querySelector("#events tbody");
    body.replaceChildren(...rows.map((event) => make("tr", { tabindex: 0, "data-id": event.id, "aria-selected": event.id === selected, onclick: () => choose(event.id) },
      make("td", { class: "time" }, clock(event.apex_s)), make("td", {}, who(event.person)), make("td", {}, make("span", { class: `key ${event.kind}` }, event.kind)),
      make("td", { class: "wide" }, codes(event)), make("td", {}, labelOf(event) || "-"), make("td", { class: "num" }, `${event.duration_s.toFixed(2)} s`),
      make("td", { class: "num" }, event.score.toFixed(2)))));
    document.querySelectorAll("#events th button").forEach((button) => {
      const on = button.dataset.key === sortKey;
      button.parentNode.setAttribute("aria-sort", on ? (sortDown ? "descending" : "ascending") : "none");
    });
    $("count").textContent = rows.length === data.events.length ? `${rows.length}` : `${rows.length} of ${data.events.length}`;
  };
  document.querySelectorAll("#events th button").forEach((button) => button.addEventListener("click", () => {
    sortDown = sortKey === button.dataset.key ? !sortDown : button.dataset.key === "score";
    sortKey = button.dataset.key;
    table();
  }));
  document.addEventListener("keydown", (event) => {
    if (["SELECT", "INPUT"].includes(document.activeElement.tagName)) return;
    const rows = [...document.querySelectorAll("#events tbody tr")];
    const at = rows.findIndex((row) => row.dataset.id === selected);
    let to = null;
    if (event.key === "ArrowDown") to = rows[Math.min(at + 1, rows.length - 1)];
    else if (event.key === "ArrowUp") to = rows[Math.max(at - 1, 0)];
    else if (event.key === "Enter" && document.activeElement.tagName === "TR") to = document.activeElement;
    if (!to) return;
    event.preventDefault();
    choose(to.dataset.id);
  });

  // ---------------------------------------------------------------- detail
  const choose = (id, scroll = true) => {
    selected = id;
    const event = data.events.find((e) => e.id === id);
    detail(event);
    table();
    lanes.forEach(draw);
    const row = [...document.querySelectorAll("#events tbody tr")].find((r) => r.dataset.id === id);
    if (row && scroll) { row.scrollIntoView({ block: "nearest" }); row.focus({ preventScroll: true }); }
    if (scroll && matchMedia("(max-width: 1050px)").matches) $("detail").scrollIntoView({ block: "start" });
    history.replaceState(null, "", `#${id}`);
  };
  const grid = (head, rows) => make("table", {}, make("thead", {}, make("tr", {}, ...head.map(([text, num]) => make("th", { scope: "col", class: num ? "num" : "" }, text)))),
    make("tbody", {}, ...rows.map((cells) => make("tr", {}, ...cells.map((cell, i) => make("td", { class: head[i][1] ? "num" : "" }, cell))))));
  const detail = (event) => {
    const parts = [
      make("h2", {}, make("span", { class: `key ${event.kind}` }, event.kind), ` ${who(event.person)}, ${clock(event.apex_s)}`),
      make("p", { class: "quiet" }, `${clock(event.onset_s)} to ${clock(event.offset_s)}: ${event.duration_s.toFixed(2)} s, rise ${event.rise_s.toFixed(2)} s, frames ${event.frames.join(" - ")}, score ${event.score.toFixed(2)}`),
    ];
    const roles = ["onset", "apex", "offset"].filter((role) => event.pictures[role]);
    if (roles.length) parts.push(make("div", { class: "pictures" }, ...roles.map((role) => make("figure", {},
      make("img", { src: event.pictures[role].split("/").map(encodeURIComponent).join("/"), alt: `${who(event.person)} at the ${role}`, loading: "lazy" }),
      make("figcaption", {}, `${role} ${clock(event[`${role}_s`])}`)))));
    const cot = event.result && event.result.cot;
    if (cot) {
      parts.push(make("p", {}, make("span", { class: "label" }, cot.label), make("span", { class: `tag ${event.result.verified ? "ok" : "no"}` },
        event.result.verified ? "each claim measured" : "not verified")));
      parts.push(make("div", { class: "cot" }, make("h3", {}, "Key observations"), make("p", {}, cot.observations), make("h3", {}, "Overall emotional interpretation"),
        make("p", {}, cot.interpretation), make("h3", {}, "Conclusion"), make("p", {}, cot.conclusion)));
    } else parts.push(make("p", { class: "quiet" }, event.result ? "The explanation failed." : "No explanation was asked for, or it has not come yet."));
    if (event.result && event.result.reasons.length) parts.push(make("ul", { class: "flags" }, ...event.result.reasons.map((r) => make("li", {}, r))));
    parts.push(make("h3", {}, "Action units"), event.aus.length
      ? grid([["AU"], ["Name"], ["Side"], ["Strength", 1], ["Change", 1]], event.aus.map((c) => [c.au, data.names[c.au] || "", sideOf(c.side), `${c.intensity.toFixed(1)} ${c.letter}`, `${c.delta >= 0 ? "+" : ""}${c.delta.toFixed(1)}`]))
      : make("p", { class: "quiet" }, "none above the floor"));
    if (event.motion.length) parts.push(make("h3", {}, "Movement from onset to apex, in per cent of the inner-eye distance"),
      grid([["Region"], ["Distance", 1], ["Direction in the picture"]], event.motion.map((m) => [m.region.replaceAll("_", " ").replace(/ L$/, ", left").replace(/ R$/, ", right"), `${(m.distance * 100).toFixed(1)}`, m.direction])));
    if (event.flags.length) parts.push(make("h3", {}, "To keep in mind"), make("ul", { class: "flags" }, ...event.flags.map((f) => make("li", {}, f))));
    if (event.result) parts.push(make("p", { class: "quiet" }, `Written by ${event.result.by}.`));
    $("detail").replaceChildren(...parts);
    $("detail").scrollTop = 0;
  };

  // ---------------------------------------------------------------- start
  const refresh = () => { $("f-score-value").textContent = Number($("f-score").value).toFixed(2); table(); lanes.forEach(draw); };
  ["input", "change"].forEach((kind) => $("filters").addEventListener(kind, refresh));
  $("filters").addEventListener("reset", () => setTimeout(refresh));
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", refresh);
  let resized = 0;
  window.addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(() => lanes.forEach(draw), 100); });
  const people = data.people.filter((p) => p.person).length;
  const micro = data.events.filter((e) => e.kind === "micro").length;
  $("summary").textContent = `${people} ${people === 1 ? "person" : "people"}, ${micro} micro and ${data.events.length - micro} macro events` + (data.duration_s ? `, ${clock(data.duration_s, 0)}` : "");
  lanes.push(...data.people.map(buildLane));
  if (!lanes.length) $("lanes").append(make("p", { class: "lane quiet" }, "No face was found in this source."));
  refresh();
  const wanted = decodeURIComponent(location.hash.slice(1));
  const first = data.events.find((e) => e.id === wanted) || shown().sort((a, b) => b.score - a.score)[0];
  if (first) choose(first.id, false);
})();
