// The lanes: one plot for each person with the curves of chosen AUs and a mark for each event. All show the same time.
const CURVES_AT_FIRST = 3;
const MICRO_Y = 6.05, MACRO_Y = 5.5; // where the marks are, above the scale
const NARROWEST = 40; // stretches of the curves (curves.py): nearer, a lane would show lines where values are missing
const lanes = [];

const buildLane = ({ person, t, aus, seen_s, usable }) => {
  const events = data.events.filter((e) => e.person === person);
  const curves = Object.fromEntries(Object.entries(aus).map(([au, packed]) => [au, intensities(packed)]));
  const names = Object.keys(curves);
  const inEvents = {};
  events.forEach((e) => e.aus.forEach((c) => curves[c.au] && (inEvents[c.au] = (inEvents[c.au] || 0) + Math.abs(c.delta))));
  const top = Object.fromEntries(names.map((au) => [au, curves[au].reduce((high, v) => (v > high ? v : high), 0)]));
  // what moved most in the events comes first, then what moved most at all; a blink moves in everybody
  const rank = (au) => (inEvents[au] || 0) * 1000 + top[au] - (au === "AU43" || au === "AU45" ? 10 : 0);
  const ranked = [...names].sort((a, b) => rank(b) - rank(a));
  const lane = { person, t, curves, colours: {}, plot: make("div", { class: "plot" }) };
  ranked.slice(0, CURVES_AT_FIRST).filter((au) => top[au] >= 0.5 || inEvents[au]).forEach((au) => takeColour(lane, au));

  const chips = make("div", { class: "chips", role: "group", "aria-label": `Curves of ${who(person)}` });
  const offered = new Set(ranked.filter((au) => inEvents[au]).slice(0, 6));
  ranked.forEach((au) => offered.size < 6 && offered.add(au));
  const chip = (au) => {
    const dot = make("i");
    const button = make("button", { type: "button", class: offered.has(au) ? "chip" : "chip more", title: auName(au), onclick: () => {
      if (lane.colours[au] === undefined) takeColour(lane, au); else delete lane.colours[au];
      show();
      drawLane(lane);
    } }, dot, au);
    const show = () => {
      const on = lane.colours[au] !== undefined;
      button.setAttribute("aria-pressed", on);
      dot.style.background = on ? `var(--c${lane.colours[au] % 8})` : "";
      button.classList.toggle("more", !on && !offered.has(au));
    };
    show();
    return button;
  };
  chips.append(...names.map(chip));
  if (names.length > offered.size) {
    const text = (open) => (open ? "Fewer" : `+ ${names.length - offered.size} more`);
    const more = make("button", { type: "button", class: "chip all", "aria-expanded": "false", onclick: () => {
      const open = chips.classList.toggle("open");
      more.textContent = text(open);
      more.setAttribute("aria-expanded", open);
    } }, text(false));
    chips.append(more);
  }
  const micro = events.filter((e) => e.kind === "micro").length;
  const share = usable > 0 && usable < 0.01 ? "under 1" : Math.floor(usable * 100);
  const told = t.length ? `seen for ${span(seen_s)}, measurable ${share} % of it` : "";
  const head = make("div", { class: "lane-head" }, make("h2", {}, who(person)), make("p", { class: "quiet" }, told),
    make("p", { class: "tally" }, make("span", { class: "key micro" }, `${micro} micro`), " ", make("span", { class: "key macro" }, `${events.length - micro} macro`)));
  const nothing = usable < 0.02 ? make("p", { class: "quiet small" }, t.length ? "Hardly ever large, sharp and frontal enough to be measured." : "No rows in faces.csv.") : null;
  lane.node = make("div", { class: "lane" }, head, nothing || chips, nothing && !events.length ? null : lane.plot);
  $("lanes").append(lane.node);
  return lane;
};

// the first colour that no shown curve of the lane has, so that two curves look alike only beyond eight
const takeColour = (lane, au) => {
  const used = new Set(Object.values(lane.colours));
  let free = 0;
  while (used.has(free)) free += 1;
  lane.colours[au] = free;
};

const drawLane = (lane) => {
  if (typeof Plotly === "undefined" || !lane.plot.isConnected) return;
  const narrow = lane.plot.clientWidth < 520;
  const events = shownEvents().filter((e) => e.person === lane.person);
  const traces = [];
  for (const kind of ["macro", "micro"]) { // one path for all spans of a kind: thousands of shapes would be slow
    const own = events.filter((e) => e.kind === kind);
    traces.push({
      x: own.flatMap((e) => [e.onset_s, e.onset_s, e.offset_s, e.offset_s, null]), y: own.flatMap(() => [0, 5.1, 5.1, 0, null]),
      mode: "lines", fill: "toself", line: { width: 0 }, fillcolor: css(`--${kind}-span`), hoverinfo: "skip", name: `${kind} spans`,
    });
  }
  for (const [au, c] of Object.entries(lane.colours)) {
    traces.push({ x: lane.t, y: lane.curves[au], name: au, mode: "lines", connectgaps: false, line: { width: 1.6, color: colour(c) },
      hovertemplate: `${au} ${auName(au)}: %{y:.1f}<extra></extra>` });
  }
  for (const kind of ["macro", "micro"]) {
    const own = events.filter((e) => e.kind === kind);
    traces.push({
      x: own.map((e) => e.apex_s), y: own.map(() => (kind === "micro" ? MICRO_Y : MACRO_Y)), mode: "markers", name: kind, customdata: own.map((e) => e.id),
      marker: { symbol: kind === "micro" ? "diamond" : "circle", color: css(`--${kind}`), opacity: 1, size: 10, line: { width: 0 } },
      text: own.map((e) => `${kind} ${codes(e)} ${labelOf(e)}`), hovertemplate: "%{text}<extra></extra>",
    });
  }
  const range = state.range || [0, data.end_s];
  const ticks = timeTicks(range, narrow ? 4 : 9);
  const digits = ticks.length > 1 && ticks[1] - ticks[0] < 1 ? 1 : 0;
  Plotly.react(lane.plot, traces, {
    height: 190, width: lane.plot.clientWidth, margin: { l: 26, r: 10, t: 4, b: 24 }, showlegend: false, shapes: chosenShapes(lane), hovermode: "closest", dragmode: narrow ? false : "zoom",
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { family: "inherit", size: 11, color: css("--quiet") },
    hoverlabel: { bgcolor: css("--card"), bordercolor: css("--line"), font: { color: css("--ink"), size: 12 } },
    xaxis: { range, tickvals: ticks, ticktext: ticks.map((t) => clock(t, digits)), gridcolor: css("--line"), zeroline: false },
    yaxis: { range: [0, 6.5], tickvals: [0, 1, 2, 3, 4, 5], gridcolor: css("--line"), zeroline: false, fixedrange: true },
  }, { displayModeBar: false, responsive: false, scrollZoom: false, doubleClick: false });
  if (lane.wired) return;
  lane.wired = true;
  lane.plot.on("plotly_click", ({ points }) => { const hit = points.find((p) => p.customdata); if (hit) choose(hit.customdata); });
  lane.plot.on("plotly_doubleclick", () => zoom(null));
  lane.plot.on("plotly_relayout", (change) => {
    if (change["xaxis.range[0]"] !== undefined) zoom([change["xaxis.range[0]"], change["xaxis.range[1]"]]);
  });
};

// The chosen event is drawn as shapes, which change without drawing the curves again.
const chosenShapes = (lane) => {
  const event = eventOf[state.selected];
  if (!event || event.person !== lane.person || !passes(event)) return [];
  const own = css(`--${event.kind}`), micro = event.kind === "micro";
  return [
    { type: "rect", xref: "x", yref: "y", x0: event.onset_s, x1: event.offset_s, y0: 0, y1: 5.1, line: { width: 1.5, color: own }, fillcolor: css(`--${event.kind}-span`) },
    { ...(micro ? { type: "path", path: "M-9 0L0 9L9 0L0 -9Z" } : { type: "circle", x0: -8, x1: 8, y0: -8, y1: 8 }), xref: "x", yref: "y", xsizemode: "pixel",
      ysizemode: "pixel", xanchor: event.apex_s, yanchor: micro ? MICRO_Y : MACRO_Y, fillcolor: own, line: { width: 2, color: css("--ink") } },
  ];
};
const markChosen = (lane) => { if (lane.wired) Plotly.relayout(lane.plot, { shapes: chosenShapes(lane) }); };

const timeTicks = ([from, to], count) => {
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];
  const step = steps.find((s) => (to - from) / s <= count) || 28800;
  const ticks = [];
  for (let t = Math.ceil(Math.max(0, from) / step) * step; t <= to; t += step) ticks.push(Math.round(t * 10) / 10);
  return ticks;
};

// null = the whole time
const zoom = (range) => {
  if (range) {
    const middle = (range[0] + range[1]) / 2, half = Math.max(range[1] - range[0], NARROWEST * data.bin_s) / 2;
    range = half * 2 >= data.end_s ? null : [middle - half, middle + half];
  }
  state.range = range;
  $("whole").disabled = range === null;
  lanes.forEach(drawLane);
};
