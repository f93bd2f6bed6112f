// The lanes: one plot for each person with the curves of chosen AUs and a mark for each event. All show the same time.
const CURVES_AT_FIRST = 3;
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
  const nothing = usable === 0 ? make("p", { class: "quiet small" }, "Never large, sharp and frontal enough to be measured.") : null;
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
      x: own.map((e) => e.apex_s), y: own.map(() => (kind === "micro" ? 6.05 : 5.5)), mode: "markers", name: kind, customdata: own.map((e) => e.id),
      marker: { symbol: kind === "micro" ? "diamond" : "circle", color: css(`--${kind}`), opacity: 1, size: own.map((e) => (e.id === state.selected ? 15 : 10)),
        line: { width: own.map((e) => (e.id === state.selected ? 2 : 0)), color: css("--ink") } },
      text: own.map((e) => `${kind} ${codes(e)} ${labelOf(e)}`), hovertemplate: "%{text}<extra></extra>",
    });
  }
  const chosen = events.find((e) => e.id === state.selected);
  const shapes = chosen ? [{ type: "rect", xref: "x", yref: "y", x0: chosen.onset_s, x1: chosen.offset_s, y0: 0, y1: 5.1,
    line: { width: 1.5, color: css(`--${chosen.kind}`) }, fillcolor: css(`--${chosen.kind}-span`) }] : [];
  const range = state.range || [0, data.end_s];
  const ticks = timeTicks(range, narrow ? 4 : 9);
  const digits = ticks.length > 1 && ticks[1] - ticks[0] < 1 ? 1 : 0;
  Plotly.react(lane.plot, traces, {
    height: 190, width: lane.plot.clientWidth, margin: { l: 26, r: 10, t: 4, b: 24 }, showlegend: false, shapes, hovermode: "closest", dragmode: narrow ? false : "zoom",
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

const timeTicks = ([from, to], count) => {
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];
  const step = steps.find((s) => (to - from) / s <= count) || 28800;
  const ticks = [];
  for (let t = Math.ceil(Math.max(0, from) / step) * step; t <= to; t += step) ticks.push(Math.round(t * 10) / 10);
  return ticks;
};

// null = the whole time
const zoom = (range) => {
  state.range = range;
  $("whole").disabled = range === null;
  lanes.forEach(drawLane);
};
